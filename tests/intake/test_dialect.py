"""Tables as spreadsheets save them: each is refused with the one sentence that names its cause.

Where a mapping can state the cause, the sentence says so, and the same file is read with it.
"""

from __future__ import annotations

import codecs
from pathlib import Path

import pytest

from lottery.day.assigned_pools import assigned_pools
from lottery.errors import Refused
from lottery.intake import files
from lottery.intake.columns import NOTICE_COLUMNS
from lottery.intake.mapping import PLAIN, read_mappings
from lottery.intake.positions import ReceivedPositions
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
MAPPED = "or state it in a mapping, --columns"
NAMES = 'names = { series = "Symbol", account = "Acct No", short_quantity = "Qty" }'


def table(*rows: str, header: str = HEADER, end: str = "\n") -> bytes:
    return "".join(line + end for line in (header, *rows)).encode()


def read_positions(content: bytes, path: Path, mapping: str | None = None) -> ReceivedPositions:
    """Read a file of positions, with a mapping that says these things of it."""
    path.write_bytes(content)
    toml = path.with_suffix(".toml")
    toml.write_text(f"[positions]\n{mapping or ''}", encoding="utf-8")
    mappings = read_mappings(toml)
    assert not mappings.problems
    assigned = assigned_pools(notices_table([NOTICE]))
    return files.read_positions(
        path,
        assigned,
        JPMS_2024_09_06.account_order,
        mapping=PLAIN if mapping is None else mappings.of_role["positions"],
    )


def problem_of(content: bytes, path: Path, mapping: str | None = None) -> str | None:
    """Return what is said of a file of positions, without its name; None if it is read."""
    read = read_positions(content, path, mapping)
    if not read.problems:
        return None
    with pytest.raises(Refused) as refused:
        read.problems.refuse_if_any()
    return str(refused.value).removeprefix(path.name)


@pytest.mark.parametrize(
    ("content", "said", "mapping", "shorts"),
    [
        pytest.param(
            table(ROW, OTHER).replace(b",", b";"),
            "expected values separated by commas, got semicolons",
            "delimiter = ';'",
            {"1001": 5, "1002": 7},
            id="semicolons",
        ),
        pytest.param(
            table(ROW, OTHER).replace(b",", b"\t"),
            "expected values separated by commas, got tabs",
            'delimiter = "\\t"',
            {"1001": 5, "1002": 7},
            id="tabs",
        ),
        pytest.param(
            table(ROW, OTHER).replace(b",", b"|"),
            "expected values separated by commas, got vertical bars",
            "delimiter = '|'",
            {"1001": 5, "1002": 7},
            id="vertical bars",
        ),
        pytest.param(
            codecs.BOM_UTF16_LE + table(ROW).decode().encode("utf-16-le"),
            UTF_16,
            "encoding = 'utf-16'",
            {"1001": 5},
            id="UTF-16",
        ),
        pytest.param(
            codecs.BOM_UTF16_BE + table(ROW).decode().encode("utf-16-be"),
            UTF_16,
            "encoding = 'utf-16'",
            {"1001": 5},
            id="UTF-16, the high byte first",
        ),
        pytest.param(
            table(ROW).decode().encode("utf-16-le"),
            UTF_16,
            "encoding = 'utf-16-le'",
            {"1001": 5},
            id="UTF-16 without a mark",
        ),
        pytest.param(
            table(f"{ROW},Søren", header=HEADER + ",näme").decode().encode("latin-1"),
            "expected CSV in UTF-8, got an invalid byte at offset 31 of the header",
            "encoding = 'iso-8859-1'\nomit = ['näme']",
            {"1001": 5},
            id="Latin-1",
        ),
        pytest.param(
            f"{ROW}\n{OTHER}\n".encode(),
            f"expected column names ({COLUMNS}) in the first line, got values: '{ROW}'",
            "names = { series = 1, account = 2, short_quantity = 3 }",
            {"1001": 5, "1002": 7},
            id="no header",
        ),
        pytest.param(
            table(ROW, header="Series,Account,Short_Quantity"),
            f"expected column names in small letters and without blanks ({COLUMNS}), got 'Series', "
            "'Account', 'Short_Quantity'",
            "names = { series = 'Series', account = 'Account', short_quantity = 'Short_Quantity' }",
            {"1001": 5},
            id="capitals",
        ),
        pytest.param(
            table(ROW, header="SERIES,ACCOUNT,SHORT QUANTITY"),
            f"expected column names in small letters and without blanks ({COLUMNS}), got 'SERIES', "
            "'ACCOUNT', 'SHORT QUANTITY'",
            "names = { series = 'SERIES', account = 'ACCOUNT', short_quantity = 'SHORT QUANTITY' }",
            {"1001": 5},
            id="capitals and a blank",
        ),
        pytest.param(
            table(ROW, header="series, account, short_quantity"),
            f"expected column names in small letters and without blanks ({COLUMNS}), got "
            "' account', ' short_quantity'",
            "strip = true",
            {"1001": 5},
            id="blanks around names",
        ),
        pytest.param(
            b"sep=,\n" + table(ROW),
            "expected the column names in the first line, got 'sep=,'; remove that line",
            "skip_lines = 1",
            {"1001": 5},
            id="a line that names the separator",
        ),
        pytest.param(
            b"Positions\n\n" + table(ROW),
            "expected the column names in the first line, got them in line 3; remove the lines "
            "before it",
            "skip_lines = 2",
            {"1001": 5},
            id="a title",
        ),
        pytest.param(
            table(ROW + ",", header=HEADER + ","),
            "expected a name for each column, got a comma at the end of the header; remove it from "
            "every line",
            "omit = ['']",
            {"1001": 5},
            id="commas at the ends",
        ),
        pytest.param(
            table(f"{SERIES}, 1001,5"),
            f"row 1 (line 2), {AN_ACCOUNT}, without blanks around it, got ' 1001' [R2]",
            "strip = true",
            {"1001": 5},
            id="blanks around values",
        ),
        pytest.param(
            table(f"{SERIES},1001,5 "),
            f"row 1 (line 2), {A_QUANTITY}, without blanks around it, got '5 ' [P2]",
            "strip = true",
            {"1001": 5},
            id="a blank after a value",
        ),
        pytest.param(
            table(f"{SERIES},1.23457E+09,5"),
            f"row 1 (line 2), {AN_ACCOUNT}, not rounded by a spreadsheet (make its column text), "
            "got '1.23457E+09' [R2]",
            None,
            {},
            id="an account that was rounded",
        ),
        pytest.param(
            table(f"{SERIES},12A34,5"),
            f"row 1 (line 2), {AN_ACCOUNT}, without letters unless the charter has "
            "account_order=code-point, got '12A34' [R2]",
            None,
            {},
            id="letters in an account",
        ),
        pytest.param(
            table(f"{SERIES},'1001,5"),
            f"row 1 (line 2), {AN_ACCOUNT}, without a spreadsheet's sign of text, "
            'got "\'1001" [R2]',
            None,
            {},
            id="a mark of text",
        ),
        pytest.param(
            table(f'{SERIES},1001,"1,005"'),
            f"row 1 (line 2), {A_QUANTITY}, without thousands separators, got '1,005' [P2]",
            "thousands = ','",
            {"1001": 1005},
            id="thousands by commas",
        ),
        pytest.param(
            table(f"{SERIES},1001,1.234.005"),
            f"row 1 (line 2), {A_QUANTITY}, without thousands separators, got '1.234.005' [P2]",
            "thousands = '.'",
            {"1001": 1234005},
            id="thousands by points",
        ),
        pytest.param(
            table(f"{SERIES},1001,1'005"),
            f'row 1 (line 2), {A_QUANTITY}, without thousands separators, got "1\'005" [P2]',
            'thousands = "\'"',
            {"1001": 1005},
            id="thousands by apostrophes",
        ),
        pytest.param(
            table(f"{SERIES},1001,5.00"),
            f"row 1 (line 2), {A_QUANTITY}, without decimals, got '5.00' [P2]",
            "decimals = '.00'",
            {"1001": 5},
            id="decimals",
        ),
        pytest.param(
            table(f"{SERIES},1001,(5)"),
            f"row 1 (line 2), {A_QUANTITY}, not negative, got '(5)' [P2]",
            "sign = 'negative'",
            {"1001": 5},
            id="shorts in brackets",
        ),
        pytest.param(
            table(f"{SERIES},1001,5-"),
            f"row 1 (line 2), {A_QUANTITY}, not negative, got '5-' [P2]",
            "sign = 'negative'",
            {"1001": 5},
            id="a minus at the end",
        ),
        pytest.param(
            table("AAPL 240920C00220000,1001,5"),
            f"row 1 (line 2), {AN_OSI_SYMBOL}, with blanks that fill the root to 6 characters or "
            "with none, got 'AAPL 240920C00220000'",
            None,
            {},
            id="blanks that were closed up",
        ),
        pytest.param(
            table("AAPL\u00a0\u00a0240920C00220000,1001,5"),
            f"row 1 (line 2), {AN_OSI_SYMBOL}, without no-break spaces, got "
            "'AAPL\\xa0\\xa0240920C00220000'",
            None,
            {},
            id="no-break spaces",
        ),
        pytest.param(
            table(ROW, "Total,,5"),
            f"row 2 (line 3), {AN_OSI_SYMBOL}, got 'Total'",
            None,
            {},
            id="a line of totals",
        ),
        pytest.param(
            table(*[f"{SERIES},{account},-{account}" for account in range(1, 8)]),
            f"7 rows (1, 2, 3, 4, 5 and 2 more), {A_QUANTITY}, not negative, got '-1' in the first "
            "[P2]",
            "sign = 'negative'",
            {"1": 1, "2": 2, "3": 3, "4": 4, "5": 5, "6": 6, "7": 7},
            id="negative shorts",
        ),
        pytest.param(
            table(f"{SERIES},1001,-1.005"),
            f"row 1 (line 2), {A_QUANTITY}, not negative, got '-1.005' [P2]",
            "sign = 'negative'\nthousands = '.'\ndecimals = ',00'",
            {"1001": 1005},
            id="negative, with thousands",
        ),
    ],
)
def test_a_refusal_names_the_cause_and_a_mapping_reads_what_can_be_read(
    content: bytes, said: str, mapping: str | None, shorts: dict[str, int], tmp_path: Path
) -> None:
    path = tmp_path / "positions.csv"
    separator = ": " if said.startswith("expected") else ", "
    if mapping is not None:
        said = (
            f"{said}; {MAPPED}" if separator == ": " else said.replace(", got", f" ({MAPPED}), got")
        )
    assert problem_of(content, path) == separator + said
    if mapping is not None:
        read = read_positions(content, path, mapping)
        rows = read.table().select(["account", "short_quantity"]).to_pylist()
        assert not read.problems
        assert {row["account"]: row["short_quantity"] for row in rows} == shorts


def test_each_cause_has_a_line_of_its_own(tmp_path: Path) -> None:
    rows = [f"{SERIES},1001,-5", f"{SERIES},1002,5.0", f"{SERIES},1003,-7"]
    assert problem_of(table(*rows), tmp_path / "positions.csv") == (
        f", 2 rows (1, 3), {A_QUANTITY}, not negative ({MAPPED}), got '-5' in the first [P2]\n"
        f"positions.csv, row 2 (line 3), {A_QUANTITY}, without decimals ({MAPPED}), got '5.0' [P2]"
    )


@pytest.mark.parametrize(
    "quantity", ["5", "5.0", "+5", "-5-", "(-5)", "--5", "1,00", "-1,0005", "-5.5"]
)
def test_what_does_not_have_the_form_that_the_mapping_states_is_refused(
    quantity: str, tmp_path: Path
) -> None:
    """A positive quantity is a long one where shorts are negative."""
    content = table(f"{SERIES},1001,-1", f'{SERIES},1002,"{quantity}"', f"{SERIES},1003,0")
    mapping = "sign = 'negative'\nthousands = ','\ndecimals = '.0'"
    said = problem_of(content, tmp_path / "positions.csv", mapping)
    assert said is not None
    assert said.startswith(f", row 2 (line 3), {A_QUANTITY}")


def test_a_positive_quantity_where_shorts_are_negative_is_named(tmp_path: Path) -> None:
    said = problem_of(table(f"{SERIES},1001,5"), tmp_path / "positions.csv", "sign = 'negative'")
    assert said == (
        f", row 1 (line 2), {A_QUANTITY}, without a plus, which a mapping gives to what must be "
        "negative, got '+5' [P2]"
    )


def test_rows_and_lines_of_a_mapped_file_are_those_of_the_file(tmp_path: Path) -> None:
    rows = f"Report;;\r\n{SERIES};1001;-5\r\n{SERIES};1002\r\n{SERIES};1003;x\r\n"
    mapping = (
        "delimiter = ';'\nencoding = 'utf-16'\nskip_lines = 1\nsign = 'negative'\n"
        "names = { series = 1, account = 2, short_quantity = 3 }"
    )
    said = problem_of(rows.encode("utf-16"), tmp_path / "positions.csv", mapping)
    assert said == (
        ", row 2 (line 3): row must have a value for each of 3 columns, got 2 values: "
        f"'{SERIES};1002'\npositions.csv, row 3 (line 4), {A_QUANTITY}, got 'x' [P2]"
    )


def test_every_column_that_the_mapping_names_and_the_file_does_not_have_is_named(
    tmp_path: Path,
) -> None:
    content = table(f"{SERIES},1001,5,x", header="Symbol,Account,quantity,Desk")
    said = problem_of(content, tmp_path / "positions.csv", f"{NAMES}\nomit = ['Trader']")
    assert said is not None
    assert [line.partition(": ")[2] for line in said.splitlines()] == [
        "column 'Acct No', which the mapping reads as account, is missing",
        "column 'Qty', which the mapping reads as short_quantity, is missing",
        "column 'Trader', which the mapping leaves out, is missing",
        *(
            f"column must be one of {COLUMNS}, got '{name}'; {MAPPED}"
            for name in ("Account", "quantity", "Desk")
        ),
    ]


def test_quotes_and_a_semicolon_within_them_are_read(tmp_path: Path) -> None:
    content = f'"Symbol";"Acct No";Qty;Desk\n"{SERIES}";1001;"1 005";"a;b"\n'.encode()
    read = read_positions(
        content,
        tmp_path / "positions.csv",
        f"delimiter = ';'\nthousands = ' '\nomit = ['Desk']\n{NAMES}",
    )
    assert not read.problems
    assert read.table().column("short_quantity").to_pylist() == [1005]


@pytest.mark.parametrize("account", ["1.23457E+09", "12A34", "1001.0", "1,001"])
def test_no_mapping_makes_an_account_of_something_else(account: str, tmp_path: Path) -> None:
    mapping = "sign = 'negative'\nthousands = ','\ndecimals = '.0'\nstrip = true"
    content = table(f'{SERIES},"{account}",-5')
    said = problem_of(content, tmp_path / "positions.csv", mapping)
    assert said is not None
    assert said.startswith(f", row 1 (line 2), {AN_ACCOUNT}")


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("blank", [0, 1, 3])
def test_line_ends_and_empty_lines_at_the_end_say_nothing(
    end: str, blank: int, tmp_path: Path
) -> None:
    content = codecs.BOM_UTF8 + table(ROW, OTHER, end=end) + end.encode() * blank
    assert problem_of(content, tmp_path / "positions.csv") is None


def test_an_empty_line_between_rows_is_refused(tmp_path: Path) -> None:
    said = problem_of(table(ROW, "", OTHER), tmp_path / "positions.csv")
    expected = "row must have a value for each of 3 columns, got an empty line: ''"
    assert said == f", row 2 (line 3): {expected}"


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
        f"expected values separated by commas, got semicolons; {MAPPED}"
    ]
