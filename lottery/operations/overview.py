"""What people ask of a ledger first: its charter, its last run, what is open, and its limits."""

from __future__ import annotations

import datetime as dt
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from cryptography import x509

from lottery.day.allocate import Break
from lottery.errors import KeyUnusable, RunNotFound, escape
from lottery.ledger.commit import Ledger
from lottery.ledger.publish import EVIDENCE, WITNESSED
from lottery.ledger.run_record import Identity, RunRecord, Superseding
from lottery.ledger.signing import find_key
from lottery.ledger.trading_days import date_in_new_york
from lottery.operations.care import LedgerStatus, charter_sha256, status_of
from lottery.operations.days import standing_day
from lottery.operations.settings import LedgerSettings
from lottery.operations.variables import Variables
from lottery.operations.verdicts import list_proposals
from lottery.tlog.keys import VerifierKey
from lottery.version import VERSION


@dataclass(frozen=True, slots=True, kw_only=True)
class CharterInBrief:
    """A charter in brief.

    Attributes:
        sha256: The SHA-256 by which runs name it, hexadecimal.
        method: The method's id.
        holds_from: The first business date that it holds for; None if from the beginning.
    """

    sha256: str
    method: str
    holds_from: dt.date | None


@dataclass(frozen=True, slots=True, kw_only=True)
class LastRun:
    """The last run that counts, in brief; `superseded_by` is None if it stands."""

    run: str
    business_date: dt.date
    cycle: int
    state: str
    notice_count: int
    recorded_at: str
    requested_by: Identity
    superseded_by: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """A server's certificate.

    Attributes:
        file: Its file.
        expires: When it expires, UTC; None if it cannot be read.
        problem: Why not.
    """

    file: str
    expires: dt.datetime | None
    problem: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a ledger and its server take, and how much of it is used.

    Attributes:
        memory_bytes: Maximum memory of one day; None for no limit.
        max_rows: Maximum number of notices, and of positions, in one call to a server.
        evidence_bytes: What the evidence of all runs takes.
        free_bytes: What is free on the disk of the evidence; None in a bucket.
        disk_bytes: The size of that disk; None likewise.
    """

    memory_bytes: int | None
    max_rows: int
    evidence_bytes: int
    free_bytes: int | None
    disk_bytes: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Overview:
    """How a ledger stands, and all that is around it.

    Attributes:
        version: The version of this software.
        ledger: Where the ledger is, without a password.
        status: Its log: origin, key, and how far its heads are published and archived.
        cosigned: The largest head that witnesses have cosigned; None if there is none.
        key_problem: Why the private key cannot sign here; None if it can.
        charter: The charter in force today, in New York.
        last_run: The last run that counts; None if there is none.
        open_breaks: The breaks of its date whose notices no standing run has allocated.
        waiting: The proposals of all dates that wait for a verdict.
        certificate: The server's certificate; None if no file of one is named.
        limits: What they take, and what is used.
    """

    version: str
    ledger: str
    status: LedgerStatus
    cosigned: int | None
    key_problem: str | None
    charter: CharterInBrief
    last_run: LastRun | None
    open_breaks: tuple[Break, ...]
    waiting: tuple[str, ...]
    certificate: Certificate | None
    limits: Limits


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
