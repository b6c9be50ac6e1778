"""The run record: its canonical bytes are golden, read back as they are, and nothing else reads."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lottery.day.allocate import Break
from lottery.errors import LedgerDamaged
from lottery.ledger.run_record import MethodRecord, read_record, summary
from lottery.method.methodology import JPMS_2024_09_06
from tests.vectors.make import GOLDEN, RECORD


def golden() -> dict[str, Any]:
    document: dict[str, Any] = json.loads(GOLDEN.read_bytes())
    return document


def canonical(document: dict[str, Any]) -> bytes:
    """The canonical form of documents without numbers that are no integers."""
    return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def test_the_canonical_bytes_are_golden() -> None:
    assert RECORD.canonical() == GOLDEN.read_bytes()


def test_canonical_bytes_read_back_give_an_equal_record() -> None:
    assert read_record(GOLDEN.read_bytes()) == RECORD
    assert canonical(golden()) == GOLDEN.read_bytes()


def test_integers_past_2_to_the_53_are_strings_and_others_numbers() -> None:
    document = golden()

    assert document["assigned_quantity"] == "9223372036854775807"
    assert document["allocated_quantity"] == 10
    assert document["breaks"][0]["total_short"] == "9007199254740993"
    assert [volume["volume"] for volume in document["seed"]["volumes"]] == [
        9_007_199_254_740_991,
        "9007199254740992",
        0,
        1,
    ]


@given(quantity=st.integers(0, 2**63 - 1), name=st.text(st.characters(codec="utf-8")))
def test_any_quantity_and_any_name_come_back(quantity: int, name: str) -> None:
    """Canonical bytes read back give an equal record, and its canonical bytes again."""
    record = replace(
        RECORD,
        assigned_quantity=quantity,
        requested_by=replace(RECORD.requested_by, name=name),
        breaks=(
            Break(occ_account="", series="", reason="", assigned_quantity=quantity, total_short=0),
        ),
    )

    assert read_record(record.canonical()) == record
    assert read_record(record.canonical()).canonical() == record.canonical()


CORRUPTIONS: dict[str, Callable[[dict[str, Any]], bytes]] = {
    "a blank more": lambda document: canonical(document) + b" ",
    "indented": lambda document: json.dumps(document, indent=1).encode(),
    "escaped letters": lambda document: json.dumps(
        document, sort_keys=True, separators=(",", ":")
    ).encode(),
    "a member more": lambda document: canonical({**document, "note": "x"}),
    "a member of the seed more": lambda document: canonical(
        {**document, "seed": {**document["seed"], "note": "x"}}
    ),
    "a fraction of other digits": lambda document: canonical(
        {**document, "seed": {**document["seed"], "fraction": "0.4821"}}
    ),
    "another order": lambda document: json.dumps(
        dict(reversed(document.items())), separators=(",", ":"), ensure_ascii=False
    ).encode(),
    "a doubled member": lambda document: canonical(document).replace(
        b'"cycle":1,', b'"cycle":1,"cycle":1,'
    ),
    "a small integer as text": lambda document: canonical({**document, "allocated_quantity": "10"}),
    "a large integer as a number": lambda document: canonical(
        {**document, "assigned_quantity": 2**63 - 1}
    ),
    "an integer with a fraction": lambda document: canonical(document).replace(
        b'"cycle":1,', b'"cycle":1.0,'
    ),
    "a cycle past all numbers": lambda document: canonical({**document, "cycle": 10**30}),
    "a date with a time": lambda document: canonical(
        {**document, "business_date": "2024-09-16T00:00:00"}
    ),
    "a date that is none": lambda document: canonical({**document, "business_date": "2024-09-31"}),
    "a member less": lambda document: canonical(
        {name: value for name, value in document.items() if name != "software"}
    ),
    "an unknown format": lambda document: canonical({**document, "format": "lottery.run/2"}),
    "a null": lambda document: canonical({**document, "run": None}),
    "a list": lambda document: b"[" + canonical(document) + b"]",
    "no JSON": lambda _: b"record",
    "nothing": lambda _: b"",
    "no UTF-8": lambda document: canonical(document).replace("ö".encode(), b"\xf6"),
    "half a surrogate": lambda document: canonical(document).replace("ö".encode(), b"\\ud800"),
}


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_bytes_that_are_not_the_canonical_ones_of_a_known_format_are_refused(name: str) -> None:
    changed = CORRUPTIONS[name](golden())
    assert changed != GOLDEN.read_bytes()

    with pytest.raises(LedgerDamaged):
        read_record(changed)


@pytest.mark.parametrize("digits", ["", "43130", "-001", "4e3", "\u0664313", "x"])
def test_a_seed_without_four_digits_is_refused(digits: str) -> None:
    document = golden()
    document["seed"]["digits"] = digits

    with pytest.raises(LedgerDamaged, match="the seed's digits must be four digits, got "):
        read_record(canonical(document))


def test_any_one_byte_taken_out_is_refused() -> None:
    whole = GOLDEN.read_bytes()
    for at in range(len(whole)):
        changed = whole[:at] + whole[at + 1 :]
        try:
            record = read_record(changed)
        except LedgerDamaged:
            continue
        # A value can be shorter by a byte and be a value; then it is another record.
        assert record != RECORD


def test_a_method_that_is_not_known_is_refused() -> None:
    known = MethodRecord.of(JPMS_2024_09_06)

    assert known.methodology() == JPMS_2024_09_06
    for changed in (
        replace(known, id="jpms-2031-01-01"),
        replace(known, decisions={**known.decisions, "zero_hit": "last"}),
        replace(known, decisions={**known.decisions, "coin": "toss"}),
    ):
        with pytest.raises(LedgerDamaged):
            changed.methodology()


def test_the_summary_has_the_names_of_the_contract() -> None:
    reported = summary(RECORD, already_recorded=True)

    assert reported["already_recorded"] is True
    assert reported["business_date"] == "2024-09-16"
    assert (reported["composite"], reported["digits"], reported["fraction"]) == (
        "18014398509481984",
        "4819",
        "0.4820",
    )
    assert reported["breaks"] == [
        {
            "occ_account": "C/ZZZ",
            "series": "AAPL  240920C00220000",
            "reason": "EXCEEDS_SHORT",
            "assigned_quantity": 2**63 - 11,
            "total_short": 2**53 + 1,
        }
    ]
    assert "already_recorded" not in summary(RECORD)


@pytest.mark.parametrize(
    ("name", "is_read"),
    [
        ("allocations/part-0.parquet", True),
        ("broken_positions/part-12345.parquet", True),
        ("sources/notices.csv", True),
        ("allocations/part-00.parquet", False),
        ("allocations/part-1.csv", False),
        ("allocations/part-123456.parquet", False),
        ("allocations/other/part-0.parquet", False),
        ("../part-0.parquet", False),
        ("allocations/notices.parquet", False),
    ],
)
def test_a_record_names_files_of_its_folder_and_part_files_alone(
    name: str, *, is_read: bool
) -> None:
    record = replace(RECORD, evidence=(replace(RECORD.evidence[0], name=name),))
    if is_read:
        assert read_record(record.canonical()) == record
    else:
        with pytest.raises(LedgerDamaged, match="which is not the name of an evidence file"):
            read_record(record.canonical())


def test_the_parts_of_a_table_are_in_the_order_of_their_numbers() -> None:
    names = [f"pools/part-{part}.parquet" for part in (0, 1, 10, 11, 2, 3, 4, 5, 6, 7, 8, 9)]
    record = replace(
        RECORD, evidence=tuple(replace(RECORD.evidence[0], name=name) for name in names)
    )

    files = [file.name for file in record.files_of("pools.parquet")]

    assert files == [f"pools/part-{part}.parquet" for part in range(12)]


def test_the_digest_of_an_evidence_file_is_found_by_its_name() -> None:
    assert RECORD.digest_of("notices.parquet") == RECORD.evidence[0]
    assert RECORD.digest_of("run.json") is None


def test_the_recorded_date_is_a_date() -> None:
    assert read_record(GOLDEN.read_bytes()).business_date == dt.date(2024, 9, 16)
