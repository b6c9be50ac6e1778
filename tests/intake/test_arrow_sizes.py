"""Arrow payloads that make very much of themselves are refused before they are decoded."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.ipc
import pytest

from lottery.errors import LimitExceeded
from lottery.intake import arrow_sizes
from lottery.intake.arrow_sizes import size_of_stream
from lottery.intake.memory import PROCESS_BYTES, MemoryLimit
from tests.apart import run_within
from tests.builders import AAPL, incoming

ROOM = 256 << 20
"""Bytes that a refusal may take."""
GIBIBYTE = 1 << 30
ZSTD = b"\x28\xb5\x2f\xfd"
"""What a compressed buffer goes on with after its size."""


def stream_of(table: pa.Table, codec: str | None = None, batch_rows: int | None = None) -> bytes:
    sink = pa.BufferOutputStream()
    options = pa.ipc.IpcWriteOptions(compression=codec)
    with pa.ipc.new_stream(sink, table.schema, options=options) as writer:
        writer.write_table(table, max_chunksize=batch_rows)
    content: bytes = sink.getvalue().to_pybytes()
    return content


def positions_of(accounts: Any) -> pa.Table:
    count = len(accounts)
    return pa.table(
        {"series": [AAPL] * count, "account": accounts, "short_quantity": np.ones(count, np.int64)}
    )


def one_label(text: str, rows: int) -> pa.DictionaryArray:
    """Rows that share one text."""
    return pa.DictionaryArray.from_arrays(pa.array(np.zeros(rows, np.int32)), pa.array([text]))


def refusal(payload: bytes, role: str = "positions") -> str:
    """Return why a payload is refused."""
    arriving = incoming(role)
    arriving.add_arrow(payload)
    (refused,) = arriving._refusals
    (problem,) = refused
    return problem.message


def refuse_one_row(payload: bytes) -> None:
    assert refusal(payload) == (
        "expected an Arrow IPC stream: expected at most 16,778,240 bytes for 1 rows, which is "
        "1,024 for each and 16,777,216 for all, got 1,073,741,869"
    )


@pytest.mark.parametrize("codec", ["zstd", "lz4"])
def test_a_row_of_a_gigabyte_in_some_kilobytes_is_refused(codec: str) -> None:
    payload = stream_of(positions_of(["1" * GIBIBYTE]), codec)
    assert len(payload) < GIBIBYTE // 200

    run_within(ROOM, refuse_one_row, payload)


def refuse_labels(payload: bytes) -> None:
    assert "got 2,000,000,000" in refusal(payload)


def test_a_text_that_many_rows_share_is_refused_before_each_has_its_own() -> None:
    payload = stream_of(positions_of(one_label("1" * 20_000, 100_000)), "zstd")

    run_within(ROOM, refuse_labels, payload)


def test_views_of_one_text_are_refused_before_each_row_has_its_own() -> None:
    views = pa.array(["1" * 20_000], pa.string_view()).buffers()
    rows = np.tile(np.frombuffer(views[1], np.uint8)[:16], 100_000)
    shared = pa.Array.from_buffers(
        pa.string_view(), 100_000, [None, pa.py_buffer(rows.tobytes()), *views[2:]]
    )
    assert shared[99_999] == pa.scalar("1" * 20_000, pa.string_view())

    run_within(ROOM, refuse_labels, stream_of(positions_of(shared)))


def refuse_null_rows(payload: bytes) -> None:
    with pytest.raises(LimitExceeded, match="positions must have at most 1000000 rows, got more"):
        incoming("positions").add_arrow(payload)


def test_rows_that_take_no_bytes_are_counted_before_they_are_read() -> None:
    count = 1 << 30
    empty = pa.table({name: pa.nulls(count) for name in ("series", "account", "short_quantity")})

    run_within(ROOM, refuse_null_rows, stream_of(empty))


def test_labels_that_inflate_are_refused() -> None:
    labels = pa.DictionaryArray.from_arrays(pa.array([0], pa.int32()), pa.array(["1" * GIBIBYTE]))
    payload = stream_of(positions_of(["1"]).set_column(0, "series", labels), "zstd")

    assert "got 1,073,741,8" in refusal(payload)


def test_a_buffer_that_does_not_come_to_what_it_announces_is_refused() -> None:
    content = "1" * 100_000
    payload = bytearray(stream_of(positions_of([content]), "zstd"))
    at = payload.index((100_000).to_bytes(8, "little") + ZSTD)
    payload[at : at + 8] = (90_000).to_bytes(8, "little")

    assert size_of_stream(bytes(payload)).decoded_bytes < 100_000
    assert refusal(bytes(payload)).startswith("expected an Arrow IPC stream: ")


def test_a_negative_size_is_refused() -> None:
    payload = bytearray(stream_of(positions_of(["1" * 100_000]), "zstd"))
    at = payload.index((100_000).to_bytes(8, "little") + ZSTD)
    payload[at : at + 8] = (-2).to_bytes(8, "little", signed=True)

    assert refusal(bytes(payload)) == (
        "expected an Arrow IPC stream: a buffer announces a negative size"
    )


def test_very_many_batches_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrow_sizes, "BATCHES", 10)
    table = positions_of([str(row) for row in range(20)])

    assert size_of_stream(stream_of(table, batch_rows=2)).rows == 20
    message = "expected an Arrow IPC stream: expected at most 10 batches, got more"
    assert refusal(stream_of(table, batch_rows=1)) == message


@pytest.mark.parametrize("codec", [None, "zstd", "lz4"])
@pytest.mark.parametrize("account", ["1", "12345678901234567"])
def test_what_is_announced_is_what_is_decoded(codec: str | None, account: str) -> None:
    table = positions_of(one_label(account, 5_000).cast(pa.string()))

    size = size_of_stream(stream_of(table, codec, 1_000))

    assert size.rows == 5_000
    assert abs(size.decoded_bytes - table.nbytes) < 2_000


def test_each_payload_takes_some_memory_however_few_rows_it_has() -> None:
    payload = stream_of(positions_of(["1"]))
    arriving = incoming("positions")
    arriving.memory = MemoryLimit(limit_bytes=PROCESS_BYTES + 3 * (16_384 + 190))
    for _ in range(3):
        arriving.add_arrow(payload)

    with pytest.raises(LimitExceeded, match="positions: the day needs"):
        arriving.add_arrow(payload)


def test_after_the_stated_number_of_refused_payloads_no_other_is_read() -> None:
    arriving = incoming("notices")
    for _ in range(150):
        arriving.add_arrow(b"no stream")

    assert arriving.received().problems.total == 100
