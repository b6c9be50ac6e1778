"""The ledger's rules: what contradicts the standing runs of a date, and its waiting proposals.

A run is standing until a later one supersedes it; superseded runs contradict nothing. A proposal
that waits holds its notices and contradicts nothing else. The rules are checked under the write
lock that the insert needs.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from lottery.day.population import Pool, pools_in
from lottery.errors import (
    NOTICE_ALREADY_ALLOCATED,
    RUN_HAS_DEPENDENTS,
    RUN_SUPERSEDED,
    SEED_CONFLICT,
    Conflict,
    Problem,
    Refused,
    StandingChanged,
    some,
)
from lottery.ledger.allocated import Allocated, AllocatedBy
from lottery.ledger.claim import Claim
from lottery.ledger.date_runs import DateRuns
from lottery.ledger.run_record import RunRecord, Superseding
from lottery.method.seed import Seed

_NAMED: Final = 5
"""How many notices or pools a message names; it counts the others."""

NOTHING: Final = DateRuns()


def judge(
    claim: Claim,
    runs: DateRuns,
    allocated: AllocatedBy,
    now: str,
    *,
    judged_by: DateRuns = NOTHING,
) -> None:
    """Refuse a run that contradicts what stands of its date, or what waits.

    Args:
        claim: The run.
        runs: The runs of its date.
        allocated: Returns what a recorded run has allocated.
        now: The time, UTC (RFC 3339).
        judged_by: What it has been judged by before, and is not again.

    Raises:
        RunNotFound: A run that it supersedes is not recorded.
        Refused: A run that it supersedes is of another date.
        Conflict: It contradicts what is recorded.
        StandingChanged: What it rests on has been superseded, or a pool of it was drawn since.
    """
    date = claim.business_date.isoformat()
    standing = standing_after(runs, claim.superseding, date)
    refuse_conflicts([one for one in standing if not judged_by.counts(one.run)], allocated, claim)
    known = {claim.run, *(one.run for one in judged_by.records)}
    refuse_held_notices(
        [one for one in runs.waiting(now) if one.run not in known], allocated, claim
    )
    if not {one.run for one in standing}.issuperset(claim.rests_on):
        raise StandingChanged(f"a run of {date} was superseded in the meantime; try again")


def refuse_conflicts(standing: Iterable[RunRecord], allocated: AllocatedBy, claim: Claim) -> None:
    """Refuse a run that contradicts the standing runs of its date.

    Args:
        standing: The date's standing runs, without those that the new one supersedes.
        allocated: Returns what a recorded run has allocated.
        claim: The new run.

    Raises:
        Conflict: The seed differs (S8), or a notice is already allocated.
        StandingChanged: A run has drawn a pool of it that it does not continue.
    """
    standing = list(standing)
    if not standing:  # As on most mornings; a large day's notices take a while to compare.
        return
    seed = claim.seed
    for record in standing:
        if record.seed.volume_of != seed.volume_of:
            raise Conflict(
                SEED_CONFLICT,
                f"run {record.run} has recorded other volumes for {record.business_date}: "
                f"{_differing_asks(record.seed, seed)}; a run with other volumes must supersede "
                "every standing run of its date [S8]",
                run=record.run,
            )
    drawn = set(pools_in(claim.pools))
    given = _notices_of(claim)
    for record in standing:
        continued = record.run in claim.rests_on
        _refuse_overlap(record.run, allocated(record), given, set() if continued else drawn)


def refuse_held_notices(waiting: Iterable[RunRecord], allocated: AllocatedBy, claim: Claim) -> None:
    """Refuse a run with notices that a proposal holds.

    Args:
        waiting: The date's proposals that can be approved, but for the run itself.
        allocated: Returns what a recorded run has allocated.
        claim: The run.

    Raises:
        Conflict: A proposal would allocate a notice of it.
    """
    waiting = list(waiting)
    if not waiting:
        return
    given = _notices_of(claim)
    for record in waiting:
        again = sorted(_same_notices(given, allocated(record)))
        if again:
            raise Conflict(
                NOTICE_ALREADY_ALLOCATED,
                f"proposal {record.run} holds {_listed(again)} until it is approved, rejected or "
                "expires; lottery proposals says when",
                run=record.run,
            )


def standing_after(runs: DateRuns, superseding: Superseding, business_date: str) -> list[RunRecord]:
    """Return the runs that a superseding run leaves standing.

    Args:
        runs: The runs of the date.
        superseding: The runs that are to be superseded.
        business_date: The date of the run that is to supersede them.

    Raises:
        RunNotFound: One of them is not recorded.
        Refused: One is of another date.
        Conflict: One is not approved or already superseded, or a run that is to be left standing
            rests on it.
    """
    for superseded in superseding.runs:
        refuse_superseding(runs, superseded, business_date)
    refuse_dependents(runs, superseding)
    return runs.standing(superseding)


def refuse_superseding(runs: DateRuns, superseded: str, business_date: str) -> None:
    """Refuse to supersede a run that cannot be superseded.

    Args:
        runs: The runs of the date.
        superseded: The run to supersede.
        business_date: The date of the run that is to supersede it.

    Raises:
        RunNotFound: It is not recorded.
        Refused: It is of another date.
        Conflict: It is not approved, or already superseded.
    """
    if not superseded.startswith(f"{business_date}-"):
        message = f"expected a run of {business_date} to supersede, got {superseded}"
        raise Refused([Problem(source="supersede", message=message)])
    runs.refuse_uncounted(superseded)
    superseded_by = runs.superseded_by().get(superseded)
    if superseded_by is not None:
        raise Conflict(
            RUN_SUPERSEDED,
            f"run {superseded} is already superseded by run {superseded_by}",
            run=superseded_by,
        )


def refuse_dependents(runs: DateRuns, superseding: Superseding) -> None:
    """Refuse to supersede a run without those that rest on it (H2).

    Args:
        runs: The runs of the date.
        superseding: The runs that are to be superseded.

    Raises:
        Conflict: A standing run continues the draw of one of them, and is not superseded with it.
    """
    left = [
        record
        for record in runs.standing(superseding)
        if set(record.rests_on) & set(superseding.runs)
    ]
    if left:
        names = ", ".join(record.run for record in left)
        raise Conflict(
            RUN_HAS_DEPENDENTS,
            f"{names} {'rests' if len(left) == 1 else 'rest'} on a run that is to be superseded: "
            "their late notices continue its draw; supersede them together [H2]",
            run=left[0].run,
        )


def _refuse_overlap(
    run: str, theirs: Allocated, notices: set[tuple[str, str]], pools: set[Pool]
) -> None:
    again = sorted(_same_notices(notices, theirs))
    if again:
        raise Conflict(
            NOTICE_ALREADY_ALLOCATED, f"run {run} has already allocated {_listed(again)}", run=run
        )
    drawn = sorted(pools & theirs.pools.keys())
    if drawn:
        names = some([_named(*pool, "series") for pool in drawn], _NAMED)
        raise StandingChanged(f"run {run} has drawn {names} in the meantime; try again")


def _notices_of(claim: Claim) -> set[tuple[str, str]]:
    """Return occ_account and id of every notice.

    One that was allocated conflicts also if its pool is a break now.
    """
    columns = (claim.notices.column(name).to_pylist() for name in ("occ_account", "notice_id"))
    return set(zip(*columns, strict=True))


def _same_notices(notices: set[tuple[str, str]], theirs: Allocated) -> Iterator[tuple[str, str]]:
    """Yield the notices that are theirs too: an id with and without an OCC account is one."""
    for occ_account, notice_id in notices:
        same = (occ_account, notice_id) in theirs.notices or ("", notice_id) in theirs.notices
        if same or (not occ_account and notice_id in theirs.notice_ids):
            yield occ_account, notice_id


def _listed(notices: list[tuple[str, str]]) -> str:
    return some([_named(*notice, "notice") for notice in notices], _NAMED)


def _named(occ_account: str, name: str, noun: str) -> str:
    return f"{noun} {name} of OCC account {occ_account}" if occ_account else f"{noun} {name}"


def _differing_asks(recorded: Seed, given: Seed) -> str:
    asks = {volume.security_number: volume.ask_price for volume in given.volumes}
    volumes = given.volume_of
    return ", ".join(
        f"{volume.security_number} has {volume.ask_price}, got {asks[volume.security_number]}"
        for volume in recorded.volumes
        if volumes.get(volume.security_number) != volume.volume
    )
