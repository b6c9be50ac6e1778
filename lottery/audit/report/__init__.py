"""The audit page of a run: values first, then geometry, then HTML."""
