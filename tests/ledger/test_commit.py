"""The ledger: a run is recorded once and whole or not at all, and nothing recorded changes."""

from __future__ import annotations

import fcntl
import os
import sqlite3
import time
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from lottery import operations
from lottery.errors import (
    NOTICE_ALREADY_ALLOCATED,
    POOL_ALREADY_ALLOCATED,
    REQUEST_ID_REUSED,
    SEED_CONFLICT,
    Abandoned,
    Conflict,
    LedgerBusy,
    LedgerDamaged,
    LedgerNotFound,
    LedgerUnwritable,
    Refused,
    RunNotFound,
)
from lottery.ledger.commit import Ledger
from lottery.ledger.write_transaction import DATABASE
from tests.builders import (
    AAPL,
    DATE,
    FULL,
    GE,
    META,
    NEXT_DATE,
    OTHER_ASKS,
    PUBLISHED,
    SmallDay,
    assert_sound,
    largest_file,
    notice,
    position,
    record_in,
    replay_of,
    request_of,
)
from tests.ledger.ledgers import (
    BROKEN,
    GE_COVERED,
    META_ONLY,
    Run,
    conflict,
    files_in,
    folders_in,
    raw,
    runs_in,
    trail_of,
    unchanged,
)

MADE = ["checkpoints", DATABASE, "mirror.db", "signing.key"]
"""The files of a ledger in which nothing is recorded."""


def test_a_run_is_recorded_with_its_evidence_and_read_back(run: Run, ledger: Path) -> None:
    outcome = run(FULL)

    record = outcome.record
    assert not outcome.already_recorded
    assert (record.run, record.cycle, record.state) == (
        "2024-09-16-001",
        1,
        "ALLOCATED_WITH_BREAKS",
    )
    assert (record.pool_count, record.notice_count) == (4, 6)
    assert (record.assigned_quantity, record.allocated_quantity) == (74, 49)
    assert [(broken.series, broken.reason) for broken in record.breaks] == [(GE, "EXCEEDS_SHORT")]
    opened = Ledger.open(ledger)
    assert opened.get("2024-09-16-001") == opened.get("latest") == record
    kept = opened.evidence_of(record) / "run.json"
    assert kept.read_bytes() == record.canonical()
    assert list((ledger / "staging").iterdir()) == []
    assert opened.superseded_by("2024-09-16-001") is None
    assert_sound(ledger)


def test_the_same_request_again_finds_its_run(run: Run, ledger: Path) -> None:
    first = run(PUBLISHED, request_id="mine")
    again = run(PUBLISHED, request_id="mine")
    by_content = run(PUBLISHED)
    other_id = run(PUBLISHED, request_id="another")

    assert [outcome.already_recorded for outcome in (again, by_content, other_id)] == [True] * 3
    assert again.record == by_content.record == other_id.record == first.record
    assert runs_in(ledger) == ["2024-09-16-001"]


def test_a_request_without_an_id_gets_one_from_its_content(run: Run) -> None:
    record = run(PUBLISHED).record

    assert record.request_id == f"content-{record.content_sha256}"


def test_a_request_id_with_another_content_is_refused(run: Run, ledger: Path) -> None:
    run(PUBLISHED, request_id="mine")

    with conflict(REQUEST_ID_REUSED):
        run(META_ONLY, request_id="mine")
    with conflict(REQUEST_ID_REUSED):
        run(replace(PUBLISHED, date=NEXT_DATE), request_id="mine")
    assert runs_in(ledger) == ["2024-09-16-001"]


@pytest.mark.usefixtures("published")
def test_a_notice_is_allocated_once_on_a_date(run: Run, ledger: Path) -> None:
    with conflict(NOTICE_ALREADY_ALLOCATED):
        run(replace(PUBLISHED, notices=[notice("A1", META, 5)], positions=META_ONLY.positions))
    with conflict(NOTICE_ALREADY_ALLOCATED):
        run(PUBLISHED, cycle=2)
    assert runs_in(ledger) == ["2024-09-16-001"]
    assert folders_in(ledger) == ["2024-09-16-001"]


@pytest.mark.usefixtures("published")
def test_a_notice_that_was_allocated_does_not_come_back_as_a_break(run: Run, ledger: Path) -> None:
    with conflict(NOTICE_ALREADY_ALLOCATED):
        run(replace(PUBLISHED, positions=PUBLISHED.positions[:1]), cycle=2)
    with conflict(NOTICE_ALREADY_ALLOCATED):
        run(replace(PUBLISHED, positions=META_ONLY.positions), positions_basis="net")
    assert runs_in(ledger) == ["2024-09-16-001"]


def test_many_notices_allocated_before_are_named_up_to_five(run: Run) -> None:
    notices = [notice(f"A{number}", AAPL, 1) for number in range(8)]
    day = replace(PUBLISHED, notices=notices)
    run(day)

    reported = (
        "^run 2024-09-16-001 has already allocated notice A0, notice A1, notice A2, notice A3, "
        "notice A4 and 3 more$"
    )
    with pytest.raises(Conflict, match=reported):
        run(day, cycle=2)


def test_what_is_allocated_already_is_named_with_its_occ_account(run: Run) -> None:
    day = SmallDay(notices=[notice("A1", AAPL, 1, "C")], positions=[position(AAPL, "1", 1, "C")])
    run(day)

    reported = "run 2024-09-16-001 has already allocated"
    taken_off = "state --positions-basis net if that is deducted from these positions, gross if not"
    with pytest.raises(Conflict, match=f"^{reported} notice A1 of OCC account C$"):
        run(day, cycle=2)
    with pytest.raises(Conflict, match=f"^{reported} series {AAPL} of OCC account C; {taken_off}$"):
        run(day.renamed("late-"), cycle=2)


@pytest.mark.usefixtures("published")
def test_a_pool_without_an_occ_account_is_named_by_its_series_alone(run: Run) -> None:
    reported = f"^run 2024-09-16-001 has already allocated series {AAPL}; state --positions-basis"
    with pytest.raises(Conflict, match=reported):
        run(PUBLISHED.renamed("late-"))


def test_a_notice_id_of_another_date_or_occ_account_is_another_notice(run: Run) -> None:
    run(replace(PUBLISHED, notices=[notice("A1", AAPL, 10)]))

    run(replace(PUBLISHED, date=NEXT_DATE))
    run(SmallDay(notices=[notice("A1", AAPL, 1, "F")], positions=[position(AAPL, "1", 1, "F")]))


@pytest.mark.usefixtures("published")
def test_a_pool_is_allocated_once_on_a_date(run: Run, ledger: Path) -> None:
    with conflict(POOL_ALREADY_ALLOCATED):
        run(PUBLISHED.renamed("late-"), cycle=2)
    with conflict(POOL_ALREADY_ALLOCATED):
        run(PUBLISHED.renamed("late-"))
    run(META_ONLY, cycle=2)
    assert runs_in(ledger) == ["2024-09-16-001", "2024-09-16-002"]


@pytest.mark.usefixtures("published")
def test_a_date_has_one_seed(run: Run, ledger: Path) -> None:
    with conflict(SEED_CONFLICT):
        run(replace(META_ONLY, asks=OTHER_ASKS), cycle=2)
    run(replace(META_ONLY, asks=OTHER_ASKS, date=NEXT_DATE))
    assert runs_in(ledger) == ["2024-09-16-001", "2024-09-17-001"]


@pytest.mark.usefixtures("published")
def test_other_volumes_of_the_same_digits_are_another_seed(run: Run) -> None:
    swapped = {
        **PUBLISHED.asks,
        "Z901803": PUBLISHED.asks["Z901439"],
        "Z901439": PUBLISHED.asks["Z901803"],
    }

    with conflict(SEED_CONFLICT):
        run(replace(META_ONLY, asks=swapped))
    reported = (
        r"^run 2024-09-16-001 has recorded other volumes for 2024-09-16: "
        r"Z901803 has 862\.45713, got 118\.20946, "
        r"Z901439 has 118\.20946, got 862\.45713; "
        r"a run with other volumes must supersede every standing run of its date \[S8\]$"
    )
    with pytest.raises(Conflict, match=reported):
        run(replace(META_ONLY, asks=swapped))


@pytest.mark.usefixtures("published")
def test_another_writing_of_an_ask_is_the_same_seed(run: Run) -> None:
    outcome = run(replace(META_ONLY, asks={**PUBLISHED.asks, "Z901803": "0862.457130"}))

    assert outcome.record.run == "2024-09-16-002"


def test_notices_of_a_broken_pool_may_come_again(run: Run) -> None:
    first = run(BROKEN)
    assert [broken.series for broken in first.record.breaks] == [GE]

    again = run(GE_COVERED, cycle=2)

    assert again.record.breaks == ()
    with conflict(NOTICE_ALREADY_ALLOCATED, "2024-09-16-002"):
        run(replace(GE_COVERED, positions=[position(GE, "904", 31)]), cycle=3)


def test_runs_are_numbered_by_date_and_the_latest_is_the_last_recorded(
    run: Run, ledger: Path
) -> None:
    run(replace(PUBLISHED, date=NEXT_DATE))
    run(PUBLISHED)
    run(META_ONLY)

    opened = Ledger.open(ledger)

    assert runs_in(ledger) == ["2024-09-16-001", "2024-09-16-002", "2024-09-17-001"]
    assert opened.get("latest").run == "2024-09-16-002"
    assert [record.run for record in opened.iterate(last=DATE)] == [
        "2024-09-16-001",
        "2024-09-16-002",
    ]
    assert [record.run for record in opened.iterate(first=NEXT_DATE)] == ["2024-09-17-001"]
    assert [record.run for record in opened.iterate(after="2024-09-16-001")] == [
        "2024-09-16-002",
        "2024-09-17-001",
    ]
    with pytest.raises(RunNotFound, match="run 2024-09-16-003 is not recorded"):
        opened.get("2024-09-16-003")


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE runs SET record = x'00'",
        "UPDATE runs SET request_id = 'x' WHERE run = '2024-09-16-001'",
        "DELETE FROM runs",
        "REPLACE INTO runs SELECT * FROM runs",
        "REPLACE INTO runs SELECT 9, run, 'x', 9, 'x', 'x', x'00' FROM runs",
        "REPLACE INTO runs SELECT 9, 'x', 'x', 9, request_id, 'x', x'00' FROM runs",
        "REPLACE INTO runs SELECT 9, 'x', business_date, sequence, 'x', 'x', x'00' FROM runs",
        "REPLACE INTO runs SELECT log_index, 'x', 'x', 9, 'x', 'x', x'00' FROM runs",
        "INSERT INTO runs SELECT * FROM runs WHERE true ON CONFLICT DO UPDATE SET record = x'00'",
    ],
)
def test_the_tables_refuse_to_change_or_delete_a_record(
    run: Run, ledger: Path, statement: str
) -> None:
    record = run(PUBLISHED).record

    with raw(ledger) as database, pytest.raises(sqlite3.IntegrityError):
        database.execute(statement)

    assert Ledger.open(ledger).get("latest") == record


@pytest.mark.usefixtures("published")
def test_the_tables_refuse_values_of_other_types(ledger: Path) -> None:
    with raw(ledger) as database, pytest.raises(sqlite3.IntegrityError):
        database.execute(
            "INSERT INTO runs SELECT 7, 'r', 'd', 'no number', 'q', 'c', record FROM runs"
        )


def test_a_refused_day_makes_no_ledger_and_records_nothing(run: Run, ledger: Path) -> None:
    wrong = replace(PUBLISHED, notices=[notice("A1", AAPL, 0)])

    with pytest.raises(Refused):
        run(wrong)
    assert not ledger.exists()

    run(PUBLISHED)
    with pytest.raises(Refused):
        run(wrong)
    assert runs_in(ledger) == ["2024-09-16-001"]
    assert folders_in(ledger) == ["2024-09-16-001"]


@pytest.mark.parametrize("cycle", [2**31, 2**53, 10**20])
def test_a_cycle_past_all_bounds_is_recorded_or_refused_and_nothing_else(
    run: Run, ledger: Path, cycle: int
) -> None:
    try:
        outcome = run(PUBLISHED, cycle=cycle)
    except Refused:
        assert not ledger.exists()
    else:
        assert Ledger.open(ledger).get(outcome.record.run).cycle == cycle


def test_a_caller_that_goes_away_leaves_no_run_and_no_debris(
    tmp_path: Path, ledger: Path, run: Run
) -> None:
    for stop_at in range(1, 4):
        steps = 0

        def proceed(stop_at: int = stop_at) -> None:
            nonlocal steps
            steps += 1
            if steps == stop_at:
                raise Abandoned("gone")

        with pytest.raises(Abandoned):
            operations.run_lottery(
                lambda: Ledger.create(ledger),
                request_of(PUBLISHED, tmp_path / "in"),
                proceed=proceed,
            )
        if ledger.exists():
            assert runs_in(ledger) == []
            assert [operation for operation, _, _ in trail_of(ledger)] == ["LEDGER_MADE"]
            assert sorted(files_in(ledger)) == MADE
            assert_sound(ledger)

    assert run(PUBLISHED).record.run == "2024-09-16-001"


def test_the_steps_are_reported_in_their_order(tmp_path: Path, ledger: Path) -> None:
    steps: list[str] = []

    operations.run_lottery(
        lambda: Ledger.create(ledger),
        request_of(PUBLISHED, tmp_path / "in"),
        progress=steps.append,
    )

    assert steps == ["arranging the accounts", "allocating", "recording"]


def test_reading_where_there_is_no_ledger_makes_none(ledger: Path) -> None:
    with pytest.raises(LedgerNotFound):
        Ledger.open(ledger)
    assert not ledger.exists()

    ledger.mkdir()
    with pytest.raises(LedgerNotFound):
        Ledger.open(ledger)
    assert list(ledger.iterdir()) == []


def test_a_ledger_that_was_never_made_whole_is_none_yet(run: Run, ledger: Path) -> None:
    ledger.mkdir()
    (ledger / DATABASE).touch()

    with pytest.raises(LedgerNotFound):
        Ledger.open(ledger)
    assert run(PUBLISHED).record.run == "2024-09-16-001"


def test_nothing_recorded_is_reported_as_that(ledger: Path) -> None:
    Ledger.create(ledger).close()

    with pytest.raises(RunNotFound, match="no run is recorded yet"):
        Ledger.open(ledger).get("latest")


def test_a_ledger_of_a_later_version_is_not_touched(ledger: Path) -> None:
    Ledger.create(ledger).close()
    with raw(ledger) as database:
        database.execute("PRAGMA user_version = 77")

    for opening in (Ledger.open, Ledger.create):
        with pytest.raises(LedgerDamaged, match="got 77"):
            opening(ledger)


def test_a_file_that_is_no_database_is_reported_as_damage(ledger: Path) -> None:
    ledger.mkdir()
    (ledger / DATABASE).write_bytes(b"this is no database, whatever its name says" * 100)

    for opening in (Ledger.open, Ledger.create):
        with pytest.raises(LedgerDamaged):
            opening(ledger)


@pytest.mark.usefixtures("published")
def test_a_record_changed_past_the_triggers_is_damage(ledger: Path) -> None:
    with raw(ledger) as database:
        database.execute("DROP TRIGGER runs_refuse_update")
        database.execute(
            "UPDATE runs SET record = CAST(replace(record, '\"cycle\":1', '\"cycle\":01') AS BLOB)"
        )

    opened = Ledger.open(ledger)
    with pytest.raises(LedgerDamaged):
        opened.get("latest")
    with pytest.raises(LedgerDamaged):
        list(opened.iterate())


@pytest.mark.usefixtures("published")
def test_a_database_table_cut_off_is_reported_as_damage(ledger: Path) -> None:
    with raw(ledger) as database:
        database.execute("DROP TABLE runs")

    with pytest.raises((LedgerDamaged, LedgerUnwritable)):
        list(Ledger.open(ledger).iterate())


@pytest.mark.parametrize("name", ["notices.parquet", "pools.parquet"])
def test_no_run_is_recorded_beside_damaged_evidence_of_its_date(
    run: Run, ledger: Path, name: str
) -> None:
    record = run(PUBLISHED).record
    (Ledger.open(ledger).evidence_of(record) / name).unlink()

    with pytest.raises(LedgerDamaged, match=rf"2024-09-16-001/{name}"):
        run(META_ONLY)
    run(replace(META_ONLY, date=NEXT_DATE))


@pytest.mark.parametrize("lock", ["BEGIN IMMEDIATE", "BEGIN EXCLUSIVE"])
@pytest.mark.usefixtures("published")
def test_a_ledger_locked_elsewhere_is_busy_and_the_same_request_goes_through_later(
    ledger: Path, tmp_path: Path, lock: str
) -> None:
    request = request_of(META_ONLY, tmp_path / "in")

    with raw(ledger) as other:
        other.execute(lock)
        with pytest.raises(LedgerBusy):
            record_in(ledger, request, lock_seconds=0.1)
        other.execute("ROLLBACK")

    assert list((ledger / "staging").iterdir()) == []
    assert runs_in(ledger) == ["2024-09-16-001"]
    assert record_in(ledger, request).record.run == "2024-09-16-002"


def test_a_new_ledger_locked_elsewhere_is_busy(ledger: Path, run: Run) -> None:
    ledger.mkdir()
    with raw(ledger) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(LedgerBusy):
            Ledger.create(ledger, lock_seconds=0.1)
        other.execute("ROLLBACK")

    assert run(PUBLISHED).record.run == "2024-09-16-001"


@pytest.mark.usefixtures("published")
def test_a_reader_that_keeps_the_commit_waiting_makes_it_busy_and_nothing_half_recorded_shows(
    ledger: Path, tmp_path: Path
) -> None:
    request = request_of(META_ONLY, tmp_path / "in")

    with raw(ledger) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT * FROM runs").fetchall()
        with pytest.raises(LedgerBusy):
            record_in(ledger, request, lock_seconds=0.1)
        reader.execute("ROLLBACK")

    assert runs_in(ledger) == ["2024-09-16-001"]
    outcome = record_in(ledger, request)
    assert (outcome.record.run, outcome.already_recorded) == ("2024-09-16-002", False)
    assert replay_of(ledger, "2024-09-16-002").matched
    assert_sound(ledger)


def test_evidence_that_no_record_names_is_left_where_it_lies_and_nothing_is_recorded_over_it(
    run: Run, ledger: Path
) -> None:
    Ledger.create(ledger).close()
    left = ledger / "evidence/2024-09-16/2024-09-16-001"
    left.mkdir(parents=True)
    (left / "run.json").write_text("of a ledger that was here before")

    for _ in range(2):
        with (
            unchanged(ledger),
            pytest.raises(LedgerDamaged, match="but no run 2024-09-16-001 is recorded"),
        ):
            run(PUBLISHED)
    assert runs_in(ledger) == []
    assert run(replace(PUBLISHED, date=NEXT_DATE)).record.run == "2024-09-17-001"


def test_what_killed_processes_left_is_cleared_when_it_is_old_and_nobody_holds_it(
    run: Run, ledger: Path
) -> None:
    Ledger.create(ledger).close()
    staging = ledger / "staging"
    old = time.time() - 3_600
    for name in ("old", "held", "new"):
        (staging / name).mkdir()
        (staging / name / "pools.parquet").write_text("half")
    (staging / "file").write_text("no folder")
    for name in ("old", "held", "file"):
        os.utime(staging / name, (old, old))
    descriptor = os.open(staging / "held", os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)

    run(PUBLISHED)
    os.close(descriptor)

    assert sorted(path.name for path in staging.iterdir()) == ["file", "held", "new"]


@pytest.mark.parametrize("name", ["file", "file/below", "evidence is a file"])
def test_a_path_that_is_no_directory_is_no_ledger(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_text("in the way")
    (tmp_path / "evidence is a file").mkdir()
    (tmp_path / "evidence is a file/evidence").write_text("in the way")

    with pytest.raises(LedgerNotFound) as caught:
        record_in(tmp_path / name, request_of(PUBLISHED, tmp_path / "in"))

    assert str(caught.value).startswith(f"expected a directory at {tmp_path / name}")
    assert (tmp_path / "file").read_text() == "in the way"


def test_a_path_that_cannot_be_made_is_reported_as_unwritable(tmp_path: Path) -> None:
    folder = tmp_path / ("x" * 300)

    with pytest.raises(LedgerUnwritable) as caught:
        record_in(folder, request_of(PUBLISHED, tmp_path / "in"))

    assert str(caught.value) == f"{folder}: File name too long"


@pytest.mark.parametrize("name", ["allocations.parquet", "pools.parquet", "notices.parquet"])
def test_a_table_that_is_not_the_recorded_one_is_never_read(
    run: Run, ledger: Path, name: str
) -> None:
    record = run(PUBLISHED).record
    opened = Ledger.open(ledger)
    path = opened.evidence_of(record) / name
    whole = path.read_bytes()
    table = opened.read(record, name)
    assert table.num_rows > 0
    path.unlink()

    with pytest.raises(LedgerDamaged, match=f"{name} is not what was recorded: the file is miss"):
        opened.read(record, name)
    # As sound as the recorded one, with the same values in other bytes.
    pq.write_table(table, path)
    with pytest.raises(LedgerDamaged, match=f"{name} is not what was recorded: sha256 [0-9a-f]+; "):
        opened.read(record, name)
    look = {"allocations.parquet": operations.allocations, "pools.parquet": operations.pools}
    if name in look:
        with pytest.raises(LedgerDamaged, match=f"{name} is not what was recorded: sha256"):
            look[name](opened, "latest")
    path.write_bytes(whole)
    assert opened.read(record, name).equals(table)


def test_a_table_that_the_record_does_not_name_is_never_read(run: Run, ledger: Path) -> None:
    record = run(PUBLISHED).record
    named = tuple(file for file in record.evidence if file.name != "pools.parquet")

    with pytest.raises(
        LedgerDamaged, match=r"the record of run 2024-09-16-001 has no pools\.parquet"
    ):
        Ledger.open(ledger).read(replace(record, evidence=named), "pools.parquet")


def test_evidence_that_cannot_be_moved_is_reported_as_unwritable_and_nothing_is_recorded(
    run: Run, ledger: Path
) -> None:
    Ledger.create(ledger).close()
    (ledger / "evidence/2024-09-16").write_text("in the way")

    with pytest.raises(LedgerUnwritable):
        run(PUBLISHED)

    assert runs_in(ledger) == []
    (ledger / "evidence/2024-09-16").unlink()
    assert run(PUBLISHED).record.run == "2024-09-16-001"


@pytest.mark.parametrize("limit", [0, 100, 2_000, 5_000, 20_000])
def test_a_full_disk_is_reported_as_unwritable_and_nothing_is_recorded(
    tmp_path: Path, ledger: Path, run: Run, limit: int
) -> None:
    run(replace(PUBLISHED, date=NEXT_DATE))
    request = request_of(FULL, tmp_path / "full")

    with largest_file(limit), pytest.raises(LedgerUnwritable):
        record_in(ledger, request)

    assert runs_in(ledger) == ["2024-09-17-001"]
    assert list((ledger / "staging").iterdir()) == []
    assert record_in(ledger, request).record.run == "2024-09-16-001"


@pytest.mark.usefixtures("published")
def test_the_database_says_whose_it_is_and_needs_no_second_file(ledger: Path) -> None:
    with raw(ledger) as database:
        assert database.execute("PRAGMA application_id").fetchone() == (0x4C4F5454,)
        assert database.execute("PRAGMA journal_mode").fetchone() == ("delete",)
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert sorted(path.name for path in ledger.iterdir()) == sorted([*MADE, "evidence", "staging"])


@pytest.mark.parametrize(
    "name", ["a?b", "a?mode=ro&x=1", "a%20b", "a%b", "a#b", "a b", "ä", "series=x", "quo'te"]
)
def test_a_ledger_is_where_it_was_asked_for_whatever_the_folder_is_called(
    tmp_path: Path, name: str
) -> None:
    folder = tmp_path / "below" / name
    record = record_in(folder, request_of(FULL, tmp_path / "in")).record

    assert (folder / DATABASE).is_file()
    assert [path.name for path in (tmp_path / "below").iterdir()] == [name]
    assert replay_of(folder, record.run).mismatches == ()
    assert_sound(folder)


def test_a_run_is_recorded_beside_one_whose_allocations_are_damaged(run: Run, ledger: Path) -> None:
    record = run(PUBLISHED).record
    (Ledger.open(ledger).evidence_of(record) / "allocations.parquet").unlink()

    assert run(META_ONLY).record.run == "2024-09-16-002"
