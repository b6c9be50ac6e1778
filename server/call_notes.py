"""What the canonical line says of a request: the run that it names, and its own id.

Invariants:
- What a caller writes freely is never logged: it may be an account number by mistake.
"""

from __future__ import annotations

import re
from typing import Final

from lottery.operations.request import shown_request_id
from server import telemetry

_RUN: Final = re.compile(r"latest|\d{4}-\d{2}-\d{2}-\d{3,9}", re.ASCII)


def note_run(run: str) -> None:
    """Note the run that a request names, if it has the form of one."""
    if _RUN.fullmatch(run):
        telemetry.note(run=run)


def note_request_id(request_id: str) -> None:
    """Note a request's id."""
    telemetry.note(request_id=shown_request_id(request_id))
