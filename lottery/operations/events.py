"""What became of a run, as the event that webhooks announce.

Both doors open an `Announcing` before they read anything of a request to run, and it alone decides
which event there is: of what the operation returned, or of what was raised.

Not here: who gets it (`webhooks`), and how it is sent (`outbox`, `post`).

Invariants:
- An event has codes, counts, series and ids, and no text that names what a file or a caller said:
  any such text may name an account.
- The same command again, while nothing has changed, has the same id: receivers drop repeats by it.
- A rehearsal (`--dry-run`) has no event.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from types import TracebackType
from typing import Final, Literal, Self, TypeAlias, get_args

from lottery.errors import Conflict, Held, LotteryError, Refused
from lottery.ledger.draft import RecordedRun
from lottery.ledger.four_eyes import Proposal
from lottery.operations.request import RunRequest, shown_request_id
from lottery.operations.runs import record_sha256

EventType: TypeAlias = Literal[
    "run.held", "run.broken", "run.conflicted", "run.failed", "run.proposed", "run.recorded"
]
"""What can become of a run; `run.recorded` is a run that stands, without breaks."""
TYPES: Final[tuple[EventType, ...]] = get_args(EventType)
INTERNAL: Final = "INTERNAL"
"""The reason of a failure that is a fault of the program or of the machine."""
BREAKS_LISTED: Final = 100
"""Maximum number of breaks that an event lists; it has the number of all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokenPool:
    """A pool that is a break (D5), without the OCC account."""

    series: str
    reason: str
    assigned_quantity: int
    total_short: int


@dataclass(frozen=True, slots=True, kw_only=True)
class EventData:
    """What became of a run.

    Attributes:
        ledger: The origin of the ledger's log; None as far as it is not known.
        business_date: The run's date; None if the request has none that is one.
        cycle: The run's cycle; None if the request says nothing.
        run: The run that is recorded or proposed; of a conflict, the recorded one that the request
            contradicts; None if there is neither.
        request_id: The request's id; the beginning of its SHA-256 if the caller wrote it freely.
        reason: Why nothing is recorded, such as `HELD` or `INVALID_INPUT`; None if it is.
        held: The codes of what holds it, or would hold it too.
        problem_count: The number of problems that it is refused for.
        break_count: The number of its breaks.
        breaks: The first of them.
    """

    ledger: str | None = None
    business_date: dt.date | None = None
    cycle: int | None = None
    run: str | None = None
    request_id: str | None = None
    reason: str | None = None
    held: tuple[str, ...] = ()
    problem_count: int = 0
    break_count: int = 0
    breaks: tuple[BrokenPool, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Webhook:
    """What a webhook says: the body of its request.

    Attributes:
        type: What became of the run.
        timestamp: When, UTC (RFC 3339): when it was recorded, or when it failed.
        data: The rest.
    """

    type: EventType
    timestamp: str
    data: EventData


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """An event: what a webhook says, and its id."""

    id: str
    said: Webhook

    def body(self) -> bytes:
        """Return the body of its request, JSON."""
        text = json.dumps(asdict(self.said), default=str, separators=(",", ":"))
        return text.encode("utf-8")


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What is known of a request to run before anything of its rows is read.

    Attributes:
        ledger: The origin of the ledger's log, if it is known.
        business_date: Its date, if it is one.
        cycle: Its cycle, if it says so.
        request_id: Its id, if it has one.
        is_rehearsal: Whether nothing is to be recorded.
    """

    ledger: str | None = None
    business_date: dt.date | None = None
    cycle: int | None = None
    request_id: str | None = None
    is_rehearsal: bool = False


class Announcing:
    """A block in which a request to run is answered; its end sends the event of what became of it.

    Args:
        asked: What is known of the request.
        send: Takes the event; it neither waits nor raises. None if nobody asks for one.
        reason_of: Returns the reason of an error that is none of ours.
    """

    def __init__(
        self,
        asked: Asked,
        send: Callable[[Event], object] | None,
        *,
        reason_of: Callable[[Exception], str] = lambda _: INTERNAL,
    ) -> None:
        self._asked = asked
        self._send = None if asked.is_rehearsal else send
        self._reason_of = reason_of
        self._digests: tuple[str, ...] = ()
        self._recorded: RecordedRun | None = None

    def read(self, request: RunRequest, origin: Callable[[], str | None]) -> None:
        """Take note of a request that was read.

        Args:
            request: The request.
            origin: Returns the origin of the ledger's log, if it is known.
        """
        if self._send is None:
            return
        self._asked = replace(self._asked, ledger=origin())
        received = (request.notices, request.positions, request.volumes, request.occ_positions)
        sources = [source for each in received if each is not None for source in each.sources]
        terms = (*request.supersedes, *sorted(request.acknowledged))
        self._digests = (*(source.sha256 for source in sources), *terms)

    def recorded(self, run: RecordedRun) -> None:
        """Take note of the run that the request has recorded, or had recorded before."""
        self._recorded = run

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Send the event; there is none if somebody interrupted the command."""
        if self._send is None:
            return
        if isinstance(error, Exception):
            self._send(self._failure(error))
        elif error is None and self._recorded is not None:
            self._send(_event_of(self._recorded, self._asked.ledger))

    def _failure(self, error: Exception) -> Event:
        """Return the event of a request that failed, though its run may be recorded."""
        of_type: EventType = "run.failed"
        data = EventData(
            ledger=self._asked.ledger,
            business_date=self._asked.business_date,
            cycle=self._asked.cycle,
            request_id=_shown(self._asked.request_id),
            reason=error.reason if isinstance(error, LotteryError) else self._reason_of(error),
        )
        if self._recorded is not None:
            known = _event_of(self._recorded, self._asked.ledger).said.data
            data = replace(known, reason=data.reason)
        if isinstance(error, Refused):
            data = replace(data, problem_count=error.total)
        if isinstance(error, Held | Conflict):
            of_type = "run.held" if isinstance(error, Held) else "run.conflicted"
            data = replace(data, held=tuple(hold.code for hold in error.holds))
        if isinstance(error, Conflict):
            data = replace(data, run=error.run or None)
        now = dt.datetime.now(dt.UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
        said = Webhook(type=of_type, timestamp=now, data=data)
        return Event(id=_id_of(of_type, asdict(data), self._digests), said=said)


def _event_of(recorded: RecordedRun, ledger: str | None) -> Event:
    """Return the event of a run that is recorded."""
    record = recorded.record
    of_type: EventType = "run.broken" if record.break_count else "run.recorded"
    if isinstance(record, Proposal) and not recorded.counts:
        of_type = "run.proposed"
    data = EventData(
        ledger=ledger,
        business_date=record.business_date,
        cycle=record.cycle,
        run=record.run,
        request_id=_shown(record.request_id),
        break_count=record.break_count,
        breaks=tuple(
            BrokenPool(
                series=broken.series,
                reason=broken.reason,
                assigned_quantity=broken.assigned_quantity,
                total_short=broken.total_short,
            )
            for broken in recorded.breaks[:BREAKS_LISTED]
        ),
    )
    said = Webhook(type=of_type, timestamp=record.recorded_at, data=data)
    return Event(id=_id_of(of_type, record_sha256(record)), said=said)


def _id_of(*content: object) -> str:
    """Return the id that follows from content, whatever the time is."""
    text = json.dumps(content, default=str)
    return f"msg_{hashlib.sha256(text.encode()).hexdigest()[:32]}"


def _shown(request_id: str | None) -> str | None:
    return shown_request_id(request_id) if request_id else None
