"""What a value may be: symbols, accounts, quantities, notice ids, OCC accounts; doubled rows."""

from __future__ import annotations

from pathlib import Path

import pytest

from lottery import operations
from lottery.day.tables import INT64_MAX
from lottery.errors import INVALID_INPUT, PROBLEM_LIMIT, Refused
from tests.builders import (
    AAPL,
    META,
    NOTICE_NAMES,
    POSITION_NAMES,
    PUBLISHED,
    SmallDay,
    csv_text,
    notice,
    position,
    positions_of,
    record_in,
    refusal,
    request_of,
    request_of_files,
    write_files,
)
from tests.intake.conftest import Read, ReadAll, locations, rows, texts
from tests.reference import Row


def refused_places(refused: Refused) -> list[tuple[str, int | None, str | None, str | None]]:
    return [
        (problem.source, problem.row, problem.column, problem.rule) for problem in refused.problems
    ]


NO_QUANTITIES = [
    *("-5", "+5", "1.5", "5.0", "", "five", "1e3", " 5", "5 ", "1,000", "1_000", "0x5", "\u0665"),
    *(str(2**63), str(2**64 + 5), "9" * 30, "9" * 31, "1" * 400),
]


@pytest.mark.parametrize("quantity", NO_QUANTITIES)
def test_a_quantity_is_plain_digits_of_at_most_63_bits(
    read_positions: ReadAll, read_notices: Read, quantity: str
) -> None:
    positions = [position(AAPL, "1046", 30), position(AAPL, "1047", quantity)]
    notices = [notice("A1", AAPL, 30), notice("A2", AAPL, quantity)]

    _, wrong_short = read_positions(csv_text(positions, POSITION_NAMES))
    _, wrong_notice = read_notices(csv_text(notices, NOTICE_NAMES))

    assert locations(wrong_short) == [(2, "short_quantity")]
    assert "[P2]" in texts(wrong_short)
    assert locations(wrong_notice) == [(2, "quantity")]


@pytest.mark.parametrize(("text", "value"), [("0", 0), ("007", 7), (str(INT64_MAX), INT64_MAX)])
def test_a_short_quantity_may_be_zero_have_leading_zeros_and_reach_63_bits(
    read_positions: ReadAll, text: str, value: int
) -> None:
    received, problems = read_positions(csv_text([position(AAPL, "1046", text)]))

    assert not problems
    assert rows(received)[0]["short_quantity"] == value


def test_a_notice_of_nothing_is_refused(read_notices: Read) -> None:
    _, problems = read_notices(csv_text([notice("A1", AAPL, 1), notice("A2", AAPL, 0)]))

    assert locations(problems) == [(2, "quantity")]


@pytest.mark.parametrize(
    "account",
    ["", "-1", "+1", "1 ", " 1", "1.0", "1e3", "1-2", "10A", "A", "\u0661", "1" * 31, "0x1"],
)
def test_an_account_is_1_to_30_plain_digits(tmp_path: Path, account: str) -> None:
    rows = [*PUBLISHED.positions, position(AAPL, account, 1), position(META, account, 1)]

    refused = refusal(request_of(SmallDay(notices=PUBLISHED.notices, positions=rows), tmp_path))

    assert refused_places(refused) == [("positions.csv", 4, "account", "R2")]
    assert refused.reason == INVALID_INPUT


def test_a_long_account_is_shown_short(tmp_path: Path) -> None:
    rows = [position(AAPL, "9" * 5_000, 30)]

    refused = refusal(request_of(SmallDay(notices=PUBLISHED.notices, positions=rows), tmp_path))

    assert len(str(refused)) < 300


@pytest.mark.parametrize("notice_id", ["", " ", " A1", "A1 ", "A\u00e4", "A\t1", "x" * 129])
def test_a_notice_id_is_printable_ascii_without_blanks_at_the_ends(
    read_notices: Read, notice_id: str
) -> None:
    _, problems = read_notices(csv_text([notice("A1", AAPL, 1), notice(notice_id, AAPL, 1)]))

    assert locations(problems) == [(2, "notice_id")]


@pytest.mark.parametrize("notice_id", ["1", "A 1", "0001", "x" * 128, "{9c}/#7~"])
def test_other_notice_ids_are_kept_as_they_are(read_notices: Read, notice_id: str) -> None:
    received, problems = read_notices(csv_text([notice(notice_id, AAPL, 1)]))

    assert not problems
    assert received.table.column("notice_id").to_pylist() == [notice_id]


@pytest.mark.parametrize("occ_account", ["/C", " C", "C ", "C ZZZ", "\u00c4", "C" * 33, "C,F"])
def test_an_occ_account_of_other_characters_is_refused(
    read_notices: Read, occ_account: str
) -> None:
    rows = [notice("A1", AAPL, 1, "C/ZZZ"), notice("A2", AAPL, 1, occ_account)]

    _, problems = read_notices(csv_text(rows))

    assert locations(problems) == [(2, "occ_account")]


def test_a_notice_id_that_stands_twice_is_refused_with_both_rows(tmp_path: Path) -> None:
    rows = [notice("A1", AAPL, 1), notice("A2", AAPL, 1), notice("A1", META, 2)]

    refused = refusal(request_of(SmallDay(notices=rows, positions=PUBLISHED.positions), tmp_path))

    assert refused_places(refused) == [("notices.csv", 3, "notice_id", None)]
    assert "duplicate notice id 'A1'; it is also on row 1 of notices.csv" in str(refused)


@pytest.mark.parametrize(
    ("occ_accounts", "refused_rows"),
    [(("", "C"), [2]), (("C", ""), [2]), (("C", "F", ""), [3]), (("", "C", "F"), [2, 3])],
)
def test_a_notice_id_with_and_without_an_occ_account_is_one_notice(
    occ_accounts: tuple[str, ...], refused_rows: list[int], tmp_path: Path
) -> None:
    rows = [notice("A1", AAPL, 1, occ_account) for occ_account in occ_accounts]

    refused = refusal(request_of(SmallDay(notices=rows, positions=PUBLISHED.positions), tmp_path))

    assert [row for _, row, *_ in refused_places(refused)] == refused_rows
    assert "duplicate notice id 'A1'" in str(refused)


def test_a_notice_id_of_one_occ_account_and_of_another_are_two_notices(tmp_path: Path) -> None:
    rows = [notice("A1", AAPL, 1, "C"), notice("A1", AAPL, 1, "F")]
    day = SmallDay(notices=rows, positions=PUBLISHED.positions)

    assert operations.compute_day(request_of(day, tmp_path)).notices.num_rows == 2


def test_a_notice_id_of_the_compact_and_the_padded_symbol_is_one(tmp_path: Path) -> None:
    rows = [notice("A1", AAPL, 1, "C"), notice("A1", AAPL.replace(" ", ""), 1, "C")]

    refused = refusal(request_of(SmallDay(notices=rows, positions=PUBLISHED.positions), tmp_path))

    assert refused_places(refused) == [("notices.csv", 2, "notice_id", None)]


def test_a_notice_id_may_stand_once_in_each_occ_account(tmp_path: Path) -> None:
    rows = [notice("A1", AAPL, 1, "C"), notice("A1", AAPL, 1, "F")]
    held = [position(AAPL, "1046", 1, "C"), position(AAPL, "1046", 1, "F")]

    request = request_of(SmallDay(notices=rows, positions=held), tmp_path)

    assert request.notices.table.num_rows == 2
    assert not request.problems


@pytest.mark.parametrize(
    ("account", "rule", "told"),
    [
        ("0042", "P4", "account 0042 appears twice in this pool; it is also on row 4"),
        ("42", "R2", "account 42 appears twice in this pool; it is 0042 on row 4"),
    ],
)
def test_an_account_has_one_row_and_one_spelling_in_a_pool(
    tmp_path: Path, account: str, rule: str, told: str
) -> None:
    rows = [*PUBLISHED.positions, *positions_of(AAPL, [("0042", 5), (account, 5)])]
    rows += positions_of(META, [("0042", 5), (account, 5)])  # Nobody's business (P4).

    refused = refusal(request_of(SmallDay(notices=PUBLISHED.notices, positions=rows), tmp_path))

    assert refused_places(refused) == [("positions.csv", 5, "account", rule)]
    assert told in str(refused)


def test_an_account_of_the_compact_and_the_padded_symbol_stands_twice(tmp_path: Path) -> None:
    rows = [*PUBLISHED.positions, position(AAPL.replace(" ", ""), "1046", 5)]

    refused = refusal(request_of(SmallDay(notices=PUBLISHED.notices, positions=rows), tmp_path))

    assert refused_places(refused) == [("positions.csv", 4, "account", "P4")]


def test_an_account_may_be_in_many_pools(tmp_path: Path) -> None:
    rows: list[Row] = [
        position(series, "1046", 5, occ) for series in (AAPL, META) for occ in ("C", "F")
    ]
    notices = [notice("A1", AAPL, 3, "C")]

    request = request_of(SmallDay(notices=notices, positions=rows), tmp_path)

    assert not request.problems


def test_problems_of_all_files_and_of_the_request_are_listed_together(tmp_path: Path) -> None:
    day = SmallDay(
        notices=[notice("A1", AAPL, 0), notice("", AAPL, 1), notice("A3", "AAPL", 1)],
        positions=[position(AAPL, "10A6", 3), position(AAPL, "1047", -1)],
        asks={"Z901803": "1e5", "Z901439": "1", "Z901466": "1"},
    )

    refused = refusal(request_of(day, tmp_path, cycle=0))

    assert refused_places(refused) == [
        ("cycle", None, None, None),
        ("notices.csv", 1, "quantity", None),
        ("notices.csv", 2, "notice_id", None),
        ("notices.csv", 3, "series", None),
        ("positions.csv", 1, "account", "R2"),
        ("positions.csv", 2, "short_quantity", "P2"),
        ("volumes.csv", None, None, "S2"),
        ("volumes.csv", 1, "ask_price", "S2"),
    ]
    assert refused.total == 8
    assert refused.reason == INVALID_INPUT


def test_two_wrong_values_of_one_row_are_two_problems(tmp_path: Path) -> None:
    rows = [position("nothing", "7", 1, "?"), position(AAPL, "none", "many")]

    refused = refusal(request_of(SmallDay(notices=PUBLISHED.notices, positions=rows), tmp_path))

    assert [(problem.row, problem.column) for problem in refused.problems] == [
        (1, "series"),
        (1, "occ_account"),
        (2, "short_quantity"),
        (2, "account"),
    ]


def test_a_missing_file_is_listed_beside_the_problems_of_the_others(tmp_path: Path) -> None:
    for gone in ("notices", "positions", "volumes"):
        paths = write_files(PUBLISHED, tmp_path / gone)
        paths[gone].unlink()
        for role in {"notices", "positions"} - {gone}:
            paths[role].write_text("series,account\n")

        refused = refusal(request_of_files(paths))

        assert f"{gone}.csv: no such file" in str(refused)
        assert {problem.source for problem in refused.problems} == {
            path.name for role, path in paths.items() if role == gone or role != "volumes"
        }


@pytest.mark.parametrize("gone", ["notices", "positions", "volumes"])
def test_one_missing_file_is_the_one_problem(tmp_path: Path, gone: str) -> None:
    paths = write_files(PUBLISHED, tmp_path)
    paths[gone].unlink()

    refused = refusal(request_of_files(paths))

    assert str(refused) == f"{gone}.csv: no such file"


def test_every_source_has_its_own_limit_of_listed_problems(tmp_path: Path) -> None:
    many = PROBLEM_LIMIT + 50
    day = SmallDay(
        notices=[notice(f"A{number}", AAPL, 0) for number in range(many)],
        positions=[position(AAPL, f"x{number}", 1) for number in range(many)],
    )

    refused = refusal(request_of(day, tmp_path))

    assert len(refused.problems) == 2 * PROBLEM_LIMIT
    assert (refused.total, refused.unlisted) == (2 * many, 100)
    assert str(refused).endswith("\nand 100 more")


def test_notices_of_a_pool_that_pass_63_bits_together_are_refused(tmp_path: Path) -> None:
    day = SmallDay(
        notices=[notice("A1", AAPL, INT64_MAX), notice("A2", AAPL, 1)],
        positions=PUBLISHED.positions,
    )

    refused = refusal(request_of(day, tmp_path))

    assert refused_places(refused) == [("notices.csv", None, "quantity", "P5")]


def test_shorts_of_a_pool_that_pass_63_bits_together_are_refused(tmp_path: Path) -> None:
    day = SmallDay(
        notices=PUBLISHED.notices,
        positions=[position(AAPL, "1", INT64_MAX), position(AAPL, "2", 1)],
    )

    refused = refusal(request_of(day, tmp_path))

    assert refused_places(refused) == [("positions.csv", None, "short_quantity", "R3")]


def test_a_file_whose_name_is_no_utf_8_is_refused_or_recorded_and_nothing_else(
    tmp_path: Path,
) -> None:
    paths = write_files(PUBLISHED, tmp_path / "in")
    paths["notices"] = paths["notices"].rename(tmp_path / "not\udcffices.csv")
    request = request_of_files(paths)

    try:
        outcome = record_in(tmp_path / "ledger", request)
    except Refused:
        return
    assert outcome.record.sources[0].name.encode()
