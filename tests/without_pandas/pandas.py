"""What processes that tests start find instead of pandas, which need not be installed."""

raise ImportError("the package does without pandas")
