"""Verify the rules: what the entries say, derived again from the entries alone.

The rules of a run are those that it was recorded under (`ledger.rules`), against the runs
that were standing then.

Invariants:
- An entry is judged by the entries before it, never by those after it.
- What cannot be read is a fault of its own; the entries after it are judged all the same.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from typing import Final

from lottery.audit.fault import Fault
from lottery.audit.verify_claims import contradictions, proposal_problems, verdict_problems
from lottery.errors import LedgerDamaged, LotteryError, RunNotFound, escape, quote
from lottery.ledger.allocated import Allocated, AllocatedBy, allocated_by
from lottery.ledger.date_runs import DateRuns
from lottery.ledger.entry import (
    CHARTER,
    ENTRY_BYTES,
    KEY,
    Charter,
    Entry,
    NamedRequest,
    NextKey,
    digest_of,
    read_entry,
)
from lottery.ledger.evidence import Reader
from lottery.ledger.four_eyes import EXPIRED, REJECTED, Verdict
from lottery.ledger.log import Log, sequence_of
from lottery.ledger.queries import charter_in_force
from lottery.ledger.run_record import RunRecord, is_run_id
from lottery.tlog.keys import VerifierKey

_NOTICES_KEPT: Final = 500_000
"""Maximum number of notices of a date's runs that are kept for the runs after them."""


class Story:
    """What follows from the entries, in their order.

    Attributes:
        types: The type of every entry; empty for one that cannot be read.
        dates: The indexes of the entries of each date's runs and proposals.
        verdicts: The indexes of the verdicts of each date.
        requests: Every request id with the run that answers it.
    """

    def __init__(self) -> None:
        self.origin: str | None = None
        self.keys: list[tuple[int, VerifierKey]] = []
        self.types: list[str] = []
        self.dates: dict[str, array[int]] = {}
        self.verdicts: dict[str, array[int]] = {}
        self.requests: dict[str, str] = {}
        self.run_count = 0
        self._charters: list[tuple[int, str, Charter]] = []
        self._last_date = ""

    def log(self) -> Log | None:
        """Return the log's identity as the entries have it so far, None before there is one."""
        if self.origin is None or not self.keys:
            return None
        return Log(origin=self.origin, keys=tuple(self.keys))

    def charters_before(self, index: int) -> list[tuple[str, Charter]]:
        """Return the charters before an entry, each with its digest."""
        return [(digest, charter) for at, digest, charter in self._charters if at < index]

    def chain(self, date: str) -> list[int]:
        """Return the indexes of the entries of a date: its runs, proposals and verdicts."""
        return sorted([*self.dates[date], *self.verdicts.get(date, ())])

    def add(self, encoded: bytes | None) -> Iterator[Fault]:
        """Take the next entry; yield what is wrong with it.

        Args:
            encoded: Its bytes, None if they are lost, which is reported where they were looked for.
        """
        index = len(self.types)
        where = entry_name(index)
        entry: Entry | None = None
        if encoded is not None:
            if len(encoded) > ENTRY_BYTES:
                problem = f"expected at most {ENTRY_BYTES} bytes, got {len(encoded)}"
                yield Fault(where=where, problem=problem)
            try:
                entry = read_entry(encoded)
            except LedgerDamaged as error:
                yield Fault(where=where, problem=str(error))
        self.types.append("" if entry is None else entry.type)
        if index == 0 and entry is not None and entry.type != CHARTER:
            yield Fault(where=where, problem="expected a charter as the first entry, got another")
        if isinstance(entry, Charter):
            assert encoded is not None, "it was read"  # noqa: S101
            yield from (Fault(where=where, problem=each) for each in self._charter(index, entry))
            self._charters.append((index, digest_of(encoded), entry))
        elif isinstance(entry, NextKey):
            yield from (Fault(where=where, problem=each) for each in self._next_key(index, entry))
        elif isinstance(entry, RunRecord | Verdict):
            yield from (Fault(where=where, problem=each) for each in self._dated(index, entry))
        if isinstance(entry, RunRecord | NamedRequest):
            yield from (Fault(where=where, problem=each) for each in self._request(entry))

    def _dated(self, index: int, entry: RunRecord | Verdict) -> Iterator[str]:
        if isinstance(entry, RunRecord):
            date = entry.business_date.isoformat()
            self.dates.setdefault(date, array("q")).append(index)
            self._last_date = max(self._last_date, date)
            self.run_count += 1
            return
        date = entry.run.rpartition("-")[0]
        if date in self.dates:
            self.verdicts.setdefault(date, array("q")).append(index)
        else:
            yield f"expected the verdict on a proposal, got that on {quote(entry.run)}"

    def _charter(self, index: int, charter: Charter) -> Iterator[str]:
        if index == 0:
            self.origin = charter.origin
            if charter.previous is not None or charter.holds_from is not None:
                yield "expected a first charter that follows none and holds from the beginning"
            key = _key_of(charter.public_key)
            if isinstance(key, str):
                yield key
            elif key.name != charter.origin:
                yield f"expected a key of the name {charter.origin}, got {key.name}"
            else:
                self.keys.append((1, key))
            return
        last = self._charters[-1][1] if self._charters else None
        if charter.previous != last:
            yield f"expected a charter that follows {last}, got {charter.previous}"
        if charter.origin != self.origin or charter.public_key is not None:
            yield f"expected the origin {self.origin} and no key: an entry {KEY} names the next key"
        if charter.holds_from is None or charter.holds_from.isoformat() <= self._last_date:
            yield (
                f"expected that it holds from after {self._last_date or 'no date'}, the last date "
                f"with a run, got {charter.holds_from}"
            )

    def _next_key(self, index: int, entry: NextKey) -> Iterator[str]:
        key = _key_of(entry.public_key)
        if isinstance(key, str):
            yield key
            return
        if key.name != self.origin or any(key == known for _, known in self.keys):
            yield f"expected a new key of the name {self.origin}, got {key}"
        if entry.signs_from != index + 2:
            yield f"expected that it signs from size {index + 2}, got {entry.signs_from}"
        self.keys.append((index + 2, key))

    def _request(self, entry: RunRecord | NamedRequest) -> Iterator[str]:
        if entry.request_id in self.requests:
            run = self.requests[entry.request_id]
            yield f"expected a new request id, got {quote(entry.request_id)} of run {run}"
        self.requests[entry.request_id] = entry.run
        if isinstance(entry, NamedRequest):
            date = entry.run.rpartition("-")[0]
            number = sequence_of(entry.run) if is_run_id(entry.run) else 0
            known = 1 <= number <= len(self.dates.get(date, ()))
            if not known or entry.run != f"{date}-{number:03d}":
                yield f"expected the request of a recorded run, got that of {quote(entry.run)}"


def date_faults(
    story: Story,
    date: str,
    entries: Sequence[tuple[int, RunRecord | Verdict, bytes]],
    read: Reader,
) -> Iterator[Fault]:
    """Yield what is wrong with the entries of a date, each judged by those before it.

    Args:
        story: What follows from the entries.
        date: The date.
        entries: Its runs, proposals and verdicts in the order of the log: index, entry and bytes.
        read: Reads a table of a run's evidence.
    """
    before = DateRuns()
    allocated = _keeping_allocated(read)
    for index, entry, encoded in entries:
        if isinstance(entry, Verdict):
            where = f"{entry.type} of run {escape(entry.run)}"
            problems = verdict_problems(entry, before, read, allocated)
        else:
            where = f"run {entry.run}"
            problems = _run_problems(story, index, entry, before, date, read, allocated)
        if entry.previous != before.last_digest:
            problem = f"expected that it follows {before.last_digest}, got {entry.previous}"
            yield Fault(where=where, problem=problem)
        for problem in problems:
            yield Fault(where=where, problem=problem)
        before = DateRuns(entries=(*before.entries, entry), last_digest=digest_of(encoded))


def entry_name(index: int) -> str:
    """Return how faults name an entry."""
    return f"entry {index} of the log"


def _run_problems(
    story: Story,
    index: int,
    record: RunRecord,
    before: DateRuns,
    date: str,
    read: Reader,
    allocated: AllocatedBy,
) -> Iterator[str]:
    expected = f"{date}-{len(before.records) + 1:03d}"
    if record.run != expected:
        yield f"expected run {expected}, the next of its date, got {record.run}"
    charters = story.charters_before(index)
    if charters:
        digest, charter = charter_in_force(charters, record.business_date)
        if record.charter != digest:
            yield f"expected the charter {digest} that was in force, got {record.charter}"
        elif record.method != charter.method:
            yield f"expected the method and decisions of its charter, got {record.method.id}"
        elif charter.clearing_member not in ("", record.clearing_member):
            expected = f"the clearing member of its charter, {charter.clearing_member}"
            yield f"expected {expected}, got {record.clearing_member}"
        yield from proposal_problems(record, charter)
    yield from _naming_problems(record, before)
    if any(
        one.content_sha256 == record.content_sha256
        and before.state_of(one, record.recorded_at) not in (REJECTED, EXPIRED)
        for one in before.records
    ):
        yield "expected other content than that of the runs before it, got the same"
    yield from contradictions(record, before, read, allocated, record.recorded_at)


def _naming_problems(record: RunRecord, before: DateRuns) -> Iterator[str]:
    """Yield what is wrong with the runs that a run names."""
    if list(record.supersedes) != sorted(set(record.supersedes)):
        yield "expected the runs that it supersedes sorted, each once"
    if bool(record.supersedes) != (record.reason is not None):
        yield "expected a reason exactly if it supersedes a run"
    for run in record.rests_on:
        if not before.counts(run):
            yield str(RunNotFound(run))


def _keeping_allocated(read: Reader) -> AllocatedBy:
    """Return a function that says what a run has allocated, and reads the evidence of few twice."""
    kept: dict[str, Allocated] = {}
    room = _NOTICES_KEPT

    def allocated(record: RunRecord) -> Allocated:
        nonlocal room
        found = kept.get(record.run)
        if found is None:
            found = allocated_by(record, read)
            if len(found.notices) <= room:
                kept[record.run] = found
                room -= len(found.notices)
        return found

    return allocated


def _key_of(text: str | None) -> VerifierKey | str:
    """Return a public key, or what is wrong with it."""
    try:
        return VerifierKey.parse(text or "")
    except LotteryError as error:
        return str(error)
