"""The trail: who did what to the ledger, when, and with which software."""

from __future__ import annotations

import datetime as dt
import io
import json
import os
import socket
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lottery import operations
from lottery.audit.replay import Engine
from lottery.errors import LedgerDamaged
from lottery.ledger.commit import Ledger
from lottery.ledger.run_record import Identity, Software
from lottery.ledger.trail import (
    TRAIL_FORMAT,
    TrailEntry,
    entry_now,
    read_entry,
    system_identity,
    utc_now,
)
from lottery.operations import exports, proofs
from lottery.version import NAME, VERSION
from tests.builders import NEXT_DATE, PUBLISHED, REQUESTER, TESTER, assert_sound
from tests.ledger.ledgers import META_ONLY, Run, trail_of

A, B = "2024-09-16-001", "2024-09-16-002"
ENTRY = TrailEntry(
    format=TRAIL_FORMAT,
    at="2024-09-16T22:15:00.000001Z",
    operation="RUN_RECORDED",
    subject=A,
    outcome="ALLOCATED",
    by=Identity(kind="system-user", name="töster", host="backend"),
    software=Software(name="options-assignment-lottery", version="0.1.0"),
)
CANONICAL = (
    '{"at":"2024-09-16T22:15:00.000001Z",'
    '"by":{"host":"backend","kind":"system-user","name":"töster"},'
    '"format":"lottery.trail/1","operation":"RUN_RECORDED","outcome":"ALLOCATED",'
    '"software":{"name":"options-assignment-lottery","version":"0.1.0"},'
    '"subject":"2024-09-16-001"}'
)


def test_the_canonical_bytes_are_golden_and_read_back() -> None:
    assert ENTRY.canonical() == CANONICAL.encode()
    assert read_entry(CANONICAL.encode()) == ENTRY
    assert ENTRY.as_json() == json.loads(CANONICAL)


@given(text=st.text(st.characters(codec="utf-8")))
def test_any_text_comes_back(text: str) -> None:
    """Canonical bytes read back give an equal entry, and its canonical bytes again."""
    entry = replace(ENTRY, subject=text, outcome=text, by=replace(ENTRY.by, name=text))

    assert read_entry(entry.canonical()) == entry


@pytest.mark.parametrize(
    "changed",
    [
        pytest.param("", id="nothing"),
        pytest.param("[]", id="a list"),
        pytest.param(f"{CANONICAL} ", id="a blank more"),
        pytest.param(CANONICAL.replace("trail/1", "trail/2"), id="another format"),
        pytest.param(CANONICAL.replace('"outcome":"ALLOCATED",', ""), id="a member less"),
        pytest.param(CANONICAL.replace("{", '{"a":1,', 1), id="a member more"),
        pytest.param(CANONICAL.replace('"backend"', "null"), id="a null"),
        pytest.param(CANONICAL.replace("ö", "\\u00f6"), id="an escaped letter"),
        pytest.param(CANONICAL.replace("ö", "\\ud800"), id="half a surrogate"),
    ],
)
def test_bytes_that_are_not_the_canonical_ones_of_an_entry_are_refused(changed: str) -> None:
    with pytest.raises(LedgerDamaged, match="a trail entry"):
        read_entry(changed.encode())


def test_an_entry_says_now_in_utc_and_which_software(monkeypatch: pytest.MonkeyPatch) -> None:
    before = utc_now()
    entry = entry_now("RUNS_REPLAYED", A, "matches", TESTER)
    after = utc_now()

    assert before <= entry.at <= after
    assert entry.at.endswith("Z")
    assert dt.datetime.fromisoformat(entry.at).utcoffset() == dt.timedelta(0)
    assert (entry.by, entry.software) == (TESTER, Software(name=NAME, version=VERSION))
    monkeypatch.setenv("LOGNAME", "somebody")
    assert system_identity() == Identity(
        kind="system-user", name="somebody", host=socket.gethostname()
    )


def test_a_user_without_a_name_is_reported_by_number(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(os, "getuid", lambda: 4_000_111)

    assert system_identity().name == "uid 4000111"


@pytest.mark.usefixtures("published")
def test_every_operation_that_writes_is_an_entry_in_its_order(run: Run, ledger: Path) -> None:
    run(META_ONLY)
    run(META_ONLY)  # Found, and nothing written.
    opened = Ledger.open(ledger)
    operations.replay_run(opened, "latest", REQUESTER, engine=Engine.COMPILED)
    exports.export_run(opened, A, io.BytesIO(), TESTER)
    run(replace(PUBLISHED, date=NEXT_DATE))

    key = opened.log().key
    made, *rest = trail_of(ledger)
    assert made[0] == "LEDGER_MADE"
    assert str(key) in made[1:]
    assert [(operation, subject) for operation, subject, _ in rest] == [
        ("RUN_RECORDED", A),
        ("RUN_RECORDED", B),
        ("RUNS_REPLAYED", B),
        ("RUN_EXPORTED", A),
        ("RUN_RECORDED", "2024-09-17-001"),
    ]
    entries = list(proofs.trail(opened))
    assert [entry.by for entry in entries] == [system_identity(), *[TESTER] * 5]
    assert [entry.at for entry in entries] == sorted(entry.at for entry in entries)
    assert_sound(ledger)


@pytest.mark.usefixtures("published")
def test_a_replay_of_many_runs_is_one_entry_also_where_its_reader_stops(
    run: Run, ledger: Path
) -> None:
    run(META_ONLY)
    opened = Ledger.open(ledger)

    list(operations.replay_dates(opened, REQUESTER, engine=Engine.COMPILED, first=NEXT_DATE))
    list(operations.replay_dates(opened, REQUESTER, engine=Engine.SQL, last=NEXT_DATE))
    stopped = operations.replay_dates(opened, REQUESTER, engine=Engine.COMPILED)
    assert next(iter(stopped)).matched
    stopped.close()  # type: ignore[attr-defined]

    assert trail_of(ledger)[3:] == [
        ("RUNS_REPLAYED", "2024-09-17 to the last date", "0 of 0 match (compiled)"),
        ("RUNS_REPLAYED", "the first date to 2024-09-17", "2 of 2 match (sql)"),
        ("RUNS_REPLAYED", "the first date to the last date", "1 of 1 match (compiled)"),
    ]


def test_a_replay_that_differs_says_so_in_the_trail(run: Run, ledger: Path) -> None:
    record = run(PUBLISHED).record
    opened = Ledger.open(ledger)
    (opened.evidence_of(record) / "pools.parquet").unlink()

    operations.replay_run(opened, A, REQUESTER, engine=Engine.COMPILED)

    assert trail_of(ledger)[-1] == ("RUNS_REPLAYED", A, "differs (compiled)")
