"""OCC's own figures beside the positions: which pools differ, and what a record says of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest

from lottery import operations
from lottery.audit.replay import Engine
from lottery.day.tables import OCC_POSITIONS
from lottery.errors import Conflict
from lottery.intake.sources import Received, RowLocator, SourceFile
from lottery.ledger.occ_positions import WARNINGS_LISTED
from lottery.ledger.run_record import RunRecord
from tests.builders import (
    AAPL,
    FULL,
    GE,
    GOOGL,
    META,
    PUBLISHED,
    SmallDay,
    arrow_payload,
    notice,
    position,
    record_in,
    refusal,
    replay_of,
    request_of,
)
from tests.ledger.ledgers import assert_sound

Figure = tuple[str, str, int]
ALL_AS_OURS: list[Figure] = [("C", AAPL, 65), ("C", GOOGL, 2), ("C", META, 40), ("C", GE, 22)]


def occ(figures: Sequence[Figure]) -> Received:
    accounts, series, shorts = zip(*figures, strict=True)
    table = pa.table({"series": series, "short_quantity": shorts, "occ_account": accounts}).cast(
        OCC_POSITIONS
    )
    locator = RowLocator(source="occ.xml")
    source = SourceFile.of("occ_positions", "occ", ".arrows", arrow_payload(table), part="-1")
    return Received(table=table, sources=(source,), locators=(locator,))


def asked(
    day: SmallDay, folder: Path, figures: Sequence[Figure], **options: object
) -> operations.RunRequest:
    request = request_of(day, folder / "in", **options)  # type: ignore[arg-type]
    return replace(request, occ_positions=occ(figures))


def reported(request: operations.RunRequest) -> list[tuple[str, str, str]]:
    warnings = operations.compute_day(request).warnings
    return [(warning.code, warning.rule, warning.message) for warning in warnings]


def test_pools_that_are_short_what_occ_says_are_not_warned_of(tmp_path: Path) -> None:
    assert reported(asked(FULL, tmp_path, ALL_AS_OURS)) == []


def test_a_pool_that_is_short_another_quantity_is_warned_of_with_both_figures(
    tmp_path: Path,
) -> None:
    others = [("F", AAPL, 9), ("C", "KO    240920C00067500", 8)]

    assert reported(asked(FULL, tmp_path, [("C", AAPL, 66), *ALL_AS_OURS[1:], *others])) == [
        ("OCC_SHORT_DIFFERS", "P1", f"C {AAPL} is short 65 by the positions and 66 by OCC")
    ]


def test_a_pool_that_occ_does_not_report_or_that_nobody_is_short_is_warned_of(
    tmp_path: Path,
) -> None:
    day = replace(
        FULL, positions=[row for row in FULL.positions if row["series"] not in {META, GOOGL}]
    )

    assert reported(asked(day, tmp_path, [("C", META, 40), ("C", GE, 22), ("C", GOOGL, 0)])) == [
        ("OCC_SHORT_DIFFERS", "P1", f"C {AAPL} is short 65 by the positions and none by OCC"),
        ("OCC_SHORT_DIFFERS", "P1", f"C {META} is short 0 by the positions and 40 by OCC"),
    ]


def test_one_pool_for_a_series_is_compared_with_all_of_occs_accounts(tmp_path: Path) -> None:
    figures = [("C", AAPL, 50), ("F", AAPL, 9), ("M/ABC", AAPL, 6)]

    assert reported(asked(PUBLISHED, tmp_path, figures)) == []
    assert reported(asked(PUBLISHED, tmp_path, figures[:2])) == [
        ("OCC_SHORT_DIFFERS", "P1", f"{AAPL} is short 65 by the positions and 59 by OCC")
    ]


def test_past_the_limit_pools_that_differ_are_counted(tmp_path: Path) -> None:
    series = [f"AAPL  240920C{number:05d}000" for number in range(WARNINGS_LISTED + 3)]
    day = SmallDay(
        notices=[notice(f"A{number}", one, 1) for number, one in enumerate(series)],
        positions=[position(one, "1", 2) for one in series],
    )

    warnings = reported(asked(day, tmp_path, [("C", META, 1)]))

    assert len(warnings) == WARNINGS_LISTED + 1
    assert warnings[-1] == (
        "OCC_SHORT_DIFFERS_MORE",
        "P1",
        "3 more pools differ from OCC's figures, 23 in all",
    )


def test_a_pool_that_occ_reports_twice_is_refused(tmp_path: Path) -> None:
    refused = refusal(asked(FULL, tmp_path, [*ALL_AS_OURS, ("C", AAPL, 65)]))

    assert [str(problem) for problem in refused.problems] == [
        f"occ.xml, row 5, series: duplicate pool C {AAPL}; it is also on row 1 of occ.xml"
    ]


def test_figures_that_cannot_be_added_up_are_refused(tmp_path: Path) -> None:
    refused = refusal(asked(FULL, tmp_path, [("C", AAPL, 2**62), ("F", AAPL, 2**62)]))

    assert f"short quantities must add up to at most {2**62}, got more" in str(refused)


def test_the_comparison_is_part_of_what_is_asked(tmp_path: Path) -> None:
    ledger = tmp_path / "ledger"
    figures: list[Figure] = [("C", AAPL, 66), ("F", AAPL, 66)]
    first = record_in(ledger, asked(PUBLISHED, tmp_path, figures))

    again = record_in(ledger, asked(PUBLISHED, tmp_path, [*reversed(figures), ("C", META, 4)]))

    assert (again.record.run, again.already_recorded) == (first.record.run, True)
    for other in (
        asked(PUBLISHED, tmp_path, [("C", AAPL, 65)]),
        request_of(PUBLISHED, tmp_path / "without"),
    ):
        with pytest.raises(Conflict):
            record_in(ledger, other)


@pytest.fixture
def late(tmp_path: Path) -> RunRecord:
    """A second cycle, in the ledger `ledger`; OCC says 64, and 65 are short or 55 are left."""
    ledger = tmp_path / "ledger"
    record_in(ledger, request_of(PUBLISHED, tmp_path / "first"))
    later = replace(PUBLISHED, notices=[notice("B1", AAPL, 5)])
    request = asked(later, tmp_path, [("C", AAPL, 64)], cycle=2)
    return record_in(ledger, request).record


def test_a_continued_pool_is_compared_with_the_whole_and_with_what_is_left(
    tmp_path: Path, late: RunRecord
) -> None:
    assert late.rests_on == ("2024-09-16-001",)
    assert [warning.message for warning in late.warnings] == [
        f"{AAPL} is short 65 by the positions and 64 by OCC"
    ]
    left = 50
    for cycle, (figure, differs) in enumerate([(65, False), (left - 1, False), (left, True)], 3):
        day = replace(PUBLISHED, notices=[notice(f"C{cycle}", AAPL, 1)])
        request = asked(day, tmp_path / str(cycle), [("C", AAPL, figure)], cycle=cycle)
        recorded = record_in(tmp_path / "ledger", request).record
        assert [warning.code for warning in recorded.warnings] == ["OCC_SHORT_DIFFERS"] * differs
    assert_sound(tmp_path / "ledger")


@pytest.mark.parametrize("engine", Engine)
def test_a_comparison_of_a_continued_pool_replays(
    tmp_path: Path, late: RunRecord, engine: Engine
) -> None:
    assert replay_of(tmp_path / "ledger", late.run, engine).mismatches == ()


@pytest.mark.parametrize("engine", Engine)
def test_figures_that_are_not_those_that_were_compared_are_named(
    tmp_path: Path, late: RunRecord, engine: Engine
) -> None:
    path = tmp_path / "ledger" / late.folder / "sources" / "occ_positions-1.arrows"
    path.chmod(0o600)
    path.write_bytes(arrow_payload(occ([("C", AAPL, 65)]).table))

    mismatches = replay_of(tmp_path / "ledger", late.run, engine).mismatches

    (found,) = [one for one in mismatches if one.where == "run.json warnings of OCC"]
    assert (found.computed, "64 by OCC" in found.recorded) == ("()", True)


def test_figures_that_cannot_be_read_any_more_are_named(tmp_path: Path, late: RunRecord) -> None:
    path = tmp_path / "ledger" / late.folder / "sources" / "occ_positions-1.arrows"
    path.chmod(0o600)
    path.write_bytes(b"nothing")

    mismatches = replay_of(tmp_path / "ledger", late.run).mismatches

    assert "sources occ_positions" in {one.where for one in mismatches}


def test_a_run_without_the_comparison_has_the_digest_that_it_always_had(tmp_path: Path) -> None:
    record_in(tmp_path / "ledger", request_of(PUBLISHED, tmp_path / "in"))

    assert_sound(tmp_path / "ledger")
