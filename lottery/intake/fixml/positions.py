"""OCC's position reports as its own figures of the pools (FIX 5.0 SP2, PositionReport, `PosRpt`).

`Qty Typ="FIN"` is what an OCC account has at the day's end, and `Short` what it is short.
"""

from __future__ import annotations

import datetime as dt
from typing import Final

import numpy as np
import pyarrow as pa

from lottery.errors import Problems
from lottery.intake.columns import LABEL_COLUMNS, to_occ_positions
from lottery.intake.fixml import parser
from lottery.intake.fixml.instrument import is_other_than_option
from lottery.intake.fixml.parser import Blocks
from lottery.intake.fixml.reports import Columns, ReportReader, name_rows
from lottery.intake.fixml.target import Report
from lottery.intake.sources import Place

POSITION: Final = "PosRpt"

_COLUMNS: Final = ("report_id", "series", "short_quantity", "occ_account")


def read_occ_positions(blocks: Blocks, business_date: dt.date, place: Place) -> pa.Table | None:
    """OCC's own figures of the pools in a file; whatever is wrong goes to `place`.

    Instruments that say that they are no options are passed over: no pool of ours is theirs.

    Args:
        blocks: The file.
        business_date: The run's date, which each report must have.
        place: Where problems go; it learns what reports are called, and on which lines they are.

    Returns:
        `tables.OCC_POSITIONS`; None where the file is refused whole.
    """
    place.find_lines = lambda: parser.lines_of_reports(blocks, POSITION)
    reader = _Positions(place, business_date)
    if not parser.read_reports(blocks, POSITION, reader.take, place):
        return None
    raw = reader.columns.table()
    if not raw.num_rows:
        place.refuse(f"there is no {POSITION} of an option in the file")
        return None
    place.row_numbers = np.array(reader.rows, np.int64)
    name_rows(place, raw.column("report_id"))
    return to_occ_positions(raw.drop_columns(["report_id"]), place)


def parse_occ_positions(
    content: bytes, business_date: dt.date, *, source: str = "occ_positions"
) -> pa.Table:
    """`tables.OCC_POSITIONS` of a file's bytes; whoever they come from.

    Raises:
        Refused: Something is wrong with them; every problem is listed.
    """
    problems = Problems()
    place = Place(source=source, problems=problems)
    read = read_occ_positions(lambda: iter((content,)), business_date, place)
    problems.refuse_if_any()
    assert read is not None, "a file that is refused whole has problems"  # noqa: S101
    return read


class _Positions(ReportReader):
    """OCC's figures of a file, as their reports come.

    Attributes:
        rows: Which report each row is.
    """

    def __init__(self, place: Place, business_date: dt.date) -> None:
        super().__init__(place, business_date)
        self.columns = Columns(_COLUMNS, LABEL_COLUMNS)
        self.rows: list[int] = []

    def take(self, report: Report) -> None:
        if len(report.instruments) == 1 and is_other_than_option(report.instruments[0]):
            return
        self.rows.append(report.row)
        account, _ = self.parties_of(report)
        self.columns.add(
            (self.id_of(report), self.series_of(report), self._short_of(report), account)
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
