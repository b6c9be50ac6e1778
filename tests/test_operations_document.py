"""docs/OPERATIONS.md holds what it says: its commands are run in their order, as they stand."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from lottery import errors
from lottery.cli import exits
from lottery.ledger.holds import HOLDS
from lottery.ledger.warning_codes import SEED_WARNINGS, WARNINGS
from lottery.method.methodology import JPMS_2024_09_06
from lottery.method.seed import ExchangeAsk, derive_seed
from tests.builders import ASKS
from tests.documents import blocks_of, prints, read, run

ROOT = Path(__file__).parents[1]
DOCUMENT = read("OPERATIONS.md")
BLOCKS = blocks_of(DOCUMENT)
BREAK_REASONS = {"EXCEEDS_SHORT", "NO_POSITION"}
REFUSALS = {
    errors.INVALID_INPUT,
    errors.INVALID_SEED,
    errors.METHOD_NOT_IN_FORCE,
    errors.LimitExceeded.reason,
}

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def morning(tmp_path_factory: pytest.TempPathFactory) -> list[subprocess.CompletedProcess[str]]:
    """What every block of the runbook did, one after another in one folder."""
    folder = tmp_path_factory.mktemp("morning")
    (folder / "examples").symlink_to(ROOT / "examples")
    return [run(folder, block) for block in BLOCKS]


@pytest.mark.parametrize("place", range(len(BLOCKS)))
def test_a_command_of_the_runbook_does_what_stands_under_it(
    morning: list[subprocess.CompletedProcess[str]], place: int
) -> None:
    block, done = BLOCKS[place], morning[place]

    told = f"{block.text}exits with {done.returncode} and prints:\n{done.stdout}"
    assert done.returncode == block.exit_code, told
    if block.printed is not None:
        assert prints(block.printed, done.stdout), told


def test_the_runbook_has_a_command_for_every_exit_code_that_a_scheduler_meets() -> None:
    codes = {exits.DONE, exits.REFUSED, exits.BREAKS, exits.CONFLICT, exits.HELD, exits.MISMATCH}

    assert {block.exit_code for block in BLOCKS} == {*codes, exits.TRY_AGAIN}


def test_every_exit_code_has_its_line() -> None:
    table = DOCUMENT.partition("## Exit codes")[2].partition("\n## ")[0]
    told = {int(code) for code in re.findall(r"^\| (\d+)", table, re.MULTILINE)}

    named = {code for name, code in vars(exits).items() if name.isupper() and isinstance(code, int)}
    assert told == named


@pytest.mark.parametrize(
    ("title", "reasons"),
    [
        ("Breaks", BREAK_REASONS),
        ("Conflicts", errors.CONFLICTS),
        ("Refusals", REFUSALS),
    ],
)
def test_every_reason_has_its_line(title: str, reasons: set[str]) -> None:
    assert told_in(title) == reasons


def test_every_warning_has_its_line() -> None:
    asks = [ExchangeAsk(security_number=name, ask_price="0") for name in ASKS]
    asks[0] = ExchangeAsk(security_number=asks[0].security_number, ask_price="1234.5")
    seed = derive_seed(asks, JPMS_2024_09_06.securities, source="volumes")

    assert {warning.code for warning in seed.warnings()} == SEED_WARNINGS
    assert told_in("Warnings") == WARNINGS


def test_every_hold_has_its_line() -> None:
    assert told_in("Holds") == HOLDS


def told_in(title: str) -> set[str]:
    """The reasons that a section's table tells of."""
    section = DOCUMENT.partition(f"\n## {title}\n")[2].partition("\n## ")[0]
    return set(re.findall(r"^\| `([A-Z_]+)`", section, re.MULTILINE))


def test_what_stands_open_in_a_document_is_open_and_no_more() -> None:
    assert prints("one ... three\n...\nlast\n", "one 2 three\nx\ny\nlast\n")
    assert prints("...\nlast\n", "last\n")
    assert not prints("one\nlast\n", "one\nx\nlast\n")
    assert not prints("one\n", "one\nmore\n")
