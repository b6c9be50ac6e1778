"""Whether a file arrived whole: the checksum beside it, and how its last line ends (H1)."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from lottery.day.tables import NOTICE_ROWS
from lottery.errors import Problems
from lottery.intake import files
from lottery.intake.sources import SourceFile
from lottery.method.methodology import JPMS_2024_09_06
from tests import fixml
from tests.builders import AAPL, DATE, PUBLISHED, table_of, volumes_text, write_files
from tests.intake.conftest import read_all

ROLES = ("notices", "positions", "volumes")
NAMES = [
    "{}",
    "{}\n",
    "{}\r\n",
    "{}  {name}\n",
    "{} *{name}\n",
    "{}  in/day/{name}",
    "{}  /srv/in/{name}\n",
]


def read(role: str, path: Path) -> tuple[tuple[SourceFile, ...], Problems]:
    """Read a file of a role; return its sources and what is wrong."""
    if role == "notices":
        notices = files.read_notices(path, business_date=DATE)
        return notices.sources, notices.problems
    if role == "positions":
        positions = read_all(path)
        return positions.sources, positions.problems
    if role == "volumes":
        volumes = files.read_volumes(path, JPMS_2024_09_06.securities)
        return volumes.sources, volumes.problems
    occ_positions = files.read_occ_positions(path, DATE)
    return occ_positions.sources, occ_positions.problems


def digest_of(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def checksum_beside(path: Path, text: str | bytes) -> None:
    content = text.encode() if isinstance(text, str) else text
    path.with_name(f"{path.name}.sha256").write_bytes(content)


@pytest.fixture
def day(tmp_path: Path) -> dict[str, Path]:
    """The published day's three files."""
    return write_files(PUBLISHED, tmp_path / "in")


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("form", NAMES)
@pytest.mark.parametrize("case", [str.lower, str.upper])
def test_a_file_that_is_what_its_checksum_says_is_read(
    day: dict[str, Path], role: str, form: str, case: Callable[[str], str]
) -> None:
    text = form.format(case(digest_of(day[role])), name=day[role].name)
    checksum_beside(day[role], text)

    sources, problems = read(role, day[role])

    assert not problems
    assert [source.may_be_cut_off for source in sources] == [False]


@pytest.mark.parametrize("role", ROLES)
def test_a_file_that_is_not_what_its_checksum_says_is_refused_with_both(
    day: dict[str, Path], role: str
) -> None:
    path = day[role]
    expected = digest_of(path)
    checksum_beside(path, f"{expected}  {path.name}\n")
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))

    _, problems = read(role, path)

    (problem,) = problems
    assert problem.source == path.name
    assert problem.message == (
        f"expected SHA-256 {expected}, as {path.name}.sha256 has it, got {digest_of(path)}; "
        "get the file again from its sender"
    )


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n",
        "0" * 63,
        "0" * 65,
        "g" * 64,
        "{} notices.csv",
        "{}\tnotices.csv",
        " {}  notices.csv",
        "{}  notices.csv\n{}  positions.csv\n",
        "{}\n\n",
        "{} *",
        "SHA256 (notices.csv) = {}",
        "{}  notices.csv" + " " * 9_000,
        b"\xff" * 64,
    ],
)
def test_a_malformed_checksum_is_refused(day: dict[str, Path], text: str | bytes) -> None:
    path = day["notices"]
    content = text.replace("{}", digest_of(path)) if isinstance(text, str) else text
    checksum_beside(path, content)

    _, (problem,) = read("notices", path)

    assert problem.source == "notices.csv.sha256"
    assert problem.message.startswith("expected one line of 64 hexadecimal digits")


def test_the_checksum_of_another_file_is_refused(day: dict[str, Path]) -> None:
    path = day["notices"]
    checksum_beside(path, f"{digest_of(path)}  positions.csv\n")

    _, (problem,) = read("notices", path)

    assert problem.message == "expected the checksum of 'notices.csv', got that of 'positions.csv'"


def test_a_checksum_that_cannot_be_read_is_refused(day: dict[str, Path]) -> None:
    day["positions"].with_name("positions.csv.sha256").mkdir()

    _, (problem,) = read("positions", day["positions"])

    assert problem.source == "positions.csv.sha256"
    assert problem.message == "the checksum cannot be read: Is a directory"


@pytest.mark.parametrize("role", ["notices", "occ_positions"])
def test_the_checksum_of_a_fixml_file_counts_too(tmp_path: Path, role: str) -> None:
    path = tmp_path / "reports.xml"
    report = (
        fixml.assignment("A1", AAPL, 10)
        if role == "notices"
        else fixml.position_report("P1", AAPL, 10)
    )
    path.write_text(fixml.document(report), "utf-8")
    checksum_beside(path, digest_of(path))
    (source,), problems = read(role, path)
    assert not problems
    assert not source.may_be_cut_off

    checksum_beside(path, "0" * 64)
    _, (problem,) = read(role, path)
    assert problem.message.startswith(f"expected SHA-256 {'0' * 64}, as reports.xml.sha256 has it")


def test_a_refused_fixml_file_is_not_compared_with_its_checksum(tmp_path: Path) -> None:
    path = tmp_path / "reports.xml"
    path.write_text("<!DOCTYPE FIXML><FIXML/>")
    checksum_beside(path, "0" * 64)

    _, (problem,) = read("notices", path)

    assert "SHA-256" not in problem.message


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize(("ending", "flagged"), [("", True), ("\n", False), ("\r\n", False)])
def test_text_whose_last_line_has_no_line_end_may_be_cut_off(
    day: dict[str, Path], role: str, ending: str, *, flagged: bool
) -> None:
    path = day[role]
    path.write_bytes(path.read_bytes().removesuffix(b"\n") + ending.encode())

    (source,), problems = read(role, path)

    assert not problems
    assert source.may_be_cut_off is flagged


@pytest.mark.parametrize("role", ROLES)
def test_a_checksum_says_that_text_without_a_last_line_end_is_whole(
    day: dict[str, Path], role: str
) -> None:
    path = day[role]
    path.write_bytes(path.read_bytes().removesuffix(b"\n"))
    checksum_beside(path, digest_of(path))

    (source,), _ = read(role, path)

    assert not source.may_be_cut_off


def test_formats_that_end_by_their_own_syntax_are_never_flagged(tmp_path: Path) -> None:
    notices = tmp_path / "notices.parquet"
    pq.write_table(table_of(PUBLISHED.notices, NOTICE_ROWS), notices)
    volumes = tmp_path / "volumes.json"
    volumes.write_text('[{"security_number": "Z901803", "ask_price": "1.00000"}]', "utf-8")
    reports = tmp_path / "reports.xml"
    reports.write_text(fixml.document(fixml.assignment("A1", AAPL, 10)).rstrip(), "utf-8")

    for role, path in (("notices", notices), ("volumes", volumes), ("notices", reports)):
        (source,), _ = read(role, path)
        assert not source.may_be_cut_off


def test_a_last_line_cut_off_within_its_number_is_flagged_though_it_is_read(
    day: dict[str, Path],
) -> None:
    day["volumes"].write_text(volumes_text(PUBLISHED.asks).rstrip("\n")[:-1])

    (source,), problems = read("volumes", day["volumes"])

    assert not problems
    assert source.may_be_cut_off
