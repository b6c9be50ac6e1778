"""Make the recorded ledger: `python -m tests.recorded.make`, from the top of the checkout.

Recorded days of every released version of the method replay for ever. A version adds its days; a
day that is there is made again only while the record's format is not released.
"""

from __future__ import annotations

import datetime as dt
import shutil
import tempfile
from pathlib import Path
from typing import Final

from examples.make_day import DIRECTORY as EXAMPLE
from lottery.ledger.store import Ledger
from lottery.method.methodology import JPMS_2024_09_06
from tests.days import (
    AAPL,
    GE,
    GOOGL,
    SmallDay,
    notice,
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


def main() -> None:
    """Write the recorded ledger anew."""
    shutil.rmtree(RECORDED, ignore_errors=True)
    example = {role: EXAMPLE / f"{role}.csv" for role in ("notices", "positions", "volumes")}
    record_in(RECORDED, request_of_files(example, date=dt.date(2024, 9, 16)))
    with tempfile.TemporaryDirectory() as directory:
        for suffix in (".csv", ".parquet"):
            request = request_of(
                DECIDED_DAY, Path(directory) / suffix, suffix=suffix, methodology=DECIDED
            )
            record_in(RECORDED, request)
        again = request_of(
            SmallDay(
                date=DECIDED_DAY.date,
                notices=[notice("B3", GE, 2)],
                positions=[position(GE, "77", 2)],
            ),
            Path(directory) / "again",
            suffix=".parquet",
            cycle=2,
            methodology=DECIDED,
        )
        record_in(RECORDED, again)
    Ledger.open(RECORDED).close()
    for name in ("staging", "aside"):
        shutil.rmtree(RECORDED / name)


if __name__ == "__main__":
    main()
