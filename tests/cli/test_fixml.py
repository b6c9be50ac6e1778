"""`lottery run` with FIXML: OCC's notices as it sends them, and its own figures of the pools."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from lottery.ledger.commit import Ledger
from lottery.ledger.write_transaction import evidence_folder
from tests.builders import AAPL, FULL, GE, GOOGL, META, assert_sound, notice
from tests.cli.calls import (
    EXAMPLE_RUN,
    Door,
    copied,
    evidence_file,
    files_of,
    flip_a_bit,
    lottery,
    run_arguments,
    run_of,
    serving,
)
from tests.cli.test_superseding import timeless
from tests.fixml import assignment, document, position_report, write_fixml_files

REPORTS = "occ_reports.parquet"
SAID = {
    "clearing_firm": "00099",
    "open_interest": "12345",
    "exercise_method": "M",
    "assignment_method": "R",
    "assignment_unit": "25",
    "settlement_session": "EOD",
}
DIFFERS = f"C {AAPL} is short 65 by the positions and 60 by OCC"


def fixml_run(directory: Path) -> list[str]:
    """`run` of a day whose notices are FIXML, compared with figures of which one differs."""
    paths = write_fixml_files(FULL, directory)
    figures = {AAPL: 60, GOOGL: 2, META: 40, GE: 22}
    reports = [
        position_report(f"P{number}", series, short)
        for number, (series, short) in enumerate(figures.items())
    ]
    (directory / "positions.xml").write_text(document(*reports), "utf-8")
    return [*run_arguments(paths), "--occ-positions", str(directory / "positions.xml")]


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ledger with such a day, recorded by its files."""
    place = tmp_path_factory.mktemp("fixml")
    assert files_of(place / "ledger")(*fixml_run(place)).exit_code == 4
    return place / "ledger"


def test_a_day_of_fixml_is_recorded_as_the_same_day_of_csv(door: Door, tmp_path: Path) -> None:
    paths = write_fixml_files(FULL, tmp_path / "xml")

    answer = door(*run_arguments(paths), "--json")
    by_csv = door(*run_of(FULL, tmp_path / "csv"), "--json")

    assert (answer.exit_code, answer.document["notice_count"]) == (4, 6)
    assert by_csv.document == {**answer.document, "already_recorded": True}
    assert_sound(door.ledger)


def test_what_occ_says_besides_is_kept_in_the_evidence(door: Door, tmp_path: Path) -> None:
    door(*fixml_run(tmp_path))

    rows = pq.read_table(evidence_file(door.ledger, REPORTS)).to_pylist()
    assert rows == [
        {"notice_id": str(row["notice_id"]), "occ_account": "C", **SAID} for row in FULL.notices
    ]
    record = Ledger.open(door.ledger).get("latest")
    assert record.digest_of(REPORTS) is not None


def test_the_files_are_kept_as_received(recorded: Path) -> None:
    sources = evidence_folder(recorded, EXAMPLE_RUN) / "sources"

    for kept, given in (("notices.xml", "notices.xml"), ("occ_positions.xml", "positions.xml")):
        assert (sources / kept).read_bytes() == (recorded.parent / given).read_bytes()


def test_a_pool_that_differs_from_occs_figure_is_a_warning_of_the_record(
    door: Door, tmp_path: Path
) -> None:
    command = fixml_run(tmp_path)
    first, again = door(*command, "--json"), door(*command, "--json")

    expected = {"code": "OCC_SHORT_DIFFERS", "rule": "P1", "message": DIFFERS}
    assert first.document["warnings"] == [expected]
    assert again.document == {**first.document, "already_recorded": True}
    assert f"warning: {DIFFERS} [P1]" in door(*command).out
    assert f"warning: {DIFFERS} [P1]" in door("show", "latest").out


def test_a_day_of_fixml_replays_and_is_exported_and_sound(door: Door, tmp_path: Path) -> None:
    door(*fixml_run(tmp_path))

    for engine in ("compiled", "sql"):
        assert door("replay", "--all", "--engine", engine).exit_code == 0
    assert door("export", "latest", "run.zip").exit_code == 0
    for engine in ("compiled", "sql"):
        assert lottery("replay", "run.zip", "--engine", engine).exit_code == 0
    assert door("verify").exit_code == 0


def test_a_gross_cycle_compared_with_occs_figures_replays(door: Door, tmp_path: Path) -> None:
    day = replace(FULL, notices=[notice("A1", AAPL, 10, "C")])
    assert door(*run_of(day, tmp_path / "first")).exit_code == 0
    paths = write_fixml_files(replace(FULL, notices=[notice("B1", AAPL, 5, "C")]), tmp_path / "b")
    (tmp_path / "occ.xml").write_text(document(position_report("P1", AAPL, 66)))
    command = [*run_arguments(paths), "--cycle", "2", "--positions-basis", "gross"]

    document_ = door(*command, "--occ-positions", tmp_path / "occ.xml", "--json").document

    (warning,) = document_["warnings"]
    assert warning["message"] == f"C {AAPL} is short 65 by the positions and 66 by OCC"
    for engine in ("compiled", "sql"):
        assert door("replay", "--all", "--engine", engine).exit_code == 0


def test_a_day_of_fixml_is_the_same_by_the_files_and_by_a_server(
    both: tuple[Door, Door], tmp_path: Path
) -> None:
    for command in (fixml_run(tmp_path), ["runs"], ["explain", "latest", "--series", AAPL]):
        files, server = (timeless(door(*command, "--json")) for door in both)
        assert files == server
    tables = [pq.read_table(evidence_file(door.ledger, REPORTS)) for door in both]
    assert tables[0].equals(tables[1])


def test_what_is_wrong_is_told_by_our_files_rows_either_way(door: Door, tmp_path: Path) -> None:
    command = fixml_run(tmp_path)
    wrong = document(assignment("A1", AAPL, 1, date="2024-09-17"), assignment("A2", AAPL, "x"))
    (tmp_path / "notices.xml").write_text(wrong)
    (tmp_path / "positions.xml").write_text(document(*[position_report("P1", AAPL, 1)] * 2))

    answer = door(*command, "--json")

    assert answer.exit_code == 3
    found = [
        (problem["file"], problem["row"], problem["line"], problem["column"])
        for problem in answer.document["problems"]
    ]
    assert found == [
        ("notices.xml", 1, 3, "BizDt"),
        ("notices.xml", 2, 4, "quantity"),
        ("positions.xml", 2, 4, "series"),
    ]
    messages = [problem["message"] for problem in answer.document["problems"]]
    assert [message.partition(": ")[0] for message in messages] == [
        "RptID A1",
        "RptID A2",
        "RptID P1",
    ]
    assert door.recorded() == []


def test_a_notice_twice_is_told_by_our_files_rows_either_way(door: Door, tmp_path: Path) -> None:
    command = run_arguments(write_fixml_files(FULL, tmp_path))
    (tmp_path / "notices.xml").write_text(document(*[assignment("A1", AAPL, 1)] * 2))

    (problem,) = door(*command, "--json").document["problems"]

    assert (problem["file"], problem["row"], problem["line"]) == ("notices.xml", 2, 4)
    assert problem["message"].startswith("RptID A1: duplicate notice id 'A1'")


def test_one_file_can_be_both(door: Door, tmp_path: Path) -> None:
    paths = write_fixml_files(FULL, tmp_path)
    both = document(assignment("A1", AAPL, 10), position_report("P1", AAPL, 65))
    paths["notices"].write_text(both)

    answer = door(*run_arguments(paths), "--occ-positions", paths["notices"], "--json")

    assert (answer.exit_code, answer.document["warnings"]) == (0, [])


@pytest.mark.parametrize("name", [REPORTS, "sources/notices.xml", "sources/occ_positions.xml"])
def test_a_changed_file_of_the_evidence_is_named(recorded: Path, tmp_path: Path, name: str) -> None:
    ledger = copied(recorded, tmp_path / "tampered")
    flip_a_bit(evidence_file(ledger, name))

    verified = files_of(ledger)("verify", "--json")
    replayed = files_of(ledger)("replay", "latest", "--json")

    assert (verified.exit_code, replayed.exit_code) == (6, 6)
    faults = [fault["where"] for fault in verified.document["faults"]]
    assert faults == [f"evidence/2024-09-16/{EXAMPLE_RUN}/{name}"]
    assert name in {mismatch["where"] for mismatch in replayed.document["mismatches"]}


def test_a_warning_of_a_record_that_does_not_follow_is_named(
    recorded: Path, tmp_path: Path
) -> None:
    ledger = copied(recorded, tmp_path / "tampered")
    xml = evidence_file(ledger, "sources/occ_positions.xml")
    xml.write_text(xml.read_text().replace('Short="60"', 'Short="65"'))

    mismatches = files_of(ledger)("replay", "latest", "--json").document["mismatches"]

    where = {mismatch["where"] for mismatch in mismatches}
    assert {"run.json warnings of OCC", "run.json content_sha256"} <= where


def test_a_csv_file_may_not_say_what_occ_says_besides(tmp_path: Path) -> None:
    paths = write_fixml_files(FULL, tmp_path)
    lines = (tmp_path / "notices.csv").read_text().splitlines()
    wide = [f"{lines[0]},open_interest", *(f"{line},7" for line in lines[1:])]
    (tmp_path / "notices.csv").write_text("\n".join(wide))
    paths["notices"] = tmp_path / "notices.csv"

    with serving(tmp_path / "ledger") as door:
        answer = door(*run_arguments(paths), "--json")

    assert answer.exit_code == 3
    (problem,) = json.loads(answer.out)["problems"]
    assert problem["message"].endswith(", got 'open_interest'")
