"""`lottery check`: every row of files, and nothing recorded."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.calls import EXAMPLE, lottery

FILES = [EXAMPLE / "positions.csv", EXAMPLE / "notices.csv", EXAMPLE / "volumes.csv"]


def checked(tmp_path: Path, name: str, text: str) -> tuple[int, list[str]]:
    """Return the exit code and the problems of a file."""
    path = tmp_path / name
    path.write_bytes(text.encode())
    answer = lottery("check", path, "--json")
    return answer.exit_code, [problem["message"] for problem in answer.document["problems"]]


def test_the_example_has_nothing_wrong() -> None:
    answer = lottery("check", *FILES, EXAMPLE / "notices.xml", "--date", "2024-09-16")

    assert answer.exit_code == 0
    assert [line.partition(": ")[2] for line in answer.lines] == [
        "positions, 1,036 rows, 19,772 contracts; nothing is wrong",
        "notices, 24 rows, 1,843 contracts; nothing is wrong",
        "volumes, 4 rows; nothing is wrong",
        "notices, 24 rows, 1,843 contracts, clearing member 00099; nothing is wrong",
    ]


def test_nothing_is_recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    assert lottery("check", *FILES).exit_code == 0
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("TSLA240920C00200000,x1,3,C", "of 1 to 30 digits, without letters"),
        ("TSLA240920C00200000,8,-3,C", "short quantity must be a whole number of at least 0"),
        ("TSLA240920C00200000,007,3,C", "account 007 appears twice in this pool; it is 7 on row 1"),
        ("TSLA240920C00200000,7,3,C", "account 7 appears twice in this pool; it is also on row 1"),
        (f"TSLA240920C00200000,8,{2**63 - 1},C", "must add up to at most 9223372036854775807"),
        ("TSLA,7,3,F", "expected an OSI symbol such as"),
    ],
)
def test_every_row_takes_part_with_or_without_notices(
    tmp_path: Path, row: str, message: str
) -> None:
    header = "series,account,short_quantity,occ_account"
    first = "TSLA240920C00200000,7,3,C"

    code, problems = checked(tmp_path, "positions.csv", f"{header}\n{first}\n{row}\n")

    assert code == 3
    assert len(problems) == 1
    assert message in problems[0]


def test_the_problems_of_all_files_are_listed(tmp_path: Path) -> None:
    notices = tmp_path / "notices.csv"
    notices.write_text("notice_id,series,quantity\nA,AAPL240920C00220000,0\n")
    volumes = tmp_path / "volumes.csv"
    volumes.write_text("security_number,ask_price\nZ901803,1\n")

    answer = lottery("check", notices, volumes, tmp_path / "gone.csv", "--json")

    assert answer.exit_code == 3
    sources = {Path(problem["file"]).name for problem in answer.document["problems"]}
    assert sources == {"notices.csv", "volumes.csv", "gone.csv"}


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.txt", "", "expected a .csv or .parquet or .json or .xml file, got '.txt'"),
        ("a.csv", "x,y\n1,2\n", "expected exactly one of the columns notice_id (notices)"),
        ("a.csv", "notice_id,account\n1,2\n", "expected exactly one of the columns"),
        ("a.csv", "", "the file is empty"),
        ("a.parquet", "PAR1", "the file is damaged or cut short"),
        ("a.xml", "<FIXML/>", "a business date is needed to read FIXML"),
    ],
)
def test_a_file_that_holds_no_role_says_so(
    tmp_path: Path, name: str, text: str, message: str
) -> None:
    code, problems = checked(tmp_path, name, text)

    assert code == 3
    assert message in problems[0]
