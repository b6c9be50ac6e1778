"""What else OCC says of a notice: kept as evidence, deciding nothing.

FIXML carries it; over the wire it comes as Arrow columns of the same names.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lottery.day.tables import LABEL, OCC_REPORT_COLUMNS, OCC_REPORTS
from lottery.errors import Problems, quote
from lottery.intake.columns import Column, valid_utf8
from lottery.intake.sources import Reading, RowLocator

_PRINTABLE: Final = r"^[ -~]{0,64}$"


def to_occ_reports(raw: Reading, notices: pa.Table) -> tuple[pa.Table | None, Problems]:
    """Return `tables.OCC_REPORTS` of a raw table of notices, and what is wrong with it.

    Args:
        raw: The raw table; any of `OCC_REPORT_COLUMNS` may be missing.
        notices: `tables.NOTICES` of the same rows.

    Returns:
        The table, None if it has none of the columns; and the problems.
    """
    checked = {
        name: _checked(raw.table.column(name), name, raw.locator)
        for name in OCC_REPORT_COLUMNS
        if name in raw.table.column_names
    }
    problems = sum((problems for _, problems in checked.values()), Problems())
    if not checked or not notices.num_rows:
        return None, problems
    columns = {name: column for name, (column, _) in checked.items()}
    return pa.table({**_nulls(notices), **columns}, OCC_REPORTS), problems


def empty_reports(notices: pa.Table) -> pa.Table:
    """Return `tables.OCC_REPORTS` of notices of which OCC says nothing else."""
    return pa.table(_nulls(notices), OCC_REPORTS)


def _nulls(notices: pa.Table) -> dict[str, Any]:
    keys = {name: notices.column(name) for name in ("notice_id", "occ_account")}
    return {**keys, **{name: pa.nulls(notices.num_rows, LABEL) for name in OCC_REPORT_COLUMNS}}


def _checked(column: pa.ChunkedArray, name: str, locator: RowLocator) -> Column:
    """Return one of `OCC_REPORT_COLUMNS`; each distinct text is checked once."""
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if column.type not in (pa.string(), pa.large_string()):
        problem = locator.problem(f"column {name} must be text, got {column.type}", column=name)
        return pa.chunked_array([pa.nulls(len(column), LABEL)]), Problems.of(problem)
    encoded = valid_utf8(column.combine_chunks()).dictionary_encode()
    matched = pc.match_substring_regex(encoded.dictionary, _PRINTABLE)
    wrong = ~matched.to_numpy(zero_copy_only=False).astype(bool)
    # The last flag is that of a null.
    is_wrong = np.append(wrong, False)[encoded.indices.fill_null(-1).to_numpy()]
    problems = locator.row_problems(
        np.flatnonzero(is_wrong),
        lambda index: (
            f"{name.replace('_', ' ')} must be at most 64 printable ASCII characters, "
            f"got {quote(encoded[index].as_py())}"
        ),
        column=name,
    )
    return pa.chunked_array([encoded.cast(LABEL)]), problems
