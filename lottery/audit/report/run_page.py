"""The values of a run's audit page: the run, what proves it, and its pools.

Invariants:
- Every value comes from the record or the evidence, after their digests and the proof were checked.
- What a page shows is bounded, however large the day, and what it leaves out is counted.
- With `mask_accounts` no value holds an account's number.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lottery.audit.bundle import ProvenRun, verify_evidence
from lottery.audit.explain import Reader
from lottery.audit.report.masking import AccountNames, masked_record
from lottery.audit.report.pool_section import LeftOut, PoolSection, pool_sections
from lottery.audit.report.request import PageRequest, Supersession
from lottery.day.allocate import Break
from lottery.day.population import breaks_in
from lottery.errors import NotInRun, quote
from lottery.ledger import evidence
from lottery.ledger.run_record import RunRecord
from lottery.tlog import merkle
from lottery.tlog.checkpoint import open_checkpoint
from lottery.tlog.note import SignedNote
from lottery.tlog.proof import LogProof, verify_entry

POOLS_SHOWN: Final = 40
"""Maximum number of pools shown in full, unless more are asked for."""
BROKEN_POOLS_SHOWN: Final = 10
"""Maximum number of breaks among them, unless they are asked for."""
POOLS_LISTED: Final = 2_000
"""Maximum rows of the table of pools."""
BREAKS_LISTED: Final = 500
"""Maximum rows of the table of breaks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PageProof:
    """Proof that the record is in the log, as text.

    Attributes:
        entry: The canonical record; None if it says more than the page may.
        leaf_hash: Its hash, hexadecimal (RFC 9162, 2.1.1).
        log_index: The leaf's index, from 0.
        tree_size: Leaves of the tree that the checkpoint signs.
        text: The inclusion proof and the checkpoint with the log's signature (C2SP tlog-proof).
        key: The log's public key.
    """

    entry: str | None
    leaf_hash: str
    log_index: int
    tree_size: int
    text: str
    key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RunPage:
    """A page about a run.

    Attributes:
        record: The record, masked if that was asked for.
        breaks: The breaks that are listed.
        breaks_left_out: The other breaks.
        shown: The pools shown in full, in the order of the evidence.
        shown_left_out: The other pools.
        pools: The rows of the table of pools; each has its `anchor`, or None.
        pools_left_out: The pools that the table leaves out.
        pool_count: Pools of the run.
    """

    record: RunRecord
    supersession: Supersession
    proof: PageProof
    masked: bool
    breaks: tuple[Break, ...]
    breaks_left_out: LeftOut
    shown: tuple[PoolSection, ...]
    shown_left_out: LeftOut
    pools: tuple[Mapping[str, Any], ...]
    pools_left_out: LeftOut
    pool_count: int


def run_page(run: ProvenRun, request: PageRequest, supersession: Supersession) -> RunPage:
    """Return the page of a run.

    Args:
        run: The run and what proves it.
        request: What to show.
        supersession: Whether it was superseded.

    Raises:
        NotInRun: The run has no pool of a series asked for; all such series are named.
        LedgerDamaged: The evidence is not what was recorded.
        ProofInvalid, CheckpointInvalid: The record is not in the log.
    """
    proof = verified_proof(run, with_entry=not request.mask_accounts)
    read = reader_of(run)
    pools = read(evidence.POOLS_FILE, None)
    listed, shown = _chosen_pools(run.record, pools, request.series)
    rows = pools.take(pa.array(listed, pa.int64())).to_pylist()
    rows_shown = [row for index, row in zip(listed, rows, strict=True) if index in shown]
    names = AccountNames(masked=request.mask_accounts)
    record = masked_record(run.record) if request.mask_accounts else run.record
    sections = tuple(pool_sections(record, read, rows_shown, names))
    anchors = {(one.working.occ_account, one.working.series): one.anchor for one in sections}
    breaks = breaks_in(pools)
    unlisted = breaks[BREAKS_LISTED:]
    return RunPage(
        record=record,
        supersession=supersession,
        proof=proof,
        masked=request.mask_accounts,
        breaks=breaks[:BREAKS_LISTED],
        breaks_left_out=LeftOut(
            count=len(unlisted), assigned_quantity=sum(one.assigned_quantity for one in unlisted)
        ),
        shown=sections,
        shown_left_out=_pools_left_out(pools, shown),
        pools=tuple(
            {**row, "anchor": anchors.get((row["occ_account"], row["series"]))} for row in rows
        ),
        pools_left_out=_pools_left_out(pools, listed),
        pool_count=pools.num_rows,
    )


def verified_proof(run: ProvenRun, *, with_entry: bool) -> PageProof:
    """Verify a run's evidence and its proof, and return the proof.

    The signatures of witnesses are left out: the page has no key to check them with.

    Args:
        run: The run and what proves it.
        with_entry: Whether the page may hold the entry, which names people and accounts.

    Raises:
        LedgerDamaged: The evidence is not what was recorded.
        ProofInvalid, CheckpointInvalid: The record is not in the log.
    """
    verify_evidence(run)
    proof = run.proof
    verify_entry(
        run.canonical,
        index=proof.index,
        hashes=proof.hashes,
        note=proof.note,
        keys=[run.key],
        origin=run.key.name,
    )
    signed = SignedNote.parse(proof.note)
    own = (run.key.name, run.key.key_id)
    lines = tuple(one for one in signed.signatures if (one.name, one.key_id) == own)
    note = SignedNote(text=signed.text, signatures=lines).encoded()
    return PageProof(
        entry=run.canonical.decode("utf-8") if with_entry else None,
        leaf_hash=merkle.leaf_hash(run.canonical).hex(),
        log_index=proof.index,
        tree_size=open_checkpoint(proof.note, [run.key]).checkpoint.size,
        text=LogProof(index=proof.index, hashes=proof.hashes, note=note).text(),
        key=str(run.key),
    )


def reader_of(run: ProvenRun) -> Reader:
    """Return a reader of the evidence, whose digests `verified_proof` has compared."""
    return lambda name, rows: evidence.read_table(run.directory, name, rows, memory=run.memory)


def _chosen_pools(
    record: RunRecord, pools: pa.Table, series: Sequence[str]
) -> tuple[list[int], set[int]]:
    """Return the indices of the pools to list, ascending, and of those to show in full.

    Pools asked for come first, then breaks, then the largest.
    """
    asked = _indices(pc.is_in(pools.column("series"), value_set=pa.array(series, pa.string())))
    found = set(pools.column("series").take(pa.array(asked, pa.int64())).to_pylist())
    missing = [quote(one) for one in series if one not in found]
    if missing:
        raise NotInRun(f"run {record.run} has no pool of series {', '.join(missing)}")
    broken = _indices(pc.is_valid(pools.column("break_reason")))
    assigned = pools.column("assigned_quantity").to_numpy()
    largest = np.argsort(-assigned, kind="stable")[:POOLS_LISTED].tolist()
    listed = _first_of((asked, broken[:BREAKS_LISTED], largest), max(POOLS_LISTED, len(asked)))
    shown = _first_of((asked, broken[:BROKEN_POOLS_SHOWN], largest), max(POOLS_SHOWN, len(asked)))
    return sorted(listed | shown), shown


def _first_of(parts: Iterable[Iterable[int]], limit: int) -> set[int]:
    distinct = dict.fromkeys(index for part in parts for index in part)
    return set(list(distinct)[:limit])


def _indices(mask: pa.ChunkedArray) -> list[int]:
    indices: list[int] = np.flatnonzero(np.asarray(mask)).tolist()
    return indices


def _pools_left_out(pools: pa.Table, kept: Iterable[int]) -> LeftOut:
    mask = np.ones(pools.num_rows, bool)
    mask[list(kept)] = False
    assigned = pools.column("assigned_quantity").filter(pa.array(mask))
    return LeftOut(count=len(assigned), assigned_quantity=pc.sum(assigned).as_py() or 0)
