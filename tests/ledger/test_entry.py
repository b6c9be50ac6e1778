"""Entries: canonical bytes of every type, which read back, and every other text is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lottery.errors import LedgerDamaged, Refused
from lottery.ledger.entry import (
    ENTRY_BYTES,
    Activity,
    as_json,
    canonical,
    digest_of,
    read_entry,
    read_run,
)
from lottery.ledger.run_record import MethodRecord, evidence_folder, is_run_id
from lottery.method.methodology import JPMS_2024_09_06
from tests.vectors.make import ENTRIES, GOLDEN, RECORD


def golden(name: str = "run") -> bytes:
    return (GOLDEN / f"{name}.json").read_bytes()


def document_of(name: str = "run") -> dict[str, Any]:
    document: dict[str, Any] = json.loads(golden(name))
    return document


def written(document: dict[str, Any]) -> bytes:
    """Return the canonical form of documents without numbers that are no integers."""
    return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


@pytest.mark.parametrize("name", ENTRIES)
def test_the_canonical_bytes_are_golden_and_read_back(name: str) -> None:
    entry = ENTRIES[name]

    assert canonical(entry) == golden(name) == written(document_of(name))
    assert read_entry(golden(name)) == entry
    assert as_json(entry) == document_of(name)
    assert document_of(name)["type"] == entry.type == name
    assert len(digest_of(golden(name))) == 64


def test_a_vector_for_every_entry_and_no_other_is_kept() -> None:
    assert {path.stem for path in GOLDEN.iterdir()} == set(ENTRIES)


def test_integers_past_2_to_the_53_are_strings_and_others_numbers() -> None:
    document = document_of()

    assert document["assigned_quantity"] == "9223372036854775807"
    assert document["allocated_quantity"] == 10
    assert [volume["volume"] for volume in document["seed"]["volumes"]] == [
        9_007_199_254_740_991,
        "9007199254740992",
        0,
        1,
    ]
    assert (document["seed"]["composite"], document["seed"]["fraction"]) == (
        "18014398509481984",
        "0.4820",
    )


@given(
    quantity=st.integers(0, 2**63 - 1),
    name=st.text(st.characters(codec="utf-8")),
    kind=st.sampled_from(["export", "replay", "report", "verification"]),
)
def test_any_quantity_and_any_name_come_back(quantity: int, name: str, kind: Any) -> None:
    """Canonical bytes read back give an equal entry, and its canonical bytes again."""
    by = replace(RECORD.requested_by, name=name)
    activity = Activity(
        type=kind,
        subject=name,
        outcome=name,
        requested_by=by,
        recorded_at=RECORD.recorded_at,
        software=RECORD.software,
    )
    for entry in (replace(RECORD, assigned_quantity=quantity, requested_by=by), activity):
        encoded = canonical(entry)
        assert read_entry(encoded) == entry
        assert canonical(read_entry(encoded)) == encoded


Corruption = Callable[[dict[str, Any]], bytes]
ANY: dict[str, Corruption] = {
    "a blank more": lambda document: written(document) + b" ",
    "indented": lambda document: json.dumps(document, indent=1).encode(),
    "escaped letters": lambda document: json.dumps(
        document, sort_keys=True, separators=(",", ":")
    ).encode(),
    "a member more": lambda document: written({**document, "note": "x"}),
    "another order": lambda document: json.dumps(
        dict(reversed(document.items())), separators=(",", ":"), ensure_ascii=False
    ).encode(),
    "a member less": lambda document: written(
        {name: value for name, value in document.items() if name != "software"}
    ),
    "an unknown type": lambda document: written({**document, "type": "proposals"}),
    "another type": lambda document: written(
        {**document, "type": "key" if document["type"] == "run" else "run"}
    ),
    "no type": lambda document: written(
        {name: value for name, value in document.items() if name != "type"}
    ),
    "a null": lambda document: written({**document, "recorded_at": None}),
    "a list": lambda document: b"[" + written(document) + b"]",
    "no JSON": lambda _: b"record",
    "nothing": lambda _: b"",
    "no UTF-8": lambda document: written(document).replace("ö".encode(), b"\xf6"),
    "half a surrogate": lambda document: written(document).replace("ö".encode(), b"\\ud800"),
}
RUN: dict[str, Corruption] = {
    "a member of the seed more": lambda document: written(
        {**document, "seed": {**document["seed"], "note": "x"}}
    ),
    "a fraction of other digits": lambda document: written(
        {**document, "seed": {**document["seed"], "fraction": "0.4821"}}
    ),
    "a doubled member": lambda document: written(document).replace(
        b'"cycle":1,', b'"cycle":1,"cycle":1,'
    ),
    "a small integer as text": lambda document: written({**document, "allocated_quantity": "10"}),
    "a large integer as a number": lambda document: written(
        {**document, "assigned_quantity": 2**63 - 1}
    ),
    "an integer with a fraction": lambda document: written(document).replace(
        b'"cycle":1,', b'"cycle":1.0,'
    ),
    "a date with a time": lambda document: written(
        {**document, "business_date": "2024-09-16T00:00:00"}
    ),
    "a date that is none": lambda document: written({**document, "business_date": "2024-09-31"}),
    "a run that is none": lambda document: written({**document, "run": "2024-09-16-1"}),
    "seven digits": lambda document: written(
        {**document, "seed": {**document["seed"], "digits": "4819000"}}
    ),
    "other digits": lambda document: written(
        {**document, "seed": {**document["seed"], "digits": "\u0664313"}}
    ),
}


@pytest.mark.parametrize("name", ENTRIES)
@pytest.mark.parametrize("corruption", ANY)
def test_bytes_that_are_not_the_canonical_ones_are_refused(name: str, corruption: str) -> None:
    changed = ANY[corruption](document_of(name))
    assert changed != golden(name)

    with pytest.raises(LedgerDamaged):
        read_entry(changed)


@pytest.mark.parametrize("corruption", RUN)
def test_a_run_that_says_what_it_cannot_is_refused(corruption: str) -> None:
    changed = RUN[corruption](document_of())
    assert changed != golden()

    with pytest.raises(LedgerDamaged):
        read_entry(changed)


@pytest.mark.parametrize("name", ENTRIES)
def test_any_one_byte_taken_out_is_refused_or_another_entry(name: str) -> None:
    whole = golden(name)
    for at in range(0, len(whole), 3):
        changed = whole[:at] + whole[at + 1 :]
        try:
            entry = read_entry(changed)
        except LedgerDamaged:
            continue
        # A value can be shorter by a byte and be a value; then it is another entry.
        assert canonical(entry) == changed


def test_an_entry_of_a_byte_too_many_is_refused() -> None:
    export = ENTRIES["export"]
    assert isinstance(export, Activity)
    largest = replace(export, outcome=export.outcome.ljust(8 + ENTRY_BYTES - len(golden("export"))))

    assert len(canonical(largest)) == ENTRY_BYTES
    with pytest.raises(Refused) as caught:
        canonical(replace(largest, outcome=f"{largest.outcome}x"))
    (problem,) = caught.value.problems
    assert problem.source == "export"
    assert problem.message.startswith("an entry must have at most 16384 bytes, got 16385")


def test_what_is_no_run_is_not_read_as_one() -> None:
    assert read_run(golden()) == RECORD
    with pytest.raises(LedgerDamaged, match="expected an entry run, got key"):
        read_run(golden("key"))


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


@pytest.mark.parametrize(
    ("name", "is_read"),
    [
        ("allocations/part-0.parquet", True),
        ("positions/part-12345.parquet", True),
        ("sources/notices.csv", True),
        ("allocations/part-00.parquet", False),
        ("allocations/part-1.csv", False),
        ("allocations/part-123456.parquet", False),
        ("allocations/other/part-0.parquet", False),
        ("../part-0.parquet", False),
        (".hidden", False),
    ],
)
def test_a_record_names_files_of_its_folder_and_part_files_alone(
    name: str, *, is_read: bool
) -> None:
    record = replace(RECORD, evidence=(replace(RECORD.evidence[0], name=name),))
    source = replace(RECORD, sources=(replace(RECORD.sources[0], kept_as=name),))
    if is_read:
        assert read_entry(canonical(record)) == record
    else:
        for changed in (record, source):
            with pytest.raises(LedgerDamaged, match="which is not the name of an evidence file"):
                read_entry(canonical(changed))


def test_the_files_of_a_table_are_in_the_order_of_their_numbers() -> None:
    names = [f"pools/part-{part}.parquet" for part in (0, 1, 10, 11, 2, 3, 4, 5, 6, 7, 8, 9)]
    record = replace(
        RECORD, evidence=tuple(replace(RECORD.evidence[0], name=name) for name in names)
    )

    files = [file.name for file in record.files_of("pools.parquet")]

    assert files == [f"pools/part-{part}.parquet" for part in range(12)]
    assert record.files_of("notices.parquet") == ()
    assert RECORD.files_of("notices.parquet") == RECORD.evidence
    assert RECORD.digest_of("notices.parquet") == RECORD.evidence[0]
    assert RECORD.digest_of("run.json") is None


def test_a_folder_of_evidence_is_named_after_its_files() -> None:
    listed = json.dumps(document_of()["evidence"], sort_keys=True, separators=(",", ":"))

    assert RECORD.folder == f"evidence/2024-09-16/{digest_of(listed.encode())[:16]}"
    other = (replace(RECORD.evidence[0], size=98),)
    assert evidence_folder(RECORD.business_date, other) != RECORD.folder


@pytest.mark.parametrize(
    ("text", "is_one"),
    [
        ("2024-09-16-001", True),
        ("2024-09-16-123456789", True),
        ("2024-09-16-01", False),
        ("2024-09-16-001\n", False),
        ("2024-09-16-\u0661\u0661\u0661", False),
    ],
)
def test_a_run_id_has_its_form(text: str, *, is_one: bool) -> None:
    assert is_run_id(text) is is_one
