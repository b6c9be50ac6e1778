"""Run loops compiled, or as the plain Python that they are written in."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

import pytest

from lottery.day.jit import Loop


def loops_of(module: ModuleType) -> dict[str, Loop]:
    """Return the loops of a module by name."""
    return {name: loop for name, loop in vars(module).items() if isinstance(loop, Loop)}


def versions_of(module: ModuleType) -> dict[str, int]:
    """Count the compiled versions of each loop, one for the types of each call."""
    return {
        name: len(loop.compiled().signatures)  # type: ignore[attr-defined]
        for name, loop in loops_of(module).items()
    }


@contextmanager
def interpreted_loops() -> Iterator[None]:
    """Interpret every loop within the block, which also checks every index."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Loop, "__call__", Loop.interpreted)
        yield
