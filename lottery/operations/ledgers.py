"""The composition root: which database, objects and key a ledger's settings mean.

--ledger DIR                            SQLite and files in a directory
--ledger postgresql://… --objects …     PostgreSQL, with a directory or a bucket
"""

from __future__ import annotations

import datetime as dt
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Final

from lottery.durable import read_file
from lottery.errors import LedgerNotFound, LedgerUnwritable, Problem, Refused, quote
from lottery.intake.members import describe_member
from lottery.ledger.commit import Ledger
from lottery.ledger.entry import Charter
from lottery.ledger.log_writer import make_ledger
from lottery.ledger.ports import Database, Objects, Ports, rfc3339
from lottery.ledger.run_record import SOFTWARE, Identity, MethodRecord
from lottery.ledger.warning_codes import WARNINGS
from lottery.ledger.witnessing import Warn
from lottery.method.methodology import JPMS_2024_09_06, Methodology
from lottery.operations.settings import LedgerSettings
from lottery.stores import directory, sqlite, system
from lottery.tlog.keys import create_key_file, read_key_file
from lottery.tlog.policy import Policy

TEXT_CHARACTERS: Final = 1_000
"""Maximum length of a charter's texts."""
PROPOSAL_HOURS: Final = 12
"""How long a proposal waits unless the charter says otherwise."""
MOST_PROPOSAL_HOURS: Final = 168
"""The longest that a charter can have a proposal wait: a week."""


__all__ = [
    "Charter",
    "CharterTerms",
    "Ledger",
    "LedgerSettings",
    "init_ledger",
    "make_directories",
    "methodology_for",
    "open_database",
    "open_ledger",
    "open_objects",
    "open_ports",
    "probe_objects",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class CharterTerms:
    """What a charter is to say (C1).

    Attributes:
        decisions: Names to choices; a name that is left out keeps the method's own choice.
        approval_reference: The firm's reference of the approval or filing.
        notice_version: The version of its notice to customers.
        clearing_member: The clearing member whose notices count (P8); empty names none.
        closed_dates: Dates on which the exchanges were closed, whatever their calendar says (H1).
        trading_dates: Dates on which they were open, likewise.
        holding_warnings: The codes of the warnings that hold a run as well (H1).
        four_eyes: Whether a run needs the approval of another person than its proposer.
        proposal_hours: How many hours a proposal waits before it expires.
    """

    decisions: Mapping[str, str]
    approval_reference: str = ""
    notice_version: str = ""
    clearing_member: str = ""
    closed_dates: tuple[dt.date, ...] = ()
    trading_dates: tuple[dt.date, ...] = ()
    holding_warnings: tuple[str, ...] = ()
    four_eyes: bool = False
    proposal_hours: int = PROPOSAL_HOURS

    @classmethod
    def of(cls, charter: Charter) -> CharterTerms:
        """Return what a charter says."""
        return cls(decisions=charter.method.decisions, **_beside_decisions(charter))

    def members(self) -> dict[str, Any]:
        """Return these terms as a charter's members.

        Raises:
            Refused: A name, a choice or a warning is unknown, or a text is not one line.
        """
        problems = [
            Problem(
                source=name,
                message=f"expected one line of at most {TEXT_CHARACTERS} printable characters",
            )
            for name, text in (
                ("approval_reference", self.approval_reference),
                ("notice_version", self.notice_version),
            )
            if not (text.isprintable() and len(text) <= TEXT_CHARACTERS)
        ]
        problem = describe_member(self.clearing_member) if self.clearing_member else None
        if problem is not None:
            problems.append(Problem(source="clearing_member", message=problem, rule="P8"))
        try:
            method = MethodRecord.of(JPMS_2024_09_06.deciding(self.decisions))
        except ValueError as error:
            problems.append(Problem(source="decision", message=str(error), rule="C1"))
        for code in self.holding_warnings:
            if code not in WARNINGS:
                known = ", ".join(sorted(WARNINGS))
                message = f"expected a warning to hold on, one of {known}; got {quote(code)}"
                problems.append(Problem(source="hold_on", message=message, rule="H1"))
        if not 1 <= self.proposal_hours <= MOST_PROPOSAL_HOURS:
            message = f"expected 1 to {MOST_PROPOSAL_HOURS} hours, got {self.proposal_hours}"
            problems.append(Problem(source="proposal_hours", message=message))
        if problems:
            raise Refused(problems)
        return _beside_decisions(self) | {
            "method": method,
            "holding_warnings": tuple(sorted(set(self.holding_warnings))),
        }


def _beside_decisions(terms: Charter | CharterTerms) -> dict[str, Any]:
    """Return the terms that a charter has under the same names, all but the decisions."""
    names = [field.name for field in fields(CharterTerms) if field.name != "decisions"]
    return {name: getattr(terms, name) for name in names}


def open_ledger(settings: LedgerSettings, warn: Warn = lambda _: None) -> Ledger:
    """Open a ledger, which is never created by opening it.

    Args:
        settings: Where it is.
        warn: Receives what deserves attention and stops nothing.

    Raises:
        Refused: The file of the witnesses is not a policy.
        LedgerNotFound: There is none.
        LedgerBusy: Another process holds the lock.
        LedgerDamaged: It is of another version, or not a ledger's.
        KeyUnusable: No private key is named.
    """
    return Ledger(
        open_ports(settings),
        key_file=settings.signing_key(),
        archive=None if settings.archive is None else open_objects(settings.archive),
        archives_first=settings.archives_first,
        witnesses=None if settings.witness_policy is None else _policy(settings.witness_policy),
        warn=warn,
    )


def init_ledger(settings: LedgerSettings, terms: CharterTerms, by: Identity) -> Ledger:
    """Make a ledger with its charter, and its key if there is none yet.

    Args:
        settings: Where it is to be.
        terms: What its charter says.
        by: The requester.

    Raises:
        Refused: A decision is unknown, or a ledger with another charter is there.
        LedgerNotFound: A path is not a directory.
        LedgerDamaged: Files of a ledger are there, whose database is not.
        LedgerUnwritable: It cannot be written.
        KeyUnusable: The key cannot be read or made.
    """
    members = terms.members()
    make_directories(settings)
    key_file = settings.signing_key()
    if not key_file.exists():
        create_key_file(key_file, f"options-assignment-lottery/{secrets.token_hex(4)}")
    key = read_key_file(key_file)
    make_ledger(
        open_ports(settings),
        Charter(
            origin=key.name,
            public_key=str(key.verifier),
            **members,
            holds_from=None,
            previous=None,
            requested_by=by,
            recorded_at=rfc3339(system.clock),
            software=SOFTWARE,
        ),
        key,
    )
    ledger = open_ledger(settings)
    ledger.publish()
    return ledger


def probe_objects(ledger: Ledger) -> list[str]:
    """Try out what a ledger's bucket promises, as a server does when it starts.

    Returns:
        A sentence for each promise that the ledger does not rest on and that is not kept.

    Raises:
        LedgerUnwritable: The bucket cannot be used.
    """
    objects = ledger.ports.objects
    if isinstance(objects, directory.Directory):
        return []
    from lottery.stores.bucket import Bucket  # noqa: PLC0415 - loads the library, an extra.
    from lottery.stores.bucket_probe import probe  # noqa: PLC0415 - as above.

    assert isinstance(objects, Bucket), "there are no other objects"  # noqa: S101
    return probe(objects, ledger.ports.ids)


def methodology_for(ledger: Ledger, business_date: dt.date) -> Methodology:
    """Return the method with the decisions of the charter that holds for a date (C1)."""
    return ledger.charter_for(business_date).method.methodology()


def where_is(ledger: Ledger) -> str:
    """Return where a ledger is: its database, without a password."""
    return ledger.ports.database.place


def open_database(settings: LedgerSettings) -> Database:
    """Return the database of a ledger's settings; nothing is opened yet.

    Raises:
        LedgerNotFound: The URL is malformed.
        EngineMissing: The driver of PostgreSQL is not installed.
    """
    if settings.is_directory:
        path = Path(settings.ledger) / sqlite.FILE
        return sqlite.SqliteDatabase(path, lock_seconds=settings.lock_seconds)
    # Loads the driver, which is an extra.
    from lottery.stores.postgresql import PostgresqlDatabase  # noqa: PLC0415

    try:
        return PostgresqlDatabase(settings.ledger, lock_seconds=settings.lock_seconds)
    except ValueError as error:
        raise LedgerNotFound(f"{error}; check --ledger") from error


def open_objects(place: str) -> Objects:
    """Return the objects of a directory or a bucket.

    Raises:
        LedgerNotFound: The directory is not one, or the URL is not a bucket's.
        EngineMissing: The library for buckets is not installed.
    """
    if "://" in place:
        # Loads the library, which is an extra.
        from lottery.stores.bucket import open_bucket  # noqa: PLC0415

        try:
            return open_bucket(place)
        except ValueError as error:
            raise LedgerNotFound(f"{error}; check --objects") from error
    if not Path(place).is_dir():
        raise LedgerNotFound(
            f"expected a directory at {place}; check --ledger and --objects, or make a ledger with "
            "lottery init"
        )
    return directory.Directory(Path(place))


def open_ports(settings: LedgerSettings) -> Ports:
    """Return the ports of a ledger's settings.

    Raises:
        LedgerNotFound: The place of its objects is not one.
    """
    objects = settings.objects or settings.ledger
    if "://" in objects and settings.objects is None:
        raise LedgerNotFound(
            "a ledger in a database needs --objects: a directory or a bucket's URL"
        )
    return Ports(
        clock=system.clock,
        ids=system.ids,
        database=open_database(settings),
        objects=open_objects(objects),
    )


def _policy(path: Path) -> Policy:
    try:
        return Policy.parse(read_file(path))
    except OSError as error:
        message = f"cannot be read: {error.strerror}; check LOTTERY_WITNESS_POLICY"
        raise Refused([Problem(source=str(path), message=message)]) from error


def make_directories(settings: LedgerSettings) -> None:
    """Make the directories of a ledger's settings, those that are not there yet.

    Raises:
        LedgerNotFound: A path is not a directory.
        LedgerUnwritable: One cannot be made.
    """
    for place in (settings.ledger, settings.objects, settings.archive):
        if place is not None and "://" not in place:
            _make_directory(Path(place))


def _make_directory(path: Path) -> None:
    """Make a directory that only its owner may enter; one that is there is left as it is."""
    try:
        path.mkdir(mode=directory.FOLDER_MODE, parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise LedgerNotFound(f"expected a directory at {error.filename}; check --ledger") from error
    except OSError as error:
        raise LedgerUnwritable(f"{path}: {error.strerror}") from error
