"""The ledger's four ports: the clock, the ids, the database and the objects.

Everything that the ledger asks of the system comes in through these, from the composition root, so
that a simulation can stand in their place. Their adapters are in `lottery.stores`.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeAlias

from lottery.errors import LedgerUnwritable

if TYPE_CHECKING:  # A port has no SQL of its own.
    import sqlalchemy as sa

Clock: TypeAlias = Callable[[], dt.datetime]
"""Returns the present time, UTC."""


def rfc3339(clock: Clock) -> str:
    """Return the present time in UTC with microseconds (RFC 3339); texts sort as the times do."""
    return clock().isoformat(timespec="microseconds").replace("+00:00", "Z")


Ids: TypeAlias = Callable[[], str]
"""Returns 32 hexadecimal digits that nobody can guess and that never come again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectInfo:
    """An object as a listing has it.

    Attributes:
        name: Its name.
        size: Its size in bytes.
        modified: When it was written, UTC.
    """

    name: str
    size: int
    modified: dt.datetime


class Objects(Protocol):
    """Files by name, in a directory or in a bucket; they decide nothing.

    A name is one or more parts joined with `/`, each of letters, digits, `.`, `-` and `_`, none of
    them starting with a dot. What a method has written is durable when it returns. A method that
    fails for another reason than its own raises `OSError`, and the same call can be tried again.
    """

    @property
    def place(self) -> str:
        """The directory or the URL, for messages."""

    def get(self, name: str) -> bytes:
        """Return an object's bytes.

        Raises:
            FileNotFoundError: There is no such object.
        """

    def put(self, name: str, content: bytes) -> None:
        """Write an object, in the place of the one that has the name."""

    def create(self, name: str, content: bytes) -> None:
        """Write an object that never changes; one that has these bytes already is left alone.

        Raises:
            FileExistsError: An object has the name, and other bytes.
        """

    def create_all(self, contents: Mapping[str, bytes]) -> None:
        """Write several objects as `create` does, each whole or not at all."""

    def staging(self) -> AbstractContextManager[Path]:
        """Return a new folder on disk for files that `take` is to have; it is removed at the end.

        The files in it and in its folders are made durable by `take`.
        """

    def take(self, staged: Path, prefix: str) -> None:
        """Make an object `prefix/NAME` of every file NAME below a staging folder.

        An object that has the same bytes already is left alone, so that the same call again, also
        after a part of it was done, ends with the same objects.

        Raises:
            FileExistsError: An object has one of the names, and other bytes.
        """

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        """Yield the objects below `prefix/`, or all of them, in no particular order."""

    def delete(self, name: str) -> None:
        """Remove an object, if there is one."""

    def local(self, prefix: str) -> AbstractContextManager[Path]:
        """Return a folder on disk that has the objects below `prefix/`, for as long as it is open.

        A directory returns its own folder, of which nothing may be written.
        """


@contextmanager
def writing_to(objects: Objects) -> Iterator[None]:
    """Name the place of the objects that do not let a write be done.

    Raises:
        LedgerUnwritable: The system has refused something; other errors are raised as they are.
    """
    try:
        yield
    except OSError as error:
        raise LedgerUnwritable(f"{objects.place}: {error.strerror or error}") from error


class Database(Protocol):
    """The SQL database that decides.

    Errors of the connection are raised as `lottery.errors` has them: `LedgerBusy` if a lock was not
    got in time, `ConnectionLost` if it is not known whether a transaction was committed,
    `LedgerUnwritable` and `LedgerDamaged`.
    """

    @property
    def place(self) -> str:
        """The file or the URL without its password, for messages."""

    def exists(self) -> bool:
        """Return whether the tables of a ledger are there; nothing is created by asking."""

    def make(self) -> AbstractContextManager[sa.Connection]:
        """Open the transaction that creates the tables, alone; they are there in the block."""

    def reading(self) -> AbstractContextManager[sa.Connection]:
        """Open a transaction that sees one state throughout and writes nothing."""

    def writing(self) -> AbstractContextManager[sa.Connection]:
        """Open a transaction as the only writer; it is committed when the block succeeds."""

    def publishing(self) -> AbstractContextManager[sa.Connection]:
        """Open a transaction as the only publisher; it writes nothing."""

    def close(self) -> None:
        """Close what is kept open."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """What a ledger is given at the composition root."""

    clock: Clock
    ids: Ids
    database: Database
    objects: Objects
