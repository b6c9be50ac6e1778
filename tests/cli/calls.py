"""Commands as the tests give them: to the entry point `lottery`, in this process or to a server.

`succeeds` and `fails` give a command twice, for its text and for its JSON document.
"""

from __future__ import annotations

import io
import json
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lottery.cli.main import main
from lottery.ledger.entry import as_json
from lottery.stores.sqlite import FILE as DATABASE
from lottery.stores.sqlite import SqliteDatabase
from lottery.tlog.keys import SigningKey
from server.app import create_server
from server.settings import Settings
from tests.builders import (
    AAPL,
    OTHER_ASKS,
    PUBLISHED,
    TRUSTED,
    SmallDay,
    evidence_in,
    made,
    opened,
    position,
    write_files,
)

EXAMPLE = Path(__file__).parents[2] / "examples" / "2024-09-16"
EXAMPLE_RUN = "2024-09-16-001"
UNKNOWN_RUN = "2024-09-16-009"
LOOPBACK = "127.0.0.1:0"
SOMEBODYS_KEY = str(SigningKey(name="example.org/other", seed=b"o" * 32).verifier)

CORRECTED = replace(PUBLISHED, positions=[*PUBLISHED.positions, position(AAPL, "2000", 1)])
"""The published day with an account that had been left out."""
CONFLICTS = {
    "SEED_CONFLICT": replace(PUBLISHED.renamed("B"), asks=OTHER_ASKS),
    "NOTICE_ALREADY_ALLOCATED": CORRECTED,
    "POPULATION_DIFFERS": CORRECTED.renamed("B"),
}
"""Days that contradict the published one, by the reason of the conflict."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a command printed, and its exit code."""

    exit_code: int
    out: str
    err: str

    @property
    def document(self) -> dict[str, Any]:
        """The one JSON document that standard output is; anything else in it fails here."""
        document = json.loads(self.out)
        assert isinstance(document, dict)
        return document

    @property
    def lines(self) -> list[str]:
        """Standard output's lines with their words one space apart."""
        return [" ".join(line.split()) for line in self.out.splitlines()]

    @property
    def error_lines(self) -> list[str]:
        """Standard error's lines that are not blank."""
        return [line for line in self.err.splitlines() if line.strip()]

    @property
    def message(self) -> str:
        """Standard error as one line, without the frame around usage errors."""
        return " ".join(self.err.translate(dict.fromkeys(map(ord, "╭─╮│╰╯"), " ")).split())


Command = Callable[..., Answer]
"""Gives the command with these arguments."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Door:
    """One way to a ledger: its files, or a server that serves it."""

    ledger: Path
    options: tuple[str, ...]

    def __call__(self, *arguments: object) -> Answer:
        return lottery(*self.options, *arguments)

    def recorded(self) -> list[str]:
        """Return the recorded runs, read from the ledger itself."""
        if not (self.ledger / DATABASE).exists():
            return []
        return [record.run for record in opened(self.ledger).iterate()]


def lottery(*arguments: object) -> Answer:
    """Give a command to the entry point."""
    out, err = io.BytesIO(), io.BytesIO()
    exit_code: object = 0
    with (
        pytest.MonkeyPatch.context() as patch,
        io.TextIOWrapper(out, encoding="utf-8", write_through=True) as out_text,
        io.TextIOWrapper(err, encoding="utf-8", write_through=True) as err_text,
        redirect_stdout(out_text),
        redirect_stderr(err_text),
    ):
        patch.setattr(sys, "argv", ["lottery", *map(str, arguments)])
        try:
            main()
        except SystemExit as left:
            exit_code = left.code or 0
        printed, reported = out.getvalue().decode(), err.getvalue().decode()
    assert isinstance(exit_code, int)
    return Answer(exit_code=exit_code, out=printed, err=reported)


def succeeds(
    give: Command, *arguments: object, exit_code: int = 0
) -> tuple[Answer, dict[str, Any]]:
    """Give a command that says nothing on standard error; return its text and its document."""
    text, answer = give(*arguments), give(*arguments, "--json")
    assert [text.exit_code, answer.exit_code] == [exit_code, exit_code]
    assert [text.err, answer.err] == ["", ""]
    return text, answer.document


def fails(
    give: Command, *arguments: object, exit_code: int, reason: str
) -> tuple[Answer, dict[str, Any]]:
    """Give a command that fails; return its text and its document.

    A text is on standard error alone, and a document on standard output alone.
    """
    text, answer = give(*arguments), give(*arguments, "--json")
    assert [text.exit_code, answer.exit_code] == [exit_code, exit_code]
    assert (text.out, answer.error_lines) == ("", [])
    assert answer.document["reason"] == reason
    assert reason == "WRONG_USAGE" or f"({reason})" in text.message
    return text, answer.document


def run_arguments(paths: Mapping[str, Path], date: str = "2024-09-16") -> list[str]:
    """Return `run` of a day's three files."""
    roles = [text for role, path in paths.items() for text in (f"--{role}", str(path))]
    return ["run", "--date", date, *roles]


def example_arguments() -> list[str]:
    """Return `run` of the example day."""
    return run_arguments(
        {role: EXAMPLE / f"{role}.csv" for role in ("notices", "positions", "volumes")}
    )


def run_of(day: SmallDay, directory: Path, suffix: str = ".csv") -> list[str]:
    """Return `run` of a small day, which is written to a directory."""
    return run_arguments(write_files(day, directory, suffix), day.date.isoformat())


def superseding(
    day: SmallDay, directory: Path, *runs: str, reason: str = "an account was missing"
) -> list[str]:
    """Return `run` of a day that supersedes runs, all of them after one option."""
    return [*run_of(day, directory), "--supersede", *runs, "--reason", reason]


@contextmanager
def serving(ledger: Path, **given: Any) -> Iterator[Door]:
    """Serve a ledger while the block runs; it is made if there is none."""
    made(ledger)
    ports = {"listen": LOOPBACK, "health_listen": LOOPBACK, "metrics_listen": ""}
    usual = {**ports, "ledger": str(ledger), "grace_seconds": 5.0, "trust_local": TRUSTED}
    server = create_server(Settings(**{**usual, **given}))
    server.start()
    try:
        yield Door(ledger=ledger, options=("--server", f"127.0.0.1:{server.port}"))
    finally:
        server.stop()


def files_of(ledger: Path) -> Door:
    """Return the way to a ledger by its files; it is made if there is none."""
    made(ledger)
    return Door(ledger=ledger, options=("--ledger", str(ledger)))


@contextmanager
def write_lock(ledger: Path) -> Iterator[None]:
    """Hold the ledger's write lock, as another process that records does."""
    # The commit at the end waits for readers, as every commit does.
    with SqliteDatabase(ledger / DATABASE, lock_seconds=60.0).writing():
        yield


def copied(ledger: Path, to: Path) -> Path:
    """Return a copy of a ledger that may be tampered with."""
    shutil.copytree(ledger, to)
    for path in to.rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o600)
    return to


def files_in(directory: Path) -> dict[str, bytes]:
    """Return every file below a directory, by its path."""
    return {
        path.relative_to(directory).as_posix(): path.read_bytes()
        for path in sorted(directory.rglob("*"))
        if path.is_file()
    }


def flip_a_bit(path: Path) -> None:
    """Change one bit in the middle of a file."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def trail_of(ledger: Path) -> list[tuple[str, str, str]]:
    """Return operation, subject and outcome of the trail's entries, without the ledger's making."""
    entries = [as_json(entry) for entry in opened(ledger).trail()]
    return [(entry["type"], entry["subject"], entry["outcome"]) for entry in entries[1:]]


def public_key(ledger: Path) -> str:
    """Return the public key of a ledger's log."""
    return str(opened(ledger).log().key)


def evidence_file(ledger: Path, name: str, run: str = EXAMPLE_RUN) -> Path:
    """Return the path of a file of a run's evidence."""
    return evidence_in(ledger, run) / name


def swap_first_two(path: Path, column: str) -> None:
    """Swap two rows' values in a Parquet file, which stays one that can be read."""
    table = pq.read_table(path)
    index = table.schema.get_field_index(column)
    values = table.column(index).to_pylist()
    values[:2] = values[1::-1]
    field = table.schema.field(index)
    pq.write_table(table.set_column(index, field, pa.array(values, field.type)), path)


def timeless(answer: Answer) -> tuple[int, str, dict[str, Any]]:
    """Return an answer of JSON, without what two ledgers with the same runs do not share.

    That is when and by whom they were recorded, the digests of other entries, and the log with its
    key. The sources of a server's run are named by their payloads, so that they are left out too.
    """

    def cleaned(value: Any) -> Any:
        if isinstance(value, dict):
            own = {"recorded_at", "requested_by", "sources", "evidence", "charter", "previous"}
            own |= {"public_key", "bytes", "origin", "root_hash", "trusted"}
            return {name: cleaned(one) for name, one in value.items() if name not in own}
        return [cleaned(one) for one in value] if isinstance(value, list) else value

    document: dict[str, Any] = cleaned(answer.document)
    return answer.exit_code, answer.err, document


def assert_same_answers(both: tuple[Door, Door], *commands: list[str]) -> None:
    """Assert that the files and a server answer every command of a sequence alike, as JSON."""
    for command in commands:
        files, server = (timeless(door(*command, "--json")) for door in both)
        assert server == files, command
