"""The ledger: one log, one place that decides, files that anybody can read.

    LEDGER/log/...                 the published log (`publish`)
    LEDGER/evidence/DATE/DIGEST/   the files of a run, named after their content (`evidence`)
    LEDGER/ledger.db               SQLite: what decides; or PostgreSQL, elsewhere (`schema`)
    LEDGER/signing.key             the log's private key, unless it is kept elsewhere

SQL alone decides order and conflicts, in one transaction; objects never decide. A write puts its
evidence, takes the writer's lock, answers what is known, checks every rule against what stands,
refuses to sign a second history, inserts the entry with its signed head, commits, and publishes.

Invariants:
- Acknowledged is: committed and published.
- A process that is killed leaves nothing to recover: what is committed is published by whoever
  comes next, and evidence that no entry names is removed by `lottery sweep`.
- A run is recorded whole or not at all: its evidence is durable before its entry is inserted, and
  readers start from the entry.
- No notice is allocated twice, no pool is drawn twice on a date (P6), a date
  has one seed, a request id has one content, and a run is superseded at most once. All of this is
  checked under the lock that the insert needs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import cast

import sqlalchemy as sa

from lottery.errors import Hold, LedgerBusy, LedgerDamaged, Problem, Refused
from lottery.ledger import evidence, log, queries
from lottery.ledger.claim import Claim, claim_of_draft
from lottery.ledger.date_runs import DateRuns
from lottery.ledger.draft import Place, RecordedRun, RunDraft, RunKey, finished_record
from lottery.ledger.entry import NamedRequest, another_member
from lottery.ledger.four_eyes import PROPOSED, Proposal, expiry
from lottery.ledger.holds import acknowledged, holds_by_record, holds_of_run
from lottery.ledger.log_writer import LogWriter
from lottery.ledger.ports import writing_to
from lottery.ledger.rules import judge
from lottery.ledger.run_record import (
    SOFTWARE,
    EvidenceFile,
    MethodRecord,
    RunRecord,
    evidence_folder,
)
from lottery.ledger.signing import find_key


@dataclass(frozen=True, slots=True, kw_only=True)
class _Seen:
    """What a draft is judged by without the lock, and is not again under it; all of one state.

    Attributes:
        claim: What it claims.
        runs: The runs of its date.
        holds: What holds it.
        notice_keys: The keys of its notices.
        tree_size: The size of the log.
    """

    claim: Claim
    runs: DateRuns
    holds: tuple[Hold, ...]
    notice_keys: Sequence[int]
    tree_size: int


class Ledger(LogWriter):
    """A ledger, for reading and recording; see `LogWriter`."""

    def record(
        self,
        draft: RunDraft,
        key: RunKey,
        *,
        proceed: Callable[[], None] | None = None,
    ) -> RecordedRun:
        """Record a run, or return what a repeated request has recorded.

        Where the charter has four eyes, what is recorded is a proposal.

        Args:
            draft: The run.
            key: What makes it recorded only once.
            proceed: Called right before the run is inserted; raises to record nothing.

        Raises:
            Conflict: The run contradicts what is recorded.
            Held: It is held, and that is not acknowledged (H1).
            RunNotFound: A run that it supersedes is not recorded.
            Refused: A run that it supersedes is of another date, or its decisions are not those of
                the charter.
            LedgerBusy: Another process holds the write lock.
            StandingChanged: What it rests on has been superseded, or a pool of it was drawn since.
            LedgerUnwritable: The evidence cannot be written.
            LedgerUnfinished: The run is committed, but cannot be published now.
            LedgerDamaged: The ledger is not what was signed; nothing more is recorded.
        """
        with self.reading() as connection:
            known = queries.recorded_run(connection, key, self.now())
            seen = self._seen(connection, draft) if known is None else None
            signer = log.read_log(connection)
        if known is not None and known.is_named:
            self.publish()  # What answers a request must be published too.
            return self._with_breaks(known)
        # Without the key nothing is recorded, and then no evidence is left either.
        find_key(self.key_file, signer.key)
        files: tuple[EvidenceFile, ...] = ()
        if seen is not None:
            self._judge(draft, seen)
            files = self._put_evidence(draft)

        def compose(
            connection: sa.Connection, signer: log.Log, head: log.Head
        ) -> RunRecord | NamedRequest | RecordedRun:
            found = queries.recorded_run(connection, key, self.now())
            if found is not None:
                return found if found.is_named else self._named(found, draft, key)
            if seen is None:  # A database that lost it took over; no evidence was put.
                assert known is not None, "otherwise it was judged"  # noqa: S101
                raise LedgerDamaged(
                    f"expected run {known.record.run}, which was recorded, got none in "
                    f"{self.ports.database.place}: the database is an older copy of itself; "
                    "nothing is recorded; restore the one that was in use"
                )
            record = self._place(connection, signer, head, draft, key, files, seen)
            self._refuse_swept(record)
            if proceed is not None:
                proceed()
            log.add_notices(connection, head.tree_size, seen.notice_keys)
            return record

        done = self.append(compose)
        if isinstance(done, RecordedRun):
            return self._with_breaks(done)
        if isinstance(done, NamedRequest):
            found = self.known(key)
            assert found is not None, "the entry that names it is committed"  # noqa: S101
            return self._with_breaks(found)
        return _new(cast("RunRecord", done), draft)

    def rehearse(self, draft: RunDraft, key: RunKey) -> RecordedRun:
        """Return what `record` would, or raise what it would; nothing is recorded.

        Returns:
            The run as it would be recorded now, without evidence; or the one that is recorded.
        """
        with self.reading() as connection:
            known = queries.recorded_run(connection, key, self.now())
            if known is None:
                seen = self._seen(connection, draft)
                self._judge(draft, seen)
                signer = log.read_log(connection)
                head = log.read_head(connection, signer)
                record = self._place(connection, signer, head, draft, key, (), seen)
        if known is not None:
            return self._with_breaks(known)
        return replace(_new(record, draft), is_rehearsed=True)

    def holds(self, draft: RunDraft) -> tuple[Hold, ...]:
        """Return what holds a run as things stand, acknowledged or not (H1).

        Raises:
            LedgerDamaged: The evidence of a run is not what was recorded.
        """
        with self.reading() as connection:
            return self._holds(
                connection, draft, claim_of_draft(draft), log.notice_keys(draft.notices)
            )

    def _holds(
        self, connection: sa.Connection, draft: RunDraft, claim: Claim, notice_keys: Sequence[int]
    ) -> tuple[Hold, ...]:
        _, charter = queries.charter_in_force(queries.charters(connection), draft.business_date)
        return (
            *holds_of_run(draft, charter, self.ports.clock()),
            *holds_by_record(connection, self.read, claim, notice_keys),
        )

    def _put_evidence(self, draft: RunDraft) -> tuple[EvidenceFile, ...]:
        """Write the evidence; its folder is its content, so that a second try writes the same.

        Raises:
            LedgerUnwritable: It cannot be written.
        """
        objects = self.ports.objects
        with writing_to(objects), objects.staging() as staged:
            files = evidence.write_evidence(staged, draft)
            objects.take(staged, evidence_folder(draft.business_date, files))
        return files

    def _refuse_swept(self, record: RunRecord) -> None:
        """Refuse to name evidence that is gone: a sweep took it for what a killed process left.

        Raises:
            LedgerBusy: It is; the same call writes it again.
            LedgerUnwritable: The objects cannot be read.
        """
        objects = self.ports.objects
        with writing_to(objects):
            there = {found.name for found in objects.list(record.folder)}
        if not there.issuperset(f"{record.folder}/{file.name}" for file in record.evidence):
            raise LedgerBusy(f"the evidence in {record.folder} was removed by lottery sweep")

    def _seen(self, connection: sa.Connection, draft: RunDraft) -> _Seen:
        notice_keys = log.notice_keys(draft.notices)
        claim = claim_of_draft(draft)
        return _Seen(
            claim=claim,
            runs=queries.runs_of_date(connection, draft.business_date.isoformat()),
            holds=self._holds(connection, draft, claim, notice_keys),
            notice_keys=notice_keys,
            tree_size=log.read_size(connection),
        )

    def _judge(self, draft: RunDraft, seen: _Seen) -> None:
        """Judge a draft before its evidence is written, without the lock.

        Raises:
            Conflict: It contradicts what is recorded.
            Held: It is held, and that is not acknowledged.
            StandingChanged: As `_place`.
        """
        judge(seen.claim, seen.runs, self.allocated, self.now())
        acknowledged(draft, seen.holds)

    def _place(
        self,
        connection: sa.Connection,
        signer: log.Log,
        head: log.Head,
        draft: RunDraft,
        key: RunKey,
        files: tuple[EvidenceFile, ...],
        seen: _Seen,
    ) -> RunRecord:
        """Return a draft's record, once every rule is checked against what is proved to stand.

        Raises:
            Conflict: It contradicts what is recorded.
            Held: It is held, and that is not acknowledged.
            RunNotFound: A run that it supersedes is not recorded.
            Refused: A run that it supersedes is of another date, or its decisions are not those of
                the charter.
            StandingChanged: What it rests on has been superseded, or a pool of it was drawn since.
        """
        date, now = draft.business_date.isoformat(), self.now()
        runs = queries.proved_runs_of_date(connection, signer, head, date)
        judge(seen.claim, runs, self.allocated, now, judged_by=seen.runs)
        charter_digest, charter = queries.charter_in_force(
            queries.charters(connection), draft.business_date
        )
        method = MethodRecord.of(draft.methodology)
        if charter.method != method:
            raise Refused([_undecided(charter.method, method)])
        if charter.clearing_member not in ("", draft.clearing_member):
            raise Refused([another_member(charter.clearing_member, draft.clearing_member)])
        has_grown = head.tree_size != seen.tree_size
        holds = seen.holds
        if has_grown:
            holds = self._holds(connection, draft, seen.claim, seen.notice_keys)
        place = Place(
            run=f"{date}-{len(runs.records) + 1:03d}",
            previous=runs.last_digest,
            charter=charter_digest,
            recorded_at=now,
            acknowledgements=acknowledged(draft, holds),
            expires_at=expiry(now, charter.proposal_hours) if charter.four_eyes else None,
        )
        return finished_record(draft, key, place, files)

    def _named(self, found: RecordedRun, draft: RunDraft, key: RunKey) -> NamedRequest:
        """Return the entry of a further request id of a recorded run."""
        return NamedRequest(
            request_id=key.request_id,
            run=found.record.run,
            requested_by=draft.requested_by,
            recorded_at=self.now(),
            software=SOFTWARE,
        )

    def _with_breaks(self, found: RecordedRun) -> RecordedRun:
        """Return a known run with its breaks."""
        return replace(found, breaks=self.breaks_of(found.record))


def _new(record: RunRecord, draft: RunDraft) -> RecordedRun:
    """Return what was recorded of a draft, or would be."""
    state = PROPOSED if isinstance(record, Proposal) else record.state
    return RecordedRun(record=record, state=state, already_recorded=False, breaks=draft.day.breaks)


def _undecided(charter: MethodRecord, given: MethodRecord) -> Problem:
    """Return the problem of decisions that are not the charter's (C1)."""
    differing = ", ".join(
        f"{name} {charter.decisions.get(name)}, got {choice}"
        for name, choice in given.decisions.items()
        if charter.decisions.get(name) != choice
    )
    return Problem(
        source="decisions",
        message=f"expected those of the charter: {differing or charter.id}; lottery charter amend "
        "changes them for later dates",
        rule="C1",
    )
