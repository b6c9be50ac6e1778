"""What contradicts what stands recorded: the contract's ledger rules 1 to 3.

A run stands until a later one supersedes it; what was superseded contradicts nothing any more.

All of it is asked under the write lock that the insert needs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import pyarrow as pa
import pyarrow.compute as pc

from lottery.errors import (
    NOTICE_ALREADY_ALLOCATED,
    POOL_ALREADY_ALLOCATED,
    RUN_SUPERSEDED,
    SEED_CONFLICT,
    Conflict,
    Problem,
    Refused,
    RunNotFound,
)
from lottery.ledger import evidence
from lottery.ledger.run_record import RunRecord
from lottery.method.seed import Seed

Reader = Callable[[RunRecord, str], pa.Table]
"""Reads a table of a run's evidence by its name."""


def refuse_conflicts(
    standing: Iterable[RunRecord],
    read: Reader,
    *,
    seed: Seed,
    notices: pa.Table,
    pools: pa.Table,
    positions_basis: str | None,
) -> None:
    """Refuses a run that contradicts the standing runs of its date.

    Args:
        standing: The date's runs that stand, without those that the new one supersedes.
        read: Reads their evidence.
        seed: The new run's seed.
        notices: Its `tables.NOTICES`.
        pools: Its `tables.POOLS`.
        positions_basis: `net` or `gross` where it was said; then a pool may come again.

    Raises:
        Conflict: Another seed (S8), a notice that is allocated, or a pool that is.
    """
    standing = list(standing)
    for record in standing:
        if record.seed.volume_of != seed.volume_of:
            raise Conflict(
                SEED_CONFLICT,
                f"{record.business_date} has its seed by run {record.run}, and these volumes "
                f"differ: {_differing_asks(record.seed, seed)}; a run with other volumes must "
                "supersede every standing run of its date [S8]",
                run=record.run,
            )
    once = allocated_pools_of(pools) if positions_basis is None else set()
    # Of a pool that is broken now too: it could not be allocated, and was.
    given = set(
        zip(
            notices.column("occ_account").to_pylist(),
            notices.column("notice_id").to_pylist(),
            strict=True,
        )
    )
    for record in standing:
        _refuse_overlap(record, read, given, once)


def refuse_superseding(
    run: str, *, recorded: bool, superseded_by: str | None, business_date: str
) -> None:
    """Refuses to supersede a run that cannot be.

    Args:
        run: The run whose place is to be taken.
        recorded: Whether it is recorded.
        superseded_by: The run that took its place already, if one did.
        business_date: The date of the run that is to take its place.

    Raises:
        RunNotFound: It is not recorded.
        Refused: It is of another date.
        Conflict: It is superseded already.
    """
    if not recorded:
        raise RunNotFound(run)
    if not run.startswith(f"{business_date}-"):
        message = f"run {run} is not of {business_date}: a run takes the place of its own date's"
        raise Refused([Problem(source="supersede", message=message)])
    if superseded_by is not None:
        raise Conflict(
            RUN_SUPERSEDED,
            f"run {run} is superseded by run {superseded_by} already",
            run=superseded_by,
        )


def _refuse_overlap(
    record: RunRecord,
    read: Reader,
    notices: set[tuple[str, str]],
    pools: set[tuple[str, str]],
) -> None:
    their_pools = allocated_pools_of(read(record, evidence.POOLS_FILE))
    their_notices = _allocated_notices(read(record, evidence.NOTICES_FILE), their_pools)
    again = sorted(notices & their_notices)
    if again:
        raise Conflict(
            NOTICE_ALREADY_ALLOCATED,
            f"run {record.run} has allocated "
            f"{_some([_named(*notice, 'notice') for notice in again])} already",
            run=record.run,
        )
    again = sorted(pools & their_pools)
    if again:
        raise Conflict(
            POOL_ALREADY_ALLOCATED,
            f"run {record.run} has allocated "
            f"{_some([_named(*pool, 'series') for pool in again])}; "
            "whether these positions have that taken off is not said: --positions-basis net says "
            "that they have, gross that they have not",
            run=record.run,
        )


def allocated_pools_of(pools: pa.Table) -> set[tuple[str, str]]:
    """(occ_account, series) of the pools without a break."""
    allocated = pools.filter(pc.is_null(pools.column("break_reason")))
    return set(
        zip(
            allocated.column("occ_account").to_pylist(),
            allocated.column("series").to_pylist(),
            strict=True,
        )
    )


def _allocated_notices(notices: pa.Table, pools: set[tuple[str, str]]) -> set[tuple[str, str]]:
    """(occ_account, notice id) of the notices of allocated pools; a broken one may come again."""
    columns = (notices.column(name).to_pylist() for name in ("occ_account", "series", "notice_id"))
    return {
        (occ_account, notice_id)
        for occ_account, series, notice_id in zip(*columns, strict=True)
        if (occ_account, series) in pools
    }


def _named(occ_account: str, name: str, noun: str) -> str:
    return f"{noun} {name} of OCC account {occ_account}" if occ_account else f"{noun} {name}"


def _differing_asks(recorded: Seed, given: Seed) -> str:
    asks = {volume.security_number: volume.ask_price for volume in given.volumes}
    volumes = given.volume_of
    return ", ".join(
        f"{volume.security_number} has {volume.ask_price}, given is {asks[volume.security_number]}"
        for volume in recorded.volumes
        if volumes.get(volume.security_number) != volume.volume
    )


def _some(names: list[str], most: int = 5) -> str:
    shown = ", ".join(names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"
