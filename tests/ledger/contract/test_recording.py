"""What is recorded once stays so, and what contradicts it is refused, in every place."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
import sqlalchemy as sa

from lottery import operations
from lottery.errors import (
    NOTICE_ALREADY_ALLOCATED,
    POPULATION_DIFFERS,
    REQUEST_ID_REUSED,
    RUN_SUPERSEDED,
    SEED_CONFLICT,
    Abandoned,
    KeyUnusable,
    LedgerBusy,
    LedgerDamaged,
    LedgerNotFound,
    Refused,
    RunNotFound,
)
from lottery.ledger import reader
from lottery.ledger.commit import Ledger
from lottery.ledger.entry import Charter, NamedRequest, NextKey, read_entry
from lottery.ledger.run_record import MethodRecord, Superseding
from lottery.ledger.schema import RUNS, metadata
from lottery.method.methodology import JPMS_2024_09_06, ZeroHit
from lottery.operations.ledgers import CharterTerms, methodology_for
from lottery.tlog.keys import SigningKey, create_key_file
from tests.builders import (
    AAPL,
    DATE,
    GE,
    META,
    NEXT_DATE,
    OTHER_ASKS,
    PUBLISHED,
    TESTER,
    SmallDay,
    notice,
    position,
    request_of_wire,
)
from tests.ledger.contract.places import (
    FOUR_EYES,
    A,
    B,
    C,
    Place,
    approve,
    assert_whole,
    conflict,
    contents_of,
    entries_in,
    nothing_recorded,
    record,
    requests_in,
    runs_in,
)
from tests.ledger.ledgers import BROKEN, GE_COVERED, META_ONLY

CORRECTED = replace(PUBLISHED, positions=[*PUBLISHED.positions[:2], position(AAPL, "1047", 31)])
WHY = "the positions were yesterday's"
WRAP = JPMS_2024_09_06


def test_init_makes_a_ledger_with_its_charter_and_nothing_else_makes_one(place: Place) -> None:
    with pytest.raises(LedgerNotFound, match=r"lottery init"):
        place.opened()

    made = place.init()

    (encoded,) = entries_in(made)
    charter = read_entry(encoded)
    assert isinstance(charter, Charter)
    assert (charter.origin, charter.public_key) == (made.log().origin, str(made.log().key))
    assert made.charters() == (charter,)
    assert methodology_for(made, DATE) == WRAP
    assert runs_in(made) == []
    with pytest.raises(RunNotFound):
        made.get("latest")
    assert_whole(made)


def test_init_again_leaves_the_same_charter_and_refuses_another(place: Place) -> None:
    made = place.init()

    with nothing_recorded(made):
        assert place.init().log() == made.log()
        with pytest.raises(Refused) as caught:
            place.init(CharterTerms(decisions={}, approval_reference="other"))
    assert "lottery charter amend" in caught.value.problems[0].message


def test_a_run_of_another_clearing_member_than_the_charters_is_refused(place: Place) -> None:
    ledger = place.init(CharterTerms(decisions={}, clearing_member="00099"))

    for member, got in ((None, "none"), ("00123", "'00123'")):
        with nothing_recorded(ledger), pytest.raises(Refused) as caught:
            record(ledger, PUBLISHED, clearing_member=member)
        (problem,) = caught.value.problems
        assert (problem.source, problem.rule) == ("clearing_member", "C1")
        assert problem.message.startswith(f"expected that of the charter, '00099', got {got}; ")
    recorded = record(ledger, PUBLISHED, clearing_member="00099").record
    assert recorded.clearing_member == "00099"
    assert_whole(ledger)


def test_a_run_is_recorded_once_and_read_back(place: Place, ledger: Ledger) -> None:
    first = record(ledger, PUBLISHED, request_id="mine")
    with nothing_recorded(ledger):
        again = record(place.opened(), PUBLISHED.shuffled(5), request_id="mine")

    assert (first.already_recorded, again.already_recorded) == (False, True)
    assert first.record == again.record == ledger.get(A) == ledger.get("latest")
    assert first.record.charter == ledger.get(A).charter
    assert_whole(ledger)


def test_another_request_id_of_the_same_content_is_entered_and_answered_for_ever(
    place: Place, ledger: Ledger
) -> None:
    first = record(ledger, PUBLISHED, request_id="mine")

    other = record(ledger, PUBLISHED, request_id="yours")

    assert (other.already_recorded, other.record) == (True, first.record)
    entry = read_entry(entries_in(ledger)[-1])
    assert isinstance(entry, NamedRequest)
    assert (entry.request_id, entry.run, entry.requested_by) == ("yours", A, TESTER)
    ledger.close()
    reopened = place.opened()
    with nothing_recorded(reopened):
        assert record(reopened, PUBLISHED, request_id="yours").record == first.record
        for day in (META_ONLY, replace(PUBLISHED, date=NEXT_DATE)):
            with conflict(REQUEST_ID_REUSED):
                record(reopened, day, request_id="yours")
    assert requests_in(reopened) == {"mine": A, "yours": A}
    assert_whole(reopened)


def test_a_known_run_is_answered_with_its_breaks(ledger: Ledger) -> None:
    first = record(ledger, BROKEN, request_id="mine")

    for request_id in ("mine", "yours", "yours"):
        again = record(ledger, BROKEN, request_id=request_id)
        assert again.already_recorded
        assert again.breaks == first.breaks
    assert [broken.series for broken in first.breaks] == [GE]
    assert first.record.break_count == 1


def test_a_request_id_has_one_content(ledger: Ledger) -> None:
    record(ledger, PUBLISHED, request_id="mine")

    with nothing_recorded(ledger):
        for asked in (META_ONLY, replace(PUBLISHED, date=NEXT_DATE)):
            with conflict(REQUEST_ID_REUSED):
                record(ledger, asked, request_id="mine")


def test_notices_pools_and_seeds_are_there_once_on_a_date(ledger: Ledger) -> None:
    record(ledger, PUBLISHED)
    same_notice = replace(META_ONLY, notices=[notice("A1", META, 5)])
    as_a_break = replace(PUBLISHED, notices=[*PUBLISHED.notices, notice("A2", AAPL, 60)])
    other_population = [*PUBLISHED.positions, position(AAPL, "2000", 1)]

    cases: list[tuple[str, SmallDay, dict[str, Any]]] = [
        (NOTICE_ALREADY_ALLOCATED, same_notice, {}),
        (NOTICE_ALREADY_ALLOCATED, PUBLISHED, {"cycle": 2}),
        (NOTICE_ALREADY_ALLOCATED, as_a_break, {}),
        (
            POPULATION_DIFFERS,
            replace(PUBLISHED.renamed("late-"), positions=other_population),
            {},
        ),
        (SEED_CONFLICT, replace(META_ONLY, asks=OTHER_ASKS), {"cycle": 2}),
    ]
    with nothing_recorded(ledger):
        for reason, day, asked in cases:
            with conflict(reason):
                record(ledger, day, **asked)
    late = [record(ledger, PUBLISHED.renamed(name)).record for name in ("late-", "later-")]
    assert [one.rests_on for one in late] == [(A,), (A, B)]
    assert record(ledger, replace(META_ONLY, asks=OTHER_ASKS, date=NEXT_DATE)).record.run == (
        "2024-09-17-001"
    )
    assert_whole(ledger)


def test_notices_of_a_break_may_come_again(ledger: Ledger) -> None:
    record(ledger, BROKEN)

    assert record(ledger, GE_COVERED, cycle=2).record.run == B
    with conflict(NOTICE_ALREADY_ALLOCATED, B):
        record(ledger, replace(GE_COVERED, positions=[position(GE, "904", 31)]), cycle=3)


def test_a_run_is_superseded_once_by_one_of_its_date(ledger: Ledger) -> None:
    first = record(ledger, PUBLISHED).record
    record(ledger, replace(PUBLISHED, date=NEXT_DATE))

    with nothing_recorded(ledger):
        with pytest.raises(RunNotFound):
            record(ledger, CORRECTED, supersedes=(B,), reason=WHY)
        with pytest.raises(Refused) as caught:
            record(ledger, CORRECTED, supersedes=("2024-09-17-001",), reason=WHY)
        assert [problem.source for problem in caught.value.problems] == ["supersede"]
    second = record(ledger, CORRECTED, supersedes=(A,), reason=WHY).record
    with nothing_recorded(ledger), conflict(RUN_SUPERSEDED, B):
        record(ledger, META_ONLY, supersedes=(A,), reason=WHY)
    with nothing_recorded(ledger), conflict(RUN_SUPERSEDED, B):
        record(ledger, PUBLISHED)

    assert (second.run, second.supersedes, second.reason) == (B, (A,), WHY)
    assert (
        ledger.described(ledger.get(A)).superseded_by,
        ledger.described(ledger.get(B)).superseded_by,
    ) == (B, None)
    assert ledger.left_standing("2024-09-16", Superseding()) == [second]
    assert ledger.left_standing("2024-09-16", Superseding(runs=(B,), reason=WHY)) == []
    assert ledger.get(A) == first
    # What it left out may come again, and volumes change once nothing stands against them.
    third = record(
        ledger, replace(PUBLISHED, asks=OTHER_ASKS), supersedes=(B,), reason="another ask"
    )
    assert third.record.run == C
    assert_whole(ledger)


@pytest.mark.parametrize("page_runs", [1, 2, reader.PAGE_RUNS])
def test_runs_are_listed_by_date_and_the_latest_is_the_last_recorded(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch, page_runs: int
) -> None:
    monkeypatch.setattr(reader, "PAGE_RUNS", page_runs)
    later = record(ledger, replace(PUBLISHED, date=NEXT_DATE)).record
    record(ledger, PUBLISHED)
    last = record(ledger, META_ONLY).record

    assert runs_in(ledger) == [A, B, later.run]
    assert ledger.get("latest") == last
    assert [one.run for one in ledger.iterate(last=DATE)] == [A, B]
    assert [one.run for one in ledger.iterate(first=NEXT_DATE)] == [later.run]
    assert [one.run for one in ledger.iterate(after=A)] == [B, later.run]
    assert [one.run for one in ledger.iterate(newest_first=True)] == [later.run, B, A]
    assert [one.run for one in ledger.iterate(after=B, newest_first=True)] == [A]
    with pytest.raises(RunNotFound, match=f"run {C} is not recorded"):
        ledger.get(C)


def test_what_is_decided_holds_from_its_date(ledger: Ledger) -> None:
    other = replace(WRAP, zero_hit=ZeroHit.FIRST)
    record(ledger, PUBLISHED)

    amended = ledger.amend(
        lambda last: replace(
            last, public_key=None, holds_from=NEXT_DATE, method=MethodRecord.of(other)
        ),
        lambda _, __: None,
    )

    assert (ledger.charter_for(DATE), ledger.charter_for(NEXT_DATE)) == ledger.charters()
    assert ledger.charters()[-1] == amended
    with nothing_recorded(ledger):
        for day, methodology in ((META_ONLY, other), (replace(META_ONLY, date=NEXT_DATE), WRAP)):
            with pytest.raises(Refused) as caught:
                record(ledger, day, methodology=methodology)
            assert "zero_hit" in caught.value.problems[0].message
    record(ledger, META_ONLY)
    record(ledger, replace(META_ONLY, date=NEXT_DATE), methodology=other)
    assert_whole(ledger)


def test_an_entry_of_more_than_sixteen_kilobytes_is_refused(ledger: Ledger) -> None:
    with nothing_recorded(ledger):
        with pytest.raises(Refused) as caught:
            ledger.enter("report", "x" * (16 << 10), "made", TESTER)
        assert "16384 bytes" in caught.value.problems[0].message
    ledger.enter("report", "x" * 16_000, "made", TESTER)
    assert_whole(ledger)


def test_a_new_key_signs_after_the_entry_that_names_it(place: Place, ledger: Ledger) -> None:
    origin, old = ledger.log().origin, ledger.log().key
    for wrong in (old, SigningKey.generate("another.example/log").verifier):
        with nothing_recorded(ledger), pytest.raises(KeyUnusable):
            ledger.rotate(wrong, TESTER)
    assert place.settings.key_file is not None
    key_file = place.settings.key_file.with_name("next.key")
    new = create_key_file(key_file, origin).verifier

    entry = ledger.rotate(new, TESTER)

    assert entry == NextKey(
        public_key=str(new),
        signs_from=3,
        requested_by=TESTER,
        recorded_at=entry.recorded_at,
        software=entry.software,
    )
    with nothing_recorded(ledger), pytest.raises(KeyUnusable, match="LOTTERY_SIGNING_KEY"):
        record(ledger, PUBLISHED)
    record(place.opened(key_file=key_file), PUBLISHED)
    assert ledger.log().keys == ((1, old), (3, new))
    assert_whole(ledger)


def test_a_caller_that_goes_away_records_nothing(ledger: Ledger) -> None:
    def proceed(left: list[int]) -> None:
        if not left:
            raise Abandoned("the caller is gone")
        left.pop()

    asked = request_of_wire(PUBLISHED, as_arrow=True)
    with nothing_recorded(ledger):
        for steps in range(3):
            with pytest.raises(Abandoned):
                operations.run_lottery(ledger, asked, proceed=partial(proceed, list(range(steps))))
    assert record(ledger, PUBLISHED).record.run == A


@pytest.mark.parametrize("table", sorted(metadata.tables))
def test_the_tables_refuse_to_change_delete_or_replace_a_row(place: Place, table: str) -> None:
    ledger = place.init(FOUR_EYES)
    approve(ledger, record(ledger, PUBLISHED))
    column = metadata.tables[table].columns.keys()[-1]
    statements = [f"UPDATE {table} SET {column} = {column}", f"DELETE FROM {table}"]  # noqa: S608
    database = ledger.ports.database
    with database.reading() as connection:
        dialect = connection.dialect.name
    if dialect == "sqlite":
        statements += [
            f"REPLACE INTO {table} SELECT * FROM {table}",  # noqa: S608
            (
                f"INSERT INTO {table} SELECT * FROM {table} WHERE 1 ON CONFLICT "  # noqa: S608
                f"DO UPDATE SET {column} = {column}"
            ),
        ]
    else:
        statements += [
            f"TRUNCATE {table} CASCADE",
            f"INSERT INTO {table} SELECT * FROM {table}",  # noqa: S608
        ]
    with nothing_recorded(ledger):
        for statement in statements:
            with (
                pytest.raises(LedgerDamaged, match=r"append-only|duplicate key"),
                database.writing() as connection,
            ):
                connection.exec_driver_sql(statement)
    assert_whole(ledger)


def test_another_ledger_in_the_place_of_the_one_that_was_opened_is_refused(
    place: Place, ledger: Ledger, tmp_path_factory: pytest.TempPathFactory
) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    other = Place(
        settings=replace(place.settings, ledger=str(elsewhere), objects=None, key_file=None)
    )
    ledger.ports = replace(ledger.ports, database=other.init().ports.database)

    for call in (
        lambda: ledger.get("latest"),
        lambda: record(ledger, PUBLISHED),
        lambda: ledger.enter("report", A, "made", TESTER),
        ledger.charters,
    ):
        with pytest.raises(LedgerDamaged, match="another ledger is in its place"):
            call()
    assert runs_in(place.opened()) == []


def test_a_ledger_of_other_tables_is_not_opened(place: Place) -> None:
    database = place.init().ports.database
    with database.writing() as connection:
        connection.exec_driver_sql("INSERT INTO ledger VALUES ('another.example/log', 3)")

    with pytest.raises(LedgerDamaged, match="one row in the table ledger and a key, got 2"):
        place.opened()


def test_a_busy_ledger_says_so_and_records_nothing(place: Place, ledger: Ledger) -> None:
    impatient = place.opened(lock_seconds=0.2)
    with (
        nothing_recorded(ledger),
        ledger.ports.database.writing(),
        pytest.raises(LedgerBusy, match="another process is writing"),
    ):
        record(impatient, PUBLISHED)
    assert record(impatient, PUBLISHED).record.run == A


def test_a_run_that_draws_the_same_pool_meanwhile_is_continued_too(
    place: Place, ledger: Ledger
) -> None:
    record(ledger, PUBLISHED)
    late = replace(PUBLISHED, notices=[notice("L1", AAPL, 5)])
    steps = 0

    def proceed() -> None:
        nonlocal steps
        steps += 1
        if steps == 2:
            record(place.opened(), late.renamed("faster-"))

    request = request_of_wire(late, as_arrow=False)
    done = operations.run_lottery(ledger, request, proceed=proceed)

    assert (done.record.run, done.record.rests_on) == (C, (A, B))
    assert_whole(ledger)


def test_the_same_request_that_is_recorded_meanwhile_is_answered_with_its_run(
    place: Place, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    judge = ledger._judge

    def judge_while_another_records(*given: Any) -> None:
        judge(*given)
        record(place.opened(), PUBLISHED)

    monkeypatch.setattr(ledger, "_judge", judge_while_another_records)

    done = record(ledger, PUBLISHED)

    assert (done.already_recorded, done.record.run) == (True, A)
    assert runs_in(ledger) == [A]
    assert_whole(ledger)


def test_who_did_what_is_an_entry_in_its_order(ledger: Ledger) -> None:
    record(ledger, PUBLISHED)
    for kind in ("export", "replay", "report", "verification"):
        ledger.enter(kind, A, "done", TESTER)

    assert [entry.type for entry in ledger.trail()] == [
        "charter",
        "export",
        "replay",
        "report",
        "verification",
    ]
    times = [entry.recorded_at for entry in ledger.trail()]
    assert times == sorted(times)
    assert all(time.endswith("Z") for time in times)
    assert dt.datetime.fromisoformat(times[0]).utcoffset() == dt.timedelta(0)


def test_reading_creates_nothing_and_sees_one_state(ledger: Ledger) -> None:
    count = sa.select(sa.func.count()).select_from(RUNS)
    with ledger.reading() as connection:
        assert connection.execute(count).scalar() == 0
        if connection.dialect.name == "postgresql":  # SQLite's readers hold writers up.
            record(ledger, PUBLISHED)
        assert connection.execute(count).scalar() == 0
        with pytest.raises((sa.exc.DBAPIError, LedgerDamaged)):
            connection.exec_driver_sql("INSERT INTO ledger SELECT origin FROM ledger")


def test_every_size_is_published_as_it_was_signed(ledger: Ledger) -> None:
    for number in range(5):
        ledger.enter("report", f"{number}", "made", TESTER)
        assert_whole(ledger)
    heads = contents_of(ledger.ports.objects, "log/heads")
    record(ledger, PUBLISHED)
    assert heads.items() < contents_of(ledger.ports.objects, "log/heads").items()
