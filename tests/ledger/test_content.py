"""The content's digest: one for one day however it was sent, another for anything that matters."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from lottery.method.methodology import JPMS_2024_09_06, Pooling
from tests.builders import (
    AAPL,
    ASKS,
    FULL,
    NEXT_DATE,
    OTHER_ASKS,
    PUBLISHED,
    SmallDay,
    notice,
    position,
    record_in,
    request_of,
    request_of_wire,
)

EXTRA = position("XOM   240920P00115000", "1046", 9, "C")


def content_of(day: SmallDay, directory: Path, **asked: object) -> str:
    request = request_of(day, directory / "in", **asked)  # type: ignore[arg-type]
    return record_in(directory / "ledger", request).record.content_sha256


def test_files_rows_and_payloads_in_any_order_have_one_content_and_are_recorded_once(
    tmp_path: Path,
) -> None:
    ledger = tmp_path / "ledger"
    outcomes = [
        record_in(ledger, request)
        for request in (
            request_of(FULL, tmp_path / "csv"),
            request_of(FULL, tmp_path / "parquet", suffix=".parquet"),
            request_of(FULL.shuffled(1), tmp_path / "shuffled"),
            request_of(FULL.shuffled(2), tmp_path / "both", suffix=".parquet"),
            request_of_wire(FULL, as_arrow=False),
            request_of_wire(FULL, as_arrow=True),
            request_of_wire(FULL.shuffled(3), as_arrow=True),
            request_of_wire(FULL, as_arrow=True, request_id="another-one"),
        )
    ]

    assert [outcome.already_recorded for outcome in outcomes] == [False] + [True] * 7
    assert {outcome.record.run for outcome in outcomes} == {"2024-09-16-001"}


@pytest.mark.parametrize(
    "same",
    [
        pytest.param(replace(FULL, positions=[*FULL.positions, EXTRA]), id="pool without notices"),
        pytest.param(
            replace(FULL, positions=[*FULL.positions, position(AAPL, "77", 0, "C")]),
            id="position of zero",
        ),
        pytest.param(replace(FULL, asks={**ASKS, "Z901803": "0862.4571300"}), id="ask's zeros"),
        pytest.param(
            replace(
                FULL,
                notices=[
                    {**row, "series": str(row["series"]).replace(" ", "")} for row in FULL.notices
                ],
            ),
            id="compact symbols",
        ),
    ],
)
def test_what_cannot_change_the_result_is_not_in_the_content(
    tmp_path: Path, same: SmallDay
) -> None:
    assert content_of(FULL, tmp_path / "a") == content_of(same, tmp_path / "b")


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(replace(FULL, date=NEXT_DATE), id="date"),
        pytest.param(replace(FULL, asks=OTHER_ASKS), id="ask"),
        pytest.param(
            replace(FULL, asks={**ASKS, "Z901803": ASKS["Z901439"], "Z901439": ASKS["Z901803"]}),
            id="asks swapped, the same composite",
        ),
        pytest.param(FULL.renamed("B"), id="notice ids"),
        pytest.param(replace(FULL, notices=FULL.notices[:-1]), id="notice less"),
        pytest.param(
            replace(FULL, notices=[notice("A1", AAPL, 11, "C"), *FULL.notices[1:]]),
            id="notice's quantity",
        ),
        pytest.param(
            replace(FULL, positions=[position(AAPL, "1048", 6, "C"), *FULL.positions[1:]]),
            id="short quantity",
        ),
        pytest.param(
            replace(FULL, positions=[position(AAPL, "01048", 5, "C"), *FULL.positions[1:]]),
            id="account's leading zero",
        ),
        pytest.param(replace(FULL, positions=FULL.positions[1:]), id="position less"),
        pytest.param(
            replace(FULL, positions=[*FULL.positions[:12], *FULL.positions[13:]]),
            id="position of a broken pool less",
        ),
    ],
)
def test_anything_that_matters_is_another_content(tmp_path: Path, other: SmallDay) -> None:
    assert content_of(FULL, tmp_path / "a") != content_of(other, tmp_path / "b")


def test_where_a_pool_is_a_series_no_occ_account_is_in_the_content(tmp_path: Path) -> None:
    by_series = replace(JPMS_2024_09_06, pool=Pooling.SERIES)
    other = replace(
        PUBLISHED,
        notices=[{**row, "occ_account": "F"} for row in PUBLISHED.notices],
        positions=[{**row, "occ_account": "M"} for row in PUBLISHED.positions],
    )

    first, second = (
        record_in(tmp_path / "ledger", request_of_wire(day, as_arrow=False, methodology=by_series))
        for day in (PUBLISHED, other)
    )

    assert (first.already_recorded, second.already_recorded) == (False, True)


def test_cycle_and_decisions_are_in_the_content(tmp_path: Path) -> None:
    first = JPMS_2024_09_06.deciding({"zero_hit": "first"})
    by_text = JPMS_2024_09_06.deciding({"account_order": "code-point"})

    contents = {
        content_of(FULL, tmp_path / "a"),
        content_of(FULL, tmp_path / "b", cycle=2),
        content_of(FULL, tmp_path / "c", methodology=first),
        content_of(FULL, tmp_path / "d", methodology=by_text),
    }

    assert len(contents) == 4


def test_texts_that_run_together_alike_are_reported_apart(tmp_path: Path) -> None:
    one = replace(FULL, positions=[position(AAPL, "11", 5, "C"), position(AAPL, "122", 5, "C")])
    other = replace(FULL, positions=[position(AAPL, "1", 5, "C"), position(AAPL, "1122", 5, "C")])

    assert content_of(one, tmp_path / "a") != content_of(other, tmp_path / "b")
