"""Notices as FIXML: what is read, and what is refused by its RptID."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lottery import operations
from lottery.errors import Problems, Refused
from lottery.intake import files
from lottery.intake.fixml.target import NAMESPACES
from lottery.intake.sources import Received
from tests.builders import (
    AAPL,
    DATE,
    FULL,
    META,
    NOTICE_NAMES,
    csv_text,
    notice,
    refusal,
    request_of_files,
)
from tests.fixml import (
    SP2,
    assignment,
    document,
    instrument,
    notices_text,
    parse_notices,
    parties,
    position_report,
    write_fixml_files,
)
from tests.reference import Row

VECTORS = Path(__file__).parents[1] / "vectors" / "fixml"
AS_37 = '<Qty Typ="AS" Short="37"/>'
GOOD = assignment("A0", META, 1)


def read(text: str | bytes, tmp_path: Path, date: dt.date = DATE) -> tuple[Received, Problems]:
    path = tmp_path / "notices.xml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    received = files.read_notices(path, business_date=date)
    return received, received.problems


def rows_of(*messages: str, **options: object) -> list[Row]:
    text = document(*messages, **options)  # type: ignore[arg-type]
    rows: list[Row] = parse_notices(text.encode(), DATE).to_pylist()
    return rows


def refused(text: str | bytes, date: dt.date = DATE) -> list[str]:
    content = text if isinstance(text, bytes) else text.encode()
    with pytest.raises(Refused) as caught:
        parse_notices(content, date, source="notices.xml")
    return [str(problem) for problem in caught.value.problems]


def test_a_report_with_all_that_occ_sends_is_read(tmp_path: Path) -> None:
    received, problems = read((VECTORS / "assignment.xml").read_bytes(), tmp_path)

    assert not problems
    assert received.table.to_pylist() == [notice("N000000071", AAPL, 37, "C/ZZZ")]
    assert received.occ_reports is not None
    assert received.occ_reports.to_pylist() == [
        {
            "notice_id": "N000000071",
            "occ_account": "C/ZZZ",
            "clearing_firm": "00099",
            "open_interest": "4711",
            "exercise_method": "M",
            "assignment_method": "R",
            "assignment_unit": "25",
            "settlement_session": "EOD",
        }
    ]


@pytest.mark.parametrize("namespace", NAMESPACES)
@pytest.mark.parametrize("batch", [None, {"TotMsg": 2}, {}])
def test_reports_alone_or_in_a_batch_are_read_in_every_version(
    namespace: str, batch: dict[str, object] | None
) -> None:
    messages = (assignment("A1", AAPL, 10), assignment("A2", META, 3, "F/ABC"))

    assert rows_of(*messages, namespace=namespace, batch=batch) == [
        notice("A1", AAPL, 10, "C"),
        notice("A2", META, 3, "F/ABC"),
    ]


def test_several_batches_and_messages_beside_them_are_read() -> None:
    text = document(
        GOOD,
        f'<Batch TotMsg="1"><Hdr/>{assignment("A1", META, 2)}</Batch>',
        f'<Batch TotMsg="2">{assignment("A2", META, 3)}{position_report("P", AAPL, 5)}</Batch>',
    )

    table = parse_notices(text.encode(), DATE)
    assert table.column("notice_id").to_pylist() == ["A0", "A1", "A2"]


def test_a_prefix_for_the_namespace_is_as_good() -> None:
    text = document(GOOD).replace("xmlns=", "xmlns:f=")
    for name in ("FIXML", "AsgnRpt", "Pty", "Instrmt", "Qty"):
        text = text.replace(f"<{name}", f"<f:{name}").replace(f"</{name}", f"</f:{name}")

    assert parse_notices(text.encode(), DATE).num_rows == 1


def test_what_is_unknown_is_passed_over() -> None:
    strange = '<New xmlns:o="urn:occ" o:Tag="1"><Deep><Pty ID="X" R="38"/></Deep></New>'
    inside = parties("C/ZZZ") + strange + instrument(AAPL, Mult="100", Src="J") + AS_37
    inside += '<Qty Typ="ASF" Long="9" Short="9"/><Amt Typ="FMTM" Amt="0.00"/><!-- OCC --><?x y?>'
    report = assignment("A1", AAPL, 0, inside=inside, Brand="new")

    assert rows_of("<Ann/>", report, strange) == [notice("A1", AAPL, 37, "C/ZZZ")]


@pytest.mark.parametrize(
    ("changed", "series"),
    [
        ({"StrkPx": "220.00"}, AAPL),
        ({"StrkPx": "220.0000"}, AAPL),
        ({"StrkPx": "0220"}, AAPL),
        ({"StrkPx": "47.5"}, "AAPL  240920C00047500"),
        ({"StrkPx": "0.125"}, "AAPL  240920C00000125"),
        ({"StrkPx": "99999.999"}, "AAPL  240920C99999999"),
        ({"CFI": "OPASPS"}, "AAPL  240920P00220000"),
        ({"CFI": None, "PutCall": "1"}, AAPL),
        ({"CFI": None, "PutCall": "0"}, "AAPL  240920P00220000"),
        ({"PutCall": "1"}, AAPL),
        ({"MMY": None}, AAPL),
        ({"MMY": "202409"}, AAPL),
        ({"MMY": "202409w3"}, AAPL),
        ({"SecTyp": "OPT"}, AAPL),
        ({"Sym": "SPXW"}, "SPXW  240920C00220000"),
    ],
)
def test_the_series_is_that_of_the_instrument(changed: dict[str, object], series: str) -> None:
    inside = parties("C") + instrument(AAPL, **changed) + AS_37

    assert rows_of(assignment("A1", AAPL, 0, inside=inside))[0]["series"] == series


@pytest.mark.parametrize(
    ("quantity", "contracts"),
    [
        ('Short="37"', 37),
        ('Long="37"', 37),
        ('Long="0" Short="37"', 37),
        ('Long="37" Short="0"', 37),
        ('Long="00" Short="0037"', 37),
        ('Short="9223372036854775807"', 2**63 - 1),
    ],
)
def test_the_quantity_is_the_one_that_is_not_zero(quantity: str, contracts: int) -> None:
    inside = parties("C") + instrument(AAPL) + f'<Qty Typ="AS" {quantity}/>'

    assert rows_of(assignment("A1", AAPL, 0, inside=inside))[0]["quantity"] == contracts


def test_an_ampersand_in_an_id_is_an_ampersand(tmp_path: Path) -> None:
    received, problems = read(document(assignment("A&1<&#38;", AAPL, 1, Unit="R&D")), tmp_path)

    assert not problems
    assert received.table.to_pylist() == [notice("A&1<&#38;", AAPL, 1, "C")]
    assert received.occ_reports is not None
    assert received.occ_reports.column("assignment_unit").to_pylist() == ["R&D"]


WITH = parties("C") + instrument(AAPL)
BAD: dict[str, tuple[str, str, str]] = {
    "no RptID": (assignment(None, AAPL, 1), "RptID", "a report without RptID: RptID is missing"),
    "an empty RptID": (
        assignment("", AAPL, 1),
        "RptID",
        "a report without RptID: RptID is missing",
    ),
    "another day": (
        assignment("A1", AAPL, 1, date="2024-09-17"),
        "BizDt",
        "BizDt must be the run's date 2024-09-16, got '2024-09-17'",
    ),
    "another form": (assignment("A1", AAPL, 1, date="20240916"), "BizDt", "got '20240916'"),
    "no day": (
        assignment("A1", AAPL, 1, date=None),
        "BizDt",
        "BizDt must be the run's date 2024-09-16, got none",
    ),
    "both": (
        WITH + '<Qty Typ="AS" Long="1" Short="2"/>',
        "Qty",
        "one of Long and Short must be zero, got Long '1'",
    ),
    "neither": (WITH + '<Qty Typ="AS"/>', "Qty", "Long or Short must be assigned, got neither"),
    "zero": (
        WITH + '<Qty Typ="AS" Short="0"/>',
        "Qty",
        "Long or Short must be assigned, got neither",
    ),
    "two": (WITH + AS_37 + AS_37, "Qty", 'report must have one Qty Typ="AS", got 2'),
    "none": (
        WITH + '<Qty Typ="ASF" Short="1"/>',
        "Qty",
        'report must have one Qty Typ="AS", got 0',
    ),
    "fractional": (
        WITH + '<Qty Typ="AS" Short="1.5"/>',
        "quantity",
        "quantity must be a whole number of at least 1, without decimals, got '1.5'",
    ),
    "negative": (
        WITH + '<Qty Typ="AS" Short="-1"/>',
        "quantity",
        "quantity must be a whole number of at least 1, not negative, got '-1'",
    ),
    "empty": (WITH + '<Qty Typ="AS" Short=""/>', "quantity", "got no value"),
    "too many": (
        WITH + f'<Qty Typ="AS" Short="{2**63}"/>',
        "quantity",
        f"must be at most {2**63 - 1}, got",
    ),
    "no party": (
        instrument(AAPL) + AS_37,
        "Pty",
        'report must have one Pty R="38", the position account, got 0',
    ),
    "two parties": (
        parties("C") + parties("F") + instrument(AAPL) + AS_37,
        "Pty",
        'report must have one Pty R="38", the position account, got 2',
    ),
    "a party without id": (
        '<Pty R="38"/>' + instrument(AAPL) + AS_37,
        "Pty",
        "ID of ",
    ),
    "a sub without id": (
        '<Pty ID="C" R="38"><Sub Typ="2"/></Pty>' + instrument(AAPL) + AS_37,
        "Sub",
        "ID of ",
    ),
    "a slash": (
        '<Pty ID="C/ZZZ" R="38"/>' + instrument(AAPL) + AS_37,
        "Pty",
        "ID of Pty must not contain '/', which separates account and sub-account, got 'C/ZZZ'",
    ),
    "two subs": (
        '<Pty ID="C" R="38"><Sub ID="A" Typ="2"/><Sub ID="B" Typ="2"/></Pty>'
        + instrument(AAPL)
        + AS_37,
        "Sub",
        'Pty must have one Sub Typ="2" among several, got 2',
    ),
    "no account": (
        parties("C D") + instrument(AAPL) + AS_37,
        "occ_account",
        "expected an OCC account",
    ),
    "no instrument": (parties("C") + AS_37, "Instrmt", "report must have one Instrmt, got 0"),
    "two instruments": (
        WITH + instrument(META) + AS_37,
        "Instrmt",
        "report must have one Instrmt, got 2",
    ),
    "a leg": (WITH + AS_37 + "<Leg/>", "Leg", "instrument must be an option of one leg, got legs"),
    "something said": (
        assignment("A1", AAPL, 1, OpenInt="9" * 65),
        "open_interest",
        "open interest must be at most 64 printable ASCII characters, got",
    ),
}
INSTRUMENTS: dict[str, tuple[dict[str, object], str, str]] = {
    "a future": (
        {"CFI": "FXXXXX"},
        "CFI",
        "CFI must begin with OC for a call or OP for a put, got 'FXXXXX'",
    ),
    "another option": ({"CFI": "OMXXXX"}, "CFI", "got 'OMXXXX'"),
    "an empty CFI": ({"CFI": ""}, "CFI", "got ''"),
    "neither CFI nor PutCall": (
        {"CFI": None},
        "CFI",
        "CFI or PutCall must be present, got neither",
    ),
    "CFI and PutCall": (
        {"PutCall": "0"},
        "PutCall",
        "PutCall must agree with CFI 'OCASPS', got '0'",
    ),
    "another PutCall": (
        {"PutCall": "C"},
        "PutCall",
        "PutCall must be 0 for a put or 1 for a call, got 'C'",
    ),
    "a spread": ({"SecTyp": "MLEG"}, "SecTyp", "SecTyp must be OPT, or absent, got 'MLEG'"),
    "a future by type": ({"SecTyp": "FUT"}, "SecTyp", "SecTyp must be OPT, or absent, got 'FUT'"),
    "four decimals": (
        {"StrkPx": "220.0001"},
        "StrkPx",
        "StrkPx must have at most three decimals, got '220.0001'",
    ),
    "no strike": ({"StrkPx": None}, "StrkPx", "got none"),
    "a large strike": (
        {"StrkPx": "100000"},
        "StrkPx",
        "StrkPx must be a strike below 100,000 in plain decimals, got '100000'",
    ),
    "a signed strike": ({"StrkPx": "-1"}, "StrkPx", "got '-1'"),
    "an exponent": ({"StrkPx": "1E2"}, "StrkPx", "got '1E2'"),
    "no root": ({"Sym": None}, "Sym", "got none"),
    "a long root": ({"Sym": "ABCDEFG"}, "Sym", "got 'ABCDEFG'"),
    "a small root": ({"Sym": "aapl"}, "Sym", "got 'aapl'"),
    "no date": ({"MatDt": None}, "MatDt", "got none"),
    "a date that is none": ({"MatDt": "2024-02-30", "MMY": None}, "MatDt", "got '2024-02-30'"),
    "a date of another century": ({"MatDt": "1999-09-20"}, "MatDt", "got '1999-09-20'"),
    "MMY of another day": (
        {"MMY": "20240919"},
        "MMY",
        "MMY must be the month or day of MatDt 2024-09-20, got '20240919'",
    ),
    "MMY of another month": (
        {"MMY": "202410"},
        "MMY",
        "MMY must be the month or day of MatDt 2024-09-20, got '202410'",
    ),
    "MMY that is none": (
        {"MMY": "soon"},
        "MMY",
        "MMY must be the month or day of MatDt 2024-09-20, got 'soon'",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_wrong_with_a_report_is_named_with_its_id_and_place(name: str) -> None:
    given, column, told = BAD[name]
    report = given if given.startswith("<AsgnRpt") else assignment("A1", AAPL, 0, inside=given)

    problems = refused(document(GOOD, report, assignment("A9", AAPL, 1)))

    assert len(problems) == 1, problems
    assert problems[0].startswith(f"notices.xml, row 2 (line 4), {column}: ")
    assert "RptID A1: " in problems[0] or "a report without RptID: " in problems[0]
    assert told in problems[0]


@pytest.mark.parametrize("name", INSTRUMENTS)
def test_what_is_no_listed_option_is_named_with_its_id_and_place(name: str) -> None:
    changed, column, told = INSTRUMENTS[name]
    inside = parties("C") + instrument(AAPL, **changed) + AS_37

    problems = refused(document(GOOD, assignment("A1", AAPL, 0, inside=inside)))

    assert len(problems) == 1, problems
    assert problems[0].startswith(f"notices.xml, row 2 (line 4), {column}: RptID A1: ")
    assert told in problems[0]


def test_every_problem_of_every_report_is_told() -> None:
    inside = parties("C D") + instrument(AAPL, CFI="F", StrkPx="x") + '<Qty Typ="AS" Short="x"/>'
    reports = [assignment(f"A{number}", AAPL, 1, inside=inside) for number in range(3)]

    problems = refused(document(*reports))

    assert len(problems) == 3 * 4
    assert all(any(f"RptID A{number}: " in problem for problem in problems) for number in range(3))


def test_after_a_hundred_problems_no_further_report_is_read() -> None:
    reports = [assignment(f"A{number}", AAPL, 1, date="2024-09-15") for number in range(20_000)]

    with pytest.raises(Refused) as caught:
        parse_notices(document(*reports).encode(), DATE)

    assert (len(caught.value.problems), caught.value.total) == (100, 101)
    assert caught.value.problems[0].message == (
        "after RptID A99: expected no problems, got 100; nothing is looked for after report 100"
    )
    assert caught.value.problems[-1].line == 3 + 98


@pytest.mark.parametrize("announced", ["1", "3", "x", "", "2.0", "-2"])
def test_a_batch_that_announces_other_messages_than_came_is_refused(announced: str) -> None:
    batch = {"ID": "11212", "TotMsg": announced}

    (problem,) = refused(document(GOOD, assignment("A1", AAPL, 1), batch=batch))

    assert problem == (
        "notices.xml, TotMsg: after RptID A1: TotMsg of the Batch '11212' must be 2, the number of "
        f"its messages, got {announced!r}"
    )


def test_reports_that_announce_as_many_as_came_are_read() -> None:
    one, two = (
        assignment(f"A{number}", AAPL, 1, TotNumAsgnRpts="2", LastRptReqed=last)
        for number, last in ((1, "N"), (2, "Y"))
    )

    assert len(rows_of(one, two)) == 2


@pytest.mark.parametrize(
    ("first", "second", "told"),
    [
        (
            {"TotNumAsgnRpts": 3},
            {},
            (
                "row 1 (line 3), TotNumAsgnRpts: RptID A1: TotNumAsgnRpts must be 2, "
                "the number of reports, got '3'"
            ),
        ),
        (
            {"TotNumAsgnRpts": 2},
            {"TotNumAsgnRpts": "1"},
            "row 2 (line 4), TotNumAsgnRpts: RptID A2",
        ),
        (
            {"LastRptReqed": "Y"},
            {},
            (
                "row 1 (line 3), LastRptReqed: RptID A1: LastRptReqed must be N "
                "before the last of 2 reports, got 'Y'"
            ),
        ),
        (
            {},
            {"LastRptReqed": "N"},
            (
                "row 2 (line 4), LastRptReqed: RptID A2: LastRptReqed must be Y "
                "on the last of 2 reports, got 'N'"
            ),
        ),
        (
            {"LastRptReqed": "1"},
            {},
            (
                "row 1 (line 3), LastRptReqed: RptID A1: LastRptReqed must be N "
                "before the last of 2 reports, got '1'"
            ),
        ),
    ],
)
def test_reports_that_announce_others_than_came_are_refused(
    first: dict[str, object], second: dict[str, object], told: str
) -> None:
    reports = assignment("A1", AAPL, 1, **first), assignment("A2", AAPL, 1, **second)  # type: ignore[arg-type]

    (problem,) = refused(document(*reports))

    assert told in problem


def test_an_id_for_two_occ_accounts_is_refused() -> None:
    reports = assignment("A1", AAPL, 1, "C"), GOOD, assignment("A1", AAPL, 1, "F")

    (problem,) = refused(document(*reports))

    assert problem == (
        "notices.xml, row 3 (line 5), RptID: RptID A1: duplicate notice id 'A1' for OCC "
        "account 'F'; it is also on row 1 for 'C'"
    )


@pytest.mark.parametrize("quantity", [10, 11])
def test_an_id_again_is_refused_be_its_content_the_same_or_another(
    tmp_path: Path, quantity: int
) -> None:
    paths = write_fixml_files(FULL, tmp_path)
    text = document(assignment("A1", AAPL, 10), assignment("A1", AAPL, quantity))
    paths["notices"].write_text(text)
    received = files.read_notices(paths["notices"], business_date=DATE)
    request = request_of_files({**paths, "notices": tmp_path / "notices.csv"})

    refused = refusal(
        operations.RunRequest(
            business_date=DATE,
            notices=received,
            positions=request.positions,
            volumes=request.volumes,
            requested_by=request.requested_by,
        )
    )

    (problem,) = refused.problems
    assert str(problem) == (
        "notices.xml, row 2 (line 4), notice_id: RptID A1: duplicate notice id 'A1' for OCC "
        "account 'C'; it is also on row 1 of notices.xml"
    )


def test_a_file_without_an_assignment_is_refused() -> None:
    assert refused(document(position_report("P1", AAPL, 1))) == [
        'notices.xml: expected at least one AsgnRpt, or a Batch of TotMsg="0", got none'
    ]


@pytest.mark.parametrize(
    "text",
    [
        document(f"<Wrapper>{GOOD}</Wrapper>"),
        document(f"<Batch><Batch>{GOOD}</Batch></Batch>"),
        document(assignment("A1", AAPL, 1, inside=GOOD)),
        document(f'<o:AsgnRpt xmlns:o="{NAMESPACES[0]}" RptID="A1"/>'),
        document('<AsgnRpt xmlns="" RptID="A1"/>'),
        document('<o:AsgnRpt xmlns:o="urn:o" RptID="A1"/>'),
        document('<o:AsgnRpt RptID="A1"/>'),
    ],
)
def test_no_assignment_is_passed_over_where_none_is_looked_for(text: str) -> None:
    (problem,) = refused(text)

    assert "AsgnRpt" in problem


@pytest.mark.parametrize(
    "text",
    [
        document(GOOD, namespace="http://www.fixprotocol.org/FIXML-4-3"),
        document(GOOD).replace(f' xmlns="{SP2}"', ""),
        document(GOOD).replace("FIXML", "fixml"),
        f'<Batch xmlns="{SP2}">{GOOD}</Batch>',
    ],
)
def test_another_root_or_namespace_is_refused(text: str) -> None:
    (problem,) = refused(text)

    assert "FIXML in one of the namespaces http://www.fixprotocol.org/FIXML-4-4, " in problem


NOTICE = st.builds(
    notice,
    st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=20),
    st.builds(
        lambda root, date, right, strike: f"{root:<6}{date:%y%m%d}{right}{strike:08d}",
        st.from_regex(r"[A-Z0-9]{1,6}", fullmatch=True),
        st.dates(dt.date(2000, 1, 1), dt.date(2099, 12, 31)),
        st.sampled_from("CP"),
        st.integers(0, 99_999_999),
    ),
    st.integers(1, 2**63 - 1),
    st.from_regex(r"[A-Z0-9][A-Z0-9._-]{0,9}(/[A-Z0-9._-]{1,9})?", fullmatch=True),
)


@settings(max_examples=150, deadline=None)
@given(rows=st.lists(NOTICE, min_size=1, max_size=20, unique_by=lambda row: row["notice_id"]))
def test_a_table_of_notices_is_the_same_as_fixml_and_as_csv(
    tmp_path_factory: pytest.TempPathFactory, rows: list[Row]
) -> None:
    """The law: however a table of notices is written, the same table is read."""
    path = tmp_path_factory.getbasetemp() / "law.csv"
    path.write_text(csv_text(rows, NOTICE_NAMES), "utf-8", newline="")

    by_csv = files.read_notices(path)
    by_fixml = parse_notices(notices_text(rows).encode(), DATE)

    assert not by_csv.problems
    assert by_fixml.to_pylist() == by_csv.table.to_pylist() == rows
    assert by_fixml.schema == by_csv.table.schema
