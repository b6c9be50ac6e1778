"""What OCC's reports mean: `AsgnRpt` is a notice, `PosRpt` OCC's own figure of a pool.

FIX 5.0 SP2, AssignmentReport and PositionReport, as OCC sends them:

- `RptID` is the notice's id, and `BizDt` the business date;
- `Pty R="38"` with its `Sub` is the OCC account: `C`, or `C/ZZZ`;
- `Instrmt` is the series (`fixml_instrument`);
- of an assignment `Qty Typ="AS"` is the quantity, the one of `Long` and `Short` that is not zero;
- of a position `Qty Typ="FIN"` is the day's end, and `Short` what the account is short.

There is no message that cancels or corrects: an `RptID` stands once in a file. Elements and
attributes that are not named here are passed over, because OCC adds some without notice.

Invariants:
- Every problem names its report; nothing of a file with a problem is used.
- Reports are turned into Arrow as they come, some thousands at a time.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lottery.day.tables import LABEL
from lottery.errors import PROBLEM_LIMIT, Problems
from lottery.intake import fixml
from lottery.intake.columns import shorten, to_notices, to_occ_positions
from lottery.intake.fixml import Blocks, Report, plain
from lottery.intake.fixml_instrument import PLACEHOLDER, is_other_than_option, series_of
from lottery.intake.occ import SAID_COLUMNS, to_occ_reports
from lottery.intake.received import Place

ASSIGNMENT: Final = "AsgnRpt"
POSITION: Final = "PosRpt"

_ROWS: Final = 1 << 14
_NOTICE_COLUMNS: Final = ("notice_id", "series", "quantity", "occ_account", *SAID_COLUMNS)
_POSITION_COLUMNS: Final = ("report_id", "series", "short_quantity", "occ_account")
_LABELS: Final = frozenset({"series", "occ_account", *SAID_COLUMNS})
_POSITION_ACCOUNT, _CLEARING_FIRM = "38", "4"
_SUB_ACCOUNT: Final = "2"


def read_notices(
    blocks: Blocks, business_date: dt.date, place: Place
) -> tuple[pa.Table, pa.Table | None] | None:
    """The notices of a file.

    Args:
        blocks: The file.
        business_date: The run's date, which each report must have.
        place: Where problems go; it learns what reports are called, and on which lines they are.

    Returns:
        `tables.NOTICES` and `occ.OCC_REPORTS`, row by row; None where the file is refused whole.
    """
    place.find_lines = lambda: fixml.lines_of_reports(blocks, ASSIGNMENT)
    reader = _Assignments(place, business_date)
    if not fixml.read_reports(blocks, ASSIGNMENT, reader.take, place):
        return None
    reader.check_counts()
    raw = reader.columns.table()
    if not raw.num_rows:
        place.refuse(f"there is no {ASSIGNMENT} in the file")
        return None
    _name_rows(place, raw.column("notice_id"))
    notices = to_notices(raw, place)
    reports = to_occ_reports(raw, notices, place)
    _refuse_repeated(notices, place)
    return notices, reports


def read_occ_positions(blocks: Blocks, business_date: dt.date, place: Place) -> pa.Table | None:
    """OCC's own figures of the pools in a file; as `read_notices`.

    Instruments that say that they are no options are passed over: no pool of ours is theirs.

    Returns:
        `columns.OCC_POSITIONS`; None where the file is refused whole.
    """
    place.find_lines = lambda: fixml.lines_of_reports(blocks, POSITION)
    reader = _Positions(place, business_date)
    if not fixml.read_reports(blocks, POSITION, reader.take, place):
        return None
    raw = reader.columns.table()
    if not raw.num_rows:
        place.refuse(f"there is no {POSITION} of an option in the file")
        return None
    place.row_numbers = np.array(reader.rows, np.int64)
    _name_rows(place, raw.column("report_id"))
    return to_occ_positions(raw.drop_columns(["report_id"]), place)


def parse_notices(content: bytes, business_date: dt.date, *, source: str = "notices") -> pa.Table:
    """`tables.NOTICES` of a file's bytes, whoever they come from.

    Raises:
        Refused: Something is wrong with them; every problem is listed.
    """
    problems = Problems()
    place = Place(source=source, problems=problems)
    read = read_notices(lambda: iter((content,)), business_date, place)
    problems.refuse_if_any()
    assert read is not None, "a file that is refused whole has problems"  # noqa: S101
    return read[0]


def parse_occ_positions(
    content: bytes, business_date: dt.date, *, source: str = "occ_positions"
) -> pa.Table:
    """`columns.OCC_POSITIONS` of a file's bytes; as `parse_notices`.

    Raises:
        Refused: Something is wrong with them; every problem is listed.
    """
    problems = Problems()
    place = Place(source=source, problems=problems)
    read = read_occ_positions(lambda: iter((content,)), business_date, place)
    problems.refuse_if_any()
    assert read is not None, "a file that is refused whole has problems"  # noqa: S101
    return read


class _Columns:
    """Rows as they come, kept as Arrow.

    Args:
        names: The columns.
    """

    def __init__(self, names: tuple[str, ...]) -> None:
        self._names = names
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
        arrays = [pa.array(column, pa.string()) for column in columns]
        self._rows.clear()
        self._parts.append(
            pa.table(
                {
                    name: array.dictionary_encode().cast(LABEL) if name in _LABELS else array
                    for name, array in zip(self._names, arrays, strict=True)
                }
            )
        )


class _Reader:
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
        report_id = plain(report.attributes.get("RptID", ""))
        if not report_id:
            self.wrong(report, "the attribute is missing", "RptID")
        given = report.attributes.get("BizDt")
        if given != self._date:
            told = "the attribute is missing" if given is None else f"{shorten(given)!r} is given"
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

    def occ_account_of(self, report: Report) -> str:
        """The OCC account of the report's one position account."""
        found = [party for party in report.parties if party[0].get("R") == _POSITION_ACCOUNT]
        if len(found) != 1:
            told = f'there are {len(found)} parties R="{_POSITION_ACCOUNT}" instead of one'
            self.wrong(report, f"{told}: the position account", "Pty")
            return ""
        party, subs = found[0]
        if len(subs) > 1:
            subs = [sub for sub in subs if sub.get("Typ") == _SUB_ACCOUNT]
            if len(subs) != 1:
                told = f'{len(subs)} of several Sub have Typ="{_SUB_ACCOUNT}"'
                self.wrong(report, f"{told}; one sub-account is expected", "Sub")
                return ""
        parts = [one.get("ID") for one in (party, *subs)]
        for part, column in zip(parts, ("Pty", "Sub"), strict=False):
            if not part:
                self.wrong(report, "the attribute ID is missing", column)
            elif "/" in part:
                told = f"{shorten(part)!r} has a '/', which parts account and sub-account"
                self.wrong(report, told, column)
        return "/".join(part or "" for part in parts) if all(parts) else ""


class _Assignments(_Reader):
    """The notices of a file, as their reports come."""

    def __init__(self, place: Place, business_date: dt.date) -> None:
        super().__init__(place, business_date)
        self.columns = _Columns(_NOTICE_COLUMNS)
        self._announced = _Announced()

    def take(self, report: Report) -> None:
        get = report.attributes.get
        firms = [party[0].get("ID") for party in report.parties if party[0].get("R") == "4"]
        self.columns.add(
            (
                self.id_of(report),
                self.series_of(report),
                self._quantity_of(report),
                self.occ_account_of(report),
                ",".join(plain(firm) for firm in firms if firm) or None,
                *(_said(get(name)) for name in ("OpenInt", "ExrMethod", "AsgnMeth")),
                _said(get("Unit")),
                _said(get("SetSesID")),
            )
        )
        self._announced.see(report, get("TotNumAsgnRpts"), get("LastRptReqed"))

    def check_counts(self) -> None:
        """Refuses reports that announce another number of them than came, or another last one."""
        announced = self._announced
        for text, row, name in announced.totals:
            if not fixml.is_count(text, announced.count):
                self.place.refuse_numbered_row(
                    row,
                    f"{name}: {shorten(text)!r} reports are announced and {announced.count} came",
                    column="TotNumAsgnRpts",
                )
        for text, row, name in announced.lasts:
            expected = "Y" if row == announced.count else "N"
            if text != expected:
                told = "the last" if expected == "Y" else f"not the last of {announced.count}"
                self.place.refuse_numbered_row(
                    row,
                    f"{name}: {shorten(text)!r}, and it is {told} report",
                    column="LastRptReqed",
                )

    def _quantity_of(self, report: Report) -> str:
        """The text of what is assigned; whether it is a quantity is looked at with all others."""
        assigned = [one for one in report.quantities if one.get("Typ") == "AS"]
        if len(assigned) != 1:
            self.wrong(report, f'there are {len(assigned)} Qty Typ="AS" instead of one', "Qty")
            return "1"
        long, short = assigned[0].get("Long"), assigned[0].get("Short")
        if not _is_none(long) and not _is_none(short):
            told = f"Long {shorten(str(long))!r} and Short {shorten(str(short))!r}"
            self.wrong(report, f"both are assigned, {told}: one of them must be zero", "Qty")
            return "1"
        if _is_none(long) and _is_none(short):
            self.wrong(report, "neither Long nor Short is assigned", "Qty")
            return "1"
        return str(short if _is_none(long) else long)


@dataclass(slots=True)
class _Announced:
    """What reports say of how many there are; a few of what they say suffice.

    Attributes:
        totals: `TotNumAsgnRpts` as the first report has it that says so, with its row and name.
        lasts: `LastRptReqed` where it says what the next report, or none, shows to be wrong.
    """

    count: int = 0
    totals: list[tuple[str, int, str]] = field(default_factory=list)
    lasts: list[tuple[str, int, str]] = field(default_factory=list)
    _seen: set[str] = field(default_factory=set)

    def see(self, report: Report, total: str | None, last: str | None) -> None:
        self.count += 1
        if total is not None and total not in self._seen and len(self._seen) < PROBLEM_LIMIT:
            self._seen.add(total)
            self.totals.append((total, report.row, str(report)))
        if self.lasts and self.lasts[-1][0] == "N":
            self.lasts.pop()  # Another one came behind it, as it says.
        if last is not None and len(self.lasts) < PROBLEM_LIMIT:
            self.lasts.append((last, report.row, str(report)))


class _Positions(_Reader):
    """OCC's figures of a file, as their reports come.

    Attributes:
        rows: Which report each row is.
    """

    def __init__(self, place: Place, business_date: dt.date) -> None:
        super().__init__(place, business_date)
        self.columns = _Columns(_POSITION_COLUMNS)
        self.rows: list[int] = []

    def take(self, report: Report) -> None:
        if len(report.instruments) == 1 and is_other_than_option(report.instruments[0]):
            return
        self.rows.append(report.row)
        self.columns.add(
            (
                self.id_of(report),
                self.series_of(report),
                self._short_of(report),
                self.occ_account_of(report),
            )
        )

    def _short_of(self, report: Report) -> str:
        """The text of what the account is short at the day's end."""
        final = [one for one in report.quantities if one.get("Typ") == "FIN"]
        if len(final) != 1:
            self.wrong(report, f'there are {len(final)} Qty Typ="FIN" instead of one', "Qty")
            return "0"
        if final[0].get("Long") is None and final[0].get("Short") is None:
            self.wrong(report, "there is neither Long nor Short", "Qty")
        return final[0].get("Short", "0")


def _said(text: str | None) -> str | None:
    return None if text is None else plain(text)


def _is_none(quantity: str | None) -> bool:
    """Whether a quantity is absent or zero."""
    return quantity is None or not quantity.strip("0")


def _name_rows(place: Place, ids: pa.ChunkedArray) -> None:
    """Lets the place say with each problem whose report it is."""

    def called(index: int) -> str:
        report_id = ids[index].as_py()
        return fixml.name_of("" if report_id == f"#{place.row(index)}" else report_id)

    place.called = called


def _refuse_repeated(notices: pa.Table, place: Place) -> None:
    """Refuses an id that stands for several OCC accounts.

    Within one OCC account an id is refused whatever file it comes from
    (`operations.checks.refuse_doubled_notices`).
    """
    ids = notices.column("notice_id")
    if pc.count_distinct(ids).as_py() == notices.num_rows:
        return
    counts = pc.value_counts(ids)
    several = counts.field("values").filter(pc.greater(counts.field("counts"), 1))
    rows = np.flatnonzero(pc.is_in(ids, value_set=several).to_numpy())
    first_of: dict[str, tuple[int, str]] = {}
    for index in map(int, rows):
        account = notices.column("occ_account")[index].as_py()
        first, other = first_of.setdefault(ids[index].as_py(), (index, account))
        if account != other:
            place.refuse_row(
                index,
                f"the id is that of row {place.row(first)} already, for OCC account {other!r}; "
                f"here it is for {account!r}",
                column="RptID",
            )
