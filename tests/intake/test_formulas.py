"""No text that a spreadsheet takes for a formula comes in, so none can go out in a CSV file.

CSV goes to the margin system too, which takes it to the letter: a mark in front of such a text
would be wrong there. What is refused at every door needs no mark.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lottery import operations
from lottery.cli.output import OutputFormat, output_of_run, write_output
from lottery.errors import Refused
from lottery.method.methodology import JPMS_2024_09_06, Methodology
from lottery.method.seed import derive_seed
from tests.builders import (
    AAPL,
    ASKS,
    FULL,
    PUBLISHED,
    SmallDay,
    exchange_asks,
    notice,
    opened,
    position,
    record_in,
    refusal,
    request_of,
    request_of_wire,
)

MARKS = "=+-@\t\r\n\0"
IN_ORDER = [JPMS_2024_09_06, JPMS_2024_09_06.deciding({"account_order": "code-point"})]
DOORS: dict[str, Callable[[SmallDay, Path], operations.RunRequest]] = {
    "csv": request_of,
    "parquet": lambda day, directory: request_of(day, directory, suffix=".parquet"),
    "rows": lambda day, _: request_of_wire(day, as_arrow=False),
    "arrow": lambda day, _: request_of_wire(day, as_arrow=True),
}


def days_with(text: str) -> dict[str, SmallDay]:
    """The published day with a text in the second row of each column that is written again."""
    sound = position(AAPL, "1046", 30)
    return {
        "account": replace(PUBLISHED, positions=[sound, position(AAPL, text, 5)]),
        "series": replace(PUBLISHED, positions=[sound, position(text, "1047", 5)]),
        "occ_account": replace(PUBLISHED, positions=[sound, position(AAPL, "1047", 5, text)]),
        "series of a notice": replace(
            PUBLISHED, notices=[notice("A1", AAPL, 1), notice("A2", text, 1)]
        ),
        "occ_account of a notice": replace(
            PUBLISHED, notices=[notice("A1", AAPL, 1), notice("A2", AAPL, 1, text)]
        ),
    }


@pytest.mark.parametrize("column", days_with(""))
@pytest.mark.parametrize("mark", MARKS)
@pytest.mark.parametrize("door", DOORS)
def test_a_text_that_begins_as_a_formula_is_refused_with_its_row(
    tmp_path: Path, door: str, mark: str, column: str
) -> None:
    if door == "csv" and mark in "\r\n\0":
        # These end a line or make the file no text: the line is refused, not the value.
        assert refusal(DOORS[door](days_with(f"{mark}1")[column], tmp_path)).problems
        return
    text = mark + (AAPL[1:] if column.startswith("series") else "1")

    refused = refusal(DOORS[door](days_with(text)[column], tmp_path))

    (problem,) = refused.problems
    assert (problem.row, problem.column) == (2, column.split(maxsplit=1)[0])
    assert refused.reason == "INVALID_INPUT"


@pytest.mark.parametrize("methodology", IN_ORDER, ids=["numeric", "code-point"])
@pytest.mark.parametrize("mark", MARKS)
def test_either_order_of_accounts_refuses_such_an_account(
    tmp_path: Path, mark: str, methodology: Methodology
) -> None:
    request = request_of(days_with(f"{mark}1")["account"], tmp_path, suffix=".parquet")

    refused = refusal(replace(request, methodology=methodology))

    assert [(problem.row, problem.column) for problem in refused.problems] == [(2, "account")]


@pytest.mark.parametrize("mark", MARKS)
@pytest.mark.parametrize("field", ["series", "occ_account", "account"])
def test_a_pool_asked_for_by_itself_is_refused_such_a_text(mark: str, field: str) -> None:
    texts = {"series": AAPL, "occ_account": "C", "account": "1046"}
    texts[field] = mark + texts[field][1:]

    with pytest.raises(Refused) as refused:
        operations.allocate_series(
            operations.SeriesRequest(
                seed=derive_seed(exchange_asks(ASKS), JPMS_2024_09_06.securities),
                series=texts["series"],
                occ_account=texts["occ_account"],
                assigned_quantity=1,
                accounts=[texts["account"]],
                shorts=[1],
            )
        )

    assert len(refused.value.problems) == 1


LABELS = st.text(st.sampled_from("=+-@\t'\"|!AC0/._ "), max_size=4)


@settings(max_examples=150, deadline=None)
@given(occ_account=LABELS, account=LABELS)
def test_what_is_let_in_begins_with_a_letter_or_a_digit(occ_account: str, account: str) -> None:
    """Whatever is not refused can be opened by a spreadsheet without being computed."""
    day = replace(
        PUBLISHED,
        notices=[notice("A1", AAPL, 1, occ_account)],
        positions=[position(AAPL, account, 1, occ_account)],
    )
    request = replace(request_of_wire(day, as_arrow=False), methodology=IN_ORDER[1])

    try:
        operations.compute_day(request)
    except Refused:
        return

    assert re.fullmatch(r"([A-Za-z0-9].*)?", occ_account)
    assert re.fullmatch(r"[A-Za-z0-9]+", account)


def test_every_value_of_the_csv_files_begins_with_a_letter_or_a_digit(tmp_path: Path) -> None:
    ledger = tmp_path / "ledger"
    record = record_in(ledger, request_of(FULL, tmp_path)).record
    there = opened(ledger)

    written = output_of_run(
        record, operations.allocations(there, record.run), operations.pools(there, record.run)
    )
    write_output(str(tmp_path), OutputFormat.CSV, written)

    for name in ("allocations", "pools"):
        with (tmp_path / f"{name}.csv").open(encoding="utf-8", newline="") as lines:
            values = [value for row in csv.reader(lines) for value in row]
        assert len(values) > 20
        assert all(re.fullmatch(r"([A-Za-z0-9].*)?", value) for value in values)
