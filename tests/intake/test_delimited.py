"""CSV files: what is read, what is refused, and where it says that the trouble is."""

from __future__ import annotations

from pathlib import Path

import pytest

from lottery.errors import PROBLEM_LIMIT
from lottery.intake import files
from tests.builders import (
    AAPL,
    FULL,
    META,
    NOTICE_NAMES,
    POSITION_NAMES,
    PUBLISHED,
    csv_text,
    refusal,
    request_of_files,
    write_files,
)
from tests.intake.conftest import ReadAll, locations, read_all, rows, texts

HEADER = "series,account,short_quantity\n"
GOOD = f"{AAPL},1046,30\n"
ONE = [{"series": AAPL, "account": "1046", "short_quantity": 30, "occ_account": ""}]


def test_columns_may_stand_in_any_order(read_positions: ReadAll) -> None:
    there, _ = read_positions(csv_text(FULL.positions, POSITION_NAMES))
    back, problems = read_positions(csv_text(FULL.positions, POSITION_NAMES[::-1]))

    assert not problems
    assert back.table().equals(there.table())
    assert rows(back) == FULL.positions


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(HEADER + GOOD, id="plain"),
        pytest.param(HEADER + GOOD.rstrip("\n"), id="no final newline"),
        pytest.param((HEADER + GOOD).replace("\n", "\r\n"), id="CRLF"),
        pytest.param((HEADER + GOOD).replace("\n", "\r"), id="CR"),
        pytest.param("\ufeff" + HEADER + GOOD, id="byte order mark"),
        pytest.param(f'{HEADER}"{AAPL}","1046","30"\n', id="quoted"),
        pytest.param(f'"series","account","short_quantity"\n{GOOD}', id="quoted header"),
        pytest.param(f"{HEADER}AAPL240920C00220000,1046,30\n", id="compact symbol"),
        pytest.param(f"series,account,short_quantity,occ_account\n{AAPL},1046,30,\n", id="no OCC"),
    ],
)
def test_what_rfc_4180_allows_is_read(read_positions: ReadAll, content: str) -> None:
    received, problems = read_positions(content)

    assert texts(problems) == ""
    assert rows(received) == ONE


def test_the_digest_is_of_the_very_bytes_and_notices_are_kept_whole(tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    content = csv_text(FULL.notices, NOTICE_NAMES).replace("\n", "\r\n").encode()
    path.write_bytes(content)

    received = files.read_notices(path)

    assert received.sources[0].content == (content,)
    assert (received.sources[0].name, received.sources[0].kept_as) == ("mine.csv", "notices.csv")


def test_positions_are_not_kept_because_the_evidence_has_those_that_matter(
    read_positions: ReadAll,
) -> None:
    received, _ = read_positions(HEADER + GOOD)

    assert received.sources[0].content is None
    assert received.sources[0].size == len(HEADER + GOOD)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        pytest.param("", "the file is empty", id="empty"),
        pytest.param("\ufeff", "the file is empty", id="byte order mark alone"),
        pytest.param(HEADER, "expected at least one row, got none", id="header alone"),
        pytest.param(
            HEADER.rstrip("\n"),
            "expected at least one row, got none",
            id="header without its newline",
        ),
        pytest.param(b"PAR1\x15\x04", "expected CSV, got Parquet", id="Parquet"),
        pytest.param(b"ARROW1\0\0", "expected CSV, got Arrow", id="Arrow file"),
        pytest.param(b"\xff\xff\xff\xff\x10", "expected CSV, got Arrow", id="Arrow stream"),
        pytest.param(b"\x1f\x8b\x08\x00", "expected CSV, got gzip", id="gzip"),
        pytest.param(b"PK\x03\x04\x14", "a zip archive or a workbook", id="zip"),
        pytest.param(b"  <FIXML/>", "expected CSV, got XML", id="XML"),
        pytest.param((HEADER + GOOD).encode("utf-16"), "got UTF-16", id="UTF-16"),
        pytest.param(
            b"s\xe9rie,account\n",
            "got an invalid byte at offset 1 of the header",
            id="Latin-1 header",
        ),
        pytest.param('"series,account\n', "the header is malformed", id="open quote in header"),
        pytest.param(HEADER + f"{AAPL},10\0,3\n", "binary data", id="NUL"),
        pytest.param(HEADER.upper() + GOOD, "got 'SERIES'", id="upper case"),
        pytest.param(
            "series,account,short_quantity,qty\n" + f"{AAPL},1,2,3\n",
            "column must be one of series, account, short_quantity, occ_account, as_of, got 'qty'",
            id="unknown column",
        ),
        pytest.param(f"series,account\n{AAPL},1\n", "short_quantity is missing", id="missing"),
        pytest.param(
            f"series,account,account,short_quantity\n{AAPL},1,1,3\n",
            "column account must appear once, got it 2 times",
            id="doubled column",
        ),
        pytest.param("\n" + HEADER + GOOD, "got them in line 2", id="blank first line"),
    ],
)
def test_a_file_that_is_no_table_of_positions_is_refused(
    read_positions: ReadAll, content: str | bytes, told: str
) -> None:
    _, problems = read_positions(content)

    assert told in texts(problems)


def test_every_wrong_column_of_a_header_is_named(read_positions: ReadAll) -> None:
    _, problems = read_positions("series,series,who,size\n")

    assert locations(problems) == [
        (None, "account"),
        (None, "series"),
        (None, "short_quantity"),
        (None, "size"),
        (None, "who"),
    ]


@pytest.mark.parametrize(
    ("line", "told"),
    [
        pytest.param(
            f"{AAPL},1047",
            "row must have a value for each of 3 columns, got 2 values",
            id="too few",
        ),
        pytest.param(
            f"{AAPL},1047,1,2",
            "row must have a value for each of 3 columns, got 4 values",
            id="too many",
        ),
        pytest.param(
            f'{AAPL},10"47,1',
            "row must have quotes around whole values only, and every quote closed",
            id="stray quote",
        ),
    ],
)
def test_a_malformed_row_is_named_and_the_rows_behind_it_are_still_checked(
    read_positions: ReadAll, line: str, told: str
) -> None:
    _, problems = read_positions(f"{HEADER}{GOOD}{line}\n{AAPL},1048,-5\n{AAPL},1049,x\n")

    assert locations(problems) == [(2, None), (3, "short_quantity"), (4, "short_quantity")]
    assert told in texts(problems)
    assert "positions.csv, row 2 (line 3): " in texts(problems)
    assert (
        "positions.csv, row 3 (line 4), short_quantity: short quantity must be "
        "a whole number of at least 0, not negative (or state it in a mapping, --columns), got '-5'"
        in texts(problems)
    )


def test_a_blank_line_is_refused_with_its_line(read_positions: ReadAll) -> None:
    _, problems = read_positions(f"{HEADER}{GOOD}\n{AAPL},1047,30\n")

    assert {problem.row for problem in problems} == {2}
    assert {problem.line for problem in problems} == {3}


def test_a_nul_byte_behind_the_first_64_kilobytes_is_refused_with_its_row(
    read_positions: ReadAll,
) -> None:
    lines = "".join(f"{AAPL},{number},1\n" for number in range(5_000))

    _, problems = read_positions(f"{HEADER}{lines}{AAPL},7777777,1\0\n")

    assert {problem.row for problem in problems} == {5_001}


def test_a_nul_byte_in_a_file_read_line_by_line_is_refused_with_its_row(
    read_positions: ReadAll,
) -> None:
    lines = "".join(f"{AAPL},{number},1\n" for number in range(5_000))

    _, problems = read_positions(f"{HEADER}{lines}{AAPL},7777777,1\0\n{AAPL}\n")

    assert locations(problems) == [(5_001, None), (5_002, None)]
    assert "row must not contain a NUL byte" in texts(problems)


def test_bytes_that_are_no_utf_8_are_refused_with_their_row(read_positions: ReadAll) -> None:
    content = f"{HEADER}{GOOD}".encode() + b"AAPL  240920C0022\xff000,1047,30\n"

    _, problems = read_positions(content)

    assert locations(problems) == [(2, "series")]


def test_an_empty_line_in_a_file_read_line_by_line_is_refused_as_one(
    read_positions: ReadAll,
) -> None:
    _, problems = read_positions(f"{HEADER}{AAPL}\n\n{GOOD}")

    assert locations(problems) == [(1, None), (2, None)]
    assert "got an empty line" in texts(problems)


def test_the_rows_of_a_large_file_with_an_empty_line_keep_their_numbers(
    read_positions: ReadAll,
) -> None:
    lines = "".join(f"{AAPL},{number},1\n" for number in range(70_000))

    received, problems = read_positions(f"{HEADER}\n{lines}{AAPL},x,1\n")

    assert locations(problems) == [(1, None), (70_002, "account")]
    assert received.row_count == 70_001


def test_a_file_of_malformed_rows_alone_lists_each_of_them(read_positions: ReadAll) -> None:
    _, problems = read_positions(f"{HEADER}{AAPL}\n{AAPL}\n")

    assert [place for place in locations(problems) if place[0]] == [(1, None), (2, None)]


def test_a_value_of_many_kilobytes_is_refused_with_its_row_and_shown_short(
    read_positions: ReadAll,
) -> None:
    _, problems = read_positions(f"{HEADER}{GOOD}{AAPL},1047,{'x' * 300_000}\n")

    assert locations(problems) == [(2, "short_quantity")]
    assert len(texts(problems)) < 400


def test_a_value_of_many_kilobytes_in_a_file_read_line_by_line_is_refused_with_its_row(
    read_positions: ReadAll,
) -> None:
    _, problems = read_positions(f"{HEADER}{AAPL}\n{AAPL},1047,{'x' * 300_000}\n")

    assert {problem.row for problem in problems} == {1, 2}
    assert len(texts(problems)) < 1_000


@pytest.mark.parametrize(
    "tail",
    [
        pytest.param(f'{AAPL},1047,"30', id="at the end of the file"),
        pytest.param(f'{AAPL},1047,"30\n', id="at the end of the last line"),
    ],
)
def test_a_quote_that_is_never_closed_is_refused_because_the_value_may_be_cut_short(
    read_positions: ReadAll, tail: str
) -> None:
    _, problems = read_positions(f"{HEADER}{GOOD}{tail}")

    assert {problem.row for problem in problems} == {2}


def test_an_open_quote_does_not_swallow_rows_or_shift_the_numbers_of_those_behind_it(
    read_positions: ReadAll,
) -> None:
    _, problems = read_positions(f'{HEADER}{AAPL},"1,2\n{AAPL},2,3\n{AAPL},"3",3\n{AAPL},4,x\n')

    assert {problem.row for problem in problems} == {1, 4}


@pytest.mark.parametrize("account", ['""1047', '"10"47', '1047"'])
def test_a_quote_beside_a_value_is_refused(read_positions: ReadAll, account: str) -> None:
    _, problems = read_positions(f"{HEADER}{GOOD}{AAPL},{account},30\n")

    assert locations(problems) == [(2, None)]
    assert "row must have quotes around whole values only" in texts(problems)


def test_a_doubled_account_behind_malformed_rows_is_named_with_both_rows(tmp_path: Path) -> None:
    paths = write_files(PUBLISHED, tmp_path / "day")
    paths["positions"].write_text(f"{HEADER}{AAPL}\n{AAPL}\n{AAPL},1046,30\n{AAPL},1046,3\n")

    refused = refusal(request_of_files(paths))

    assert [problem.row for problem in refused.problems] == [1, 2, 4]
    assert "account 1046 appears twice in this pool; it is also on row 3" in str(refused)


def test_problems_are_listed_up_to_the_limit_and_counted_past_it(
    read_positions: ReadAll,
) -> None:
    wrong = 3 * PROBLEM_LIMIT
    lines = "".join(f"{META},{number},-1\n" for number in range(wrong))

    _, problems = read_positions(HEADER + GOOD + lines)

    assert locations(problems) == [(row, "short_quantity") for row in range(2, PROBLEM_LIMIT + 2)]
    assert problems.total == wrong


def test_after_a_hundred_malformed_rows_no_further_row_is_read(read_positions: ReadAll) -> None:
    _, problems = read_positions(HEADER + GOOD + f"{META}\n" * (PROBLEM_LIMIT + 7))

    assert len(problems.listed) == PROBLEM_LIMIT
    assert problems.total == PROBLEM_LIMIT + 1
    assert problems.listed[0].message == (
        "expected no problems, got 100 or more; nothing is looked for after row 101"
    )


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("positions.txt", "positions must be a .csv or .parquet file, got '.txt'"),
        ("positions", "positions must be a .csv or .parquet file, got no suffix"),
        ("gone.csv", "no such file"),
        ("folder.csv", "the path is not a file"),
    ],
)
def test_a_place_that_is_no_file_to_read_is_refused(tmp_path: Path, name: str, told: str) -> None:
    (tmp_path / "positions.txt").write_text(HEADER)
    (tmp_path / "positions").write_text(HEADER)
    (tmp_path / "folder.csv").mkdir()

    received = read_all(tmp_path / name)

    assert told in texts(received.problems)


def test_a_suffix_may_be_in_capitals(tmp_path: Path) -> None:
    path = tmp_path / "POSITIONS.CSV"
    path.write_text(HEADER + GOOD)

    received = read_all(path)

    assert rows(received) == ONE
