"""Tables as spreadsheets save them: each is refused with the one sentence that names its cause."""

from __future__ import annotations

import codecs
from pathlib import Path

import pytest

from lottery.day.assigned_pools import assigned_pools
from lottery.errors import Refused
from lottery.intake import files
from lottery.intake.columns import NOTICE_COLUMNS
from lottery.method.methodology import JPMS_2024_09_06, AccountOrder
from tests.builders import notices_table
from tests.reference import Row

SERIES = "AAPL  240920C00220000"
HEADER = "series,account,short_quantity"
ROW = f"{SERIES},1001,5"
OTHER = f"{SERIES},1002,7"
NOTICE: Row = {"notice_id": "1", "series": SERIES, "quantity": 1}
COLUMNS = "series, account, short_quantity, occ_account, as_of"
AN_ACCOUNT = "account: expected an account number of 1 to 30 digits"
A_QUANTITY = "short_quantity: short quantity must be a whole number of at least 0"
AN_OSI_SYMBOL = (
    "series: expected an OSI symbol such as 'AAPL  240920C00220000' (a root of up to 6, YYMMDD, C "
    "or P, the strike times 1000 in 8 digits)"
)
UTF_16 = "expected CSV in UTF-8, got UTF-16; save the file as CSV UTF-8"


def table(*rows: str, header: str = HEADER, end: str = "\n") -> bytes:
    return "".join(line + end for line in (header, *rows)).encode()


def problem_of(content: bytes, path: Path) -> str | None:
    """Return what is said of a file of positions, without its name; None if it is read."""
    path.write_bytes(content)
    assigned = assigned_pools(notices_table([NOTICE]))
    read = files.read_positions(path, assigned, JPMS_2024_09_06.account_order)
    if not read.problems:
        return None
    with pytest.raises(Refused) as refused:
        read.problems.refuse_if_any()
    return str(refused.value).removeprefix(path.name)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        pytest.param(
            table(ROW, OTHER).replace(b",", b";"),
            "expected values separated by commas, got semicolons",
            id="semicolons",
        ),
        pytest.param(
            table(ROW, OTHER).replace(b",", b"\t"),
            "expected values separated by commas, got tabs",
            id="tabs",
        ),
        pytest.param(
            table(ROW, OTHER).replace(b",", b"|"),
            "expected values separated by commas, got vertical bars",
            id="vertical bars",
        ),
        pytest.param(
            codecs.BOM_UTF16_LE + table(ROW).decode().encode("utf-16-le"), UTF_16, id="UTF-16"
        ),
        pytest.param(
            codecs.BOM_UTF16_BE + table(ROW).decode().encode("utf-16-be"),
            UTF_16,
            id="UTF-16, the high byte first",
        ),
        pytest.param(table(ROW).decode().encode("utf-16-le"), UTF_16, id="UTF-16 without a mark"),
        pytest.param(
            table(f"{ROW},Søren", header=HEADER + ",näme").decode().encode("latin-1"),
            "expected CSV in UTF-8, got an invalid byte at offset 31 of the header",
            id="Latin-1",
        ),
        pytest.param(
            f"{ROW}\n{OTHER}\n".encode(),
            f"expected column names ({COLUMNS}) in the first line, got values: '{ROW}'",
            id="no header",
        ),
        pytest.param(
            table(ROW, header="Series,Account,Short_Quantity"),
            f"expected column names in small letters and without blanks ({COLUMNS}), got 'Series', "
            "'Account', 'Short_Quantity'",
            id="capitals",
        ),
        pytest.param(
            table(ROW, header="SERIES,ACCOUNT,SHORT QUANTITY"),
            f"expected column names in small letters and without blanks ({COLUMNS}), got 'SERIES', "
            "'ACCOUNT', 'SHORT QUANTITY'",
            id="capitals and a blank",
        ),
        pytest.param(
            table(ROW, header="series, account, short_quantity"),
            f"expected column names in small letters and without blanks ({COLUMNS}), got "
            "' account', ' short_quantity'",
            id="blanks around names",
        ),
        pytest.param(
            b"sep=,\n" + table(ROW),
            "expected the column names in the first line, got 'sep=,'; remove that line",
            id="a line that names the separator",
        ),
        pytest.param(
            b"Positions\n\n" + table(ROW),
            "expected the column names in the first line, got them in line 3; remove the lines "
            "before it",
            id="a title",
        ),
        pytest.param(
            table(ROW + ",", header=HEADER + ","),
            "expected a name for each column, got a comma at the end of the header; remove it from "
            "every line",
            id="commas at the ends",
        ),
        pytest.param(
            table(f"{SERIES}, 1001,5"),
            f"row 1 (line 2), {AN_ACCOUNT}, without blanks around it, got ' 1001' [R2]",
            id="blanks around values",
        ),
        pytest.param(
            table(f"{SERIES},1001,5 "),
            f"row 1 (line 2), {A_QUANTITY}, without blanks around it, got '5 ' [P2]",
            id="a blank after a value",
        ),
        pytest.param(
            table(f"{SERIES},1.23457E+09,5"),
            f"row 1 (line 2), {AN_ACCOUNT}, not rounded by a spreadsheet (make its column text), "
            "got '1.23457E+09' [R2]",
            id="an account that was rounded",
        ),
        pytest.param(
            table(f"{SERIES},12A34,5"),
            f"row 1 (line 2), {AN_ACCOUNT}, without letters unless the charter has "
            "account_order=code-point, got '12A34' [R2]",
            id="letters in an account",
        ),
        pytest.param(
            table(f"{SERIES},'1001,5"),
            f"row 1 (line 2), {AN_ACCOUNT}, without a spreadsheet's sign of text, "
            'got "\'1001" [R2]',
            id="a mark of text",
        ),
        pytest.param(
            table(f'{SERIES},1001,"1,005"'),
            f"row 1 (line 2), {A_QUANTITY}, without thousands separators, got '1,005' [P2]",
            id="thousands by commas",
        ),
        pytest.param(
            table(f"{SERIES},1001,1.234.005"),
            f"row 1 (line 2), {A_QUANTITY}, without thousands separators, got '1.234.005' [P2]",
            id="thousands by points",
        ),
        pytest.param(
            table(f"{SERIES},1001,1'005"),
            f'row 1 (line 2), {A_QUANTITY}, without thousands separators, got "1\'005" [P2]',
            id="thousands by apostrophes",
        ),
        pytest.param(
            table(f"{SERIES},1001,5.00"),
            f"row 1 (line 2), {A_QUANTITY}, without decimals, got '5.00' [P2]",
            id="decimals",
        ),
        pytest.param(
            table(f"{SERIES},1001,(5)"),
            f"row 1 (line 2), {A_QUANTITY}, not negative, got '(5)' [P2]",
            id="shorts in brackets",
        ),
        pytest.param(
            table(f"{SERIES},1001,5-"),
            f"row 1 (line 2), {A_QUANTITY}, not negative, got '5-' [P2]",
            id="a minus at the end",
        ),
        pytest.param(
            table("AAPL 240920C00220000,1001,5"),
            f"row 1 (line 2), {AN_OSI_SYMBOL}, with blanks that fill the root to 6 characters or "
            "with none, got 'AAPL 240920C00220000'",
            id="blanks that were closed up",
        ),
        pytest.param(
            table("AAPL\u00a0\u00a0240920C00220000,1001,5"),
            f"row 1 (line 2), {AN_OSI_SYMBOL}, without no-break spaces, got "
            "'AAPL\\xa0\\xa0240920C00220000'",
            id="no-break spaces",
        ),
        pytest.param(
            table(ROW, "Total,,5"),
            f"row 2 (line 3), {AN_OSI_SYMBOL}, got 'Total'",
            id="a line of totals",
        ),
        pytest.param(
            table(*[f"{SERIES},{account},-{account}" for account in range(1, 8)]),
            f"7 rows (1, 2, 3, 4, 5 and 2 more), {A_QUANTITY}, not negative, got '-1' in the first "
            "[P2]",
            id="negative shorts",
        ),
        pytest.param(
            table(f"{SERIES},1001,-5", f"{SERIES},1002,5.0", f"{SERIES},1003,-7"),
            f"2 rows (1, 3), {A_QUANTITY}, not negative, got '-5' in the first [P2]\n"
            f"positions.csv, row 2 (line 3), {A_QUANTITY}, without decimals, got '5.0' [P2]",
            id="two causes",
        ),
    ],
)
def test_a_refusal_names_the_cause(content: bytes, said: str, tmp_path: Path) -> None:
    separator = ": " if said.startswith("expected") else ", "
    assert problem_of(content, tmp_path / "positions.csv") == separator + said


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("blank", [0, 1, 3])
def test_line_ends_and_empty_lines_at_the_end_say_nothing(
    end: str, blank: int, tmp_path: Path
) -> None:
    content = codecs.BOM_UTF8 + table(ROW, OTHER, end=end) + end.encode() * blank
    assert problem_of(content, tmp_path / "positions.csv") is None


def test_an_empty_line_between_rows_is_refused(tmp_path: Path) -> None:
    said = problem_of(table(ROW, "", OTHER), tmp_path / "positions.csv")
    assert said == f", row 2 (line 3), {AN_OSI_SYMBOL}, got ''"


def test_letters_are_no_slip_where_the_charter_allows_them(tmp_path: Path) -> None:
    path = tmp_path / "positions.csv"
    path.write_bytes(table(f"{SERIES},12A34,5", f"{SERIES},12-34,5"))
    assigned = assigned_pools(notices_table([NOTICE]))
    read = files.read_positions(path, assigned, AccountOrder.CODE_POINT)
    assert [(one.row, one.message) for one in read.problems] == [
        (2, "expected an account number of 1 to 30 digits and ASCII letters, got '12-34'")
    ]


def test_notices_are_refused_alike(tmp_path: Path) -> None:
    path = tmp_path / "notices.csv"
    path.write_text(";".join(NOTICE_COLUMNS) + f"\n1;{SERIES};1\n", encoding="utf-8")
    read = files.read_notices(path)
    assert [one.message for one in read.problems] == [
        "expected values separated by commas, got semicolons"
    ]
