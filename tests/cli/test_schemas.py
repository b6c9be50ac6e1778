"""What each command prints with `--json` fits its JSON Schema, and nothing else does."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from docs.documents import DOCUMENTS
from docs.schemas import file_of
from lottery.cli.commands import COMMANDS, load
from server.monitor import HealthServer
from tests.builders import FULL, PUBLISHED, write_files
from tests.cli.calls import lottery, run_arguments
from tests.server.calls import serving

SCHEMAS = Path(__file__).parents[2] / "docs" / "schemas"
SERIES = "AAPL240920C00220000"
ENDLESS = {"console", "watch", "witness serve", "serve"}
"""Commands that run until they are stopped; `watch` prints what `status` does."""

DAY = "2024-09-16"
C = ["--occ-account", "C"]
PARIS = ["--decision", "zero_hit=first"]


def paths_in(directory: Path, name: str) -> dict[str, Path]:
    """Return a day's three files."""
    folder = directory / name
    return {role: folder / f"{role}.csv" for role in ("notices", "positions", "volumes")}


def odds_of(positions: Path) -> list[str]:
    """Return `odds` of the published pool."""
    return ["odds", "--positions", str(positions), "--series", SERIES, "--quantity", "10", *C]


def without_database(ledger: Path) -> str:
    """Return a ledger whose database is lost."""
    (ledger / "ledger.db").unlink()
    return str(ledger)


def witness_key(at: Path) -> list[str]:
    """Return the command that makes a witness's key."""
    return ["witness", "keys", "--make", str(at / "w.key"), "--name", "witness.example/w"]


def schema_of(name: str) -> Any:
    """Return the schema that people read."""
    return json.loads((SCHEMAS / file_of(name)).read_text("utf-8"))


def printed(*arguments: str, exit_code: int) -> Any:
    """Return the document that a command prints."""
    answer = lottery(*arguments, "--json")
    assert answer.exit_code == exit_code, (arguments, answer)
    return answer.document


COMMANDS_IN_ORDER: list[tuple[str, Callable[[Path], list[str]], int]] = [
    ("init", lambda _: ["init", "--approval-reference", "A-1"], 0),
    ("run", lambda at: run_arguments(paths_in(at, "full")), 4),
    ("run", lambda at: run_arguments(paths_in(at, "full")), 4),
    ("run", lambda at: [*run_arguments(paths_in(at, "late")), "--cycle", "2", "--dry-run"], 0),
    ("error", lambda at: run_arguments(paths_in(at, "wrong")), 3),
    ("error", lambda at: run_arguments(paths_in(at, "full"), "2024-09-17"), 7),
    ("error", lambda at: run_arguments(paths_in(at, "other")), 5),
    ("error", lambda _: ["show", "2024-09-16-009"], 2),
    ("error", lambda _: ["show", "--nothing"], 2),
    ("runs", lambda _: ["runs"], 0),
    ("show", lambda _: ["show", "latest", "--allocations"], 0),
    ("show", lambda _: ["show", "latest"], 0),
    ("explain --series", lambda _: ["explain", "latest", "--series", SERIES, *C], 0),
    ("explain --account", lambda _: ["explain", "latest", "--account", "1046"], 0),
    ("check", lambda at: ["check", *map(str, paths_in(at, "full").values())], 0),
    ("seed", lambda at: ["seed", "--volumes", str(paths_in(at, "full")["volumes"])], 0),
    ("seeds", lambda _: ["seeds"], 0),
    ("odds", lambda at: odds_of(paths_in(at, "full")["positions"]), 0),
    ("day", lambda _: ["day", DAY], 0),
    ("day", lambda _: ["day", DAY, "--allocations"], 0),
    ("history", lambda _: ["history", "--account", "1046"], 0),
    ("history", lambda _: ["history", "--series", SERIES], 0),
    ("export", lambda at: ["export", "latest", str(at / "run.zip")], 0),
    ("report", lambda at: ["report", "latest", str(at / "run.html")], 0),
    ("replay", lambda at: ["replay", "latest", str(at / "run.zip")], 0),
    ("verify", lambda _: ["verify"], 0),
    ("withdraw", lambda _: ["withdraw", "latest", "--reason", "OCC took them back"], 0),
    ("diff", lambda _: ["diff", f"{DAY}-001", f"{DAY}-002"], 0),
    ("seeds", lambda _: ["seeds", "--from", DAY, "--to", DAY], 0),
    ("charter amend", lambda _: ["charter", "amend", "--from", "2024-10-01", *PARIS], 0),
    ("charter", lambda _: ["charter"], 0),
    ("copy", lambda at: ["copy", "--to", str(at / "copy")], 0),
    ("rebuild", lambda at: ["--ledger", without_database(at / "copy"), "rebuild"], 0),
    ("sweep", lambda _: ["sweep"], 0),
    ("keys rotate", lambda _: ["keys", "rotate"], 0),
    ("keys", lambda _: ["keys"], 0),
    ("trail", lambda _: ["trail"], 0),
    ("proposals", lambda _: ["proposals"], 0),
    ("dev-certs", lambda at: ["dev-certs", str(at / "certificates")], 0),
    ("status", lambda _: ["status"], 0),
    ("witness keys", witness_key, 0),
]
"""Each with the document that it prints, and its exit code."""


@pytest.fixture(scope="module")
def documents(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[str, Any]]:
    """Return what every command prints that ends by itself and needs no server."""
    at = tmp_path_factory.mktemp("schemas")
    late = [{**FULL.notices[0], "notice_id": "late", "quantity": 1}]
    wrong = [{**FULL.notices[0], "quantity": "x"}]
    for name, notices in (("full", FULL.notices), ("late", late), ("wrong", wrong)):
        write_files(FULL.__class__(notices=notices, positions=FULL.positions), at / name)
    write_files(PUBLISHED, at / "other")
    return [
        (name, printed("--ledger", str(at / "ledger"), *command(at), exit_code=code))
        for name, command, code in COMMANDS_IN_ORDER
    ]


def test_what_every_command_prints_fits_its_schema(documents: list[tuple[str, Any]]) -> None:
    for name, document in documents:
        jsonschema.Draft202012Validator(schema_of(name)).validate(document)


def test_a_document_with_a_member_more_or_less_fits_no_schema(
    documents: list[tuple[str, Any]],
) -> None:
    for name, document in documents:
        valid = jsonschema.Draft202012Validator(schema_of(name)).is_valid
        optional = document.keys() - set(schema_of(name)["required"])
        assert not valid({**document, "more": 1}), name
        for left_out in document.keys() - optional:
            less = {key: value for key, value in document.items() if key != left_out}
            assert not valid(less), (name, left_out)


def test_proposals_and_their_verdicts_fit_their_schemas(tmp_path: Path) -> None:
    write_files(FULL, tmp_path / "full")
    write_files(PUBLISHED, tmp_path / "other")
    ledger = ("--ledger", str(tmp_path / "ledger"))
    printed(*ledger, "init", "--four-eyes", exit_code=0)
    fits("run", *ledger, *run_arguments(paths_in(tmp_path, "full")))
    fits("run", *ledger, *run_arguments(paths_in(tmp_path, "other"), "2024-09-17"))
    fits("proposals", *ledger, "proposals")

    with serving(tmp_path / "ledger", trust_local="boss:approver") as server:
        boss = ("--server", f"127.0.0.1:{server.port}")
        fits("approve", *boss, "approve", f"{DAY}-001")
        fits("reject", *boss, "reject", "2024-09-17-001", "--reason", "yesterday's file")

    fits("show", *ledger, "show", f"{DAY}-001")
    fits("runs", *ledger, "runs")
    fits("trail", *ledger, "trail")


def fits(name: str, *arguments: str) -> None:
    """Require that a command prints a document of its schema."""
    answer = lottery(*arguments, "--json")
    jsonschema.Draft202012Validator(schema_of(name)).validate(answer.document)


def test_a_server_that_is_asked_how_it_is_answers_by_its_schema() -> None:
    server = HealthServer("127.0.0.1:0")
    server.start()
    server.report(is_serving=True)
    document = printed("health", "--listen", f"127.0.0.1:{server.port}", exit_code=0)
    server.stop()

    jsonschema.validate(document, schema_of("health"))


def commands() -> Iterator[str]:
    """Yield the name of every command that prints a document."""
    for name in COMMANDS:
        below = getattr(load(name), "commands", {})
        if not below or name in ("keys", "charter"):  # They are commands by themselves too.
            yield name
        yield from (f"{name} {each}" for each in below)


def test_every_command_has_a_schema_and_is_called_here() -> None:
    described = {name.partition(" --")[0] for name in DOCUMENTS} - {"error", "webhook"}
    called = {name.partition(" --")[0] for name, _, _ in COMMANDS_IN_ORDER}

    assert described | {"serve"} == set(commands())
    assert described - called == ENDLESS - {"serve"} | {"health", "approve", "reject"}
