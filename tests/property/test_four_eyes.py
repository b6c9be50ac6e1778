"""The law of four eyes: whatever is proposed, approved, rejected or left to expire, in any order.

A model of sets says what is refused and what stands; it knows no chain, no evidence and no draw. By
the end the ledger is sound, and what stands is what the model says, in the same order.
"""

from __future__ import annotations

import datetime as dt
import random
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from lottery import operations
from lottery.errors import Conflict, RunNotFound
from tests.builders import (
    AAPL,
    ASKS,
    DATE,
    GE,
    META,
    OTHER_ASKS,
    TESTER,
    SmallDay,
    assert_sound,
    notice,
    positions_of,
    settings_of,
)
from tests.ledger.contract.places import FOUR_EYES, approve, record, reject

LEDGERS, MANY, STEPS = 3, 40, 14
"""So many ledgers are tried; many of them where there is time; and the steps of each."""
HOURS = 3
SERIES = (AAPL, GE, META)
NOTICES = {f"N{number}": SERIES[number % len(SERIES)] for number in range(6)}
POSITIONS = [row for series in SERIES for row in positions_of(series, {"1": 50, "2": 50})]
REASON = "another day"


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """What a run claims: its notices, its asks, and what it supersedes."""

    notices: frozenset[str]
    asks: int
    supersedes: frozenset[str]

    @property
    def pools(self) -> set[str]:
        return {NOTICES[identifier] for identifier in self.notices}

    def day(self) -> SmallDay:
        notices = [
            notice(identifier, NOTICES[identifier], 1) for identifier in sorted(self.notices)
        ]
        asks = (ASKS, OTHER_ASKS)[self.asks]
        return SmallDay(notices=notices, positions=POSITIONS, asks=asks, date=DATE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A proposal, or a run that was approved."""

    run: str
    claim: Claim
    rests_on: frozenset[str]
    expires: int
    recorded: operations.RecordedRun


class Model:
    """What is proposed and what stands, as sets."""

    def __init__(self) -> None:
        self.now = 0
        self.proposals: dict[str, Run] = {}
        self.over: set[str] = set()
        self.standing: list[Run] = []
        self.superseded: set[str] = set()

    def waiting(self) -> list[Run]:
        decided = self.over | self.superseded | {one.run for one in self.standing}
        return [
            one
            for one in self.proposals.values()
            if one.run not in decided and self.now < one.expires
        ]

    def left(self, claim: Claim) -> list[Run]:
        return [one for one in self.standing if one.run not in claim.supersedes]

    def contradicts(self, claim: Claim, own: str = "") -> bool:
        left = self.left(claim)
        return (
            not claim.supersedes <= {one.run for one in self.standing}
            or any(one.rests_on & claim.supersedes for one in left)
            or any(one.claim.asks != claim.asks for one in left)
            or any(one.claim.notices & claim.notices for one in left)
            or any(one.claim.notices & claim.notices for one in self.waiting() if one.run != own)
        )

    def outdated(self, run: Run) -> bool:
        left = {one.run: one for one in self.left(run.claim)}
        return not run.rests_on <= left.keys() or any(
            one.claim.pools & run.claim.pools
            for one in left.values()
            if one.run not in run.rests_on
        )

    def same(self, claim: Claim) -> Run | None:
        """Return the last proposal of a claim, unless it is over."""
        found = [one for one in self.proposals.values() if one.claim == claim]
        if not found:
            return None
        last = found[-1]
        stands_or_stood = last.run in self.superseded or last in self.standing
        return last if stands_or_stood or last in self.waiting() else None


class Walk:
    """Random steps, done in a ledger and in the model."""

    def __init__(self, folder: Path, generator: random.Random) -> None:
        self.generator, self.model = generator, Model()
        terms = replace(FOUR_EYES, proposal_hours=HOURS)
        self.ledger = operations.init_ledger(settings_of(folder), terms, TESTER)
        start = dt.datetime(2024, 9, 17, 4, 0, tzinfo=dt.UTC)
        self.ledger.ports = replace(
            self.ledger.ports, clock=lambda: start + dt.timedelta(hours=self.model.now)
        )

    def steps(self) -> Iterator[None]:
        for _ in range(STEPS):
            step = self.generator.choices(
                (self.propose, self.approve, self.reject, self.wait), (5, 4, 1, 1)
            )[0]
            step()
            yield

    def propose(self) -> None:
        model, generator = self.model, self.generator
        known: Sequence[str] = [one.run for one in [*model.standing, *model.waiting()]]
        gone = generator.sample(known, min(len(known), generator.choice((0, 0, 0, 1, 2))))
        claim = Claim(
            notices=frozenset(generator.sample(sorted(NOTICES), generator.randint(1, 2))),
            asks=int(generator.random() < 0.15),
            supersedes=frozenset(gone),
        )
        same = model.same(claim)
        refused = same.run in model.superseded if same is not None else model.contradicts(claim)
        recorded = None
        with suppress(Conflict):
            recorded = record(
                self.ledger,
                claim.day(),
                supersedes=tuple(gone),
                reason=REASON if gone else None,
            )
        assert (recorded is None) == refused, claim
        if recorded is None:
            return
        assert recorded.already_recorded == (same is not None)
        if same is not None:
            assert recorded.record == same.recorded.record
            return
        run = recorded.record.run
        rests_on = {one.run for one in model.left(claim) if one.claim.pools & claim.pools}
        assert set(recorded.record.rests_on) == rests_on
        model.proposals[run] = Run(
            run=run,
            claim=claim,
            rests_on=frozenset(rests_on),
            expires=model.now + HOURS,
            recorded=recorded,
        )

    def approve(self) -> None:
        model = self.model
        if not model.proposals:
            return
        chosen = self.generator.choice(
            model.waiting() or [*model.proposals.values()]
            if self.generator.random() < 0.8
            else [*model.proposals.values()]
        )
        stands_or_stood = chosen in model.standing or chosen.run in model.superseded
        may = stands_or_stood or (
            chosen in model.waiting()
            and not model.contradicts(chosen.claim, chosen.run)
            and not model.outdated(chosen)
        )
        done = True
        try:
            approve(self.ledger, chosen.recorded)
        except Conflict:
            done = False
        assert done == may, chosen
        if done and not stands_or_stood:
            model.standing = [*model.left(chosen.claim), chosen]
            model.superseded |= chosen.claim.supersedes

    def reject(self) -> None:
        model = self.model
        if model.waiting():
            chosen = self.generator.choice(model.waiting())
            reject(self.ledger, chosen.recorded)
            model.over.add(chosen.run)

    def wait(self) -> None:
        self.model.now += 1

    def assert_stands(self) -> None:
        try:
            runs = operations.standing_day(self.ledger, DATE).runs
        except RunNotFound:
            runs = ()
        assert runs == tuple(one.run for one in self.model.standing)
        waiting = operations.list_proposals(self.ledger).waiting
        assert [one.record.run for one in waiting] == [one.run for one in self.model.waiting()]


@pytest.mark.parametrize(
    "seed",
    [
        *range(LEDGERS),
        *(pytest.param(seed, marks=pytest.mark.long) for seed in range(LEDGERS, MANY)),
    ],
)
def test_what_stands_is_what_two_people_have_agreed_on(seed: int, tmp_path: Path) -> None:
    generator = random.Random(seed)  # noqa: S311 - no lottery is drawn with it.
    walk = Walk(tmp_path / "ledger", generator)
    for _ in walk.steps():
        walk.assert_stands()
    assert_sound(tmp_path / "ledger")
