"""Messages: rows and Arrow payloads give the tables that files give, and no payload can do harm."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from lottery.day.assigned_pools import assigned_pools
from lottery.day.tables import NOTICE_ROWS, POSITION_ROWS
from lottery.errors import LimitExceeded, Problems
from lottery.intake.positions import ReceivedPositions
from lottery.intake.sources import Received
from lottery.intake.wire import IncomingRows
from lottery.method.methodology import AccountOrder
from tests.builders import (
    AAPL,
    FULL,
    META,
    arrow_payload,
    columns_of,
    incoming,
    position,
    refusal,
    request_of_wire,
    table_of,
)
from tests.builders import SmallDay as Day
from tests.intake.conftest import locations, pools_of, rows, texts

TABLE = table_of(FULL.positions, POSITION_ROWS)
PAYLOAD = arrow_payload(TABLE)
POOLS = pools_of(FULL.positions)


def positions_of(arriving: IncomingRows) -> ReceivedPositions:
    """Return what arrived as positions of the pools of the full day."""
    return arriving.positions(POOLS, AccountOrder.NUMERIC)


def received_of(*payloads: bytes, max_rows: int = 1_000) -> tuple[ReceivedPositions, Problems]:
    arriving = incoming("positions", max_rows)
    for payload in payloads:
        arriving.add_arrow(payload)
    received = positions_of(arriving)
    return received, received.problems


def with_column(name: str, column: pa.Array) -> pa.Table:
    return TABLE.set_column(TABLE.column_names.index(name), name, column)


@pytest.mark.parametrize("role", ["notices", "positions"])
def test_rows_and_payloads_give_the_tables_that_files_give(role: str) -> None:
    source = FULL.notices if role == "notices" else FULL.positions
    schema = NOTICE_ROWS if role == "notices" else POSITION_ROWS
    by_rows, by_arrow, mixed = (incoming(role) for _ in range(3))
    by_rows.add_rows(columns_of(source[:2], schema))
    by_rows.add_rows(columns_of(source[2:], schema))
    by_arrow.add_arrow(arrow_payload(table_of(source[:1], schema)))
    by_arrow.add_arrow(arrow_payload(table_of(source[1:], schema)))
    mixed.add_arrow(arrow_payload(table_of(source[3:], schema)))
    mixed.add_rows(columns_of(source[:3], schema))

    for arriving in (by_rows, by_arrow, mixed):
        received = arriving.received() if role == "notices" else positions_of(arriving)
        assert rows(received) == source
        assert arriving.row_count == len(source)
        assert not received.problems


def test_what_arrived_is_kept_as_it_was() -> None:
    received, _ = received_of(PAYLOAD)

    assert [source.kept_as for source in received.sources] == ["positions-arrow.arrows"]
    arriving = incoming("notices")
    payload = arrow_payload(table_of(FULL.notices, NOTICE_ROWS))
    arriving.add_arrow(payload)
    arriving.add_rows(columns_of([{**FULL.notices[0], "notice_id": "B1"}], NOTICE_ROWS))
    other = arrow_payload(table_of([{**FULL.notices[0], "notice_id": "B2"}], NOTICE_ROWS))
    arriving.add_arrow(other)

    sources = arriving.received().sources

    assert [source.kept_as for source in sources] == [
        "notices-rows.arrows",
        "notices-arrow.arrows",
    ]
    # The streams that arrived, one after the other.
    assert sources[1].content == (payload, other)


def test_problems_name_the_field_and_the_row_of_what_arrived() -> None:
    arriving = incoming("positions")
    arriving.add_arrow(arrow_payload(TABLE))
    arriving.add_arrow(arrow_payload(table_of([position(AAPL, "1", -1, "C")], POSITION_ROWS)))
    arriving.add_rows(
        columns_of([position(AAPL, "1", 1), position(AAPL, "2", -2, "C")], POSITION_ROWS)
    )
    problems = positions_of(arriving).problems

    assert [(problem.source, problem.row, problem.column) for problem in problems] == [
        ("positions", 2, "short_quantity"),
        ("arrow_positions", TABLE.num_rows + 1, "short_quantity"),
    ]


def test_a_doubled_account_is_named_with_the_rows_of_both_payloads() -> None:
    day = Day(
        notices=FULL.notices,
        positions=[position(META, str(number), 1, "C") for number in (7, 8, 9, 7)],
    )

    refused = refusal(request_of_wire(day, as_arrow=True))

    assert str(refused) == (
        "arrow_positions, row 4, account: account 7 appears twice in this pool; "
        "it is also on row 1 [P4]"
    )


def test_a_doubled_account_is_named_by_field_where_the_first_row_came_in_another_one() -> None:
    request = request_of_wire(FULL, as_arrow=True)
    arriving = incoming("positions")
    arriving.add_arrow(arrow_payload(table_of([position(META, "7", 1, "C")], POSITION_ROWS)))
    held = [position(META, "6", 1, "C"), position(META, "7", 1, "C")]
    arriving.add_rows(columns_of(held, POSITION_ROWS))
    positions = arriving.positions(assigned_pools(request.notices.table), AccountOrder.NUMERIC)
    refused = refusal(replace(request, positions=positions))

    doubled = [problem for problem in refused.problems if problem.rule == "P4"]
    assert [(problem.source, problem.row) for problem in doubled] == [("arrow_positions", 1)]
    assert (
        doubled[0].message
        == "account 7 appears twice in this pool; it is also on row 2 of positions"
    )


def test_nothing_at_all_is_refused() -> None:
    _, problems = received_of()

    assert texts(problems) == "positions: expected at least one row, got none"


def test_a_payload_without_rows_is_refused() -> None:
    _, problems = received_of(arrow_payload(TABLE.slice(0, 0)))

    assert texts(problems) == ("arrow_positions: expected at least one row, got none")


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"garbage",
        bytes(100),
        b"\xff\xff\xff\xff",
        b"\xff\xff\xff\xff\x00\x00\x00\x00",
        b"\xff\xff\xff\xff\xff\xff\xff\x7f",
        b"ARROW1\x00\x00" + PAYLOAD,
        b"PAR1" + PAYLOAD,
        "série".encode("latin-1") * 50,
    ],
    ids=["empty", "text", "zeros", "marker", "end", "huge", "file magic", "Parquet", "latin"],
)
def test_a_payload_that_is_no_arrow_stream_is_refused(payload: bytes) -> None:
    received, problems = received_of(payload)

    assert "expected an Arrow IPC stream" in texts(problems)
    assert rows(received) == []


def test_a_payload_cut_short_anywhere_is_refused_because_rows_may_be_missing() -> None:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, TABLE.schema) as writer:
        writer.write_table(TABLE, max_chunksize=4)
    whole = sink.getvalue().to_pybytes()
    accepted = []
    for length in range(0, len(whole), 8):
        _, problems = received_of(whole[:length])
        if not problems:
            accepted.append(length)

    assert accepted == []


def test_bytes_behind_the_end_of_a_payload_are_refused_because_rows_may_be_in_them() -> None:
    _, problems = received_of(PAYLOAD + PAYLOAD)

    assert problems


def test_a_schema_with_other_columns_is_refused_by_name() -> None:
    for table, told in (
        (TABLE.drop_columns(["account"]), "column account is missing"),
        (TABLE.append_column("qty", [list(range(TABLE.num_rows))]), "got 'qty'"),
        (TABLE.append_column("account", [TABLE["account"].combine_chunks()]), "must appear once"),
        (table_of(FULL.notices, NOTICE_ROWS), "got 'notice_id'"),
    ):
        _, problems = received_of(arrow_payload(table))

        assert told in texts(problems)


@pytest.mark.parametrize(
    "kind",
    [pa.list_(pa.string()), pa.struct([("a", pa.string())]), pa.float64(), pa.null(), pa.binary()],
    ids=str,
)
def test_a_column_of_another_type_is_refused(kind: pa.DataType) -> None:
    for name in ("series", "account", "short_quantity"):
        column = pa.nulls(TABLE.num_rows, kind)

        _, problems = received_of(arrow_payload(with_column(name, column)))

        assert name in {problem.column for problem in problems}


def test_a_null_inside_a_dictionary_is_refused_where_it_is_used() -> None:
    table = table_of(FULL.positions[:2], POSITION_ROWS)
    series = pa.DictionaryArray.from_arrays(pa.array([0, 1], pa.int32()), pa.array([AAPL, None]))

    _, problems = received_of(arrow_payload(table.set_column(0, "series", series)))

    assert locations(problems) == [(2, "series")]


def test_dictionaries_that_differ_from_batch_to_batch_are_read() -> None:
    parts = [
        table_of(FULL.positions[:4], POSITION_ROWS),
        table_of(FULL.positions[4:], POSITION_ROWS),
    ]
    label = pa.dictionary(pa.int8(), pa.string())
    schema = POSITION_ROWS.set(0, pa.field("series", label))
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, schema) as writer:
        for part in parts:
            series = part.column("series").combine_chunks().dictionary_encode().cast(label)
            writer.write_table(part.set_column(0, "series", series).cast(schema))

    received, problems = received_of(sink.getvalue().to_pybytes())

    assert texts(problems) == ""
    assert rows(received) == FULL.positions


@pytest.mark.parametrize("compression", ["lz4", "zstd"])
def test_compressed_payloads_are_read(compression: str) -> None:
    sink = pa.BufferOutputStream()
    options = pa.ipc.IpcWriteOptions(compression=compression)
    with pa.ipc.new_stream(sink, TABLE.schema, options=options) as writer:
        writer.write_table(TABLE)

    received, problems = received_of(sink.getvalue().to_pybytes())

    assert not problems
    assert rows(received) == FULL.positions


def test_rows_up_to_the_limit_are_taken_and_one_more_is_not() -> None:
    received_of(PAYLOAD, max_rows=TABLE.num_rows)

    with pytest.raises(LimitExceeded, match="positions must have at most 14 rows") as caught:
        received_of(PAYLOAD, max_rows=TABLE.num_rows - 1)
    assert caught.value.details() == {"limit": "max_rows=14"}

    arriving = incoming("positions", TABLE.num_rows)
    arriving.add_arrow(PAYLOAD)
    with pytest.raises(LimitExceeded):
        arriving.add_rows(columns_of([position(AAPL, "1", 1)], POSITION_ROWS))


OFFSETS = {
    "past the end": [0, 5, 1 << 20],
    "far past the end": [0, 5, 2**31 - 1],
    "negative": [0, -5, 14],
    "negative start": [-(2**31), 5, 14],
    "backwards": [14, 5, 0],
    "middle past the end": [0, 1 << 24, 14],
}


def corrupted(table: pa.Table, width: type[np.signedinteger], offsets: Sequence[int]) -> bytes:
    """The table's payload with the offsets 0, 5, 14 of its two texts of 5 and 9 bytes changed."""
    payload = arrow_payload(table)
    sound = np.array([0, 5, 14], width).tobytes()
    assert payload.count(sound) == 1
    return payload.replace(sound, np.array(offsets, width).tobytes())


@pytest.mark.parametrize("offsets", OFFSETS.values(), ids=OFFSETS)
@pytest.mark.parametrize("kind", [pa.string(), pa.large_string()], ids=str)
@pytest.mark.parametrize("column", ["series", "account", "short_quantity", "occ_account"])
def test_offsets_that_point_outside_the_texts_are_refused(
    column: str, kind: pa.DataType, offsets: list[int]
) -> None:
    table = table_of(FULL.positions[:2], POSITION_ROWS)
    texts_of = pa.array(["12345", "123456789"], kind)
    table = table.set_column(table.column_names.index(column), column, texts_of)
    width = np.int32 if kind == pa.string() else np.int64

    received, problems = received_of(corrupted(table, width, offsets))

    assert "expected an Arrow IPC stream" in texts(problems)
    assert rows(received) == []


@pytest.mark.parametrize("indices", [[0, 5], [0, -1], [0, 2**31 - 1], [-(2**31), 0]])
@pytest.mark.parametrize("column", ["series", "account", "occ_account"])
def test_dictionary_indices_that_point_outside_are_refused(column: str, indices: list[int]) -> None:
    table = table_of(FULL.positions[:2], POSITION_ROWS)
    bad = pa.DictionaryArray.from_arrays(
        pa.array(indices, pa.int32()), pa.array([AAPL]), safe=False
    )
    table = table.set_column(table.column_names.index(column), column, bad)

    _, problems = received_of(arrow_payload(table))

    assert "expected an Arrow IPC stream" in texts(problems)


@pytest.mark.parametrize("offsets", OFFSETS.values(), ids=OFFSETS)
def test_offsets_inside_a_dictionary_that_point_outside_are_refused(offsets: list[int]) -> None:
    table = table_of(FULL.positions[:2], POSITION_ROWS)
    labels = pa.array(["12345", "123456789"]).dictionary_encode()

    _, problems = received_of(corrupted(table.set_column(0, "series", labels), np.int32, offsets))

    assert "expected an Arrow IPC stream" in texts(problems)


def test_views_that_point_outside_are_refused() -> None:
    view = struct.pack("<i4sii", 20, b"AAPL", 0, 1 << 20)
    bad = pa.Array.from_buffers(
        pa.string_view(), 2, [None, pa.py_buffer(view * 2), pa.py_buffer(b"x" * 40)]
    )
    table = table_of(FULL.positions[:2], POSITION_ROWS)

    for column in ("series", "account"):
        changed = table.set_column(table.column_names.index(column), column, bad)
        _, problems = received_of(arrow_payload(changed))

        assert "expected an Arrow IPC stream" in texts(problems)


def test_texts_that_are_no_utf_8_are_refused_with_their_rows() -> None:
    table = table_of(FULL.positions[:2], POSITION_ROWS)
    bad = pa.array([AAPL.encode(), b"AAPL  \xff40920C00220000"]).cast(pa.string(), safe=False)

    _, problems = received_of(arrow_payload(table.set_column(0, "series", bad)))

    assert locations(problems) == [(2, "series")]


NOTICES = table_of(FULL.notices, NOTICE_ROWS)


def said(name: str, column: pa.Array) -> pa.Table:
    return NOTICES.append_column(name, column)


def notices_of(*tables: pa.Table) -> tuple[Received, Problems]:
    arriving = incoming("notices")
    for table in tables:
        arriving.add_arrow(arrow_payload(table))
    received = arriving.received()
    return received, received.problems


def test_notices_without_anything_said_besides_have_no_reports() -> None:
    received, problems = notices_of(NOTICES)

    assert (received.occ_reports, problems.total) == (None, 0)
    assert received.with_occ_reports() is received.table


@pytest.mark.parametrize("encoded", [False, True])
def test_what_occ_says_besides_comes_in_further_columns(*, encoded: bool) -> None:
    interest = pa.array(["7", None] * 3)
    one = said("open_interest", interest.dictionary_encode() if encoded else interest)

    received, problems = notices_of(one, NOTICES)

    assert not problems
    assert received.occ_reports is not None
    assert received.occ_reports.column("open_interest").to_pylist() == ["7", None] * 3 + [None] * 6
    assert received.occ_reports.column("notice_id").equals(received.table.column("notice_id"))
    again, _ = notices_of(received.with_occ_reports())
    assert again.occ_reports is not None
    assert again.occ_reports.equals(received.occ_reports.unify_dictionaries())


@pytest.mark.parametrize(
    ("column", "told"),
    [
        (
            pa.array([7] * 6),
            "arrow_notices, open_interest: column open_interest must be text, got int64",
        ),
        (
            pa.array(["7", "x" * 65] * 3),
            (
                "arrow_notices, row 2, open_interest: open interest must be at most 64 "
                "printable ASCII characters, got 'xxx"
            ),
        ),
        (
            pa.array(["7", "\n"] * 3),
            (
                "arrow_notices, row 2, open_interest: open interest must be at most 64 "
                "printable ASCII characters, got '\\n'"
            ),
        ),
    ],
)
def test_what_occ_says_besides_is_checked(column: pa.Array, told: str) -> None:
    _, problems = notices_of(said("open_interest", column))

    assert told in texts(problems)


def test_occs_own_figures_come_as_arrow() -> None:
    table = pa.table({"series": [AAPL, META], "short_quantity": [65, 0], "occ_account": ["C", "F"]})
    arriving = incoming("occ_positions")
    assert not arriving.has_arrived

    arriving.add_arrow(arrow_payload(table))

    assert arriving.has_arrived
    assert arriving.received().table.to_pylist() == table.to_pylist()
    assert not arriving.received().problems


def test_occs_own_figures_that_are_wrong_are_refused_by_their_rows() -> None:
    table = pa.table({"series": ["none", META], "short_quantity": [65, -1]})
    arriving = incoming("occ_positions")
    arriving.add_arrow(arrow_payload(table))

    problems = arriving.received().problems

    assert locations(problems) == [(1, "series"), (2, "short_quantity")]
    assert arriving.has_arrived
