"""Seeds over time: one a business date, and whether their digits are spread as chance would.

A date's seed is that of its standing runs (S8). Two flags say that a seed is worth a look: a
composite that leaves few fractions (S7), and one that an earlier date had, as when a file of
volumes is sent twice. Repeated digits alone are not flagged: of 10,000 values, two dates share one
within a year nearly always.

The test is the two-sided one-sample Kolmogorov-Smirnov test with its exact distribution. Unlike a
chi-square test it needs neither classes nor a minimum of dates in each. Digits are taken as the
middle of their ten-thousandth, drawn evenly from 0 to 1; that they come in 10,000 steps changes the
statistic by at most 0.00005. The test sees digits that lean to one side or crowd somewhere. It does
not see an order among them, and hardly a coarse composite, which has its flag.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Final

from lottery.errors import LedgerDamaged
from lottery.extras import import_extra
from lottery.ledger.run_record import RunRecord
from lottery.method.seed import (
    DENOMINATOR,
    LOW_PRECISION_COMPOSITE,
    RuleWarning,
    is_low_precision,
)

TEST: Final = "Kolmogorov-Smirnov, one-sample, two-sided, exact"
ENOUGH_DATES: Final = 20
"""Minimum number of dates; with fewer, only digits crowded in a third of the range would show."""
LEAST_P_VALUE: Final = 0.01
"""A smaller p-value is warned of; a fair lottery gives one in a hundred samples."""
TINY_P_VALUE: Final = 0.0001
"""A smaller p-value is reported as smaller than this."""

REPEATED_COMPOSITE: Final = "REPEATED_COMPOSITE"
UNEVEN_SEEDS: Final = "UNEVEN_SEEDS"


@dataclass(frozen=True, slots=True, kw_only=True)
class Flag:
    """Why a date's seed is worth a look.

    Attributes:
        code: `LOW_PRECISION_COMPOSITE` or `REPEATED_COMPOSITE`.
        message: What it means.
        rule: The method's rule about it, if there is one.
        earlier_date: For a repeated composite, the last earlier date that had it.
    """

    code: str
    message: str
    rule: str | None = None
    earlier_date: dt.date | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DatedSeed:
    """The seed of a business date; composite, digits and fraction as text.

    Attributes:
        cut_position: Where the cut starts, counted from 1 (S4).
        runs: The standing runs of the date, in the order of recording.
    """

    business_date: dt.date
    composite: str
    cut_position: int
    digits: str
    fraction: str
    runs: tuple[str, ...]
    flags: tuple[Flag, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Uniformity:
    """How evenly digits are spread.

    Attributes:
        dates: How many dates there are, each with its digits.
        statistic: The largest distance from an even spread, 0 to 1; None without dates.
        p_value: The chance that fair digits are at least that far from it; None without dates.
    """

    dates: int
    statistic: float | None
    p_value: float | None

    @property
    def is_enough(self) -> bool:
        """Whether there are enough dates for the figures to mean something."""
        return self.dates >= ENOUGH_DATES

    def message(self) -> str:
        """Return what the figures mean, in words."""
        if self.p_value is None or not self.is_enough:
            return (
                f"at least {ENOUGH_DATES} dates are needed to say whether the fractions are "
                f"spread evenly, got {self.dates}"
            )
        if self.p_value >= LEAST_P_VALUE:
            often = f"{self.p_value:.0%}"
            return (
                f"the fractions are consistent with an even spread: {self.dates} fair draws are at "
                f"least this uneven with a probability of {often}"
            )
        rarely = f"{self.p_value:.2g}" if self.p_value >= TINY_P_VALUE else f"under {TINY_P_VALUE}"
        return (
            f"the fractions are spread less evenly than chance explains: {self.dates} fair draws "
            f"are at least this uneven with a probability of {rarely}; that alone proves nothing, "
            "as one fair sample in a hundred falls below 0.01; check where the volumes of these "
            "dates come from, and the superseded runs"
        )

    def warnings(self) -> tuple[RuleWarning, ...]:
        """Return a warning if the digits are not spread evenly."""
        if not self.is_enough or self.p_value is None or self.p_value >= LEAST_P_VALUE:
            return ()
        return (RuleWarning(code=UNEVEN_SEEDS, rule="S6", message=self.message()),)


@dataclass(frozen=True, slots=True, kw_only=True)
class SeedHistory:
    """The seeds of a period, dates ascending, and how evenly they are spread."""

    seeds: tuple[DatedSeed, ...]
    uniformity: Uniformity


def seed_history(records: Iterable[RunRecord], *, first: dt.date | None = None) -> SeedHistory:
    """Return the seed of every date that has a standing run.

    Args:
        records: The runs, dates ascending; those before `first` too, whose composites may repeat.
        first: The first date to include; None includes all.

    Raises:
        LedgerDamaged: The standing runs of a date have different seeds, or it has none.
    """
    last_date_of: dict[int, dt.date] = {}
    seeds = []
    for date, of_date in groupby(records, key=lambda record: record.business_date):
        standing = _standing(list(of_date))
        seed = standing[0].seed
        if any(record.seed.composite != seed.composite for record in standing):
            runs = ", ".join(record.run for record in standing)
            raise LedgerDamaged(f"expected one seed for {date}, got several: standing runs {runs}")
        if first is None or date >= first:
            seeds.append(
                DatedSeed(
                    business_date=date,
                    composite=str(seed.composite),
                    cut_position=seed.cut_position,
                    digits=seed.digits,
                    fraction=seed.fraction,
                    runs=tuple(record.run for record in standing),
                    flags=_flags(seed.composite, last_date_of.get(seed.composite)),
                )
            )
        last_date_of[seed.composite] = date
    return SeedHistory(
        seeds=tuple(seeds), uniformity=uniformity_of([seed.digits for seed in seeds])
    )


def uniformity_of(digits: Sequence[str]) -> Uniformity:
    """Test digits for an even spread, exactly for any number of dates.

    Args:
        digits: Each date's four digits.

    Returns:
        The test's figures, rounded to four significant digits.

    Raises:
        EngineMissing: SciPy is not installed.
    """
    if not digits:
        return Uniformity(dates=0, statistic=None, p_value=None)
    stats: Any = import_extra("scipy.stats")
    middles = [(int(four) + 0.5) / DENOMINATOR for four in digits]
    tested = stats.kstest(middles, "uniform", method="exact")
    return Uniformity(
        dates=len(digits),
        statistic=float(f"{tested.statistic:.4g}"),
        p_value=float(f"{tested.pvalue:.4g}"),
    )


def _standing(records: Sequence[RunRecord]) -> list[RunRecord]:
    """Return the runs of one date that no other supersedes.

    Raises:
        LedgerDamaged: There is none, which superseding cannot bring about.
    """
    superseded = {run for record in records for run in record.supersedes}
    standing = [record for record in records if record.run not in superseded]
    if not standing:
        raise LedgerDamaged(f"expected a standing run of {records[0].business_date}, got none")
    return standing


def _flags(composite: int, earlier_date: dt.date | None) -> tuple[Flag, ...]:
    flags = []
    if is_low_precision(composite):
        flags.append(
            Flag(
                code=LOW_PRECISION_COMPOSITE,
                message="a multiple of 1,000 allows only 1,000 of the 10,000 fractions",
                rule="S7",
            )
        )
    if earlier_date is not None:
        flags.append(
            Flag(
                code=REPEATED_COMPOSITE,
                message=f"same composite as {earlier_date}: check that its volumes are new",
                earlier_date=earlier_date,
            )
        )
    return tuple(flags)
