"""`--columns`: files as a spreadsheet saved them, with a mapping that says what they are."""

from __future__ import annotations

import gzip
import hashlib
from pathlib import Path

import pytest

from tests.builders import AAPL, PUBLISHED, SmallDay, assert_sound, evidence_in, opened, write_files
from tests.cli.calls import EXAMPLE_RUN, Door, fails, lottery, run_arguments, run_of, succeeds

MAPPING = """\
[positions]
delimiter = ";"
encoding = "utf-16"
sign = "negative"
thousands = "."
omit = ["Desk"]
names = { series = "Symbol", account = "Acct No", short_quantity = "Qty" }

[notices]
delimiter = "\\t"
skip_lines = 1
names = { notice_id = 1, series = 2, quantity = 3 }
"""


def saved(day: SmallDay, directory: Path) -> list[str]:
    """Return `run` of a day whose positions and notices were saved in other ways."""
    paths = write_files(day, directory)
    rows = [f"{row['series']};{row['account']};-{row['short_quantity']};D" for row in day.positions]
    text = "\r\n".join(["Symbol;Acct No;Qty;Desk", *rows, ""])
    paths["positions"].write_bytes(text.encode("utf-16"))
    rows = [f"{row['notice_id']}\t{row['series']}\t{row['quantity']}" for row in day.notices]
    paths["notices"].write_text("\n".join(["OCC notices", *rows, ""]), encoding="utf-8")
    mapping = directory / "bank.toml"
    mapping.write_text(MAPPING, encoding="utf-8")
    return [*run_arguments(paths), "--columns", str(mapping)]


def test_a_mapped_day_is_the_day_and_replays_with_its_mapping(door: Door, tmp_path: Path) -> None:
    command = saved(PUBLISHED, tmp_path / "in")

    rehearsed = door(*command, "--dry-run", "--json").document
    recorded = door(*command, "--json").document
    again = door(*run_of(PUBLISHED, tmp_path / "plain"), "--json").document

    assert again["already_recorded"] is True
    assert rehearsed["pool_count"] == recorded["pool_count"] == 1
    record = opened(door.ledger).get(EXAMPLE_RUN)
    (source,) = [source for source in record.sources if source.role == "columns"]
    assert (source.name, source.kept_as) == ("bank.toml", "columns.toml")
    assert source.sha256 == hashlib.sha256(MAPPING.encode()).hexdigest()
    kept = evidence_in(door.ledger, EXAMPLE_RUN) / "sources" / "columns.toml"
    assert kept.read_text(encoding="utf-8") == MAPPING
    assert_sound(door.ledger)


def test_positions_that_are_kept_are_replayed_with_their_mapping(tmp_path: Path) -> None:
    door = Door(ledger=tmp_path / "ledger", options=("--ledger", str(tmp_path / "ledger")))
    assert door("init", "--decision", "positions_source=kept").exit_code == 0

    assert door(*saved(PUBLISHED, tmp_path / "in")).exit_code == 0

    kept = {path.name for path in (evidence_in(door.ledger, EXAMPLE_RUN) / "sources").iterdir()}
    assert kept == {"columns.toml", "notices.csv", "positions.csv", "volumes.csv"}
    assert_sound(door.ledger)


def test_a_bundle_of_a_mapped_run_replays(door: Door, tmp_path: Path) -> None:
    door(*saved(PUBLISHED, tmp_path / "in"))
    door("export", "latest", tmp_path / "run.zip")

    _, document = succeeds(lottery, "replay", tmp_path / "run.zip")

    assert document["matched"] == 1


def test_a_server_is_sent_the_rows_of_a_mapped_file(
    both: tuple[Door, Door], tmp_path: Path
) -> None:
    files, server = both
    local, remote = (
        door(*saved(PUBLISHED, tmp_path / "in"), "--json").document for door in (files, server)
    )

    assert (remote["state"], remote["breaks"]) == (local["state"], local["breaks"])
    records = [opened(door.ledger).get(EXAMPLE_RUN) for door in both]
    assert records[0].content_sha256 == records[1].content_sha256
    mappings = [[each for each in one.sources if each.role == "columns"] for one in records]
    assert mappings[0] == mappings[1]
    assert [each.name for each in mappings[1]] == ["bank.toml"]
    kept = evidence_in(server.ledger, EXAMPLE_RUN) / "sources" / "columns.toml"
    assert kept.read_text(encoding="utf-8") == MAPPING
    assert_sound(server.ledger)


@pytest.mark.parametrize(("shorts", "exit_code"), [(65, 0), (66, 3)])
def test_control_totals_and_checksums_hold_for_mapped_files(
    door: Door, tmp_path: Path, shorts: int, exit_code: int
) -> None:
    command = saved(PUBLISHED, tmp_path / "in")
    positions = tmp_path / "in" / "positions.csv"
    digest = hashlib.sha256(positions.read_bytes()).hexdigest()
    positions.with_name("positions.csv.sha256").write_text(digest, encoding="utf-8")

    answer = door(*command, "--expect", f"shorts={shorts}", "--expect", "notices=1")

    assert answer.exit_code == exit_code


def test_check_reads_each_file_with_the_table_of_the_mapping_that_it_fits(tmp_path: Path) -> None:
    saved(PUBLISHED, tmp_path / "in")
    write_files(PUBLISHED, tmp_path / "plain")
    names = [
        f"{folder}/{name}.csv" for folder in ("in", "plain") for name in ("positions", "notices")
    ]

    _, document = succeeds(lottery, "check", *names, "--columns", "in/bank.toml")

    found = [(file["name"], file["role"], file["quantity"]) for file in document["files"]]
    assert found == [
        (name, role, quantity)
        for name, (role, quantity) in zip(
            names, [("positions", 65), ("notices", 10)] * 2, strict=True
        )
    ]


def test_odds_are_of_a_mapped_file(tmp_path: Path) -> None:
    saved(PUBLISHED, tmp_path / "in")
    command = ["odds", "--positions", "in/positions.csv", "--series", AAPL, "--quantity", "10"]

    _, document = succeeds(lottery, *command, "--columns", "in/bank.toml")

    assert document["total_short"] == 65


def test_a_mapping_that_is_wrong_is_refused_before_any_file_is_read(
    door: Door, tmp_path: Path
) -> None:
    command = saved(PUBLISHED, tmp_path / "in")
    (tmp_path / "in" / "bank.toml").write_text("[positions]\nsigns = 1\nstrip = 'yes'\n", "utf-8")

    _, document = fails(door, *command, exit_code=3, reason="INVALID_INPUT")

    assert [(one["file"], one["column"]) for one in document["problems"]] == [
        ("bank.toml", "positions.signs"),
        ("bank.toml", "positions.strip"),
    ]
    assert door.recorded() == []


def test_a_mapping_of_what_is_no_text_is_refused(door: Door, tmp_path: Path) -> None:
    saved(PUBLISHED, tmp_path / "in")
    command = [*run_of(PUBLISHED, tmp_path / "parquet", ".parquet"), "--columns", "in/bank.toml"]

    _, document = fails(door, *command, exit_code=3, reason="INVALID_INPUT")

    assert {one["file"]: one["message"] for one in document["problems"]} == {
        f"{role}.parquet": f"the mapping has [{role}], which reads a .csv file, got '.parquet'"
        for role in ("notices", "positions")
    }


def test_check_names_the_cause_of_a_header_that_it_cannot_read(tmp_path: Path) -> None:
    path = write_files(PUBLISHED, tmp_path)["positions"]
    path.write_text(path.read_text("utf-8").replace(",", ";"), "utf-8")

    _, document = fails(lottery, "check", path, exit_code=3, reason="INVALID_INPUT")

    assert [one["message"] for one in document["problems"]] == [
        "expected values separated by commas, got semicolons; or state it in a mapping, --columns"
    ]


def test_a_compressed_mapped_day_replays_and_keeps_what_came(door: Door, tmp_path: Path) -> None:
    command = saved(PUBLISHED, tmp_path / "in")
    for role in ("notices", "positions"):
        path = tmp_path / "in" / f"{role}.csv"
        compressed = path.with_name(f"{role}.csv.gz")
        compressed.write_bytes(gzip.compress(path.read_bytes()))
        command[command.index(str(path))] = str(compressed)

    assert door(*command).exit_code == 0

    kept = evidence_in(door.ledger, EXAMPLE_RUN) / "sources" / "notices.csv.gz"
    assert kept.read_bytes() == (tmp_path / "in" / "notices.csv.gz").read_bytes()
    assert_sound(door.ledger)
