"""How the tests give a command: the entry point `lottery` itself, in this process or through a
server, with what it printed and its exit code.
"""

from __future__ import annotations

import io
import json
import shutil
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lottery.cli.main import main
from lottery.ledger import write_transaction
from lottery.ledger.commit import Ledger
from lottery.ledger.write_transaction import DATABASE
from lottery.tlog.keys import SigningKey
from server.app import create_server
from server.settings import Settings
from tests.builders import SmallDay, write_files

EXAMPLE = Path(__file__).parents[2] / "examples" / "2024-09-16"
EXAMPLE_RUN = "2024-09-16-001"
LOOPBACK = "127.0.0.1:0"
SOMEBODYS_KEY = str(SigningKey(name="example.org/other", seed=b"o" * 32).verifier)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a command printed, and its exit code."""

    exit_code: int
    out: str
    err: str

    @property
    def document(self) -> dict[str, Any]:
        """The one JSON document that standard output is; anything beside it fails here."""
        document = json.loads(self.out)
        assert isinstance(document, dict)
        return document

    @property
    def lines(self) -> list[str]:
        """Standard output's lines with their words one space apart."""
        return [" ".join(line.split()) for line in self.out.splitlines()]

    @property
    def complaints(self) -> list[str]:
        """Standard error's lines that say something."""
        return [line for line in self.err.splitlines() if line.strip()]

    @property
    def told(self) -> str:
        """Standard error as one line, out of the frame that usage errors stand in."""
        return " ".join(self.err.translate(dict.fromkeys(map(ord, "╭─╮│╰╯"), " ")).split())


@dataclass(frozen=True, slots=True, kw_only=True)
class Door:
    """One way to a ledger: its files, or a server that serves it."""

    ledger: Path
    options: tuple[str, ...]

    def __call__(self, *arguments: object) -> Answer:
        return lottery(*self.options, *arguments)

    def recorded(self) -> list[str]:
        """The runs that are recorded, asked of the ledger itself."""
        if not (self.ledger / DATABASE).exists():
            return []
        return [record.run for record in Ledger.open(self.ledger).iterate()]


def lottery(*arguments: object) -> Answer:
    """Gives a command to the entry point."""
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
        printed, complained = out.getvalue().decode(), err.getvalue().decode()
    assert isinstance(exit_code, int)
    return Answer(exit_code=exit_code, out=printed, err=complained)


def run_arguments(paths: Mapping[str, Path], date: str = "2024-09-16") -> list[str]:
    """`run` of a day's three files."""
    roles = [text for role, path in paths.items() for text in (f"--{role}", str(path))]
    return ["run", "--date", date, *roles]


def example_arguments() -> list[str]:
    """`run` of the example day."""
    return run_arguments(
        {role: EXAMPLE / f"{role}.csv" for role in ("notices", "positions", "volumes")}
    )


def run_of(day: SmallDay, directory: Path, suffix: str = ".csv") -> list[str]:
    """`run` of a small day, which is written to a directory."""
    return run_arguments(write_files(day, directory, suffix), day.date.isoformat())


@contextmanager
def serving(ledger: Path, **given: Any) -> Iterator[Door]:
    """A server over a ledger while the block runs."""
    ports = {"listen": LOOPBACK, "health_listen": LOOPBACK, "metrics_listen": ""}
    server = create_server(Settings(**{**ports, "ledger": ledger, "grace_seconds": 5.0, **given}))
    server.start()
    try:
        yield Door(ledger=ledger, options=("--server", f"127.0.0.1:{server.port}"))
    finally:
        server.stop()


def files_of(ledger: Path) -> Door:
    """The way to a ledger by its files."""
    return Door(ledger=ledger, options=("--ledger", str(ledger)))


@contextmanager
def write_lock(ledger: Path) -> Iterator[None]:
    """Holds the ledger's write lock, as another process that records does."""
    with write_transaction.locked(ledger, 0.0):
        yield


def copied(ledger: Path, to: Path) -> Path:
    """A ledger that may be tampered with."""
    shutil.copytree(ledger, to)
    for path in to.rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o600)
    return to


def files_in(directory: Path) -> dict[str, bytes]:
    """Every file below a directory, by its path."""
    return {
        path.relative_to(directory).as_posix(): path.read_bytes()
        for path in sorted(directory.rglob("*"))
        if path.is_file()
    }


def flip_a_bit(path: Path) -> None:
    """Changes one bit in the middle of a file."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def trail_of(ledger: Path) -> list[tuple[str, str, str]]:
    """Operation, subject and outcome of the trail's entries but the first, the ledger's making."""
    entries = [entry.as_json() for entry in Ledger.open(ledger).trail_entries()]
    return [(entry["operation"], entry["subject"], entry["outcome"]) for entry in entries[1:]]


def evidence_file(ledger: Path, name: str, run: str = EXAMPLE_RUN) -> Path:
    """A file of a run's evidence."""
    return ledger / "evidence" / run.rpartition("-")[0] / run / name


def swap_first_two(path: Path, column: str) -> None:
    """Swaps two rows' values in a Parquet file, which stays one that can be read."""
    table = pq.read_table(path)
    place = table.schema.get_field_index(column)
    values = table.column(place).to_pylist()
    values[:2] = values[1::-1]
    field = table.schema.field(place)
    pq.write_table(table.set_column(place, field, pa.array(values, field.type)), path)
