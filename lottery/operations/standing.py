"""How a ledger stands: values, which the client makes of a server's messages too.

They are apart from what looks (`overview`, `care`, `proofs`), so that a client loads no ledger.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

from lottery.day.allocate import Break
from lottery.ledger.run_record import Identity
from lottery.tlog.keys import VerifierKey


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerStatus:
    """How a ledger stands.

    Attributes:
        origin: The log's origin.
        public_key: The key that signs its next head.
        committed: Entries that are decided.
        published: Entries that are published as files.
        archived: Entries that the archive has; None without an archive.
        unnamed_folders: Folders of evidence that no entry names; None if they were not looked for.
    """

    origin: str
    public_key: str
    committed: int
    published: int
    archived: int | None
    unnamed_folders: int | None = None


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


@dataclass(frozen=True, slots=True, kw_only=True)
class PublicKeys:
    """What identifies a log.

    Attributes:
        origin: The origin line of its checkpoints.
        key: Its public key.
    """

    origin: str
    key: VerifierKey
