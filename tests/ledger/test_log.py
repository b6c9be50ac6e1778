"""The log in the tables: heads, nodes and proofs of every size, worked again as RFC 9162 says."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from lottery.errors import CheckpointInvalid, LedgerDamaged
from lottery.ledger import log
from lottery.ledger.entry import Activity, Charter, NextKey, canonical
from lottery.ledger.log import EMPTY, Head, Log
from lottery.ledger.schema import (
    ENTRIES,
    HEADS,
    KEYS,
    LEDGER,
    NODES,
    REQUESTS,
    RUNS,
    VERDICTS,
    metadata,
)
from lottery.tlog import merkle
from lottery.tlog.keys import SigningKey
from tests.ledger.contract.places import read_head, root_of
from tests.vectors.make import ENTRIES as GOLDEN
from tests.vectors.make import RECORD

KEY = SigningKey.generate("example.com/lottery")
LOG = Log(origin=KEY.name, keys=((1, KEY.verifier),))
EXPORT = GOLDEN["export"]
assert isinstance(EXPORT, Activity)


@contextmanager
def tables() -> Iterator[sa.Connection]:
    """Open tables in memory, without what keeps them from being damaged."""
    engine = sa.create_engine("sqlite://")
    with engine.connect() as connection:
        metadata.create_all(connection)
        for (name,) in connection.exec_driver_sql(
            "SELECT name FROM sqlite_master WHERE type = 'trigger'"
        ).all():
            connection.exec_driver_sql(f"DROP TRIGGER {name}")
        yield connection
    engine.dispose()


def entry_of(number: int) -> Activity:
    assert isinstance(EXPORT, Activity)
    return replace(EXPORT, subject=f"{number}")


def appended(connection: sa.Connection, first: int, end: int, head: Head = EMPTY) -> list[bytes]:
    """Append entries, each to the head that the rows give; return their bytes."""
    leaves = []
    for number in range(first, end):
        leaves.append(canonical(entry_of(number)))
        assert log.read_head(connection, LOG) == head
        head = log.append(connection, LOG, head, entry_of(number), leaves[-1], KEY)
    return leaves


def path_of(index: int, leaves: Sequence[bytes]) -> list[bytes]:
    """Return the inclusion path of a leaf (RFC 9162, 2.1.3.1)."""
    if len(leaves) == 1:
        return []
    half = 1 << ((len(leaves) - 1).bit_length() - 1)
    if index < half:
        return [*path_of(index, leaves[:half]), root_of(leaves[half:])]
    return [*path_of(index - half, leaves[half:]), root_of(leaves[:half])]


def consistency_of(size: int, leaves: Sequence[bytes], *, is_whole: bool = True) -> list[bytes]:
    """Return the consistency proof of a smaller tree (RFC 9162, 2.1.4.1)."""
    if size == len(leaves):
        return [] if is_whole else [root_of(leaves)]
    half = 1 << ((len(leaves) - 1).bit_length() - 1)
    if size <= half:
        return [*consistency_of(size, leaves[:half], is_whole=is_whole), root_of(leaves[half:])]
    return [*consistency_of(size - half, leaves[half:], is_whole=False), root_of(leaves[:half])]


def test_every_size_has_a_head_over_its_leaves_and_the_nodes_of_its_complete_subtrees() -> None:
    with tables() as connection:
        leaves = appended(connection, 0, 70)

        for size in range(1, 71):
            note = log.note_of(connection, size)
            expected = (LOG.origin, size, root_of(leaves[:size]))
            assert read_head(note, KEY.verifier.public_key) == expected
        nodes = {
            (row.level, row.position): bytes(row.hash)
            for row in connection.execute(sa.select(NODES))
        }
        assert nodes == {
            (level, at): root_of(leaves[at << level : (at + 1) << level])
            for level in range(7)
            for at in range(70 >> level)
        }
        assert log.read_size(connection) == 70
        assert log.entries_between(connection, 5, 9) == leaves[5:9]


@given(data=st.data(), size=st.integers(1, 90))
def test_proofs_are_those_of_the_rfc(data: st.DataObject, size: int) -> None:
    """Inclusion and consistency in a tree of any size are what RFC 9162 works out."""
    index = data.draw(st.integers(0, size - 1))
    first = data.draw(st.integers(1, size))
    leaves = [f"{number}".encode() for number in range(size)]
    with tables() as connection:
        compact: tuple[bytes, ...] = ()
        for number, leaf in enumerate(leaves):
            compact, nodes = merkle.append(number, compact, merkle.leaf_hash(leaf))
            connection.execute(sa.insert(NODES), list(map(log.node_row, nodes)))

        node_of = log.node_reader(connection, size, index)
        assert merkle.root_of_compact_range(merkle.compact_range_of(size, node_of)) == root_of(
            leaves
        )
        assert list(merkle.inclusion_proof(index, size, node_of)) == path_of(index, leaves)
        proof = log.consistency_proof(connection, first, size)
        assert list(proof) == consistency_of(first, leaves)


@pytest.mark.parametrize(
    ("statement", "says"),
    [
        ("UPDATE nodes SET hash = zeroblob(32) WHERE level = 2", "expected the signed root"),
        ("DELETE FROM nodes WHERE level = 2", "expected a node 0 of level 2, got none"),
        ("UPDATE heads SET tree_size = 7 WHERE tree_size = 5", "expected a node"),
        ("DELETE FROM heads WHERE tree_size = 5", "expected a node|expected the signed root"),
    ],
)
def test_a_head_that_the_nodes_do_not_give_is_damage(statement: str, says: str) -> None:
    with tables() as connection:
        appended(connection, 0, 5)
        if "DELETE FROM heads" in statement:
            connection.exec_driver_sql("UPDATE nodes SET hash = zeroblob(32)")
        connection.exec_driver_sql(statement)

        with pytest.raises(LedgerDamaged, match=says):
            log.read_head(connection, LOG)


def test_a_head_that_another_key_has_signed_is_refused() -> None:
    with tables() as connection:
        appended(connection, 0, 5)
        other = Log(origin=LOG.origin, keys=((1, SigningKey.generate(LOG.origin).verifier),))

        with pytest.raises(CheckpointInvalid):
            log.read_head(connection, other)


def test_what_is_missing_of_heads_and_entries_is_damage() -> None:
    with tables() as connection:
        appended(connection, 0, 5)
        connection.execute(sa.delete(ENTRIES).where(ENTRIES.c.log_index == 2))

        with pytest.raises(LedgerDamaged, match="expected a head of 6 entries, got none"):
            log.note_of(connection, 6)
        with pytest.raises(LedgerDamaged, match="expected entries 1 to 3, got 2 of them"):
            log.entries_between(connection, 1, 4)
        connection.execute(sa.delete(HEADS).where(HEADS.c.tree_size == 2))
        connection.execute(sa.delete(NODES).where(NODES.c.level == 1, NODES.c.position == 0))
        with pytest.raises(LedgerDamaged, match="expected heads of 1 to 5 entries, got 4 of them"):
            log.notes_between(connection, 1, 5)
        with pytest.raises(LedgerDamaged, match="expected nodes 0 to 1 of level 1, got 1 of them"):
            log.nodes_between(connection, 1, 0, 2)


def test_the_identity_of_a_log_is_one_row_and_its_keys() -> None:
    with tables() as connection:
        with pytest.raises(LedgerDamaged, match="got 0 of both together"):
            log.read_log(connection)
        connection.execute(sa.insert(LEDGER).values(origin=LOG.origin, schema_version=5))
        with pytest.raises(LedgerDamaged, match="expected one row in the table ledger and a key"):
            log.read_log(connection)
        connection.execute(sa.insert(KEYS).values(signs_from=1, public_key=str(KEY.verifier)))
        assert log.read_log(connection) == LOG
        connection.execute(sa.update(LEDGER).values(schema_version=2))
        with pytest.raises(LedgerDamaged, match="expected schema version 5, got 2"):
            log.read_log(connection)


def test_each_size_is_signed_by_the_key_of_its_time() -> None:
    old, new = KEY.verifier, SigningKey.generate(LOG.origin).verifier
    keys = Log(origin=LOG.origin, keys=((1, old), (5, new)))

    assert [keys.key_of(size) for size in (0, 1, 4, 5, 99)] == [old, old, old, new, new]
    assert keys.key == new


def test_the_rows_of_an_entry_follow_from_it() -> None:
    def rows(name: str, index: int = 7) -> list[log.Row]:
        found = list(log.rows_of(index, GOLDEN[name], b"encoded"))
        assert found[0] == (ENTRIES, {"log_index": index, "type": name, "entry": b"encoded"})
        return found[1:]

    assert rows("export") == []
    assert rows("request") == [(REQUESTS, {"request_id": "yours", "run": "2024-09-16-001"})]
    assert rows("run") == [
        (
            RUNS,
            {
                "run": "2024-09-16-001",
                "log_index": 7,
                "business_date": "2024-09-16",
                "sequence": 1,
                "content_sha256": RECORD.content_sha256,
                "composite": str(RECORD.seed.composite),
            },
        ),
        (REQUESTS, {"request_id": "content-00", "run": "2024-09-16-001"}),
    ]
    assert [table for table, _ in rows("proposal")] == [RUNS, REQUESTS]
    for name in ("approval", "rejection"):
        place = {"run": "2024-09-16-001", "log_index": 7, "business_date": "2024-09-16"}
        assert rows(name) == [(VERDICTS, place)]
    key, charter = GOLDEN["key"], GOLDEN["charter"]
    assert isinstance(key, NextKey)
    assert isinstance(charter, Charter)
    assert rows("key") == [(KEYS, {"signs_from": 43, "public_key": key.public_key})]
    assert rows("charter") == [
        (LEDGER, {"origin": charter.origin, "schema_version": 5}),
        (KEYS, {"signs_from": 1, "public_key": charter.public_key}),
    ]
    later = replace(charter, public_key=None)
    assert [table for table, _ in log.rows_of(7, later, b"")] == [ENTRIES]
    assert HEADS not in {table for table, _ in log.rows_of(7, RECORD, b"")}
