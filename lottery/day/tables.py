"""The Arrow schemas: the one place where columns are named and typed."""

from __future__ import annotations

from typing import Final

import pyarrow as pa

INT64_MAX: Final = 2**63 - 1

LABEL: Final = pa.dictionary(pa.int32(), pa.string())
"""A text that repeats: a pool's occ_account and series."""

NOTICES: Final = pa.schema(
    [
        pa.field("notice_id", pa.string(), nullable=False),
        pa.field("series", LABEL, nullable=False),
        pa.field("quantity", pa.int64(), nullable=False),
        pa.field("occ_account", LABEL, nullable=False),
    ]
)
POSITIONS: Final = pa.schema(
    [
        pa.field("series", LABEL, nullable=False),
        pa.field("account", pa.string(), nullable=False),
        pa.field("short_quantity", pa.int64(), nullable=False),
        pa.field("occ_account", LABEL, nullable=False),
    ]
)
ALLOCATIONS: Final = pa.schema(
    [
        pa.field("occ_account", LABEL, nullable=False),
        pa.field("series", LABEL, nullable=False),
        pa.field("account", pa.string(), nullable=False),
        pa.field("short_quantity", pa.int64(), nullable=False),
        pa.field("first_number", pa.int64(), nullable=False),
        pa.field("last_number", pa.int64(), nullable=False),
        pa.field("assigned_quantity", pa.int64(), nullable=False),
    ]
)
POOLS: Final = pa.schema(
    [
        pa.field("occ_account", pa.string(), nullable=False),
        pa.field("series", pa.string(), nullable=False),
        pa.field("notice_count", pa.int64(), nullable=False),
        pa.field("assigned_quantity", pa.int64(), nullable=False),
        pa.field("total_short", pa.int64(), nullable=False),
        pa.field("first_hit", pa.int64()),
        pa.field("account_count", pa.int64(), nullable=False),
        pa.field("hit_account_count", pa.int64(), nullable=False),
        pa.field("break_reason", pa.string()),
    ]
)
BROKEN_POSITIONS: Final = pa.schema(
    [POSITIONS.field(name) for name in ("occ_account", "series", "account", "short_quantity")]
)
"""The open positions of broken pools, kept so that a break's total can be computed again (D5)."""
TAKEN_OFF: Final = pa.schema(
    [
        *BROKEN_POSITIONS,
        pa.field("taken_off_quantity", pa.int64(), nullable=False),
    ]
)
"""Gross positions as given, and what was assigned before on their date and is taken off."""
