"""A DAG for the assignment morning; its two files go into the DAGs folder together."""
