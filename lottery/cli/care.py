"""`lottery init`, `charter`, `rebuild`, `copy`, `sweep`: the care of a ledger."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from lottery import operations
from lottery.cli import text
from lottery.cli.backend import ledger_settings, open_local_backend
from lottery.cli.options import read_date
from lottery.cli.session import Session, command
from lottery.errors import quote
from lottery.operations.care import Charter, as_json, charter_sha256
from lottery.operations.ledgers import MOST_PROPOSAL_HOURS
from lottery.operations.requester import system_identity
from lottery.operations.workings import wording

DecisionOption = Annotated[
    list[str] | None,
    typer.Option(
        "--decision", metavar="NAME=CHOICE", help="A decision of the charter; may be repeated."
    ),
]
ApprovalOption = Annotated[
    str, typer.Option("--approval-reference", help="The reference of the approval or filing.")
]
NoticeOption = Annotated[
    str, typer.Option("--notice-version", help="The version of the notice to customers.")
]

MemberOption = Annotated[
    str, typer.Option("--clearing-member", metavar="ID", help="Whose notices count (rule P8).")
]


CalendarOption = Annotated[
    Path | None,
    typer.Option(
        "--calendar",
        help="A .csv of date,exchanges: dates on which these were open or closed otherwise.",
    ),
]
HoldOnOption = Annotated[
    list[str] | None,
    typer.Option(
        "--hold-on", metavar="CODE", help="A warning that holds a run as well; may be repeated."
    ),
]


FourEyesOption = Annotated[
    bool | None,
    typer.Option(
        "--four-eyes/--no-four-eyes",
        help="Whether a run needs the approval of another person than its proposer.",
    ),
]
HoursOption = Annotated[
    int | None,
    typer.Option(
        "--proposals-expire-after",
        metavar="HOURS",
        help=f"How long a proposal waits, 1 to {MOST_PROPOSAL_HOURS}.",
    ),
]


@command
def init(
    session: Session,
    decision: DecisionOption = None,
    approval_reference: ApprovalOption = "",
    notice_version: NoticeOption = "",
    clearing_member: MemberOption = "",
    calendar: CalendarOption = None,
    hold_on: HoldOnOption = None,
    four_eyes: FourEyesOption = None,
    proposal_hours: HoursOption = None,
) -> None:
    """Make a ledger with its charter: what is decided, once and for every run.

    Nothing else makes a ledger. Repeated with the same charter, it leaves the ledger as it is.
    """
    settings = open_local_backend(session).settings
    given = _given(
        decision,
        calendar,
        approval_reference=approval_reference,
        notice_version=notice_version,
        clearing_member=clearing_member,
        holding_warnings=None if hold_on is None else tuple(hold_on),
        four_eyes=four_eyes,
        proposal_hours=proposal_hours,
    )
    terms = operations.CharterTerms(**given)
    ledger = operations.init_ledger(settings, terms, system_identity())
    keys = operations.public_keys(ledger)
    session.show(
        {"ledger": settings.ledger, "origin": keys.origin, "public_key": str(keys.key)},
        lambda console: console.print(
            f"The ledger is at {settings.ledger}; its public key is\n{keys.key}", soft_wrap=True
        ),
    )


charter_app = typer.Typer(
    name="charter", add_completion=False, invoke_without_command=True, rich_markup_mode=None
)


@charter_app.callback()
@command
def charter(session: Session) -> None:
    """Show what is decided, and since when: the charter in force and those before it."""
    found = operations.charters(open_local_backend(session).ledger())
    session.show(
        {"charters": [{**as_json(one), "sha256": charter_sha256(one)} for one in found]},
        lambda console: _show_charters(console, found),
    )


@charter_app.command()
@command
def amend(
    session: Session,
    first: Annotated[
        str, typer.Option("--from", metavar="D", help="The first business date it holds for.")
    ],
    decision: DecisionOption = None,
    approval_reference: Annotated[
        str | None, typer.Option("--approval-reference", help="The reference of the approval.")
    ] = None,
    notice_version: Annotated[
        str | None, typer.Option("--notice-version", help="The version of the notice.")
    ] = None,
    clearing_member: Annotated[
        str | None,
        typer.Option(
            "--clearing-member", metavar="ID", help="Whose notices count; empty names none."
        ),
    ] = None,
    calendar: CalendarOption = None,
    hold_on: HoldOnOption = None,
    four_eyes: FourEyesOption = None,
    proposal_hours: HoursOption = None,
) -> None:
    """Decide otherwise for a date without a run, and for all after it.

    What is not given stays as the last charter has it.

    Exit codes: 0 recorded, 3 refused.
    """
    given = _given(
        decision,
        calendar,
        approval_reference=approval_reference,
        notice_version=notice_version,
        clearing_member=clearing_member,
        holding_warnings=None if hold_on is None else tuple(hold_on),
        four_eyes=four_eyes,
        proposal_hours=proposal_hours,
    )
    amended = operations.amend_charter(
        open_local_backend(session).settings,
        holds_from=read_date(first, "--from"),
        change=lambda terms: replace(
            terms, **{**given, "decisions": {**terms.decisions, **given["decisions"]}}
        ),
        by=system_identity(),
    )
    session.show(as_json(amended), lambda console: _show_charters(console, (amended,)))


@command
def rebuild(session: Session) -> None:
    """Make the database again from the published files, or from the archive.

    It is made whole or not at all, where there is none, from files that are verified.

    Exit codes: 0 made, 3 there is a database, 6 the files are not sound.
    """
    settings = open_local_backend(session).settings
    with session.progress() as step:
        moved = operations.rebuild_ledger(
            settings, progress=lambda run, _, of: step(f"verified {run}", of)
        )
    session.show(
        asdict(moved),
        lambda console: _show_moved(
            console, f"The database is made again: {settings.ledger}", moved
        ),
    )


@command
def copy(
    session: Session,
    to: Annotated[str, typer.Option("--to", metavar="LEDGER", help="The ledger to make.")],
    to_objects: Annotated[
        str | None,
        typer.Option("--to-objects", metavar="URL", help="Its directory or bucket of files."),
    ] = None,
) -> None:
    """Copy the ledger elsewhere: the same entries, root and origin.

    The private key is not copied. Only one of the two ledgers may go on.

    Exit codes: 0 copied, 3 there is a ledger, 6 the ledger is not sound.
    """
    source = open_local_backend(session).settings
    target = ledger_settings(replace(session, objects=to_objects, archive=None), to)
    with session.progress() as step:
        moved = operations.copy_ledger(
            source, target, progress=lambda run, _, of: step(f"verified {run}", of)
        )

    def show(console: Console) -> None:
        _show_moved(console, f"The ledger is copied to {to}", moved)
        console.print("The private key is not copied: only one of the two may go on.")

    session.show({**asdict(moved), "private_key_copied": False}, show)


@command
def sweep(session: Session) -> None:
    """Remove what killed processes left more than seven days ago.

    That is evidence which no entry names, and files that were being written.
    """
    swept = operations.sweep_ledger(open_local_backend(session).settings)

    def show(console: Console) -> None:
        for name in (*swept.folders, *swept.remains):
            console.print(f"removed {name}", soft_wrap=True)
        count = len(swept.folders) + len(swept.remains)
        console.print(f"Removed {count:,}" if count else "There was nothing to remove")

    session.show(asdict(swept), show)


def _show_moved(console: Console, title: str, moved: operations.Moved) -> None:
    console.print(title, soft_wrap=True)
    console.print(f"{moved.tree_size:,} entries, {wording.count(moved.runs, 'run')}")
    console.print(f"root {moved.root}")
    console.print(f"{moved.public_key}", soft_wrap=True)


def _show_charters(console: Console, charters: Sequence[Charter]) -> None:
    for number, one in enumerate(reversed(charters)):
        if number:
            console.print()
        since = "from the beginning" if one.holds_from is None else f"from {one.holds_from} on"
        console.print(f"{one.method.id}, {since}", style="bold")
        console.print(f"  charter {charter_sha256(one)}", soft_wrap=True)
        for name, choice in one.method.decisions.items():
            console.print(f"  {name}: {choice}", soft_wrap=True)
        for name, given in (
            ("approval", one.approval_reference),
            ("notice", one.notice_version),
            ("clearing member", one.clearing_member),
            ("holds on", ", ".join(one.holding_warnings)),
            ("four eyes", one.four_eyes and f"a proposal waits {one.proposal_hours} hours"),
            ("exchanges open", ", ".join(map(str, one.trading_dates))),
            ("exchanges closed", ", ".join(map(str, one.closed_dates))),
        ):
            if given:
                console.print(f"  {name}: {given}", soft_wrap=True)
        when, who = text.recorded_time(one.recorded_at), text.person(one.requested_by)
        console.print(f"  recorded {when} UTC by {who}")


def _given(decision: list[str] | None, calendar: Path | None, **terms: Any) -> dict[str, Any]:
    """Return the terms of a charter that a command gives, by name; None is not given."""
    opened, closed = (None, None) if calendar is None else operations.read_calendar(calendar)
    given = {
        "decisions": _decisions(decision),
        "trading_dates": opened,
        "closed_dates": closed,
        **terms,
    }
    return {name: value for name, value in given.items() if value is not None}


def _decisions(texts: list[str] | None) -> dict[str, str]:
    """Read decisions written NAME=CHOICE.

    Raises:
        typer.BadParameter: One is not, or a name is given twice.
    """
    decisions: dict[str, str] = {}
    for given in texts or ():
        name, separator, choice = given.partition("=")
        if not separator or name in decisions:
            raise typer.BadParameter(
                f"--decision: expected NAME=CHOICE, each name once, got {quote(given)}"
            )
        decisions[name] = choice
    return decisions
