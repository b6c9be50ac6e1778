"""Every Arrow schema of the project: the only module where columns are named and typed."""

from __future__ import annotations

from typing import Final

import pyarrow as pa

INT64_MAX: Final = 2**63 - 1

LABEL: Final = pa.dictionary(pa.int32(), pa.string())
"""Type of a text that repeats, such as a pool's occ_account and series."""


def _required(name: str, kind: pa.DataType) -> pa.Field:
    return pa.field(name, kind, nullable=False)


NOTICES: Final = pa.schema(
    [
        _required("notice_id", pa.string()),
        _required("series", LABEL),
        _required("quantity", pa.int64()),
        _required("occ_account", LABEL),
    ]
)
POSITIONS: Final = pa.schema(
    [
        _required("series", LABEL),
        _required("account", pa.string()),
        _required("short_quantity", pa.int64()),
        _required("occ_account", LABEL),
    ]
)

NOTICE_ROWS: Final = pa.schema(
    [
        pa.field("notice_id", pa.string()),
        pa.field("series", pa.string()),
        pa.field("quantity", pa.int64()),
        pa.field("occ_account", pa.string()),
    ]
)
"""Notices as a message brings them, row by row and unchecked."""
POSITION_ROWS: Final = pa.schema(
    [
        pa.field("series", pa.string()),
        pa.field("account", pa.string()),
        pa.field("short_quantity", pa.int64()),
        pa.field("occ_account", pa.string()),
    ]
)
"""Positions as a message brings them, row by row and unchecked."""

OCC_POSITIONS: Final = pa.schema(
    [POSITIONS.field(name) for name in ("series", "short_quantity", "occ_account")]
)
"""OCC's own figure of each pool's short position."""
OCC_REPORT_COLUMNS: Final = (
    "clearing_firm",
    "open_interest",
    "exercise_method",
    "assignment_method",
    "assignment_unit",
    "settlement_session",
)
"""What OCC reports of a notice in addition: texts as OCC writes them, null if absent.

In FIXML: `Pty R="4"`, `OpenInt`, `ExrMethod`, `AsgnMeth`, `Unit` and `SetSesID`.
"""
OCC_REPORTS: Final = pa.schema(
    [
        _required("notice_id", pa.string()),
        _required("occ_account", LABEL),
        *(pa.field(name, LABEL) for name in OCC_REPORT_COLUMNS),
    ]
)
"""What OCC reports in addition, one row a notice: kept as evidence, deciding nothing."""

POOLS: Final = pa.schema(
    [
        _required("occ_account", pa.string()),
        _required("series", pa.string()),
        _required("notice_count", pa.int64()),
        _required("assigned_quantity", pa.int64()),
        _required("total_short", pa.int64()),
        _required("assigned_before", pa.int64()),
        pa.field("first_hit", pa.int64()),
        _required("account_count", pa.int64()),
        _required("hit_account_count", pa.int64()),
        pa.field("break_reason", pa.string()),
    ]
)
"""Every assigned pool, allocated or broken."""
ALLOCATIONS: Final = pa.schema(
    [
        *(POSITIONS.field(name) for name in ("occ_account", "series", "account", "short_quantity")),
        _required("first_number", pa.int64()),
        _required("last_number", pa.int64()),
        _required("assigned_quantity", pa.int64()),
    ]
)
"""Every open account of every allocated pool."""
CONTINUED: Final = pa.schema(
    [
        _required("occ_account", pa.string()),
        _required("series", pa.string()),
        _required("first_run", pa.string()),
        _required("assigned_before", pa.int64()),
        _required("population_sha256", pa.string()),
    ]
)
"""Every pool whose draw a run continues (P6): the run that drew it first, the contracts that were
assigned since, and the digest of its population (`day.population`)."""
CHANGES: Final = pa.schema(
    [
        *(ALLOCATIONS.field(name) for name in ("occ_account", "series", "account")),
        _required("before", pa.int64()),
        _required("after", pa.int64()),
        _required("difference", pa.int64()),
    ]
)
"""Every account of a pool to which two states of a date assign different quantities."""
