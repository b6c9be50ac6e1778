"""One lottery is of one clearing member (P8): which notices count, and what is said of others.

Law: what counts is what a loop over the rows keeps, and every row that counts is still located
where it was received.
"""

from __future__ import annotations

from collections import Counter

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lottery.day.tables import NOTICE_ROWS
from lottery.intake.members import (
    OTHER_MEMBERS_LEFT_OUT,
    choose_member,
    describe_member,
    members_of,
    of_one_member,
)
from lottery.intake.sources import Received
from lottery.method.methodology import OtherMembers
from tests.builders import AAPL, SPY, arrow_payload, incoming, notice, rows_of, table_of

REFUSE, LEAVE_OUT = OtherMembers
OURS, THEIRS, OTHERS = "00099", "00123", "00456"


def received(firms: list[str | None], payloads: int = 1) -> Received:
    """Return a notice for each clearing firm, of 1, 2, 3 and so on contracts, by Arrow."""
    rows = [
        notice(f"N{number}", (AAPL, SPY)[number % 2], number) for number in range(1, len(firms) + 1)
    ]
    table = table_of(rows, NOTICE_ROWS).append_column("clearing_firm", pa.array(firms, pa.string()))
    arriving = incoming("notices")
    size = -(-len(firms) // payloads)
    for start in range(0, len(firms), size):
        arriving.add_arrow(arrow_payload(table.slice(start, size)))
    return arriving.received()


@pytest.mark.parametrize("other_members", list(OtherMembers))
@pytest.mark.parametrize(
    ("firms", "named", "member"),
    [
        ([OURS, OURS], None, OURS),
        ([OURS, None], None, OURS),
        ([None, None], None, None),
        ([OURS, OURS], OURS, OURS),
        ([OURS, None], OURS, OURS),
        ([None, None], OURS, OURS),
    ],
)
def test_notices_of_one_member_all_count(
    firms: list[str | None], named: str | None, member: str | None, other_members: OtherMembers
) -> None:
    arrived = received(firms)

    notices, warnings = of_one_member(arrived, named, other_members)

    assert notices is arrived
    assert (warnings, notices.problems.total) == ((), 0)
    choice = choose_member(arrived.table, arrived.occ_reports, named, other_members)
    assert (choice.member, choice.counts, choice.problem) == (member, None, None)


def test_notices_that_name_nobody_are_of_the_named_member() -> None:
    arriving = incoming("notices")
    arriving.add_arrow(arrow_payload(table_of([notice("N1", AAPL, 1)], NOTICE_ROWS)))
    arrived = arriving.received()

    assert arrived.occ_reports is None
    assert members_of(None) == {}
    assert choose_member(arrived.table, None, OURS, REFUSE).member == OURS
    assert choose_member(arrived.table, None, None, REFUSE).member is None


@pytest.mark.parametrize("other_members", list(OtherMembers))
def test_notices_of_two_members_are_refused_if_nobody_is_named(other_members: OtherMembers) -> None:
    notices, warnings = of_one_member(received([OURS, THEIRS, OURS, None]), None, other_members)

    (problem,) = notices.problems
    assert (problem.source, problem.column, problem.rule) == (
        "arrow_notices",
        "clearing_firm",
        "P8",
    )
    assert problem.message == (
        "notices must be of one clearing member, got 2 of '00099', 1 of '00123'; name the one "
        "that counts in the charter, or with the run"
    )
    assert warnings == ()


def test_notices_of_others_are_refused_by_name_and_number() -> None:
    notices, _ = of_one_member(received([THEIRS, OURS, OTHERS, THEIRS]), OURS, REFUSE)

    (problem,) = notices.problems
    assert problem.message == (
        "notices must be of clearing member '00099', got 2 of '00123', 1 of '00456'; have them "
        "sent apart, or leave others out by the charter (other_members = leave-out)"
    )


@pytest.mark.parametrize("other_members", list(OtherMembers))
def test_notices_of_nobody_but_others_are_refused(other_members: OtherMembers) -> None:
    notices, _ = of_one_member(received([THEIRS, OTHERS]), OURS, other_members)

    (problem,) = notices.problems
    assert "of clearing member '00099', got" in problem.message
    assert "1 of '00123', 1 of '00456'" in problem.message


def test_many_members_are_counted_on() -> None:
    notices, _ = of_one_member(received([f"{n:05}" for n in range(14)]), None, REFUSE)

    (problem,) = notices.problems
    assert "1 of '00009' and 4 more members; name" in problem.message


@given(
    firms=st.lists(st.sampled_from([OURS, THEIRS, OTHERS, None]), min_size=1, max_size=20),
    payloads=st.integers(1, 3),
)
def test_what_is_left_out_and_what_counts_are_those_that_a_loop_finds(
    firms: list[str | None], payloads: int
) -> None:
    arrived = received(firms, payloads)
    numbers = [number for number, firm in enumerate(firms, 1) if firm in (OURS, None)]
    others = [(number, firm) for number, firm in enumerate(firms, 1) if firm not in (OURS, None)]

    notices, warnings = of_one_member(arrived, OURS, LEAVE_OUT)

    assert members_of(arrived.occ_reports) == dict(
        sorted(Counter(firm for firm in firms if firm is not None).items())
    )
    if not numbers:
        assert notices.problems.total == 1
        return
    assert not notices.problems
    assert [row["quantity"] for row in rows_of(notices.table)] == numbers
    assert notices.occ_reports is not None
    assert notices.occ_reports.column("notice_id").equals(notices.table.column("notice_id"))
    assert [
        locator.row(index) for locator, index in map(notices.locate, range(len(numbers)))
    ] == numbers
    assert (notices.whole or notices).table.equals(arrived.table)
    if not others:
        assert warnings == ()
        return
    (warning,) = warnings
    assert (warning.code, warning.rule) == (OTHER_MEMBERS_LEFT_OUT, "P8")
    counts = Counter(str(firm) for _, firm in others)
    listed = ", ".join(f"{count} of '{firm}'" for firm, count in sorted(counts.items()))
    contracts = sum(number for number, _ in others)
    assert warning.message == (
        f"notices of other clearing members are left out: {listed}, {contracts} "
        f"contract{'' if contracts == 1 else 's'} in all"
    )


@pytest.mark.parametrize("member", ["", " 99", "99 ", "9\n9", "ä", "9" * 65])
def test_what_is_no_member_is_described(member: str) -> None:
    problem = describe_member(member)

    assert problem is not None
    assert problem.startswith("clearing member must be 1 to 64 printable ASCII characters")


@pytest.mark.parametrize("member", ["00099", "9", "A B", "9" * 64])
def test_what_is_a_member_is_not(member: str) -> None:
    assert describe_member(member) is None
