"""This library as a contender, unrecorded and recorded, and the limit of any contender."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from bench.made_day import BUSINESS_DATE
from lottery import operations
from lottery.errors import Problems
from lottery.intake import files
from lottery.ledger.evidence import ALLOCATIONS_FILE, POOLS_FILE, write_parquet
from lottery.ledger.run import Identity
from lottery.ledger.store import Ledger
from lottery.method.methodology import JPMS_2024_09_06


def run_ours(positions: Path, notices: Path, volumes: Path, output: Path) -> None:
    """The day allocated and written; nothing is recorded."""
    computed = operations.compute_day(_request(positions, notices, volumes))
    write_parquet(computed.day.allocations, output / ALLOCATIONS_FILE)
    write_parquet(computed.day.pools, output / POOLS_FILE)


def run_ours_recorded(positions: Path, notices: Path, volumes: Path, output: Path) -> None:
    """The day recorded in a ledger of its own: evidence, digests, log, synced to disk."""
    request = _request(positions, notices, volumes)
    operations.run_lottery(lambda: Ledger.create(output / "ledger"), request)


def _request(positions: Path, notices: Path, volumes: Path) -> operations.RunRequest:
    problems = Problems()
    return operations.RunRequest(
        business_date=BUSINESS_DATE,
        notices=files.read_notices(notices, problems),
        positions=files.read_positions(positions, problems),
        volumes=files.read_volumes(volumes, JPMS_2024_09_06.securities, problems),
        problems=problems,
        requested_by=Identity(kind="system-user", name="bench", host="localhost"),
    )


def prepare_limit(reference: Path) -> Callable[[Path, Path, Path, Path], None]:
    """The limit over output tables prepared beforehand.

    Args:
        reference: A folder with the outputs to write again.
    """
    allocations = pq.read_table(
        reference / ALLOCATIONS_FILE, read_dictionary=["occ_account", "series"]
    ).combine_chunks()
    pools = pq.read_table(reference / POOLS_FILE).combine_chunks()
    pa.set_cpu_count(2)

    def run_limit(positions: Path, notices: Path, volumes: Path, output: Path) -> None:
        """Decodes the inputs and encodes the outputs, on two threads, and computes nothing.

        One file is encoded by one thread, so the allocations are written as two files of half the
        rows each, which no contender is allowed.
        """
        volumes.read_bytes()
        pq.read_table(notices, read_dictionary=["series"])
        pq.read_table(positions, read_dictionary=["series"], memory_map=True)
        half = allocations.num_rows // 2
        with ThreadPoolExecutor(2) as threads:
            parts = [
                threads.submit(write_parquet, allocations.slice(0, half), output / "part-1"),
                threads.submit(write_parquet, allocations.slice(half), output / "part-2"),
                threads.submit(write_parquet, pools, output / POOLS_FILE),
            ]
            for part in parts:
                part.result()

    return run_limit
