"""What OCC says of a notice besides its series and quantity: kept as evidence, deciding nothing.

FIXML brings it; over the wire Arrow does, in the columns named here.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lottery.day.tables import LABEL, OCC_REPORT_COLUMNS, OCC_REPORTS
from lottery.intake.columns import shorten, sound_text
from lottery.intake.sources import Place

_SAID: Final = r"^[ -~]{0,64}$"


def to_occ_reports(raw: pa.Table, notices: pa.Table, place: Place) -> pa.Table | None:
    """`OCC_REPORTS` of a raw table of notices, row by row; None where it says nothing besides.

    Args:
        raw: The raw table; any of `OCC_REPORT_COLUMNS` may be missing.
        notices: `tables.NOTICES` of the same rows.
        place: Where problems go.
    """
    said = {
        name: _said(raw.column(name), name, place)
        for name in OCC_REPORT_COLUMNS
        if name in raw.column_names
    }
    if not said or not notices.num_rows:
        return None
    return pa.table({**_nothing(notices), **said}, OCC_REPORTS)


def nothing_said(notices: pa.Table) -> pa.Table:
    """`OCC_REPORTS` of notices of which nothing is said besides."""
    return pa.table(_nothing(notices), OCC_REPORTS)


def _nothing(notices: pa.Table) -> dict[str, Any]:
    """The columns, without anything said."""
    keys = {name: notices.column(name) for name in ("notice_id", "occ_account")}
    return {**keys, **{name: pa.nulls(notices.num_rows, LABEL) for name in OCC_REPORT_COLUMNS}}


def _said(column: pa.ChunkedArray, name: str, place: Place) -> pa.ChunkedArray:
    """A column of `OCC_REPORT_COLUMNS`; each distinct text is checked once."""
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if column.type not in (pa.string(), pa.large_string()):
        place.refuse(f"the column is of type {column.type}; text is expected", column=name)
        return pa.chunked_array([pa.nulls(len(column), LABEL)])
    encoded = sound_text(column.combine_chunks()).dictionary_encode()
    wrong = ~pc.match_substring_regex(encoded.dictionary, _SAID).to_numpy(zero_copy_only=False)
    if wrong.any():
        found = np.append(wrong.astype(bool), False)[encoded.indices.fill_null(-1).to_numpy()]
        place.refuse_rows(
            np.flatnonzero(found),
            lambda index: (
                f"{shorten(encoded[index].as_py())!r} is more than 64 printable ASCII characters"
            ),
            column=name,
        )
    return pa.chunked_array([encoded.cast(LABEL)])
