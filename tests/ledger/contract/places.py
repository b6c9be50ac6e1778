"""A ledger of a test's own, in one of the places that it may be in, and looks at it from outside.

`assert_whole` works the log again without `lottery.tlog`: the tree as RFC 9162 (2.1.1) defines it,
the heads as C2SP signed notes, and the files as C2SP tlog-tiles.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Final

import pytest
import sqlalchemy as sa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from lottery import operations
from lottery.errors import Conflict
from lottery.ledger.commit import Ledger
from lottery.ledger.entry import digest_of, read_entry
from lottery.ledger.four_eyes import Verdict
from lottery.ledger.ports import Database, Objects
from lottery.ledger.run_record import Identity, RunRecord
from lottery.ledger.schema import ENTRIES, HEADS, REQUESTS
from lottery.operations.ledgers import CharterTerms, LedgerSettings, init_ledger, open_ledger
from lottery.operations.runs import record_sha256
from lottery.operations.verdicts import approve_run, reject_run
from tests.builders import TESTER, SmallDay, request_of_wire

A, B, C, D = (f"2024-09-16-00{number}" for number in range(1, 5))
TERMS: Final = CharterTerms(decisions={})
FOUR_EYES: Final = CharterTerms(decisions={}, four_eyes=True)
APPROVER: Final = Identity(kind="system-user", name="approver", host="backend")


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a ledger is, or is to be."""

    settings: LedgerSettings

    def init(self, terms: CharterTerms = TERMS) -> Ledger:
        return _noted(init_ledger(self.settings, terms, TESTER))

    def opened(self, **given: Any) -> Ledger:
        """Open it as another process would; more arguments replace settings."""
        return _noted(open_ledger(replace(self.settings, **given)))

    def objects(self) -> Objects:
        return self.opened().ports.objects


_DATABASES: Final[list[Database]] = []


def _noted(ledger: Ledger) -> Ledger:
    _DATABASES.append(ledger.ports.database)
    return ledger


def close_all() -> None:
    """Close the databases of all ledgers that a test opened, while their servers are there."""
    while _DATABASES:
        _DATABASES.pop().close()


def record(
    ledger: Ledger,
    day: SmallDay,
    *,
    dry_run: bool = False,
    proceed: Callable[[], None] | None = None,
    **asked: Any,
) -> operations.RecordedRun:
    """Run a day; the other arguments are those of a request."""
    request = request_of_wire(day, as_arrow=False, **asked)
    return operations.run_lottery(ledger, request, dry_run=dry_run, proceed=proceed)


def approve(
    ledger: Ledger, proposed: operations.RecordedRun, *, by: Identity = APPROVER
) -> operations.RecordedRun:
    """Approve a proposal, by the record that was returned of it."""
    digest = record_sha256(proposed.record)
    return approve_run(ledger, proposed.record.run, record_sha256=digest, by=by)


def reject(
    ledger: Ledger, proposed: operations.RecordedRun, *, by: Identity = APPROVER
) -> operations.RecordedRun:
    """Reject a proposal, by the record that was returned of it."""
    digest = record_sha256(proposed.record)
    run = proposed.record.run
    return reject_run(ledger, run, record_sha256=digest, reason="yesterday's file", by=by)


def runs_in(ledger: Ledger) -> list[str]:
    return [one.run for one in ledger.iterate()]


def entries_in(ledger: Ledger) -> list[bytes]:
    with ledger.reading() as connection:
        rows = connection.execute(sa.select(ENTRIES).order_by(ENTRIES.c.log_index)).all()
    assert [row.log_index for row in rows] == list(range(len(rows)))
    assert [row.type for row in rows] == [read_entry(bytes(row.entry)).type for row in rows]
    return [bytes(row.entry) for row in rows]


def heads_in(ledger: Ledger) -> list[bytes]:
    with ledger.reading() as connection:
        rows = connection.execute(sa.select(HEADS).order_by(HEADS.c.tree_size)).all()
    assert [row.tree_size for row in rows] == list(range(1, len(rows) + 1))
    return [bytes(row.note) for row in rows]


def requests_in(ledger: Ledger) -> dict[str, str]:
    """Return the run of every request id."""
    with ledger.reading() as connection:
        rows = connection.execute(sa.select(REQUESTS.c.request_id, REQUESTS.c.run)).all()
    return {row.request_id: row.run for row in rows}


def contents_of(objects: Objects, prefix: str = "") -> dict[str, bytes]:
    return {one.name: objects.get(one.name) for one in objects.list(prefix)}


def root_of(leaves: Sequence[bytes]) -> bytes:
    """Return the root of a tree (RFC 9162, 2.1.1)."""
    if len(leaves) == 1:
        return hashlib.sha256(b"\0" + leaves[0]).digest()
    half = 1 << ((len(leaves) - 1).bit_length() - 1)
    return hashlib.sha256(b"\1" + root_of(leaves[:half]) + root_of(leaves[half:])).digest()


def read_head(note: bytes, public_key: bytes) -> tuple[str, int, bytes]:
    """Return origin, size and root of a checkpoint whose one signature is the key's."""
    text, _, signature = note.decode().partition("\n\n")
    origin, size, root = text.split("\n")
    dash, name, encoded = signature.removesuffix("\n").split(" ")
    assert (dash, name) == ("—", origin)
    signed = base64.b64decode(encoded, validate=True)[4:]
    Ed25519PublicKey.from_public_bytes(public_key).verify(signed, f"{text}\n".encode())
    return origin, int(size), base64.b64decode(root, validate=True)


def log_files(entries: Sequence[bytes], heads: Sequence[bytes]) -> dict[str, bytes]:
    """Return the files of a published log of less than 256 full tiles."""
    files = {f"log/heads/{size:012d}": note for size, note in enumerate(heads, 1)}
    files["log/checkpoint"] = heads[-1]
    rows = [
        (f"log/tile/{level}", [root_of(entries[at : at + width]) for at in starts])
        for level, width in enumerate((1, 256, 65_536))
        if (starts := range(0, len(entries) - width + 1, width))
    ]
    rows.append(
        ("log/tile/entries", [len(entry).to_bytes(2, "big") + entry for entry in entries]),
    )
    for folder, row in rows:
        for index in range(0, len(row), 256):
            tile, name = row[index : index + 256], f"{folder}/{index // 256:03d}"
            if len(tile) == 256:
                files[name] = b"".join(tile)
            else:
                files |= {
                    f"{name}.p/{width}": b"".join(tile[:width]) for width in range(1, len(tile) + 1)
                }
    return files


def assert_whole(ledger: Ledger, objects: Objects | None = None) -> None:
    """Assert that rows, heads and published files say the same, and that runs are chains.

    Args:
        ledger: The ledger.
        objects: Where it is published; None for its own objects.
    """
    objects = ledger.ports.objects if objects is None else objects
    entries, heads, log = entries_in(ledger), heads_in(ledger), ledger.log()
    assert len(heads) == len(entries)
    for size, note in enumerate(heads, 1):
        expected = (log.origin, size, root_of(entries[:size]))
        assert read_head(note, log.key_of(size).public_key) == expected
    assert contents_of(objects, "log") == log_files(entries, heads)
    evidence = contents_of(objects, "evidence")
    last: dict[str, tuple[int, str | None]] = {}
    for encoded in entries:
        entry = read_entry(encoded)
        if isinstance(entry, RunRecord):
            date = entry.business_date.isoformat()
            number, previous = last.get(date, (0, None))
            assert (entry.run, entry.previous) == (f"{date}-{number + 1:03d}", previous)
            last[date] = (number + 1, digest_of(encoded))
            assert evidence[f"{entry.folder}/{entry.run}.json"] == encoded
            for file in entry.evidence:
                content = evidence[f"{entry.folder}/{file.name}"]
                assert (digest_of(content), len(content)) == (file.sha256, file.size)
        elif isinstance(entry, Verdict):
            date = entry.run.rpartition("-")[0]
            number, previous = last[date]
            assert entry.previous == previous
            last[date] = (number, digest_of(encoded))


@contextmanager
def conflict(reason: str, run: str = A) -> Iterator[pytest.ExceptionInfo[Conflict]]:
    """Expect a conflict of that reason with that run."""
    with pytest.raises(Conflict) as caught:
        yield caught
    assert (caught.value.reason, caught.value.run) == (reason, run)


@contextmanager
def nothing_recorded(ledger: Ledger) -> Iterator[None]:
    """Assert that nothing is recorded and nothing is published by the end."""
    before = entries_in(ledger), contents_of(ledger.ports.objects, "log")
    yield
    assert (entries_in(ledger), contents_of(ledger.ports.objects, "log")) == before
