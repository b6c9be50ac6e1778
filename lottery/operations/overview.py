"""What people ask of a ledger first: its charter, its last run, what is open, and its limits."""

from __future__ import annotations

import datetime as dt
import shutil
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from cryptography import x509

from lottery.day.allocate import Break
from lottery.errors import KeyUnusable, RunNotFound, escape
from lottery.ledger.commit import Ledger
from lottery.ledger.publish import EVIDENCE, WITNESSED
from lottery.ledger.run_record import RunRecord, Superseding
from lottery.ledger.signing import find_key
from lottery.ledger.trading_days import date_in_new_york
from lottery.operations.care import charter_sha256, status_of
from lottery.operations.days import standing_day
from lottery.operations.settings import LedgerSettings
from lottery.operations.standing import Certificate, CharterInBrief, LastRun, Limits, Overview
from lottery.operations.variables import Variables
from lottery.operations.verdicts import list_proposals
from lottery.tlog.keys import VerifierKey
from lottery.version import VERSION


def overview_of(ledger: Ledger, settings: LedgerSettings, variables: Variables) -> Overview:
    """Return how a ledger stands.

    Args:
        ledger: The ledger.
        settings: Where it is.
        variables: What has the limits, and names the server's certificate.

    Raises:
        LedgerDamaged: What is published is not a log, or evidence is not what was recorded.
        OSError: The objects cannot be read.
    """
    objects = ledger.ports.objects
    status = status_of(ledger)
    charter = ledger.charter_for(date_in_new_york(ledger.ports.clock()))
    last_run = _last_run(ledger)
    place = Path(objects.place)
    disk = shutil.disk_usage(place) if place.is_dir() else None
    return Overview(
        version=VERSION,
        ledger=ledger.ports.database.place,
        status=status,
        cosigned=max(
            (int(info.name.rpartition("/")[2]) for info in objects.list(WITNESSED)), default=None
        ),
        key_problem=_key_problem(settings, status.public_key),
        charter=CharterInBrief(
            sha256=charter_sha256(charter),
            method=charter.method.id,
            holds_from=charter.holds_from,
        ),
        last_run=last_run,
        open_breaks=() if last_run is None else _open_breaks(ledger, last_run.business_date),
        waiting=tuple(one.record.run for one in list_proposals(ledger).waiting),
        certificate=_certificate(variables.tls_certificate),
        limits=Limits(
            memory_bytes=variables.memory_limit().limit_bytes,
            max_rows=variables.max_rows,
            evidence_bytes=sum(info.size for info in objects.list(EVIDENCE)),
            free_bytes=None if disk is None else disk.free,
            disk_bytes=None if disk is None else disk.total,
        ),
    )


def overview_document(found: Overview) -> Mapping[str, Any]:
    """Return how a ledger stands as JSON values."""
    document = asdict(found)
    dates = {"charter": "holds_from", "last_run": "business_date", "certificate": "expires"}
    for part, name in dates.items():
        if document[part] and document[part][name]:
            document[part][name] = document[part][name].isoformat()
    return {**document.pop("status"), **document}


def _last_run(ledger: Ledger) -> LastRun | None:
    """Return the last run that counts, in brief."""
    try:
        record: RunRecord = ledger.get("latest")
    except RunNotFound:
        return None
    return LastRun(
        run=record.run,
        business_date=record.business_date,
        cycle=record.cycle,
        state=record.state,
        notice_count=record.notice_count,
        recorded_at=record.recorded_at,
        requested_by=record.requested_by,
        superseded_by=ledger.described(record).superseded_by,
    )


def _open_breaks(ledger: Ledger, business_date: dt.date) -> tuple[Break, ...]:
    """Return the open breaks of a date; its tables are read only if a standing run has any."""
    standing = ledger.runs_of(business_date).standing(Superseding())
    if not any(record.break_count for record in standing):
        return ()
    return standing_day(ledger, business_date).breaks


def _key_problem(settings: LedgerSettings, public_key: str) -> str | None:
    try:
        find_key(settings.signing_key(), VerifierKey.parse(public_key))
    except KeyUnusable as error:
        return str(error)
    return None


def _certificate(file: Path | None) -> Certificate | None:
    if file is None:
        return None
    expires = problem = None
    try:
        expires = x509.load_pem_x509_certificates(file.read_bytes())[0].not_valid_after_utc
    except OSError as error:
        problem = str(error.strerror)
    except ValueError:
        problem = "expected PEM certificates, got none"
    return Certificate(file=escape(file), expires=expires, problem=problem)
