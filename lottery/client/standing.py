"""How a server's ledger stands, read from its message."""

from __future__ import annotations

import datetime as dt

from google.protobuf.timestamp_pb2 import Timestamp

from lottery.client.values import break_of, calendar_date
from lottery.ledger.ports import rfc3339
from lottery.ledger.run_record import Identity
from lottery.operations.standing import (
    Certificate,
    CharterInBrief,
    LastRun,
    LedgerStatus,
    Limits,
    Overview,
)
from lottery.v1 import audit_service_pb2, lottery_pb2


def overview_from(found: audit_service_pb2.GetStatusResponse) -> Overview:
    """Return how a ledger stands."""
    log, charter, limits = found.log, found.charter, found.limits
    return Overview(
        version=found.version,
        ledger=found.ledger,
        status=LedgerStatus(
            origin=log.origin,
            public_key=log.public_key,
            committed=log.committed,
            published=log.published,
            archived=log.archived if log.HasField("archived") else None,
            unnamed_folders=log.unnamed_folder_count,
        ),
        cosigned=log.cosigned if log.HasField("cosigned") else None,
        key_problem=found.key_problem or None,
        charter=CharterInBrief(
            sha256=charter.sha256,
            method=charter.method,
            holds_from=calendar_date(charter.holds_from)
            if charter.HasField("holds_from")
            else None,
        ),
        last_run=_last_run(found.last_run) if found.HasField("last_run") else None,
        open_breaks=tuple(map(break_of, found.open_breaks)),
        waiting=tuple(found.waiting),
        certificate=_certificate(found.certificate) if found.HasField("certificate") else None,
        limits=Limits(
            memory_bytes=limits.memory_bytes if limits.HasField("memory_bytes") else None,
            max_rows=limits.max_rows,
            evidence_bytes=limits.evidence_bytes,
            free_bytes=limits.free_bytes if limits.HasField("free_bytes") else None,
            disk_bytes=limits.disk_bytes if limits.HasField("disk_bytes") else None,
        ),
    )


def _last_run(run: audit_service_pb2.LastRun) -> LastRun:
    by = run.requested_by
    return LastRun(
        run=run.run,
        business_date=calendar_date(run.business_date),
        cycle=run.cycle,
        state=lottery_pb2.RunState.Name(run.state).removeprefix("RUN_STATE_"),
        notice_count=run.notice_count,
        recorded_at=rfc3339(lambda: _time(run.recorded_at)),
        requested_by=Identity(kind=by.kind, name=by.name, host=by.host),
        superseded_by=run.superseded_by or None,
    )


def _certificate(certificate: audit_service_pb2.CertificateStatus) -> Certificate:
    return Certificate(
        file=certificate.file,
        expires=_time(certificate.expires) if certificate.HasField("expires") else None,
        problem=certificate.problem or None,
    )


def _time(time: Timestamp) -> dt.datetime:
    return time.ToDatetime(dt.UTC)
