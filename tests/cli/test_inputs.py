"""Inputs that are no files of this machine: standard input, and objects of a bucket."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import obstore
import pytest
from obstore.store import from_url

from tests.builders import PUBLISHED, assert_sound, write_files
from tests.cli.calls import EXAMPLE, EXAMPLE_RUN, Door, lottery, run_arguments, run_of, succeeds
from tests.services.fixtures import s3, s3_url

__all__ = ["s3", "s3_url"]


def give(monkeypatch: pytest.MonkeyPatch, content: bytes) -> None:
    """Give bytes on standard input."""
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))


def put(url: str, name: str, content: bytes) -> str:
    """Make an object, and return its URL."""
    obstore.put(from_url(url), name, content)
    return f"{url}/{name}"


@pytest.mark.parametrize("role", ["notices", "positions", "volumes"])
def test_one_file_of_a_run_is_standard_input(
    door: Door, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, role: str
) -> None:
    paths = write_files(PUBLISHED, tmp_path / "in")
    give(monkeypatch, paths[role].read_bytes())

    answer = door(*run_arguments({**paths, role: Path("-")}))

    assert (answer.exit_code, door.recorded()) == (0, [EXAMPLE_RUN])
    assert_sound(door.ledger)


def test_standard_input_has_another_format_if_its_suffix_is_said(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    give(monkeypatch, (EXAMPLE / "notices.xml").read_bytes())

    answer = lottery("check", "--date", "2024-09-16", "--json", "--", "-.xml")

    (file,) = answer.document["files"]
    assert (file["name"], file["role"], file["row_count"]) == ("-.xml", "notices", 24)


def test_standard_input_is_one_file_only(door: Door, tmp_path: Path) -> None:
    paths = write_files(PUBLISHED, tmp_path / "in")

    answer = door(*run_arguments({**paths, "notices": Path("-"), "volumes": Path("-")}))

    assert answer.exit_code == 2
    assert "standard input can be one file only" in answer.message


def test_a_day_in_a_bucket_is_recorded_under_the_names_of_its_objects(
    door: Door, tmp_path: Path, s3_url: str
) -> None:
    paths = write_files(PUBLISHED, tmp_path / "in")
    urls = {role: put(s3_url, path.name, path.read_bytes()) for role, path in paths.items()}
    roles = [text for role, url in urls.items() for text in (f"--{role}", url)]

    answer = door("run", "--date", "2024-09-16", *roles)

    assert (answer.exit_code, answer.err) == (0, "")
    sources = door("show", EXAMPLE_RUN, "--json").document["sources"]
    assert [source["name"] for source in sources] == ["notices.csv", "positions.csv", "volumes.csv"]
    assert_sound(door.ledger)


def test_a_checksum_beside_an_object_is_compared(tmp_path: Path, s3_url: str) -> None:
    path = write_files(PUBLISHED, tmp_path / "in")["positions"]
    url = put(s3_url, "positions.csv", path.read_bytes())
    _, document = succeeds(lottery, "check", url)
    put(s3_url, "positions.csv.sha256", b"0" * 64)

    answer = lottery("check", url)

    assert document["files"][0]["name"] == url
    assert answer.exit_code == 3
    assert "expected SHA-256 0000" in answer.message


@pytest.mark.parametrize("name", ["positions.csv", "odd name.csv", ""])
def test_an_object_that_is_not_there_is_wrong_usage(s3_url: str, name: str) -> None:
    assert lottery("check", f"{s3_url}/{name}").exit_code == 2


@pytest.mark.parametrize(
    "url", ["s3://no-such-bucket-here/a/positions.csv", "ftp://b/p.csv", "s3://"]
)
def test_a_bucket_that_is_not_there_is_wrong_usage(s3_url: str, url: str) -> None:
    assert s3_url
    assert lottery("check", url).exit_code == 2


def test_a_store_that_cannot_be_reached_is_to_be_tried_again(
    s3_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = put(s3_url, "positions.csv", b"x")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")

    answer = lottery("check", url)

    assert answer.exit_code == 75
    assert "(SERVER_AWAY)" in answer.message


def test_the_output_goes_to_a_bucket_as_it_goes_to_a_folder(
    door: Door, tmp_path: Path, s3_url: str
) -> None:
    command = run_of(PUBLISHED, tmp_path / "in")

    assert door(*command, "--output", f"{s3_url}/out").exit_code == 0
    assert door(*command, "--output", tmp_path / "out").exit_code == 0
    for _ in range(2):  # What is there is replaced.
        assert door("day", "2024-09-16", "--output", f"{s3_url}/day").exit_code == 0

    store = from_url(f"{s3_url}/out")
    written = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    assert len(written) == 3
    assert {name: bytes(obstore.get(store, name).bytes()) for name in written} == written
    assert bytes(obstore.get(from_url(s3_url), "day/day.json").bytes())


def test_a_bucket_for_the_output_that_is_not_there_is_found_before_anything_is_recorded(
    door: Door, tmp_path: Path, s3_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = run_of(PUBLISHED, tmp_path / "in")

    assert door(*command, "--output", "s3://no-such-bucket-here/out").exit_code == 2
    assert door(*command, "--output", "ftp://server/out").exit_code == 2
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    assert door(*command, "--output", f"{s3_url}/out").exit_code == 75

    assert door.recorded() == []


def test_standard_input_that_is_closed_is_wrong_usage_where_it_is_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "stdin", None)

    answer = lottery("check", "-")

    assert answer.exit_code == 2
    assert "standard input is closed" in answer.message
    assert lottery("check", EXAMPLE / "positions.csv").exit_code == 0
