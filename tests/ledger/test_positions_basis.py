"""Later cycles: a pool comes again where its positions are said to be net, or gross."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from lottery import operations
from lottery.audit.replay import Engine, replay
from lottery.day.tables import TAKEN_OFF
from lottery.errors import (
    POOL_ALREADY_ALLOCATED,
    LedgerBusy,
    LedgerDamaged,
    Problem,
    Refused,
)
from lottery.ledger import evidence
from lottery.ledger.run_record import RunRecord
from tests.builders import (
    AAPL,
    GOOGL,
    META,
    PUBLISHED,
    SmallDay,
    evidence_in,
    made,
    notice,
    opened,
    position,
    record_in,
    replay_of,
    request_of,
)
from tests.ledger.ledgers import META_ONLY, Run, assert_sound, conflict, runs_in, unchanged
from tests.reference import Row

A, B, C, D = (f"2024-09-16-00{number}" for number in range(1, 5))
LATE = replace(PUBLISHED, notices=[notice("L1", AAPL, 5)])
"""The published pool again; its positions still have what the first cycle assigned."""
LATE_NET = replace(
    LATE,
    positions=[position(AAPL, "1046", 27), position(AAPL, "1047", 23), position(AAPL, "1048", 5)],
)
"""The same with 3 and 7 contracts taken off, as the published example assigns them."""
LATER = replace(PUBLISHED, notices=[notice("M1", AAPL, 40)])
WHY = "the positions were yesterday's"


def allocated(ledger: Path, run: str) -> list[tuple[str, int, int, int, int]]:
    """Account, short, first and last number and what was assigned, of a run's every account."""
    names = ("account", "short_quantity", "first_number", "last_number", "assigned_quantity")
    table = operations.allocations(opened(ledger), run)
    return list(zip(*(table.column(name).to_pylist() for name in names), strict=True))


def taken_off(ledger: Path, record: RunRecord) -> list[tuple[str, int, int]]:
    """Account, gross short and what was taken off."""
    table = opened(ledger).read(record, "taken_off.parquet")
    names = ("account", "short_quantity", "taken_off_quantity")
    return list(zip(*(table.column(name).to_pylist() for name in names), strict=True))


def problems_of(run: Callable[[], object]) -> list[Problem]:
    """Return what a run is refused with."""
    with pytest.raises(Refused) as caught:
        run()
    return list(caught.value.problems)


def files_of(record: RunRecord) -> list[str]:
    return [file.name for file in record.evidence]


def both_engines(ledger: Path, run: str) -> None:
    """Asserts that a run replays by either engine."""
    for engine in Engine:
        assert replay_of(ledger, run, engine).mismatches == ()


@pytest.mark.usefixtures("published")
def test_a_pool_comes_again_only_where_it_is_said_what_its_positions_are(
    run: Run, ledger: Path
) -> None:
    with unchanged(ledger), conflict(POOL_ALREADY_ALLOCATED):
        run(LATE, cycle=2)
    assert run(LATE_NET, cycle=2, positions_basis="net").record.run == B
    with unchanged(ledger), conflict(POOL_ALREADY_ALLOCATED):
        run(LATER, cycle=3)
    assert run(LATER, cycle=3, positions_basis="gross").record.run == C
    assert_sound(ledger)


@pytest.mark.parametrize("basis", ["Net", "", "GROSS", "both", "net "])
@pytest.mark.parametrize("cycle", [1, 2])
def test_any_other_basis_is_refused(run: Run, ledger: Path, basis: str, cycle: int) -> None:
    (problem,) = problems_of(lambda: run(PUBLISHED, cycle=cycle, positions_basis=basis))

    message = f"positions basis must be net or gross, got {basis!r}"
    assert (problem.source, problem.message) == ("positions_basis", message)
    assert runs_in(ledger) == []


@pytest.mark.usefixtures("published")
def test_net_positions_are_taken_as_they_are(run: Run, ledger: Path) -> None:
    record = run(LATE_NET, cycle=2, positions_basis="net").record

    assert (record.positions_basis, record.taken_off) == ("net", ())
    assert "taken_off.parquet" not in files_of(record)
    # 0.4314 x 55 is 23.7.
    assert allocated(ledger, B) == [
        ("1046", 27, 1, 27, 5),
        ("1047", 23, 28, 50, 0),
        ("1048", 5, 51, 55, 0),
    ]
    both_engines(ledger, B)
    assert_sound(ledger)


@pytest.mark.usefixtures("published")
def test_gross_positions_lose_what_was_assigned_before_account_by_account(
    run: Run, ledger: Path
) -> None:
    record = run(LATE, cycle=2, positions_basis="gross").record

    assert (record.positions_basis, record.taken_off) == ("gross", (A,))
    assert taken_off(ledger, record) == [("1046", 30, 3), ("1047", 30, 7)]
    assert allocated(ledger, B) == [
        ("1046", 27, 1, 27, 5),
        ("1047", 23, 28, 50, 0),
        ("1048", 5, 51, 55, 0),
    ]
    both_engines(ledger, B)
    assert_sound(ledger)


@pytest.mark.usefixtures("published")
def test_what_several_runs_assigned_is_added_up(run: Run, ledger: Path) -> None:
    run(LATE, cycle=2, positions_basis="gross")

    record = run(LATER, cycle=3, positions_basis="gross").record

    assert record.taken_off == (A, B)
    # 0.4314 x 50 is 21.57; 40 contracts from 21 on, and around to 10.
    assert taken_off(ledger, record) == [("1046", 30, 8), ("1047", 30, 7)]
    assert allocated(ledger, C) == [
        ("1046", 22, 1, 22, 12),
        ("1047", 23, 23, 45, 23),
        ("1048", 5, 46, 50, 5),
    ]
    both_engines(ledger, C)


def test_an_account_with_nothing_left_takes_no_number(run: Run, ledger: Path) -> None:
    run(replace(PUBLISHED, notices=[notice("A1", AAPL, 33)]))
    assert [row[4] for row in allocated(ledger, A)] == [3, 30, 0]

    record = run(LATE, cycle=2, positions_basis="gross").record

    assert taken_off(ledger, record) == [("1046", 30, 3), ("1047", 30, 30)]
    assert [row[:4] for row in allocated(ledger, B)] == [("1046", 27, 1, 27), ("1048", 5, 28, 32)]
    both_engines(ledger, B)
    assert_sound(ledger)


def test_a_pool_of_which_nothing_is_left_is_a_break_without_positions(
    run: Run, ledger: Path
) -> None:
    run(replace(PUBLISHED, notices=[notice("A1", AAPL, 65)]))

    outcome = run(LATE, cycle=2, positions_basis="gross")

    assert [(one.reason, one.assigned_quantity, one.total_short) for one in outcome.breaks] == [
        ("NO_POSITION", 5, 0)
    ]
    assert allocated(ledger, B) == []
    both_engines(ledger, B)
    # A broken pool has allocated nothing: there is nothing more to take off.
    again = run(LATER, cycle=3, positions_basis="gross").record
    assert again.taken_off == (A,)


@pytest.mark.usefixtures("published")
def test_the_figures_of_a_break_are_net(run: Run, ledger: Path) -> None:
    late = replace(PUBLISHED, notices=[notice("L1", AAPL, 56)])
    outcome = run(late, cycle=2, positions_basis="gross")
    record = outcome.record

    assert [(one.reason, one.assigned_quantity, one.total_short) for one in outcome.breaks] == [
        ("EXCEEDS_SHORT", 56, 55)
    ]
    assert record.allocated_quantity == 0
    broken = opened(ledger).read(record, "broken_positions.parquet")
    assert broken.column("short_quantity").to_pylist() == [27, 23, 5]
    assert taken_off(ledger, record) == [("1046", 30, 3), ("1047", 30, 7)]
    both_engines(ledger, B)
    assert_sound(ledger)


@pytest.mark.usefixtures("published")
def test_a_pool_that_was_not_allocated_before_keeps_its_positions(run: Run, ledger: Path) -> None:
    both = SmallDay(
        notices=[notice("L1", AAPL, 5), *META_ONLY.notices, notice("C1", AAPL, 2, "C")],
        positions=[*PUBLISHED.positions, position(AAPL, "1046", 3, "C"), *META_ONLY.positions],
    )

    record = run(both, cycle=2, positions_basis="gross").record

    assert record.taken_off == (A,)
    assert taken_off(ledger, record) == [("1046", 30, 3), ("1047", 30, 7)]
    shorts = [row[:2] for row in allocated(ledger, B)]
    assert shorts == [("1046", 27), ("1047", 23), ("1048", 5), ("1", 9), ("2", 9), ("1046", 3)]
    both_engines(ledger, B)


def test_a_pool_that_broke_before_takes_nothing_off(run: Run, ledger: Path) -> None:
    broken = replace(PUBLISHED, notices=[notice("A1", AAPL, 66)])
    assert run(broken).breaks

    record = run(LATE, cycle=2, positions_basis="gross").record

    assert record.taken_off == ()
    assert [row[1] for row in allocated(ledger, B)] == [30, 30, 5]
    both_engines(ledger, B)


def test_every_account_that_has_less_than_it_was_assigned_is_refused_with_its_row(
    run: Run, ledger: Path
) -> None:
    run(
        replace(
            PUBLISHED,
            notices=[notice("A1", AAPL, 40), notice("B1", META, 5)],
            positions=[*PUBLISHED.positions, *META_ONLY.positions],
        )
    )
    assert [row[4] for row in allocated(ledger, A)] == [5, 30, 5, 3, 2]
    late = SmallDay(
        notices=[notice("L1", AAPL, 1), notice("L2", META, 1)],
        positions=[
            position(META, "2", 1),
            position(AAPL, "1046", 4),
            position(AAPL, "1048", 0),
            position(META, "1", 9),
        ],
    )

    with unchanged(ledger):
        problems = problems_of(lambda: run(late, cycle=2, positions_basis="gross"))

    reported = (
        "account {} of {} was assigned {} earlier on this date but {}; gross positions include it"
    )
    assert [(one.row, one.line, one.column, one.message) for one in problems] == [
        (None, None, None, reported.format("1047", AAPL, 30, "has no position")),
        (1, 2, "short_quantity", reported.format("2", META, 2, "is short 1")),
        (2, 3, "short_quantity", reported.format("1046", AAPL, 5, "is short 4")),
        (3, 4, "short_quantity", reported.format("1048", AAPL, 5, "is short 0")),
    ]
    assert {one.source for one in problems} == {"positions.csv"}
    assert runs_in(ledger) == [A]
    assert_sound(ledger)


@pytest.mark.usefixtures("published")
def test_the_same_gross_command_again_finds_its_run(run: Run, ledger: Path) -> None:
    first = run(LATE, cycle=2, positions_basis="gross")
    run(LATER, cycle=3, positions_basis="gross")

    with unchanged(ledger):
        again = run(LATE.shuffled(4), cycle=2, positions_basis="gross")

    assert (first.already_recorded, again.already_recorded) == (False, True)
    assert again.record == first.record


@pytest.mark.usefixtures("published")
def test_what_a_superseded_run_assigned_is_not_taken_off(run: Run, ledger: Path) -> None:
    run(
        replace(PUBLISHED, notices=[notice("A1", AAPL, 2)]),
        supersedes=[A],
        reason=WHY,
    )
    assert [row[4] for row in allocated(ledger, B)] == [2, 0, 0]

    record = run(LATE, cycle=2, positions_basis="gross").record

    assert record.taken_off == (B,)
    assert taken_off(ledger, record) == [("1046", 30, 2)]
    both_engines(ledger, C)
    assert_sound(ledger)


@pytest.mark.usefixtures("published")
def test_what_the_runs_that_it_supersedes_assigned_is_not_taken_off(run: Run, ledger: Path) -> None:
    run(LATE, cycle=2, positions_basis="gross")

    record = run(LATER, cycle=2, positions_basis="gross", supersedes=[B], reason=WHY).record

    assert (record.supersedes, record.taken_off) == ((B,), (A,))
    assert taken_off(ledger, record) == [("1046", 30, 3), ("1047", 30, 7)]
    alone = run(
        replace(PUBLISHED, notices=[notice("N1", AAPL, 1)]),
        positions_basis="gross",
        supersedes=[A, C],
        reason=WHY,
    ).record
    assert alone.taken_off == ()
    for name in (A, B, C, D):
        both_engines(ledger, name)
    assert_sound(ledger)


@pytest.mark.usefixtures("published")
def test_a_run_superseded_while_gross_positions_are_made_net_makes_it_busy(
    run: Run, ledger: Path, tmp_path: Path
) -> None:
    run(META_ONLY)
    request = request_of(LATE, tmp_path / "late", cycle=2, positions_basis="gross")
    other = replace(META_ONLY, notices=[notice("B1", META, 4)])
    steps = 0

    def proceed() -> None:
        nonlocal steps
        steps += 1
        if steps == 2:
            superseding = request_of(other, tmp_path / "other", supersedes=[B], reason=WHY)
            record_in(ledger, superseding)

    with pytest.raises(LedgerBusy):
        operations.run_lottery(made(ledger), request, proceed=proceed)

    assert runs_in(ledger) == [A, B, C]


def test_nothing_is_taken_off_by_allocations_that_are_not_the_recorded_ones(
    run: Run, ledger: Path
) -> None:
    record = run(PUBLISHED).record
    (evidence_in(ledger, record.run) / "allocations.parquet").unlink()

    with (
        unchanged(ledger),
        pytest.raises(LedgerDamaged, match=r"allocations\.parquet of run .* is missing"),
    ):
        run(LATE, cycle=2, positions_basis="gross")


def test_the_digest_of_an_account_that_has_nothing_left_is_that_of_the_file_given(
    run: Run, ledger: Path
) -> None:
    run(replace(PUBLISHED, notices=[notice("A1", AAPL, 33)]))
    record = run(LATE, cycle=2, positions_basis="gross").record

    assert replay_of(ledger, B).mismatches == ()
    less = replace(record, content_sha256="0" * 64)
    directory = evidence_in(ledger, record.run)
    assert "run.json content_sha256" in [one.where for one in replay(less, directory).mismatches]


def without_row(table: pa.Table, row: int) -> pa.Table:
    return pa.concat_tables([table.slice(0, row), table.slice(row + 1)])


def with_quantity(table: pa.Table, name: str, quantities: Sequence[int]) -> pa.Table:
    column = table.schema.get_field_index(name)
    return table.set_column(column, TAKEN_OFF.field(name), pa.array(quantities, pa.int64()))


def with_account(table: pa.Table, accounts: Sequence[str]) -> pa.Table:
    return table.set_column(2, TAKEN_OFF.field("account"), pa.array(accounts))


TAMPERED: dict[str, Callable[[pa.Table], pa.Table]] = {
    "less is taken off": lambda table: with_quantity(table, "taken_off_quantity", [3, 29]),
    "more is taken off": lambda table: with_quantity(table, "taken_off_quantity", [4, 30]),
    "more than there is": lambda table: with_quantity(table, "taken_off_quantity", [3, 31]),
    "another gross quantity": lambda table: with_quantity(table, "short_quantity", [31, 30]),
    "both quantities": lambda table: with_quantity(
        with_quantity(table, "short_quantity", [31, 30]), "taken_off_quantity", [4, 30]
    ),
    "an account less": lambda table: without_row(table, 0),
    "an account with nothing left less": lambda table: without_row(table, 1),
    "another account": lambda table: with_account(table, ["1046", "1049"]),
    "accounts swapped": lambda table: with_account(table, ["1047", "1046"]),
    "another order": lambda table: table.take(pa.array([1, 0])),
    "nothing": lambda table: table.slice(0, 0),
    "a row twice": lambda table: table.take(pa.array([0, 1, 1])),
}


@pytest.fixture(scope="module")
def gross(tmp_path_factory: pytest.TempPathFactory) -> tuple[RunRecord, Path]:
    """Record a gross run after which an account has nothing left; return it and its evidence."""
    place = tmp_path_factory.mktemp("gross")
    first = replace(PUBLISHED, notices=[notice("A1", AAPL, 33)])
    record_in(place / "ledger", request_of(first, place / "first"))
    request = request_of(LATE, place / "late", cycle=2, positions_basis="gross")
    record = record_in(place / "ledger", request).record
    return record, evidence_in(place / "ledger", record.run)


def tampered(
    gross: tuple[RunRecord, Path], folder: Path, change: Callable[[pa.Table], pa.Table]
) -> tuple[RunRecord, Path]:
    """Return a gross run's record, and a copy of its evidence with what was taken off changed."""
    record, evidence_of_it = gross
    shutil.copytree(evidence_of_it, folder)
    table = evidence.read_table(folder, "taken_off.parquet")
    changed = change(table)
    assert not changed.equals(table)
    (folder / "taken_off.parquet").unlink()
    evidence.write_parquet(changed, folder / "taken_off.parquet")
    return record, folder


@pytest.mark.parametrize("name", TAMPERED)
def test_what_was_taken_off_cannot_be_changed_with_its_digest_either(
    gross: tuple[RunRecord, Path], tmp_path: Path, name: str
) -> None:
    record, directory = tampered(gross, tmp_path / "copy", TAMPERED[name])
    content = (directory / "taken_off.parquet").read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    forged = replace(
        record,
        evidence=tuple(
            replace(file, sha256=digest, size=len(content))
            if file.name == "taken_off.parquet"
            else file
            for file in record.evidence
        ),
    )

    replayed = replay(forged, directory)

    assert replayed.mismatches
    assert not replayed.matched


def test_what_was_taken_off_cannot_be_left_out_of_the_record(
    gross: tuple[RunRecord, Path], tmp_path: Path
) -> None:
    record, directory = tampered(gross, tmp_path / "copy", TAMPERED["nothing"])
    (directory / "taken_off.parquet").unlink()
    forged = replace(
        record,
        taken_off=(),
        evidence=tuple(file for file in record.evidence if file.name != "taken_off.parquet"),
    )

    found = replay(forged, directory).mismatches

    assert [mismatch.where for mismatch in found] == ["run.json content_sha256"]


@pytest.mark.usefixtures("published")
def test_accounts_in_another_spelling_than_before_are_no_gross_positions(
    run: Run, ledger: Path
) -> None:
    respelled: list[Row] = [{**row, "account": f"0{row['account']}"} for row in PUBLISHED.positions]

    with unchanged(ledger):
        problems = problems_of(
            lambda: run(replace(LATE, positions=respelled), cycle=2, positions_basis="gross")
        )

    assert [one.message.partition(" was ")[0] for one in problems] == [
        f"account 1046 of {AAPL}",
        f"account 1047 of {AAPL}",
    ]


def test_a_pool_of_another_occ_account_is_another_pool(run: Run, ledger: Path) -> None:
    day = SmallDay(
        notices=[notice("A1", GOOGL, 1, "C")],
        positions=[position(GOOGL, "1", 2, "C"), position(GOOGL, "1", 2, "F")],
    )
    run(day)

    late = replace(day, notices=[notice("A2", GOOGL, 1, "F"), notice("A3", GOOGL, 1, "C")])
    record = run(late, cycle=2, positions_basis="gross").record

    table = opened(ledger).read(record, "taken_off.parquet")
    assert table.to_pylist() == [
        {
            "occ_account": "C",
            "series": GOOGL,
            "account": "1",
            "short_quantity": 2,
            "taken_off_quantity": 1,
        }
    ]
    shorts = opened(ledger).read(record, "allocations.parquet", pc.field("occ_account") == "F")
    assert shorts.column("short_quantity").to_pylist() == [2]
    both_engines(ledger, B)
