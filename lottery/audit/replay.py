"""Replay: compute a recorded run again from its evidence alone, and compare every value.

The seed comes from the volumes as received, the notices from the notices as received, the positions
from the evidence, and from those as received if they are kept, the method and its decisions from
the record. Nothing that the run gave is read but to be compared. Two engines
can compute the allocation, which share no code: the compiled loop and one SQL statement.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from lottery.audit.differences import (
    Difference,
)
from lottery.audit.replay_allocation import compare_allocation, compare_allocation_by_sql
from lottery.audit.replay_inputs import (
    compare_notices,
    compare_occ_warnings,
    compare_positions,
    compare_seed,
    compare_sources,
)
from lottery.errors import LedgerDamaged
from lottery.intake.memory import UNLIMITED, MemoryLimit
from lottery.ledger import evidence
from lottery.ledger.four_eyes import Verdict
from lottery.ledger.run_record import (
    RunRecord,
)

Step = Callable[[RunRecord, Path, MemoryLimit], Iterator[Difference]]
"""Yields what differs in one part of a run, from its record and its evidence folder."""


class Engine(StrEnum):
    """What computes a run again."""

    COMPILED = "compiled"
    SQL = "sql"


@dataclass(frozen=True, slots=True, kw_only=True)
class Mismatch:
    """A value that replay computes otherwise than it was recorded.

    Attributes:
        run: The run.
        where: The file and its value, as `allocations.parquet row 7 assigned_quantity`.
        recorded: What the ledger has.
        computed: What the replay gives.
    """

    run: str
    where: str
    recorded: str
    computed: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    """A run replayed; without mismatches it matches.

    Attributes:
        run: The run.
        mismatches: What differs.
        approval: The approval of a run that was proposed, if a bundle proves it.
    """

    run: str
    mismatches: tuple[Mismatch, ...]
    approval: Verdict | None = None

    @property
    def matched(self) -> bool:
        """Whether every value is what was recorded."""
        return not self.mismatches


def replay(
    record: RunRecord,
    directory: Path,
    *,
    engine: Engine = Engine.COMPILED,
    reads_changed: bool = True,
    memory: MemoryLimit = UNLIMITED,
) -> Replayed:
    """Compute a run again and compare every value.

    Args:
        record: The run's record.
        directory: Its evidence folder.
        engine: What computes the allocation.
        reads_changed: Whether evidence is read of which a file is not the one recorded, to say
            what differs in it; a file that anybody may have sent is not.
        memory: What the day may take.

    Raises:
        EngineMissing: The SQL engine is not installed.
        LimitExceeded: What is kept of it needs more memory.
    """
    is_compiled = engine is Engine.COMPILED
    digests = list(_digests(record, directory))
    steps: tuple[Step, ...] = (
        compare_sources,
        compare_seed,
        compare_notices,
        compare_positions,
        compare_allocation if is_compiled else compare_allocation_by_sql,
        compare_occ_warnings,
    )
    differences = digests[:]
    if reads_changed or not digests:
        for step in steps:
            differences += _until_damaged(step(record, directory, memory))
    mismatches = tuple(
        Mismatch(
            run=record.run,
            where=difference.where,
            recorded=str(difference.recorded),
            computed=str(difference.computed),
        )
        for difference in differences
    )
    return Replayed(run=record.run, mismatches=mismatches)


def _until_damaged(differences: Iterator[Difference]) -> Iterator[Difference]:
    """Yield a step's differences; evidence that cannot be read is the last of them."""
    try:
        yield from differences
    except LedgerDamaged as error:
        yield Difference("evidence", "readable", error)


def _digests(record: RunRecord, directory: Path) -> Iterator[Difference]:
    for file in record.evidence:
        wrong = evidence.what_is_wrong(directory, file)
        if wrong is not None:
            yield Difference(file.name, f"sha256 {file.sha256}, {file.size} bytes", wrong)
