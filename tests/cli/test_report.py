"""`lottery report`: the audit page, from a ledger, a server or a bundle."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.audit.pages import read_page
from tests.builders import AAPL, PUBLISHED
from tests.cli.calls import (
    CORRECTED,
    EXAMPLE_RUN,
    SOMEBODYS_KEY,
    UNKNOWN_RUN,
    Door,
    lottery,
    public_key,
    run_of,
    succeeds,
    superseding,
    trail_of,
)


def text_of(path: Path) -> str:
    return read_page(path.read_text("utf-8")).text


def test_the_page_of_a_run_is_written_with_its_size_and_the_logs_key(
    reader: Door, tmp_path: Path
) -> None:
    text, document = succeeds(reader, "report", "latest", "run.html")
    size = (tmp_path / "run.html").stat().st_size
    expected = f"Wrote the page of run {EXAMPLE_RUN} to run.html: 17 pools, {size:,} bytes\n"
    assert text.out == expected
    assert document == {
        "run": EXAMPLE_RUN,
        "file": "run.html",
        "bytes": size,
        "pool_count": 17,
        "shown_pool_count": 17,
    }
    page = text_of(tmp_path / "run.html")
    assert "1046 30 1 to 30 28, 29, 30 3" in page
    assert f"lottery verify --key '{public_key(reader.ledger)}'" in page
    assert [path.name for path in tmp_path.iterdir()] == ["run.html"]


@pytest.mark.parametrize(
    "options",
    [(), ("--mask-accounts",), ("--account", "1046"), ("--series", "NVDA240920P00130000")],
)
def test_a_server_and_the_files_give_the_same_page(
    reader: Door, example_server: Door, tmp_path: Path, options: tuple[str, ...]
) -> None:
    for name, door in (("files", reader), ("server", example_server)):
        assert door("report", "latest", f"{name}.html", *options).exit_code == 0
    assert (tmp_path / "files.html").read_bytes() == (tmp_path / "server.html").read_bytes()


def test_a_bundle_has_its_page_without_any_ledger(
    exported: Path, reader: Door, tmp_path: Path
) -> None:
    assert lottery("report", exported, "bundle.html").exit_code == 0
    reader("report", "latest", "run.html")
    unknown = "Made from a bundle, which cannot say whether the run was superseded later."
    assert unknown in text_of(tmp_path / "bundle.html")
    assert unknown not in text_of(tmp_path / "run.html")
    assert not (tmp_path / "lottery-ledger").exists()


def test_a_bundles_proof_must_be_by_the_key_that_is_given(
    exported: Path, example: Path, tmp_path: Path
) -> None:
    key = public_key(example)
    assert lottery("report", exported, "run.html", "--key", key).exit_code == 0
    (tmp_path / "run.html").unlink()
    answer = lottery("report", exported, "run.html", "--key", SOMEBODYS_KEY)
    assert answer.exit_code == 6
    assert "log.vkey" in answer.message
    assert list(tmp_path.iterdir()) == []


def test_a_superseded_run_says_so_by_each_way(either: Door, tmp_path: Path) -> None:
    either(*run_of(PUBLISHED, tmp_path / "first"))
    command = superseding(CORRECTED, tmp_path / "later", EXAMPLE_RUN, reason="a cut")
    assert either(*command).exit_code == 0
    assert either("report", EXAMPLE_RUN, "old.html").exit_code == 0
    assert either("report", "latest", "new.html").exit_code == 0
    assert "Run 2024-09-16-002 supersedes this run." in text_of(tmp_path / "old.html")
    assert "Supersedes 2024-09-16-001. Reason given: a cut" in text_of(tmp_path / "new.html")
    made = {
        "--ledger": ("report", EXAMPLE_RUN, "a page about the run"),
        "--server": ("export", EXAMPLE_RUN, "exported"),
    }
    assert trail_of(either.ledger)[0] == made[either.options[0]]


def test_a_ledger_whose_key_is_elsewhere_gives_its_page_and_warns(
    door: Door, tmp_path: Path
) -> None:
    door(*run_of(PUBLISHED, tmp_path / "in"))
    (tmp_path / "ledger" / "signing.key").rename(tmp_path / "elsewhere")
    answer = door("report", "latest", "run.html")
    assert answer.exit_code == 0
    assert "this report of 2024-09-16-001 is not in the log" in answer.message
    assert (tmp_path / "run.html").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("latest", "run.pdf"), "the page must be named FILE.html, got 'run.pdf'"),
        (
            ("latest", "run.html", "--series", "AAPL"),
            "strike times 1000 in 8 digits), got 'AAPL'",
        ),
        (("latest", "run.html", "--series", "ZZZ240920C00000001"), "has no pool of series 'ZZZ"),
        (("latest", "run.html", "--account", "99"), "account '99' is in no pool"),
        ((UNKNOWN_RUN, "run.html"), f"run {UNKNOWN_RUN} is not recorded"),
        (("latest", "run.html", "--key", SOMEBODYS_KEY), "--key goes with a bundle"),
        (
            ("latest", "run.html", *("--series", AAPL) * 101),
            "--series must be given at most 100 times",
        ),
    ],
)
def test_what_cannot_be_shown_is_wrong_usage_and_nothing_is_written(
    reader: Door, example_server: Door, tmp_path: Path, arguments: tuple[str, ...], message: str
) -> None:
    answer = reader("report", *arguments)
    assert answer.exit_code == 2
    assert message in answer.message
    assert example_server("report", *arguments) == answer
    assert list(tmp_path.iterdir()) == []


def test_jinja_is_loaded_where_a_page_is_made_and_nowhere_else() -> None:
    loaded = "import sys, lottery.cli.main; sys.exit('jinja2' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", loaded], check=False).returncode == 0
