"""This library as a contender: unrecorded, recorded, replayed; and the limit of any contender."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.parquet as pq

from bench.made_day import BUSINESS_DATE
from bench.outputs import files_of
from lottery import operations
from lottery.audit.replay import Engine
from lottery.day.assigned_pools import assigned_pools
from lottery.intake import files
from lottery.ledger.evidence import ALLOCATIONS_FILE, POOLS_FILE, write_parquet, write_table
from lottery.ledger.holds import HOLDS
from lottery.ledger.run_record import Identity
from lottery.method.methodology import JPMS_2024_09_06
from lottery.operations.ledgers import (
    CharterTerms,
    Ledger,
    LedgerSettings,
    init_ledger,
    open_ledger,
)

LEDGER: Final = "ledger"
"""The folder of the ledger in what a recorded run puts out."""
RECORDED_FOLDER: Final = "recorded"
"""Where, in the reference, the run stands that is replayed."""
BENCH: Final = Identity(kind="system-user", name="bench", host="localhost")
ACKNOWLEDGED: Final = dict.fromkeys(HOLDS, "it is a measurement")
"""Every hold (H1): the same files are run on many dates."""


def warm_up() -> None:
    """Load every loop's machine code, some of which a first day would not need."""
    operations.warm_up()


def run_ours(positions: Path, notices: Path, volumes: Path, output: Path) -> None:
    """Allocate and write the day, recording nothing."""
    computed = operations.compute_day(read_request(positions, notices, volumes))
    write_table(computed.day.allocations, output, ALLOCATIONS_FILE)
    write_table(computed.day.pools, output, POOLS_FILE)


def run_ours_recorded(positions: Path, notices: Path, volumes: Path, output: Path) -> None:
    """Record the day in a ledger of its own: evidence, digests, log, synced to disk."""
    request = read_request(positions, notices, volumes)
    operations.run_lottery(made_ledger(output / LEDGER), request)


def made_ledger(directory: Path) -> Ledger:
    """Open the ledger of a directory, which is made if it has none."""
    settings = LedgerSettings(ledger=str(directory))
    return init_ledger(settings, CharterTerms(decisions={}), BENCH)


def read_request(positions: Path, notices: Path, volumes: Path) -> operations.RunRequest:
    """Read the day's files as `lottery run` does."""
    read_notices = files.read_notices(notices)
    return operations.RunRequest(
        business_date=BUSINESS_DATE,
        notices=read_notices,
        positions=files.read_positions(
            positions, assigned_pools(read_notices.table), JPMS_2024_09_06.account_order
        ),
        volumes=files.read_volumes(volumes, JPMS_2024_09_06.securities),
        requested_by=BENCH,
        acknowledged=ACKNOWLEDGED,
    )


def prepare_replay(reference: Path) -> Callable[[Path, Path, Path, Path], None]:
    """Record the run, and return its replay, which opens the ledger each time.

    Args:
        reference: A folder with that run's ledger.
    """
    warm_up()
    directory = reference / RECORDED_FOLDER / LEDGER

    def warn(text: str) -> None:
        raise RuntimeError(text)

    requester = operations.Requester(by=BENCH, warn=warn)

    def run_replay(positions: Path, notices: Path, volumes: Path, output: Path) -> None:  # noqa: ARG001 - a contender's signature; a replay reads none of them.
        """Compute the run again from its evidence and compare every value."""
        ledger = open_ledger(LedgerSettings(ledger=str(directory)))
        replayed = operations.replay_run(ledger, "latest", requester, engine=Engine.COMPILED)
        ledger.close()
        assert replayed.matched, replayed.mismatches

    return run_replay


def prepare_limit(reference: Path) -> Callable[[Path, Path, Path, Path], None]:
    """Prepare output tables, and return the limit over them.

    Args:
        reference: A folder with the outputs to write again.
    """
    allocations = pa.concat_tables(
        pq.read_table(path, read_dictionary=["occ_account", "series"])
        for path in files_of(reference, "allocations")
    ).combine_chunks()
    pools = pa.concat_tables(map(pq.read_table, files_of(reference, "pools"))).combine_chunks()
    pa.set_cpu_count(2)

    def run_limit(positions: Path, notices: Path, volumes: Path, output: Path) -> None:
        """Decode the inputs and encode the outputs on two threads, computing nothing.

        The allocations are written as two files of half the rows each, one a thread.
        """
        volumes.read_bytes()
        pq.read_table(notices, read_dictionary=["series"])
        half = allocations.num_rows // 2
        with ThreadPoolExecutor(2) as threads:
            deque(threads.map(_decoder(positions), _groups(positions)), maxlen=0)
            parts = [
                threads.submit(write_parquet, allocations.slice(0, half), output / "part-1"),
                threads.submit(write_parquet, allocations.slice(half), output / "part-2"),
                threads.submit(write_parquet, pools, output / POOLS_FILE),
            ]
            for part in parts:
                part.result()

    return run_limit


def _groups(path: Path) -> range:
    return range(pq.read_metadata(path).num_row_groups)


def _decoder(path: Path) -> Callable[[int], pa.Table]:
    """Return what decodes a row group on the calling thread, its series as they are stored."""
    metadata = pq.read_metadata(path)

    def decode(group: int) -> pa.Table:
        columns = map(metadata.row_group(group).column, range(metadata.num_columns))
        # A column that is mostly texts takes twice as long to decode into a dictionary.
        is_plain = any(
            column.total_uncompressed_size > 8 * column.num_values
            for column in columns
            if column.path_in_schema == "series"
        )
        labels = [] if is_plain else ["series"]
        with pq.ParquetFile(path, read_dictionary=labels, memory_map=True) as file:
            return file.read_row_group(group, use_threads=False)

    return decode
