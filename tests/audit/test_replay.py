"""Replay: what is untouched matches, and any one value changed anywhere is found and named."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from lottery import operations
from lottery.audit.differences import ROWS_LISTED
from lottery.audit.replay import Engine, Mismatch, replay
from lottery.errors import RunNotFound
from lottery.ledger import evidence
from lottery.ledger.entry import canonical, read_run
from lottery.ledger.run_record import RunRecord
from lottery.method.seed import RuleWarning
from tests.apart import run_apart
from tests.builders import (
    AAPL,
    DATE,
    FULL,
    META,
    NEXT_DATE,
    PUBLISHED,
    REQUESTER,
    SmallDay,
    copied,
    evidence_in,
    notice,
    opened,
    position,
    record_in,
    replay_of,
    request_of,
    request_of_files,
    request_of_wire,
)
from tests.fixml import write_fixml_files


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> tuple[RunRecord, Path]:
    """The full day recorded once; tests work on copies of its evidence."""
    folder = tmp_path_factory.mktemp("recorded")
    record = record_in(folder / "ledger", request_of(FULL, folder / "in")).record
    return record, folder / "ledger" / record.folder


@pytest.fixture
def record(recorded: tuple[RunRecord, Path]) -> RunRecord:
    return recorded[0]


@pytest.fixture
def copy(recorded: tuple[RunRecord, Path], tmp_path: Path) -> Path:
    """A copy of the evidence that may be changed."""
    return copied(recorded[1], tmp_path / recorded[0].run)


def found_at(mismatches: tuple[Mismatch, ...], where: str) -> Mismatch:
    """Return the one mismatch there."""
    (found,) = [mismatch for mismatch in mismatches if mismatch.where == where]
    assert found.recorded != found.computed
    return found


def sealed(record: RunRecord, directory: Path) -> RunRecord:
    """The record with the digests of the files as they are now.

    So a forger would do it who can write to everything.
    """
    files = tuple(
        replace(
            file,
            sha256=hashlib.sha256((directory / file.name).read_bytes()).hexdigest(),
            size=(directory / file.name).stat().st_size,
        )
        for file in record.evidence
    )
    return replace(record, evidence=files)


def digest_and_size(record: RunRecord, name: str) -> str:
    """What is recorded of a file, as mismatches say it."""
    file = record.digest_of(name)
    assert file is not None
    return f"sha256 {file.sha256}, {file.size} bytes"


def other(value: Any) -> Any:
    """Another value of the same kind; for a null, one that is allowed in its folder."""
    if isinstance(value, int):
        return value + 1
    if isinstance(value, str) and value.isdigit():
        return str(int(value) + 1)
    return f"{value[:-1]}9" if value else "X"


def changed(table: pa.Table, row: int, name: str, value: Any) -> pa.Table:
    rows = table.to_pylist()
    rows[row][name] = value
    return pa.Table.from_pylist(rows, table.schema)


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_a_run_from_files_matches(tmp_path: Path, suffix: str) -> None:
    record_in(tmp_path / "ledger", request_of(FULL, tmp_path / "in", suffix=suffix))

    replayed = replay_of(tmp_path / "ledger", "latest")

    assert replayed.mismatches == ()
    assert replayed.matched


@pytest.mark.parametrize("as_arrow", [False, True], ids=["rows", "payloads"])
def test_a_run_from_messages_matches(tmp_path: Path, as_arrow: bool) -> None:  # noqa: FBT001
    record_in(tmp_path / "ledger", request_of_wire(FULL.shuffled(4), as_arrow=as_arrow))

    assert replay_of(tmp_path / "ledger", "latest").mismatches == ()


@pytest.mark.parametrize(
    "day",
    [
        pytest.param(PUBLISHED, id="no break"),
        pytest.param(replace(PUBLISHED, notices=[notice("A1", AAPL, 66)]), id="breaks alone"),
        pytest.param(
            SmallDay(notices=PUBLISHED.notices, positions=FULL.positions[9:]), id="no position"
        ),
        pytest.param(
            replace(PUBLISHED, notices=[notice("A1", AAPL, 10, "C")]), id="OCC account on one side"
        ),
        pytest.param(
            replace(PUBLISHED, asks={**dict.fromkeys(PUBLISHED.asks, "0"), "Z901803": "90"}),
            id="seed with warnings",
        ),
        pytest.param(
            SmallDay(
                notices=[notice("A1", AAPL, 2**62)],
                positions=[position(AAPL, "9" * 30, 2**62), position(AAPL, "0" * 29 + "1", 2**60)],
            ),
            id="long accounts, large numbers",
        ),
    ],
)
def test_days_at_the_bounds_match(tmp_path: Path, day: SmallDay) -> None:
    for name, request in (
        ("file", request_of(day, tmp_path / "in")),
        ("wire", request_of_wire(day, as_arrow=True)),
    ):
        record_in(tmp_path / name, request)

        assert replay_of(tmp_path / name, "latest").mismatches == ()


def test_runs_are_replayed_by_date(tmp_path: Path) -> None:
    ledger = tmp_path / "ledger"
    record_in(ledger, request_of(FULL, tmp_path / "a"))
    record_in(ledger, request_of(replace(FULL, date=NEXT_DATE), tmp_path / "b"))
    there = opened(ledger)

    def replayed_runs(**dates: Any) -> list[str]:
        every = operations.replay_dates(there, REQUESTER, engine=Engine.COMPILED, **dates)
        return [replayed.run for replayed in every]

    both = replayed_runs()
    later = replayed_runs(first=NEXT_DATE)
    earlier = replayed_runs(last=DATE)

    assert both == ["2024-09-16-001", "2024-09-17-001"]
    assert (earlier, later) == (both[:1], both[1:])
    with pytest.raises(RunNotFound):
        replay_of(ledger, "2024-09-18-001")


OF_EVERY_RUN = {
    file: schema for file, schema in evidence.TABLES.items() if file != evidence.OCC_REPORTS_FILE
}
CELLS = [(file, name) for file, schema in OF_EVERY_RUN.items() for name in schema.names]
COMPUTED = {
    "notices.parquet": {"notice_id", "series", "quantity", "occ_account"},
    "pools.parquet": set(evidence.TABLES["pools.parquet"].names),
    "allocations.parquet": set(evidence.TABLES["allocations.parquet"].names),
    "positions.parquet": set(),
    "continued.parquet": set(),
    "population.parquet": set(),
}


@pytest.mark.parametrize(("file", "name"), CELLS)
def test_any_one_value_of_a_table_changed_is_found_and_named(
    record: RunRecord, copy: Path, file: str, name: str
) -> None:
    table = evidence.read_table(copy, file).combine_chunks()
    for row, cells in enumerate(table.to_pylist()):
        value = cells[name]
        new = other(value) if value is not None else {"first_hit": 1}.get(name, "NO_POSITION")
        evidence.write_parquet(changed(table, row, name, new), copy / file)

        mismatches = replay(record, copy).mismatches

        digest = found_at(mismatches, file)
        assert digest.recorded == digest_and_size(record, file)
        now = hashlib.sha256((copy / file).read_bytes()).hexdigest()
        assert digest.computed == f"sha256 {now}"
        if name in COMPUTED[file] and not (file == "notices.parquet" and name != "quantity"):
            found = found_at(mismatches, f"{file} row {row + 1} {name}")
            assert (found.recorded, found.computed) == (str(new), str(value))
        elif file != "notices.parquet":
            # The positions are in the evidence alone: their digest in the content shows it, or
            # another account's row where there is one.
            named = {mismatch.where for mismatch in mismatches}
            assert named & {"run.json content_sha256", "positions"}
        (copy / file).chmod(0o644)


def test_a_value_changed_with_all_digests_made_good_is_found_and_named(
    record: RunRecord, copy: Path
) -> None:
    table = evidence.read_table(copy, "allocations.parquet").combine_chunks()
    moved = changed(table, 0, "assigned_quantity", 2)
    moved = changed(moved, 1, "assigned_quantity", 8)
    evidence.write_parquet(moved, copy / "allocations.parquet")

    mismatches = replay(sealed(record, copy), copy).mismatches

    assert [(mismatch.where, mismatch.recorded, mismatch.computed) for mismatch in mismatches] == [
        ("allocations.parquet row 1 assigned_quantity", "2", "3"),
        ("allocations.parquet row 2 assigned_quantity", "8", "7"),
    ]


def test_a_position_left_out_with_all_digests_made_good_is_found(
    record: RunRecord, copy: Path
) -> None:
    table = evidence.read_table(copy, "positions.parquet")
    (copy / "positions.parquet").unlink()
    evidence.write_parquet(table.slice(1), copy / "positions.parquet")

    mismatches = replay(sealed(record, copy), copy).mismatches

    assert found_at(mismatches, "run.json content_sha256")
    assert found_at(mismatches, "pools.parquet row 1 total_short").computed == "35"


@pytest.mark.parametrize(
    ("source", "old", "new", "where", "expected"),
    [
        ("notices.csv", b"A1,", b"A9,", "notices.parquet row 1 notice_id", ("A1", "A9")),
        (
            "notices.csv",
            b"A1,AAPL  240920C00220000,10,",
            b"A1,AAPL  240920C00220000,11,",
            "notices.parquet row 1 quantity",
            ("10", "11"),
        ),
        (
            "volumes.csv",
            b"862.45713",
            b"862.45714",
            "run.json seed composite",
            ("282431310", "282431311"),
        ),
        ("volumes.csv", b"862.45713", b"962.45713", "run.json seed digits", ("4313", "4313")),
    ],
)
def test_a_source_edited_is_found_and_named(
    record: RunRecord,
    copy: Path,
    source: str,
    old: bytes,
    new: bytes,
    where: str,
    expected: tuple[str, str],
) -> None:
    path = copy / "sources" / source
    content = path.read_bytes()
    assert content.count(old) == 1
    path.write_bytes(content.replace(old, new))

    for kept in (record, sealed(record, copy)):
        mismatches = replay(kept, copy).mismatches
        if expected[0] == expected[1]:
            where = "run.json seed composite"
            expected = ("282431310", "292431310")
        found = found_at(mismatches, where)
        assert (found.recorded, found.computed) == expected


def test_a_source_edited_without_changing_a_value_is_found_by_its_digest(
    record: RunRecord, copy: Path
) -> None:
    path = copy / "sources/volumes.csv"
    path.write_bytes(path.read_bytes().replace(b"862.45713", b"0862.457130"))

    mismatches = replay(record, copy).mismatches

    found = found_at(mismatches, "sources/volumes.csv")
    now = hashlib.sha256(path.read_bytes()).hexdigest()
    assert found.recorded == digest_and_size(record, "sources/volumes.csv")
    assert found.computed == f"sha256 {now}"
    assert [
        mismatch.where for mismatch in mismatches if mismatch.where != "run.json seed volumes"
    ] == ["sources/volumes.csv"]


@pytest.fixture(scope="module")
def recorded_late(tmp_path_factory: pytest.TempPathFactory) -> tuple[RunRecord, Path]:
    """A second cycle of the full day, which continues the draws of two of its pools."""
    folder = tmp_path_factory.mktemp("late")
    record_in(folder / "ledger", request_of(FULL, folder / "a"))
    second = replace(FULL, notices=[notice("B1", META, 2, "C"), notice("B2", AAPL, 60, "C")])
    request = request_of(second, folder / "b", cycle=2)
    record = record_in(folder / "ledger", request).record
    return record, folder / "ledger" / record.folder


@pytest.fixture(scope="module")
def recorded_fixml(tmp_path_factory: pytest.TempPathFactory) -> tuple[RunRecord, Path]:
    """The full day with its notices as FIXML."""
    folder = tmp_path_factory.mktemp("fixml")
    record = record_in(
        folder / "ledger", request_of_files(write_fixml_files(FULL, folder / "in"))
    ).record
    return record, folder / "ledger" / record.folder


OF_SOME_RUNS = {
    "recorded_late": evidence.POPULATION_FILE,
    "recorded_fixml": evidence.OCC_REPORTS_FILE,
}


@pytest.mark.parametrize("engine", Engine)
@pytest.mark.parametrize("kind", OF_SOME_RUNS)
def test_a_run_of_late_notices_or_of_fixml_matches(
    request: pytest.FixtureRequest, kind: str, engine: Engine
) -> None:
    record, directory = request.getfixturevalue(kind)

    assert record.rests_on == (("2024-09-16-001",) if kind == "recorded_late" else ())
    assert record.digest_of(OF_SOME_RUNS[kind]) is not None
    assert replay(record, directory, engine=engine).mismatches == ()


@pytest.mark.parametrize(
    ("kind", "name"),
    [(kind, name) for kind, file in OF_SOME_RUNS.items() for name in evidence.TABLES[file].names],
)
def test_any_one_value_of_a_table_of_such_a_run_changed_is_found_and_named(
    request: pytest.FixtureRequest, tmp_path: Path, kind: str, name: str
) -> None:
    record, directory = request.getfixturevalue(kind)
    copy = copied(directory, tmp_path / record.run)
    file = OF_SOME_RUNS[kind]
    table = evidence.read_table(copy, file).combine_chunks()
    for row, cells in enumerate(table.to_pylist()):
        new = other(cells[name])
        evidence.write_parquet(changed(table, row, name, new), copy / file)

        mismatches = replay(record, copy).mismatches

        assert found_at(mismatches, file).recorded == digest_and_size(record, file)
        if kind == "recorded_fixml":
            found = found_at(mismatches, f"{file} row {row + 1} {name}")
            assert (found.recorded, found.computed) == (str(new), str(cells[name]))
        assert len(mismatches) > 1, "its content is found as well as its digest"
        (copy / file).chmod(0o600)


def test_what_occ_reports_left_out_of_the_record_is_named(
    recorded_fixml: tuple[RunRecord, Path], tmp_path: Path
) -> None:
    record, directory = recorded_fixml
    copy = copied(directory, tmp_path / record.run)
    kept = tuple(file for file in record.evidence if file.name != "occ_reports.parquet")
    forged = replace(record, evidence=kept)

    (found,) = replay(forged, copy).mismatches

    assert (found.where, found.recorded) == ("occ_reports.parquet", "no reports of OCC")


@pytest.mark.parametrize(
    "name",
    [
        *OF_EVERY_RUN,
        "sources/notices.csv",
        "sources/volumes.csv",
    ],
)
def test_a_byte_changed_a_cut_or_a_file_gone_is_found_and_named(
    record: RunRecord, copy: Path, name: str
) -> None:
    run_apart(_every_damage_is_named, canonical(record), copy, name)


def _every_damage_is_named(encoded: bytes, copy: Path, name: str) -> None:
    record = read_run(encoded)
    path = copy / name
    content = path.read_bytes()
    for at in {*range(0, len(content), 512), len(content) - 1}:
        path.write_bytes(content[:at] + bytes([content[at] ^ 0xFF]) + content[at + 1 :])
        assert name in {mismatch.where for mismatch in replay(record, copy).mismatches}, at
    for wrong in (content[:-1], b"", content + b"\n", content * 2):
        path.write_bytes(wrong)
        assert name in {mismatch.where for mismatch in replay(record, copy).mismatches}
    path.unlink()
    found = found_at(replay(record, copy).mismatches, name)
    assert (found.recorded, found.computed) == (
        digest_and_size(record, name),
        "the file is missing",
    )
    path.mkdir()
    assert name in {mismatch.where for mismatch in replay(record, copy).mismatches}


@pytest.mark.parametrize(
    ("one", "two"),
    [
        ("notices.parquet", "pools.parquet"),
        ("allocations.parquet", "positions.parquet"),
        ("sources/notices.csv", "sources/volumes.csv"),
    ],
)
def test_two_files_swapped_are_both_named(
    record: RunRecord, copy: Path, one: str, two: str
) -> None:
    content = (copy / one).read_bytes()
    (copy / one).write_bytes((copy / two).read_bytes())
    (copy / two).write_bytes(content)

    named = {mismatch.where for mismatch in replay(record, copy).mismatches}

    assert {one, two} <= named


def test_evidence_gone_as_a_whole_is_named_file_by_file(record: RunRecord, copy: Path) -> None:
    shutil.rmtree(copy)

    mismatches = replay(record, copy).mismatches

    assert {mismatch.where for mismatch in mismatches} == {
        *(file.name for file in record.evidence),
        "evidence",
    }
    unreadable = [mismatch for mismatch in mismatches if mismatch.where == "evidence"]
    assert {mismatch.recorded for mismatch in unreadable} == {"readable"}
    computed = [mismatch.computed for mismatch in unreadable]
    assert f"{copy.name}/pools.parquet is missing" not in computed
    assert f"{copy.name}/notices.parquet is missing" in computed


Change = Callable[[RunRecord], RunRecord]


def of_record(**values: Any) -> Change:
    return lambda record: replace(record, **values)


def of_seed(**values: Any) -> Change:
    return lambda record: replace(record, seed=replace(record.seed, **values))


def of_decisions(**decisions: str) -> Change:
    """Return a change of decisions, of which an empty one is left out."""

    def change(record: RunRecord) -> RunRecord:
        changed = {**record.method.decisions, **decisions}
        kept = {name: choice for name, choice in changed.items() if choice}
        return replace(record, method=replace(record.method, decisions=kept))

    return change


def of_first(name: str, **values: Any) -> Change:
    """Return a change of the first source or the first evidence file."""

    def change(record: RunRecord) -> RunRecord:
        first, *others = getattr(record, name)
        return of_record(**{name: (replace(first, **values), *others)})(record)

    return change


WARNING = RuleWarning(code="ZERO_ASK", rule="S2", message="x")
FORGED: dict[str, tuple[Change, str]] = {
    "state": (of_record(state="ALLOCATED"), "run.json state"),
    "cycle": (of_record(cycle=2), "run.json content_sha256"),
    "content": (of_record(content_sha256="0" * 64), "run.json content_sha256"),
    "pool_count": (of_record(pool_count=5), "run.json pool_count"),
    "notice_count": (of_record(notice_count=7), "run.json notice_count"),
    "assigned_quantity": (of_record(assigned_quantity=75), "run.json assigned_quantity"),
    "allocated_quantity": (of_record(allocated_quantity=50), "run.json allocated_quantity"),
    "break_count": (of_record(break_count=0), "run.json break_count"),
    "warnings": (of_record(warnings=(WARNING,)), "run.json warnings"),
    "composite": (of_seed(composite=282431311), "run.json seed composite"),
    "digits": (of_seed(digits="4314"), "run.json seed digits"),
    "length": (of_seed(length=8), "run.json seed length"),
    "cut_position": (of_seed(cut_position=3), "run.json seed cut_position"),
    "volumes": (
        lambda record: of_seed(volumes=record.seed.volumes[::-1])(record),
        "run.json seed volumes",
    ),
    "effective date": (
        lambda record: replace(record, method=replace(record.method, effective=DATE)),
        "run.json method effective",
    ),
    "zero_hit": (of_decisions(zero_hit="first"), "pools.parquet row 3 first_hit"),
    "a decision left out": (
        of_decisions(seeds_of_a_date=""),
        "run.json decisions seeds_of_a_date",
    ),
    "a source's digest": (
        of_first("sources", sha256="0" * 64),
        "run.json sources notices.csv sha256",
    ),
    "a source's size": (of_first("sources", size=1), "run.json sources notices.csv size"),
    "a file's size": (of_first("evidence", size=1), "allocations.parquet"),
}


@pytest.mark.parametrize("name", FORGED)
def test_a_field_of_the_record_that_follows_from_the_evidence_is_found_where_it_is_changed(
    record: RunRecord, copy: Path, name: str
) -> None:
    change, where = FORGED[name]

    forged = change(record)
    mismatches = replay(forged, copy).mismatches

    assert found_at(mismatches, where)


@pytest.mark.parametrize(
    "change",
    [
        lambda record: replace(record, method=replace(record.method, id="jpms-2031-01-01")),
        of_decisions(coin="toss"),
    ],
)
def test_a_method_that_is_not_known_is_a_mismatch_not_a_crash(
    record: RunRecord, copy: Path, change: Change
) -> None:
    assert replay(change(record), copy).mismatches


@pytest.mark.parametrize("kept_as", ["notices.xlsx", "notices", "../../outside.csv", "gone.csv"])
def test_a_source_kept_under_a_name_that_cannot_be_read_is_a_mismatch_not_a_crash(
    record: RunRecord, copy: Path, kept_as: str
) -> None:
    source = next(source for source in record.sources if source.role == "notices")
    target = copy / "sources" / kept_as
    if not target.exists() and kept_as != "gone.csv" and ".." not in kept_as:
        shutil.copy(copy / "sources/notices.csv", target)
    forged = replace(record, sources=(replace(source, kept_as=kept_as), *record.sources[1:]))

    assert replay(forged, copy).mismatches


def test_a_doubled_position_in_the_evidence_is_named(record: RunRecord, copy: Path) -> None:
    table = evidence.read_table(copy, "positions.parquet")
    (copy / "positions.parquet").unlink()
    evidence.write_parquet(pa.concat_tables([table, table]), copy / "positions.parquet")

    mismatches = replay(sealed(record, copy), copy).mismatches

    doubled = [mismatch for mismatch in mismatches if mismatch.where == "positions"]
    assert len(doubled) == table.num_rows
    assert doubled[0].computed == "1046 appears twice"


@pytest.mark.parametrize(
    ("file", "name", "values", "expected"),
    [
        ("positions.parquet", "account", ["A1"], "A1"),
        ("positions.parquet", "short_quantity", [2**63 - 1] * 2, ""),
        ("positions.parquet", "short_quantity", [-1], ""),
        ("positions.parquet", "short_quantity", [-(2**63)], ""),
        ("positions.parquet", "short_quantity", [0], ""),
    ],
)
def test_positions_that_cannot_be_in_the_evidence_are_a_mismatch_not_a_crash(
    record: RunRecord, copy: Path, file: str, name: str, values: list[str | int], expected: str
) -> None:
    table = evidence.read_table(copy, file).combine_chunks()
    for row, value in enumerate(values):
        table = changed(table, row, name, value)
    evidence.write_parquet(table, copy / file)

    mismatches = replay(sealed(record, copy), copy).mismatches

    assert any(expected in mismatch.computed for mismatch in mismatches)


def test_many_values_changed_are_listed_up_to_a_limit_and_counted(tmp_path: Path) -> None:
    many = ROWS_LISTED + 30
    day = SmallDay(
        notices=[notice("A1", AAPL, 10)],
        positions=[position(AAPL, str(number), 1) for number in range(1, many + 1)],
    )
    record = record_in(tmp_path / "ledger", request_of(day, tmp_path / "in")).record
    directory = evidence_in(tmp_path / "ledger", record.run)
    path = directory / "allocations.parquet"
    table = evidence.read_table(directory, "allocations.parquet")
    at = table.column_names.index("first_number")
    wrong = table.set_column(at, table.schema.field(at), [[0] * many])
    path.unlink()
    evidence.write_parquet(wrong, path)

    mismatches = replay(record, directory).mismatches

    listed = [mismatch for mismatch in mismatches if "first_number" in mismatch.where]
    assert len(listed) == ROWS_LISTED + 1
    assert listed[-1].computed == f"{many} rows differ in all"
