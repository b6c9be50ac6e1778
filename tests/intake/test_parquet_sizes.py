"""Parquet files that make very much of themselves are refused before they are decoded."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lottery.errors import LimitExceeded, Problem
from lottery.intake import files, parquet_sizes
from lottery.intake.loops import longest_text
from lottery.intake.memory import PROCESS_BYTES, UNLIMITED, MemoryLimit
from lottery.intake.positions import ReceivedPositions
from lottery.intake.sources import Received
from lottery.method.methodology import AccountOrder
from tests.apart import run_within
from tests.builders import AAPL

ROOM = 512 << 20
"""Bytes that a refusal may take."""
ROWS = 100_000
LONG = "1" * 900_000
"""A text that fits into a dictionary."""


def one_label(text: str, rows: int) -> pa.DictionaryArray:
    """Rows that share one text."""
    return pa.DictionaryArray.from_arrays(pa.array(np.zeros(rows, np.int32)), pa.array([text]))


def write_positions(path: Path, accounts: Any, **options: Any) -> Path:
    count = len(accounts)
    table = pa.table(
        {
            "series": one_label(AAPL, count),
            "account": accounts,
            "short_quantity": np.ones(count, np.int64),
        }
    )
    # Nothing says that the rows share a text.
    given: dict[str, Any] = {"compression": "zstd", "store_schema": False, **options}
    pq.write_table(table, path, **given)
    return path


def write_notices(path: Path, ids: Any) -> Path:
    count = len(ids)
    table = pa.table(
        {"notice_id": ids, "series": one_label(AAPL, count), "quantity": np.ones(count, np.int64)}
    )
    pq.write_table(table, path, compression="zstd", store_schema=False)
    return path


def read(path: Path, memory: MemoryLimit = UNLIMITED) -> Received | ReceivedPositions:
    """Read positions or notices, as the file is called."""
    if path.stem == "notices":
        return files.read_notices(path, memory=memory)
    return files.read_positions(path, None, AccountOrder.NUMERIC, memory=memory)


def problem_of(path: Path) -> Problem:
    """Return the one problem of positions or notices."""
    (problem,) = set(read(path).problems)
    return problem


def refuse_inflated(path: Path) -> None:
    message = problem_of(path).message
    assert message.startswith(
        "the file is damaged or cut short: expected at most 119,177,216 bytes for 100,000 rows, "
        "which is 1,024 for each and 16,777,216 for all, got "
    ), message


def refuse_long(path: Path) -> None:
    message = problem_of(path).message
    assert "expected at most 16,778,240 bytes for 1 rows, " in message, message


def test_positions_that_share_a_long_account_are_refused(tmp_path: Path) -> None:
    path = write_positions(tmp_path / "positions.parquet", one_label(LONG, ROWS))
    assert path.stat().st_size < 2_000

    run_within(ROOM, refuse_inflated, path)


def test_notices_that_share_a_long_id_are_refused(tmp_path: Path) -> None:
    path = write_notices(tmp_path / "notices.parquet", one_label(LONG, ROWS))
    assert path.stat().st_size < 2_000

    run_within(ROOM, refuse_inflated, path)


@pytest.mark.parametrize("codec", ["zstd", "none"])
def test_one_long_account_is_refused_whatever_the_codec(codec: str, tmp_path: Path) -> None:
    path = write_positions(
        tmp_path / "positions.parquet", ["1" * (100 << 20)], compression=codec, use_dictionary=False
    )

    run_within(ROOM, refuse_long, path)


def refuse_rows(path: Path) -> None:
    with pytest.raises(LimitExceeded, match="the day needs about"):
        read(path, MemoryLimit(limit_bytes=4 << 30))


@pytest.mark.parametrize("write", [write_positions, write_notices])
def test_very_many_rows_in_some_kilobytes_are_refused(
    write: Callable[[Path, Any], Path], tmp_path: Path
) -> None:
    role = write.__name__.removeprefix("write_")
    path = write(tmp_path / f"{role}.parquet", one_label("1", 1_000_000))
    # The same row group again and again: some hundred bytes for each million rows.
    metadata = pq.read_metadata(path)
    copies = pq.read_metadata(path)
    for _ in range(199):
        copies.append_row_groups(metadata)
    footer = pa.BufferOutputStream()
    copies.write_metadata_file(footer)
    content = path.read_bytes()
    size = int.from_bytes(content[-8:-4], "little")
    path.write_bytes(content[: -8 - size] + footer.getvalue().to_pybytes()[4:])
    assert path.stat().st_size < 200_000
    assert pq.read_metadata(path).num_rows == 200_000_000

    run_within(ROOM, refuse_rows, path)


def test_texts_that_begin_as_the_one_before_are_refused_where_they_may_be_long(
    tmp_path: Path,
) -> None:
    path = write_positions(
        tmp_path / "positions.parquet",
        ["1" * 100_000] * 10_000,
        use_dictionary=False,
        column_encoding={"account": "DELTA_BYTE_ARRAY"},
    )

    assert problem_of(path).message == (
        "the file is damaged or cut short: its texts are in encoding 7 of Parquet, by which they "
        "may be of any length; write it with plain or dictionary encoding"
    )


@pytest.mark.parametrize("codec", ["zstd", "gzip", "brotli", "snappy", "lz4", "none"])
@pytest.mark.parametrize("version", ["1.0", "2.0"])
@pytest.mark.parametrize("encoding", ["DELTA_LENGTH_BYTE_ARRAY", "PLAIN", None])
def test_a_large_file_of_every_usual_kind_is_read(
    codec: str, version: str, encoding: str | None, tmp_path: Path
) -> None:
    accounts = np.arange(10**9, 10**9 + 40_000).astype(str)
    path = write_positions(
        tmp_path / "positions.parquet",
        accounts,
        compression=codec,
        data_page_version=version,
        use_dictionary=encoding is None,
        column_encoding=encoding and {"account": encoding, "series": "PLAIN"},
    )

    received = files.read_positions(path, None, AccountOrder.NUMERIC)

    assert not received.problems
    assert received.row_count == 40_000


def test_a_page_that_is_larger_than_it_says_is_refused(tmp_path: Path) -> None:
    path = write_positions(
        tmp_path / "positions.parquet", ["1" * 1_000] * 1_000, use_dictionary=False
    )
    content = path.read_bytes()
    accounts = parquet_sizes.chunks_of(pa.py_buffer(content))[0][1]
    (page,) = parquet_sizes._pages(memoryview(content), accounts)
    announced, smaller = (varint(2 * size) for size in (page.size, page.size - 100_000))
    assert content.index(announced) < page.content[0]
    path.write_bytes(content.replace(announced, smaller, 1))

    assert problem_of(path).message.startswith("the file is damaged or cut short: ")


def varint(number: int) -> bytes:
    encoded = bytearray()
    while number > 127:
        encoded.append(number & 127 | 128)
        number >>= 7
    return bytes([*encoded, number])


def test_nested_columns_are_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "positions.parquet"
    table = pa.table({"series": [AAPL], "account": [[["1"]]], "short_quantity": [{"a": 1, "b": 2}]})
    pq.write_table(table, path)

    assert problem_of(path).message == "expected columns of single values, got nested"


def test_a_footer_past_the_limit_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_positions(tmp_path / "positions.parquet", ["1"])
    monkeypatch.setattr(parquet_sizes, "FOOTER_BYTES", 100)

    message = problem_of(path).message

    assert message.startswith("the footer must have at most 100 bytes, got ")


def test_a_group_that_needs_more_memory_is_refused(tmp_path: Path) -> None:
    path = write_positions(tmp_path / "positions.parquet", ["1" * 1_000] * 200_000)
    memory = MemoryLimit(limit_bytes=PROCESS_BYTES + (80 << 20))

    with pytest.raises(LimitExceeded, match=r"positions\.parquet: the day needs"):
        files.read_positions(path, None, AccountOrder.NUMERIC, memory=memory)


@pytest.mark.parametrize(
    ("texts", "longest"),
    [([], 0), ([b"abc", b"", b"12345"], 5), ([b"a" * 70_000], 70_000)],
    ids=["none", "some", "a long one"],
)
def test_the_longest_text_of_a_dictionary(texts: list[bytes], longest: int) -> None:
    data = b"".join(len(text).to_bytes(4, "little") + text for text in texts)
    for run in (longest_text.interpreted, longest_text.compiled()):
        assert run(np.frombuffer(data, np.uint8)) == longest
        assert run(np.frombuffer(data + b"\0", np.uint8)) == -1
        assert run(np.frombuffer(data + b"\1\0\0\0", np.uint8)) == -1
