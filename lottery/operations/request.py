"""What a run is asked with: a day as it was received, and who asks."""

from __future__ import annotations

import datetime as dt
import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from lottery.errors import NO_PROBLEMS, Problems
from lottery.intake.positions import ReceivedPositions
from lottery.intake.sources import Received, ReceivedVolumes, SourceFile
from lottery.ledger.run_record import Identity
from lottery.method.methodology import JPMS_2024_09_06, Methodology
from lottery.method.seed import RuleWarning

Progress = Callable[[str], None]
"""Receives the name of each step as it starts."""
_OPAQUE_ID: Final = re.compile(r"content-[0-9a-f]{64}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
"""What the library derives from the content, and UUIDs, as AIP-155 has them."""


def shown_request_id(request_id: str) -> str:
    """Return a request's id as logs and events show it: what a caller wrote freely may be anything.

    Of one that is no UUID it is the beginning of its SHA-256: whoever knows such an id can find it,
    and nobody can read it.
    """
    if _OPAQUE_ID.fullmatch(request_id):
        return request_id
    return f"sha256:{hashlib.sha256(request_id.encode()).hexdigest()[:16]}"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRequest:
    """A day, or a cycle of it, to allocate and record.

    Attributes:
        business_date: The run's date.
        cycle: Its cycle, from 1.
        notices: The assignment notices.
        positions: The short positions.
        volumes: The four ask prices.
        requested_by: The requester.
        problems: What is wrong with the request's own fields, as they were received.
        request_id: An id that makes the request once-only; None derives one from the content.
        supersedes: The runs of the date that it supersedes, by id or as `latest`.
        reason: Why it supersedes them.
        occ_positions: OCC's own figures, to compare with the positions as given.
        mapping: The file that says what the others are, if there is one.
        acknowledged: The holds that are acknowledged, by code, each with the reason (H1).
        methodology: The method with its decisions, which must be those of the charter (C1).
        clearing_member: The clearing member whose notices count, as the charter or the command
            names it (P8); None if neither does.
        warnings: What deserves attention of the request as it was received.
        may_be_cut_off: The text files whose last line has no line end, and for which neither
            control totals nor a checksum came (H1).
    """

    business_date: dt.date
    cycle: int = 1
    notices: Received
    positions: ReceivedPositions
    volumes: ReceivedVolumes
    requested_by: Identity
    problems: Problems = NO_PROBLEMS
    request_id: str | None = None
    supersedes: tuple[str, ...] = ()
    reason: str | None = None
    occ_positions: Received | None = None
    mapping: tuple[SourceFile, ...] = ()
    acknowledged: Mapping[str, str] = field(default_factory=dict)
    methodology: Methodology = JPMS_2024_09_06
    clearing_member: str | None = None
    warnings: tuple[RuleWarning, ...] = ()
    may_be_cut_off: tuple[str, ...] = ()

    @property
    def intake_problems(self) -> Problems:
        """Everything that was wrong as the request was received; with any the run is refused."""
        problems = self.problems + self.volumes.problems
        problems += self.notices.problems + self.positions.problems
        return problems if self.occ_positions is None else problems + self.occ_positions.problems
