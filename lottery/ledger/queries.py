"""Questions to the rows, within a transaction of a reader or of the writer.

What the rules rest on is proved and not looked up. The entries of a date are a chain by digest: two
indexes must name the same ones of it, each names the one before, and the last one is proved to be
in the signed tree.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import sqlalchemy as sa

from lottery.errors import REQUEST_ID_REUSED, Conflict, LedgerDamaged, RunNotFound, quote
from lottery.ledger import log
from lottery.ledger.date_runs import DateRuns, described
from lottery.ledger.draft import RecordedRun, RunKey
from lottery.ledger.entry import CHARTER, Charter, digest_of, read_entry, read_run
from lottery.ledger.four_eyes import APPROVAL, PROPOSAL, Proposal, Verdict
from lottery.ledger.run_record import RUN, RunRecord
from lottery.ledger.schema import ENTRIES, REQUESTS, RUNS, VERDICTS
from lottery.tlog import merkle
from lottery.tlog.checkpoint import open_checkpoint


def runs_of_date(connection: sa.Connection, business_date: str) -> DateRuns:
    """Return the runs of a date, walked along their chain.

    Raises:
        LedgerDamaged: The chain is broken, or the indexes disagree about it.
    """
    return _chain(connection, business_date)[0]


def proved_runs_of_date(
    connection: sa.Connection, signer: log.Log, head: log.Head, business_date: str
) -> DateRuns:
    """Return the runs of a date, proved to be in the signed tree.

    Raises:
        LedgerDamaged: They are not.
        ProofInvalid: The last entry of the date is not in the tree.
    """
    found, last = _chain(connection, business_date)
    if last is not None:
        _prove(connection, signer, head, last)
    return found


def _chain(connection: sa.Connection, business_date: str) -> tuple[DateRuns, sa.Row[Any] | None]:
    """Return the runs of a date, and the row of its last entry.

    Raises:
        LedgerDamaged: As `runs_of_date`.
    """
    by_date = sa.union_all(
        *(
            sa.select(table.c.run, number.label("number"), table.c.log_index, ENTRIES.c.entry)
            .join(ENTRIES, ENTRIES.c.log_index == table.c.log_index)
            .where(table.c.business_date == business_date)
            for table, number in ((RUNS, RUNS.c.sequence), (VERDICTS, sa.literal(0)))
        )
    )
    rows = sorted(connection.execute(by_date).all(), key=lambda row: row.log_index)
    # A second index, of the ids: one that lost a run would let its notices in again.
    by_id = sa.union_all(
        *(
            sa.select(sa.literal(table.name), table.c.run).where(
                table.c.run >= f"{business_date}-", table.c.run < f"{business_date}."
            )
            for table in (RUNS, VERDICTS)
        )
    )
    names = {tuple(row) for row in connection.execute(by_id)}
    entries: list[RunRecord | Verdict] = []
    previous = None
    count = 0
    for row in rows:
        encoded = bytes(row.entry)
        entry = read_entry(encoded)
        if isinstance(entry, RunRecord):
            count += 1
            table, run, number = RUNS, f"{business_date}-{count:03d}", count
        elif isinstance(entry, Verdict):
            table, run, number = VERDICTS, entry.run, 0
        else:
            raise _broken(business_date, f"a run or a verdict, got an entry {entry.type}")
        got = (entry.run, entry.previous, row.run, row.number)
        if got != (run, previous, run, number) or (table.name, run) not in names:
            raise _broken(business_date, f"{run} after {previous}, got {entry.run}")
        entries.append(entry)
        previous = digest_of(encoded)
    if len(names) != len(entries):
        raise _broken(business_date, f"{len(names)} entries, got {len(entries)}")
    found = DateRuns(entries=tuple(entries), last_digest=previous)
    return found, rows[-1] if rows else None


def _prove(connection: sa.Connection, signer: log.Log, head: log.Head, row: sa.Row[Any]) -> None:
    """Prove that an entry is in the signed tree.

    Raises:
        LedgerDamaged: It is after the end of the signed tree.
        ProofInvalid: It is not in the tree.
    """
    index, size = row.log_index, head.tree_size
    if index >= size:
        raise LedgerDamaged(
            f"expected run {row.run} among {size} signed entries, got index {index}"
        )
    signed = open_checkpoint(head.note, [signer.key_of(size)], origin=signer.origin).checkpoint
    merkle.verify_inclusion(
        index=index,
        size=size,
        leaf_hash=merkle.leaf_hash(bytes(row.entry)),
        proof=merkle.inclusion_proof(index, size, log.node_reader(connection, size, index)),
        root=signed.root,
    )


def stored_leaf(connection: sa.Connection, run: str) -> tuple[int, bytes]:
    """Return a run's index in the log and its entry; `latest` is the last one that counts.

    Raises:
        RunNotFound: There is no such run.
    """
    name = _latest(connection) if run == "latest" else run
    query = sa.select(RUNS.c.log_index, ENTRIES.c.entry).join(
        ENTRIES, ENTRIES.c.log_index == RUNS.c.log_index
    )
    row = connection.execute(query.where(RUNS.c.run == name)).first()
    if row is None:
        raise RunNotFound(run)
    return int(row.log_index), bytes(row.entry)


def stored_approval(connection: sa.Connection, run: str) -> tuple[int, bytes] | None:
    """Return the index of a proposal's approval in the log and its entry, if it has one."""
    query = sa.select(VERDICTS.c.log_index, ENTRIES.c.entry).join(
        ENTRIES, ENTRIES.c.log_index == VERDICTS.c.log_index
    )
    of_run = query.where(VERDICTS.c.run == run, ENTRIES.c.type == APPROVAL)
    row = connection.execute(of_run).first()
    return None if row is None else (int(row.log_index), bytes(row.entry))


def _latest(connection: sa.Connection) -> str | None:
    """Return the run that came to count last: by its own entry, or by its approval."""
    last = [
        connection.execute(
            sa.select(table.c.log_index, table.c.run)
            .join(ENTRIES, ENTRIES.c.log_index == table.c.log_index)
            .where(ENTRIES.c.type == kind)
            .order_by(table.c.log_index.desc())
            .limit(1)
        ).first()
        for table, kind in ((RUNS, RUN), (VERDICTS, APPROVAL))
    ]
    found = max((row for row in last if row is not None), key=lambda row: row[0], default=None)
    return None if found is None else str(found.run)


def recorded_run(connection: sa.Connection, key: RunKey, now: str) -> RecordedRun | None:
    """Return the run that a request, or another one with the same content, has recorded.

    A proposal that was rejected or has expired answers the request that recorded it, and no other:
    the same content can be proposed again.

    Args:
        connection: The connection.
        key: What makes the run recorded only once.
        now: The time, UTC (RFC 3339).

    Raises:
        Conflict: The request id has recorded another content.
    """
    run = connection.execute(
        sa.select(REQUESTS.c.run).where(REQUESTS.c.request_id == key.request_id)
    ).scalar()
    is_known = run is not None
    if run is None:
        same = sa.select(RUNS.c.run).where(RUNS.c.content_sha256 == key.content_sha256)
        run = connection.execute(same.order_by(RUNS.c.log_index.desc()).limit(1)).scalar()
    if run is None:
        return None
    record = read_run(stored_leaf(connection, run)[1])
    found = described(runs_of_date(connection, record.business_date.isoformat()), record, now)
    if found.record.content_sha256 != key.content_sha256:
        raise Conflict(
            REQUEST_ID_REUSED,
            f"the request id {quote(key.request_id)} has already recorded run {run} with "
            "other content; use another request id",
            run=run,
        )
    if found.is_over and not is_known:
        return None
    return replace(found, is_named=is_known)


def waiting_proposals(connection: sa.Connection, now: str) -> list[Proposal]:
    """Return the proposals of all dates that can be approved, in the order of recording.

    Args:
        connection: The connection.
        now: The time, UTC (RFC 3339).
    """
    undecided = (
        sa.select(RUNS.c.business_date)
        .join(ENTRIES, ENTRIES.c.log_index == RUNS.c.log_index)
        .outerjoin(VERDICTS, VERDICTS.c.run == RUNS.c.run)
        .where(ENTRIES.c.type == PROPOSAL, VERDICTS.c.run.is_(None))
        .distinct()
        .order_by(RUNS.c.business_date)
    )
    dates = connection.execute(undecided).scalars().all()
    return [one for date in dates for one in runs_of_date(connection, date).waiting(now)]


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
