"""Readers of one file or payload, and the lines of what they refuse."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, TypeAlias

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lottery.day.assigned_pools import AssignedPools, assigned_pools
from lottery.errors import Problems
from lottery.intake import files
from lottery.intake.positions import ReceivedPositions
from lottery.intake.sources import Received
from lottery.method.methodology import JPMS_2024_09_06, AccountOrder
from lottery.method.seed import ExchangeAsk
from tests.builders import notice, notices_table
from tests.reference import Row

Read: TypeAlias = Callable[[object], tuple[Received, Problems]]
ReadAll: TypeAlias = Callable[[object], tuple[ReceivedPositions, Problems]]
ReadAsks: TypeAlias = Callable[[str | bytes], tuple[tuple[ExchangeAsk, ...], Problems]]


def write(path: Path, content: object) -> None:
    """Write text, bytes, or a table as Parquet."""
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif isinstance(content, str):
        path.write_text(content, "utf-8", newline="")
    elif isinstance(content, Mapping):
        pq.write_table(pa.table(dict(content)), path)
    else:
        pq.write_table(content, path)


def locations(problems: Problems) -> list[tuple[int | None, str | None]]:
    """Return row and column of each listed problem, in order."""
    found = [(problem.row, problem.column) for problem in problems]
    return sorted(found, key=lambda location: (location[0] or 0, location[1] or ""))


def texts(problems: Problems) -> str:
    return "\n".join(str(problem) for problem in problems)


def rows(received: Received | ReceivedPositions) -> list[dict[str, Any]]:
    table = received.table() if isinstance(received, ReceivedPositions) else received.table
    return list(table.to_pylist())


def pools_of(rows: Iterable[Row]) -> AssignedPools:
    """Return the pools of some rows, each as if it had a notice."""
    pools = dict.fromkeys((str(row["series"]), str(row["occ_account"])) for row in rows)
    return assigned_pools(notices_table(notice("N", pool[0], 1, pool[1]) for pool in pools))


def read_all(path: Path, order: AccountOrder = AccountOrder.NUMERIC) -> ReceivedPositions:
    """Read the positions of all pools of a file."""
    return files.read_positions(path, None, order)


def _suffix(content: object) -> str:
    return ".csv" if isinstance(content, str | bytes) else ".parquet"


@pytest.fixture
def read_positions(tmp_path: Path) -> ReadAll:
    """Read all positions of a file: texts and bytes as CSV, tables as Parquet."""

    def read(content: object) -> tuple[ReceivedPositions, Problems]:
        path = tmp_path / f"positions{_suffix(content)}"
        write(path, content)
        received = read_all(path)
        return received, received.problems

    return read


@pytest.fixture
def read_notices(tmp_path: Path) -> Read:
    """Read a notices file: texts and bytes as CSV, tables as Parquet."""

    def read(content: object) -> tuple[Received, Problems]:
        path = tmp_path / f"notices{_suffix(content)}"
        write(path, content)
        received = files.read_notices(path)
        return received, received.problems

    return read


def _asks_reader(path: Path) -> ReadAsks:
    def read(content: str | bytes) -> tuple[tuple[ExchangeAsk, ...], Problems]:
        write(path, content)
        received = files.read_volumes(path, JPMS_2024_09_06.securities)
        return received.asks, received.problems

    return read


@pytest.fixture
def read_volumes_csv(tmp_path: Path) -> ReadAsks:
    return _asks_reader(tmp_path / "volumes.csv")


@pytest.fixture
def read_volumes_json(tmp_path: Path) -> ReadAsks:
    return _asks_reader(tmp_path / "volumes.json")
