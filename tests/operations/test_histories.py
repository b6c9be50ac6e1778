"""A history reads one run at a time."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lottery import operations
from lottery.errors import LedgerDamaged, Refused
from tests.builders import (
    AAPL,
    NEXT_DATE,
    PUBLISHED,
    asks_making,
    evidence_in,
    opened,
    record_in,
    request_of_wire,
)

NEXT = replace(PUBLISHED.renamed("N"), asks=asks_making(345_678_901), date=NEXT_DATE)


@pytest.mark.parametrize("asked", [{"account": "1046"}, {"series": AAPL}])
def test_a_run_is_read_when_its_rows_are_asked_for(tmp_path: Path, asked: dict[str, Any]) -> None:
    ledger = tmp_path / "ledger"
    for day in (PUBLISHED, NEXT):
        record_in(ledger, request_of_wire(day, as_arrow=False))
    for name in ("allocations", "pools"):
        (evidence_in(ledger, "2024-09-17-001") / f"{name}.parquet").unlink()

    rows = operations.history(opened(ledger), **asked)

    assert next(rows).run == "2024-09-16-001"
    with pytest.raises(LedgerDamaged, match="of run 2024-09-17-001 is missing"):
        next(rows)


@pytest.mark.parametrize(
    ("asked", "got"),
    [({}, "neither"), ({"account": "1", "series": AAPL}, "both")],
)
def test_a_history_is_of_an_account_or_of_a_series(
    tmp_path: Path, asked: dict[str, Any], got: str
) -> None:
    record_in(tmp_path / "ledger", request_of_wire(PUBLISHED, as_arrow=False))

    with pytest.raises(Refused, match=f"expected an account or a series, got {got}"):
        operations.history(opened(tmp_path / "ledger"), **asked)
