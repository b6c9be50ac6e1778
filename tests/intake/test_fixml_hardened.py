"""FIXML from somebody who means harm, or that was damaged on its way."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lottery.errors import Refused
from lottery.intake.fixml import notices, parser
from tests.builders import AAPL, DATE, META
from tests.fixml import (
    assignment,
    document,
    parse_notices,
    parse_occ_positions,
    position_report,
)
from tests.intake.test_fixml import refused
from tests.intake.test_fuzz import mutated

BATCH = document(
    assignment("A1", AAPL, 10),
    assignment("A2", META, 3, "F/ABC"),
    position_report("P1", AAPL, 5),
    batch={"ID": "B", "TotMsg": 3},
)
LAUGHS = "".join(f'<!ENTITY lol{level} "{f"&lol{level - 1};" * 10}">' for level in range(1, 10))


def with_doctype(declared: str) -> str:
    return BATCH.replace("<FIXML", f"<!DOCTYPE FIXML {declared}>\n<FIXML").replace(
        "A2", "&lol9;", 1
    )


@pytest.mark.parametrize(
    "declared",
    [
        "",
        'SYSTEM "file:///etc/passwd"',
        'PUBLIC "-//OCC//FIXML" "http://127.0.0.1:9/parser.dtd"',
        "[]",
        '[<!ENTITY lol9 SYSTEM "file:///etc/passwd">]',
        '[<!ENTITY % more SYSTEM "http://127.0.0.1:9/more.dtd"> %more;]',
        f'[<!ENTITY lol0 "lol">{LAUGHS}]',
        '[<!ATTLIST Qty Typ CDATA "AS">]',
    ],
)
def test_a_document_type_is_refused_whatever_it_declares(declared: str) -> None:
    (problem,) = refused(with_doctype(declared))

    assert problem == (
        "notices.xml: expected FIXML without a document type (DTD), got one; none is read"
    )


def test_an_entity_that_nobody_declared_is_refused() -> None:
    (problem,) = refused(BATCH.replace("A2", "&lol;", 1))

    assert problem.startswith("notices.xml: after RptID A1: the XML is damaged")
    assert "Entity 'lol' not defined" in problem


@pytest.mark.parametrize("deep", [17, 300, 1_000_000])
def test_nesting_is_refused_within_the_report_that_it_stands_in(deep: int) -> None:
    report = assignment("A9", AAPL, 1, inside="<a>" * deep)

    (problem,) = refused(document(assignment("A1", AAPL, 1), report))

    assert problem == (
        "notices.xml, row 2 (line 4): RptID A9: elements must be nested at most 16 deep, got more"
    )


def test_nesting_outside_a_report_is_refused() -> None:
    (problem,) = refused(document(assignment("A1", AAPL, 1), "<a>" * 100))

    assert problem == (
        "notices.xml: after RptID A1: elements must be nested at most 16 deep, got more"
    )


@pytest.mark.parametrize(
    "long",
    [
        f'<Amt Long="{"x" * 300_000}"/>',
        f"<!-- {'x' * 300_000} -->",
        f"<Amt>{'x' * 300_000}</Amt>",
        f"<?occ {'x' * 300_000}?>",
        " " * 300_000,
        f'<Amt Long="{"x" * 11_000_000}"/>',
    ],
)
def test_what_comes_between_elements_is_limited(long: str) -> None:
    report = assignment("A9", AAPL, 1, inside=long)

    (problem,) = refused(document(assignment("A1", AAPL, 1), report))

    assert problem.startswith("notices.xml, row 2 (line 4): RptID A9: ")
    assert "bytes without an element" in problem


@pytest.mark.parametrize("cut", range(2, len(BATCH), 7))
def test_a_file_that_is_cut_short_is_refused(cut: int) -> None:
    problems = refused(BATCH[:-cut])

    assert len(problems) == 1
    assert "damaged, cut short" in problems[0] or "no XML" in problems[0] or cut > len(BATCH) - 99


def test_a_cut_within_a_report_names_it_and_one_behind_it_too() -> None:
    behind = BATCH[: BATCH.index("<AsgnRpt", BATCH.index("A1"))]
    within = BATCH[: BATCH.index("<Instrmt", BATCH.index("A2"))]

    (after,), (inside,) = refused(behind), refused(within)

    assert after.startswith("notices.xml: after RptID A1: the XML is damaged, cut short")
    assert inside.startswith("notices.xml, row 2 (line 5): RptID A2: the XML is damaged, cut short")


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "the file is empty"),
        (b"notice_id,series,quantity\n", "expected XML, got other text"),
        (gzip.compress(BATCH.encode()), "expected XML, got gzip"),
        (b"PAR1", "expected XML, got Parquet"),
        (b"<\0F\0I\0X\0M\0L\0", "expected XML, got binary data"),
        (b"<FIXML/><FIXML/>", "root must be FIXML in one of the namespaces"),
        ((BATCH + "x").encode(), "Extra content at the end of the document"),
        (b"<?xml " + b" " * 600 + b"?><FIXML/>", "XML declaration must end within 512 bytes"),
    ],
)
def test_what_is_no_fixml_is_refused(content: bytes, told: str) -> None:
    (problem,) = refused(content)

    assert told in problem


def declared(encoding: str, text: str = BATCH) -> str:
    return text.replace('encoding="UTF-8"', f'encoding="{encoding}"')


ACCENTED = BATCH.replace('SID="OCC"', 'SID="Ö"')


@pytest.mark.parametrize(
    ("encoding", "written"),
    [
        ("UTF-8", "utf-8"),
        ("utf-8", "utf-8-sig"),
        ("US-ASCII", "us-ascii"),
        ("ISO-8859-1", "latin-1"),
        ("windows-1252", "cp1252"),
        ("UTF-16", "utf-16"),
    ],
)
def test_a_file_is_read_in_the_encoding_that_it_declares(encoding: str, written: str) -> None:
    text = BATCH if written == "us-ascii" else ACCENTED

    table = parse_notices(declared(encoding, text).encode(written), DATE)

    assert table.column("notice_id").to_pylist() == ["A1", "A2"]


@pytest.mark.parametrize("written", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_file_that_declares_no_encoding_is_read_as_xml_says(written: str) -> None:
    text = ACCENTED.replace(' encoding="UTF-8"', "")

    assert parse_notices(text.encode(written), DATE).num_rows == 2


@pytest.mark.parametrize(
    ("encoding", "written", "told"),
    [
        ("UTF-8", "latin-1", "not in its encoding: Invalid bytes in character encoding"),
        ("US-ASCII", "utf-8", "not in its encoding: Invalid bytes in character encoding"),
        ("UTF-16", "utf-8", "declares the encoding 'utf-16' but begins as 8-bit text"),
        ("UTF-8", "utf-16", "declares the encoding 'utf-8' but begins as UTF-16"),
        ("UTF-8", "utf-16-le", "expected XML, got binary data"),
        ("ISO-8859-1", "utf-8-sig", "declares the encoding 'iso-8859-1' but begins as UTF-8"),
        ("UTF-7", "utf-7", "got 'utf-7'"),
        ("EBCDIC-CP-US", "utf-8", "got 'ebcdic-cp-us'"),
        ("x-none", "utf-8", "got 'x-none'"),
    ],
)
def test_a_file_in_another_encoding_than_it_declares_is_refused(
    encoding: str, written: str, told: str
) -> None:
    (problem,) = refused(declared(encoding, ACCENTED).encode(written))

    assert told in problem


def test_bytes_of_another_encoding_far_behind_are_refused_by_the_report_before_them() -> None:
    reports = [assignment(f"A{number}", AAPL, 1) for number in range(500)]
    content = document(*reports).replace("</FIXML>", "<Ö/></FIXML>").encode("latin-1")

    (problem,) = refused(content)

    assert problem.startswith("notices.xml: after RptID A499: the XML is damaged")


@pytest.mark.parametrize("size", [1, 7, 4_096])
def test_the_size_of_the_blocks_changes_nothing(size: int) -> None:
    content = BATCH.replace("A2", "&#65;2").encode()

    def blocks() -> Iterator[bytes]:
        start = max(size, 64)  # The encoding is looked at in the first block.
        yield content[:start]
        yield from (content[at : at + size] for at in range(start, len(content), size))

    read = notices.read_notices(blocks, DATE, "notices.xml")

    assert not read.problems
    assert read.table.to_pylist() == parse_notices(BATCH.encode(), DATE).to_pylist()


def test_reports_have_the_line_on_which_their_start_ends() -> None:
    text = BATCH.replace("<AsgnRpt ", "\n\n<AsgnRpt\n ")

    lines = parser.lines_of_reports(lambda: iter((text.encode(),)), "AsgnRpt")

    assert (
        lines.tolist()
        == [
            number
            for number, line in enumerate(text.splitlines(), 1)
            if "BizDt" in line and "A" in line
        ][:2]
    )


_PEAK = """
import datetime as dt, json, sys
from pathlib import Path
from lottery import operations
from lottery.intake import files

operations.warm_up()  # The compiler is no part of what the reports take.

def peak():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))

day = dt.date(2024, 9, 16)
small = files.read_notices(Path(sys.argv[1]), business_date=day)
before = peak()
large = files.read_notices(Path(sys.argv[2]), business_date=day)
rows = [small.table.num_rows, large.table.num_rows]
print(json.dumps([before, peak(), *rows, small.problems.total + large.problems.total]))
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the kernel tells no peak here")
def test_many_reports_take_a_fraction_of_their_files_memory(tmp_path: Path) -> None:
    sizes = {"small.xml": 10, "large.xml": 40_000}
    for name, count in sizes.items():
        padding = f'<Undly Sym="AAPL" Text="{"x" * 400}"/>' * 3
        with (tmp_path / name).open("w", encoding="utf-8") as file:
            head, tail = document("@").split("@")
            file.write(head)
            for number in range(count):
                report = assignment(f"A{number}", AAPL, 1 + number % 90)
                file.write(report.replace("</AsgnRpt>", f"{padding}</AsgnRpt>"))
            file.write(tail)

    done = subprocess.run(
        [sys.executable, "-c", _PEAK, *(str(tmp_path / name) for name in sizes)],
        capture_output=True,
        check=True,
    )

    before, after, *rest = json.loads(done.stdout)
    assert rest == [10, 40_000, 0]
    file_kilobytes = (tmp_path / "large.xml").stat().st_size // 1024
    assert file_kilobytes > 60_000
    assert after - before < file_kilobytes // 2


def rows_or_refused(content: bytes) -> int:
    """Rows, or the declared refusal in words that can be printed; nothing else ever."""
    rows = 0
    for parse in (parse_notices, parse_occ_positions):
        try:
            rows += parse(content, DATE).num_rows
        except Refused as refused:
            rows -= not refused.problems
            str(refused).encode()
    assert rows >= 0
    return rows


BOUNDED = settings(
    max_examples=300, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True
)


def test_the_unchanged_bytes_give_rows() -> None:
    assert rows_or_refused(BATCH.encode()) == 3


@BOUNDED
@given(content=st.binary(max_size=400))
def test_random_bytes_give_rows_or_the_refusal(content: bytes) -> None:
    rows_or_refused(content)
    rows_or_refused(b'<?xml version="1.0"?>' + content)


@BOUNDED
@given(content=mutated(BATCH.encode()))
def test_changed_bytes_give_rows_or_the_refusal(content: bytes) -> None:
    rows_or_refused(content)


@BOUNDED
@given(
    pieces=st.lists(
        st.sampled_from(
            [
                *("<FIXML>", "</FIXML>", "<Batch>", "</Batch>", "<Batch TotMsg='1'>", "<Hdr/>"),
                *("<AsgnRpt RptID='A'>", "</AsgnRpt>", "<PosRpt>", "</PosRpt>", "<Pty R='38'>"),
                *("</Pty>", "<Sub ID='&amp;'/>", "<Qty Typ='AS' Short='1'/>", "<Qty Typ='FIN'/>"),
                *("<Instrmt Sym='A' CFI='OC' MatDt='2024-09-20' StrkPx='1'/>", "<Leg/>", "&#0;"),
                *("<![CDATA[", "]]>", "<!--", "-->", "<!DOCTYPE a>", "\x85", "é", "<x:AsgnRpt/>"),
            ]
        ),
        max_size=30,
    )
)
def test_elements_in_any_order_give_rows_or_the_refusal(pieces: list[str]) -> None:
    head, tail = document("@").split("@")
    rows_or_refused((head + "".join(pieces) + tail).encode())


@pytest.mark.parametrize(
    "part",
    [
        '<Pty R="4" ID="X"/>',
        '<Pty R="38" ID="C"/>',
        '<Qty Typ="AS" Long="0" Short="1"/>',
        '<Instrmt Sym="AAPL"/>',
        '<Pty R="38" ID="C">' + '<Sub ID="1"/>' * 200 + "</Pty>",
    ],
    ids=["firm", "account", "quantity", "instrument", "sub-accounts"],
)
def test_a_report_of_very_many_parts_is_refused_at_the_limit(part: str) -> None:
    report = assignment("A9", AAPL, 1, inside=part * 100_000)

    (problem,) = refused(document(assignment("A1", AAPL, 1), report))

    assert problem == (
        "notices.xml, row 2 (line 4): RptID A9: a report must have at most 100 parties, "
        "sub-accounts, instruments and quantities, got more"
    )


def test_texts_that_are_much_too_long_are_not_kept_whole() -> None:
    reports = [assignment(f"A{number}" + "9" * 100_000, AAPL, 1) for number in range(50)]

    content = document(*reports).encode()
    reading = notices.read_notices(lambda: iter((content,)), DATE, "notices.xml")

    assert reading.problems.total == 50
    assert reading.table.nbytes < 50 * 1_200
