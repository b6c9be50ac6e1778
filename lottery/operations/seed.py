"""The seed of a business date, derived without recording anything."""

from __future__ import annotations

import datetime as dt

from lottery.audit.seeds import TEST, DatedSeed, SeedHistory, Uniformity, seed_history
from lottery.errors import NO_PROBLEMS, Problems
from lottery.intake.as_of import as_of_problems
from lottery.intake.sources import ReceivedVolumes
from lottery.method.methodology import JPMS_2024_09_06
from lottery.method.seed import DENOMINATOR, ExchangeAsk, RuleWarning, Seed, show_cut
from lottery.operations.answers import DerivedSeed
from lottery.operations.validation import check_date, derive_seed_of

__all__ = [
    "DENOMINATOR",
    "TEST",
    "DatedSeed",
    "ExchangeAsk",
    "RuleWarning",
    "Seed",
    "SeedHistory",
    "Uniformity",
    "derive_seed",
    "seed_history",
    "show_cut",
]


def derive_seed(
    volumes: ReceivedVolumes,
    *,
    business_date: dt.date | None = None,
    problems: Problems = NO_PROBLEMS,
) -> DerivedSeed:
    """Derive the seed of ask prices as received.

    Args:
        volumes: The ask prices.
        business_date: Their date, if it is to be checked (F1, S8).
        problems: What is already known to be wrong.

    Raises:
        Refused: An ask price or the set of them is wrong, they are of another date, or the method
            was not in force; every problem is listed with its row.
    """
    if business_date is not None:
        problems += check_date(business_date, JPMS_2024_09_06)
        problems += as_of_problems(volumes.sources, volumes.locator, business_date)
    seed, seed_problems = derive_seed_of(volumes, JPMS_2024_09_06)
    (problems + volumes.problems + seed_problems).refuse_if_any()
    assert seed is not None, "a seed that is refused has problems"  # noqa: S101
    return DerivedSeed(seed=seed, warnings=seed.warnings())
