"""What the canonical line says of a request: the run that it names, and its own id.

Invariants:
- What a caller writes freely is never logged: it may be an account number by mistake.
"""

from __future__ import annotations

import hashlib
import re
from typing import Final

from server import telemetry

_RUN: Final = re.compile(r"latest|\d{4}-\d{2}-\d{2}-\d{3,9}", re.ASCII)
_REQUEST_ID: Final = re.compile(r"content-[0-9a-f]{64}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
"""What the library derives from the content, and UUIDs, as AIP-155 has them."""


def note_run(run: str) -> None:
    """Note the run that a request names, if it has the form of one."""
    if _RUN.fullmatch(run):
        telemetry.note(run=run)


def note_request_id(request_id: str) -> None:
    """Note a request's id; of one that is no UUID, the beginning of its SHA-256.

    Whoever knows such an id can find its calls, and nobody can read it.
    """
    if not _REQUEST_ID.fullmatch(request_id):
        request_id = f"sha256:{hashlib.sha256(request_id.encode()).hexdigest()[:16]}"
    telemetry.note(request_id=request_id)
