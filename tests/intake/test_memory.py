"""A day that would take more memory than there is is refused before it is read."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lottery.errors import LimitExceeded
from lottery.intake import files, memory, position_filter
from lottery.intake.memory import PROCESS_BYTES, MemoryLimit
from lottery.intake.sources import Received
from tests.builders import AAPL, FULL, SPY, incoming, notice, notices_table, write_files

ROWS = 1_000
OF_ROWS = 20 * ROWS
"""What the rows take that are looked at and dropped."""
KEPT = 190 * ROWS
"""What they take where all are kept."""
NOTICES = Received(table=notices_table([notice("N1", AAPL, 1)]), sources=(), locators=())


@pytest.fixture
def positions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file of a thousand positions, a tenth of which are of the assigned series."""
    monkeypatch.setattr(position_filter, "ROWS_WORTH_A_THREAD", 1)
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


def test_a_file_that_is_read_whole_takes_its_rows(positions: Path) -> None:
    fits = files.read_positions(positions, memory=limit_of(KEPT))
    assert fits.table.num_rows == ROWS

    with pytest.raises(LimitExceeded, match=r"positions\.parquet: the day needs about 0\.4 GiB"):
        files.read_positions(positions, memory=limit_of(KEPT - 1))


def test_a_file_of_which_little_is_kept_takes_less(positions: Path) -> None:
    enough = limit_of(OF_ROWS + KEPT // 10)
    fits = files.read_positions_of(NOTICES, positions, memory=enough)
    assert fits.table.num_rows == ROWS // 10

    for too_little in (OF_ROWS - 1, OF_ROWS + KEPT // 10 - 1):
        with pytest.raises(LimitExceeded, match="more than the limit"):
            files.read_positions_of(NOTICES, positions, memory=limit_of(too_little))


def test_a_text_file_takes_five_times_its_size(tmp_path: Path) -> None:
    path = write_files(FULL, tmp_path)["positions"]
    needed = 5 * path.stat().st_size
    assert files.read_positions(path, memory=limit_of(needed)).table.num_rows

    with pytest.raises(LimitExceeded) as caught:
        files.read_positions(path, memory=limit_of(needed - 1))

    assert caught.value.limit == f"memory_limit_bytes={PROCESS_BYTES + needed - 1}"


def test_a_file_that_is_no_parquet_is_refused_as_such(tmp_path: Path) -> None:
    path = tmp_path / "positions.parquet"
    path.write_bytes(b"PAR1 and no more")

    received = files.read_positions(path, memory=limit_of(0))

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
