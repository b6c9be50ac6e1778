"""What a command loads: heavy modules only where it works with them.

Every command is a process of its own, so that what it loads is what its user waits for.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from tests.cli.calls import EXAMPLE, Door, example_arguments

_NAMES_ITS_MODULES = """
import json, sys
from lottery.cli.main import main
try:
    main()
finally:
    print(json.dumps([*sys.modules]), file=sys.stderr)
"""

_SERVER = ("grpc", "server", "structlog", "prometheus_client")
_RARE = (*("numba", "scipy", "mpmath", "duckdb", "jinja2", "lxml", "xlsxwriter"), *_SERVER)
_RECORD = ("sqlalchemy", "sqlite3", "cryptography", "lottery.ledger.commit", *_RARE)
_WORK = (
    "numpy",
    "pyarrow",
    "pydantic",
    "lottery.day",
    "lottery.intake",
    "lottery.ledger",
    *_RECORD,
)

_SERIES = "GE1   240920C00160000"
_POSITIONS = str(EXAMPLE / "positions.csv")
_VOLUMES = str(EXAMPLE / "volumes.csv")
_ODDS = ("odds", "--positions", _POSITIONS, "--series", _SERIES, "--quantity", "1")

COMMANDS = {
    "--help": (["--help"], ("rich", "attr", *_WORK)),
    "--version": (["--version"], _WORK),
    "check": (["check", _POSITIONS, _VOLUMES], _RECORD),
    "dev-certs": (
        ["dev-certs", "certificates"],
        ("pyarrow", "sqlalchemy", "lottery.ledger.commit", *_RARE),
    ),
    "seed": (["seed", "--volumes", _VOLUMES], _RECORD),
    "odds": (list(_ODDS), [name for name in _RECORD if name != "mpmath"]),
    "runs": (["runs"], _RARE),
    "show": (["show", "latest"], _RARE),
    "explain": (["explain", "latest", "--series", _SERIES], _RARE),
    "day": (["day", "2024-09-16"], _RARE),
    "verify": (["verify"], _RARE),
    "replay": (["replay", "latest"], _RARE),
    "keys": (["keys"], _RARE),
}
"""By what it is: a command, and the modules that it has no use for."""
_ASKED: Final = (
    *("runs", "show latest", "explain latest --account 1", "day 2024-09-16", "history --account 1"),
    *("diff 2024-09-16 --since latest", "proposals", "withdraw latest --reason late"),
)
"""Commands that a server is asked to do, with which nothing of a ledger is needed here."""


def loaded_by(*arguments: str) -> set[str]:
    """Return the modules of a process that was given a command, and the packages they are in."""
    done = subprocess.run(
        [sys.executable, "-c", _NAMES_ITS_MODULES, *arguments],
        capture_output=True,
        check=False,
        text=True,
    )
    assert done.returncode in {0, 2, 4, 75}, done.stderr
    names = json.loads(done.stderr.splitlines()[-1])
    assert "lottery.cli.main" in names
    return set(names)


@pytest.mark.parametrize("what", COMMANDS)
def test_a_command_loads_no_module_that_it_has_no_use_for(what: str, example: Path) -> None:
    command, unused = COMMANDS[what]
    loaded = loaded_by("--ledger", str(example), *command)
    assert loaded.isdisjoint(unused), sorted(loaded.intersection(unused))


@pytest.mark.parametrize("command", _ASKED)
def test_a_command_for_a_server_loads_neither_a_ledger_nor_its_database(command: str) -> None:
    # Nobody listens: everything is loaded by then.
    loaded = loaded_by("--server", "127.0.0.1:1", *command.split())
    unused = set(_RARE) - {"grpc"} | {"sqlalchemy", "sqlite3", "lottery.ledger.commit"}
    assert "grpc" in loaded
    assert loaded.isdisjoint(unused), sorted(loaded.intersection(unused))


def test_a_run_that_records_a_small_day_loads_neither_the_compiler_nor_what_reads_runs_back(
    door: Door,
) -> None:
    loaded = loaded_by(*door.options, *example_arguments())
    assert loaded.isdisjoint({*_RARE, "lottery.audit.verify", "lottery.audit.report"})
    assert door.recorded()
