"""`lottery report`: the audit page, from a ledger, a server or a bundle."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from lottery.tlog import keys
from tests.audit.pages import read_page
from tests.builders import AAPL, FULL, PUBLISHED
from tests.cli.calls import (
    EXAMPLE_RUN,
    SOMEBODYS_KEY,
    Door,
    evidence_file,
    files_of,
    flip_a_bit,
    lottery,
    run_of,
    trail_of,
)


@pytest.fixture(scope="module")
def exported(example: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example day's bundle."""
    path = tmp_path_factory.mktemp("exported") / "run.zip"
    assert files_of(example)("export", "latest", path).exit_code == 0
    return path


def text_of(path: Path) -> str:
    return read_page(path.read_text("utf-8")).text


def test_the_page_of_a_run_is_written_and_told_with_its_size(reader: Door, tmp_path: Path) -> None:
    text = reader("report", EXAMPLE_RUN, "text.html")
    answer = reader("report", "latest", "run.html", "--json")
    assert [text.exit_code, answer.exit_code, text.err, answer.err] == [0, 0, "", ""]
    size = (tmp_path / "run.html").stat().st_size
    assert (
        text.out == f"Wrote the page of run {EXAMPLE_RUN} to text.html: 17 pools, {size:,} bytes\n"
    )
    assert answer.document == {
        "run": EXAMPLE_RUN,
        "file": "run.html",
        "bytes": size,
        "pool_count": 17,
        "shown_pool_count": 17,
    }
    assert "1046 30 1 to 30 28, 29, 30 3" in text_of(tmp_path / "run.html")
    assert {path.name for path in tmp_path.iterdir()} == {"text.html", "run.html"}


@pytest.mark.parametrize(
    "options",
    [(), ("--mask-accounts",), ("--account", "1046"), ("--series", "NVDA240920P00130000")],
)
def test_a_server_and_the_files_give_the_same_page(
    both_readers: tuple[Door, Door], tmp_path: Path, options: tuple[str, ...]
) -> None:
    for name, door in zip(("files", "server"), both_readers, strict=True):
        assert door("report", "latest", f"{name}.html", *options).exit_code == 0
    assert (tmp_path / "files.html").read_bytes() == (tmp_path / "server.html").read_bytes()


def test_a_bundle_has_its_page_without_any_ledger(
    exported: Path, reader: Door, tmp_path: Path
) -> None:
    assert lottery("report", exported, "bundle.html").exit_code == 0
    reader("report", "latest", "run.html")
    cannot_tell = "Made from a bundle, which cannot say whether the run was superseded later."
    assert cannot_tell in text_of(tmp_path / "bundle.html")
    assert cannot_tell not in text_of(tmp_path / "run.html")
    assert not (tmp_path / "lottery-ledger").exists()


def test_a_bundles_proof_must_be_by_the_key_that_is_given(
    exported: Path, example: Path, tmp_path: Path
) -> None:
    key = files_of(example)("keys", "--json").document["public_key"]
    assert lottery("report", exported, "run.html", "--key", key).exit_code == 0
    (tmp_path / "run.html").unlink()
    answer = lottery("report", exported, "run.html", "--key", SOMEBODYS_KEY)
    assert answer.exit_code == 6
    assert "log.vkey" in answer.told
    assert list(tmp_path.iterdir()) == []


def test_a_superseded_run_says_so_by_either_way(tampered: Door, tmp_path: Path) -> None:
    later = replace(PUBLISHED.renamed("B"), asks=FULL.asks)
    command = run_of(later, tmp_path / "later")
    assert tampered(*command, "--supersede", EXAMPLE_RUN, "--reason", "a cut").exit_code == 0
    assert tampered("report", EXAMPLE_RUN, "old.html").exit_code == 0
    assert tampered("report", "latest", "new.html").exit_code == 0
    assert "Run 2024-09-16-002 supersedes this run." in text_of(tmp_path / "old.html")
    assert "Supersedes 2024-09-16-001. Reason given: a cut" in text_of(tmp_path / "new.html")


def test_a_page_is_in_the_trail(door: Door, tmp_path: Path) -> None:
    door(*run_of(PUBLISHED, tmp_path / "in"))
    door("report", "latest", "run.html")
    (entry,) = trail_of(door.ledger)[1:]
    made = {
        "--ledger": ("RUN_REPORTED", EXAMPLE_RUN, "a page about the run"),
        "--server": ("RUN_EXPORTED", EXAMPLE_RUN, "exported"),
    }
    assert entry == made[door.options[0]]


def test_a_ledger_whose_key_is_elsewhere_gives_its_page_and_complains(
    tmp_path: Path,
) -> None:
    door = files_of(tmp_path / "ledger")
    door(*run_of(PUBLISHED, tmp_path / "in"))
    (tmp_path / "ledger" / "signing.key").rename(tmp_path / "elsewhere")
    answer = door("report", "latest", "run.html")
    assert answer.exit_code == 0
    assert "this RUN_REPORTED of 2024-09-16-001 is not in the trail" in answer.told
    assert (tmp_path / "run.html").exists()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("latest", "run.pdf"), "the page must be named FILE.html, got 'run.pdf'"),
        (
            ("latest", "run.html", "--series", "AAPL"),
            "strike times 1000 in 8 digits), got 'AAPL'",
        ),
        (("latest", "run.html", "--series", "ZZZ240920C00000001"), "has no pool of series 'ZZZ"),
        (("latest", "run.html", "--account", "99"), "account '99' is in no pool"),
        (("2024-09-16-009", "run.html"), "run 2024-09-16-009 is not recorded"),
        (("latest", "run.html", "--key", SOMEBODYS_KEY), "--key goes with a bundle"),
        (
            ("latest", "run.html", *("--series", AAPL) * 101),
            "--series must be given at most 100 times",
        ),
    ],
)
def test_what_cannot_be_shown_is_wrong_usage_and_nothing_is_written(
    reader: Door, tmp_path: Path, arguments: tuple[str, ...], told: str
) -> None:
    answer = reader("report", *arguments)
    assert answer.exit_code == 2
    assert told in answer.told
    assert list(tmp_path.iterdir()) == []


def test_a_page_that_cannot_be_written_exits_75_and_leaves_nothing(
    reader: Door, tmp_path: Path
) -> None:
    (tmp_path / "folder.html").mkdir()
    for place in ("nowhere/run.html", "folder.html"):
        answer = reader("report", "latest", place)
        assert answer.exit_code == 75
        assert answer.err.startswith(f"{place}: ")
    assert [path.name for path in tmp_path.rglob("*")] == ["folder.html"]


def test_a_page_of_another_day_stays_whole_until_the_new_one_is(
    tampered: Door, tmp_path: Path
) -> None:
    (tmp_path / "run.html").write_text("yesterday's")
    flip_a_bit(evidence_file(tampered.ledger, "pools.parquet"))
    answer = tampered("report", "latest", "run.html")
    assert answer.exit_code == 6
    assert "pools.parquet is not what was recorded" in answer.told
    assert (tmp_path / "run.html").read_text() == "yesterday's"
    flip_a_bit(evidence_file(tampered.ledger, "pools.parquet"))
    assert tampered("report", "latest", "run.html").exit_code == 0
    assert "Run 2024-09-16-001" in text_of(tmp_path / "run.html")


def test_the_key_is_on_the_page(reader: Door, tmp_path: Path) -> None:
    reader("report", "latest", "run.html")
    key = keys.VerifierKey.parse(reader("keys", "--json").document["public_key"])
    assert f"lottery verify --key '{key}'" in text_of(tmp_path / "run.html")


def test_jinja_is_loaded_where_a_page_is_made_and_nowhere_else() -> None:
    loaded = "import sys, lottery.cli.main; sys.exit('jinja2' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", loaded], check=False).returncode == 0
