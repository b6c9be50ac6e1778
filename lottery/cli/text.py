"""Text for people: runs, seeds, workings and replays as rich tables."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

from rich import box
from rich.console import Console
from rich.table import Table

from lottery.audit.explain import AccountWorking, PoolWorking
from lottery.audit.replay import Replayed
from lottery.ledger.run import GROSS, BreakRecord, RunRecord, SeedRecord, WarningRecord
from lottery.method.methodology import JPMS_2024_09_06
from lottery.method.seed import marked_composite
from lottery.method.wheel import Stretch

BREAKS_SHOWN: Final = 50
ROWS_SHOWN: Final = 200

_DESCRIPTIONS: Final = {
    security.number: security.description for security in JPMS_2024_09_06.securities
}
_BREAK_TEXTS: Final = {
    "EXCEEDS_SHORT": "more is assigned than the pool is short",
    "NO_POSITION": "nobody is short",
}


def table(*columns: str, right: Iterable[str] = ()) -> Table:
    """An empty table; the columns in `right` hold numbers."""
    made = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0), show_edge=False)
    numbers = set(right)
    for column in columns:
        # On a narrow terminal a cell is folded, never cut; a series stays in one piece.
        made.add_column(
            column,
            justify="right" if column in numbers else "left",
            overflow="fold",
            no_wrap=column == "series",
        )
    return made


def show_run(
    console: Console,
    record: RunRecord,
    *,
    already_recorded: bool | None,
    superseded_by: str | None,
) -> None:
    """A run in a few lines, its breaks and its warnings."""
    told = {True: "was recorded already", False: "is recorded", None: "stands recorded"}
    console.print(f"Run {record.run} {told[already_recorded]}: {record.state}", style="bold")
    console.print(
        f"  {record.business_date}, cycle {record.cycle}, method {record.method.id}, "
        f"{record.recorded_at} by {record.requested_by.name} on {record.requested_by.host}"
    )
    if superseded_by is not None:
        console.print(f"  superseded by {superseded_by} since", style="bold yellow")
    if record.supersedes:
        console.print(
            f"  supersedes {', '.join(record.supersedes)}: {record.reason}", soft_wrap=True
        )
    if record.positions_basis is not None:
        taken_off = ", ".join(record.taken_off) or "no run"
        less = f": what {taken_off} assigned before is taken off"
        told_less = less if record.positions_basis == GROSS else ""
        console.print(f"  positions {record.positions_basis}{told_less}")
    console.print(
        f"  composite {marked(record.seed)}, digits {record.seed.digits}, "
        f"fraction {record.seed.fraction}"
    )
    broken = record.assigned_quantity - record.allocated_quantity
    console.print(
        f"  {_count(record.notice_count, 'notice')} for {_count(record.pool_count, 'pool')}, "
        f"{_count(record.assigned_quantity, 'contract')}: {record.allocated_quantity:,} allocated"
        + (f", {broken:,} in {_count(len(record.breaks), 'break')}" if record.breaks else "")
    )
    show_warnings(console, record.warnings)
    show_breaks(console, record.breaks)


def show_warnings(console: Console, warnings: Iterable[WarningRecord]) -> None:
    """What is worth a look."""
    for warning in warnings:
        console.print(f"  warning: {warning.message} [{warning.rule}]", style="yellow")


def show_breaks(console: Console, breaks: tuple[BreakRecord, ...]) -> None:
    """The pools without an allocation, with both figures."""
    if not breaks:
        return
    made = table("break", "OCC account", "series", "assigned", "short", right=("assigned", "short"))
    for broken in breaks[:BREAKS_SHOWN]:
        made.add_row(
            broken.reason,
            broken.occ_account,
            broken.series,
            f"{broken.assigned_quantity:,}",
            f"{broken.total_short:,}",
            style="red",
        )
    console.print(made)
    if len(breaks) > BREAKS_SHOWN:
        console.print(f"and {len(breaks) - BREAKS_SHOWN} more breaks")


def show_seed(console: Console, seed: SeedRecord, warnings: Iterable[WarningRecord]) -> None:
    """Every step of a seed, as the published example has it."""
    made = table("exchange", "security", "ask price", "", "volume", right=("ask price", "volume"))
    for volume in seed.volumes:
        made.add_row(
            _DESCRIPTIONS.get(volume.security_number, ""),
            volume.security_number,
            volume.ask_price,
            "x 100,000 =",
            f"{volume.volume:,}",
        )
    made.add_row("Composite volume", "", "", "", f"{int(seed.composite):,}", style="bold")
    console.print(made)
    console.print(
        f"Length {seed.length} digits; {seed.length} - 5 = {seed.cut_position}, "
        f"the cut starts at position {seed.cut_position}: {marked(seed)}"
    )
    console.print(f"Digits {seed.digits}; {int(seed.digits):,} / 10,000 + 0.0001 = {seed.fraction}")
    show_warnings(console, warnings)


def show_working(console: Console, working: PoolWorking, *, with_seed: bool) -> None:
    """A pool's working, step by step; the seed's steps are the same for every pool of a run."""
    of = f", OCC account {working.occ_account}" if working.occ_account else ""
    console.print(f"Series {working.series}{of}", style="bold")
    console.print(
        f"run {working.run}, business date {working.business_date}, method {working.method}"
    )
    console.print()
    console.print(
        f"Assigned by OCC: {_count(working.assigned_quantity, 'contract')} in "
        f"{_count(working.notice_count, 'notice')}.  Short in all: "
        f"{_count(working.total_short, 'contract')} in {_count(working.account_count, 'account')}."
    )
    if with_seed:
        show_seed(console, working.seed, ())
        console.print()
    if working.break_reason:
        console.print(
            f"Break {working.break_reason}: {_BREAK_TEXTS[working.break_reason]}; "
            "nothing is allocated [D5]",
            style="red",
        )
    else:
        _show_first_hit(console, working)
    made = table("account", "short", "numbers", "hit", "assigned", right=("short", "assigned"))
    for account in working.accounts:
        made.add_row(
            account.account,
            f"{account.short_quantity:,}",
            _owned(account),
            ", then ".join(numbers_text(stretch) for stretch in account.numbers_hit) or "none",
            f"{account.assigned_quantity:,}",
            style="bold" if account.assigned_quantity else None,
        )
    console.print(made)
    if working.accounts_left_out:
        console.print(f"{_count(working.accounts_left_out, 'account')} of the pool left out here")


def show_replayed(console: Console, replayed: Replayed) -> None:
    """A run's replay: that it matches, or every value that does not."""
    if replayed.matched:
        console.print(f"{replayed.run}  matches", style="green")
        return
    console.print(f"{replayed.run}  differs", style="bold red")
    for mismatch in replayed.mismatches:
        console.print(
            f"  {mismatch.where}: recorded {mismatch.recorded}, computed {mismatch.computed}",
            soft_wrap=True,
        )


def show_pools(console: Console, pools: Sequence[Mapping[str, Any]]) -> None:
    """Pools by the columns of the pools file, in words that fit a terminal."""
    numbers = ("assigned", "short", "first hit", "accounts hit")
    made = table("OCC", "series", *numbers, right=numbers)
    for pool in pools[:ROWS_SHOWN]:
        made.add_row(
            pool["occ_account"],
            pool["series"],
            f"{pool['assigned_quantity']:,}",
            f"{pool['total_short']:,}",
            pool["break_reason"] or f"{pool['first_hit']:,}",
            f"{pool['hit_account_count']:,} of {pool['account_count']:,}",
            style="red" if pool["break_reason"] else None,
        )
    _show_cut(console, "Pools", made, len(pools))


def show_allocations(console: Console, allocations: Sequence[Mapping[str, Any]]) -> None:
    """Allocations by the columns of the allocations file, in words that fit a terminal."""
    made = table(
        "OCC", "series", "account", "short", "numbers", "assigned", right=("short", "assigned")
    )
    for row in allocations[:ROWS_SHOWN]:
        owned = Stretch(first_number=row["first_number"], last_number=row["last_number"])
        made.add_row(
            row["occ_account"],
            row["series"],
            row["account"],
            f"{row['short_quantity']:,}",
            numbers_text(owned),
            f"{row['assigned_quantity']:,}",
        )
    _show_cut(console, "Accounts with an assigned contract", made, len(allocations))


def printer(
    show: Callable[..., None], *arguments: Any, **options: Any
) -> Callable[[Console], None]:
    """A function of the console alone."""
    return lambda console: show(console, *arguments, **options)


def marked(seed: SeedRecord) -> str:
    """The composite with its cut shown, as `282[4313]10` (S4)."""
    return marked_composite(seed.composite, seed.cut_position)


def _show_first_hit(console: Console, working: PoolWorking) -> None:
    console.print(
        f"First hit: {working.seed.fraction} x {working.total_short:,} = {working.product}, "
        f"decimals removed: {working.product.partition('.')[0]}"
    )
    if working.is_zero_hit:
        other = "the last number" if working.zero_hit == "wrap" else "number 1"
        console.print(
            f"A product below one is {other}: the first hit is {working.first_hit:,} "
            f"[D2, zero_hit = {working.zero_hit}]"
        )
    numbers = ", then ".join(numbers_text(stretch) for stretch in working.stretches)
    console.print(f"Numbers hit: {numbers}")
    if working.wraps:
        console.print("After the last number comes number 1 [D4]")


def _owned(account: AccountWorking) -> str:
    if not account.first_number:
        return "none"
    return numbers_text(Stretch(first_number=account.first_number, last_number=account.last_number))


def numbers_text(stretch: Stretch) -> str:
    """A range of numbers for people, as `28 to 37`."""
    if stretch.quantity == 1:
        return f"{stretch.first_number:,}"
    return f"{stretch.first_number:,} to {stretch.last_number:,}"


def _count(count: int, noun: str) -> str:
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def _show_cut(console: Console, title: str, made: Table, count: int) -> None:
    console.print(f"\n{title}", style="bold")
    console.print(made)
    if count > ROWS_SHOWN:
        console.print(
            f"and {count - ROWS_SHOWN:,} more; --json has all, as has lottery run --output"
        )
