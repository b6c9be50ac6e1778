"""What the rows of the runs say: questions asked within a transaction, or by a reader."""

from __future__ import annotations

import sqlalchemy as sa

from lottery.errors import REQUEST_ID_REUSED, Conflict
from lottery.ledger.database import RUNS, SUPERSEDINGS
from lottery.ledger.run_record import RunRecord, Superseding, read_record


def known_run(connection: sa.Connection, request_id: str, content_sha256: str) -> RunRecord | None:
    """The run that a request or a content has recorded already.

    Raises:
        Conflict: The request id has recorded another content.
    """
    canonical = connection.execute(
        sa.select(RUNS.c.record).where(RUNS.c.request_id == request_id)
    ).scalar()
    if canonical is None:
        canonical = connection.execute(
            sa.select(RUNS.c.record).where(RUNS.c.content_sha256 == content_sha256).limit(1)
        ).scalar()
    if canonical is None:
        return None
    record = read_record(canonical)
    if record.content_sha256 != content_sha256:
        raise Conflict(
            REQUEST_ID_REUSED,
            f"the request id {request_id!r} has recorded run {record.run} with another content",
            run=record.run,
        )
    return record


def is_recorded(connection: sa.Connection, run: str) -> bool:
    """Whether a run is recorded."""
    found = connection.execute(sa.select(RUNS.c.log_index).where(RUNS.c.run == run)).first()
    return found is not None


def superseding_run(connection: sa.Connection, run: str) -> str | None:
    """The run that took a run's place; None where it stands."""
    return connection.execute(
        sa.select(SUPERSEDINGS.c.run).where(SUPERSEDINGS.c.superseded == run)
    ).scalar()


def next_sequence(connection: sa.Connection, business_date: str) -> int:
    """The number of the next run of a date, from 1."""
    last = connection.execute(
        sa.select(sa.func.max(RUNS.c.sequence)).where(RUNS.c.business_date == business_date)
    ).scalar()
    return 1 if last is None else int(last) + 1


def standing_runs(
    connection: sa.Connection, business_date: str, superseding: Superseding
) -> list[RunRecord]:
    """The runs of a date that stand, without those that are about to be superseded."""
    superseded = sa.select(SUPERSEDINGS.c.superseded)
    query = (
        sa.select(RUNS.c.record)
        .where(RUNS.c.business_date == business_date)
        .where(RUNS.c.run.not_in(superseded))
        .where(RUNS.c.run.not_in(superseding.runs))
        .order_by(RUNS.c.sequence)
    )
    return [read_record(row) for row in connection.execute(query).scalars()]
