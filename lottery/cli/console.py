"""The console that texts for people are printed on; what prints none does not load it."""

from __future__ import annotations

from typing import Any, Final

from rich.console import Console

PIPED_WIDTH: Final = 160
"""Columns of text that goes to a file or a pipe, which has no width of its own."""


class _Console(Console):
    """Prints; a pipe that nobody reads is left to `main`, as where a document is printed."""

    def on_broken_pipe(self) -> None:
        raise BrokenPipeError


def console_on(stream: Any) -> Console:
    """Return a console that prints texts as they are, in the width of a terminal or a pipe."""
    width = None if stream.isatty() else PIPED_WIDTH
    return _Console(file=stream, width=width, highlight=False, markup=False, emoji=False)
