"""Text for people: runs, seeds, workings and replays as rich tables."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from rich import box
from rich.console import Console
from rich.table import Table

from lottery import operations
from lottery.operations.workings import wording

BREAKS_SHOWN: Final = 50
"""Maximum number of breaks that a table shows."""
CHARTER_DIGITS: Final = 16
"""How many digits of a charter's SHA-256 are shown."""
ROWS_SHOWN: Final = 200
"""Maximum number of rows that any other table shows."""

_count: Final = wording.count


def table(*columns: str, right: Iterable[str] = ()) -> Table:
    """Return an empty table; the columns in `right` hold numbers."""
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


def recorded_time(recorded_at: str) -> str:
    """Return a recorded time to the second, without its zone, which is UTC."""
    return recorded_at[:19].replace("T", " ")


def person(identity: operations.Identity) -> str:
    """Return who asked for something, and from where."""
    return f"{identity.name} on {identity.host}"


def show_unnamed(console: Console, folder_count: int | None) -> None:
    """Print how many folders of evidence no entry names, if it is known and there are any."""
    if folder_count:
        console.print(
            f"{_count(folder_count, 'folder')} that no entry names: lottery sweep removes such "
            "after seven days"
        )


def show_run(console: Console, recorded: operations.RecordedRun, *, is_repeated: bool) -> None:
    """Print a run in a few lines, with its breaks and its warnings."""
    record, superseded_by = recorded.record, recorded.superseded_by
    done = "recorded" if recorded.counts else "proposed"
    already = f"was already {done}" if is_repeated else f"is {done}"
    if recorded.is_rehearsed:
        already = f"would be {done}, and is not"
    console.print(f"Run {record.run} {already}: {recorded.state}", style="bold")
    _show_four_eyes(console, recorded)
    console.print(
        f"  {record.business_date}, cycle {record.cycle}, method {record.method.id}, "
        f"charter {record.charter[:CHARTER_DIGITS]}, "
        f"{record.recorded_at} by {person(record.requested_by)}"
    )
    if superseded_by is not None:
        console.print(f"  superseded by {superseded_by}", style="bold yellow")
    if record.supersedes:
        console.print(
            f"  supersedes {', '.join(record.supersedes)}: {record.reason}", soft_wrap=True
        )
    for one in record.acknowledgements:
        console.print(f"  acknowledged {one.code}: {one.reason}", soft_wrap=True)
    if record.rests_on:
        console.print(f"  continues the draws of {', '.join(record.rests_on)}", soft_wrap=True)
    console.print(
        f"  composite {record.seed.composite_with_cut}, digits {record.seed.digits}, "
        f"fraction {record.seed.fraction}"
    )
    broken = record.assigned_quantity - record.allocated_quantity
    console.print(
        f"  {_count(record.notice_count, 'notice')} for {_count(record.pool_count, 'pool')}, "
        f"{_count(record.assigned_quantity, 'contract')}: {record.allocated_quantity:,} allocated"
        + (f", {broken:,} in {_count(record.break_count, 'break')}" if record.break_count else "")
    )
    show_warnings(console, record.warnings)
    show_breaks(console, recorded.breaks)


def _show_four_eyes(console: Console, recorded: operations.RecordedRun) -> None:
    """Print of a proposal what it would be, until when it waits, and its verdict."""
    # Imported here: a seed and odds are shown without a ledger.
    from lottery.operations.runs import Proposal, record_sha256  # noqa: PLC0415

    record, verdict = recorded.record, recorded.verdict
    if not isinstance(record, Proposal):
        return
    if not recorded.counts:
        console.print(
            f"  it would be {record.state}, and counts for nobody unless another person approves "
            f"it until {recorded_time(record.expires_at)} UTC",
            style="yellow",
            soft_wrap=True,
        )
    if not recorded.is_rehearsed:
        console.print(f"  record {record_sha256(record)}", soft_wrap=True)
    console.print(f"  proposed by {person(record.requested_by)}")
    if verdict is not None:
        done = "approved" if verdict.is_approval else "rejected"
        why = "" if verdict.reason is None else f": {verdict.reason}"
        when, who = recorded_time(verdict.recorded_at), person(verdict.requested_by)
        console.print(f"  {done} {when} UTC by {who}{why}", soft_wrap=True)


def show_warnings(console: Console, warnings: Iterable[operations.RuleWarning]) -> None:
    """Print warnings, one a line."""
    for warning in warnings:
        console.print(f"  warning: {warning.message} [{warning.rule}]", style="yellow")


def show_breaks(console: Console, breaks: tuple[operations.Break, ...]) -> None:
    """Print the pools without an allocation, with both figures."""
    if not breaks:
        return
    is_late = any(broken.assigned_before for broken in breaks)
    numbers = ("assigned", "short", *(["assigned before"] if is_late else []))
    made = table("break", "OCC account", "series", *numbers, right=numbers)
    for broken in breaks[:BREAKS_SHOWN]:
        made.add_row(
            broken.reason,
            broken.occ_account,
            broken.series,
            f"{broken.assigned_quantity:,}",
            f"{broken.total_short:,}",
            *([f"{broken.assigned_before:,}"] if is_late else []),
            style="red",
        )
    console.print(made)
    if len(breaks) > BREAKS_SHOWN:
        console.print(f"and {len(breaks) - BREAKS_SHOWN} more breaks")


def show_seed(
    console: Console, seed: operations.Seed, warnings: Iterable[operations.RuleWarning]
) -> None:
    """Print every step of a seed, as the published example has it."""
    made = table("exchange", "security", "ask price", "", "volume", right=("ask price", "volume"))
    for volume in seed.volumes:
        made.add_row(
            wording.description_of(volume.security_number),
            volume.security_number,
            volume.ask_price,
            "x 100,000 =",
            f"{volume.volume:,}",
        )
    made.add_row("Composite volume", "", "", "", f"{seed.composite:,}", style="bold")
    console.print(made)
    console.print(wording.cut_step(seed))
    console.print(wording.fraction_step(seed))
    show_warnings(console, warnings)


def show_working(console: Console, working: operations.PoolWorking, *, with_seed: bool) -> None:
    """Print a pool's working; the seed's steps are the same for every pool of a run."""
    pool = f", OCC account {working.occ_account}" if working.occ_account else ""
    console.print(f"Series {working.series}{pool}", style="bold")
    console.print(
        f"run {working.run}, business date {working.business_date}, method {working.method}"
    )
    console.print()
    console.print(wording.quantities(working))
    if with_seed:
        show_seed(console, working.seed, ())
        console.print()
    if working.break_reason:
        console.print(wording.break_step(working.break_reason), style="red")
    else:
        steps = wording.first_hit_steps(working) + wording.distribution_steps(working)
        for step in steps:
            console.print(step)
    made = table("account", "short", "numbers", "hit", "assigned", right=("short", "assigned"))
    for account in working.accounts:
        made.add_row(
            account.account,
            f"{account.short_quantity:,}",
            wording.owned_numbers(account),
            wording.hit_numbers(account.numbers_hit),
            f"{account.assigned_quantity:,}",
            style="bold" if account.assigned_quantity else None,
        )
    console.print(made)
    if working.accounts_left_out:
        console.print(f"{_count(working.accounts_left_out, 'account')} of the pool not shown")


def show_replayed(console: Console, replayed: operations.Replayed) -> None:
    """Print that a run's replay matches, or every value that does not, and its approval."""
    if replayed.matched:
        console.print(f"{replayed.run}  matches", style="green")
        if replayed.approval is not None:
            when, who = replayed.approval.recorded_at, replayed.approval.requested_by
            console.print(f"  approved {recorded_time(when)} UTC by {person(who)}")
        return
    console.print(f"{replayed.run}  differs", style="bold red")
    for mismatch in replayed.mismatches:
        console.print(
            f"  {mismatch.where}: recorded {mismatch.recorded}, computed {mismatch.computed}",
            soft_wrap=True,
        )


def show_pools(console: Console, pools: Sequence[Mapping[str, Any]]) -> None:
    """Print pools, given by the columns of the pools file."""
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
    show_rows(console, "Pools", made, len(pools))


def show_allocations(console: Console, allocations: Sequence[Mapping[str, Any]]) -> None:
    """Print allocations, given by the columns of the allocations file."""
    made = table(
        "OCC", "series", "account", "short", "numbers", "assigned", right=("short", "assigned")
    )
    for row in allocations[:ROWS_SHOWN]:
        owned = operations.NumberRange(
            first_number=row["first_number"], last_number=row["last_number"]
        )
        made.add_row(
            row["occ_account"],
            row["series"],
            row["account"],
            f"{row['short_quantity']:,}",
            wording.number_range(owned),
            f"{row['assigned_quantity']:,}",
        )
    show_rows(console, "Accounts with an assigned contract", made, len(allocations))


def show_nothing(console: Console, *, within: bool) -> None:
    """Print that no run is recorded, in all or between two dates."""
    console.print("no run is recorded between those dates" if within else "nothing is recorded yet")


def show_rows(console: Console, title: str, made: Table, count: int) -> None:
    """Print a table under its title, and how many rows it leaves out of `count`."""
    console.print(f"\n{title}", style="bold")
    console.print(made)
    if count > ROWS_SHOWN:
        console.print(f"and {count - ROWS_SHOWN:,} more; --json lists all")
