"""One rotten byte in an index of the database never lets a notice in a second time."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from lottery.errors import Conflict, LotteryError
from lottery.stores.sqlite import FILE as DATABASE
from tests.builders import META, NEXT_DATE, PUBLISHED, notice, opened, record_in, request_of
from tests.ledger.ledgers import META_ONLY, runs_in

RUNS = ["2024-09-16-001", "2024-09-16-002", "2024-09-16-003", "2024-09-17-001"]
POSITIONS_A_PAGE = 6


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a ledger of several runs."""
    folder = tmp_path_factory.mktemp("indexes")
    for number, day in enumerate(
        (
            PUBLISHED,
            META_ONLY,
            replace(META_ONLY, notices=[notice("B2", META, 1)]),
            replace(PUBLISHED, date=NEXT_DATE),
        )
    ):
        record_in(folder / "ledger", request_of(day, folder / f"in{number}"))
    assert runs_in(folder / "ledger") == RUNS
    return folder / "ledger"


def flips_of(database: Path) -> Iterator[tuple[str, int, int]]:
    """Yield index, offset and mask of single bytes in every page of every index."""
    with closing(sqlite3.connect(database)) as connection:
        (size,) = connection.execute("PRAGMA page_size").fetchone()
        roots = connection.execute(
            "SELECT name, rootpage FROM sqlite_master WHERE type = 'index' AND rootpage > 0"
        ).fetchall()
    content = database.read_bytes()
    assert len(roots) >= 6
    for name, root in roots:
        start = (root - 1) * size
        assert content[start] == 10, "a leaf: so few rows have no other page"
        used = [at for at in range(start, start + size) if content[at]]
        # Header and pointers, and what is spread over the rows.
        for at in {*used[:6], *used[:: max(1, len(used) // POSITIONS_A_PAGE)]}:
            yield name, at, 0x01 if at % 2 else 0x80


def test_no_flipped_byte_of_an_index_lets_a_notice_in_again(recorded: Path, tmp_path: Path) -> None:
    ledger = tmp_path / "ledger"
    shutil.copytree(recorded, ledger)
    whole = (ledger / DATABASE).read_bytes()
    rivals = [
        request_of(PUBLISHED, tmp_path / "a", cycle=2, request_id="again"),
        request_of(META_ONLY, tmp_path / "b", cycle=3, request_id="once-more"),
    ]
    outcomes: dict[str, set[str]] = {}
    for name, at, mask in flips_of(ledger / DATABASE):
        (ledger / DATABASE).write_bytes(whole[:at] + bytes([whole[at] ^ mask]) + whole[at + 1 :])
        for request in rivals:
            with pytest.raises(LotteryError) as caught:
                record_in(ledger, request)
            outcomes.setdefault(name, set()).add(type(caught.value).__name__)
    (ledger / DATABASE).write_bytes(whole)

    assert runs_in(ledger) == RUNS
    assert {"Conflict", "LedgerDamaged"} <= set().union(*outcomes.values())
    for request in rivals:
        with pytest.raises(Conflict):
            record_in(ledger, request)


@pytest.mark.parametrize("index", ["content_sha256", "requests"])
def test_the_same_request_under_another_id_finds_its_run_or_is_refused(
    recorded: Path, tmp_path: Path, index: str
) -> None:
    request = request_of(PUBLISHED, tmp_path / "a", request_id="another")
    for number, (name, at, mask) in enumerate(flips_of(recorded / DATABASE)):
        if index not in name:
            continue
        ledger = tmp_path / f"{number}"
        shutil.copytree(recorded, ledger)
        content = bytearray((ledger / DATABASE).read_bytes())
        content[at] ^= mask
        (ledger / DATABASE).write_bytes(content)
        try:
            outcome = record_in(ledger, request)
        except LotteryError:
            pass
        else:
            assert (outcome.already_recorded, outcome.record.run) == (True, RUNS[0])
        heads = sorted(path.name for path in (ledger / "log/heads").iterdir())
        assert len(heads) <= 6
        shutil.rmtree(ledger)
    assert [record.run for record in opened(recorded).iterate()] == RUNS
