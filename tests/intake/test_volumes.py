"""The ask prices (S1, S2): CSV and JSON give the same; all else is refused by its row."""

from __future__ import annotations

import datetime as dt
import json
from dataclasses import replace
from pathlib import Path

import pytest

from lottery import operations
from lottery.errors import INVALID_INPUT, INVALID_SEED, METHOD_NOT_IN_FORCE, Refused
from lottery.intake import files
from lottery.intake.sources import SourceFile
from lottery.intake.volumes import MAX_BYTES, volumes_of_source
from lottery.method.methodology import JPMS_2024_09_06
from lottery.method.seed import Seed
from tests.builders import (
    ASKS,
    PUBLISHED,
    SmallDay,
    notice,
    refusal,
    request_of,
    request_of_files,
    volumes_text,
    write_files,
)
from tests.intake.conftest import ReadAsks, texts

HEADER = "security_number,ask_price\n"
ROWS = [{"security_number": number, "ask_price": ask} for number, ask in ASKS.items()]
FULL_ROWS = [
    {
        "security_number": security.number,
        "cusip": security.cusip,
        "description": security.description,
        "ask_price": ASKS[security.number],
    }
    for security in JPMS_2024_09_06.securities
]
THREE = "".join(f"{number},{ask}\n" for number, ask in list(ASKS.items())[1:])


def read_seed(path: Path) -> Seed:
    return operations.derive_seed(operations.read_volumes(path)).seed


def refused_seed(path: Path, content: str) -> Refused:
    """What a file of volumes is refused with, whole: its form and its seed."""
    path.write_text(content, "utf-8")
    with pytest.raises(Refused) as caught:
        read_seed(path)
    return caught.value


def test_csv_and_json_give_the_same_asks(
    read_volumes_csv: ReadAsks, read_volumes_json: ReadAsks
) -> None:
    expected = dict(ASKS.items())
    text = volumes_text(ASKS)
    for asks, problems in (
        read_volumes_csv(text),
        read_volumes_csv("\ufeff" + text.replace("\n", "\r\n").rstrip()),
        read_volumes_json(json.dumps(ROWS)),
        read_volumes_json(json.dumps({"volumes": FULL_ROWS})),
    ):
        assert texts(problems) == ""
        assert {ask.security_number: ask.ask_price for ask in asks} == expected


def test_the_order_of_rows_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "volumes.csv"
    path.write_text(volumes_text(dict(reversed(ASKS.items()))))

    seed = read_seed(path)

    assert (seed.composite, seed.digits, seed.fraction) == (282_431_310, "4313", "0.4314")
    assert [volume.security_number for volume in seed.volumes] == list(ASKS)


NO_ASKS = [
    *("", " ", "abc", "-1", "+1", "1e3", "1E3", "NaN", "Infinity", "1,000.5", ".5", "5.", "1 "),
    *(" 1", "1.000001", "1_0", "0x1", "\u0661", "1.2.3", "9" * 14),
]


@pytest.mark.parametrize("ask", NO_ASKS)
@pytest.mark.parametrize("suffix", [".csv", ".json"])
def test_an_ask_is_a_plain_decimal_of_five_decimals(tmp_path: Path, ask: str, suffix: str) -> None:
    rows = [{"security_number": "Z901803", "ask_price": ask}, *ROWS[1:]]
    quoted = f'{HEADER}Z901803,"{ask}"\n{THREE}'

    refused = refused_seed(
        tmp_path / f"volumes{suffix}", quoted if suffix == ".csv" else json.dumps(rows)
    )

    assert [(problem.row, problem.column) for problem in refused.problems] == [(1, "ask_price")]
    assert refused.reason == INVALID_SEED


@pytest.mark.parametrize("ask", ["862.457130", "862.45713000", "00862.45713", "862.4571300000"])
def test_idle_zeros_change_no_volume(tmp_path: Path, ask: str) -> None:
    path = tmp_path / "volumes.csv"
    path.write_text(f"{HEADER}Z901803,{ask}\n{THREE}")

    assert read_seed(path).composite == 282_431_310


@pytest.mark.parametrize("suffix", [".csv", ".json"])
@pytest.mark.parametrize(
    ("rows", "told"),
    [
        (ROWS[1:], ["volumes: security Z901803 (NYSE Volume) is missing"]),
        ([*ROWS, ROWS[0]], ["volumes, row 5, security_number: security Z901803 is repeated"]),
        (
            [*ROWS[1:], {"security_number": "Z900000", "ask_price": "1"}],
            [
                "volumes: security Z901803 (NYSE Volume) is missing",
                (
                    "volumes, row 4, security_number: security must be one of Z901803, "
                    "Z901439, Z901466, Z901448, got 'Z900000'"
                ),
            ],
        ),
    ],
    ids=["missing", "doubled", "foreign"],
)
def test_all_four_securities_are_there_once_and_no_other(
    tmp_path: Path, rows: list[dict[str, str]], told: list[str], suffix: str
) -> None:
    asks = "".join(f"{row['security_number']},{row['ask_price']}\n" for row in rows)
    content = HEADER + asks if suffix == ".csv" else json.dumps(rows)

    refused = refused_seed(tmp_path / f"volumes{suffix}", content)

    assert [
        str(replace(problem, source="volumes", line=None, rule=None))
        for problem in refused.problems
    ] == told
    assert refused.reason == INVALID_SEED


def test_a_composite_of_five_digits_has_no_place_to_cut(tmp_path: Path) -> None:
    asks = {**dict.fromkeys(ASKS, "0"), "Z901803": "0.99999"}

    refused = refused_seed(tmp_path / "volumes.csv", volumes_text(asks))

    assert [problem.rule for problem in refused.problems] == ["S5"]
    assert refused.reason == INVALID_SEED


def test_a_foreign_cusip_is_refused(tmp_path: Path) -> None:
    rows = [{**FULL_ROWS[0], "cusip": "649990059"}, *FULL_ROWS[1:]]

    refused = refused_seed(tmp_path / "volumes.json", json.dumps(rows))

    assert [(problem.row, problem.column, problem.rule) for problem in refused.problems] == [
        (1, "cusip", "S1")
    ]
    assert refused.reason == INVALID_SEED


def test_an_empty_cusip_is_none_given(tmp_path: Path) -> None:
    path = tmp_path / "volumes.json"
    path.write_text(json.dumps([{**row, "cusip": ""} for row in ROWS]))

    assert read_seed(path).digits == "4313"


@pytest.mark.parametrize(
    "value", ["862.45713", "862", "NaN", "-Infinity", "null", "true", '["1"]', '{"a": 1}', "1e400"]
)
def test_an_ask_that_is_no_text_in_json_is_refused(tmp_path: Path, value: str) -> None:
    content = json.dumps(ROWS).replace('"862.45713"', value)

    refused = refused_seed(tmp_path / "volumes.json", content)

    wrong = [problem for problem in refused.problems if problem.row is not None]
    assert [(problem.row, problem.column, problem.reason) for problem in wrong] == [
        (1, "ask_price", INVALID_SEED)
    ]
    assert "must be text in quotes" in str(refused)


@pytest.mark.parametrize(
    ("entry", "told"),
    [
        (
            '{"security_number": "Z901803", "ask_price": "1", "ask_price": "2"}',
            "must appear once",
        ),
        ('{"security_number": "Z901803", "ask_price": "1", "bid": "2"}', "got 'bid'"),
        ('{"security_number": "Z901803"}', "row 1, ask_price: member ask_price is missing"),
        ('{"ask_price": "1"}', "row 1, security_number: member security_number is missing"),
        ('"Z901803"', "entry must be an object, got"),
        ("[]", "entry must be an object, got"),
        (
            '{"security_number": "Z901803", "ask_price": "1", "cusip": 649990058}',
            "must be text in quotes",
        ),
    ],
)
def test_a_wrong_entry_in_json_is_refused_with_its_row(
    tmp_path: Path, entry: str, told: str
) -> None:
    refused = refused_seed(tmp_path / "volumes.json", f"[{entry},{json.dumps(ROWS[1:])[1:]}")

    assert told in str(refused)
    assert {problem.row for problem in refused.problems} <= {1, None}


NO_LISTS = [
    *("", " ", "{", "nothing", "{}", '{"rows": []}', "5", '"text"', "null", "[]"),
    *('{"volumes": []}', '{"volumes": 5}', "[" * 100_000, "1" * 10_000),
    '[{"ask_price": ' + "[" * 900 + "]" * 900 + "}]",
]


@pytest.mark.parametrize("content", NO_LISTS)
def test_a_document_that_is_no_list_of_asks_is_refused(tmp_path: Path, content: str) -> None:
    refused = refused_seed(tmp_path / "volumes.json", content)

    assert refused.total >= 1
    assert len(str(refused)) < 2_000


def test_json_that_is_no_utf_8_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "volumes.json"
    path.write_bytes(b'[{"security_number": "Z9018\xff3"}]')

    with pytest.raises(Refused, match="expected JSON"):
        read_seed(path)


@pytest.mark.parametrize(
    "entry", [r'{"\ud800": "1"}', r'{"security_number": "\ud800", "ask_price": "\udc00"}']
)
def test_half_a_surrogate_in_json_is_refused_in_words_that_can_be_printed(
    tmp_path: Path, entry: str
) -> None:
    refused = refused_seed(tmp_path / "volumes.json", f"[{entry}]")

    assert str(refused).encode()


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "the file is empty"),
        (b"\xef\xbb\xbf", "column security_number is missing"),
        (b"security_number,ask_price\n", "expected at least one row, got none"),
        (b"security_number,ask\nZ901803,1\n", "got 'ask'"),
        (b"ask_price\n1\n", "column security_number is missing"),
        (
            b"security_number,ask_price,ask_price\nZ,1,1\n",
            "must appear once, got it 2 times",
        ),
        (b'security_number,ask_price\nZ901803,"1\n', "the CSV is malformed"),
        (
            b"security_number,ask_price\nZ901803,\xff\n",
            "CSV in UTF-8, got an invalid byte at offset 34",
        ),
        (b"\x1f\x8b\x08", "expected CSV, got gzip"),
        (b'security_number,ask_price\n"Z"901803,1\n', "the CSV is malformed"),
        (b"security_number,ask_price\nZ901803," + b"1" * 200_000, "the CSV is malformed"),
    ],
)
def test_a_csv_that_is_no_list_of_asks_is_refused(
    read_volumes_csv: ReadAsks, content: bytes, told: str
) -> None:
    _, problems = read_volumes_csv(content)

    assert told in texts(problems)


def test_a_row_of_too_few_values_does_not_shift_the_rows_behind_it(tmp_path: Path) -> None:
    refused = refused_seed(
        tmp_path / "volumes.csv", f"{HEADER}Z901803\nZ901439,abc\nZ901466,1\nZ901448,1\n"
    )

    assert [
        (problem.row, problem.line, problem.column)
        for problem in refused.problems
        if problem.row is not None
    ] == [(1, 2, None), (2, 3, "ask_price")]


def test_a_wrong_entry_in_json_does_not_shift_the_rows_behind_it(tmp_path: Path) -> None:
    rows = [5, {"security_number": "Z901439", "ask_price": "abc"}, *ROWS[2:]]

    refused = refused_seed(tmp_path / "volumes.json", json.dumps(rows))

    assert [
        (problem.row, problem.column) for problem in refused.problems if problem.row is not None
    ] == [(1, None), (2, "ask_price")]


@pytest.mark.parametrize("name", ["volumes.parquet", "volumes.xml", "volumes"])
def test_volumes_of_another_suffix_are_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text(volumes_text(ASKS))

    with pytest.raises(Refused, match=r"volumes must be a \.csv or \.json file"):
        read_seed(tmp_path / name)


def test_a_kept_file_of_volumes_of_more_than_a_megabyte_is_not_parsed() -> None:
    source = SourceFile.of("volumes", "v.csv", ".csv", b"x" * (MAX_BYTES + 1))

    (problem,) = volumes_of_source(source, JPMS_2024_09_06.securities).problems

    assert problem.message == f"volumes must be at most {MAX_BYTES} bytes, got {MAX_BYTES + 1}"


def test_a_file_of_volumes_of_more_than_a_megabyte_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "volumes.csv"
    path.write_bytes(b"x" * (MAX_BYTES + 1))

    received = files.read_volumes(path, JPMS_2024_09_06.securities)

    assert received.problems.total == 1
    assert received.sources == ()


def test_a_date_before_the_method_came_into_force_is_refused_whatever_else_is_wrong(
    tmp_path: Path,
) -> None:
    before = dt.date(2024, 9, 5)
    good = request_of(replace(PUBLISHED, date=before), tmp_path / "good")
    bad = request_of(
        SmallDay(notices=[notice("", "", "")], positions=PUBLISHED.positions, date=before),
        tmp_path / "bad",
    )

    refused = refusal(good)

    assert [problem.rule for problem in refused.problems] == ["F1"]
    assert refused.reason == METHOD_NOT_IN_FORCE
    assert refusal(bad).reason == METHOD_NOT_IN_FORCE


def test_the_first_day_of_the_method_is_allocated(tmp_path: Path) -> None:
    day = replace(PUBLISHED, date=dt.date(2024, 9, 6))

    assert operations.compute_day(request_of(day, tmp_path)).seed.digits == "4313"


def test_the_reason_is_of_the_seed_only_where_nothing_else_is_wrong(tmp_path: Path) -> None:
    paths = write_files(PUBLISHED, tmp_path)
    paths["volumes"].write_text(f"{HEADER}Z901803,1.123456\n{THREE}")

    assert refusal(request_of_files(paths)).reason == INVALID_SEED

    paths["positions"].write_text("series,account,short_quantity\n")

    assert refusal(request_of_files(paths)).reason == INVALID_INPUT
