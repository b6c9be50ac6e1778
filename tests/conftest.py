"""Of all tests: the loops are compiled, unless a test has them interpreted."""

from __future__ import annotations

import pytest

from lottery import operations


@pytest.fixture(autouse=True, scope="session")
def compiled_loops() -> None:
    """Makes every loop run compiled, as over many rows; in a process of its own it need not be."""
    operations.warm_up()  # What is compiled now is not told to a test that listens.
