"""The files and messages that a run's request is made of."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from pathlib import Path

from lottery.day.assigned_pools import assigned_pools
from lottery.errors import NO_PROBLEMS, Problem, Problems
from lottery.intake import files
from lottery.intake.arrow import with_own_labels, write_arrow
from lottery.intake.mapping import (
    NO_MAPPINGS,
    PLAIN,
    Mappings,
    read_mappings,
    received_mapping,
)
from lottery.intake.members import describe_member, of_one_member
from lottery.intake.memory import PROCESS_BYTES, UNLIMITED, DayMemory, MemoryLimit
from lottery.intake.positions import ReceivedPositions
from lottery.intake.sources import Received, ReceivedVolumes
from lottery.intake.wire import IncomingRows, volumes_of_asks
from lottery.ledger.entry import another_member
from lottery.method.methodology import (
    JPMS_2024_09_06,
    AccountOrder,
    Methodology,
    Pooling,
    PositionsSource,
    ZeroHit,
)
from lottery.operations.request import Progress, RunRequest
from lottery.operations.requester import Identity
from lottery.operations.totals import (
    ControlTotals,
    figures_of_notices,
    figures_of_positions,
)

__all__ = [
    "JPMS_2024_09_06",
    "NO_MAPPINGS",
    "PROCESS_BYTES",
    "UNLIMITED",
    "AccountOrder",
    "ControlTotals",
    "DayMemory",
    "IncomingRows",
    "Mappings",
    "MemoryLimit",
    "Methodology",
    "NamedMember",
    "Pooling",
    "PositionsSource",
    "Received",
    "ReceivedPositions",
    "ReceivedVolumes",
    "RunFiles",
    "ZeroHit",
    "assigned_pools",
    "figures_of_notices",
    "figures_of_positions",
    "of_one_member",
    "read_mapping",
    "read_request",
    "read_volumes",
    "received_mapping",
    "volumes_of_asks",
    "with_own_labels",
    "write_arrow",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFiles:
    """The files of a run, and the mapping that says what some of them are."""

    notices: Path
    positions: Path
    volumes: Path
    occ_positions: Path | None = None
    mappings: Mappings = NO_MAPPINGS


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedMember:
    """The clearing member whose notices count, as the charter or the command names it (P8, C1).

    Attributes:
        member: The member; None if neither names one.
        problems: What is wrong with the command's.
    """

    member: str | None
    problems: Problems = NO_PROBLEMS

    @classmethod
    def of(cls, charter: str, given: str) -> NamedMember:
        """Return the member that the charter names, or else the command; empty names none."""
        problem = describe_member(given) if given else None
        if problem is not None:
            problems = Problems.of(Problem(source="clearing_member", message=problem, rule="P8"))
        elif charter and given and given != charter:
            problems = Problems.of(another_member(charter, given))
        else:
            return cls(member=charter or given or None)
        return cls(member=charter or None, problems=problems)


def read_request(
    paths: RunFiles,
    *,
    business_date: dt.date,
    methodology: Methodology,
    requested_by: Identity,
    memory: MemoryLimit,
    progress: Progress,
    totals: ControlTotals,
    named: NamedMember,
) -> RunRequest:
    """Read a run's files; what is wrong with them is among the request's problems.

    Args:
        paths: The files.
        business_date: The run's date, which FIXML reports must have.
        methodology: The method with its decisions.
        requested_by: Who asks.
        memory: What the day may take.
        progress: Receives the name of each step as it starts.
        totals: What the notices and the positions must come to.
        named: The clearing member that is named.

    Raises:
        LimitExceeded: A file would take more memory.
    """
    names = _names(paths)
    progress("reading the volumes")
    volumes = files.read_volumes(
        paths.volumes, methodology.securities, source=names.get(paths.volumes)
    )
    progress("reading the notices")
    received = files.read_notices(
        paths.notices,
        source=names.get(paths.notices),
        business_date=business_date,
        mapping=paths.mappings.of_role.get("notices", PLAIN),
        memory=memory,
    )
    notices, warnings = of_one_member(received, named.member, methodology.other_members)
    progress("reading the positions")
    positions = files.read_positions(
        paths.positions,
        assigned_pools(notices.table, methodology.pool),
        methodology.account_order,
        keep=methodology.positions_source is PositionsSource.KEPT,
        source=names.get(paths.positions),
        memory=memory,
        adds_up=totals.adds_up_shorts,
        mapping=paths.mappings.of_role.get("positions", PLAIN),
    )
    occ_positions = None
    if paths.occ_positions is not None:
        progress("reading OCC's positions")
        occ_positions = files.read_occ_positions(
            paths.occ_positions,
            business_date,
            source=names.get(paths.occ_positions),
            memory=memory,
        )
    figures = {**figures_of_notices(received), **figures_of_positions(positions)}
    return RunRequest(
        business_date=business_date,
        notices=notices,
        positions=positions,
        volumes=volumes,
        requested_by=requested_by,
        problems=named.problems + totals.problems(figures),
        occ_positions=occ_positions,
        mapping=paths.mappings.sources,
        methodology=methodology,
        clearing_member=named.member,
        warnings=warnings,
        may_be_cut_off=tuple(
            each.locator.source
            for each in (notices, positions, volumes)
            for source in each.sources
            if source.may_be_cut_off and not totals.covers(source.role)
        ),
    )


def read_mapping(path: Path | None) -> Mappings:
    """Read the mapping of --columns, if there is one.

    Raises:
        Refused: Something in it is wrong; every problem is listed.
    """
    if path is None:
        return NO_MAPPINGS
    mappings = read_mappings(path)
    mappings.problems.refuse_if_any()
    return mappings


def read_volumes(path: Path) -> ReceivedVolumes:
    """Read the ask prices of a file; what is wrong with it is among their problems."""
    return files.read_volumes(path, JPMS_2024_09_06.securities)


def _names(paths: RunFiles) -> dict[Path, str]:
    """Return what problems call the files: nothing special, or their paths if two share a name."""
    given = {paths.notices, paths.positions, paths.volumes, paths.occ_positions} - {None}
    if len({path.name for path in given if path}) == len(given):
        return {}
    return {path: str(path) for path in given if path}
