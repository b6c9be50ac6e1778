"""Seeds over time: one a business date, and whether their digits are spread as chance would.

A date stands by its runs that nothing took the place of, and has one seed (S8). Two marks say what
is worth a look at one seed: a composite that leaves few fractions (S7), and one that an earlier
date had, as a file of volumes sent twice has it. Digits alone that come again are not marked: of
10,000 values two dates share one within a year nearly always.

The test is the two-sided one-sample test of Kolmogorov and Smirnov, with its exact distribution:
it needs no least number of dates in each of some classes, as a chi-square test does, and no choice
of classes. It takes the digits, the middle of each ten-thousandth, as drawn evenly from 0 to 1;
that they come in 10,000 steps changes the statistic by at most 0.00005. It sees digits that lean to
one side or crowd somewhere; it does not see an order among them, and hardly a coarse composite,
which has its mark.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Final

from lottery.errors import LedgerDamaged
from lottery.ledger.run_record import RunRecord
from lottery.method.seed import DENOMINATOR, RuleWarning, is_low_precision

TEST: Final = "Kolmogorov-Smirnov, one-sample, two-sided, exact"
ENOUGH_DATES: Final = 20
"""Below it the digits would have to crowd in two thirds of their range to be assigned."""
LEAST_P_VALUE: Final = 0.01
"""What is less likely is warned of; an even lottery is, once in a hundred looks."""
TINY_P_VALUE: Final = 0.0001
"""What is less likely is told as no more than that, in words."""

LOW_PRECISION_COMPOSITE: Final = "LOW_PRECISION_COMPOSITE"
REPEATED_COMPOSITE: Final = "REPEATED_COMPOSITE"
UNEVEN_SEEDS: Final = "UNEVEN_SEEDS"


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """What is worth a look at a date's seed.

    Attributes:
        code: `LOW_PRECISION_COMPOSITE` or `REPEATED_COMPOSITE`.
        message: What it means, as a sentence.
        rule: The method's rule, where one speaks of it.
        earlier_date: For a repeated composite, the last date before that had it.
    """

    code: str
    message: str
    rule: str | None = None
    earlier_date: dt.date | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DatedSeed:
    """The seed that stands for a business date; composite, digits and fraction as text.

    Attributes:
        cut_position: Where the cut starts, the first digit being 1 (S4).
        runs: The standing runs of the date, as they were recorded.
    """

    business_date: dt.date
    composite: str
    cut_position: int
    digits: str
    fraction: str
    runs: tuple[str, ...]
    marks: tuple[Mark, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Uniformity:
    """How evenly digits are spread.

    Attributes:
        dates: How many digits there are, one a date.
        statistic: The largest distance from an even spread, 0 to 1; None without a date.
        p_value: How often evenly drawn digits are at least that far from it; None as well.
    """

    dates: int
    statistic: float | None
    p_value: float | None

    @property
    def is_enough(self) -> bool:
        """Whether there are dates enough for the figures to mean something."""
        return self.dates >= ENOUGH_DATES

    def message(self) -> str:
        """What the figures mean, in words."""
        if self.p_value is None or not self.is_enough:
            return (
                f"{self.dates} date{'' if self.dates == 1 else 's'} cannot tell whether the "
                f"fractions are spread evenly: at least {ENOUGH_DATES} are needed"
            )
        if self.p_value >= LEAST_P_VALUE:
            often = f"{self.p_value:.0%}"
            return (
                f"Nothing speaks against an even spread: in {often} of cases {self.dates} "
                "fractions that chance alone draws are at least as uneven as these"
            )
        rarely = f"{self.p_value:.2g}" if self.p_value >= TINY_P_VALUE else f"under {TINY_P_VALUE}"
        return (
            f"The fractions are less evenly spread than chance explains: {self.dates} that chance "
            f"alone draws are as uneven with a probability of {rarely}. By itself that proves "
            "nothing, since one fair sample in a hundred falls below 0.01; look into where the "
            "volumes of these dates come from, and at the runs that were superseded"
        )

    def warnings(self) -> tuple[RuleWarning, ...]:
        """The warning that the digits are not spread evenly, where they are not."""
        if not self.is_enough or self.p_value is None or self.p_value >= LEAST_P_VALUE:
            return ()
        return (RuleWarning(code=UNEVEN_SEEDS, rule="S6", message=self.message()),)


@dataclass(frozen=True, slots=True, kw_only=True)
class SeedHistory:
    """The seeds of some dates, ascending, and how evenly they are spread."""

    seeds: tuple[DatedSeed, ...]
    uniformity: Uniformity


def seed_history(records: Iterable[RunRecord], *, first: dt.date | None = None) -> SeedHistory:
    """The seed of every date that stands.

    Args:
        records: The runs, dates ascending, those before `first` too: their composites may come
            again.
        first: The first date to tell of; None tells of all.

    Raises:
        LedgerDamaged: Two seeds stand for one date.
    """
    last_date_of: dict[int, dt.date] = {}
    seeds = []
    for date, of_date in groupby(records, key=lambda record: record.business_date):
        standing = _standing(list(of_date))
        seed = standing[0].seed
        if any(record.seed.composite != seed.composite for record in standing):
            runs = ", ".join(record.run for record in standing)
            raise LedgerDamaged(f"the runs {runs} stand for one date with several seeds")
        if first is None or date >= first:
            seeds.append(
                DatedSeed(
                    business_date=date,
                    composite=str(seed.composite),
                    cut_position=seed.cut_position,
                    digits=seed.digits,
                    fraction=seed.fraction,
                    runs=tuple(record.run for record in standing),
                    marks=_marks(seed.composite, last_date_of.get(seed.composite)),
                )
            )
        last_date_of[seed.composite] = date
    return SeedHistory(
        seeds=tuple(seeds), uniformity=uniformity_of([seed.digits for seed in seeds])
    )


def uniformity_of(digits: Sequence[str]) -> Uniformity:
    """The test of an even spread, exact for any number of dates.

    Args:
        digits: Each date's four digits.

    Returns:
        Its figures, rounded to four significant digits.
    """
    if not digits:
        return Uniformity(dates=0, statistic=None, p_value=None)
    from scipy import stats  # noqa: PLC0415 - takes most of a second, and only this needs it.

    middles = [(int(each) + 0.5) / DENOMINATOR for each in digits]
    tested = stats.kstest(middles, "uniform", method="exact")
    return Uniformity(
        dates=len(digits),
        statistic=float(f"{tested.statistic:.4g}"),
        p_value=float(f"{tested.pvalue:.4g}"),
    )


def _standing(records: Sequence[RunRecord]) -> list[RunRecord]:
    """The runs of one date that none of the others took the place of.

    Raises:
        LedgerDamaged: There is none, which no superseding can bring about.
    """
    superseded = {run for record in records for run in record.supersedes}
    standing = [record for record in records if record.run not in superseded]
    if not standing:
        raise LedgerDamaged(f"no run stands for {records[0].business_date}: all are superseded")
    return standing


def _marks(composite: int, earlier_date: dt.date | None) -> tuple[Mark, ...]:
    marks = []
    if is_low_precision(composite):
        marks.append(
            Mark(
                code=LOW_PRECISION_COMPOSITE,
                message="a multiple of 1,000: only 1,000 of the 10,000 fractions can come up",
                rule="S7",
            )
        )
    if earlier_date is not None:
        marks.append(
            Mark(
                code=REPEATED_COMPOSITE,
                message=f"the composite of {earlier_date} too: were its volumes sent again?",
                earlier_date=earlier_date,
            )
        )
    return tuple(marks)
