"""Make the recorded ledger: `python -m tests.recorded.make`, from the top of the checkout.

Recorded days of every released version of the method replay for ever. A version adds its days; a
day that is there is made again only while the record's format is not released.
"""

from __future__ import annotations

import datetime as dt
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Final

from examples.make_day import DIRECTORY as EXAMPLE
from lottery.ledger.commit import Ledger
from lottery.ledger.run_record import MethodRecord
from lottery.method.methodology import JPMS_2024_09_06, Methodology
from lottery.operations.settings import KEY_FILE
from tests.builders import (
    AAPL,
    GE,
    GOOGL,
    TESTER,
    SmallDay,
    notice,
    opened,
    position,
    record_in,
    request_of,
    request_of_files,
)

RECORDED: Final = Path(__file__).parent / "ledger"

DECIDED = JPMS_2024_09_06.deciding({"account_order": "code-point", "zero_hit": "first"})
DECIDED_DAY = SmallDay(
    date=dt.date(2024, 9, 17),
    notices=[notice("B1", AAPL, 4), notice("B2", GOOGL, 1), notice("B3", GE, 2)],
    positions=[
        position(AAPL, "A10", 2),
        position(AAPL, "A9", 2),
        position(AAPL, "9", 3),
        position(AAPL, "10", 3),
        position(GOOGL, "X", 1),
        position(GOOGL, "x", 1),
        position(GE, "77", 1),
    ],
)


CYCLES_DATE = dt.date(2024, 9, 18)
CYCLES_POSITIONS = [
    position(AAPL, "1048", 5, "C"),
    position(AAPL, "1046", 30, "C"),
    position(AAPL, "1047", 30, "C"),
    position(GOOGL, "263", 4, "C"),
]
FIRST_CYCLE = SmallDay(
    date=CYCLES_DATE,
    notices=[notice("C1", AAPL, 33, "C"), notice("C2", GOOGL, 3, "C")],
    positions=CYCLES_POSITIONS,
)
SECOND_CYCLE = SmallDay(
    date=CYCLES_DATE,
    notices=[notice("C3", GOOGL, 1, "C")],
    positions=[position(GOOGL, "263", 1, "C")],
)
"""Its positions are what the first cycle left."""
THIRD_CYCLE = SmallDay(
    date=CYCLES_DATE,
    notices=[notice("C4", AAPL, 9, "C"), notice("C5", GOOGL, 1, "C")],
    positions=CYCLES_POSITIONS,
)
"""AAPL goes on past its last number; of GOOGL nothing is left, and it breaks."""
CORRECTED = replace(DECIDED_DAY, positions=[*DECIDED_DAY.positions, position(GE, "78", 5)])
CORRECTED_FOR = "account 78 was missing from the positions"


def main() -> None:
    """Write the recorded ledger anew."""
    shutil.rmtree(RECORDED, ignore_errors=True)
    with tempfile.TemporaryDirectory() as directory:
        ledger = Path(directory) / "ledger"
        _record(ledger, Path(directory))
        # An auditor is not given the operator's key.
        (ledger / KEY_FILE).unlink()
        shutil.copytree(ledger, RECORDED)


def _record(ledger: Path, directory: Path) -> None:
    example = {role: EXAMPLE / f"{role}.csv" for role in ("notices", "positions", "volumes")}
    record_in(ledger, request_of_files(example, date=dt.date(2024, 9, 16)))
    _amend(opened(ledger), DECIDED, DECIDED_DAY.date)
    for suffix in (".csv", ".parquet"):
        request = request_of(DECIDED_DAY, directory / suffix, suffix=suffix, methodology=DECIDED)
        record_in(ledger, request)
    again = request_of(
        SmallDay(
            date=DECIDED_DAY.date,
            notices=[notice("B3", GE, 2)],
            positions=[position(GE, "77", 2)],
        ),
        directory / "again",
        suffix=".parquet",
        cycle=2,
        methodology=DECIDED,
    )
    record_in(ledger, again)
    superseding = request_of(
        CORRECTED,
        directory / "corrected",
        methodology=DECIDED,
        supersedes=["2024-09-17-001", "2024-09-17-002"],
        reason=CORRECTED_FOR,
    )
    record_in(ledger, superseding)
    _amend(opened(ledger), JPMS_2024_09_06, CYCLES_DATE)
    for cycle, day in enumerate((FIRST_CYCLE, SECOND_CYCLE, THIRD_CYCLE), 1):
        record_in(ledger, request_of(day, directory / f"cycle{cycle}", cycle=cycle))


def _amend(ledger: Ledger, methodology: Methodology, holds_from: dt.date) -> None:
    """Decide otherwise from a date on."""
    ledger.amend(
        lambda last: replace(
            last,
            public_key=None,
            method=MethodRecord.of(methodology),
            holds_from=holds_from,
            requested_by=TESTER,
        ),
        lambda *_: None,
    )


if __name__ == "__main__":
    main()
