"""The method as data (S1, F1, F2): what an id means is pinned here, word for word."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from enum import StrEnum
from itertools import product
from typing import Any

import pytest

from lottery.method.methodology import (
    CHOICES,
    FIXED_DECISIONS,
    JPMS_2024_09_06,
    METHODOLOGIES,
    AccountOrder,
    OtherMembers,
    Pooling,
    PositionsSource,
    Security,
    ZeroHit,
)

DECISIONS = {
    "account_order": "numeric",
    "zero_hit": "wrap",
    "other_members": "refuse",
    "pool": "occ-account",
    "positions_source": "digest",
    "zero_position": "no-number",
    "doubled_position": "refuse",
    "notices_of_a_pool": "add",
    "late_notices": "continue",
    "positions_as_of": "end-of-date",
    "ask_decimals": "5",
    "short_composite": "refuse",
    "low_precision_composite": "warn",
    "seeds_of_a_date": "one",
    "after_last_number": "number-one",
    "excess_assignment": "break",
}


def test_the_id_jpms_2024_09_06_means_what_it_has_always_meant() -> None:
    method = METHODOLOGIES["jpms-2024-09-06"]

    assert method.id == "jpms-2024-09-06"
    assert method.effective == dt.date(2024, 9, 6)
    assert method.securities == (
        Security(number="Z901803", cusip="649990058", description="NYSE Volume"),
        Security(number="Z901439", cusip="649990074", description="MIDWEST Volume"),
        Security(number="Z901466", cusip="649990108", description="CINCINNATI Volume"),
        Security(number="Z901448", cusip="649990124", description="NASD Volume"),
    )
    assert method.decisions() == DECISIONS


def test_every_methodology_stands_under_its_own_id() -> None:
    assert METHODOLOGIES["jpms-2024-09-06"] is JPMS_2024_09_06
    assert {key: method.id for key, method in METHODOLOGIES.items()} == {
        key: key for key in METHODOLOGIES
    }


def test_an_ids_meaning_cannot_be_changed_while_the_program_runs() -> None:
    with pytest.raises(TypeError):
        METHODOLOGIES["jpms-2024-09-06"] = JPMS_2024_09_06  # type: ignore[index]
    with pytest.raises(TypeError):
        FIXED_DECISIONS["after_last_number"] = "none"  # type: ignore[index]
    with pytest.raises(AttributeError):
        JPMS_2024_09_06.zero_hit = ZeroHit.FIRST  # type: ignore[misc]


@pytest.mark.parametrize(
    ("name", "choice", "chosen"),
    [
        ("zero_hit", "first", ZeroHit.FIRST),
        ("account_order", "code-point", AccountOrder.CODE_POINT),
        ("other_members", "leave-out", OtherMembers.LEAVE_OUT),
        ("pool", "series", Pooling.SERIES),
        ("positions_source", "kept", PositionsSource.KEPT),
    ],
)
def test_the_other_choice_of_a_decision_is_recorded_as_that_choice(
    name: str, choice: str, chosen: StrEnum
) -> None:
    decided = JPMS_2024_09_06.deciding({name: choice})

    assert getattr(decided, name) is chosen
    assert decided.decisions() == DECISIONS | {name: choice}
    assert (decided.id, decided.effective, decided.securities) == (
        JPMS_2024_09_06.id,
        JPMS_2024_09_06.effective,
        JPMS_2024_09_06.securities,
    )
    assert JPMS_2024_09_06.decisions() == DECISIONS


def test_a_decision_that_is_left_out_keeps_its_choice() -> None:
    first = JPMS_2024_09_06.deciding({"zero_hit": "first"})

    assert first.deciding({}) == first
    assert first.deciding({"account_order": "code-point"}).zero_hit is ZeroHit.FIRST


@pytest.mark.parametrize("chosen", list(product(*CHOICES.values())))
def test_recorded_decisions_bring_the_same_method_back(chosen: tuple[StrEnum, ...]) -> None:
    given: dict[str, Any] = dict(zip(CHOICES, chosen, strict=True))
    method = replace(JPMS_2024_09_06, **given)

    assert JPMS_2024_09_06.deciding(method.decisions()) == method


@pytest.mark.parametrize("choice", ["otherwise", "", "Wrap", " wrap"])
@pytest.mark.parametrize("name", list(DECISIONS))
def test_an_unknown_choice_of_a_decision_is_refused(name: str, choice: str) -> None:
    with pytest.raises(ValueError, match=repr(choice)):
        JPMS_2024_09_06.deciding({name: choice})


@pytest.mark.parametrize("name", ["rounding", "", "ZERO_HIT"])
def test_an_unknown_decision_is_refused_beside_known_ones(name: str) -> None:
    with pytest.raises(ValueError, match=f"must be one of account_order, .*; got '{name}'"):
        JPMS_2024_09_06.deciding({"zero_hit": "wrap", name: "wrap"})
