"""`lottery init` makes a ledger, with what its firm has decided, and nothing else does."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lottery.ledger.entry import as_json
from tests.builders import FULL, META, PUBLISHED, opened
from tests.cli.calls import Door, fails, files_in, lottery, run_of, serving, succeeds

DECIDED = ["--decision", "zero_hit=first", "--approval-reference", "SR-2024-09"]


@pytest.fixture
def place(tmp_path: Path) -> Door:
    """Return the files of a ledger that is not there yet."""
    ledger = tmp_path / "books" / "ledger"
    return Door(ledger=ledger, options=("--ledger", str(ledger)))


def charter_of(door: Door) -> dict[str, Any]:
    return as_json(opened(door.ledger).charters()[0])


def test_a_ledger_is_made_with_its_charter_and_its_key(place: Door) -> None:
    answer = place("init", *DECIDED, "--notice-version", "3", "--json")
    assert (answer.exit_code, answer.err) == (0, "")
    keys = place("keys", "--json").document
    assert answer.document == {"ledger": str(place.ledger), **keys}
    charter = charter_of(place)
    assert (charter["approval_reference"], charter["notice_version"]) == ("SR-2024-09", "3")
    assert (charter["origin"], charter["public_key"]) == (keys["origin"], keys["public_key"])
    decisions = charter["method"]["decisions"]
    assert (decisions["zero_hit"], decisions["account_order"]) == ("first", "numeric")
    assert (place.ledger / "signing.key").stat().st_mode & 0o777 == 0o600
    assert place.ledger.stat().st_mode & 0o777 == 0o700


def test_the_same_charter_again_is_quiet_and_leaves_the_ledger(place: Door, tmp_path: Path) -> None:
    place("init", *DECIDED)
    place(*run_of(PUBLISHED, tmp_path / "in"))
    before = files_in(place.ledger)
    text, document = succeeds(place, "init", *DECIDED)
    assert document["public_key"] in text.out
    assert files_in(place.ledger) == before


@pytest.mark.parametrize(
    "given", [[], ["--decision", "zero_hit=wrap"], [*DECIDED, "--notice-version", "4"]]
)
def test_another_charter_is_refused_and_leaves_the_ledger(place: Door, given: list[str]) -> None:
    place("init", *DECIDED)
    before = files_in(place.ledger)
    _, document = fails(place, "init", *given, exit_code=3, reason="INVALID_INPUT")
    (problem,) = document["problems"]
    assert "there is a ledger with another charter at " in problem["message"]
    assert files_in(place.ledger) == before


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["--decision", "coin=toss"], "coin"),
        (["--decision", "zero_hit=last"], "last"),
        (["--approval-reference", "two\nlines"], "one line of at most 1000"),
        (["--notice-version", "x" * 1_001], "one line of at most 1000"),
    ],
)
def test_a_charter_that_says_what_none_can_makes_nothing(
    place: Door, tmp_path: Path, given: list[str], message: str
) -> None:
    _, document = fails(place, "init", *given, exit_code=3, reason="INVALID_INPUT")
    assert message in document["problems"][0]["message"]
    assert list(tmp_path.iterdir()) == []


def test_a_mistyped_ledger_makes_nothing(place: Door, tmp_path: Path) -> None:
    place("init")
    command = run_of(PUBLISHED, tmp_path / "in")
    before = files_in(tmp_path)
    mistyped = tmp_path / "books" / "legder"
    text, _ = fails(lottery, *command, "--ledger", mistyped, exit_code=2, reason="LEDGER_NOT_FOUND")
    assert "make a ledger with lottery init" in text.message
    assert files_in(tmp_path) == before
    assert not mistyped.exists()


def test_an_empty_directory_is_no_ledger_and_gets_none(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    text, _ = fails(
        *(lottery, "runs", "--ledger", tmp_path / "empty"), exit_code=2, reason="LEDGER_NOT_FOUND"
    )
    assert "lottery init" in text.message
    assert list((tmp_path / "empty").iterdir()) == []


@pytest.mark.parametrize("by", ["files", "server"])
@pytest.mark.parametrize(
    ("decision", "choice", "accounts"),
    [
        ("account_order", "code-point", ["0042", "1993", "2381947", "48213"]),
        ("zero_hit", "first", ["0042", "1993", "48213", "2381947"]),
    ],
)
def test_a_decision_of_the_charter_decides_and_is_recorded_and_replays(
    place: Door, tmp_path: Path, by: str, decision: str, choice: str, accounts: list[str]
) -> None:
    place("init", "--decision", f"{decision}={choice}")
    with serving(place.ledger) as server:
        door = server if by == "server" else place
        assert door(*run_of(FULL, tmp_path / "in")).exit_code == 4
        decisions = door("show", "latest", "--json").document["method"]["decisions"]
        assert decisions[decision] == choice
        working = door("explain", "latest", "--series", META, "--json").document
        assert [account["account"] for account in working["accounts"]] == accounts
        for engine in ("compiled", "sql"):
            assert door("replay", "latest", "--engine", engine).exit_code == 0


def test_an_account_that_the_charters_order_does_not_know_is_refused(
    place: Door, tmp_path: Path
) -> None:
    place("init")
    day = replace(PUBLISHED, positions=[{**PUBLISHED.positions[0], "account": "A10"}])
    fails(place, *run_of(day, tmp_path / "in"), exit_code=3, reason="INVALID_INPUT")


def test_the_key_is_made_where_the_setting_says(
    place: Door, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOTTERY_SIGNING_KEY", str(tmp_path / "elsewhere.key"))
    assert place("init").exit_code == 0
    assert (tmp_path / "elsewhere.key").is_file()
    assert not (place.ledger / "signing.key").exists()
    assert place(*run_of(PUBLISHED, tmp_path / "in")).exit_code == 0
