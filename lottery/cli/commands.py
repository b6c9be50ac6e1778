"""The commands: where each is, and what the help says of it.

A command's module, and with it all that the command needs, is loaded when the command is called:
the help of all of them takes no more than this table.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Mapping
from typing import Any, Final

import typer
from typer.core import TyperCommand, TyperGroup
from typer.exceptions import TyperException

COMMANDS: Final[Mapping[str, tuple[str, str]]] = {
    "run": ("run:run", "Allocate a business date, or one cycle of it, and record the run."),
    "withdraw": ("run:withdraw", "Take a run back whose notices OCC has taken back."),
    "proposals": (
        "verdicts:proposals",
        "List the runs that wait for another person's approval, where the charter has four eyes.",
    ),
    "approve": ("verdicts:approve", "Make a proposal stand, as another person than its proposer."),
    "reject": (
        "verdicts:reject",
        "End a proposal, as another person than its proposer; it stays on the record.",
    ),
    "check": (
        "check:check",
        "Read files as a run would, every row of them, and record nothing.",
    ),
    "seed": ("seeds:seed", "Show every step of the seed of four ask prices; record nothing."),
    "seeds": (
        "seeds:seeds",
        "List the seed of every date, and test whether the fractions are spread evenly.",
    ),
    "runs": ("show:runs", "List the recorded runs."),
    "show": ("show:show", "Show a recorded run: its record and its pools."),
    "explain": (
        "show:explain",
        "Show the working step by step, as the published example does.",
    ),
    "odds": (
        "odds:odds",
        "Show each account's exact chances in a pool, over all 10,000 fractions; record nothing.",
    ),
    "day": ("books:day", "Show what stands for a date, over all cycles: what is to be booked."),
    "diff": (
        "books:diff",
        "Show what changed for whom: between two runs of a date, or since a run was its last.",
    ),
    "history": (
        "books:history",
        "Show what happened to an account or a series over the dates, run by run.",
    ),
    "replay": (
        "audit:replay",
        "Compute recorded runs again from their evidence and compare every value.",
    ),
    "verify": (
        "audit:verify",
        "Verify the ledger itself: its log, its heads, its evidence, the rules, its database.",
    ),
    "export": (
        "audit:export",
        "Write a run's bundle: its evidence, record and proof, which replay anywhere.",
    ),
    "report": (
        "report:report",
        "Write the audit page of a run: one file for a browser or for paper, without network.",
    ),
    "trail": ("audit:trail", "List who did what to the ledger, and when."),
    "init": (
        "care:init",
        "Make a ledger with its charter: what is decided, once and for every run.",
    ),
    "rebuild": (
        "care:rebuild",
        "Make the database again from the published files, or from the archive.",
    ),
    "copy": ("care:copy", "Copy the ledger elsewhere: the same entries, root and origin."),
    "sweep": ("care:sweep", "Remove what killed processes left more than seven days ago."),
    "status": (
        "status:status",
        "Show how the ledger stands: charter, last run, what is open, heads, key and limits.",
    ),
    "watch": (
        "watch:watch",
        "Publish and archive what is behind; print a line whenever the figures change.",
    ),
    "serve": ("serve:serve", "Serve the lottery over gRPC until SIGTERM."),
    "console": (
        "morning:console",
        "Show the ledger in a browser on this machine, until it is stopped; prints the address.",
    ),
    "health": (
        "serve:health",
        "Ask a server whether it is serving: exit code 0 if it is, 75 if not.",
    ),
    "dev-certs": (
        "dev_certs:dev_certs",
        "Make certificates for a server and a caller of each role, to try out mutual TLS.",
    ),
    "keys": (
        "audit:keys_app",
        "Print the log's public key, or make a key for another signer or another ledger.",
    ),
    "charter": (
        "care:charter_app",
        "Show what is decided, and since when: the charter in force and those before it.",
    ),
    "witness": (
        "witness:app",
        (
            "Be a witness of somebody's log: cosign its checkpoints as long as each begins with "
            "the one before."
        ),
    ),
}
"""By name: the function or group, below this package, and the first sentence of its help."""


class Commands(TyperGroup):
    """The group of all commands, each of which is loaded to be called and not to be listed."""

    def __init__(self, **given: Any) -> None:
        super().__init__(**given)
        for name, (_, summary) in COMMANDS.items():
            self.add_command(TyperCommand(name, help=summary, short_help=summary))

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        """Return the command that is called, with all of its options."""
        name, command, rest = super().resolve_command(ctx, args)
        return name, command and load(str(name)), rest


class Command(TyperCommand):
    """A command that says at once which of its options and arguments are missing."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the arguments of a command.

        Raises:
            TyperException: The arguments are wrong.
        """
        given, parameters = list(args), list[Any](self.params)
        try:
            return super().parse_args(ctx, args)
        except TyperException:
            values, _, _ = self.make_parser(ctx).parse_args(args=given)
            missing = [
                parameter.get_error_hint()
                for parameter in parameters
                if parameter.required and values.get(parameter.name) is None
            ]
            if missing:
                ctx.fail(f"Missing {', '.join(missing)}.")
            raise


def load(name: str) -> Any:
    """Return a command or a group of commands, loaded from its module."""
    path, _ = COMMANDS[name]
    found = pkgutil.resolve_name(f"lottery.cli.{path}")
    if not isinstance(found, typer.Typer):
        function, found = found, typer.Typer(add_completion=False, rich_markup_mode=None)
        found.command(cls=Command)(function)
    for below in found.registered_commands:
        below.cls = Command
    return typer.main.get_command(found)
