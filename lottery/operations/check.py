"""Files checked alone, every row, before any run needs them; nothing is recorded.

A run looks at the rows of assigned pools (P1, P4). Here all rows of a positions file take part, so
that what is wrong is known the evening before.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from lottery.errors import NO_PROBLEMS, Problem, Problems, quote
from lottery.intake import files
from lottery.intake.as_of import as_of_problems
from lottery.intake.compressed import plain_suffix
from lottery.intake.dialect import naming_the_mapping
from lottery.intake.mapping import NO_MAPPINGS, PLAIN, FileMapping, Mappings
from lottery.intake.members import members_of
from lottery.intake.memory import UNLIMITED, MemoryLimit
from lottery.intake.sources import SourceFile
from lottery.method.methodology import JPMS_2024_09_06, Methodology
from lottery.operations.totals import (
    KEYS,
    NO_TOTALS,
    ControlTotals,
    Figures,
    exact_sum,
    figures_of_notices,
    figures_of_positions,
)
from lottery.operations.validation import (
    derive_seed_of,
    position_problems,
    repeated_notices,
)

_ROLES: Final = {"notice_id": "notices", "account": "positions", "ask_price": "volumes"}
"""The role of a file by a column that no other role has."""
_SUFFIX_ROLES: Final = {".json": "volumes", ".xml": "notices"}


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckedFile:
    """A file that was checked.

    Attributes:
        name: What problems call it.
        role: `notices`, `positions` or `volumes`; None if its columns are those of no role.
        row_count: The rows that were read.
        quantity: Contracts assigned or short in all; None for volumes.
        members: The number of notices of each clearing member that they name (P8).
        may_be_cut_off: Whether it is text whose last line has no line end, and neither control
            totals nor a checksum came with it (H1).
    """

    name: str
    role: str | None
    row_count: int = 0
    quantity: int | None = None
    members: Mapping[str, int] = field(default_factory=dict)
    may_be_cut_off: bool = False


def check_files(
    paths: Sequence[Path],
    *,
    business_date: dt.date | None = None,
    methodology: Methodology = JPMS_2024_09_06,
    memory: MemoryLimit = UNLIMITED,
    totals: ControlTotals = NO_TOTALS,
    mappings: Mappings = NO_MAPPINGS,
    names: Mapping[Path, str] | None = None,
) -> tuple[tuple[CheckedFile, ...], Problems]:
    """Read files as a run would, and every row of them.

    Args:
        paths: The files; what one holds follows from its columns.
        business_date: The date that FIXML and as-of times must have.
        methodology: The method with its decisions.
        memory: What reading a file may take.
        totals: What all files of notices, and of positions, must come to.
        mappings: What files are that are not as they are wanted.
        names: What problems call the files; their paths by default.

    Returns:
        What each file holds, and what is wrong with them.

    Raises:
        LimitExceeded: A file needs more memory.
    """
    checked, problems = [], NO_PROBLEMS
    figures: list[Figures] = []
    for path in paths:
        name = (names or {}).get(path, str(path))
        file, found, came = _check(path, name, business_date, methodology, memory, mappings)
        may_be_cut_off = file.may_be_cut_off and not totals.covers(file.role or "")
        checked.append(replace(file, may_be_cut_off=may_be_cut_off))
        problems += found
        figures.append(came)
    if not problems:
        problems += totals.problems(_added_up(figures))
    return tuple(checked), problems


def _added_up(figures: Sequence[Figures]) -> Figures:
    """Return what several files come to together."""
    added: dict[str, tuple[str, int]] = {}
    for key in KEYS:
        came = [one[key] for one in figures if key in one]
        names = ", ".join(name for name, _ in came) or "the files"
        added[key] = (names, sum(figure for _, figure in came))
    return added


def _check(
    path: Path,
    name: str,
    business_date: dt.date | None,
    methodology: Methodology,
    memory: MemoryLimit,
    mappings: Mappings,
) -> tuple[CheckedFile, Problems, Figures]:
    """Return what a file holds, what is wrong with it, and what it comes to."""
    role, mapping, problems = _role_of(path, name, mappings, memory)
    if role == "notices":
        notices = files.read_notices(
            path, source=name, business_date=business_date, mapping=mapping, memory=memory
        )
        file = CheckedFile(
            name=name,
            role=role,
            row_count=notices.table.num_rows,
            quantity=exact_sum(notices.table.column("quantity")),
            members=members_of(notices.occ_reports),
            may_be_cut_off=_may_be_cut_off(notices.sources),
        )
        problems = notices.problems + repeated_notices(notices, methodology.pool)
        return file, problems, figures_of_notices(notices)
    if role == "volumes":
        volumes = files.read_volumes(path, methodology.securities, source=name)
        _, problems = derive_seed_of(volumes, methodology)
        if business_date is not None:
            problems += as_of_problems(volumes.sources, volumes.locator, business_date)
        file = CheckedFile(
            name=name,
            role=role,
            row_count=len(volumes.asks),
            may_be_cut_off=_may_be_cut_off(volumes.sources),
        )
        return file, volumes.problems + problems, {}
    if role is None:
        return CheckedFile(name=name, role=None), problems, {}
    positions = files.read_positions(
        path,
        None,
        methodology.account_order,
        pooling=methodology.pool,
        source=name,
        memory=memory,
        adds_up=True,
        mapping=mapping,
    )
    file = CheckedFile(
        name=name,
        role=role,
        row_count=positions.row_count,
        quantity=positions.total_short,
        may_be_cut_off=_may_be_cut_off(positions.sources),
    )
    problems = positions.problems + position_problems(positions, methodology)
    if business_date is not None:
        problems += as_of_problems(positions.sources, positions.locator, business_date)
    return file, problems, figures_of_positions(positions)


def _may_be_cut_off(sources: Sequence[SourceFile]) -> bool:
    return any(source.may_be_cut_off for source in sources)


def _role_of(
    path: Path, name: str, mappings: Mappings, memory: MemoryLimit
) -> tuple[str | None, FileMapping, Problems]:
    """Return what a file holds by its suffix or column names, or why that cannot be said.

    Returns:
        Its role, the mapping of which it is, and a problem instead of a role.
    """
    role = _SUFFIX_ROLES.get(plain_suffix(path))
    if role is not None:
        return role, PLAIN, NO_PROBLEMS
    for mapped_role, mapping in mappings.of_role.items():
        names = files.column_names(path, mapping, memory)
        if mapped_role in _roles_of(names) and mapping.names.keys() <= {*names}:
            return mapped_role, mapping, NO_PROBLEMS
    names = files.column_names(path, memory=memory)
    roles = _roles_of(names)
    if len(roles) == 1:
        return roles.pop(), PLAIN, NO_PROBLEMS
    message = names
    if not isinstance(names, str):
        expected = ", ".join(f"{column} ({role})" for column, role in _ROLES.items())
        found = ", ".join(map(quote, names))
        message = f"expected exactly one of the columns {expected}, got {found}"
    problems = Problems.of(Problem(source=name, message=str(message)))
    is_text = plain_suffix(path) == ".csv"
    return None, PLAIN, naming_the_mapping(problems) if is_text else problems


def _roles_of(names: list[str] | str) -> set[str]:
    """Return the roles whose own column is among a file's, whose names may not be readable."""
    return set() if isinstance(names, str) else {_ROLES[one] for one in names if one in _ROLES}
