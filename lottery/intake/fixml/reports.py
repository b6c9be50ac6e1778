"""What OCC's reports have in common: their account, their series, and their rows as Arrow.

FIX 5.0 SP2, as OCC sends it:

- `RptID` is the report's id, and `BizDt` its business date;
- `Pty R="38"` with its `Sub` is the OCC account: `C`, or `C/ZZZ`;
- `Instrmt` is the series (`fixml_instrument`).

Elements and attributes that are not named here are passed over: OCC adds some without notice.

Invariants:
- Every problem names its report; nothing of a file with a problem is used.
- Reports are turned into Arrow as they come, some thousands at a time.
"""

from __future__ import annotations

import datetime as dt
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from lottery.day.tables import LABEL
from lottery.intake.columns import shorten
from lottery.intake.fixml.instrument import PLACEHOLDER, series_of
from lottery.intake.fixml.target import AMPERSAND, Attributes, Report, name_of
from lottery.intake.sources import Place

_ROWS: Final = 1 << 14
_POSITION_ACCOUNT, _CLEARING_FIRM = "38", "4"
"""Values of PartyRole (452)."""
_SUB_ACCOUNT: Final = "2"
"""The PartySubIDType (803) of a sub-account where there are several `Sub`."""


class ReportReader:
    """What both kinds of report have in common.

    Args:
        place: Where problems go.
        business_date: The date that each report must have.
    """

    def __init__(self, place: Place, business_date: dt.date) -> None:
        self.place = place
        self._date = business_date.isoformat()

    def wrong(self, report: Report, message: str, column: str) -> None:
        """Adds a problem of a report."""
        self.place.refuse_numbered_row(report.row, f"{report}: {message}", column=column)

    def id_of(self, report: Report) -> str:
        """The report's id; one without any gets its number."""
        report_id, date = report.attributes.get("RptID"), report.attributes.get("BizDt")
        if not report_id:
            self.wrong(report, "the attribute is missing", "RptID")
        if date != self._date:
            told = "the attribute is missing" if date is None else f"{shorten(date)!r} is given"
            self.wrong(report, f"{told}; the run's date is {self._date}", "BizDt")
        return report_id or f"#{report.row}"

    def series_of(self, report: Report) -> str:
        """The series of the report's one instrument."""
        if report.has_legs:
            self.wrong(report, "the instrument has legs: a spread is no option", "Leg")
        if len(report.instruments) != 1:
            self.wrong(report, f"there are {len(report.instruments)} instead of one", "Instrmt")
            return PLACEHOLDER
        series, wrong = series_of(report.instruments[0])
        for column, message in wrong:
            self.wrong(report, message, column)
        return series

    def parties_of(self, report: Report) -> tuple[str, str | None]:
        """The OCC account, of the one position account, and the clearing firms."""
        accounts, firms = [], []
        for party in report.parties:
            role = party[0].get("R")
            if role == _POSITION_ACCOUNT:
                accounts.append(party)
            elif role == _CLEARING_FIRM:
                firms.append(party[0].get("ID", ""))
        if len(accounts) != 1:
            told = f'there are {len(accounts)} parties R="{_POSITION_ACCOUNT}" instead of one'
            self.wrong(report, f"{told}: the position account", "Pty")
            return "", None
        account_party, subs = accounts[0]
        if len(subs) > 1:
            subs = [one for one in subs if one.get("Typ") == _SUB_ACCOUNT]
            if len(subs) != 1:
                told = f'{len(subs)} of several Sub have Typ="{_SUB_ACCOUNT}"'
                self.wrong(report, f"{told}; one sub-account is expected", "Sub")
        account = self._part(report, account_party, "Pty")
        for sub in subs[:1]:
            account = f"{account}/{self._part(report, sub, 'Sub')}"
        return account, ",".join(firms) or None

    def _part(self, report: Report, party: Attributes, column: str) -> str:
        """The id of an account or a sub-account."""
        part = party.get("ID")
        if not part:
            self.wrong(report, "the attribute ID is missing", column)
            return "C"
        if "/" in part:
            told = f"{shorten(part)!r} has a '/', which parts account and sub-account"
            self.wrong(report, told, column)
        return part


class Columns:
    """Rows as they come, kept as Arrow.

    Args:
        names: The columns.
        labels: Those whose texts repeat.
    """

    def __init__(self, names: tuple[str, ...], labels: tuple[str, ...]) -> None:
        self._names = names
        self._labels = labels
        self._rows: list[tuple[str | None, ...]] = []
        self._parts: list[pa.Table] = []

    def add(self, row: tuple[str | None, ...]) -> None:
        """Takes a row in."""
        self._rows.append(row)
        if len(self._rows) == _ROWS:
            self._flush()

    def table(self) -> pa.Table:
        """All of them; labels are dictionaries."""
        self._flush()
        return pa.concat_tables(self._parts).unify_dictionaries()

    def _flush(self) -> None:
        columns = zip(*self._rows, strict=True) if self._rows else [()] * len(self._names)
        arrays = [_plain(pa.array(column, pa.string())) for column in columns]
        self._rows.clear()
        self._parts.append(
            pa.table(
                {
                    name: array.dictionary_encode().cast(LABEL) if name in self._labels else array
                    for name, array in zip(self._names, arrays, strict=True)
                }
            )
        )


def name_rows(place: Place, ids: pa.ChunkedArray) -> None:
    """Lets the place say with each problem whose report it is."""

    def called(index: int) -> str:
        report_id = ids[index].as_py()
        return name_of("" if report_id == f"#{place.row(index)}" else report_id)

    place.called = called


def _plain(texts: pa.StringArray) -> pa.StringArray:
    """As `fixml_target.plain`, of a column."""
    return pc.replace_substring(texts, AMPERSAND, "&")
