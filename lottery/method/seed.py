"""The seed: four ask prices to a composite, its digits and the fraction (rules S1 to S7).

Invariants:
- Every step is kept: volumes, composite, length, cut position, digits, fraction.
- No floating point anywhere: an ask is a decimal text, the fraction a count of ten-thousandths.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from lottery.errors import INVALID_SEED, Problem, Refused, quote
from lottery.method.methodology import Security

DENOMINATOR: Final = 10_000
"""How many fractions there are (S6)."""

ASK_INTEGER_DIGITS: Final = 13
"""Maximum digits of an ask before its point, so that four volumes add up within 64 bits."""

ZERO_ASK: Final = "ZERO_ASK"
LOW_PRECISION_COMPOSITE: Final = "LOW_PRECISION_COMPOSITE"

_ASK: Final = re.compile(r"([0-9]+)(?:\.([0-9]+))?")


@dataclass(frozen=True, slots=True, kw_only=True)
class ExchangeAsk:
    """One security's ask price as received: the text, never a float."""

    security_number: str
    ask_price: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ExchangeVolume:
    """One security's volume: its ask price times 100,000 (S1)."""

    security_number: str
    ask_price: str
    volume: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleWarning:
    """Something that a rule allows and that deserves attention."""

    code: str
    rule: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Seed:
    """The seed of a business date with every step of its derivation.

    Attributes:
        volumes: The four volumes in the document's order (S1).
        composite: Their sum (S3).
        length: Digits of the composite (S4).
        cut_position: The position of the first digit cut, counted from 1 (S4).
        digits: The four digits cut, as text with their leading zeros (S4).
    """

    volumes: tuple[ExchangeVolume, ...]
    composite: int
    length: int
    cut_position: int
    digits: str

    @property
    def ten_thousandths(self) -> int:
        """The fraction's numerator over 10,000, from 1 to 10,000 (S6)."""
        return int(self.digits) + 1

    @property
    def fraction(self) -> str:
        """The fraction as text, from `0.0001` to `1.0000` (S6)."""
        whole, part = divmod(self.ten_thousandths, DENOMINATOR)
        return f"{whole}.{part:04d}"

    @property
    def volume_of(self) -> dict[str, int]:
        """The volumes by security: seeds with the same volumes are the same (S8)."""
        return {volume.security_number: volume.volume for volume in self.volumes}

    @property
    def composite_with_cut(self) -> str:
        """The composite with its cut shown, as `282[4313]10`."""
        return show_cut(str(self.composite), self.cut_position)

    def warnings(self) -> tuple[RuleWarning, ...]:
        """Return warnings of asks of zero (S2) and of a composite of low precision (S7)."""
        # Runs record these texts and replay compares them: they must not change.
        found = [
            RuleWarning(
                code=ZERO_ASK,
                rule="S2",
                message=f"the ask price of {volume.security_number} is zero: "
                "was that exchange closed?",
            )
            for volume in self.volumes
            if volume.volume == 0
        ]
        if is_low_precision(self.composite):
            found.append(
                RuleWarning(
                    code=LOW_PRECISION_COMPOSITE,
                    rule="S7",
                    message=f"the composite {self.composite} is a multiple of 1,000: "
                    "with such asks only 1,000 of the 10,000 fractions can come up",
                )
            )
        return tuple(found)


def derive_seed(
    asks: Sequence[ExchangeAsk], securities: Sequence[Security], *, source: str = "volumes"
) -> Seed:
    """Derive the seed of a business date (S1 to S6).

    Args:
        asks: The four ask prices, in any order.
        securities: The method's securities, in the document's order.
        source: The source that problems name; their rows count the asks from 1.

    Raises:
        Refused: A security is missing, repeated or unknown, an ask is not a whole volume (S2), or
            the composite has fewer than six digits (S5). Every problem is listed.
    """
    problems, volume_of = _read_asks(asks, securities, source)
    if problems:
        raise Refused(problems)
    volumes = tuple(volume_of[security.number] for security in securities)
    composite = sum(volume.volume for volume in volumes)
    text = str(composite)
    length = len(text)
    cut_position = length - 5
    if cut_position < 1:
        message = f"the composite must have at least 6 digits, got {composite}"
        raise Refused([Problem(source=source, message=message, rule="S5", reason=INVALID_SEED)])
    return Seed(
        volumes=volumes,
        composite=composite,
        length=length,
        cut_position=cut_position,
        digits=text[cut_position - 1 : cut_position + 3],
    )


def is_low_precision(composite: int) -> bool:
    """Return whether a composite is a multiple of 1,000, which few fractions come of (S7)."""
    return composite % 1_000 == 0


def show_cut(composite: str, cut_position: int) -> str:
    """Return a composite with its cut in brackets, as `282[4313]10` (S4)."""
    start = cut_position - 1
    return f"{composite[:start]}[{composite[start : start + 4]}]{composite[start + 4 :]}"


def read_volume(ask_price: str) -> int:
    """Return the volume of an ask price, which is the price times 100,000 (S1, S2).

    Raises:
        ValueError: The text is not a plain decimal, has a non-zero sixth decimal, or is too long.
    """
    match = _ASK.fullmatch(ask_price)
    if match is None:
        raise ValueError(
            f"expected an ask price in plain digits with up to 5 decimals, got {quote(ask_price)}"
        )
    whole, decimals = match[1], match[2] or ""
    if len(whole) > ASK_INTEGER_DIGITS:
        raise ValueError(
            f"ask price must have up to {ASK_INTEGER_DIGITS} digits before the point, "
            f"got {quote(ask_price)}"
        )
    if decimals[5:].strip("0"):
        raise ValueError(
            f"ask price must have up to 5 decimals to be a whole volume, got {quote(ask_price)}"
        )
    return int(whole) * 100_000 + int(decimals[:5].ljust(5, "0"))


def _read_asks(
    asks: Sequence[ExchangeAsk], securities: Sequence[Security], source: str
) -> tuple[list[Problem], dict[str, ExchangeVolume]]:
    problems: list[Problem] = []
    volume_of: dict[str, ExchangeVolume] = {}
    known = {security.number: security for security in securities}
    seen: set[str] = set()

    def refuse(message: str, *, row: int | None = None, column: str | None = None) -> None:
        problems.append(
            Problem(
                source=source,
                row=row,
                column=column,
                message=message,
                rule="S2",
                reason=INVALID_SEED,
            )
        )

    for row, ask in enumerate(asks, start=1):
        number = ask.security_number
        if number not in known:
            refuse(
                f"security must be one of {', '.join(known)}, got {quote(number)}",
                row=row,
                column="security_number",
            )
        elif number in seen:
            refuse(f"security {number} is repeated", row=row, column="security_number")
        seen.add(number)
        try:
            volume = read_volume(ask.ask_price)
        except ValueError as error:
            refuse(str(error), row=row, column="ask_price")
        else:
            volume_of[number] = ExchangeVolume(
                security_number=number, ask_price=ask.ask_price, volume=volume
            )
    for security in securities:
        if security.number not in seen:
            refuse(f"security {security.number} ({security.description}) is missing")
    return problems, volume_of
