"""OCC's position reports as its own figures of the pools (FIX 5.0 SP2, PositionReport, `PosRpt`).

`Qty Typ="FIN"` is what an OCC account has at the day's end, and `Short` what it is short.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import replace

import numpy as np

from lottery.intake.columns import to_occ_positions
from lottery.intake.fixml.instrument import is_other_than_option
from lottery.intake.fixml.parser import Blocks
from lottery.intake.fixml.reports import ReportReader
from lottery.intake.fixml.target import FixmlReport
from lottery.intake.memory import UNLIMITED, MemoryLimit
from lottery.intake.sources import Reading


def read_occ_positions(
    blocks: Blocks, business_date: dt.date, source: str, memory: MemoryLimit = UNLIMITED
) -> Reading:
    """Read OCC's own figures of the pools in a file.

    Instruments that are not options are skipped: they belong to no pool.

    Args:
        blocks: The file.
        business_date: The run's date, which each report must have.
        source: What problems name as their source.
        memory: What the day may take.

    Returns:
        `tables.OCC_POSITIONS`; no table if the file is refused as a whole.

    Raises:
        LimitExceeded: The reports need more memory.
    """
    reader = _PositionReader(blocks, business_date, source, memory)
    raw = reader.read()
    if raw.table is None:
        return raw
    row_numbers = np.array(reader.row_numbers, np.int64)
    return to_occ_positions(
        replace(
            raw,
            locator=replace(raw.locator, row_numbers=row_numbers),
            table=raw.table.drop_columns(["report_id"]),
        )
    )


class _PositionReader(ReportReader):
    """Reads position reports; `row_numbers` has the report's number of each row."""

    kind = "PosRpt"

    def __init__(
        self, blocks: Blocks, business_date: dt.date, source: str, memory: MemoryLimit
    ) -> None:
        columns = ("report_id", "series", "short_quantity", "occ_account")
        super().__init__(blocks, business_date, source, columns, memory)
        self.row_numbers: list[int] = []

    def take(self, report: FixmlReport) -> None:
        if len(report.instruments) == 1 and is_other_than_option(report.instruments[0]):
            return
        self.row_numbers.append(report.row)
        account, _ = self.parties_of(report)
        self.rows.add(self.id_of(report), self.series_of(report), self._short_of(report), account)

    def _short_of(self, report: FixmlReport) -> str:
        """Return the text of what the account is short at the day's end."""
        final = [one for one in report.quantities if one.get("Typ") == "FIN"]
        if len(final) != 1:
            message = f'report must have one Qty Typ="FIN", got {len(final)}'
            self.refuse(report, message, "Qty")
            return "0"
        if final[0].get("Long") is None and final[0].get("Short") is None:
            self.refuse(report, "Long or Short must be present, got neither", "Qty")
        return final[0].get("Short", "0")
