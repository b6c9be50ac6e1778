"""On the path of processes that tests start; see `tests/conftest.py`."""
