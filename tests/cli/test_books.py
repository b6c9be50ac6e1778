"""`lottery day`, `diff` and `history`: what is booked, what changed, and what happened."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import openpyxl
import pyarrow.parquet as pq
import pytest

from tests.builders import (
    AAPL,
    GE,
    META,
    NEXT_DATE,
    PUBLISHED,
    SmallDay,
    asks_making,
    notice,
    position,
    positions_of,
)
from tests.cli.calls import (
    Door,
    evidence_file,
    example_arguments,
    fails,
    files_of,
    run_of,
    serving,
    succeeds,
    superseding,
)

FIRST, LATE, CORRECTED, BROKEN, NEXT = (
    *(f"2024-09-16-00{number}" for number in range(1, 5)),
    "2024-09-17-001",
)
COMPACT = "AAPL240920C00220000"
COMMANDS = [
    ["day", "2024-09-16"],
    ["day", "2024-09-16", "--allocations"],
    ["day", "2024-09-17", "--output", "out"],
    ["day", "2024-09-18"],
    ["day", "2024-9-16"],
    ["diff", FIRST, CORRECTED],
    ["diff", "latest", NEXT],
    ["diff", FIRST, "2024-09-16-009"],
    ["diff", FIRST, NEXT],
    ["diff", FIRST],
    ["diff", FIRST, LATE, "--since", FIRST],
    ["diff", FIRST, "--since", FIRST],
    ["diff", "2024-09-16", "--since", FIRST],
    ["diff", "2024-09-16", "--since", BROKEN],
    ["diff", "2024-09-16", "--since", NEXT],
    ["diff", "2024-09-18", "--since", "2024-09-18-001"],
    ["history", "--account", "1046"],
    ["history", "--account", "1046", "--from", "2024-09-17"],
    ["history", "--account", "1046", "--to", "2024-09-16"],
    ["history", "--account", "1046", "--from", "2024-09-17", "--to", "2024-09-16"],
    ["history", "--account", "4711"],
    ["history", "--series", COMPACT],
    ["history", "--series", "AAPL"],
    ["history", "--series", COMPACT, "--account", "1046"],
    ["history"],
]


@pytest.fixture(scope="module")
def books(tmp_path_factory: pytest.TempPathFactory) -> Door:
    """Return a ledger with late notices, a correction of both runs, a late break, another date."""
    folder = tmp_path_factory.mktemp("books")
    door = files_of(folder / "ledger")
    late = replace(PUBLISHED, notices=[notice("L1", AAPL, 5)])
    corrected = SmallDay(
        notices=[*PUBLISHED.notices, *late.notices],
        positions=[*PUBLISHED.positions, position(AAPL, "2000", 1)],
    )
    broken = replace(
        corrected,
        notices=[notice("B1", AAPL, 52), notice("B2", GE, 60)],
        positions=[*corrected.positions, *positions_of(GE, {"9": 50, "10": 20})],
    )
    other = SmallDay(
        notices=[notice("M1", META, 3)],
        positions=positions_of(META, {"1046": 4, "7": 2}),
        asks=asks_making(345_678_901),
        date=NEXT_DATE,
    )
    for command, exit_code in (
        (run_of(PUBLISHED, folder / "1"), 0),
        ([*run_of(late, folder / "2"), "--cycle", "2"], 0),
        ([*superseding(corrected, folder / "3", FIRST, LATE), "--cycle", "2"], 0),
        ([*run_of(broken, folder / "4"), "--cycle", "3"], 4),
        (run_of(other, folder / "5"), 0),
    ):
        assert door(*command).exit_code == exit_code
    return door


@pytest.fixture(scope="module")
def served(books: Door) -> Iterator[Door]:
    with serving(books.ledger) as server:
        yield server


@pytest.mark.parametrize("form", [[], ["--json"]], ids=["text", "json"])
@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_a_server_answers_as_the_files_do(
    books: Door, served: Door, command: list[str], form: list[str]
) -> None:
    answer = books(*command, *form)

    assert served(*command, *form) == answer
    assert answer.out or answer.err


def test_a_day_is_what_stands_over_all_cycles(books: Door) -> None:
    text, document = succeeds(books, "day", "2024-09-16", "--allocations")

    pools, allocations = document.pop("pools"), document.pop("allocations")
    recorded_at = document.pop("recorded_at")
    breaks = document.pop("breaks")
    assert document == {
        "business_date": "2024-09-16",
        "state": "ALLOCATED_WITH_BREAKS",
        "runs": [CORRECTED, BROKEN],
        "superseded": [
            {"run": FIRST, "superseded_by": CORRECTED},
            {"run": LATE, "superseded_by": CORRECTED},
        ],
        "last_run": BROKEN,
        "pool_count": 2,
        "notice_count": 4,
        "assigned_quantity": 127,
        "allocated_quantity": 75,
        "break_count": 1,
    }
    assert breaks == [
        {
            "occ_account": "",
            "series": AAPL,
            "reason": "EXCEEDS_SHORT",
            "assigned_quantity": 52,
            "total_short": 66,
            "assigned_before": 15,
        }
    ]
    assert [
        (pool["series"], pool["assigned_quantity"], pool["break_reason"]) for pool in pools
    ] == [
        (AAPL, 15, None),
        (AAPL, 52, "EXCEEDS_SHORT"),
        (GE, 60, None),
    ]
    assert [(row["account"], row["assigned_quantity"]) for row in allocations] == [
        ("1046", 3),
        ("1047", 12),
        ("1048", 0),
        ("2000", 0),
        ("9", 40),
        ("10", 20),
    ]
    assert text.lines[:6] == [
        "What stands for 2024-09-16: ALLOCATED_WITH_BREAKS",
        f"standing: {CORRECTED}, {BROKEN}",
        f"{FIRST} is superseded by {CORRECTED}",
        f"{LATE} is superseded by {CORRECTED}",
        f"the last run, {BROKEN}, was recorded {recorded_at}",
        "4 notices for 2 pools, 127 contracts: 75 allocated, 52 in 1 break",
    ]
    assert f"{AAPL} 1048" not in text.out


def test_the_files_of_a_day_are_those_of_a_run_and_a_document(books: Door, tmp_path: Path) -> None:
    out = tmp_path / "out"

    _, document = succeeds(books, "day", "2024-09-16", "--output", out)

    assert sorted(path.name for path in out.iterdir()) == [
        "allocations.csv",
        "day.json",
        "pools.csv",
    ]
    pools = document.pop("pools")
    assert document.pop("output") == str(out)
    assert json.loads((out / "day.json").read_text(encoding="utf-8")) == document
    with (out / "pools.csv").open(encoding="utf-8", newline="") as lines:
        assert [row["series"] for row in csv.DictReader(lines)] == [one["series"] for one in pools]
    with (out / "allocations.csv").open(encoding="utf-8", newline="") as lines:
        assert sum(int(row["assigned_quantity"]) for row in csv.DictReader(lines)) == 75


@pytest.mark.parametrize("form", ["csv", "parquet", "xlsx"])
def test_a_day_of_one_run_has_the_files_of_that_run(door: Door, tmp_path: Path, form: str) -> None:
    given = ["--format", form, "--output"]
    assert door(*example_arguments(), *given, tmp_path / "run").exit_code == 4
    assert door("day", "2024-09-16", *given, tmp_path / "day").exit_code == 0

    for name in (f"allocations.{form}", f"pools.{form}"):
        run, day = (tmp_path / folder / name for folder in ("run", "day"))
        if form == "xlsx":  # Their titles and summaries differ.
            sheets = [
                [list(sheet.values) for sheet in openpyxl.load_workbook(path).worksheets[1:]]
                for path in (run, day)
            ]
            assert sheets[0] == sheets[1]
        else:
            assert run.read_bytes() == day.read_bytes()
    if form == "parquet":
        assert pq.read_table(tmp_path / "day" / "pools.parquet").num_rows == 17


def test_breaks_of_pools_that_are_series_are_resolved_too(tmp_path: Path) -> None:
    door = Door(ledger=tmp_path / "ledger", options=("--ledger", str(tmp_path / "ledger")))
    assert door("init", "--decision", "pool=series").exit_code == 0
    notices = [notice("A1", AAPL, 40, "C"), notice("A2", AAPL, 30, "F"), notice("B1", GE, 90, "C")]
    short = [*PUBLISHED.positions, position(GE, "1", 90)]
    broken = SmallDay(notices=notices, positions=short)
    again = replace(broken, notices=[notice("A2", AAPL, 30, "F")])
    assert door(*run_of(broken, tmp_path)).exit_code == 4
    assert door(*run_of(again, tmp_path), "--cycle", "2").exit_code == 0

    _, document = succeeds(door, "day", "2024-09-16")
    _, history = succeeds(door, "history", "--account", "1046")

    names = ("occ_account", "series", "assigned_quantity", "break_reason")
    assert [tuple(pool[name] for name in names) for pool in document["pools"]] == [
        ("", AAPL, 30, None),
        ("", AAPL, 40, "EXCEEDS_SHORT"),
        ("", GE, 90, None),
    ]
    assert [(row["run"], row["break_reason"]) for row in history["rows"]] == [
        (FIRST, "EXCEEDS_SHORT"),
        (LATE, None),
    ]


def test_a_date_without_a_run_has_nothing_that_stands(books: Door, tmp_path: Path) -> None:
    text, document = fails(
        books, "day", "2024-09-18", "--output", tmp_path, exit_code=2, reason="RUN_NOT_FOUND"
    )

    assert "no run is recorded for 2024-09-18" in text.message
    assert document["run"] == "2024-09-18"
    assert list(tmp_path.glob("*.csv")) == []


def test_a_diff_of_two_runs_lists_the_accounts_that_differ(books: Door) -> None:
    text, document = succeeds(books, "diff", FIRST, CORRECTED)

    (change,) = document.pop("changes")
    assert change == {
        "occ_account": "",
        "series": AAPL,
        "account": "1047",
        "before": 7,
        "after": 12,
        "difference": 5,
    }
    assert document == {
        "business_date": "2024-09-16",
        "before_runs": [FIRST],
        "after_runs": [CORRECTED],
        "before": 10,
        "after": 15,
        "difference": 5,
        "increase": 5,
        "decrease": 0,
    }
    assert text.lines[:4] == [
        "What changed for 2024-09-16",
        f"before: {FIRST}",
        f"after: {CORRECTED}",
        "10 allocated before, 15 after: 5 more and 0 less, in 1 row",
    ]
    assert text.lines[-1] == f"{AAPL.replace('  ', ' ')} 1047 7 12 +5"


def test_a_diff_since_a_run_compares_what_stands(books: Door) -> None:
    _, late = succeeds(books, "diff", "2024-09-16", "--since", LATE)
    text, nothing = succeeds(books, "diff", "2024-09-16", "--since", BROKEN)

    assert (late["before_runs"], late["after_runs"]) == ([FIRST, LATE], [CORRECTED, BROKEN])
    assert [(row["series"], row["account"], row["difference"]) for row in late["changes"]] == [
        (GE, "9", 40),
        (GE, "10", 20),
    ]
    assert (late["increase"], late["decrease"]) == (60, 0)
    assert nothing["changes"] == []
    assert text.lines[-1] == "no account is assigned another quantity"


def test_a_history_says_what_stands_and_what_superseded_the_rest(books: Door) -> None:
    text, document = succeeds(books, "history", "--account", "1046")

    assert (document["account"], document["series"], document["standing_quantity"]) == (
        "1046",
        None,
        6,
    )
    assert [
        (row["run"], row["assigned_quantity"], row["break_reason"], row["superseded_by"])
        for row in document["rows"]
    ] == [
        (FIRST, 3, None, CORRECTED),
        (LATE, 0, None, CORRECTED),
        (CORRECTED, 3, None, None),
        (BROKEN, 0, "EXCEEDS_SHORT", None),
        (NEXT, 3, None, None),
    ]
    assert text.lines[1] == "History of 1046"
    assert text.lines[4].endswith(f"superseded by {CORRECTED}")
    assert text.lines[7].endswith("stands, EXCEEDS_SHORT")
    assert text.lines[-1] == "6 contracts allocated by runs that stand"


def test_a_long_history_is_counted_and_not_shown(
    books: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lottery.cli.text.ROWS_SHOWN", 2)

    answer = books("history", "--series", COMPACT)

    assert answer.lines[-2:] == [
        "and 2 more; --json lists all",
        "15 contracts allocated by runs that stand",
    ]


def test_an_account_without_a_row_has_an_empty_history(books: Door) -> None:
    text, document = succeeds(books, "history", "--account", "4711")

    assert document == {"account": "4711", "series": None, "rows": [], "standing_quantity": 0}
    assert text.lines == ["no run between these dates has 4711 in an assigned pool"]


def test_an_error_in_a_history_is_a_document_of_its_own(door: Door, tmp_path: Path) -> None:
    assert door(*run_of(PUBLISHED, tmp_path)).exit_code == 0
    other = SmallDay(
        notices=[notice("M1", META, 3)],
        positions=positions_of(META, {"1046": 4}),
        asks=asks_making(345_678_901),
        date=NEXT_DATE,
    )
    assert door(*run_of(other, tmp_path)).exit_code == 0
    file = evidence_file(door.ledger, "allocations.parquet", NEXT)
    file.chmod(0o600)
    file.write_bytes(b"")

    _, document = fails(door, "history", "--account", "1046", exit_code=6, reason="LEDGER_DAMAGED")

    assert "rows" not in document
