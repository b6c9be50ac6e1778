"""`lottery export` and `lottery replay FILE.zip`: a run that is checked without its ledger."""

from __future__ import annotations

import io
import shutil
import sys
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from lottery.tlog.keys import SigningKey, VerifierKey, create_key_file
from tests.builders import AAPL, FULL, PUBLISHED, position
from tests.cli.calls import (
    EXAMPLE_RUN,
    SOMEBODYS_KEY,
    Answer,
    Door,
    copied,
    evidence_file,
    files_of,
    flip_a_bit,
    lottery,
    run_of,
    swap_first_two,
    trail_of,
)

MATCHES = {"replayed": 1, "matched": 1, "mismatches": []}

Members = dict[str, bytes]
"""A bundle's files by their names in its folder."""
Hostile = Callable[[Members], bytes]
"""Makes an archive of a bundle's files."""


@pytest.fixture(scope="module")
def exported(example: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example day's bundle; it is read and never written to."""
    path = tmp_path_factory.mktemp("exported") / "run.zip"
    assert files_of(example)("export", "latest", path).exit_code == 0
    return path


@pytest.fixture
def bundle(exported: Path, tmp_path: Path) -> Path:
    """A bundle alone in a folder, which is the working one; there is no ledger anywhere."""
    return Path(shutil.copy(exported, tmp_path / "run.zip"))


def public_key(ledger: Path) -> str:
    key: str = files_of(ledger)("keys", "--json").document["public_key"]
    return key


def members_of(bundle: Path) -> Members:
    with zipfile.ZipFile(bundle) as archive:
        return {
            name.removeprefix(f"{EXAMPLE_RUN}/"): archive.read(name) for name in archive.namelist()
        }


def zip_of(members: Mapping[str, bytes], run: str = EXAMPLE_RUN) -> bytes:
    """A bundle as `lottery export` writes one: every file is stored as it is."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(f"{run}/{name}"), content)
    return buffer.getvalue()


def wheres_of(answer: Answer) -> set[str]:
    """Where a replay differs."""
    assert answer.exit_code == 6
    assert answer.err == ""
    document = answer.document
    assert (document["replayed"], document["matched"]) == (1, 0)
    return {mismatch["where"] for mismatch in document["mismatches"]}


def test_a_bundle_is_written_and_told_with_its_run_and_its_size(
    reader: Door, tmp_path: Path
) -> None:
    text = reader("export", EXAMPLE_RUN, "text.zip")
    answer = reader("export", "latest", "run.zip", "--json")
    assert [text.exit_code, answer.exit_code] == [0, 0]
    size = (tmp_path / "run.zip").stat().st_size
    assert text.out == f"Wrote the bundle of run {EXAMPLE_RUN} to text.zip: {size:,} bytes\n"
    assert answer.document == {"run": EXAMPLE_RUN, "file": "run.zip", "bytes": size}
    assert text.err == answer.err == ""
    assert {path.name for path in tmp_path.iterdir()} == {"text.zip", "run.zip"}


def test_the_same_run_gives_the_same_bytes_by_either_way_and_at_any_time(
    tampered: Door, exported: Path, tmp_path: Path
) -> None:
    bundles = [exported.read_bytes()]

    def export() -> None:
        assert tampered("export", EXAMPLE_RUN, "again.zip").exit_code == 0
        bundles.append((tmp_path / "again.zip").read_bytes())

    export()
    create_key_file(tmp_path / "officer.key", "example.org/officer")
    files_of(tampered.ledger)("cosign", "--key", tmp_path / "officer.key")
    export()
    later = replace(PUBLISHED.renamed("B"), asks=FULL.asks)
    command = run_of(later, tmp_path / "later")
    why = ("--supersede", EXAMPLE_RUN, "--reason", "another cut")
    assert tampered(*command, *why).exit_code == 0
    export()
    assert set(bundles) == {bundles[0]}
    assert len(bundles) == 4


def test_an_export_is_in_the_trail(door: Door, tmp_path: Path) -> None:
    door(*run_of(PUBLISHED, tmp_path / "in"))
    door("export", "latest", "run.zip")
    assert trail_of(door.ledger)[1:] == [("RUN_EXPORTED", EXAMPLE_RUN, "exported")]


def test_an_unknown_run_is_wrong_usage_and_nothing_is_written(reader: Door, tmp_path: Path) -> None:
    trail = trail_of(reader.ledger)
    for run in ("2024-09-16-009", "yesterday"):
        text, answer = (reader("export", run, "run.zip", *form) for form in ([], ["--json"]))
        assert [text.exit_code, answer.exit_code] == [2, 2]
        assert text.told == f"run {run} is not recorded (RUN_NOT_FOUND)"
        assert answer.document["reason"] == "RUN_NOT_FOUND"
    assert list(tmp_path.iterdir()) == []
    assert trail_of(reader.ledger) == trail


def test_a_bundle_that_cannot_be_written_exits_75_and_leaves_nothing(
    reader: Door, tmp_path: Path
) -> None:
    (tmp_path / "folder.zip").mkdir()
    (tmp_path / "file").write_text("in the way")
    places = ["nowhere/run.zip", "file/run.zip", "folder.zip"]
    before = set(tmp_path.rglob("*"))
    for place in places:
        text, answer = (reader("export", "latest", place, *form) for form in ([], ["--json"]))
        assert [text.exit_code, answer.exit_code] == [75, 75]
        assert (text.out, answer.complaints) == ("", [])
        assert text.err.startswith(f"{place}: ")
        assert text.err.endswith(" (OUTPUT_UNWRITABLE)\n")
        assert answer.document["reason"] == "OUTPUT_UNWRITABLE"
    assert set(tmp_path.rglob("*")) == before
    assert (tmp_path / "file").read_text() == "in the way"


def test_a_bundle_of_another_day_stays_whole_until_the_new_one_is(
    tampered: Door, tmp_path: Path
) -> None:
    (tmp_path / "run.zip").write_text("yesterday's")
    assert tampered("export", "2024-09-16-009", "run.zip").exit_code == 2
    assert (tmp_path / "run.zip").read_text() == "yesterday's"
    flip_a_bit(evidence_file(tampered.ledger, "pools.parquet"))
    assert tampered("export", "latest", "run.zip").exit_code == 6
    assert (tmp_path / "run.zip").read_text() == "yesterday's"
    flip_a_bit(evidence_file(tampered.ledger, "pools.parquet"))
    assert tampered("export", "latest", "run.zip").exit_code == 0
    assert lottery("replay", "run.zip").exit_code == 0
    assert {path.name for path in tmp_path.iterdir()} == {"run.zip", "tampered"}


@pytest.mark.parametrize("name", ["allocations.parquet", "sources/volumes.csv"])
@pytest.mark.parametrize("tamper", [flip_a_bit, Path.unlink], ids=["one bit", "gone"])
def test_evidence_that_was_tampered_with_is_not_exported(
    tampered: Door, tmp_path: Path, name: str, tamper: Callable[[Path], None]
) -> None:
    tamper(evidence_file(tampered.ledger, name))
    text, answer = (tampered("export", "latest", "run.zip", *form) for form in ([], ["--json"]))
    assert [text.exit_code, answer.exit_code] == [6, 6]
    assert f"{EXAMPLE_RUN}/{name} is not what was recorded" in text.told
    assert answer.document["reason"] == "LEDGER_DAMAGED"
    assert [path.name for path in tmp_path.iterdir()] == ["tampered"]


def test_an_export_that_was_refused_is_not_told_as_done_in_the_trail(tampered: Door) -> None:
    before = trail_of(tampered.ledger)
    flip_a_bit(evidence_file(tampered.ledger, "pools.parquet"))
    assert tampered("export", "latest", "run.zip").exit_code == 6
    added = trail_of(tampered.ledger)[len(before) :]
    assert ("RUN_EXPORTED", EXAMPLE_RUN, "exported") not in added


@pytest.mark.parametrize("engine", ["compiled", "sql"])
def test_a_bundle_replays_in_a_folder_of_its_own_without_any_ledger(
    bundle: Path, tmp_path: Path, engine: str
) -> None:
    text = lottery("replay", bundle.name, "--engine", engine)
    answer = lottery("--json", "replay", bundle, "--engine", engine)
    assert [text.exit_code, answer.exit_code] == [0, 0]
    assert text.lines == [f"{EXAMPLE_RUN} matches", "1 replayed, 1 matched"]
    assert answer.document == MATCHES
    assert text.err == answer.err == ""
    assert list(tmp_path.iterdir()) == [bundle]


def test_a_bundle_replays_whatever_ledger_or_server_is_named(bundle: Path) -> None:
    assert lottery("--ledger", "nowhere", "replay", bundle).exit_code == 0
    assert lottery("--server", "127.0.0.1:1", "replay", bundle).exit_code == 0
    assert not Path("nowhere").exists()


def test_a_bundle_may_be_called_otherwise(bundle: Path) -> None:
    renamed = bundle.rename(bundle.with_name("what the firm sent (1).zip"))
    assert lottery("replay", renamed).exit_code == 0


def test_the_bundle_of_a_superseded_run_replays_too(door: Door, tmp_path: Path) -> None:
    corrected = replace(PUBLISHED, positions=[*PUBLISHED.positions, position(AAPL, "2000", 1)])
    door(*run_of(PUBLISHED, tmp_path / "a"))
    why = ("--supersede", EXAMPLE_RUN, "--reason", "an account was missing")
    assert door(*run_of(corrected, tmp_path / "b"), *why).exit_code == 0
    for run in (EXAMPLE_RUN, "2024-09-16-002"):
        assert door("export", run, f"{run}.zip").exit_code == 0
    key = public_key(door.ledger)
    answer = lottery("replay", *(f"{run}.zip" for run in door.recorded()), "--key", key)
    assert answer.exit_code == 0
    assert answer.lines[-1] == "2 replayed, 2 matched"


def test_runs_and_bundles_are_replayed_together_in_the_order_given(
    reader: Door, bundle: Path
) -> None:
    answer = reader("replay", bundle, EXAMPLE_RUN, bundle, "--json")
    text = reader("replay", bundle, "latest")
    assert [text.exit_code, answer.exit_code] == [0, 0]
    assert answer.document == {"replayed": 3, "matched": 3, "mismatches": []}
    assert text.lines == [f"{EXAMPLE_RUN} matches"] * 2 + ["2 replayed, 2 matched"]


def test_runs_beside_bundles_need_their_ledger(bundle: Path, tmp_path: Path) -> None:
    answer = lottery("replay", bundle, EXAMPLE_RUN, "--json")
    assert (answer.exit_code, answer.document["reason"]) == (2, "LEDGER_NOT_FOUND")
    assert list(tmp_path.iterdir()) == [bundle]


def test_a_bundle_of_the_key_that_is_known_is_trusted(example: Path, bundle: Path) -> None:
    key = public_key(example)
    assert lottery("replay", bundle, "--key", key, "--json").document == MATCHES
    assert lottery("replay", bundle, "--key", SOMEBODYS_KEY, "--key", key).exit_code == 0


def test_a_bundle_of_another_key_than_the_known_one_is_not_trusted(bundle: Path) -> None:
    answer = lottery("replay", bundle, "--key", SOMEBODYS_KEY, "--json")
    assert wheres_of(answer) == {"log.vkey"}
    text = lottery("replay", bundle, "--key", SOMEBODYS_KEY)
    assert (text.exit_code, text.lines[0]) == (6, f"{EXAMPLE_RUN} differs")
    assert f"a trusted key: {SOMEBODYS_KEY}" in text.out


def _allocations_swapped(members: Members) -> None:
    path = Path("allocations.parquet")
    path.write_bytes(members[path.name])
    swap_first_two(path, "assigned_quantity")
    members[path.name] = path.read_bytes()
    path.unlink()


def _signed_by_a_key_of_the_same_name(members: Members) -> None:
    name = VerifierKey.parse(members["log.vkey"].decode().strip()).name
    forged = SigningKey(name=name, seed=b"f" * 32).verifier
    members["log.vkey"] = f"{forged}\n".encode()


@pytest.mark.parametrize(
    ("tamper", "where"),
    [
        (_allocations_swapped, "allocations.parquet"),
        (_signed_by_a_key_of_the_same_name, "run.json.tlog-proof"),
    ],
)
def test_a_bundle_that_was_tampered_with_exits_6_and_names_the_file(
    bundle: Path, tamper: Callable[[Members], None], where: str
) -> None:
    members = members_of(bundle)
    tamper(members)
    bundle.write_bytes(zip_of(members))
    answer = lottery("replay", bundle, "--json")
    assert any(named.startswith(where) for named in wheres_of(answer))
    assert lottery("replay", bundle).lines[0] == f"{EXAMPLE_RUN} differs"


def test_one_bundle_that_differs_does_not_stop_the_others(bundle: Path) -> None:
    members = members_of(bundle)
    _allocations_swapped(members)
    Path("other.zip").write_bytes(zip_of(members))
    answer = lottery("replay", "other.zip", bundle)
    assert answer.exit_code == 6
    assert answer.lines[0] == f"{EXAMPLE_RUN} differs"
    assert answer.lines[-2:] == [f"{EXAMPLE_RUN} matches", "2 replayed, 1 matched"]


def _with_member(name: str) -> Hostile:
    def make(members: Members) -> bytes:
        buffer = io.BytesIO(zip_of(members))
        with zipfile.ZipFile(buffer, "a", zipfile.ZIP_STORED) as archive:
            archive.writestr(zipfile.ZipInfo(name), b"x")
        return buffer.getvalue()

    return make


HOSTILE: dict[str, tuple[Hostile, str]] = {
    "a path that leads out": (_with_member("../escaped.txt"), "unexpected file '"),
    "an absolute path": (_with_member("/tmp/escaped.txt"), "unexpected file '"),  # noqa: S108 - not to be made.
    "another run's name": (
        lambda members: zip_of(members, "2024-09-16-002"),
        f"expected the folder of run {EXAMPLE_RUN}, got 2024-09-16-002",
    ),
    "no archive": (lambda _: b"series,account\n", "cannot be read as a bundle"),
}
"""Archives that are refused; `tests/audit/test_bundle.py` has every kind of them."""


@pytest.mark.parametrize("what", HOSTILE)
def test_an_archive_that_is_no_bundle_is_refused_and_nothing_comes_of_it(
    bundle: Path, tmp_path: Path, what: str
) -> None:
    make, told = HOSTILE[what]
    made = make(members_of(bundle))
    bundle.unlink()
    hostile = tmp_path / "inner" / "hostile.zip"
    hostile.parent.mkdir()
    hostile.write_bytes(made)
    text, answer = (lottery("replay", hostile, *form) for form in ([], ["--json"]))
    assert [text.exit_code, answer.exit_code] == [3, 3]
    assert (text.out, answer.err) == ("", "")
    assert text.complaints[0].endswith(": 1 problem (INVALID_INPUT)")
    assert text.complaints[1].startswith("  hostile.zip: ")
    (problem,) = answer.document["problems"]
    assert problem["file"] == "hostile.zip"
    assert told in problem["message"]
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["hostile.zip", "inner"]
    assert not Path("/tmp/escaped.txt").exists()  # noqa: S108 - the absolute path above.


def test_a_bundle_that_is_not_there_is_refused_by_its_name(tmp_path: Path) -> None:
    (tmp_path / "folder.zip").mkdir()
    for name, told in (("gone.zip", "No such file"), ("folder.zip", "Is a directory")):
        answer = lottery("replay", name)
        assert answer.exit_code == 3
        assert answer.complaints[1].startswith(f"  {name}: ")
        assert told in answer.told


def test_without_duckdb_the_sql_statement_is_told_to_be_missing(
    reader: Door, bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "duckdb", None)
    for command in (["latest"], ["--all"], [bundle]):
        text = reader("replay", *command, "--engine", "sql")
        answer = reader("replay", *command, "--engine", "sql", "--json")
        assert [text.exit_code, answer.exit_code] == [2, 2]
        assert text.out == ""
        assert "pip install 'options-assignment-lottery[sql]'" in text.told
        assert answer.document["reason"] == "ENGINE_MISSING"
        assert reader("replay", *command).exit_code == 0


def test_a_replay_that_could_not_be_done_is_not_told_as_one_in_the_trail(
    tampered: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = trail_of(tampered.ledger)
    monkeypatch.setitem(sys.modules, "duckdb", None)
    for command in (["latest"], ["--all"]):
        assert tampered("replay", *command, "--engine", "sql").exit_code == 2
    assert trail_of(tampered.ledger) == before


def test_the_statement_finds_what_was_tampered_with_as_well(tampered: Door) -> None:
    swap_first_two(evidence_file(tampered.ledger, "allocations.parquet"), "assigned_quantity")
    answer = tampered("replay", "latest", "--engine", "sql", "--json")
    assert {
        "run": EXAMPLE_RUN,
        "where": "allocations.parquet row 1 assigned_quantity",
        "recorded": "7",
        "computed": "3",
    } in answer.document["mismatches"]
    assert answer.exit_code == 6


def test_a_copy_of_the_ledger_gives_the_same_bundle(
    example: Path, exported: Path, tmp_path: Path
) -> None:
    copy = files_of(copied(example, tmp_path / "copy"))
    assert copy("export", "latest", "run.zip").exit_code == 0
    assert (tmp_path / "run.zip").read_bytes() == exported.read_bytes()
