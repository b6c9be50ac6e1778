"""The runs of a business date: what counts of them, what waits, and what stands.

A run counts from its own entry on, a proposal from its approval on. All of it is derived from the
entries of the date in their order, so that whoever has these can derive it again.
"""

from __future__ import annotations

from dataclasses import dataclass

from lottery.errors import NOT_APPROVED, Conflict, RunNotFound
from lottery.ledger.draft import RecordedRun
from lottery.ledger.four_eyes import EXPIRED, PROPOSED, REJECTED, Proposal, Verdict
from lottery.ledger.run_record import RunRecord, Superseding, supersedings


@dataclass(frozen=True, slots=True, kw_only=True)
class DateRuns:
    """The entries of a business date, in the order of recording.

    Attributes:
        entries: Its runs, proposals and verdicts: each names the one before it.
        last_digest: The SHA-256 of the last one, None if there is none.
    """

    entries: tuple[RunRecord | Verdict, ...] = ()
    last_digest: str | None = None

    @property
    def records(self) -> tuple[RunRecord, ...]:
        """Every run and proposal."""
        return tuple(entry for entry in self.entries if isinstance(entry, RunRecord))

    @property
    def verdicts(self) -> dict[str, Verdict]:
        """The verdicts, each by its proposal."""
        return {entry.run: entry for entry in self.entries if isinstance(entry, Verdict)}

    def counting(self) -> list[RunRecord]:
        """Return the runs that count, superseded ones too, in the order in which they came to."""
        by_run = {record.run: record for record in self.records}
        return [by_run[run] for entry in self.entries if (run := _counts_from(entry)) is not None]

    def standing(self, superseding: Superseding) -> list[RunRecord]:
        """Return the runs that none supersedes, without those that are about to be superseded."""
        gone = {*self.superseded_by(), *superseding.runs}
        return [record for record in self.counting() if record.run not in gone]

    def waiting(self, now: str) -> list[Proposal]:
        """Return the proposals that can be approved at a time, UTC (RFC 3339)."""
        proposals = (record for record in self.records if isinstance(record, Proposal))
        return [one for one in proposals if self.state_of(one, now) == PROPOSED]

    def state_of(self, record: RunRecord, now: str) -> str:
        """Return the state of one of them: what it is until it is approved, or its own state."""
        verdict = self.verdicts.get(record.run)
        if not isinstance(record, Proposal) or (verdict is not None and verdict.is_approval):
            return record.state
        if verdict is not None:
            return REJECTED
        return PROPOSED if now < record.expires_at else EXPIRED

    def until(self, run: str) -> DateRuns:
        """Return the date as it was when a run that counts was the last one that had come to.

        Raises:
            RunNotFound: It is not one of them.
            Conflict: It is a proposal that is not approved.
        """
        self.refuse_uncounted(run)
        count = [_counts_from(entry) for entry in self.entries].index(run) + 1
        later = self.entries[count:]
        digest = later[0].previous if later else self.last_digest
        return DateRuns(entries=self.entries[:count], last_digest=digest)

    def superseded_by(self) -> dict[str, str]:
        """Return every superseded run with the run that supersedes it."""
        return supersedings(self.counting())

    def counts(self, run: str) -> bool:
        """Return whether a run is one of them, and needs no approval or has it."""
        return any(_counts_from(entry) == run for entry in self.entries)

    def refuse_uncounted(self, run: str) -> None:
        """Refuse a run that does not count.

        Raises:
            RunNotFound: It is not one of them.
            Conflict: It is a proposal that is not approved.
        """
        if self.counts(run):
            return
        if all(record.run != run for record in self.records):
            raise RunNotFound(run)
        raise Conflict(
            NOT_APPROVED,
            f"run {run} is a proposal that is not approved, and counts for nobody; lottery show "
            f"{run} shows it",
            run=run,
        )


def _counts_from(entry: RunRecord | Verdict) -> str | None:
    """Return the run that counts from an entry on, if one does."""
    if isinstance(entry, Verdict):
        return entry.run if entry.is_approval else None
    return None if isinstance(entry, Proposal) else entry.run


def described(runs: DateRuns, record: RunRecord, now: str) -> RecordedRun:
    """Return a recorded run with what became of it, without its breaks.

    Args:
        runs: The runs of its date.
        record: The run.
        now: The time, UTC (RFC 3339).
    """
    return RecordedRun(
        record=record,
        state=runs.state_of(record, now),
        already_recorded=True,
        superseded_by=runs.superseded_by().get(record.run),
        verdict=runs.verdicts.get(record.run),
    )
