"""Mappings: what they may say, and every thing that is wrong with one, in one answer."""

from __future__ import annotations

from pathlib import Path

import pytest

from lottery.intake.mapping import MAX_BYTES, FileMapping, read_mappings

KEYS = (
    "expected a key, one of delimiter, encoding, skip_lines, names, omit, strip, sign, thousands, "
    "decimals"
)


def problems_of(text: str, path: Path) -> list[tuple[str | None, str]]:
    """Return what is wrong with a mapping, as table or key and message."""
    path.write_text(text, encoding="utf-8")
    return [(problem.column, problem.message) for problem in read_mappings(path).problems]


def test_a_mapping_says_what_the_files_of_each_role_are(tmp_path: Path) -> None:
    path = tmp_path / "bank.toml"
    text = (
        '[positions]\ndelimiter = ";"\nencoding = "cp1252"\nsign = "negative"\nthousands = "."\n'
        'omit = ["Desk"]\nnames = { account = "Konto" }\n[notices]\nskip_lines = 2\n'
    )
    path.write_text(text, encoding="utf-8")

    read = read_mappings(path)

    assert not read.problems
    assert read.of_role == {
        "positions": FileMapping(
            delimiter=";",
            encoding="cp1252",
            sign="negative",
            thousands=".",
            omit=("Desk",),
            names={"account": "Konto"},
        ),
        "notices": FileMapping(skip_lines=2),
    }
    (source,) = read.sources
    assert (source.role, source.name, source.kept_as) == ("columns", "bank.toml", "columns.toml")
    assert source.read() == text.encode()


def test_everything_that_is_wrong_is_said_at_once(tmp_path: Path) -> None:
    text = (
        '[positions]\nseparator = ";"\nencoding = "ebcdic"\nskip_lines = "two"\nstrip = 1\n'
        '[notices]\nthousands = ","\ndecimals = ",00"\nskip_lines = 101\n'
        'names = { series = "Symbol", notice_id = "Symbol", acct = "Id" }\n'
        "[volumes]\n"
    )
    found = problems_of(text, tmp_path / "bank.toml")
    assert found[0] == ("positions.separator", KEYS)
    assert [column for column, _ in found] == [
        "positions.separator",
        "positions.encoding",
        "positions.skip_lines",
        "positions.strip",
        *["notices"] * 4,
        "volumes",
    ]
    assert [message for column, message in found if column == "notices"] == [
        "names must be of notice_id, series, quantity, occ_account, got 'acct'",
        "a column must be named or omitted once, got 'Symbol' again",
        "skip_lines must be 0 to 100, got 101",
        "thousands and decimals must differ, got ',' for both",
    ]


@pytest.mark.parametrize(
    ("said", "message"),
    [
        (
            "names = { series = 1, account = 2, short_quantity = 'Qty' }",
            "columns must be all named, or all numbered as files without a header, got 'Qty'",
        ),
        (
            "names = { series = 1, account = 2, short_quantity = 4 }",
            "names and omit must number every column of the file from 1, got 1, 2, 4",
        ),
        (
            "names = { series = 1, account = 2 }",
            "names must have the number of short_quantity, got none",
        ),
        ("decimals = '.05'", "decimals must be a point or a comma and zeros, got '.05'"),
    ],
)
def test_what_cannot_be_is_refused(said: str, message: str, tmp_path: Path) -> None:
    found = problems_of(f"[positions]\n{said}\n", tmp_path / "bank.toml")
    assert found == [("positions", message)]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[positions\n", "expected TOML in UTF-8: "),
        ("", "expected a table [notices] or [positions]"),
        ("#" * (MAX_BYTES + 1), f"a mapping must be at most {MAX_BYTES} bytes, got more"),
    ],
)
def test_a_file_that_is_no_mapping_is_refused(content: str, message: str, tmp_path: Path) -> None:
    ((column, found),) = problems_of(content, tmp_path / "bank.toml")
    assert column is None
    assert found.startswith(message)


def test_a_mapping_that_is_not_there_is_refused(tmp_path: Path) -> None:
    (problem,) = read_mappings(tmp_path / "bank.toml").problems
    assert problem.message == "the mapping cannot be read: No such file or directory"
