"""As-of times: what is one, that all rows say the same, and that it is of the business date."""

from __future__ import annotations

import datetime as dt
import json
import tempfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lottery import operations
from lottery.day.assigned_pools import assigned_pools
from lottery.day.tables import POSITION_ROWS
from lottery.errors import Problem, Refused
from lottery.intake import files, position_block
from lottery.intake.as_of import as_of_problems, date_of
from lottery.intake.positions import ReceivedPositions
from lottery.intake.wire import volumes_of_asks
from lottery.method.methodology import JPMS_2024_09_06, AccountOrder
from tests.builders import (
    AAPL,
    ASKS,
    DATE,
    PUBLISHED,
    SPY,
    arrow_payload,
    csv_text,
    exchange_asks,
    incoming,
    notice,
    notices_table,
    position,
    request_of_files,
    write_files,
)
from tests.reference import Row

NUMERIC = AccountOrder.NUMERIC
ASSIGNED = assigned_pools(notices_table([notice("N1", AAPL, 1)]))
AFTER_THE_CLOSE = "2024-09-16T20:15:00-04:00"


@pytest.mark.parametrize(
    ("text", "date"),
    [
        ("2024-09-16", DATE),
        ("2024-09-16T16:20:00-04:00", DATE),
        ("2024-09-16T16:20:00.123456789-04:00", DATE),
        ("2024-09-17T00:30:00Z", DATE),
        ("2024-09-17T03:59:59+00:00", DATE),
        ("2024-09-17T04:00:00+00:00", dt.date(2024, 9, 17)),
        ("2024-09-16T03:59:59Z", dt.date(2024, 9, 15)),
        ("2024-12-17T04:30:00Z", dt.date(2024, 12, 16)),  # Five hours behind in winter.
        ("2024-12-17T05:00:00Z", dt.date(2024, 12, 17)),
        *(
            (text, None)
            for text in (
                "",
                "today",
                "2024-9-16",
                "20240916",
                "2024-02-30",
                "2024-09-16T16:20:00",
                "2024-09-16T16:20-04:00",
                "2024-09-16 16:20:00-04:00",
                "2024-09-16T24:20:00-04:00",
                "2024-09-16T16:20:00-0400",
                "2024-09-16T16:20:00-99:00",
                "0001-01-01T00:00:00+14:00",
                "2024-W38-1",
                " 2024-09-16",
                "2024-09-16\n",
                "\uff12\uff10\uff12\uff14-09-16",
            )
        ),
    ],
)
def test_a_time_is_of_the_date_that_it_is_in_new_york(text: str, date: dt.date | None) -> None:
    assert date_of(text) == date


# Positions.


def table_saying(said: list[str | None], kind: pa.DataType | None = None) -> pa.Table:
    """Return a row for each text, of assigned pools and others in turn."""
    rows = [position((AAPL, SPY)[index % 2], str(index + 1), 1) for index in range(len(said))]
    table = pa.Table.from_pylist(rows, POSITION_ROWS)
    return table.append_column("as_of", pa.array(said, pa.string()).cast(kind or pa.string()))


def read(path: Path, table: pa.Table, group: int = 1_000) -> ReceivedPositions:
    if path.suffix == ".csv":
        rows: list[Row] = table.to_pylist()
        path.write_text(csv_text(rows), "utf-8")
    else:
        pq.write_table(table, path, row_group_size=group)
    return files.read_positions(path, ASSIGNED, NUMERIC)


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
@pytest.mark.parametrize("worth_passes", [1, 1 << 40])
@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), pa.dictionary("int8", pa.utf8())])
def test_positions_that_all_say_the_same_are_of_that_time(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    suffix: str,
    worth_passes: int,
    kind: pa.DataType,
) -> None:
    monkeypatch.setattr(position_block, "ROWS_WORTH_PASSES", worth_passes)

    received = read(tmp_path / f"positions{suffix}", table_saying([AFTER_THE_CLOSE] * 5, kind), 2)

    assert not received.problems
    assert received.as_of == AFTER_THE_CLOSE
    assert [source.as_of for source in received.sources] == [AFTER_THE_CLOSE]
    assert len(received.positions) == 3


def test_positions_that_do_not_say_have_none(tmp_path: Path) -> None:
    received = read(tmp_path / "positions.csv", table_saying(["2024-09-16"]).drop(["as_of"]))

    assert received.as_of is None
    assert received.sources[0].as_of is None


@given(
    said=st.lists(st.sampled_from(["2024-09-16", "2024-09-17", "later"]), min_size=1, max_size=30),
    suffix=st.sampled_from([".csv", ".parquet"]),
    group=st.integers(1, 31),
    worth_passes=st.sampled_from([1, 1 << 40]),
)
def test_every_text_that_is_wrong_or_differs_is_refused_with_a_row(
    said: list[str], suffix: str, group: int, worth_passes: int
) -> None:
    with tempfile.TemporaryDirectory() as directory, pytest.MonkeyPatch.context() as patch:
        patch.setattr(position_block, "ROWS_WORTH_PASSES", worth_passes)
        received = read(Path(directory) / f"positions{suffix}", table_saying([*said]), group)

    found = {(problem.row, problem.column) for problem in received.problems}
    malformed = {index for index, text in enumerate(said, 1) if text == "later"}
    sound = [(index, text) for index, text in enumerate(said, 1) if text != "later"]
    other = [index for index, text in sound if text != sound[0][1]]
    assert {(row, "as_of") for row in malformed} <= found
    # Of a text that differs, the first row in each part of the file.
    assert {row for row, _ in found} - malformed <= set(other)
    if other:
        assert (other[0], "as_of") in found
        assert {one.rule for one in received.problems if one.row == other[0]} == {"P7"}
    assert bool(received.problems) == bool(malformed or other)


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_a_row_that_does_not_say_is_refused(tmp_path: Path, suffix: str) -> None:
    received = read(tmp_path / f"positions{suffix}", table_saying(["2024-09-16", None]))

    (problem,) = received.problems
    assert (problem.row, problem.column) == (2, "as_of")


def test_an_as_of_column_that_is_no_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "positions.parquet"
    pq.write_table(table_saying(["2024-09-16"], pa.date32()), path)

    (problem,) = files.read_positions(path, ASSIGNED, NUMERIC).problems

    assert problem.message == "column as_of must be text, got date32[day]"


def test_notices_have_no_as_of_time(tmp_path: Path) -> None:
    path = tmp_path / "notices.csv"
    path.write_text(f"notice_id,series,quantity,as_of\nA,{AAPL},1,2024-09-16\n")

    (problem,) = files.read_notices(path).problems

    assert problem.message == (
        "column must be one of notice_id, series, quantity, occ_account, got 'as_of'; or state it "
        "in a mapping, --columns"
    )


def test_arrow_payloads_say_the_same_and_what_is_sent_on_says_it_too() -> None:
    arriving = incoming("positions")
    for _ in range(2):
        arriving.add_arrow(arrow_payload(table_saying(["2024-09-16"])))
    received = arriving.positions(ASSIGNED, NUMERIC)
    assert [source.as_of for source in received.sources] == ["2024-09-16"]
    assert received.table_to_send().column("as_of").to_pylist() == ["2024-09-16"] * 2

    again = incoming("positions")
    again.add_arrow(arrow_payload(received.table_to_send()))
    assert again.positions(ASSIGNED, NUMERIC).as_of == "2024-09-16"

    arriving.add_arrow(arrow_payload(table_saying(["2024-09-17"])))
    (problem,) = arriving.positions(ASSIGNED, NUMERIC).problems
    assert (problem.row, problem.column, problem.rule) == (3, "as_of", "P7")


# Volumes.


def volumes(directory: Path, suffix: str, said: list[str | None]) -> Path:
    """Write the published asks, each with its text; None leaves the member out."""
    rows = [
        {"security_number": number, "ask_price": ask, "as_of": text}
        for (number, ask), text in zip(ASKS.items(), said, strict=True)
    ]
    path = directory / f"volumes{suffix}"
    if suffix == ".csv":
        path.write_text(csv_text(rows))
    else:
        named = [{name: text for name, text in row.items() if text is not None} for row in rows]
        path.write_text(json.dumps(named))
    return path


def problems_of(path: Path) -> list[Problem]:
    received = files.read_volumes(path, JPMS_2024_09_06.securities)
    assert received.sources[0].as_of is None
    return list(received.problems)


@pytest.mark.parametrize("suffix", [".csv", ".json"])
def test_volumes_that_all_say_the_same_are_of_that_time(tmp_path: Path, suffix: str) -> None:
    path = volumes(tmp_path, suffix, ["2024-09-16T16:20:00-04:00"] * 4)

    received = files.read_volumes(path, JPMS_2024_09_06.securities)

    assert not received.problems
    assert received.sources[0].as_of == "2024-09-16T16:20:00-04:00"


@pytest.mark.parametrize("suffix", [".csv", ".json"])
def test_volumes_that_say_different_times_are_refused_with_the_row(
    tmp_path: Path, suffix: str
) -> None:
    said: list[str | None] = ["2024-09-16", "2024-09-16", "2024-09-15", "2024-09-16"]

    (problem,) = problems_of(volumes(tmp_path, suffix, said))

    assert (problem.row, problem.column, problem.rule) == (3, "as_of", "S8")
    assert problem.message == (
        "as-of time must be '2024-09-16' as in the first row, got '2024-09-15'"
    )


@pytest.mark.parametrize("suffix", [".csv", ".json"])
@pytest.mark.parametrize("text", ["yesterday", ""])
def test_volumes_of_no_time_are_refused_with_each_row(
    tmp_path: Path, suffix: str, text: str
) -> None:
    problems = problems_of(volumes(tmp_path, suffix, [text, "2024-09-16", text, "2024-09-16"]))

    assert [(problem.row, problem.column) for problem in problems] == [(1, "as_of"), (3, "as_of")]
    assert problems[0].message.startswith("as-of time must be a date, YYYY-MM-DD, or a time with")


def test_an_object_that_does_not_say_is_refused_where_others_do(tmp_path: Path) -> None:
    (problem,) = problems_of(volumes(tmp_path, ".json", ["2024-09-16", None, None, "2024-09-16"]))

    assert (problem.row, problem.column) == (2, "as_of")
    assert problem.message == "as-of time must be in every row if it is in one, got none"


def test_an_as_of_time_that_is_no_text_is_refused_once(tmp_path: Path) -> None:
    path = volumes(tmp_path, ".json", ["2024-09-16"] * 4)
    path.write_text(path.read_text().replace('"2024-09-16"', "20240916", 1))

    (problem,) = problems_of(path)

    assert problem.message.startswith("as_of must be text in quotes")


def test_the_asks_of_a_message_are_kept_with_their_time() -> None:
    received = volumes_of_asks(exchange_asks(ASKS), "2024-09-16")
    (source,) = received.sources

    assert source.as_of == "2024-09-16"
    assert {row["as_of"] for row in json.loads(source.read())} == {"2024-09-16"}
    wrong = volumes_of_asks(exchange_asks(ASKS), "16 September")
    assert [problem.rule for problem in wrong.problems] == ["S8"]
    assert wrong.sources[0].as_of is None


# The business date.


@pytest.mark.parametrize("role", ["positions", "volumes"])
@pytest.mark.parametrize(
    ("text", "is_refused"),
    [("2024-09-16", False), (AFTER_THE_CLOSE, False), ("2024-09-13", True), ("2024-09-17", True)],
)
def test_what_is_of_another_date_is_refused_by_its_rule(
    tmp_path: Path, role: str, text: str, *, is_refused: bool
) -> None:
    paths = write_files(PUBLISHED, tmp_path)
    lines = paths[role].read_text().splitlines()
    paths[role].write_text("".join(f"{line},{text}\n" for line in lines).replace(text, "as_of", 1))
    request = request_of_files(paths)

    if not is_refused:
        sources = operations.compute_day(request).sources
        assert {one.role: one.as_of for one in sources} == {
            **dict.fromkeys(("notices", "positions", "volumes")),
            role: text,
        }
        return
    with pytest.raises(Refused) as refused:
        operations.compute_day(request)
    (problem,) = refused.value.problems
    assert (problem.source, problem.column) == (f"{role}.csv", "as_of")
    assert problem.rule == {"positions": "P7", "volumes": "S8"}[role]
    assert problem.message == f"{role} must be of the business date {DATE}, got those of '{text}'"


def test_a_source_that_does_not_say_is_of_any_date() -> None:
    received = volumes_of_asks(exchange_asks(ASKS))

    assert not as_of_problems(received.sources, received.locator, DATE)
