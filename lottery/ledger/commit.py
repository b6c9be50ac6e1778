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

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Final, TypeVar, cast

import sqlalchemy as sa

from lottery.day.assigned_pools import pooled
from lottery.errors import (
    ConnectionLost,
    KeyUnusable,
    LedgerBusy,
    LedgerDamaged,
    LedgerUnfinished,
    LotteryError,
    Problem,
    Refused,
    StandingChanged,
)
from lottery.ledger import evidence, log, queries
from lottery.ledger.draft import Place, RecordedRun, RunDraft, RunKey, finished_record
from lottery.ledger.entry import (
    Activity,
    Charter,
    Entry,
    NamedRequest,
    NextKey,
    another_member,
    canonical,
)
from lottery.ledger.ports import Clock, Objects, Ports, writing_to
from lottery.ledger.publish import publish, published_size, refuse_other_history
from lottery.ledger.queries import DateRuns
from lottery.ledger.reader import LedgerReader
from lottery.ledger.rules import refuse_conflicts, standing_after
from lottery.ledger.run_record import (
    SOFTWARE,
    EvidenceFile,
    Identity,
    MethodRecord,
    RunRecord,
    evidence_folder,
)
from lottery.ledger.signing import find_key, take_key
from lottery.ledger.witnessing import Warn, cosign_head
from lottery.tlog.keys import SigningKey, VerifierKey
from lottery.tlog.policy import Policy

ATTEMPTS: Final = 5
"""How often a write is tried whose connection is lost."""

_Answer = TypeVar("_Answer")
Compose = Callable[[sa.Connection, log.Log, log.Head], "Entry | _Answer"]
"""Returns the entry to add, or the answer of a write that has nothing to add."""


class Ledger(LedgerReader):
    """A ledger, for reading and writing.

    Args:
        ports: Where it is.
        key_file: The file of the log's private key.
        archive: A second place for all that is published, or None.
        archives_first: Whether a write is answered only once it is archived.
        witnesses: The policy of the witnesses that are asked to cosign, or None.
        warn: Receives what deserves attention and stops nothing.
    """

    def __init__(
        self,
        ports: Ports,
        *,
        key_file: Path,
        archive: Objects | None = None,
        archives_first: bool = True,
        witnesses: Policy | None = None,
        warn: Warn = lambda _: None,
    ) -> None:
        super().__init__(ports)
        self._witnesses = witnesses
        self._warn = warn
        self.key_file = key_file
        self.archive = archive
        self._archives_first = archives_first

    def record(
        self,
        draft: RunDraft,
        key: RunKey,
        *,
        proceed: Callable[[], None] | None = None,
    ) -> RecordedRun:
        """Record a run, or return what a repeated request has recorded.

        Args:
            draft: The run.
            key: What makes it recorded only once.
            proceed: Called right before the run is inserted; raises to record nothing.

        Raises:
            Conflict: The run contradicts what is recorded.
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
            # Of one state: where this very run is one of the date's, it is known.
            known = queries.recorded_run(connection, key)
            signer = log.read_log(connection)
            runs = queries.runs_of_date(connection, draft.business_date.isoformat())
        if known is not None and known.is_named:
            self.publish()  # What answers a request must be published too.
            return self._with_breaks(known)
        # Without the key nothing is recorded, and then no evidence is left either.
        find_key(self.key_file, signer.key)
        checked = () if known is not None else self._check_standing(runs, draft)
        files = () if known is not None else self._put_evidence(draft)

        def compose(
            connection: sa.Connection, signer: log.Log, head: log.Head
        ) -> RunRecord | NamedRequest | RecordedRun:
            found = queries.recorded_run(connection, key)
            if found is not None:
                return found if found.is_named else self._named(found, draft, key)
            if known is not None:  # A database that lost it took over; no evidence was put.
                raise LedgerDamaged(
                    f"expected run {known.record.run}, which was recorded, got none in "
                    f"{self.ports.database.place}: the database is an older copy of itself; "
                    "nothing is recorded; restore the one that was in use"
                )
            record = self._place(connection, signer, head, draft, key, files, checked)
            self._refuse_swept(record)
            if proceed is not None:
                proceed()
            return record

        done = self._append(compose)
        if isinstance(done, RecordedRun):
            return self._with_breaks(done)
        if isinstance(done, NamedRequest):
            found = self.known(key)
            assert found is not None, "the entry that names it is committed"  # noqa: S101
            return self._with_breaks(found)
        record = cast("RunRecord", done)
        return RecordedRun(record=record, already_recorded=False, breaks=draft.day.breaks)

    def enter(self, kind: str, subject: str, outcome: str, by: Identity) -> None:
        """Record what somebody did with the record, as an entry of the log.

        Args:
            kind: A type of `entry.Activity`.
            subject: A run, a range of dates, or the ledger.
            outcome: How it ended, in a few words.
            by: The requester.

        Raises:
            LedgerBusy: Another process holds the write lock.
            LedgerUnwritable: The ledger cannot be written.
            KeyUnusable: The log's key is not available.
        """
        self._append(
            lambda *_: Activity(
                type=kind,  # type: ignore[arg-type]
                subject=subject,
                outcome=outcome,
                requested_by=by,
                recorded_at=rfc3339(self.ports.clock),
                software=SOFTWARE,
            )
        )

    def amend(
        self,
        make: Callable[[Charter], Charter],
        refuse: Callable[[sa.Connection, Charter], None],
    ) -> Charter:
        """Add a charter after the last one.

        Args:
            make: Returns the new charter, given the last one.
            refuse: Refuses a charter that contradicts what is recorded.
        """

        def compose(connection: sa.Connection, *_: object) -> Charter:
            digest, last = queries.charters(connection)[-1]
            charter = replace(make(last), previous=digest, recorded_at=rfc3339(self.ports.clock))
            refuse(connection, charter)
            return charter

        return cast("Charter", self._append(compose))

    def rotate(self, next_key: VerifierKey, by: Identity) -> NextKey:
        """Name the log's next key, in an entry whose head the present key signs.

        Args:
            next_key: The next key, under the log's origin.
            by: The requester.

        Raises:
            KeyUnusable: The key has another name, or is the log's already.
        """

        def compose(_: sa.Connection, signer: log.Log, head: log.Head) -> NextKey:
            if next_key.name != signer.origin:
                raise KeyUnusable(
                    f"expected a key of the name {signer.origin}, got {next_key.name}"
                )
            if any(next_key == known for _, known in signer.keys):
                raise KeyUnusable(f"expected a new key, got {next_key}, which the log has had")
            return NextKey(
                public_key=str(next_key),
                signs_from=head.tree_size + 2,
                requested_by=by,
                recorded_at=rfc3339(self.ports.clock),
                software=SOFTWARE,
            )

        return cast("NextKey", self._append(compose))

    def publish(self) -> int:
        """Publish what is committed and not published, and archive it if there is an archive.

        Returns:
            The published size of the log.

        Raises:
            LedgerUnfinished: The objects cannot be written now.
            LedgerDamaged: Another history is published there.
        """
        return self._publish_all()

    def _publish_all(self, *, is_behind: bool = False) -> int:
        size = self._published(self.ports.objects, None, is_behind=is_behind)
        if self.archive is not None and self._archives_first:
            self._published(self.archive, self.ports.objects, is_behind=is_behind)
        return size

    def publish_archive(self) -> int:
        """Bring the archive to what is committed; return its size."""
        assert self.archive is not None, "the caller has one"  # noqa: S101
        return self._published(self.archive, self.ports.objects)

    def _published(
        self, objects: Objects, source: Objects | None, *, is_behind: bool = False
    ) -> int:
        try:
            if not is_behind:  # It may be, which is seen without a lock.
                with self.reading() as connection:
                    size = log.read_size(connection)
                if size == published_size(objects):
                    return size
            with self.ports.database.publishing() as connection:
                self.own_log(connection)
                return publish(connection, objects, source=source)
        except (OSError, LedgerBusy, ConnectionLost) as error:
            raise LedgerUnfinished(
                f"{objects.place}: {error}; what was recorded is committed and not published yet; "
                "the same command, or the next write, publishes it"
            ) from error

    def _append(self, compose: Compose[_Answer]) -> Entry | _Answer:
        """Add the entry that `compose` returns, under the writer's lock, and publish.

        A connection that is lost while it commits leaves open whether it did. The lock is not got
        again before the old transaction is over: then the entry is where it was to be, or nowhere.
        """
        if self._witnesses is not None:  # One that is ahead is found before anything is signed.
            self._cosign(self._witnesses)
        lost: ConnectionLost | None = None
        tried: dict[int, Entry] = {}
        for _ in range(ATTEMPTS):
            try:
                with self.ports.database.writing() as connection:
                    done = self._append_within(connection, compose, tried)
                break
            except ConnectionLost as error:
                lost = error
        else:
            assert lost is not None, "there was an attempt"  # noqa: S101
            raise lost
        self._publish_all(is_behind=isinstance(done, Entry))
        if self._witnesses is not None:
            self._cosign(self._witnesses)
        return done

    def _cosign(self, policy: Policy) -> None:
        try:
            cosign_head(self.ports, policy, self._warn)
        except (OSError, LedgerBusy, ConnectionLost) as error:
            self._warn(f"the cosigned head is not published: {error}")

    def _append_within(
        self, connection: sa.Connection, compose: Compose[_Answer], tried: dict[int, Entry]
    ) -> Entry | _Answer:
        """Add an entry, unless one that was tried before is committed; what is tried is noted."""
        signer = self.own_log(connection)
        head = log.read_head(connection, signer)
        for index, entry in tried.items():
            if index < head.tree_size and log.entries_between(connection, index, index + 1) == [
                canonical(entry)
            ]:
                return entry
        composed = compose(connection, signer, head)
        if not isinstance(composed, Entry):
            return composed
        key = take_key(self.key_file, signer.key)
        encoded = canonical(composed)
        with writing_to(self.ports.objects):
            refuse_other_history(self.ports.objects, head)
        tried[head.tree_size] = composed
        log.append(connection, signer, head, composed, encoded, key)
        return composed

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

    def _check_standing(self, runs: DateRuns, draft: RunDraft) -> tuple[str, ...]:
        """Check the runs that stand before the lock is held; return their ids."""
        standing = standing_after(runs, draft.superseding, draft.business_date.isoformat())
        self._refuse_conflicts(standing, draft)
        return tuple(record.run for record in standing)

    def _place(
        self,
        connection: sa.Connection,
        signer: log.Log,
        head: log.Head,
        draft: RunDraft,
        key: RunKey,
        files: tuple[EvidenceFile, ...],
        checked: tuple[str, ...],
    ) -> RunRecord:
        """Return a draft's record, once every rule is checked against what is proved to stand.

        Raises:
            Conflict: It contradicts what is recorded.
            RunNotFound: A run that it supersedes is not recorded.
            Refused: A run that it supersedes is of another date, or its decisions are not those of
                the charter.
            StandingChanged: What it rests on has been superseded, or a pool of it was drawn since.
        """
        date = draft.business_date.isoformat()
        runs = queries.proved_runs_of_date(connection, signer, head, date)
        standing = standing_after(runs, draft.superseding, date)
        self._refuse_conflicts([one for one in standing if one.run not in checked], draft)
        if not {one.run for one in standing}.issuperset(draft.rests_on):
            raise StandingChanged(f"a run of {date} was superseded in the meantime; try again")
        charter_digest, charter = queries.charter_in_force(
            queries.charters(connection), draft.business_date
        )
        method = MethodRecord.of(draft.methodology)
        if charter.method != method:
            raise Refused([_undecided(charter.method, method)])
        if charter.clearing_member not in ("", draft.clearing_member):
            raise Refused([another_member(charter.clearing_member, draft.clearing_member)])
        place = Place(
            run=f"{date}-{len(runs.records) + 1:03d}",
            previous=runs.last_digest,
            charter=charter_digest,
            recorded_at=rfc3339(self.ports.clock),
        )
        return finished_record(draft, key, place, files)

    def _refuse_conflicts(self, standing: list[RunRecord], draft: RunDraft) -> None:
        refuse_conflicts(
            standing,
            self.read,
            seed=draft.seed,
            notices=pooled(draft.notices, draft.methodology.pool),
            pools=draft.day.pools,
            rests_on=draft.rests_on,
        )

    def _named(self, found: RecordedRun, draft: RunDraft, key: RunKey) -> NamedRequest:
        """Return the entry of a further request id of a recorded run."""
        return NamedRequest(
            request_id=key.request_id,
            run=found.record.run,
            requested_by=draft.requested_by,
            recorded_at=rfc3339(self.ports.clock),
            software=SOFTWARE,
        )

    def _with_breaks(self, found: RecordedRun) -> RecordedRun:
        """Return a known run with its breaks."""
        return replace(found, breaks=self.breaks_of(found.record))


def make_ledger(ports: Ports, charter: Charter, key: SigningKey) -> None:
    """Make a ledger: its tables, and its charter as the first entry of its log.

    Nothing else makes one. Where there is one with this very charter already, but for its time, it
    is left as it is.

    Args:
        ports: Where it is to be.
        charter: Its charter, with the key's name as origin and the public key.
        key: The log's private key.

    Raises:
        Refused: A ledger with another charter is there.
        LedgerDamaged: Files of a ledger are there, whose database is not.
        LedgerUnwritable: It cannot be written.
    """
    with writing_to(ports.objects), ports.database.make() as connection:
        if log.read_size(connection):
            there = queries.charters(connection)[0][1]
            if (
                replace(
                    there,
                    requested_by=charter.requested_by,
                    recorded_at=charter.recorded_at,
                    software=charter.software,
                )
                != charter
            ):
                raise _already_made(ports)
            return
        refuse_other_history(ports.objects, log.EMPTY)
        signer = log.Log(origin=charter.origin, keys=((1, key.verifier),))
        log.append(connection, signer, log.EMPTY, charter, canonical(charter), key)


def rfc3339(clock: Clock) -> str:
    """Return the present time in UTC with microseconds (RFC 3339)."""
    return clock().isoformat(timespec="microseconds").replace("+00:00", "Z")


def _already_made(ports: Ports) -> LotteryError:
    message = (
        f"there is a ledger with another charter at {ports.database.place}; lottery charter shows "
        "it, and lottery charter amend changes it"
    )
    return Refused([Problem(source="charter", message=message)])


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
