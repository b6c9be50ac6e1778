"""`lottery export` and `lottery replay FILE.zip`: a run that is checked without its ledger.

What a bundle holds, and how one that was changed is found, is in `tests/audit/test_bundle.py`.
"""

from __future__ import annotations

import io
import shutil
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.calls import (
    EXAMPLE_RUN,
    SOMEBODYS_KEY,
    Door,
    evidence_file,
    fails,
    flip_a_bit,
    lottery,
    public_key,
    succeeds,
    swap_first_two,
    trail_of,
)

MATCHES = {"replayed": 1, "matched": 1, "mismatches": [], "approvals": []}


@pytest.fixture
def bundle(exported: Path, tmp_path: Path) -> Path:
    """Return a bundle alone in the working folder; there is no ledger anywhere."""
    return Path(shutil.copy(exported, tmp_path / "run.zip"))


def test_a_bundle_is_written_with_its_run_and_its_size(reader: Door, tmp_path: Path) -> None:
    text, document = succeeds(reader, "export", "latest", "run.zip")
    size = (tmp_path / "run.zip").stat().st_size
    assert text.out == f"Wrote the bundle of run {EXAMPLE_RUN} to run.zip: {size:,} bytes\n"
    assert document == {"run": EXAMPLE_RUN, "file": "run.zip", "bytes": size}
    assert [path.name for path in tmp_path.iterdir()] == ["run.zip"]


@pytest.mark.parametrize(("command", "suffix"), [("export", "zip"), ("report", "html")])
def test_a_file_that_cannot_be_written_is_wrong_usage_and_leaves_nothing(
    reader: Door, tmp_path: Path, command: str, suffix: str
) -> None:
    (tmp_path / f"folder.{suffix}").mkdir()
    (tmp_path / "file").write_text("in the way")
    before = set(tmp_path.rglob("*"))
    for path in (f"nowhere/run.{suffix}", f"file/run.{suffix}", f"folder.{suffix}"):
        given = (command, "latest", path)
        text, _ = fails(reader, *given, exit_code=2, reason="OUTPUT_UNWRITABLE")
        assert text.err.startswith(f"{path}: ")
    assert set(tmp_path.rglob("*")) == before
    assert (tmp_path / "file").read_text() == "in the way"


@pytest.mark.parametrize(
    ("command", "name"),
    [("export", "run.zip"), ("report", "run.html")],
)
def test_a_file_of_another_day_stays_whole_until_the_new_one_is(
    tampered: Door, tmp_path: Path, command: str, name: str
) -> None:
    (tmp_path / name).write_text("yesterday's")
    trail = trail_of(tampered.ledger)
    assert tampered(command, "2024-09-16-009", name).exit_code == 2
    flip_a_bit(evidence_file(tampered.ledger, "pools.parquet"))
    text, _ = fails(tampered, command, "latest", name, exit_code=6, reason="LEDGER_DAMAGED")
    assert "pools.parquet is not what was recorded" in text.message
    assert (tmp_path / name).read_text() == "yesterday's"
    assert trail_of(tampered.ledger) == trail
    flip_a_bit(evidence_file(tampered.ledger, "pools.parquet"))
    assert tampered(command, "latest", name).exit_code == 0
    assert (tmp_path / name).stat().st_size > 1_000
    assert {path.name for path in tmp_path.iterdir()} == {name, "tampered"}


@pytest.mark.parametrize("engine", ["compiled", "sql"])
def test_a_bundle_replays_without_any_ledger_whatever_it_is_called(
    bundle: Path, tmp_path: Path, engine: str
) -> None:
    renamed = bundle.rename(tmp_path / "what the firm sent (1).zip")
    text, document = succeeds(lottery, "replay", renamed.name, "--engine", engine)
    assert text.lines == [f"{EXAMPLE_RUN} matches", "1 replayed, 1 matched"]
    assert document == MATCHES
    # Which ledger or server is named makes no difference.
    for options in (("--ledger", "nowhere"), ("--server", "127.0.0.1:1")):
        assert lottery(*options, "replay", renamed).exit_code == 0
    assert list(tmp_path.iterdir()) == [renamed]


def test_runs_and_bundles_are_replayed_together_in_the_order_given(
    reader: Door, bundle: Path
) -> None:
    text, document = succeeds(reader, "replay", bundle, "latest", bundle)
    assert text.lines == [f"{EXAMPLE_RUN} matches"] * 3 + ["3 replayed, 3 matched"]
    assert document == {"replayed": 3, "matched": 3, "mismatches": [], "approvals": []}


def test_runs_given_with_bundles_need_their_ledger(bundle: Path, tmp_path: Path) -> None:
    fails(lottery, "replay", bundle, EXAMPLE_RUN, exit_code=2, reason="LEDGER_NOT_FOUND")
    assert list(tmp_path.iterdir()) == [bundle]


def test_a_bundle_is_trusted_by_the_keys_that_are_given(example: Path, bundle: Path) -> None:
    key = public_key(example)
    assert lottery("replay", bundle, "--key", key, "--json").document == MATCHES
    assert lottery("replay", bundle, "--key", SOMEBODYS_KEY, "--key", key).exit_code == 0
    answer = lottery("replay", bundle, "--key", SOMEBODYS_KEY, "--json")
    (mismatch,) = answer.document["mismatches"]
    assert (answer.exit_code, mismatch["where"]) == (6, "log.vkey")
    text = lottery("replay", bundle, "--key", SOMEBODYS_KEY)
    assert (text.exit_code, text.lines[0]) == (6, f"{EXAMPLE_RUN} differs")
    assert f"a trusted key: {SOMEBODYS_KEY}" in text.out


def repacked(
    bundle: Path, change: Callable[[dict[str, bytes]], object], kind: int = zipfile.ZIP_STORED
) -> bytes:
    """Return a bundle with its files changed, given by their names in its folder."""
    with zipfile.ZipFile(bundle) as archive:
        files = {name.partition("/")[2]: archive.read(name) for name in archive.namelist()}
    change(files)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", kind) as archive:
        for name, content in files.items():
            archive.writestr(f"{EXAMPLE_RUN}/{name}", content)
    return buffer.getvalue()


def test_a_bundle_that_differs_exits_6_and_does_not_stop_the_others(bundle: Path) -> None:
    def swap(files: dict[str, bytes]) -> None:
        path = Path("allocations.parquet")
        path.write_bytes(files[path.name])
        swap_first_two(path, "assigned_quantity")
        files[path.name] = path.read_bytes()

    Path("other.zip").write_bytes(repacked(bundle, swap))
    text, answer = (lottery("replay", "other.zip", bundle, *form) for form in ([], ["--json"]))
    assert [text.exit_code, answer.exit_code] == [6, 6]
    assert text.lines[0] == f"{EXAMPLE_RUN} differs"
    assert text.lines[-2:] == [f"{EXAMPLE_RUN} matches", "2 replayed, 1 matched"]
    wheres = [mismatch["where"] for mismatch in answer.document["mismatches"]]
    assert all(where.startswith("allocations.parquet") for where in wheres)


HOSTILE: dict[str, tuple[Callable[[Path], bytes], str]] = {
    "a path that leads out of it": (
        lambda bundle: repacked(bundle, lambda files: files.update({"../../escaped.txt": b""})),
        "unexpected file '",
    ),
    "a file that no record names": (
        lambda bundle: repacked(bundle, lambda files: files.update({"sources/notes.txt": b""})),
        "unexpected file sources/notes.txt: run.json does not name it",
    ),
    "compressed files": (
        lambda bundle: repacked(bundle, lambda _: None, zipfile.ZIP_DEFLATED),
        "to be stored, but it is compressed",
    ),
    "no archive": (lambda _: b"series,account\n", "cannot be read as a bundle"),
}


@pytest.mark.parametrize("what", HOSTILE)
def test_an_archive_that_is_no_bundle_is_refused_and_nothing_comes_of_it(
    bundle: Path, tmp_path: Path, what: str
) -> None:
    make, message = HOSTILE[what]
    hostile = tmp_path / "inner" / "hostile.zip"
    hostile.parent.mkdir()
    hostile.write_bytes(make(bundle))
    text, document = fails(lottery, "replay", hostile, exit_code=3, reason="INVALID_INPUT")
    assert text.error_lines[0].endswith(": 1 problem (INVALID_INPUT)")
    assert text.error_lines[1].startswith("  hostile.zip: ")
    (problem,) = document["problems"]
    assert problem["file"] == "hostile.zip"
    assert message in problem["message"]
    names = sorted(path.name for path in tmp_path.rglob("*"))
    assert names == ["hostile.zip", "inner", "run.zip"]


@pytest.mark.parametrize(
    ("name", "message"), [("gone.zip", "No such file"), ("folder.zip", "Is a directory")]
)
def test_a_bundle_that_is_not_there_is_refused_by_its_name(
    tmp_path: Path, name: str, message: str
) -> None:
    (tmp_path / "folder.zip").mkdir()
    text, _ = fails(lottery, "replay", name, exit_code=3, reason="INVALID_INPUT")
    assert text.error_lines[1].startswith(f"  {name}: ")
    assert message in text.message


def test_without_duckdb_the_sql_statement_is_reported_missing_and_no_replay_is_in_the_trail(
    reader: Door, bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trail = trail_of(reader.ledger)
    monkeypatch.setitem(sys.modules, "duckdb", None)
    for command in (["latest"], ["--all"], [bundle]):
        given = ("replay", *command, "--engine", "sql")
        text, _ = fails(reader, *given, exit_code=2, reason="ENGINE_MISSING")
        assert "pip install 'duckdb>=1.4'" in text.message
    assert trail_of(reader.ledger) == trail
    assert reader("replay", bundle).exit_code == 0
