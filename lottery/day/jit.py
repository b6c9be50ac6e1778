"""Loops that are interpreted while they are short and compiled when they are long.

Loading numba and the machine code of a day's loops takes longer than interpreting them over a small
day. So a loop runs as the Python function that it is until it has gone over some thousands of rows
in a process; from then on it runs compiled. Both are the same source and give the same.

Invariants:
- Rows are counted over all calls: what is called often is compiled like what is long.
- After `compile_all` nothing is interpreted, so that a server loads nothing in front of a caller.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, Final

import numpy as np

ROWS_WORTH_COMPILING: Final = 32_768
"""The rows over which a loop is interpreted, all calls together."""

_rules: list[Callable[..., int]] = []
_loops: list[Loop] = []
_lock = threading.Lock()
_listeners: list[Callable[[str], None]] = []


class Loop:
    """A loop over rows; called like the function that it is of.

    Args:
        function: The loop, in the part of Python that numba compiles.

    Attributes:
        function: The loop as it was given.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function
        self.__doc__ = function.__doc__
        self._dispatcher: Callable[..., Any] | None = None
        self._interpreted_rows = 0

    def __call__(self, *arguments: Any) -> Any:
        """Runs the loop over arrays, compiled where they are long or many calls came before."""
        if self._dispatcher is not None:
            return self._dispatcher(*arguments)
        self._interpreted_rows += _rows_of(arguments)
        if self._interpreted_rows > ROWS_WORTH_COMPILING:
            return self.compiled()(*arguments)
        return self.interpreted(*arguments)

    def interpreted(self, *arguments: Any) -> Any:
        """Runs the loop as Python."""
        # Bytes and hashes wrap around, as they do in machine code.
        with np.errstate(over="ignore"):
            return self.function(*arguments)

    def compiled(self) -> Callable[..., Any]:
        """Numba's dispatcher of the loop; from now on every call is compiled."""
        from lottery.day import code_cache  # noqa: PLC0415 - it imports numba.

        with _lock:
            while _rules:
                code_cache.let_loops_inline(_rules.pop())
            if self._dispatcher is None:
                self._dispatcher = code_cache.machine_code_of(self.function, _announce)
            return self._dispatcher


def compiled(function: Callable[..., Any]) -> Loop:
    """Makes a loop of a function; it releases the GIL where it is compiled."""
    loop = Loop(function)
    _loops.append(loop)
    return loop


def inlined(function: Callable[..., int]) -> Callable[..., int]:
    """Has a rule compiled into the loops that call it."""
    _rules.append(function)
    return function


def tell_when_compiling(tell: Callable[[str], None]) -> None:
    """Has somebody told, once, before loops are compiled whose code is kept nowhere yet."""
    _listeners[:] = [tell]


def compile_all() -> None:
    """Has every loop that was imported run compiled from now on."""
    for loop in _loops:
        loop.compiled()


def _rows_of(arguments: tuple[Any, ...]) -> int:
    return max((array.size for array in arguments if isinstance(array, np.ndarray)), default=0)


def _announce(text: str) -> None:
    while _listeners:
        _listeners.pop()(text)
