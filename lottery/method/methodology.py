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
from typing import Final

from lottery.errors import quote


class AccountOrder(StrEnum):
    """How accounts are compared (R2)."""

    NUMERIC = "numeric"
    CODE_POINT = "code-point"


class ZeroHit(StrEnum):
    """Which number a product below one hits (D2)."""

    WRAP = "wrap"
    FIRST = "first"


@dataclass(frozen=True, slots=True, kw_only=True)
class Security:
    """A pseudo-security whose ask price carries an exchange's volume (S1)."""

    number: str
    cusip: str
    description: str


FIXED_DECISIONS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "zero_position": "no-number",  # P2
        "pool": "occ-account",  # P3
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
    """

    id: str
    effective: dt.date
    securities: tuple[Security, ...]
    account_order: AccountOrder = AccountOrder.NUMERIC
    zero_hit: ZeroHit = ZeroHit.WRAP

    def decisions(self) -> dict[str, str]:
        """Return every decision's name and choice, as the run record keeps them."""
        return {
            "account_order": self.account_order.value,
            "zero_hit": self.zero_hit.value,
            **FIXED_DECISIONS,
        }

    def deciding(self, decisions: Mapping[str, str]) -> Methodology:
        """Return this method with other choices.

        Args:
            decisions: Names to choices; a name that is left out keeps its choice.

        Raises:
            ValueError: A name or a choice is unknown.
        """
        given = {**self.decisions(), **decisions}
        choices = {name: [choice] for name, choice in self.decisions().items()}
        choices["account_order"] = [order.value for order in AccountOrder]
        choices["zero_hit"] = [hit.value for hit in ZeroHit]
        for name, choice in given.items():
            if choice not in choices.get(name, []):
                if name not in choices:
                    known = ", ".join(choices)
                    raise ValueError(f"decision must be one of {known}; got {quote(name)}")
                known = " or ".join(choices[name])
                raise ValueError(f"decision {name} must be {known}, got {quote(choice)}")
        return replace(
            self,
            account_order=AccountOrder(given["account_order"]),
            zero_hit=ZeroHit(given["zero_hit"]),
        )


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
