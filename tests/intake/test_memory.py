"""A day that would take more memory than there is is refused before it is read."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lottery.day.assigned_pools import AssignedPools, assigned_pools
from lottery.day.tables import NOTICES
from lottery.errors import PROBLEM_LIMIT, LimitExceeded
from lottery.intake import files, memory
from lottery.intake.memory import PROCESS_BYTES, UNLIMITED, MemoryLimit
from lottery.intake.positions import ReceivedPositions
from lottery.method.methodology import AccountOrder
from tests.apart import run_within
from tests.builders import AAPL, FULL, SPY, incoming, notice, notices_table, write_files

ROWS = 1_000
OF_ROWS = 20 * ROWS
"""What the rows take that are looked at and dropped."""
KEPT = 190 * ROWS
"""What they take if all are kept."""
ROOM = 600 << 20
"""Bytes that a test's process may map beyond what it has: the file, and little more."""
HEADER = "series,account,short_quantity\n"
NUMERIC = AccountOrder.NUMERIC
ASSIGNED = assigned_pools(notices_table([notice("N1", AAPL, 1)]))


@pytest.fixture
def positions(tmp_path: Path) -> Path:
    """A file of a thousand positions, a tenth of which are of the assigned series."""
    path = tmp_path / "positions.parquet"
    table = pa.table(
        {
            "series": [AAPL if row % 10 == 0 else SPY for row in range(ROWS)],
            "account": [str(row) for row in range(ROWS)],
            "short_quantity": [1] * ROWS,
        }
    )
    pq.write_table(table, path, row_group_size=100)
    return path


def limit_of(rows_bytes: int) -> MemoryLimit:
    """A limit that leaves so much for the rows."""
    return MemoryLimit(limit_bytes=PROCESS_BYTES + rows_bytes)


@pytest.mark.parametrize(
    ("assigned", "kept"), [(None, ROWS), (ASSIGNED, ROWS // 10)], ids=["all pools", "one pool"]
)
def test_a_file_takes_its_rows_and_more_for_those_that_are_kept(
    positions: Path, assigned: AssignedPools | None, kept: int
) -> None:
    needed = OF_ROWS + KEPT * kept // ROWS
    fits = files.read_positions(positions, assigned, NUMERIC, memory=limit_of(needed))
    assert len(fits.positions) == kept

    for too_little in (OF_ROWS - 1, needed - 1):
        message = r"positions\.parquet: the day needs about 0\.4 GiB of memory, more than the limit"
        with pytest.raises(LimitExceeded, match=message):
            files.read_positions(positions, assigned, NUMERIC, memory=limit_of(too_little))


def test_a_text_file_takes_five_times_its_size(tmp_path: Path) -> None:
    path = write_files(FULL, tmp_path)["positions"]
    needed = 5 * path.stat().st_size
    no_pools = assigned_pools(NOTICES.empty_table())
    fits = files.read_positions(path, no_pools, NUMERIC, memory=limit_of(needed))
    assert fits.row_count == len(FULL.positions)

    with pytest.raises(LimitExceeded) as caught:
        files.read_positions(path, no_pools, NUMERIC, memory=limit_of(needed - 1))

    assert caught.value.limit == f"memory_limit_bytes={PROCESS_BYTES + needed - 1}"


def test_a_line_of_a_text_file_takes_what_one_with_a_series_takes(tmp_path: Path) -> None:
    path = tmp_path / "positions.csv"
    path.write_text(HEADER + ",,\n" * ROWS, encoding="ascii")
    needed = 5 * 16 * ROWS
    assert read_assigned(path, limit_of(needed)).problems

    with pytest.raises(LimitExceeded, match="the day needs"):
        read_assigned(path, limit_of(needed - 1))


def test_empty_lines_take_no_memory_and_are_refused_with_their_rows(tmp_path: Path) -> None:
    path = tmp_path / "positions.csv"
    path.write_text(HEADER + "\n" * 60_000_000 + f"{AAPL},1046,30\n", encoding="ascii")

    run_within(ROOM, refuse, path, "got an empty line")


def test_empty_lines_are_no_values_of_the_columns_of_a_wide_file(tmp_path: Path) -> None:
    path = tmp_path / "positions.csv"
    others = "".join(f",column {number}" for number in range(4_000))
    path.write_text(HEADER.strip() + others + "\n" * 200_000 + "X\n", encoding="ascii")

    run_within(ROOM, refuse, path, "nothing is looked for after row 1")


def refuse(path: Path, message: str) -> None:
    problems = read_assigned(path, UNLIMITED).problems

    assert message in "\n".join(map(str, problems))
    assert len(problems.listed) == PROBLEM_LIMIT


def read_assigned(path: Path, limit: MemoryLimit) -> ReceivedPositions:
    return files.read_positions(path, ASSIGNED, NUMERIC, memory=limit)


def test_a_file_that_is_no_parquet_is_refused_as_such(tmp_path: Path) -> None:
    path = tmp_path / "positions.parquet"
    path.write_bytes(b"PAR1 and no more")

    received = files.read_positions(path, ASSIGNED, NUMERIC, memory=limit_of(0))

    (problem,) = received.problems.listed
    assert problem.message.startswith("the file is damaged")


def test_a_stream_takes_its_rows_as_they_arrive() -> None:
    arriving = incoming("positions")
    arriving.memory = limit_of(2 * 190)
    row: list[list[object]] = [[AAPL], ["1046"], [30], ["C"]]
    arriving.add_rows(row)
    arriving.add_rows(row)

    with pytest.raises(LimitExceeded, match="positions: the day needs"):
        arriving.add_rows(row)


@pytest.mark.parametrize(
    ("told", "expected"),
    [("1000000000\n", 800_000_000), ("max\n", None), ("", None), (None, None)],
    ids=["less", "max", "empty", "no such file"],
)
def test_the_machine_has_what_its_container_leaves(
    told: str | None, expected: int | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    container = tmp_path / "memory.max"
    if told is not None:
        container.write_text(told, encoding="ascii")
    monkeypatch.setattr(memory, "_CGROUP", tmp_path / "absent")
    whole = MemoryLimit.of_machine().limit_bytes
    monkeypatch.setattr(memory, "_CGROUP", container)

    assert MemoryLimit.of_machine().limit_bytes == (expected or whole)
    assert whole
