"""The audit page's values: a run, what proves it, its pools (`page` makes HTML of them).

Invariants:
- Every value is of the record or the evidence, whose digests and proof hold: `proven` refuses
  others.
- What a page shows is bounded, however large the day, and what is left out is counted.
- With `mask_accounts` no value holds an account's number.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lottery.audit.bundle import ProvenRun, refuse_damaged
from lottery.audit.explain import Reader
from lottery.audit.report.masking import AccountNames, masked_record
from lottery.audit.report.shown_pools import LeftOut, ShownPool, shown_pools
from lottery.errors import NotInRun
from lottery.ledger import evidence
from lottery.ledger.run_record import BreakRecord, RunRecord
from lottery.tlog import merkle
from lottery.tlog.checkpoint import open_checkpoint
from lottery.tlog.keys import encode_base64

POOLS_SHOWN: Final = 40
"""Pools with their ribbon and accounts; those asked for are shown past it."""
BROKEN_POOLS_SHOWN: Final = 10
"""Of these, breaks at most, unless they are asked for."""
POOLS_LISTED: Final = 2_000
"""Rows of the table of pools."""
BREAKS_LISTED: Final = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportRequest:
    """What a page is to show.

    Attributes:
        series: Pools to show whatever else is shown, by their padded symbols.
        account: The one account that the page is about; None for a page about the run.
        mask_accounts: Whether accounts are to be named by labels.
    """

    series: tuple[str, ...] = ()
    account: str | None = None
    mask_accounts: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """That the record is in the log, as text.

    Attributes:
        leaf_hash: Of the canonical record, hexadecimal (RFC 9162, 2.1.1).
        log_index: The leaf's place, the first being 0.
        tree_size: Leaves of the tree that the checkpoint is of.
        hashes: The inclusion proof, base64.
        checkpoint: The signed note.
        key: The log's public key.
    """

    leaf_hash: str
    log_index: int
    tree_size: int
    hashes: tuple[str, ...]
    checkpoint: str
    key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """Whether a run stands; a bundle alone cannot tell."""

    is_known: bool
    superseded_by: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """A page about a run.

    Attributes:
        record: The record, masked where that was asked for.
        breaks: The breaks that are listed.
        breaks_left_out: The others.
        shown: The pools with their workings, in the order of the evidence.
        shown_left_out: The others, with their contracts.
        pools: The rows of the table of pools; each has its `anchor`, or None.
        pools_left_out: The others, with their contracts.
        pool_count: Pools of the run.
    """

    record: RunRecord
    standing: Standing
    proof: Proof
    masked: bool
    breaks: tuple[BreakRecord, ...]
    breaks_left_out: LeftOut
    shown: tuple[ShownPool, ...]
    shown_left_out: LeftOut
    pools: tuple[Mapping[str, Any], ...]
    pools_left_out: LeftOut
    pool_count: int


def run_report(run: ProvenRun, request: ReportRequest, standing: Standing) -> Report:
    """The page of a run.

    Args:
        run: The run and what proves it.
        request: What to show.
        standing: Whether it was superseded.

    Raises:
        NotInRun: A series asked for has no pool; all such are named.
        LedgerDamaged: The evidence is not what was recorded.
        ProofInvalid, CheckpointInvalid: The record is not in the log.
    """
    proof = proven(run)
    read = reader_of(run)
    pools = read(evidence.POOLS_FILE, None)
    listed, shown = _chosen(run.record, pools, request.series)
    rows = pools.take(pa.array(listed, pa.int64())).to_pylist()
    details = [row for place, row in zip(listed, rows, strict=True) if place in shown]
    names = AccountNames(masked=request.mask_accounts)
    record = masked_record(run.record) if request.mask_accounts else run.record
    breaks = record.breaks[:BREAKS_LISTED]
    pages = tuple(shown_pools(record, read, details, names))
    anchors = {(page.working.occ_account, page.working.series): page.anchor for page in pages}
    return Report(
        record=record,
        standing=standing,
        proof=proof,
        masked=request.mask_accounts,
        breaks=breaks,
        breaks_left_out=LeftOut(
            count=len(record.breaks) - len(breaks),
            assigned_quantity=sum(
                broken.assigned_quantity for broken in record.breaks[BREAKS_LISTED:]
            ),
        ),
        shown=pages,
        shown_left_out=_left_out(pools, shown),
        pools=tuple(
            {**row, "anchor": anchors.get((row["occ_account"], row["series"]))} for row in rows
        ),
        pools_left_out=_left_out(pools, listed),
        pool_count=pools.num_rows,
    )


def proven(run: ProvenRun) -> Proof:
    """The proof, once it holds and the evidence is what was recorded.

    Raises:
        LedgerDamaged: The evidence is not what was recorded.
        ProofInvalid, CheckpointInvalid: The record is not in the log.
    """
    refuse_damaged(run)
    opened = open_checkpoint(run.proof.note, [run.key])
    leaf_hash = merkle.leaf_hash(run.canonical)
    merkle.verify_inclusion(
        index=run.proof.index,
        size=opened.checkpoint.size,
        leaf_hash=leaf_hash,
        proof=run.proof.hashes,
        root=opened.checkpoint.root,
    )
    return Proof(
        leaf_hash=leaf_hash.hex(),
        log_index=run.proof.index,
        tree_size=opened.checkpoint.size,
        hashes=tuple(map(encode_base64, run.proof.hashes)),
        checkpoint=run.proof.note.decode("utf-8"),
        key=str(run.key),
    )


def reader_of(run: ProvenRun) -> Reader:
    """Reads the evidence, whose digests `proven` has compared."""
    return lambda name, where: evidence.read_table(run.directory, name, where)


def _chosen(
    record: RunRecord, pools: pa.Table, series: Sequence[str]
) -> tuple[list[int], set[int]]:
    """The pools that are listed, and those of them that are shown whole, by their places.

    Those asked for, then breaks, then the largest.
    """
    asked = _places(pc.is_in(pools.column("series"), value_set=pa.array(series, pa.string())))
    found = set(pools.column("series").take(pa.array(asked, pa.int64())).to_pylist())
    missing = [repr(one) for one in series if one not in found]
    if missing:
        raise NotInRun(f"run {record.run} has no pool of series {', '.join(missing)}")
    broken = _places(pc.is_valid(pools.column("break_reason")))
    assigned = pools.column("assigned_quantity").to_numpy()
    largest = np.argsort(-assigned, kind="stable")[:POOLS_LISTED].tolist()
    listed = _first_of((asked, broken[:BREAKS_LISTED], largest), max(POOLS_LISTED, len(asked)))
    shown = _first_of((asked, broken[:BROKEN_POOLS_SHOWN], largest), max(POOLS_SHOWN, len(asked)))
    return sorted(listed | shown), shown


def _first_of(parts: Iterable[Iterable[int]], limit: int) -> set[int]:
    distinct = dict.fromkeys(place for part in parts for place in part)
    return set(list(distinct)[:limit])


def _places(mask: pa.ChunkedArray) -> list[int]:
    places: list[int] = np.flatnonzero(np.asarray(mask)).tolist()
    return places


def _left_out(pools: pa.Table, there: Iterable[int]) -> LeftOut:
    """The pools that are not there."""
    mask = np.ones(pools.num_rows, bool)
    mask[list(there)] = False
    assigned = pools.column("assigned_quantity").filter(pa.array(mask))
    return LeftOut(count=len(assigned), assigned_quantity=pc.sum(assigned).as_py() or 0)
