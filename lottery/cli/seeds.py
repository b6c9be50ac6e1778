"""`lottery seeds`: the seeds of many dates, and whether they are spread evenly."""

from __future__ import annotations

from typing import Any

import typer
from rich.console import Console

from lottery import operations
from lottery.audit.seeds import TEST, DatedSeed, SeedHistory, Uniformity
from lottery.cli import text
from lottery.cli.opening import open_backend
from lottery.cli.shell import (
    FromOption,
    JsonOption,
    LedgerOption,
    ServerOption,
    ToOption,
    read_dates,
    reporting,
    shell_of,
)
from lottery.method.seed import marked_composite


@reporting
def seeds(
    context: typer.Context,
    first: FromOption = None,
    last: ToOption = None,
    ledger: LedgerOption = None,
    server: ServerOption = None,
    as_json: JsonOption = False,
) -> None:
    """List every date's seed, and test whether the fractions are spread evenly.

    A date has the seed of its runs that stand; one a date. The test is that of Kolmogorov and
    Smirnov with its exact p-value; below 20 dates it tells nothing. Composites that are multiples
    of 1,000 or were an earlier date's are marked.
    """
    shell = shell_of(context, ledger, server, as_json=as_json)
    dates = read_dates(first, last)
    with open_backend(shell.common) as backend:
        history = operations.seeds(backend.runs, first=dates[0], last=dates[1])
    document = {
        "from": dates[0],
        "to": dates[1],
        "seeds": [_seed_document(seed) for seed in history.seeds],
        "uniformity": _uniformity_document(history.uniformity),
        "warnings": [
            {"code": warning.code, "rule": warning.rule, "message": warning.message}
            for warning in history.uniformity.warnings()
        ],
    }
    shell.say(document, text.printer(_show_seeds, history, within=any(dates)))


def _seed_document(seed: DatedSeed) -> dict[str, Any]:
    return {
        "business_date": seed.business_date.isoformat(),
        "composite": seed.composite,
        "digits": seed.digits,
        "fraction": seed.fraction,
        "runs": list(seed.runs),
        "marks": [
            {
                "code": mark.code,
                "rule": mark.rule,
                "message": mark.message,
                "earlier_date": mark.earlier_date,
            }
            for mark in seed.marks
        ],
    }


def _uniformity_document(uniformity: Uniformity) -> dict[str, Any]:
    return {
        "test": TEST,
        "dates": uniformity.dates,
        "statistic": uniformity.statistic,
        "p_value": uniformity.p_value,
        "enough_dates": uniformity.is_enough,
        "message": uniformity.message(),
    }


def _show_seeds(console: Console, history: SeedHistory, *, within: bool) -> None:
    if not history.seeds:
        nothing = "no run is recorded between those dates" if within else "nothing is recorded yet"
        console.print(nothing)
        return
    made = text.table(
        *("date", "composite", "digits", "fraction", "runs", "worth a look"),
        right=("composite", "digits", "fraction"),
    )
    for seed in history.seeds:
        made.add_row(
            seed.business_date.isoformat(),
            marked_composite(seed.composite, seed.cut_position),
            seed.digits,
            seed.fraction,
            ", ".join(seed.runs),
            "; ".join(
                mark.message + (f" [{mark.rule}]" if mark.rule else "") for mark in seed.marks
            ),
            style="yellow" if seed.marks else None,
        )
    console.print(made)
    uniformity = history.uniformity
    if uniformity.is_enough:
        console.print(
            f"Spread of the fractions ({TEST}): distance {uniformity.statistic}, "
            f"p-value {uniformity.p_value}",
            soft_wrap=True,
        )
    told = "warning: " if uniformity.warnings() else ""
    console.print(f"{told}{uniformity.message()}", style="yellow" if told else None, soft_wrap=True)
