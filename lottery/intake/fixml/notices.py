"""OCC's assignment reports as notices (FIX 5.0 SP2, AssignmentReport, `AsgnRpt`).

`RptID` is the notice's id. `Qty Typ="AS"` has its quantity: the one of `Long` and `Short` that is
not zero. `TotNumAsgnRpts` and `LastRptReqed`, if given, must be true of the file. No message
cancels or corrects another, so an `RptID` appears once in a file.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import replace
from typing import TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lottery.day.tables import OCC_REPORT_COLUMNS
from lottery.errors import PROBLEM_LIMIT, Problem, Problems, quote
from lottery.intake.columns import to_notices
from lottery.intake.fixml.parser import Blocks
from lottery.intake.fixml.reports import ReportReader
from lottery.intake.fixml.target import FixmlReport, is_count
from lottery.intake.memory import UNLIMITED, MemoryLimit
from lottery.intake.occ_reports import to_occ_reports
from lottery.intake.sources import Reading, RowLocator

_Announced: TypeAlias = tuple[str, int, str]
"""What a report announces, its row, and its name."""


def read_notices(
    blocks: Blocks, business_date: dt.date, source: str, memory: MemoryLimit = UNLIMITED
) -> Reading:
    """Read the notices of a file.

    Args:
        blocks: The file.
        business_date: The run's date, which each report must have.
        source: What problems name as their source.
        memory: What the day may take.

    Returns:
        `tables.NOTICES` and `tables.OCC_REPORTS`; no table if the file is refused as a whole.

    Raises:
        LimitExceeded: The reports need more memory.
    """
    raw = _AssignmentReader(blocks, business_date, source, memory).read()
    if raw.table is None:
        return raw
    notices = to_notices(raw)
    occ_reports, occ_problems = to_occ_reports(raw, notices.table)
    return replace(
        notices,
        problems=notices.problems + occ_problems + _repeated_ids(notices.table, raw.locator),
        occ_reports=occ_reports,
    )


class _AssignmentReader(ReportReader):
    """Reads assignment reports; of what they announce it keeps what may be wrong."""

    kind = "AsgnRpt"
    may_be_none = True

    def __init__(
        self, blocks: Blocks, business_date: dt.date, source: str, memory: MemoryLimit
    ) -> None:
        columns = ("notice_id", "series", "quantity", "occ_account", *OCC_REPORT_COLUMNS)
        super().__init__(blocks, business_date, source, columns, memory, OCC_REPORT_COLUMNS)
        self._count = 0
        self._totals: dict[str, _Announced] = {}
        self._lasts: list[_Announced] = []
        self._following: list[_Announced] = []

    def take(self, report: FixmlReport) -> None:
        account, firm = self.parties_of(report)
        get = report.attributes.get
        self.rows.add(
            self.id_of(report),
            self.series_of(report),
            self._quantity_of(report),
            account,
            firm,
            get("OpenInt"),
            get("ExrMethod"),
            get("AsgnMeth"),
            get("Unit"),
            get("SetSesID"),
        )
        self._count += 1
        total, last = get("TotNumAsgnRpts"), get("LastRptReqed")
        if total is not None and len(self._totals) < PROBLEM_LIMIT:
            self._totals.setdefault(total, (total, report.row, str(report)))
        if last == "N":  # Only the last of them can be wrong.
            self._following = [(last, report.row, str(report))]
        elif last is not None and len(self._lasts) < PROBLEM_LIMIT:
            self._lasts.append((last, report.row, str(report)))

    def final_problems(self) -> Sequence[Problem]:
        """Return a problem for each announcement that is not true of the file."""
        count = self._count
        problems = [
            self.locator.numbered_row_problem(
                row,
                f"{name}: TotNumAsgnRpts must be {count}, the number of reports, got {quote(text)}",
                column="TotNumAsgnRpts",
            )
            for text, row, name in self._totals.values()
            if not is_count(text, count)
        ]
        for text, row, name in (*self._lasts, *self._following):
            expected, which = ("Y", "on") if row == count else ("N", "before")
            if text != expected:
                message = (
                    f"{name}: LastRptReqed must be {expected} {which} the last of {count} reports, "
                    f"got {quote(text)}"
                )
                problems.append(
                    self.locator.numbered_row_problem(row, message, column="LastRptReqed")
                )
        return problems

    def _quantity_of(self, report: FixmlReport) -> str:
        """Return the text of the assigned quantity, which is checked with all others."""
        assigned = [one for one in report.quantities if one.get("Typ") == "AS"]
        if len(assigned) != 1:
            message = f'report must have one Qty Typ="AS", got {len(assigned)}'
            self.refuse(report, message, "Qty")
            return "1"
        long, short = assigned[0].get("Long"), assigned[0].get("Short")
        if _is_zero(long) and _is_zero(short):
            self.refuse(report, "Long or Short must be assigned, got neither", "Qty")
            return "1"
        if not _is_zero(long) and not _is_zero(short):
            got = f"Long {quote(long)} and Short {quote(short)}"
            self.refuse(report, f"one of Long and Short must be zero, got {got}", "Qty")
            return "1"
        return str(short if _is_zero(long) else long)


def _is_zero(quantity: str | None) -> bool:
    """Return whether a quantity is absent or zero."""
    return quantity is None or (quantity != "" and not quantity.strip("0"))


def _repeated_ids(notices: pa.Table, locator: RowLocator) -> Problems:
    """Return a problem for each id that appears again for another OCC account.

    `operations.validation.repeated_notices` refuses one that appears again for the same account,
    whatever file it comes from.
    """
    ids = notices.column("notice_id")
    if pc.count_distinct(ids).as_py() == notices.num_rows:
        return Problems()
    counts = pc.value_counts(ids)
    several = counts.field("values").filter(pc.greater(counts.field("counts"), 1))
    rows = np.flatnonzero(pc.is_in(ids, value_set=several).to_numpy())
    first_of: dict[str, tuple[int, str]] = {}
    messages: dict[int, str] = {}
    for index in map(int, rows):
        notice_id, account = ids[index].as_py(), notices.column("occ_account")[index].as_py()
        first, other = first_of.setdefault(notice_id, (index, account))
        if account != other:
            messages[index] = (
                f"duplicate notice id {quote(notice_id)} for OCC account {quote(account)}; "
                f"it is also on row {locator.row(first)} for {quote(other)}"
            )
    return locator.row_problems(list(messages), messages.__getitem__, column="RptID")
