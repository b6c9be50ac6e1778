"""Questions to the rows, within a transaction of a reader or of the writer.

What the rules rest on is proved and not looked up. The runs of a date are a chain by digest: two
indexes must name the same runs of it, each entry names the one before, and the last one is proved
to be in the signed tree.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from lottery.errors import REQUEST_ID_REUSED, Conflict, LedgerDamaged, RunNotFound, quote
from lottery.ledger import log
from lottery.ledger.draft import RecordedRun, RunKey
from lottery.ledger.entry import CHARTER, Charter, digest_of, read_entry, read_run
from lottery.ledger.run_record import RunRecord, Superseding, supersedings
from lottery.ledger.schema import ENTRIES, REQUESTS, RUNS
from lottery.tlog import merkle
from lottery.tlog.checkpoint import open_checkpoint


@dataclass(frozen=True, slots=True, kw_only=True)
class DateRuns:
    """The runs of a business date, in the order of recording.

    Attributes:
        records: Their records.
        last_digest: The SHA-256 of the last one's entry, None if there is none.
    """

    records: tuple[RunRecord, ...]
    last_digest: str | None

    def standing(self, superseding: Superseding) -> list[RunRecord]:
        """Return the runs that none supersedes, without those that are about to be superseded."""
        gone = {*self.superseded_by(), *superseding.runs}
        return [record for record in self.records if record.run not in gone]

    def until(self, run: str) -> DateRuns:
        """Return the runs of the date as they were when one of them was the last."""
        count = [record.run for record in self.records].index(run) + 1
        later = self.records[count:]
        digest = later[0].previous if later else self.last_digest
        return DateRuns(records=self.records[:count], last_digest=digest)

    def superseded_by(self) -> dict[str, str]:
        """Return every superseded run with the run that supersedes it."""
        return supersedings(self.records)

    def has(self, run: str) -> bool:
        """Return whether a run is one of them."""
        return any(record.run == run for record in self.records)


def runs_of_date(connection: sa.Connection, business_date: str) -> DateRuns:
    """Return the runs of a date, walked along their chain.

    Raises:
        LedgerDamaged: The chain is broken, or the indexes disagree about it.
    """
    by_date = (
        sa.select(RUNS.c.run, ENTRIES.c.entry)
        .join(ENTRIES, ENTRIES.c.log_index == RUNS.c.log_index)
        .where(RUNS.c.business_date == business_date)
        .order_by(RUNS.c.sequence)
    )
    rows = connection.execute(by_date).all()
    # A second index, of the ids: one that lost a run would let its notices in again.
    by_id = sa.select(RUNS.c.run).where(
        RUNS.c.run >= f"{business_date}-", RUNS.c.run < f"{business_date}."
    )
    names = set(connection.execute(by_id).scalars())
    records: list[RunRecord] = []
    previous = None
    for number, row in enumerate(rows, 1):
        encoded = bytes(row.entry)
        record = read_run(encoded)
        expected = (f"{business_date}-{number:03d}", previous)
        if (record.run, record.previous) != expected or row.run not in names:
            raise _broken(business_date, f"{expected[0]} after {previous}, got {record.run}")
        records.append(record)
        previous = digest_of(encoded)
    if len(names) != len(records):
        raise _broken(business_date, f"{len(names)} runs, got {len(records)}")
    return DateRuns(records=tuple(records), last_digest=previous)


def proved_runs_of_date(
    connection: sa.Connection, signer: log.Log, head: log.Head, business_date: str
) -> DateRuns:
    """Return the runs of a date, proved to be in the signed tree.

    Raises:
        LedgerDamaged: They are not.
    """
    found = runs_of_date(connection, business_date)
    if found.records:
        leaf_of(connection, signer, head, found.records[-1].run)
    return found


def leaf_of(
    connection: sa.Connection, signer: log.Log, head: log.Head, run: str
) -> tuple[int, bytes]:
    """Return a run's index in the log and its entry, proved to be in the signed tree.

    Raises:
        RunNotFound: There is no such run.
        LedgerDamaged: It is after the end of the signed tree.
        ProofInvalid: The entry is not in the tree.
    """
    index, encoded = stored_leaf(connection, run)
    size = head.tree_size
    if index >= size:
        raise LedgerDamaged(f"expected run {run} among {size} signed entries, got index {index}")
    signed = open_checkpoint(head.note, [signer.key_of(size)], origin=signer.origin).checkpoint
    merkle.verify_inclusion(
        index=index,
        size=size,
        leaf_hash=merkle.leaf_hash(encoded),
        proof=merkle.inclusion_proof(index, size, log.node_reader(connection, size, index)),
        root=signed.root,
    )
    return index, encoded


def stored_leaf(connection: sa.Connection, run: str) -> tuple[int, bytes]:
    """Return a run's index in the log and its entry; `latest` is the one recorded last.

    Raises:
        RunNotFound: There is no such run.
    """
    query = sa.select(RUNS.c.log_index, ENTRIES.c.entry).join(
        ENTRIES, ENTRIES.c.log_index == RUNS.c.log_index
    )
    if run == "latest":
        query = query.order_by(RUNS.c.log_index.desc()).limit(1)
    else:
        query = query.where(RUNS.c.run == run)
    row = connection.execute(query).first()
    if row is None:
        raise RunNotFound(run)
    return int(row.log_index), bytes(row.entry)


def recorded_run(connection: sa.Connection, key: RunKey) -> RecordedRun | None:
    """Return the run that a request, or another one with the same content, has recorded.

    Raises:
        Conflict: The request id has recorded another content.
    """
    run = connection.execute(
        sa.select(REQUESTS.c.run).where(REQUESTS.c.request_id == key.request_id)
    ).scalar()
    is_known = run is not None
    if run is None:
        run = connection.execute(
            sa.select(RUNS.c.run).where(RUNS.c.content_sha256 == key.content_sha256).limit(1)
        ).scalar()
    if run is None:
        return None
    record = read_run(stored_leaf(connection, run)[1])
    if record.content_sha256 != key.content_sha256:
        raise Conflict(
            REQUEST_ID_REUSED,
            f"the request id {quote(key.request_id)} has already recorded run {record.run} with "
            "other content; use another request id",
            run=record.run,
        )
    return RecordedRun(
        record=record,
        already_recorded=True,
        superseded_by=superseding_run(connection, record.run),
        is_named=is_known,
    )


def superseding_run(connection: sa.Connection, run: str) -> str | None:
    """Return the run that supersedes a run, or None if it is standing."""
    return runs_of_date(connection, run.rpartition("-")[0]).superseded_by().get(run)


def charters(connection: sa.Connection) -> list[tuple[str, Charter]]:
    """Return every charter with the SHA-256 of its entry, walked along their chain.

    Raises:
        LedgerDamaged: The chain is broken.
    """
    query = sa.select(ENTRIES.c.entry).where(ENTRIES.c.type == CHARTER)
    found: list[tuple[str, Charter]] = []
    for encoded in connection.execute(query.order_by(ENTRIES.c.log_index)).scalars():
        charter = read_entry(bytes(encoded))
        previous = found[-1][0] if found else None
        if not isinstance(charter, Charter) or charter.previous != previous:
            raise LedgerDamaged(f"expected a charter after {previous}, got another entry")
        found.append((digest_of(bytes(encoded)), charter))
    if not found:
        raise LedgerDamaged("expected a charter as the first entry, got none")
    return found


def charter_in_force(
    found: Sequence[tuple[str, Charter]], business_date: dt.date
) -> tuple[str, Charter]:
    """Return the charter that holds for a date, and its digest."""
    return [
        pair for pair in found if pair[1].holds_from is None or pair[1].holds_from <= business_date
    ][-1]


def _broken(business_date: str, what: str) -> LedgerDamaged:
    return LedgerDamaged(
        f"the runs of {business_date} are not a chain: expected {what}; nothing is recorded; "
        "lottery verify says what is wrong"
    )
