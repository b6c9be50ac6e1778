"""The method as data: its id, effective date, securities and decisions (rules S1, F1, F2).

Invariants:
- An id never changes its meaning; a later text is a new entry of `METHODOLOGIES` (F2).
- Every decided rule is a named decision that is recorded with every run, even if this software
  knows only one choice of it.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Final

from lottery.errors import quote


class AccountOrder(StrEnum):
    """How accounts are compared (R2)."""

    NUMERIC = "numeric"
    CODE_POINT = "code-point"


class ZeroHit(StrEnum):
    """Which number a product below one hits (D2)."""

    WRAP = "wrap"
    FIRST = "first"


class OtherMembers(StrEnum):
    """What becomes of notices of another clearing member than the one that counts (P8)."""

    REFUSE = "refuse"
    LEAVE_OUT = "leave-out"


class Pooling(StrEnum):
    """What makes a pool (P3)."""

    OCC_ACCOUNT = "occ-account"
    SERIES = "series"


class PositionsSource(StrEnum):
    """What is kept of the positions as they were received (C1)."""

    DIGEST = "digest"
    KEPT = "kept"


CHOICES: Final[Mapping[str, type[StrEnum]]] = MappingProxyType(
    {
        "account_order": AccountOrder,
        "zero_hit": ZeroHit,
        "other_members": OtherMembers,
        "pool": Pooling,
        "positions_source": PositionsSource,
    }
)
"""Decisions of which this software knows several choices; a `Methodology` has each by its name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Security:
    """A pseudo-security whose ask price carries an exchange's volume (S1)."""

    number: str
    cusip: str
    description: str


FIXED_DECISIONS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "zero_position": "no-number",  # P2
        "doubled_position": "refuse",  # P4
        "notices_of_a_pool": "add",  # P5
        "late_notices": "continue",  # P6
        "positions_as_of": "end-of-date",  # P7
        "ask_decimals": "5",  # S2
        "short_composite": "refuse",  # S5
        "low_precision_composite": "warn",  # S7
        "seeds_of_a_date": "one",  # S8
        "after_last_number": "number-one",  # D4
        "excess_assignment": "break",  # D5
    }
)
"""Decisions of which this software knows one choice."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Methodology:
    """One version of the method.

    Attributes:
        id: Its name, which never changes (F2).
        effective: The first business date that it covers (F1).
        securities: The four securities in the document's order (S1).
        account_order: The choice of R2.
        zero_hit: The choice of D2.
        other_members: The choice of P8.
        pool: The choice of P3.
        positions_source: What is kept of the positions as received (C1).
    """

    id: str
    effective: dt.date
    securities: tuple[Security, ...]
    account_order: AccountOrder = AccountOrder.NUMERIC
    zero_hit: ZeroHit = ZeroHit.WRAP
    other_members: OtherMembers = OtherMembers.REFUSE
    pool: Pooling = Pooling.OCC_ACCOUNT
    positions_source: PositionsSource = PositionsSource.DIGEST

    def decisions(self) -> dict[str, str]:
        """Return every decision's name and choice, as the run record keeps them."""
        return {**{name: str(getattr(self, name)) for name in CHOICES}, **FIXED_DECISIONS}

    def deciding(self, decisions: Mapping[str, str]) -> Methodology:
        """Return this method with other choices.

        Args:
            decisions: Names to choices; a name that is left out keeps its choice.

        Raises:
            ValueError: A name or a choice is unknown.
        """
        known = {name: [str(choice) for choice in choices] for name, choices in CHOICES.items()}
        known |= {name: [choice] for name, choice in FIXED_DECISIONS.items()}
        for name, choice in decisions.items():
            if name not in known:
                raise ValueError(f"decision must be one of {', '.join(known)}; got {quote(name)}")
            if choice not in known[name]:
                expected = " or ".join(known[name])
                raise ValueError(f"decision {name} must be {expected}, got {quote(choice)}")
        chosen: dict[str, Any] = {
            name: choices(decisions[name]) for name, choices in CHOICES.items() if name in decisions
        }
        return replace(self, **chosen)


JPMS_2024_09_06: Final = Methodology(
    id="jpms-2024-09-06",
    effective=dt.date(2024, 9, 6),
    securities=(
        Security(number="Z901803", cusip="649990058", description="NYSE Volume"),
        Security(number="Z901439", cusip="649990074", description="MIDWEST Volume"),
        Security(number="Z901466", cusip="649990108", description="CINCINNATI Volume"),
        Security(number="Z901448", cusip="649990124", description="NASD Volume"),
    ),
)
"""The method of "Update of Options Lottery Methodology", J.P. Morgan Securities LLC."""

METHODOLOGIES: Final[Mapping[str, Methodology]] = MappingProxyType(
    {JPMS_2024_09_06.id: JPMS_2024_09_06}
)
"""Every released method by its id."""
