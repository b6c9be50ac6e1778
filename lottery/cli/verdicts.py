"""`lottery proposals`, `approve`, `reject`: four eyes, where the charter has them."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.console import Console

from lottery.cli import text
from lottery.cli.backend import open_backend
from lottery.cli.options import RunArgument
from lottery.cli.session import Session, command
from lottery.operations import Proposals, RecordedRun
from lottery.operations.runs import brief, record_sha256, summary

DigestOption = Annotated[
    str | None,
    typer.Option(
        "--record-sha256",
        metavar="HEX",
        help="The record that was looked at, as lottery proposals and show have it.",
    ),
]


@command
def proposals(session: Session) -> None:
    """List the runs that wait for another person's approval, where the charter has four eyes."""
    with open_backend(session) as backend:
        found = backend.list_proposals()
    documents = [brief(one) for one in found.waiting]
    session.show(
        {"four_eyes": found.four_eyes, "proposals": documents},
        lambda console: _show_proposals(console, found),
    )


@command
def approve(session: Session, run: RunArgument, digest: DigestOption = None) -> None:
    """Make a proposal stand, as another person than its proposer.

    That very record stands from now on; nothing is computed again. Without --record-sha256 the
    record as it is now is approved, and shown.

    Exit codes: 0 done, 2 no such run, 5 it cannot be approved, or not by you, 75 try again later.
    """
    with open_backend(session) as backend:
        looked_at = digest or record_sha256(backend.get_run(run).record)
        decided = backend.approve_run(run, looked_at)
    _show(session, decided)


@command
def reject(
    session: Session,
    run: RunArgument,
    reason: Annotated[str, typer.Option(metavar="TEXT", help="Why it is not to stand.")],
    digest: DigestOption = None,
) -> None:
    """End a proposal, as another person than its proposer; it stays on the record.

    Exit codes: 0 done, 2 no such run, 3 the reason is not one line, 5 it cannot be rejected, or not
    by you, 75 try again later.
    """
    with open_backend(session) as backend:
        looked_at = digest or record_sha256(backend.get_run(run).record)
        decided = backend.reject_run(run, looked_at, reason)
    _show(session, decided)


def _show(session: Session, decided: RecordedRun) -> None:
    document: dict[str, Any] = dict(summary(decided))
    session.show(
        document,
        lambda console: text.show_run(console, decided, is_repeated=decided.already_recorded),
    )


def _show_proposals(console: Console, found: Proposals) -> None:
    if not found.four_eyes:
        console.print("the charter asks for no four eyes: a run counts once it is recorded")
        return
    for one in found.waiting:
        text.show_run(console, one, is_repeated=False)
    if not found.waiting:
        console.print("no proposal waits for an approval")
