"""`lottery run` with FIXML: OCC's notices as it sends them, and its own figures of the pools.

How FIXML is read is in `tests/intake`, how figures are compared in
`tests/ledger/test_occ_positions.py`.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.builders import (
    AAPL,
    FULL,
    GE,
    GOOGL,
    META,
    assert_sound,
    evidence_in,
    notice,
    opened,
)
from tests.cli.calls import (
    EXAMPLE_RUN,
    Door,
    assert_same_answers,
    copied,
    evidence_file,
    fails,
    files_of,
    flip_a_bit,
    lottery,
    run_arguments,
    run_of,
)
from tests.fixml import assignment, document, position_report, write_fixml_files

REPORTS = "occ_reports.parquet"
REPORTED = {
    "clearing_firm": "00099",
    "open_interest": "12345",
    "exercise_method": "M",
    "assignment_method": "R",
    "assignment_unit": "25",
    "settlement_session": "EOD",
}
DIFFERS = f"C {AAPL} is short 65 by the positions and 60 by OCC"


def fixml_run(directory: Path) -> list[str]:
    """Return `run` of a day whose notices are FIXML, with figures of which one differs."""
    paths = write_fixml_files(FULL, directory)
    figures = {AAPL: 60, GOOGL: 2, META: 40, GE: 22}
    reports = [
        position_report(f"P{number}", series, short)
        for number, (series, short) in enumerate(figures.items())
    ]
    (directory / "positions.xml").write_text(document(*reports), "utf-8")
    return [
        *(*run_arguments(paths), "--occ-positions", str(directory / "positions.xml")),
        # The break has more contracts assigned than OCC has short too.
        *("--acknowledge", "ASSIGNED_EXCEEDS_OCC_SHORT", "--reason", "it is the break"),
    ]


def wrong_run(directory: Path) -> list[str]:
    """Return the same with something wrong in both files of FIXML."""
    command = fixml_run(directory)
    notices = document(assignment("A1", AAPL, 1, date="2024-09-17"), assignment("A2", AAPL, "x"))
    (directory / "notices.xml").write_text(notices)
    positions = document(*[position_report("P1", AAPL, 1)] * 2)
    (directory / "positions.xml").write_text(positions)
    return command


def doubled_run(directory: Path) -> list[str]:
    """Return `run` of a day with a notice twice."""
    command = run_arguments(write_fixml_files(FULL, directory))
    (directory / "notices.xml").write_text(document(*[assignment("A1", AAPL, 1)] * 2))
    return command


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Door:
    """Record such a day by its files."""
    directory = tmp_path_factory.mktemp("fixml")
    door = files_of(directory / "ledger")
    assert door(*fixml_run(directory)).exit_code == 4
    return door


def test_a_day_of_fixml_is_recorded_as_the_same_day_of_csv(either: Door, tmp_path: Path) -> None:
    paths = write_fixml_files(FULL, tmp_path / "xml")

    answer = either(*run_arguments(paths), "--json")
    by_csv = either(*run_of(FULL, tmp_path / "csv"), "--json")

    assert (answer.exit_code, answer.document["notice_count"]) == (4, 6)
    assert by_csv.document == {**answer.document, "already_recorded": True}
    assert_sound(either.ledger)


def test_the_files_and_all_else_that_occ_reports_are_kept_in_the_evidence(recorded: Door) -> None:
    rows = pq.read_table(evidence_file(recorded.ledger, REPORTS)).to_pylist()
    assert rows == [
        {"notice_id": str(row["notice_id"]), "occ_account": "C", **REPORTED} for row in FULL.notices
    ]
    assert opened(recorded.ledger).get("latest").digest_of(REPORTS) is not None
    for kept, given in (("notices.xml", "notices.xml"), ("occ_positions.xml", "positions.xml")):
        source = evidence_file(recorded.ledger, f"sources/{kept}")
        assert source.read_bytes() == (recorded.ledger.parent / given).read_bytes()


def test_a_pool_that_differs_from_occs_figure_is_a_warning_of_the_record(
    recorded: Door,
) -> None:
    command = fixml_run(recorded.ledger.parent)
    expected = {"code": "OCC_SHORT_DIFFERS", "rule": "P1", "message": DIFFERS}
    assert recorded(*command, "--json").document["warnings"] == [expected]
    for shown in (recorded(*command), recorded("show", "latest")):
        assert f"warning: {DIFFERS} [P1]" in shown.out


def test_a_day_of_fixml_and_a_late_cycle_replay_and_are_exported_and_sound(
    recorded: Door, tmp_path: Path
) -> None:
    door = files_of(copied(recorded.ledger, tmp_path / "ledger"))
    paths = write_fixml_files(replace(FULL, notices=[notice("B1", AAPL, 5, "C")]), tmp_path / "b")
    (tmp_path / "occ.xml").write_text(document(position_report("P1", AAPL, 66)))
    command = [*run_arguments(paths), "--cycle", "2"]

    run = door(*command, "--occ-positions", tmp_path / "occ.xml", "--json").document

    (warning,) = run["warnings"]
    assert warning["message"] == f"C {AAPL} is short 65 by the positions and 66 by OCC"
    assert door("export", EXAMPLE_RUN, "run.zip").exit_code == 0
    for engine in ("compiled", "sql"):
        assert door("replay", "--all", "--engine", engine).exit_code == 0
        assert lottery("replay", "run.zip", "--engine", engine).exit_code == 0
    assert door("verify").exit_code == 0


def test_days_of_fixml_are_the_same_by_the_files_and_by_a_server(
    both: tuple[Door, Door], tmp_path: Path
) -> None:
    assert_same_answers(
        both,
        wrong_run(tmp_path / "wrong"),
        doubled_run(tmp_path / "doubled"),
        fixml_run(tmp_path),
        fixml_run(tmp_path),
        ["runs"],
        ["explain", "latest", "--series", AAPL],
        ["replay", "--all"],
        ["replay", "--all", "--engine", "sql"],
        ["verify"],
    )
    tables = [pq.read_table(evidence_file(door.ledger, REPORTS)) for door in both]
    assert tables[0].equals(tables[1])


def test_what_is_wrong_is_listed_by_our_files_rows(door: Door, tmp_path: Path) -> None:
    _, refused = fails(door, *wrong_run(tmp_path), exit_code=3, reason="INVALID_INPUT")

    found = [
        (
            problem["file"],
            problem["row"],
            problem["line"],
            problem["column"],
            problem["message"].partition(": ")[0],
        )
        for problem in refused["problems"]
    ]
    assert found == [
        ("notices.xml", 1, 3, "BizDt", "RptID A1"),
        ("notices.xml", 2, 4, "quantity", "RptID A2"),
        ("positions.xml", 2, 4, "series", "RptID P1"),
    ]
    assert door.recorded() == []


def test_a_notice_twice_is_reported_by_our_files_rows(door: Door, tmp_path: Path) -> None:
    (problem,) = door(*doubled_run(tmp_path), "--json").document["problems"]

    assert (problem["file"], problem["row"], problem["line"]) == ("notices.xml", 2, 4)
    assert problem["message"].startswith("RptID A1: duplicate notice id 'A1'")


def test_one_file_can_be_both(either: Door, tmp_path: Path) -> None:
    paths = write_fixml_files(FULL, tmp_path)
    both = document(assignment("A1", AAPL, 10), position_report("P1", AAPL, 65))
    paths["notices"].write_text(both)

    answer = either(*run_arguments(paths), "--occ-positions", paths["notices"], "--json")

    assert (answer.exit_code, answer.document["warnings"]) == (0, [])


def test_a_changed_file_of_the_evidence_is_named(recorded: Door, tmp_path: Path) -> None:
    door = files_of(copied(recorded.ledger, tmp_path / "tampered"))
    names = [REPORTS, "sources/notices.xml", "sources/occ_positions.xml"]
    for name in names:
        flip_a_bit(evidence_file(door.ledger, name))

    verified, replayed = (door(*command, "--json") for command in (["verify"], ["replay", "--all"]))

    assert (verified.exit_code, replayed.exit_code) == (6, 6)
    faults = [fault["where"] for fault in verified.document["faults"]]
    folder = evidence_in(door.ledger, EXAMPLE_RUN).relative_to(door.ledger)
    assert faults == [f"{folder}/{name}" for name in names]
    assert set(names) <= {mismatch["where"] for mismatch in replayed.document["mismatches"]}


def test_a_warning_of_a_record_that_does_not_follow_is_named(
    recorded: Door, tmp_path: Path
) -> None:
    door = files_of(copied(recorded.ledger, tmp_path / "tampered"))
    xml = evidence_file(door.ledger, "sources/occ_positions.xml")
    xml.write_text(xml.read_text().replace('Short="60"', 'Short="65"'))

    mismatches = door("replay", "latest", "--json").document["mismatches"]

    where = {mismatch["where"] for mismatch in mismatches}
    assert {"run.json warnings of OCC", "run.json content_sha256"} <= where


def test_a_csv_file_may_not_have_what_else_occ_reports(either: Door, tmp_path: Path) -> None:
    command = run_of(FULL, tmp_path)
    notices = tmp_path / "notices.csv"
    header, *lines = notices.read_text().splitlines()
    notices.write_text("\n".join([f"{header},open_interest", *(f"{line},7" for line in lines)]))

    _, refused = fails(either, *command, exit_code=3, reason="INVALID_INPUT")

    (problem,) = refused["problems"]
    assert ", got 'open_interest'; or state it in a mapping, --columns" in problem["message"]
