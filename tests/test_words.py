"""One word for one thing: the glossary's retired words stay out of the project.

`python -m tests.test_words` prints how many are left in each file, and `python -m tests.test_words
lottery/day` prints each of them there. Code is read as words, its identifiers split at underscores
and CamelCase; nothing tells this test whether a word is used in another meaning, so the few that
are have their reason in `ALLOWED`.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[1]
ROOMS: Final = ("lottery", "server", "proto", "bench", "fuzz", "examples", "docs", "README.md")
SUFFIXES: Final = {".py", ".proto", ".md", ".sql", ".txt", ".j2", ".css", ".js", ".sh", ".cron"}
GLOSSARY: Final = "docs/GLOSSARY.md"

FORMS: Final = {
    "wheel": "wheels?",
    "spin": "spins?|spinning",
    "spun": "spun",
    "stretch": "stretch(?:es|ed|ing)?",
    "place": "places?",
    "placed": "placed|placing|placement",
    "mark": "marks?",
    "marked": "marked|marking",
    "slot": "slots?",
    "noticed pool": "noticed",
    "edge": "edges?",
    "asker": "askers?",
    "complain": "complain(?:s|ed|ing|ts?)?",
    "desk": "desks?",
    "gathered": "gather(?:s|ed|ing)?",
    "stood": "stood",
    "told": "told",
    "tells": "tells?",
    "besides": "besides",
    "behind": "behind",
    "passed over": "passed[ _]over",
    "mirror": "mirrors?|mirrored|mirroring",
}
"""Each retired word of the glossary with the forms of it that are looked for."""

ALLOWED: Final = (
    ("*", r"\bocc(?:'s)?(?: own)?[ _]?wheel", "OCC's own procedure has this name."),
    ("*/*odds.py", r"(?<![a-z])wheels?(?![a-z])", "Odds are compared to those on OCC's wheel."),
    ("*/occ_wheel.py", r"(?<![a-z])wheels?(?![a-z])", "It is OCC's wheel."),
    ("lottery/client/values.py", r"\bwheel\b", "The odds on OCC's wheel."),
    ("*", r"\bin (?:the |its |their )?place(?: of)?\b", "Plain English for a replacement."),
    *(
        (room, r"(?<![a-z])places?(?![a-z])", "Where objects, an entry or a node are.")
        for room in (
            *("lottery/ledger/*", "lottery/stores/*", "lottery/operations/*", "bench/*"),
            "lottery/audit/verify*",
        )
    ),
    *(
        (file, r"(?<![a-z])behind(?![a-z])", "What is published lags.")
        for file in (
            *("lottery/cli/status.py", "lottery/cli/commands.py", "lottery/cli/watch.py"),
            *("lottery/ledger/log_writer.py", "server/keeper.py", "docs/CLI.md"),
        )
    ),
    ("docs/decisions/*", r"\bmirrors?\b", "What was decided before."),
    ("docs/AUDIT.md", r"\bread, mirror and witness\b", "What other people do with the log."),
    ("*", r"\btak(?:e|es|ing) (?:the )?place\b", "Plain English."),
    ("*", r"\bdecimal places?\b", "Digits after the point."),
    ("*", r"\bslots=True\b|__slots__", "Python's name."),
    ("*", r"\bpytest\.mark\b|\bmarkupsafe\b", "A library's name."),
    ("*", r"\.tell\(\)", "A file's method."),
    ("*", r"\bSIMPLE_HEAD\b|\b(?:pad|show)_edge\b", "Names of rich's tables."),
    ("*", r"\bhead -n\b", "A shell command."),
    ("lottery/cli/*", r'"marks"|"marked_composite"', "Names of JSON fields."),
    ("docs/documents.py", r"\b(?:marks|marked_composite):", "As above."),
    ("*", r"\btells? .{1,30} apart\b|\bto be noticed\b", "Plain English."),
    ("*", r"\bleaves? .{1,20} behind\b|\bbehind a\b", "Plain English."),
    ("docs/OPERATIONS.md", r"\beasily accessible place\b", "SEC Rule 17a-4(a)."),
    (
        "*",
        r"(?<![a-z])byte[-_ ]order[-_ ]marks?|\b(?:quotation|question) marks?\b",
        "Characters' names.",
    ),
    ("*", r"\bedge cases?\b", "Plain English."),
    ("*", r"\btree head\b", "RFC 9162's term."),
    ("lottery/audit/report/*", r"\bt?heads?\b", "HTML's name of the first rows of a table."),
    ("*.css", r"\bplace-[a-z]+\b", "CSS."),
)
"""Which files may have a word in another meaning, what is allowed in them, and why."""

EXCEPT: Final = {
    GLOSSARY: "It lists the retired words.",
    "proto/google": "Google's own protos.",
    "lottery/v1": "Generated from proto.",
}
"""What is not searched, and why."""

NOT_VERBS: Final = re.compile(
    r"An?|All|And|As|At|Because|Both|By|Each|Every(?:thing)?|For|From|How|If|Its?|In|Many|Not?|Of|On"
    r"|One|Only|Or|Others?|Some|Such|The(?:ir|re|se|y)?|This|That|Those|To|Two|Three|Four|Wh[a-z]+"
    r"|With(?:out)?"
)
"""Words that begin a noun phrase or a clause, where a function's docstring has a verb."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A word or docstring that is to be rewritten.

    Attributes:
        path: Its file, from the top of the checkout.
        line: Its line, from 1.
        what: The word, or how the docstring begins.
        text: The line.
    """

    path: str
    line: int
    what: str
    text: str


def retired_words() -> list[str]:
    """Return the retired words that the glossary lists, without the remarks in brackets."""
    text = (ROOT / GLOSSARY).read_text("utf-8")
    _, _, section = text.partition("## Retired words\n")
    cells = re.findall(r"^\| ([^|]+) \| [^|]+ \|$", section, re.MULTILINE)
    without_remarks = (re.sub(r"\([^)]*\)", "", cell) for cell in cells if cell != "retired")
    return [word.strip() for cell in without_remarks for word in cell.split(",")]


def files_of(room: str) -> list[Path]:
    """Return the text files of a room, or below a path."""
    found = [ROOT / room, *sorted((ROOT / room).rglob("*"))]
    return [
        path
        for path in found
        if path.suffix in SUFFIXES
        and path.is_file()
        and not path.relative_to(ROOT).as_posix().startswith(tuple(EXCEPT))
    ]


def findings_of(path: Path) -> Iterator[Finding]:
    """Yield the retired words of a file, and its functions' docstrings without a verb."""
    name = path.relative_to(ROOT).as_posix()
    text = path.read_text("utf-8")
    lines = text.splitlines()
    allowed = re.compile(
        "|".join(pattern for files, pattern, _ in ALLOWED if fnmatch(name, files)), re.IGNORECASE
    )
    for number, line in enumerate(lines, 1):
        for match in RETIRED.finditer(words_of(allowed.sub(" ", line))):
            yield Finding(path=name, line=number, what=match[0], text=line.strip())
    if path.suffix == ".py":
        for number, beginning in docstrings_without_a_verb(text):
            yield Finding(path=name, line=number, what="docstring", text=beginning)


def words_of(line: str) -> str:
    """Return a line in lower case, its identifiers split."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", line).replace("_", " ").lower()


def docstrings_without_a_verb(source: str) -> Iterator[tuple[int, str]]:
    """Yield the line and the first line of each function's docstring that begins with no verb."""
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        docstring = ast.get_docstring(node)
        if docstring is None or any("property" in ast.unparse(one) for one in node.decorator_list):
            continue
        first_word = docstring.split()[0].rstrip(".,:;")
        if NOT_VERBS.fullmatch(first_word) or re.fullmatch("[A-Z][a-z]+", first_word) is None:
            yield node.lineno, docstring.splitlines()[0]


RETIRED: Final = re.compile(r"\b(?:" + "|".join(FORMS.values()) + r")\b")


def test_every_retired_word_of_the_glossary_is_looked_for() -> None:
    assert retired_words() == list(FORMS)


@pytest.mark.parametrize("room", ROOMS)
def test_no_retired_word_is_left(room: str) -> None:
    findings = [one for path in files_of(room) for one in findings_of(path)]

    assert [f"{one.path}:{one.line}: {one.what}: {one.text}" for one in findings] == []


def say(line: str) -> None:
    """Print a line."""
    sys.stdout.write(f"{line}\n")


def main(rooms: list[str]) -> None:
    """Print how many findings are left in each file, or each of those below the given paths."""
    for room in rooms or ROOMS:
        total = 0
        for path in files_of(room):
            findings = list(findings_of(path))
            total += len(findings)
            if rooms:
                for one in findings:
                    say(f"{one.path}:{one.line}: {one.what}: {one.text}")
            elif findings:
                verbless = sum(one.what == "docstring" for one in findings)
                words = len(findings) - verbless
                say(f"{words:5} words {verbless:4} docstrings  {findings[0].path}")
        say(f"{total:5} in {room}")


if __name__ == "__main__":
    main(sys.argv[1:])
