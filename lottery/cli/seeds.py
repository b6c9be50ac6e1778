"""`lottery seed` and `lottery seeds`: one seed step by step, and the seeds of many dates."""

from __future__ import annotations

import dataclasses
from typing import Any

from rich.console import Console

from lottery import operations
from lottery.cli import text
from lottery.cli.backend import open_backend
from lottery.cli.inputs import local_files
from lottery.cli.options import (
    FromOption,
    InForceDateOption,
    ToOption,
    VolumesOption,
    read_date_if_any,
    read_dates,
)
from lottery.cli.session import Session, command
from lottery.operations.seed import (
    TEST,
    DatedSeed,
    Seed,
    SeedHistory,
    Uniformity,
    seed_history,
    show_cut,
)


@command
def seed(session: Session, volumes: VolumesOption, date: InForceDateOption = None) -> None:
    """Show every step of the seed of four ask prices; record nothing."""
    business_date = read_date_if_any(date)
    with local_files(volumes) as files, open_backend(session) as backend:
        derived = backend.seed(operations.read_volumes(files[volumes]), business_date)
    warnings = [dataclasses.asdict(warning) for warning in derived.warnings]
    session.show(
        {**seed_document(derived.seed), "warnings": warnings},
        lambda console: text.show_seed(console, derived.seed, derived.warnings),
    )


@command
def seeds(session: Session, first: FromOption = None, last: ToOption = None) -> None:
    """List the seed of every date, and test whether the fractions are spread evenly.

    A date has one seed: that of its standing runs. The test is the exact one of Kolmogorov and
    Smirnov; it needs 20 dates. Composites that are multiples of 1,000, or that an earlier date
    had, are flagged.
    """
    dates = read_dates(first, last)
    with open_backend(session) as backend:
        # Dates before the first are read as well: a composite may repeat one of theirs.
        counting = (one.record for one in backend.list_runs(last=dates[1]) if one.counts)
        history = seed_history(counting, first=dates[0])
    uniformity = history.uniformity
    document = {
        "from": dates[0],
        "to": dates[1],
        "seeds": [_dated_seed_document(seed) for seed in history.seeds],
        "uniformity": _uniformity_document(uniformity),
        "warnings": [dataclasses.asdict(warning) for warning in uniformity.warnings()],
    }
    session.show(document, lambda console: _show_seeds(console, history, within=any(dates)))


def seed_document(seed: Seed) -> dict[str, Any]:
    """Return a seed as JSON values."""
    return {
        **dataclasses.asdict(seed),
        "composite": str(seed.composite),
        "fraction": seed.fraction,
    }


def _dated_seed_document(seed: DatedSeed) -> dict[str, Any]:
    document = dataclasses.asdict(seed)
    del document["cut_position"]
    document["marks"] = document.pop("flags")
    return document


def _uniformity_document(uniformity: Uniformity) -> dict[str, Any]:
    return {
        "test": TEST,
        **dataclasses.asdict(uniformity),
        "enough_dates": uniformity.is_enough,
        "message": uniformity.message(),
    }


def _show_seeds(console: Console, history: SeedHistory, *, within: bool) -> None:
    if not history.seeds:
        text.show_nothing(console, within=within)
        return
    made = text.table(
        *("date", "composite", "digits", "fraction", "runs", "warnings"),
        right=("composite", "digits", "fraction"),
    )
    for seed in history.seeds:
        made.add_row(
            seed.business_date.isoformat(),
            show_cut(seed.composite, seed.cut_position),
            seed.digits,
            seed.fraction,
            ", ".join(seed.runs),
            "; ".join(
                flag.message + (f" [{flag.rule}]" if flag.rule else "") for flag in seed.flags
            ),
            style="yellow" if seed.flags else None,
        )
    console.print(made)
    uniformity = history.uniformity
    if uniformity.is_enough:
        console.print(
            f"Spread of the fractions ({TEST}): distance {uniformity.statistic}, "
            f"p-value {uniformity.p_value}",
            soft_wrap=True,
        )
    is_uneven = bool(uniformity.warnings())
    console.print(
        f"{'warning: ' if is_uneven else ''}{uniformity.message()}",
        style="yellow" if is_uneven else None,
        soft_wrap=True,
    )
