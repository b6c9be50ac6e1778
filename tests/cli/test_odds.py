"""`lottery odds`: the documents, the texts, the refusals; `test_doors.py` has the server's."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lottery.method.methodology import ZeroHit
from lottery.method.odds import pool_odds
from tests.builders import AAPL
from tests.cli.calls import EXAMPLE, Answer, Door, fails, lottery

COMPACT = "AAPL240920C00220000"
PUBLISHED_ROWS = [(AAPL, "1046", 30), (AAPL, "1047", 30), (AAPL, "1048", 5)]


def asked(positions: Path, *options: object, series: str = AAPL, quantity: int = 10) -> list[str]:
    given = ["odds", "--positions", positions, "--series", series, "--quantity", quantity]
    return [str(option) for option in (*given, *options)]


def of_example(*options: object, series: str = AAPL, quantity: int = 10) -> list[str]:
    return asked(EXAMPLE / "positions.csv", *options, series=series, quantity=quantity)


def written(directory: Path, rows: Sequence[Sequence[object]], header: str = "") -> Path:
    path = directory / "positions.csv"
    header = header or "series,account,short_quantity"
    path.write_text("\n".join([header, *(",".join(map(str, row)) for row in rows)]) + "\n")
    return path


def fraction_of(figure: dict[str, str]) -> Fraction:
    return Fraction(figure["fraction"])


def test_the_published_pools_odds_are_shown_and_need_no_ledger(tmp_path: Path) -> None:
    answer = lottery(*of_example())

    assert (answer.exit_code, answer.err) == (0, "")
    assert answer.lines[0] == "Odds in series AAPL 240920C00220000, OCC account C"
    assert answer.lines[1].startswith("10 assigned of 65 contracts short in 3 accounts;")
    assert "1046 30 1 to 30 40.00 % 0.00 % 4.6154 +0.000015 19.7757" in answer.lines
    assert "1048 5 61 to 65 78.46 % 9.23 % 0.7693 +0.000069 2.6393" in answer.lines
    assert "1048 0.7692 42.12 % <0.01 % 0.6102 78.46 % 9.23 % 2.6391" in answer.lines
    assert answer.lines[-1] == "Each number is the first hit of 153 to 154 of the 10,000 fractions."
    assert list(tmp_path.iterdir()) == []


def test_the_document_has_every_figure_exactly(reader: Door) -> None:
    document = reader(*of_example("--json")).document

    assert (document["series"], document["occ_account"]) == (AAPL, "C")
    assert (document["assigned_quantity"], document["total_short"]) == (10, 65)
    assert (document["account_count"], document["never_first"]) == (3, 0)
    assert document["evenness"] == [
        {"fraction_count": 153, "number_count": 10},
        {"fraction_count": 154, "number_count": 55},
    ]
    expected = pool_odds([30, 30, 5], assigned_quantity=10, zero_hit=ZeroHit.WRAP).accounts
    for account, odds in zip(document["accounts"], expected.values(), strict=True):
        counts = [fraction_of(chance) for chance in account["chances"]]
        assert sum(counts) == 1
        assert counts == [Fraction(chance.fraction_count, 10_000) for chance in odds.chances]
        assert account["none"]["fraction"] == f"{odds.none_count}/10000"
        for name in ("full", "mean", "variance", "share_quantity", "mean_less_share"):
            assert fraction_of(account[name]) == getattr(odds, name)
            decimals = Fraction(account[name]["decimal"])
            assert abs(decimals - getattr(odds, name)) <= abs(decimals) / 10**19
        for name in ("none", "full", "mean", "variance"):
            assert fraction_of(account["occ_wheel"][name]) == getattr(odds.occ_wheel, name)
        for name in ("none", "full"):
            figure = account["random_draw"][name]
            assert set(figure) == {"decimal"}
            assert Fraction(figure["decimal"]) == Fraction(getattr(odds.random_draw, name))


def test_an_account_alone_is_shown_with_its_distribution(reader: Door) -> None:
    answer = reader(*of_example("--account", "1048"))

    start = answer.lines.index("What 1048 is assigned")
    assert answer.lines[start + 3 : start + 9] == [
        "0 78.46 % 7,846 of 10,000",
        "1 3.08 % 308 of 10,000",
        "2 3.07 % 307 of 10,000",
        "3 3.08 % 308 of 10,000",
        "4 3.08 % 308 of 10,000",
        "5 9.23 % 923 of 10,000",
    ]
    assert not any("1046" in line for line in answer.lines)
    together = reader(*of_example("--json")).document["accounts"]
    alone = reader(*of_example("--account", "1048", "--json")).document["accounts"]
    assert alone == [account for account in together if account["account"] == "1048"]


def test_a_date_before_the_method_has_no_odds(reader: Door, example_server: Door) -> None:
    assert reader(*of_example("--date", "2024-09-06")).out == reader(*of_example()).out
    refused = [
        fails(
            door,
            *of_example("--date", "2024-09-05"),
            exit_code=3,
            reason="METHOD_NOT_IN_FORCE",
        )
        for door in (reader, example_server)
    ]

    assert refused[0][1]["problems"][0]["file"] == "business_date"
    assert refused[0][0] == refused[1][0]


def test_positions_of_another_date_have_no_odds(reader: Door, tmp_path: Path) -> None:
    positions = tmp_path / "positions.csv"
    lines = ["series,account,short_quantity,as_of", f"{AAPL},1046,30,2024-09-13", ""]
    positions.write_text("\n".join(lines), "utf-8")
    command = ("odds", "--positions", positions, "--series", AAPL, "--quantity", 1, "--date")

    assert reader(*command, "2024-09-13").exit_code == 0
    _, document = fails(reader, *command, "2024-09-16", exit_code=3, reason="INVALID_INPUT")
    (problem,) = document["problems"]
    assert (problem["file"], problem["column"], problem["rule"]) == ("positions.csv", "as_of", "P7")


@pytest.mark.parametrize("series", [AAPL, COMPACT])
@pytest.mark.parametrize("options", [[], ["--occ-account", "C"]])
def test_the_series_may_be_padded_or_compact_and_its_only_pool_named_or_not(
    reader: Door, series: str, options: list[str]
) -> None:
    document = reader(*of_example(*options, "--json", series=series)).document

    assert (document["series"], document["occ_account"]) == (AAPL, "C")


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_csv_and_parquet_give_the_same_odds(tmp_path: Path, suffix: str) -> None:
    path = EXAMPLE / "positions.csv"
    if suffix == ".parquet":
        columns: Any = {"series": [], "account": [], "short_quantity": [], "occ_account": []}
        lines = path.read_text().splitlines()
        for line in lines[1:]:
            for name, value in zip(lines[0].split(","), line.split(","), strict=True):
                columns[name].append(int(value) if name == "short_quantity" else value)
        path = tmp_path / "positions.parquet"
        pq.write_table(pa.table(columns), path)

    answer = lottery(*asked(path, "--occ-account", "C"))

    assert answer == lottery(*of_example())


def test_the_choices_of_the_method_change_the_odds(reader: Door, tmp_path: Path) -> None:
    path = written(tmp_path, [(AAPL, "7", 1), (AAPL, "10", 1)])
    wrap, first, text = (
        reader(*asked(path, *options, "--json", quantity=1)).document["accounts"]
        for options in ([], ["--zero-hit", "first"], ["--account-order", "code-point"])
    )

    assert [account["full"]["fraction"] for account in wrap] == ["5000/10000", "5000/10000"]
    assert [account["full"]["fraction"] for account in first] == ["9999/10000", "1/10000"]
    assert [account["account"] for account in wrap] == ["7", "10"]
    assert [account["account"] for account in text] == ["10", "7"]


def test_a_position_of_zero_contracts_takes_no_number(reader: Door, tmp_path: Path) -> None:
    path = written(tmp_path, [*PUBLISHED_ROWS, (AAPL, "1", 0)])

    document = reader(*asked(path, "--json")).document
    answer = reader(*asked(path, "--account", "1"))

    assert [account["account"] for account in document["accounts"]] == ["1046", "1047", "1048"]
    assert answer.exit_code == 3
    assert answer.error_lines[1:] == ["  account: '1' has no open position in the pool"]


def test_a_pool_over_10_000_contracts_has_numbers_that_are_never_hit_first(
    reader: Door, tmp_path: Path
) -> None:
    path = written(tmp_path, [(AAPL, "1", 20_000), (AAPL, "2", 10_000)])

    answer = reader(*asked(path))

    assert answer.lines[-1] == (
        "20,000 of the 30,000 numbers can never be the first hit: 10,000 fractions reach 10,000."
    )
    assert reader(*asked(path, "--json")).document["never_first"] == 20_000


def test_what_is_certain_is_shown_without_comparing_nothing_with_nothing(
    reader: Door, tmp_path: Path
) -> None:
    path = written(tmp_path, [(AAPL, "1", 1)])

    answer = reader(*asked(path, quantity=1))

    assert "1 1 1 0.00 % 100.00 % 1.0000 0 0.0000" in answer.lines
    assert not any("times" in line for line in answer.lines)
    assert answer.lines[-1] == "Each number is the first hit of 10,000 of the 10,000 fractions."


def test_chances_close_to_certain_are_not_rounded_to_it(reader: Door, tmp_path: Path) -> None:
    path = written(tmp_path, [(AAPL, "1", 1), (AAPL, "2", 1_000_000)])

    answer = reader(*asked(path, quantity=1))

    assert "1 0.0000 >99.99 % <0.01 % 0.0000 >99.99 % <0.01 % 0.0000" in answer.lines


def test_more_increments_than_are_worked_out_leave_occs_wheel_out(
    reader: Door, tmp_path: Path
) -> None:
    path = written(tmp_path, [(AAPL, "1", 5), (AAPL, "2", 3_000_000)])
    arguments = asked(path, "--account", "1", quantity=1_000_001)

    answer = reader(*arguments)

    assert any(line.endswith("- - -") for line in answer.lines)
    assert "The wheel is computed for up to 40,000 increments." in answer.lines
    assert reader(*arguments, "--json").document["accounts"][0]["occ_wheel"] is None


def test_long_tables_are_cut_and_say_so(reader: Door, tmp_path: Path) -> None:
    path = written(tmp_path, [(AAPL, account, 300) for account in range(1, 251)])

    everyone = reader(*asked(path, quantity=299))
    pair = written(tmp_path, [(AAPL, "7", 300), (AAPL, "8", 300)])
    alone = reader(*asked(pair, "--account", "7", quantity=299))

    assert "and 50 more; --json lists all" in everyone.lines
    assert not any(line.startswith("201 ") for line in everyone.lines)
    assert "and 100 more; --json lists all" in alone.lines
    (account,) = reader(*asked(pair, "--account", "7", "--json", quantity=299)).document["accounts"]
    assert [chance["assigned_quantity"] for chance in account["chances"]] == [*range(300)]


def refused(answer: Answer, *problems: str) -> None:
    """Assert that a file is refused with these problems and no others."""
    assert (answer.exit_code, answer.out) == (3, "")
    assert [line.strip() for line in answer.error_lines[1:]] == list(problems)


def test_a_break_is_the_one_that_a_run_would_record(reader: Door) -> None:
    over = reader(*of_example("--json", quantity=66))
    nobody = reader(*of_example(series="ZZZ   240920C00220000"))

    assert over.exit_code == 4
    assert over.document["reason"] == "EXCEEDS_SHORT"
    assert (over.document["assigned_quantity"], over.document["total_short"]) == ("66", "65")
    assert (nobody.exit_code, nobody.out) == (4, "")
    assert nobody.error_lines == [
        "assigned quantity is 10, but the pool has no open position (NO_POSITION)"
    ]


@pytest.mark.parametrize(
    "arguments",
    [
        of_example(series="AAPL"),
        of_example(quantity=0),
        of_example(quantity=-1),
        of_example("--zero-hit", "last"),
        ["odds", "--series", AAPL, "--quantity", "10"],
    ],
    ids=["no series", "none assigned", "fewer than none", "an unknown zero hit", "no positions"],
)
def test_wrong_usage_exits_2(reader: Door, arguments: list[str]) -> None:
    answer = reader(*arguments)

    assert (answer.exit_code, answer.out) == (2, "")


def test_a_series_of_several_pools_wants_one_to_be_named(reader: Door, tmp_path: Path) -> None:
    header = "series,account,short_quantity,occ_account"
    path = written(tmp_path, [(AAPL, "1", 30, "F"), (AAPL, "1", 5, "C")], header)

    refused(
        reader(*asked(path)),
        "occ_account: series 'AAPL  240920C00220000' has several OCC accounts; "
        "name one of 'C', 'F'",
    )
    named = reader(*asked(path, "--occ-account", "F", "--json")).document
    assert (named["occ_account"], named["total_short"]) == ("F", 30)


def test_an_invalid_occ_account_is_refused(reader: Door) -> None:
    answer = reader(*of_example("--occ-account", "no blanks"))

    assert answer.exit_code == 3
    assert "occ_account:" in answer.err


@pytest.mark.parametrize(
    ("options", "rows_refused"), [([], 3), (["--occ-account", ""], 1)], ids=["whole", "pool alone"]
)
def test_a_file_is_refused_for_what_is_wrong_with_the_rows_that_take_part(
    reader: Door, tmp_path: Path, options: list[str], rows_refused: int
) -> None:
    other = "GE    240920C00160000"
    rows = [*PUBLISHED_ROWS, (AAPL, "01046", 1), (other, "8", 1), (other, "8", 2), (other, "x", 1)]
    path = written(tmp_path, rows)

    problems = (
        (
            "positions.csv, row 4 (line 5), account: account 01046 appears twice in this pool; "
            "it is 1046 on row 1 [R2]"
        ),
        (
            "positions.csv, row 6 (line 7), account: account 8 appears twice in this pool; "
            "it is also on row 5 [P4]"
        ),
        (
            "positions.csv, row 7 (line 8), account: expected an account number of 1 to 30 digits, "
            "without letters unless the charter has account_order=code-point, got 'x' [R2]"
        ),
    )
    refused(reader(*asked(path, *options)), *problems[:rows_refused])


def test_a_file_that_is_not_there_is_refused(reader: Door) -> None:
    refused(reader(*asked(Path("gone.csv"))), "gone.csv: no such file")


def test_shorts_past_64_bits_are_refused(reader: Door, tmp_path: Path) -> None:
    path = written(tmp_path, [(AAPL, "1", 2**63 - 1), (AAPL, "2", 1)])

    refused(
        reader(*asked(path)),
        "positions.csv, short_quantity: the positions of AAPL  240920C00220000 must add up to at "
        "most 9223372036854775807 contracts [R3]",
    )


def test_one_answer_has_100_000_accounts_at_most_and_one_can_always_be_named(
    tmp_path: Path,
) -> None:
    count = 300_000
    path = tmp_path / "positions.parquet"
    series = [AAPL] * (count // 2) + ["GE    240920C00160000"] * (count - count // 2)
    accounts = [str(account) for account in range(count)]
    pq.write_table(
        pa.table({"series": series, "account": accounts, "short_quantity": [2] * count}), path
    )

    everyone = lottery(*asked(path, "--occ-account", "", "--json"))
    ways = [
        lottery(*asked(path, *options, "--account", "77", "--json"))
        for options in ([], ["--occ-account", ""])
    ]

    assert (everyone.exit_code, everyone.document["reason"]) == (3, "LIMIT_EXCEEDED")
    assert everyone.document["limit"] == "accounts_at_once=100000"
    assert ways[0] == ways[1]
    assert (ways[0].exit_code, ways[0].document["total_short"]) == (0, count)
    assert ways[0].document["accounts"][0]["first_number"] == 155
