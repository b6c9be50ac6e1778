"""`make docs`: writes the parts of the documentation that the code knows best.

`docs/CLI.md` is what the commands say of themselves, `docs/SETTINGS.md` what the settings do, and
`docs/METHOD.md` the rules that every bundle carries; `docs/schemas` has the JSON Schema of each
document that a command prints with `--json`, and `lottery/web/openapi.json` the description of JSON
over HTTP, which the server shows. A test fails when one drifts.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import typer

from docs.openapi import openapi
from docs.schemas import schemas
from lottery.cli.commands import COMMANDS, load
from lottery.cli.main import app
from lottery.cli.variables import ClientVariables
from lottery.operations.variables import Variables, table_of
from server.settings import Settings

HERE = Path(__file__).parent


def main() -> None:
    """Write the generated files."""
    for name, text in generated().items():
        (HERE / name).write_text(text, encoding="utf-8")


def generated() -> dict[str, str]:
    """File name to text."""
    return {
        "../lottery/web/openapi.json": openapi(),
        "CLI.md": commands(),
        "METHOD.md": method(),
        "SETTINGS.md": settings(),
        **{f"schemas/{name}": text for name, text in schemas().items()},
    }


def method() -> str:
    """Return the method's rules, which every bundle carries."""
    return (HERE.parent / "lottery/audit/texts/METHOD.md").read_text(encoding="utf-8")


def settings() -> str:
    """Return the settings of both doors, as Markdown."""
    return (
        "# Settings\n\n"
        "Written by `make docs` from `lottery/operations/variables.py`, `lottery/cli/variables.py` "
        "and `server/settings.py`.\n"
        "Every setting is an environment variable; options such as `--ledger` and "
        "`lottery serve --listen` go before theirs.\n"
        "A value that does not fit is wrong usage (exit code 2), and so is a variable whose name "
        "is nearly that of a setting: `LOTTERY_LEDGR`.\n\n"
        "## Of a ledger, for commands and server\n\n" + table_of(Variables) + "\n"
        "## Of commands with `--server`\n\n"
        + table_of(ClientVariables, leaving_out=Variables.model_fields)
        + "\nWith `LOTTERY_SERVER_CA` a command speaks TLS, and without it plain text. "
        "A certificate, a key or a token without it is wrong usage: nothing is sent.\n"
        "`lottery health` asks at `LOTTERY_HEALTH_LISTEN`.\n"
        "[ACCESS.md](ACCESS.md#the-client) says when the files are read again.\n\n"
        "## Of the server\n\n" + table_of(Settings, leaving_out=Variables.model_fields)
    )


def commands() -> str:
    """Return what every command says of itself, as Markdown."""
    root: Any = typer.main.get_command(app)
    lines = ["# Commands", "", "Written by `make docs` from what the commands say of themselves."]
    lines += _command("lottery", root)
    for name in COMMANDS:
        lines += _commands(f"lottery {name}", load(name))
    return "\n".join(lines) + "\n"


def _commands(name: str, command: Any) -> list[str]:
    """Return a command and the commands below it."""
    lines = _command(name, command)
    for below, each in getattr(command, "commands", {}).items():
        lines += _commands(f"{name} {below}", each)
    return lines


def _command(name: str, command: Any) -> list[str]:
    lines = ["", f"## `{name}`", ""]
    lines += [" ".join(part.split()) for part in (command.help or "").split("\n\n")]
    context = command.make_context(name, [], resilient_parsing=True)
    rows = [record for each in command.params if (record := each.get_help_record(context))]
    if rows:
        lines += ["", "| option | what |", "|---|---|"]
        lines += [f"| `{_cell(flags)}` | {_cell(what)} |" for flags, what in rows]
    return lines


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


if __name__ == "__main__":
    main()
