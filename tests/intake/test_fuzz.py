"""Any bytes at all give a table or problems, nothing else: no other error, and no crash."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from typing import Final, TypeAlias

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lottery.day.tables import POSITION_ROWS
from lottery.errors import Problems, Refused
from lottery.intake import position_block
from lottery.intake.columns import POSITION_COLUMNS
from lottery.intake.delimited import read_csv
from lottery.intake.parquet import parquet_blocks
from lottery.intake.positions import PositionBlocks, read_positions
from lottery.intake.sources import RowLocator, SourceFile
from lottery.intake.volumes import volumes_of_source
from lottery.method.methodology import JPMS_2024_09_06, AccountOrder
from lottery.method.seed import derive_seed
from tests.builders import ASKS, FULL, POSITION_NAMES, csv_text, incoming, table_of, volumes_text
from tests.builders import arrow_payload as payload_of
from tests.intake.conftest import pools_of

BOUNDED: Final = settings(
    max_examples=300, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True
)
TABLE: Final = table_of(FULL.positions, POSITION_ROWS)
LABELS: Final = TABLE.set_column(0, "series", TABLE["series"].dictionary_encode())
QUOTED: Final = "".join(
    ",".join(f'"{value}"' for value in line.split(",")) + "\r\n"
    for line in csv_text(FULL.positions, POSITION_NAMES).splitlines()
)
POOLS: Final = pools_of(FULL.positions)
Reader: TypeAlias = Callable[[bytes], int]


def parquet_bytes(table: pa.Table, compression: str | None) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression=compression)
    content: bytes = sink.getvalue().to_pybytes()
    return content


def rows_or_problems(rows: int, problems: Problems) -> int:
    """How many rows; none without a problem that says why, in words that can be printed."""
    assert rows or problems
    for problem in problems:
        str(problem).encode()
    return rows


def checked_rows(blocks: PositionBlocks) -> int:
    """Return how many rows of assigned pools there are, which passes read if they are sound."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(position_block, "ROWS_WORTH_PASSES", 1)
        received = read_positions(
            blocks, POOLS, AccountOrder.NUMERIC, locator=RowLocator(source="fuzz")
        )
    received.table().validate(full=True)
    rows_or_problems(received.row_count, received.problems)
    return len(received.positions)


def by_csv(content: bytes) -> int:
    return checked_rows(
        PositionBlocks.of([read_csv(pa.py_buffer(content), POSITION_COLUMNS, "fuzz")])
    )


def by_parquet(content: bytes) -> int:
    data = pa.py_buffer(content)
    return checked_rows(parquet_blocks(data, POSITION_COLUMNS, "fuzz", lambda: None))


def by_arrow(content: bytes) -> int:
    arriving = incoming("positions")
    arriving.add_arrow(content)
    received = arriving.positions(POOLS, AccountOrder.NUMERIC)
    rows_or_problems(received.row_count, received.problems)
    return len(received.positions)


def by_volumes(suffix: str, content: bytes) -> int:
    source = SourceFile.of("volumes", "fuzz", suffix, content)
    volumes = volumes_of_source(source, JPMS_2024_09_06.securities)
    try:
        derive_seed(volumes.asks, JPMS_2024_09_06.securities)
    except Refused as refused:
        return rows_or_problems(0, volumes.problems + Problems.of(*refused.problems))
    return rows_or_problems(1, volumes.problems)


READERS: Final[dict[str, tuple[Reader, tuple[bytes, ...]]]] = {
    "csv": (
        by_csv,
        (
            csv_text(FULL.positions, POSITION_NAMES).encode(),
            QUOTED.encode(),
        ),
    ),
    "parquet": (
        by_parquet,
        (parquet_bytes(TABLE, None), parquet_bytes(LABELS, "zstd"), parquet_bytes(TABLE, "snappy")),
    ),
    "arrow": (by_arrow, (payload_of(TABLE), payload_of(LABELS))),
    "volumes csv": (partial(by_volumes, ".csv"), (volumes_text(ASKS).encode(),)),
    "volumes json": (
        partial(by_volumes, ".json"),
        (
            json.dumps(
                [{"security_number": number, "ask_price": ask} for number, ask in ASKS.items()]
            ).encode(),
        ),
    ),
}


@st.composite
def mutated(draw: st.DrawFn, whole: bytes) -> bytes:
    """Valid bytes with a few of them changed, put in or taken out, or cut short."""
    content = bytearray(whole)
    for _ in range(draw(st.integers(1, 6))):
        at = draw(st.integers(0, max(0, len(content) - 1)))
        kind = draw(st.sampled_from(["change", "flip", "insert", "delete", "number", "cut"]))
        if kind == "change":
            content[at : at + 1] = bytes([draw(st.integers(0, 255))])
        elif kind == "flip" and content:
            content[at] ^= 1 << draw(st.integers(0, 7))
        elif kind == "insert":
            content[at:at] = draw(st.binary(min_size=1, max_size=8))
        elif kind == "delete":
            del content[at : at + draw(st.integers(1, 16))]
        elif kind == "number":
            number = draw(st.sampled_from([-(2**31), -1, 0, 1, 255, 2**31 - 1]))
            content[at : at + 4] = number.to_bytes(4, "little", signed=True)
        elif kind == "cut":
            del content[at:]
    return bytes(content)


@pytest.mark.parametrize("name", READERS)
def test_the_unchanged_bytes_are_read(name: str) -> None:
    reader, samples = READERS[name]

    assert all(reader(sample) > 0 for sample in samples)


@pytest.mark.parametrize("name", READERS)
@BOUNDED
@given(content=st.binary(max_size=400))
def test_random_bytes_give_rows_or_problems(name: str, content: bytes) -> None:
    READERS[name][0](content)


@pytest.mark.parametrize("name", READERS)
@BOUNDED
@given(data=st.data())
def test_changed_bytes_give_rows_or_problems(name: str, data: st.DataObject) -> None:
    reader, samples = READERS[name]

    reader(data.draw(mutated(data.draw(st.sampled_from(samples)))))


@pytest.mark.parametrize("name", ["csv", "volumes csv", "volumes json"])
@BOUNDED
@given(
    content=st.text(st.sampled_from('"\r\n,{}[]:\\ \t01eE.-+\ufeff\0\ud800xZ'), max_size=200),
    header=st.sampled_from(["", "series,account,short_quantity\n", "security_number,ask_price\n"]),
)
def test_marks_of_the_formats_in_any_order_give_rows_or_problems(
    name: str, content: str, header: str
) -> None:
    READERS[name][0]((header + content).encode("utf-8", "surrogatepass"))
