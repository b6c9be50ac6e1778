"""Two contenders of one question: a day recorded here, or through a server on loopback.

Each records the day anew with every run, in one ledger, under the next date: the same content would
be answered by the run that has it.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Final

import pyarrow.parquet as pq

from bench.made_day import BUSINESS_DATE
from bench.ours import ACKNOWLEDGED, LEDGER, made_ledger, read_request, warm_up
from lottery import operations
from lottery.client import LotteryClient
from lottery.intake import files
from lottery.method.methodology import JPMS_2024_09_06

TARGET: Final = "target"
"""The file, in the reference, that says where the server listens."""


def prepare_local(reference: Path) -> Callable[[Path, Path, Path, Path], None]:
    """Prepare to record the day in this process.

    Args:
        reference: A folder for its ledger.
    """
    warm_up()
    dates = _dates()

    def run_local(positions: Path, notices: Path, volumes: Path, output: Path) -> None:  # noqa: ARG001 - a contender's signature; the ledger is where it was before.
        """Read the files and record the day, as `lottery run` does."""
        request = replace(read_request(positions, notices, volumes), business_date=next(dates))
        outcome = operations.run_lottery(made_ledger(reference / LEDGER), request)
        assert not outcome.already_recorded

    return run_local


def prepare_remote(reference: Path) -> Callable[[Path, Path, Path, Path], None]:
    """Prepare to record the day through a server.

    Args:
        reference: A folder with the server's address.
    """
    client = LotteryClient((reference / TARGET).read_text(encoding="utf-8"))
    dates = _dates()

    def run_remote(positions: Path, notices: Path, volumes: Path, output: Path) -> None:  # noqa: ARG001 - a contender's signature; the server has the ledger.
        """Read the files into Arrow tables and send them."""
        asks = files.read_volumes(volumes, JPMS_2024_09_06.securities).asks
        outcome = client.run_lottery(
            business_date=next(dates),
            asks=asks,
            notices=pq.read_table(notices, read_dictionary=["series"]),
            positions=pq.read_table(positions, read_dictionary=["series"], memory_map=True),
            acknowledged=ACKNOWLEDGED,
        )
        assert not outcome.already_recorded

    return run_remote


def _dates() -> Iterator[dt.date]:
    """Return the business date and those after it."""
    return (BUSINESS_DATE + dt.timedelta(days) for days in count())
