"""The tests' own reference of the documented lottery, worked contract by contract.

What it is: rules P1-P6, R1-R3, S1-S6, D1-D5 of ``docs/METHOD.md``, as a person would work them on
paper, for the tests to compare the library with and for the expected files of the examples.

Why it is plain: a check is worth something only where it can go wrong in other ways than the thing
checked. It uses the standard library alone, imports nothing of the library, and shares no
shortcut with it. The composite is cut as decimal text, the fraction is an exact
``fractions.Fraction``, and contracts are handed out one at a time.

Not here: the grammar of files, asks and symbols, the warnings (S7), the one seed a date (S8), the
dates in force (F1). The input is taken as accepted; ``ValueError`` is raised only where the method
itself would have no answer.

What always holds:

- numbers start at 1 and both ends of a range are inclusive (R3);
- a broken pool has no account rows and no first hit, and stops no other pool (D5);
- the time taken grows with the assigned contracts, not with the total short position.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from dataclasses import dataclass
from decimal import Decimal, Inexact, localcontext
from fractions import Fraction
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

ZeroHit: TypeAlias = Literal["wrap", "first"]
AccountOrder: TypeAlias = Literal["numeric", "code-point"]
Pooling: TypeAlias = Literal["occ-account", "series"]
BreakReason: TypeAlias = Literal["EXCEEDS_SHORT", "NO_POSITION"]
Row: TypeAlias = dict[str, str | int | None]

SECURITIES = ("Z901803", "Z901439", "Z901466", "Z901448")
"""NYSE, MIDWEST, CINCINNATI and NASD Volume, in the order of the published table (S1)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReferenceSeed:
    """Every step from the four asks to the fraction (S1-S6)."""

    volumes: dict[str, int]
    composite: int
    length: int
    cut_position: int
    digits: str
    fraction: Fraction
    fraction_text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ReferenceAccount:
    """One account's range of numbers and what was assigned to it (R3, D3)."""

    account: str
    short_quantity: int
    first_number: int
    last_number: int
    assigned_quantity: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ReferencePool:
    """One pool: its accounts in order, or the reason why it is a break (D1-D5)."""

    accounts: list[ReferenceAccount]
    total_short: int
    first_hit: int | None
    account_count: int
    hit_account_count: int
    break_reason: BreakReason | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReferenceDay:
    """A whole day; the rows have the columns of the ``pools`` and ``allocations`` files."""

    seed: ReferenceSeed
    pools: list[Row]
    allocations: list[Row]


def seed_of(asks: Mapping[str, str]) -> ReferenceSeed:
    """Work the seed as published: volumes, composite, cut, fraction (S1-S6).

    Args:
        asks: The ask price of each of the four securities, as decimal text.

    Returns:
        The seed with every step kept; ``volumes`` in the order of the published table.

    Raises:
        ValueError: Not the four securities, an ask that makes no whole volume (S2), or a composite
            of fewer than six digits (S5).
    """
    if set(asks) != set(SECURITIES):
        message = f"the asks are of {sorted(asks)}, not of {sorted(SECURITIES)} (S2)"
        raise ValueError(message)
    volumes = {security: _volume_of(asks[security]) for security in SECURITIES}
    composite = sum(volumes.values())
    text = str(composite)
    length = len(text)
    cut_position = length - 5
    if cut_position < 1:
        message = f"composite {text} has {length} digits, and six are needed (S5)"
        raise ValueError(message)
    # Position 1 is the first digit, which Python's text has at index 0.
    digits = text[cut_position - 1 : cut_position - 1 + 4]
    fraction = Decimal(digits) / Decimal(10_000) + Decimal("0.0001")
    return ReferenceSeed(
        volumes=volumes,
        composite=composite,
        length=length,
        cut_position=cut_position,
        digits=digits,
        fraction=Fraction(fraction),
        fraction_text=f"{fraction:.4f}",
    )


def allocate_pool(
    positions: Sequence[tuple[str, int]],
    assigned: int,
    fraction: Fraction,
    *,
    zero_hit: ZeroHit = "wrap",
    account_order: AccountOrder = "numeric",
    assigned_before: int = 0,
) -> ReferencePool:
    """Allocate one pool, one contract at a time (P2, P4, P6, R1-R3, D1-D5).

    Args:
        positions: Account number and short contracts, in any order; none of the accounts twice.
        assigned: Contracts to assign, the pool's notices added up.
        fraction: The day's fraction, from 0.0001 to 1.0000.
        zero_hit: Which number a product below one gives: ``wrap`` the last, ``first`` the first.
        account_order: How accounts are compared: as numbers, or as text by code point.
        assigned_before: Contracts that earlier cycles of the date assigned from these positions:
            they are handed out first, to nobody.

    Returns:
        The pool. ``accounts`` are the open positions in account order, those with nothing assigned
        too, and none for a break; ``account_count`` counts the open positions in both cases.
        ``first_hit`` is the number that was started from, so never 0.

    Raises:
        ValueError: A negative position (P2), an account given twice (P4), in numeric order in
            another spelling too or no number of 1 to 30 digits (R2).
    """
    in_order = [
        (account, short_quantity)
        for account, short_quantity in _in_account_order(positions, account_order)
        if short_quantity > 0
    ]
    first_numbers: list[int] = []
    last_numbers: list[int] = []
    total_short = 0
    for _, short_quantity in in_order:
        first_numbers.append(total_short + 1)
        total_short += short_quantity
        last_numbers.append(total_short)

    break_reason: BreakReason | None = None
    if total_short == 0:
        break_reason = "NO_POSITION"
    elif assigned_before + assigned > total_short:
        break_reason = "EXCEEDS_SHORT"
    if break_reason is not None:
        return ReferencePool(
            accounts=[],
            total_short=total_short,
            first_hit=None,
            account_count=len(in_order),
            hit_account_count=0,
            break_reason=break_reason,
        )

    first_hit = _first_hit(fraction, total_short, zero_hit)
    assigned_quantities = [0] * len(in_order)
    number = first_hit
    for contract in range(assigned_before + assigned):
        if contract >= assigned_before:
            # The number's owner is the first account whose range ends at the number or after it.
            assigned_quantities[bisect_left(last_numbers, number)] += 1
        number += 1
        if number > total_short:
            number = 1
    accounts = [
        ReferenceAccount(
            account=account,
            short_quantity=short_quantity,
            first_number=first_numbers[index],
            last_number=last_numbers[index],
            assigned_quantity=assigned_quantities[index],
        )
        for index, (account, short_quantity) in enumerate(in_order)
    ]
    return ReferencePool(
        accounts=accounts,
        total_short=total_short,
        first_hit=first_hit,
        account_count=len(accounts),
        hit_account_count=sum(1 for row in accounts if row.assigned_quantity > 0),
        break_reason=None,
    )


def allocate_day(
    notices: Iterable[Mapping[str, str | int | None]],
    positions: Iterable[Mapping[str, str | int | None]],
    asks: Mapping[str, str],
    *,
    zero_hit: ZeroHit = "wrap",
    account_order: AccountOrder = "numeric",
    pool: Pooling = "occ-account",
    assigned_before: Mapping[tuple[str, str], int] | None = None,
) -> ReferenceDay:
    """Allocate every assigned pool of a day with the day's one seed (P1, P3, P5, D5).

    Args:
        notices: Rows with ``series``, ``quantity`` and perhaps ``occ_account``.
        positions: Rows with ``series``, ``account``, ``short_quantity`` and perhaps
            ``occ_account``. Quantities may be numbers or their text; an ``occ_account`` that is
            missing or None is the empty one.
        asks: As for ``seed_of``.
        zero_hit: As for ``allocate_pool``.
        account_order: As for ``allocate_pool``.
        pool: What makes a pool: the OCC account and the series, or the series alone, whose pools
            have the empty OCC account whatever the rows say.
        assigned_before: As for ``allocate_pool``, by occ_account and padded series.

    Returns:
        The seed, one row a assigned pool, and one row an account of every allocated pool, each
        sorted by occ_account, series and account order.

    Raises:
        ValueError: As ``seed_of`` and ``allocate_pool``, or a series without an OSI form.
    """
    seed = seed_of(asks)
    assigned: dict[tuple[str, str], list[int]] = {}
    for notice in notices:
        assigned.setdefault(_pool_of(notice, pool), []).append(int(str(notice["quantity"])))
    held: dict[tuple[str, str], list[tuple[str, int]]] = {}
    for position in positions:
        held.setdefault(_pool_of(position, pool), []).append(
            (str(position["account"]), int(str(position["short_quantity"])))
        )

    pools: list[Row] = []
    allocations: list[Row] = []
    for (occ_account, series), quantities in sorted(assigned.items()):
        before = (assigned_before or {}).get((occ_account, series), 0)
        worked = allocate_pool(
            held.get((occ_account, series), []),
            sum(quantities),
            seed.fraction,
            zero_hit=zero_hit,
            account_order=account_order,
            assigned_before=before,
        )
        pools.append(
            {
                "occ_account": occ_account,
                "series": series,
                "notice_count": len(quantities),
                "assigned_quantity": sum(quantities),
                "total_short": worked.total_short,
                "assigned_before": before,
                "first_hit": worked.first_hit,
                "account_count": worked.account_count,
                "hit_account_count": worked.hit_account_count,
                "break_reason": worked.break_reason,
            }
        )
        allocations.extend(
            {
                "occ_account": occ_account,
                "series": series,
                "account": row.account,
                "short_quantity": row.short_quantity,
                "first_number": row.first_number,
                "last_number": row.last_number,
                "assigned_quantity": row.assigned_quantity,
            }
            for row in worked.accounts
        )
    return ReferenceDay(seed=seed, pools=pools, allocations=allocations)


def padded_series(series: str) -> str:
    """Write an OSI symbol in its 21 characters, from that or the compact form (P1).

    The last 15 characters are always date, right and strike, so the root is what stands before.
    """
    match = re.fullmatch("([A-Z0-9]{1,6}) *([0-9]{6}[CP][0-9]{8})", series)
    if match is None:
        message = f"{series!r} has no OSI form"
        raise ValueError(message)
    root, rest = match.groups()
    return f"{root:<6}{rest}"


def _volume_of(ask: str) -> int:
    """Multiply an ask by 100,000, which must give a whole number (S1, S2)."""
    with localcontext() as context:
        # An ask of many digits must not be rounded on the way.
        context.prec = 200
        context.traps[Inexact] = True
        volume = Decimal(ask) * 100_000
    if not volume.is_finite() or volume < 0 or volume != int(volume):
        message = f"ask {ask} makes no whole volume (S2)"
        raise ValueError(message)
    return int(volume)


def _in_account_order(
    positions: Sequence[tuple[str, int]], account_order: AccountOrder
) -> list[tuple[str, int]]:
    """Sort the positions by account, ascending (R1, R2); refuse what has no place (P2, P4)."""
    identities: set[str | int] = set()
    for account, short_quantity in positions:
        if short_quantity < 0:
            message = f"account {account} is short {short_quantity} (P2)"
            raise ValueError(message)
        if account_order == "numeric" and not re.fullmatch("[0-9]{1,30}", account):
            message = f"account {account!r} is no number of 1 to 30 digits (R2)"
            raise ValueError(message)
        identity = int(account) if account_order == "numeric" else account
        if identity in identities:
            message = f"account {account} stands twice in one pool (P4, R2)"
            raise ValueError(message)
        identities.add(identity)
    if account_order == "numeric":
        return sorted(positions, key=lambda position: int(position[0]))
    return sorted(positions, key=lambda position: position[0])


def _first_hit(fraction: Fraction, total_short: int, zero_hit: ZeroHit) -> int:
    """Multiply, remove the decimals, and give a zero its number (D1, D2)."""
    product = fraction * total_short
    without_decimals = product.numerator // product.denominator
    if without_decimals > 0:
        return without_decimals
    return total_short if zero_hit == "wrap" else 1


def _pool_of(row: Mapping[str, str | int | None], pool: Pooling) -> tuple[str, str]:
    """Name the pool of a notice or a position: (occ_account, series) (P3)."""
    occ_account = row.get("occ_account") if pool == "occ-account" else None
    return ("" if occ_account is None else str(occ_account)), padded_series(str(row["series"]))
