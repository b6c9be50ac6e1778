"""OCC's position reports as its own figures of the pools."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest

from lottery.errors import Refused
from lottery.intake import files
from tests.builders import AAPL, DATE, META
from tests.fixml import (
    assignment,
    document,
    instrument,
    parse_occ_positions,
    parties,
    position_report,
)
from tests.intake.test_fixml import VECTORS

WITH = parties("C") + instrument(AAPL)


def figures(*messages: str) -> list[tuple[str, str, int]]:
    table = parse_occ_positions(document(*messages).encode(), DATE)
    names = ("occ_account", "series", "short_quantity")
    return list(zip(*(table.column(name).to_pylist() for name in names), strict=True))


def test_a_report_with_all_that_occ_sends_is_read() -> None:
    content = (VECTORS / "position.xml").read_bytes()

    table = parse_occ_positions(content, dt.date(2003, 9, 10))

    assert table.to_pylist() == [
        {"series": "AOL   031122C00047500", "short_quantity": 10, "occ_account": "C/ZZZ"}
    ]


def test_assignments_in_the_same_file_are_skipped() -> None:
    table = parse_occ_positions((VECTORS / "assignment.xml").read_bytes(), DATE)

    assert table.column("short_quantity").to_pylist() == [10]


def test_the_figure_is_what_the_account_is_short_at_the_days_end() -> None:
    long_alone = parties("F") + instrument(AAPL) + '<Qty Typ="FIN" Long="20"/>'

    assert figures(
        position_report("P1", AAPL, 10, "C/ZZZ"),
        assignment("A1", AAPL, 3),
        position_report("P2", META, 0),
        position_report("P3", AAPL, 0, inside=long_alone),
    ) == [("C/ZZZ", AAPL, 10), ("C", META, 0), ("F", AAPL, 0)]


@pytest.mark.parametrize("kind", [{"CFI": "FXXXXX"}, {"CFI": "ESXXXX"}, {"SecTyp": "FUT"}])
def test_what_is_no_option_is_passed_over(kind: dict[str, object]) -> None:
    other = position_report("P1", AAPL, 0, inside=parties("C") + instrument(AAPL, **kind))

    assert figures(other, position_report("P2", AAPL, 7)) == [("C", AAPL, 7)]


@pytest.mark.parametrize(
    ("report", "told"),
    [
        (
            position_report("P9", AAPL, 0, inside=WITH + '<Qty Typ="SOD" Short="1"/>'),
            'Qty: RptID P9: report must have one Qty Typ="FIN", got 0',
        ),
        (
            position_report("P9", AAPL, 0, inside=WITH + '<Qty Typ="FIN" Short="1"/>' * 2),
            'Qty: RptID P9: report must have one Qty Typ="FIN", got 2',
        ),
        (
            position_report("P9", AAPL, 0, inside=WITH + '<Qty Typ="FIN"/>'),
            "Qty: RptID P9: Long or Short must be present, got neither",
        ),
        (
            position_report("P9", AAPL, "1.5"),
            (
                "short_quantity: RptID P9: short quantity must be a whole number of at least 0, "
                "without decimals, got '1.5'"
            ),
        ),
        (
            position_report("P9", AAPL, 1, date=dt.date(2024, 9, 15)),
            "BizDt: RptID P9: BizDt must be the run's date 2024-09-16, got '2024-09-15'",
        ),
    ],
)
def test_what_is_wrong_with_a_report_is_named_with_its_id_and_place(report: str, told: str) -> None:
    future = position_report("P1", AAPL, 0, inside=parties("C") + instrument(AAPL, CFI="FXXXXX"))

    with pytest.raises(Refused) as caught:
        figures(future, position_report("P2", META, 1), report)

    (problem,) = caught.value.problems
    assert str(problem).startswith("occ_positions, row 3 (line 5), ")
    assert told in str(problem)


def test_a_file_of_futures_alone_is_refused() -> None:
    future = position_report("P1", AAPL, 0, inside=parties("C") + instrument(AAPL, CFI="FXXXXX"))

    with pytest.raises(Refused, match="expected at least one PosRpt, got none"):
        figures(future)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("occ.csv", "OCC's positions must be a .xml file, got '.csv'"),
        ("occ.xml", "no such file"),
    ],
)
def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path, name: str, told: str) -> None:
    received = files.read_occ_positions(tmp_path / name, DATE)

    assert [str(problem) for problem in received.problems] == [f"{name}: {told}"]
    assert received.table.num_rows == 0


def test_notices_as_fixml_are_not_read_without_a_date(tmp_path: Path) -> None:
    path = tmp_path / "notices.xml"
    path.write_text(document(assignment("A1", AAPL, 1)))

    received = files.read_notices(path)

    assert [str(problem) for problem in received.problems] == [
        "notices.xml: a business date is needed to read FIXML"
    ]
