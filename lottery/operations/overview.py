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
from lottery.intake.memory import MemoryLimit
from lottery.ledger.commit import Ledger
from lottery.ledger.entry import Charter
from lottery.ledger.publish import EVIDENCE, WITNESSED
from lottery.ledger.run_record import RunRecord, Superseding
from lottery.ledger.signing import find_key
from lottery.ledger.trading_days import date_in_new_york
from lottery.operations.care import LedgerStatus, charter_sha256, status_of
from lottery.operations.days import standing_day
from lottery.operations.settings import LedgerSettings
from lottery.operations.verdicts import list_proposals
from lottery.tlog.keys import VerifierKey
from lottery.version import VERSION

__all__ = ["Certificate", "Charter", "Overview", "charter_sha256", "overview", "overview_document"]


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
        last_run: The run that was recorded last; None if there is none.
        superseded_by: The run that supersedes it, or None.
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
    charter: Charter
    last_run: RunRecord | None
    superseded_by: str | None
    open_breaks: tuple[Break, ...]
    waiting: tuple[str, ...]
    certificate: Certificate | None
    limits: Limits


def overview(
    ledger: Ledger,
    settings: LedgerSettings,
    *,
    memory: MemoryLimit,
    max_rows: int,
    certificate: Path | None,
) -> Overview:
    """Return how a ledger stands.

    Args:
        ledger: The ledger.
        settings: Where it is.
        memory: What a day may take.
        max_rows: What a call to a server may have.
        certificate: The file of the server's certificate, or None.

    Raises:
        LedgerDamaged: What is published is not a log, or evidence is not what was recorded.
        OSError: The objects cannot be read.
    """
    objects = ledger.ports.objects
    status = status_of(ledger)
    try:
        last_run: RunRecord | None = ledger.get("latest")
    except RunNotFound:
        last_run = None
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
        charter=ledger.charter_for(date_in_new_york(ledger.ports.clock())),
        last_run=last_run,
        superseded_by=None if last_run is None else ledger.described(last_run).superseded_by,
        open_breaks=() if last_run is None else _open_breaks(ledger, last_run.business_date),
        waiting=tuple(one.record.run for one in list_proposals(ledger).waiting),
        certificate=None if certificate is None else _certificate(certificate),
        limits=Limits(
            memory_bytes=memory.limit_bytes,
            max_rows=max_rows,
            evidence_bytes=sum(info.size for info in objects.list(EVIDENCE)),
            free_bytes=None if disk is None else disk.free,
            disk_bytes=None if disk is None else disk.total,
        ),
    )


def overview_document(found: Overview) -> Mapping[str, Any]:
    """Return how a ledger stands as JSON values."""
    run = found.last_run
    return {
        "version": found.version,
        "ledger": found.ledger,
        **asdict(found.status),
        "cosigned": found.cosigned,
        "key_problem": found.key_problem,
        "charter": {
            "sha256": charter_sha256(found.charter),
            "method": found.charter.method.id,
            "holds_from": found.charter.holds_from and found.charter.holds_from.isoformat(),
        },
        "last_run": run
        and {
            "run": run.run,
            "business_date": run.business_date.isoformat(),
            "cycle": run.cycle,
            "state": run.state,
            "notice_count": run.notice_count,
            "recorded_at": run.recorded_at,
            "superseded_by": found.superseded_by,
        },
        "open_breaks": [asdict(broken) for broken in found.open_breaks],
        "waiting": list(found.waiting),
        "certificate": found.certificate
        and {
            **asdict(found.certificate),
            "expires": found.certificate.expires and found.certificate.expires.isoformat(),
        },
        "limits": asdict(found.limits),
    }


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


def _certificate(file: Path) -> Certificate:
    expires = problem = None
    try:
        expires = x509.load_pem_x509_certificates(file.read_bytes())[0].not_valid_after_utc
    except OSError as error:
        problem = str(error.strerror)
    except ValueError:
        problem = "expected PEM certificates, got none"
    return Certificate(file=escape(file), expires=expires, problem=problem)
