"""Queries about recorded runs, within a transaction of a reader or of the writer."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from lottery.errors import REQUEST_ID_REUSED, Conflict, quote
from lottery.ledger.database import RUNS, SUPERSEDINGS
from lottery.ledger.draft import RecordedRun, RunKey
from lottery.ledger.run_record import RunRecord, Superseding, read_record


def recorded_run(connection: sa.Connection, key: RunKey) -> RecordedRun | None:
    """Return the run that a request, or another one with the same content, has recorded.

    Raises:
        Conflict: The request id has recorded another content.
    """
    by_request, by_content = (
        sa.select(RUNS.c.record).where(column == value).limit(1)
        for column, value in (
            (RUNS.c.request_id, key.request_id),
            (RUNS.c.content_sha256, key.content_sha256),
        )
    )
    canonical = connection.execute(by_request).scalar() or connection.execute(by_content).scalar()
    if canonical is None:
        return None
    record = read_record(canonical)
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
    )


def is_recorded(connection: sa.Connection, run: str) -> bool:
    """Return whether a run is recorded."""
    found = connection.execute(sa.select(RUNS.c.log_index).where(RUNS.c.run == run)).first()
    return found is not None


def superseding_run(connection: sa.Connection, run: str) -> str | None:
    """Return the run that supersedes a run, or None if it is standing."""
    return connection.execute(
        sa.select(SUPERSEDINGS.c.run).where(SUPERSEDINGS.c.superseded == run)
    ).scalar()


def next_sequence(connection: sa.Connection, business_date: str) -> int:
    """Return the number of a date's next run, from 1."""
    last = connection.execute(
        sa.select(sa.func.max(RUNS.c.sequence)).where(RUNS.c.business_date == business_date)
    ).scalar()
    return (last or 0) + 1


def next_index(connection: sa.Connection, column: sa.Column[Any]) -> int:
    """Return the next value of a column that counts from 0."""
    last = connection.execute(sa.select(sa.func.max(column))).scalar()
    return 0 if last is None else int(last) + 1


def standing_runs(
    connection: sa.Connection, business_date: str, superseding: Superseding
) -> list[RunRecord]:
    """Return the standing runs of a date, without those that are about to be superseded."""
    superseded = sa.select(SUPERSEDINGS.c.superseded)
    query = (
        sa.select(RUNS.c.record)
        .where(RUNS.c.business_date == business_date)
        .where(RUNS.c.run.not_in(superseded))
        .where(RUNS.c.run.not_in(superseding.runs))
        .order_by(RUNS.c.sequence)
    )
    return [read_record(row) for row in connection.execute(query).scalars()]
