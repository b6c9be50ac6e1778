"""Loaded by the process that the workers are forked from: their machine code is there already."""

from __future__ import annotations

from lottery import operations
from tests.faults import worker

operations.warm_up()

__all__ = ["worker"]
