"""Whose notices count: one lottery is of one clearing member (rule P8).

OCC's reports name the clearing member that each notice is for, and files of several members may
come together. A notice that names none is taken for the lottery's own, as all of a CSV file are.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lottery.errors import Problems, quote
from lottery.intake.sources import Received
from lottery.method.methodology import OtherMembers
from lottery.method.seed import RuleWarning

OTHER_MEMBERS_LEFT_OUT: Final = "OTHER_MEMBERS_LEFT_OUT"
"""Code of the warning that notices of other clearing members were left out."""
COLUMN: Final = "clearing_firm"
MEMBERS_SHOWN: Final = 10
"""Maximum number of members that a message names."""

_MEMBER: Final = re.compile(r"[!-~](?:[ -~]{0,62}[!-~])?")


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberChoice:
    """The clearing member whose notices count.

    Attributes:
        member: The member; None if nothing names one.
        others: The number of notices of each other member.
        counts: bool[n], which notices count; None if all do.
        problem: Why the notices are refused, or None.
        warning: That notices were left out, or None.
    """

    member: str | None
    others: Mapping[str, int]
    counts: pa.ChunkedArray | None = None
    problem: str | None = None
    warning: RuleWarning | None = None


def choose_member(
    notices: pa.Table,
    occ_reports: pa.Table | None,
    named: str | None,
    other_members: OtherMembers,
) -> MemberChoice:
    """Choose the notices of one clearing member.

    Args:
        notices: `tables.NOTICES`.
        occ_reports: `tables.OCC_REPORTS` of the same rows, or None.
        named: The member whose notices count, as the charter or the command names it; None if
            neither does.
        other_members: What becomes of the notices of others (P8).
    """
    found = members_of(occ_reports)
    if named is None:
        if len(found) < 2:  # noqa: PLR2004 - one lottery is of one member.
            return MemberChoice(member=next(iter(found), None), others={})
        problem = (
            f"notices must be of one clearing member, got {_counted(found)}; name the one that "
            "counts in the charter, or with the run"
        )
        return MemberChoice(member=None, others=found, problem=problem)
    others = {member: count for member, count in found.items() if member != named}
    if not others:
        return MemberChoice(member=named, others={})
    refused = MemberChoice(member=named, others=others)
    if other_members is OtherMembers.REFUSE:
        message = (
            f"notices must be of clearing member {quote(named)}, got {_counted(others)}; have them "
            "sent apart, or leave others out by the charter (other_members = leave-out)"
        )
        return replace(refused, problem=message)
    assert occ_reports is not None, "it names the others"  # noqa: S101
    firms = occ_reports.column(COLUMN).cast(pa.string())
    counts = pc.or_kleene(pc.equal(firms, named), pc.is_null(firms))
    if not pc.any(counts).as_py():
        message = f"expected notices of clearing member {quote(named)}, got {_counted(others)}"
        return replace(refused, problem=message)
    left_out = notices.column("quantity").filter(pc.invert(counts))
    contracts = int(pc.sum(left_out.cast(pa.decimal128(38))).as_py())
    warning = RuleWarning(
        code=OTHER_MEMBERS_LEFT_OUT,
        rule="P8",
        message=f"notices of other clearing members are left out: {_counted(others)}, "
        f"{contracts:,} contract{'' if contracts == 1 else 's'} in all",
    )
    return replace(refused, counts=counts, warning=warning)


def of_one_member(
    notices: Received, named: str | None, other_members: OtherMembers
) -> tuple[Received, tuple[RuleWarning, ...]]:
    """Return the notices that count, with what is wrong with them, and what deserves attention.

    Args:
        notices: The notices as they were received.
        named: As for `choose_member`.
        other_members: As for `choose_member`.
    """
    choice = choose_member(notices.table, notices.occ_reports, named, other_members)
    if choice.problem is not None:
        problem = notices.locator.problem(choice.problem, column=COLUMN, rule="P8")
        return replace(notices, problems=notices.problems + Problems.of(problem)), ()
    if choice.counts is None or choice.warning is None:
        return notices, ()
    return _only(notices, choice.counts), (choice.warning,)


def members_of(occ_reports: pa.Table | None) -> dict[str, int]:
    """Return the number of notices of each clearing member that they name, sorted by member."""
    if occ_reports is None:
        return {}
    counted: Counter[str] = Counter()
    for one in pc.value_counts(occ_reports.column(COLUMN).cast(pa.string())).to_pylist():
        if one["values"] is not None:
            counted[one["values"]] += one["counts"]
    return dict(sorted(counted.items()))


def describe_member(member: str) -> str | None:
    """Return why a text cannot be the id of a clearing member, or None if it can."""
    if _MEMBER.fullmatch(member):
        return None
    expected = "1 to 64 printable ASCII characters without blanks at the ends"
    return f"clearing member must be {expected}, got {quote(member)}"


def _only(notices: Received, counts: pa.ChunkedArray) -> Received:
    reports = notices.occ_reports
    return replace(
        notices,
        table=notices.table.filter(counts),
        occ_reports=None if reports is None else reports.filter(counts),
        whole=notices,
        rows=np.flatnonzero(counts.to_numpy()),
    )


def _counted(members: Mapping[str, int]) -> str:
    shown = [f"{count:,} of {quote(member)}" for member, count in members.items()]
    more = len(shown) - MEMBERS_SHOWN
    listed = ", ".join(shown[:MEMBERS_SHOWN])
    return f"{listed} and {more:,} more members" if more > 0 else listed
