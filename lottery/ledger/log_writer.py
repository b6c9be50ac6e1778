"""Writing to the log: one entry in one transaction, signed, and then published.

Everything that is recorded goes this way, whatever it is: a run, a charter, a key, an activity.

Invariants:
- Acknowledged is: committed and published.
- A connection that is lost while it commits leaves nothing open: the same entry is found, or added.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Final, TypeVar, cast

import sqlalchemy as sa

from lottery.errors import (
    ConnectionLost,
    KeyUnusable,
    LedgerBusy,
    LedgerUnfinished,
    LotteryError,
    Problem,
    Refused,
)
from lottery.ledger import log, queries
from lottery.ledger.entry import Activity, Charter, Entry, NextKey, canonical
from lottery.ledger.ports import Objects, Ports, writing_to
from lottery.ledger.publish import publish, published_size, refuse_other_history
from lottery.ledger.reader import LedgerReader
from lottery.ledger.run_record import SOFTWARE, Identity
from lottery.ledger.signing import take_key
from lottery.ledger.witnessing import Warn, cosign_head
from lottery.tlog.keys import SigningKey, VerifierKey
from lottery.tlog.policy import Policy

ATTEMPTS: Final = 5
"""How often a write is tried whose connection is lost."""

_Answer = TypeVar("_Answer")
Compose = Callable[[sa.Connection, log.Log, log.Head], "Entry | _Answer"]
"""Returns the entry to add, or the answer of a write that has nothing to add."""


class LogWriter(LedgerReader):
    """A ledger, for reading it and for adding to its log.

    Args:
        ports: Where it is.
        key_file: The file of the log's private key.
        archive: A second place for all that is published, or None.
        archives_first: Whether a write is answered only once it is archived.
        witnesses: The policy of the witnesses that are asked to cosign, or None.
        warn: Receives what deserves attention and stops nothing.
    """

    def __init__(
        self,
        ports: Ports,
        *,
        key_file: Path,
        archive: Objects | None = None,
        archives_first: bool = True,
        witnesses: Policy | None = None,
        warn: Warn = lambda _: None,
    ) -> None:
        super().__init__(ports)
        self._witnesses = witnesses
        self._warn = warn
        self.key_file = key_file
        self.archive = archive
        self._archives_first = archives_first

    def enter(self, kind: str, subject: str, outcome: str, by: Identity) -> None:
        """Record what somebody did with the record, as an entry of the log.

        Args:
            kind: A type of `entry.Activity`.
            subject: A run, a range of dates, or the ledger.
            outcome: How it ended, in a few words.
            by: The requester.

        Raises:
            LedgerBusy: Another process holds the write lock.
            LedgerUnwritable: The ledger cannot be written.
            KeyUnusable: The log's key is not available.
        """
        self.append(
            lambda *_: Activity(
                type=kind,  # type: ignore[arg-type]
                subject=subject,
                outcome=outcome,
                requested_by=by,
                recorded_at=self.now(),
                software=SOFTWARE,
            )
        )

    def amend(
        self,
        make: Callable[[Charter], Charter],
        refuse: Callable[[sa.Connection, Charter], None],
    ) -> Charter:
        """Add a charter after the last one.

        Args:
            make: Returns the new charter, given the last one.
            refuse: Refuses a charter that contradicts what is recorded.
        """

        def compose(connection: sa.Connection, *_: object) -> Charter:
            digest, last = queries.charters(connection)[-1]
            charter = replace(make(last), previous=digest, recorded_at=self.now())
            refuse(connection, charter)
            return charter

        return cast("Charter", self.append(compose))

    def rotate(self, next_key: VerifierKey, by: Identity) -> NextKey:
        """Name the log's next key, in an entry whose head the present key signs.

        Args:
            next_key: The next key, under the log's origin.
            by: The requester.

        Raises:
            KeyUnusable: The key has another name, or is the log's already.
        """

        def compose(_: sa.Connection, signer: log.Log, head: log.Head) -> NextKey:
            if next_key.name != signer.origin:
                raise KeyUnusable(
                    f"expected a key of the name {signer.origin}, got {next_key.name}"
                )
            if any(next_key == known for _, known in signer.keys):
                raise KeyUnusable(f"expected a new key, got {next_key}, which the log has had")
            return NextKey(
                public_key=str(next_key),
                signs_from=head.tree_size + 2,
                requested_by=by,
                recorded_at=self.now(),
                software=SOFTWARE,
            )

        return cast("NextKey", self.append(compose))

    def publish(self) -> int:
        """Publish what is committed and not published, and archive it if there is an archive.

        Returns:
            The published size of the log.

        Raises:
            LedgerUnfinished: The objects cannot be written now.
            LedgerDamaged: Another history is published there.
        """
        return self._publish_all()

    def _publish_all(self, *, is_behind: bool = False) -> int:
        size = self._published(self.ports.objects, None, is_behind=is_behind)
        if self.archive is not None and self._archives_first:
            self._published(self.archive, self.ports.objects, is_behind=is_behind)
        return size

    def publish_archive(self) -> int:
        """Bring the archive to what is committed; return its size."""
        assert self.archive is not None, "the caller has one"  # noqa: S101
        return self._published(self.archive, self.ports.objects)

    def _published(
        self, objects: Objects, source: Objects | None, *, is_behind: bool = False
    ) -> int:
        try:
            if not is_behind:  # It may be, which is seen without a lock.
                with self.reading() as connection:
                    size = log.read_size(connection)
                if size == published_size(objects):
                    return size
            with self.ports.database.publishing() as connection:
                self.own_log(connection)
                return publish(connection, objects, source=source)
        except (OSError, LedgerBusy, ConnectionLost) as error:
            raise LedgerUnfinished(
                f"{objects.place}: {error}; what was recorded is committed and not published yet; "
                "the same command, or the next write, publishes it"
            ) from error

    def append(self, compose: Compose[_Answer]) -> Entry | _Answer:
        """Add the entry that `compose` returns, under the writer's lock, and publish.

        A connection that is lost while it commits leaves open whether it did. The lock is not got
        again before the old transaction is over: then the entry is where it was to be, or nowhere.
        """
        if self._witnesses is not None:  # One that is ahead is found before anything is signed.
            self._cosign(self._witnesses)
        lost: ConnectionLost | None = None
        tried: dict[int, Entry] = {}
        for _ in range(ATTEMPTS):
            try:
                with self.ports.database.writing() as connection:
                    done = self._append_within(connection, compose, tried)
                break
            except ConnectionLost as error:
                lost = error
        else:
            assert lost is not None, "there was an attempt"  # noqa: S101
            raise lost
        self._publish_all(is_behind=isinstance(done, Entry))
        if self._witnesses is not None:
            self._cosign(self._witnesses)
        return done

    def _cosign(self, policy: Policy) -> None:
        try:
            cosign_head(self.ports, policy, self._warn)
        except (OSError, LedgerBusy, ConnectionLost) as error:
            self._warn(f"the cosigned head is not published: {error}")

    def _append_within(
        self, connection: sa.Connection, compose: Compose[_Answer], tried: dict[int, Entry]
    ) -> Entry | _Answer:
        """Add an entry, unless one that was tried before is committed; what is tried is noted."""
        signer = self.own_log(connection)
        head = log.read_head(connection, signer)
        for index, entry in tried.items():
            if index < head.tree_size and log.entries_between(connection, index, index + 1) == [
                canonical(entry)
            ]:
                return entry
        composed = compose(connection, signer, head)
        if not isinstance(composed, Entry):
            return composed
        key = take_key(self.key_file, signer.key)
        encoded = canonical(composed)
        with writing_to(self.ports.objects):
            refuse_other_history(self.ports.objects, head)
        tried[head.tree_size] = composed
        log.append(connection, signer, head, composed, encoded, key)
        return composed


def make_ledger(ports: Ports, charter: Charter, key: SigningKey) -> None:
    """Make a ledger: its tables, and its charter as the first entry of its log.

    Nothing else makes one. Where there is one with this very charter already, but for its time, it
    is left as it is.

    Args:
        ports: Where it is to be.
        charter: Its charter, with the key's name as origin and the public key.
        key: The log's private key.

    Raises:
        Refused: A ledger with another charter is there.
        LedgerDamaged: Files of a ledger are there, whose database is not.
        LedgerUnwritable: It cannot be written.
    """
    with writing_to(ports.objects), ports.database.make() as connection:
        if log.read_size(connection):
            there = queries.charters(connection)[0][1]
            if (
                replace(
                    there,
                    requested_by=charter.requested_by,
                    recorded_at=charter.recorded_at,
                    software=charter.software,
                )
                != charter
            ):
                raise _already_made(ports)
            return
        refuse_other_history(ports.objects, log.EMPTY)
        signer = log.Log(origin=charter.origin, keys=((1, key.verifier),))
        log.append(connection, signer, log.EMPTY, charter, canonical(charter), key)


def _already_made(ports: Ports) -> LotteryError:
    message = (
        f"there is a ledger with another charter at {ports.database.place}; lottery charter shows "
        "it, and lottery charter amend changes it"
    )
    return Refused([Problem(source="charter", message=message)])
