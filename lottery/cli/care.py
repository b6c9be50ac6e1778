"""`lottery init`, `charter`, `status`, `rebuild`, `copy`, `sweep`: the care of a ledger."""

from __future__ import annotations

from typing import Annotated

import typer

from lottery import operations
from lottery.cli.backend import open_local_backend
from lottery.cli.session import Session, command
from lottery.errors import quote
from lottery.operations.requester import system_identity

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


@command
def init(
    session: Session,
    decision: DecisionOption = None,
    approval_reference: ApprovalOption = "",
    notice_version: NoticeOption = "",
) -> None:
    """Make a ledger with its charter: what is decided, once and for every run.

    Nothing else makes a ledger. Repeated with the same charter, it leaves the ledger as it is.
    """
    settings = open_local_backend(session).settings
    terms = operations.CharterTerms(
        decisions=_decisions(decision),
        approval_reference=approval_reference,
        notice_version=notice_version,
    )
    ledger = operations.init_ledger(settings, terms, system_identity())
    keys = operations.public_keys(ledger)
    session.show(
        {"ledger": settings.ledger, "origin": keys.origin, "public_key": str(keys.key)},
        lambda console: console.print(
            f"The ledger is at {settings.ledger}; its public key is\n{keys.key}", soft_wrap=True
        ),
    )


def _decisions(texts: list[str] | None) -> dict[str, str]:
    """Read decisions written NAME=CHOICE.

    Raises:
        typer.BadParameter: One is not, or a name is given twice.
    """
    decisions: dict[str, str] = {}
    for text in texts or ():
        name, separator, choice = text.partition("=")
        if not separator or name in decisions:
            raise typer.BadParameter(
                f"--decision: expected NAME=CHOICE, each name once, got {quote(text)}"
            )
        decisions[name] = choice
    return decisions
