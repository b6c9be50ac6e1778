"""The sentences of a working, the same on the terminal and on the audit page.

Each step reads as in the published example, with the id of a decided rule. Only text is made here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal
from fractions import Fraction
from typing import Any, Final

from lottery.audit.explain import AccountWorking, PoolWorking
from lottery.method.distribution import NumberRange
from lottery.method.methodology import JPMS_2024_09_06
from lottery.method.seed import Seed

BREAK_TEXTS: Final = {
    "EXCEEDS_SHORT": "more is assigned than the pool is short",
    "NO_POSITION": "nobody is short",
}
"""What the reasons of breaks mean (D5)."""
BREAK_CAUSES: Final = {
    "EXCEEDS_SHORT": "a late trade, give-up or transfer that is not in the positions; positions "
    "taken after the assignments were booked; a corporate action",
    "NO_POSITION": "another spelling of the series after an adjustment; occ_account missing or "
    "different in one of the files; a truncated file",
}
"""The usual causes of breaks, as docs/OPERATIONS.md has them."""
HOLD_TEXTS: Final = {
    "STALE_VOLUMES": (
        "the composite is that of another date",
        "the volumes file: two dates with one composite have not been seen",
    ),
    "NOTICE_ON_ANOTHER_DATE": (
        "a notice with this id, series and quantity stands allocated on another date",
        "the date of the notices file",
    ),
    "SERIES_EXPIRED": (
        "a series expired before the business date",
        "the dates of the notices and of the run",
    ),
    "NOT_A_TRADING_DAY": (
        "a weekend day, or a holiday of the exchanges",
        (
            "the business date, which is the day that was traded; where the calendar is wrong, "
            "lottery charter amend --calendar FILE overrules it for later dates"
        ),
    ),
    "FUTURE_DATE": ("a date after today in New York", "the business date"),
    "CYCLE_OUT_OF_ORDER": (
        "a cycle below the date's highest, or more than one above it",
        "whether a cycle is missing; a correction keeps the cycle of what it supersedes",
    ),
    "MAY_BE_CUT_OFF": (
        (
            "the last line of a text file has no line end, and neither control totals nor a "
            "checksum came with it"
        ),
        "the end of the file, against what was sent; --expect or a .sha256 settles it",
    ),
    "MOSTLY_BREAKS": (
        "more than half of the contracts are in breaks",
        "whether the positions are those of this date, and of all accounts",
    ),
    "ASSIGNED_EXCEEDS_OCC_SHORT": (
        "OCC's own position file shows fewer short contracts than OCC assigned",
        "whether both files of OCC are of one date; then OCC",
    ),
}
"""What holds a run by each code, and what to check then (H1), as docs/OPERATIONS.md has them."""
STATE_TEXTS: Final = {
    "ALLOCATED": "Allocated",
    "ALLOCATED_WITH_BREAKS": "Allocated, with breaks",
    "NOTHING_ASSIGNED": "Nothing was assigned",
    "WITHDRAWN": "Withdrawn: OCC took the notices back",
    "PROPOSED": "Proposed: waits for approval",
    "REJECTED": "Rejected",
    "EXPIRED": "Expired without approval",
}
"""What the states of runs and proposals mean (N1, D5)."""
LISTED_NUMBERS: Final = 3
"""Maximum count of consecutive numbers listed one by one, as the published `28, 29, 30`."""
PERCENT_DECIMALS: Final = 2
"""Decimals of a chance as a percentage."""
MEAN_DECIMALS: Final = 4
"""Decimals of a mean."""

_DESCRIPTIONS: Final = {
    security.number: security.description for security in JPMS_2024_09_06.securities
}
_MONTHS: Final = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)
_RIGHTS: Final = {"C": "call", "P": "put"}


def count(number: int, noun: str) -> str:
    """Format a number of things, as `1 account` or `1,046 accounts`."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def subject_of(entry: Mapping[str, Any]) -> str:
    """Return what an entry of the trail is about, given as JSON values."""
    match entry["type"]:
        case "charter":
            return f"from {entry['holds_from'] or 'the beginning'}"
        case "key":
            return f"from {entry['signs_from']} entries on"
        case "request" | "approval" | "rejection":
            return str(entry["run"])
    return str(entry["subject"])


def owned_numbers(account: AccountWorking) -> str:
    """Format an account's range, as `31 to 60`; `none` in a broken pool."""
    if not account.first_number:
        return "none"
    owned = NumberRange(first_number=account.first_number, last_number=account.last_number)
    return number_range(owned)


def number_range(hit_range: NumberRange) -> str:
    """Format consecutive numbers, as `31 to 60`, or `31` if there is one."""
    if hit_range.quantity == 1:
        return f"{hit_range.first_number:,}"
    return f"{hit_range.first_number:,} to {hit_range.last_number:,}"


def hit_numbers(ranges: Iterable[NumberRange]) -> str:
    """Format numbers hit in the order of assignment, as `28, 29, 30` or `39, 40, then 1 to 36`."""
    return ", then ".join(map(_listed, ranges)) or "none"


def description_of(security_number: str) -> str:
    """Return the published description of a security, as `NYSE Volume`."""
    return _DESCRIPTIONS.get(security_number, "")


def contract(series: str) -> str:
    """Describe a series, as `AAPL call at 220, expiring 20 September 2024`."""
    root, date, right, strike = series[:6].rstrip(), series[6:12], series[12], int(series[13:])
    whole, thousandths = divmod(strike, 1_000)
    price = f"{whole:,}.{thousandths:03d}".rstrip("0").rstrip(".")
    day, month, year = int(date[4:]), _MONTHS[int(date[2:4]) - 1], 2000 + int(date[:2])
    return f"{root} {_RIGHTS[right]} at {price}, expiring {day} {month} {year}"


def cut_step(seed: Seed) -> str:
    """Explain the cut position (S4)."""
    return (
        f"Length {seed.length} digits; {seed.length} - 5 = {seed.cut_position}, "
        f"the cut starts at position {seed.cut_position}: {seed.composite_with_cut}"
    )


def fraction_step(seed: Seed) -> str:
    """Explain the fraction (S6)."""
    return f"Digits {seed.digits}; {int(seed.digits):,} / 10,000 + 0.0001 = {seed.fraction}"


def quantities(working: PoolWorking) -> str:
    """State what is assigned and what is short."""
    before = f"  Assigned before: {working.assigned_before:,} [P6]." * (working.assigned_before > 0)
    return (
        f"Assigned by OCC: {count(working.assigned_quantity, 'contract')} in "
        f"{count(working.notice_count, 'notice')}.  Total short: "
        f"{count(working.total_short, 'contract')} in {count(working.account_count, 'account')}."
        f"{before}"
    )


def break_step(reason: str) -> str:
    """Explain a break (D5)."""
    return f"Break {reason}: {BREAK_TEXTS[reason]}; nothing is allocated [D5]"


def first_hit_steps(working: PoolWorking) -> list[str]:
    """Explain the first hit (D1, D2)."""
    whole, point, decimals = working.product.partition(".")
    product = f"{int(whole):,}{point}{decimals}"
    multiplied = f"{working.seed.fraction} x {working.total_short:,}"
    steps = [f"First hit: {multiplied} = {product}, decimals removed: {int(whole):,}"]
    if working.is_zero_hit:
        other = "the last number" if working.zero_hit == "wrap" else "number 1"
        steps.append(
            f"A product below one is {other}: the first hit is {working.first_hit:,} "
            f"[D2, zero_hit = {working.zero_hit}]"
        )
    return steps


def continuation_steps(working: PoolWorking) -> list[str]:
    """Explain from where late notices continue (P6); nothing for a first draw."""
    if not working.assigned_before:
        return []
    before = count(working.assigned_before, "contract")
    start = f"{working.ranges[0].first_number:,}"
    return [f"Earlier cycles assigned {before} from there; these continue from number {start} [P6]"]


def distribution_steps(working: PoolWorking) -> list[str]:
    """Explain which numbers are hit (P6, D3, D4)."""
    steps = continuation_steps(working)
    steps += [f"Numbers hit: {', then '.join(map(number_range, working.ranges))}"]
    if working.wraps:
        steps.append("After the last number comes number 1 [D4]")
    return steps


def percent(chance: Fraction | Decimal) -> str:
    """Format a chance as a percentage that is 0 or 100 only if the chance is."""
    exact = Fraction(chance) * 100
    smallest = Fraction(1, 10**PERCENT_DECIMALS)
    if 0 < exact < smallest:
        return f"<{decimal(smallest, PERCENT_DECIMALS)} %"
    if 100 - smallest < exact < 100:  # noqa: PLR2004 - percent.
        return f">{decimal(100 - smallest, PERCENT_DECIMALS)} %"
    return f"{decimal(exact, PERCENT_DECIMALS)} %"


def decimal(value: Fraction, decimals: int = MEAN_DECIMALS) -> str:
    """Format a fraction as decimal text, rounded half up in its last digit."""
    scale = 10**decimals
    scaled = (value.numerator * scale * 2 + value.denominator) // (2 * value.denominator)
    sign, (whole, rest) = "-" if scaled < 0 else "", divmod(abs(scaled), scale)
    return f"{sign}{whole:,}" + (f".{rest:0{decimals}d}" if decimals else "")


def _listed(hit_range: NumberRange) -> str:
    if hit_range.quantity > LISTED_NUMBERS:
        return number_range(hit_range)
    return ", ".join(
        f"{number:,}" for number in range(hit_range.first_number, hit_range.last_number + 1)
    )
