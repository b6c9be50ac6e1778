"""Masking: a page that may leave the firm names no account, and nobody who works there.

Accounts get labels, A1, A2 and so on, in the order in which the page comes to them; one label is
one account throughout. No digit of an account number is kept: the last four would give short
numbers away. Texts that people wrote may hold an account number, so every digit in them is
replaced. Who asked for the run, and on which host, is left out. An `occ_account` is OCC's, not a
client's, and stays.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Final

from lottery.ledger.run_record import RunRecord
from lottery.ledger.warning_codes import WARNINGS
from lottery.method.seed import RuleWarning

MASKED_DIGIT: Final = "•"
"""What stands for a digit."""


class AccountNames:
    """What accounts are called on one page.

    Args:
        masked: Whether accounts are called by labels; otherwise by their numbers.
    """

    def __init__(self, *, masked: bool) -> None:
        self.masked = masked
        self._labels: dict[str, str] = {}

    def __call__(self, account: str) -> str:
        """Return what an account is called: the same every time."""
        if not self.masked:
            return account
        return self._labels.setdefault(account, f"A{len(self._labels) + 1}")


def masked_record(record: RunRecord) -> RunRecord:
    """Return a record without its requester, and without a digit in any text of people."""
    return replace(
        record,
        request_id=_without_digits(record.request_id),
        reason=None if record.reason is None else _without_digits(record.reason),
        acknowledgements=tuple(
            replace(one, reason=_without_digits(one.reason)) for one in record.acknowledgements
        ),
        requested_by=replace(record.requested_by, name="", host=""),
        sources=tuple(
            replace(
                source,
                name=_without_digits(source.name),
                kept_as=source.kept_as and _without_digits(source.kept_as),
            )
            for source in record.sources
        ),
        evidence=tuple(replace(file, name=_without_digits(file.name)) for file in record.evidence),
        warnings=tuple(map(_masked_warning, record.warnings)),
    )


def _masked_warning(warning: RuleWarning) -> RuleWarning:
    if warning.code in WARNINGS:
        return warning
    return replace(warning, message=_without_digits(warning.message))


def _without_digits(text: str) -> str:
    return re.sub(r"\d", MASKED_DIGIT, text)
