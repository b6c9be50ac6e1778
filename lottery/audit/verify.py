"""Verify: whether a ledger is complete and what its log signed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

Progress: TypeAlias = Callable[[str, int, int], None]
"""Called with each run before its evidence is verified, its number from 1, and their count."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """Something that is not as it was recorded.

    Attributes:
        where: The file, relative to the ledger, or the record.
        problem: What was expected and what came.
    """

    where: str
    problem: str
