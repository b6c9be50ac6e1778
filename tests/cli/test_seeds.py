"""`lottery seeds`: the standing seeds of a ledger, and how evenly they are spread."""

from __future__ import annotations

import datetime as dt
import random
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tests.builders import ASKS, PUBLISHED, SmallDay, notice, record_in, request_of
from tests.cli.calls import Door, files_of, run_of, serving, succeeds

FIRST = dt.date(2025, 1, 2)
COUNT = 22


def day_of(date: dt.date, digits: int) -> SmallDay:
    """Return the published day on another date, with a composite that has these digits."""
    whole, part = divmod(28_200_000_000 + digits * 100 + date.day, 100_000)
    asks = {**dict.fromkeys(ASKS, "0"), "Z901803": f"{whole}.{part:05d}"}
    series = "AAPL  250321C00220000"
    return replace(
        PUBLISHED,
        notices=[notice(f"{date}A1", series, 10)],
        positions=[{**row, "series": series} for row in PUBLISHED.positions],
        date=date,
        asks=asks,
    )


@pytest.fixture(scope="module")
def skewed(tmp_path_factory: pytest.TempPathFactory) -> Door:
    """Return a ledger of 22 dates, whose fractions are all in the lower half."""
    directory = tmp_path_factory.mktemp("skewed")
    generator = random.Random(5)  # noqa: S311 - no lottery is drawn with it.
    for day in range(COUNT):
        made = day_of(FIRST + dt.timedelta(days=day), generator.randrange(5_000))
        record_in(directory / "ledger", request_of(made, directory / "files"))
    return files_of(directory / "ledger")


def test_every_date_has_its_seed_and_an_uneven_spread_is_warned_of(skewed: Door) -> None:
    text, document = succeeds(skewed, "seeds")

    runs = skewed("runs", "--json").document["runs"]
    names = ("business_date", "composite", "digits", "fraction")
    assert [(seed["runs"], *(seed[name] for name in names)) for seed in document["seeds"]] == [
        ([run["run"]], *(run[name] for name in names)) for run in runs
    ]
    uniformity = document["uniformity"]
    assert (uniformity["dates"], uniformity["enough_dates"]) == (COUNT, True)
    assert uniformity["p_value"] < 0.01
    assert uniformity["statistic"] > 0.4
    assert uniformity["test"].startswith("Kolmogorov-Smirnov")
    (warning,) = document["warnings"]
    assert (warning["code"], warning["message"]) == ("UNEVEN_SEEDS", uniformity["message"])
    assert len([line for line in text.lines if line.startswith("2025-01-")]) == COUNT
    assert text.lines[-1].startswith("warning: ")
    assert "spread less evenly than chance explains" in text.lines[-1]
    assert "p-value" in text.lines[-2]
    with serving(skewed.ledger) as server:
        assert succeeds(server, "seeds") == (text, document)


def test_the_dates_between_are_shown_alone_and_are_too_few_to_judge(skewed: Door) -> None:
    text, document = succeeds(skewed, "seeds", "--from", "2025-01-10", "--to", "2025-01-12")

    dates = [seed["business_date"] for seed in document["seeds"]]
    assert dates == ["2025-01-10", "2025-01-11", "2025-01-12"]
    assert (document["from"], document["to"]) == ("2025-01-10", "2025-01-12")
    assert (document["uniformity"]["enough_dates"], document["warnings"]) == (False, [])
    assert text.lines[-1].endswith("spread evenly, got 3")
    assert not any("p-value" in line for line in text.lines)


def test_dates_without_a_run_have_no_seed(skewed: Door) -> None:
    text, document = succeeds(skewed, "seeds", "--from", "2026-01-01")

    assert (document["seeds"], document["uniformity"]["p_value"]) == ([], None)
    assert text.out == "no run is recorded between those dates\n"


def test_superseded_volumes_are_left_out_and_repeated_ones_flagged(
    door: Door, tmp_path: Path
) -> None:
    later = FIRST + dt.timedelta(days=1)
    assert door(*run_of(day_of(FIRST, 4_313), tmp_path / "first")).exit_code == 0
    wrong = replace(day_of(later, 17), asks=day_of(FIRST, 4_313).asks)
    acknowledge = ("--acknowledge", "STALE_VOLUMES", "--reason", "not looked at")
    assert door(*run_of(wrong, tmp_path / "wrong"), *acknowledge).exit_code == 0

    text, document = succeeds(door, "seeds", "--from", str(later))

    (flag,) = document["seeds"][0]["marks"]
    assert (flag["code"], flag["earlier_date"]) == ("REPEATED_COMPOSITE", str(FIRST))
    assert "same composite as 2025-01-02" in text.out
    right = run_of(replace(wrong, asks=day_of(later, 17).asks), tmp_path / "right")
    superseding = ("--supersede", f"{later}-001", "--reason", "yesterday's volumes")
    assert door(*right, *superseding).exit_code == 0
    seeds = door("seeds", "--json").document["seeds"]
    assert [(seed["digits"], seed["marks"]) for seed in seeds] == [("4313", []), ("0017", [])]
    assert seeds[1]["runs"] == [f"{later}-002"]


def test_a_coarse_composite_is_flagged_by_its_rule(door: Door, tmp_path: Path) -> None:
    coarse = replace(PUBLISHED, asks={**dict.fromkeys(ASKS, "0.00"), "Z901803": "2824.31"})
    door(*run_of(coarse, tmp_path))

    text, document = succeeds(door, "seeds")

    (flag,) = document["seeds"][0]["marks"]
    assert (flag["code"], flag["rule"]) == ("LOW_PRECISION_COMPOSITE", "S7")
    assert "282[4310]00 4310 0.4311" in " ".join(text.lines)
    assert "[S7]" in text.out


@pytest.mark.parametrize("library", ["scipy.stats", "xlsxwriter"])
def test_a_command_loads_no_library_that_others_need(library: str) -> None:
    """A cold `lottery run` is timed. Of SciPy numba itself loads the outermost module."""
    loaded = f"import sys, lottery.cli.main; sys.exit({library!r} in sys.modules)"

    assert subprocess.run([sys.executable, "-c", loaded], check=False).returncode == 0
