"""The documents' commands, run as they stand there, with what they are said to print.

A block of `sh` may be followed by a line `Exit code N:`, for any code but 0, and by a block of
`text` that is what it prints: line by line, with `...` for what is left open in a line, and a line
`...` for any number of lines.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

DOCUMENTS = Path(__file__).parents[1] / "docs"

_BLOCK = re.compile(
    r"^```(?P<kind>sh|python)\n(?P<text>.*?)^```\n"
    r"(?:Exit code (?P<code>\d+):\n)?"
    r"(?:```text\n(?P<printed>.*?)^```\n)?",
    re.DOTALL | re.MULTILINE,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """Commands of a document.

    Attributes:
        kind: `sh` or `python`.
        text: The commands.
        exit_code: What the last one is said to exit with.
        printed: What they are said to print, of both streams; None where nothing is said.
    """

    kind: str
    text: str
    exit_code: int = 0
    printed: str | None = None


def read(name: str) -> str:
    """A document's text."""
    return (DOCUMENTS / name).read_text("utf-8")


def blocks_of(text: str) -> list[Block]:
    """The blocks of commands of a document, or of a part of one, in their order."""
    return [
        Block(
            kind=found["kind"],
            text=found["text"],
            exit_code=int(found["code"] or 0),
            printed=found["printed"],
        )
        for found in _BLOCK.finditer(text)
    ]


def run(folder: Path, block: Block) -> subprocess.CompletedProcess[str]:
    """Runs a block in a folder, with this Python's commands and without the caller's settings."""
    command = ["bash", "-ec", block.text]
    if block.kind == "python":
        command = [sys.executable, "-c", block.text]
    environment = {name: text for name, text in os.environ.items() if not _is_setting(name)}
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
    return subprocess.run(
        command,
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )


def prints(said: str, printed: str) -> bool:
    """Whether what was printed is what a document says."""
    lines = (
        r"(?:.*\n)*?"
        if line == "..."
        else ".*".join(re.escape(part.rstrip()) for part in line.split("...")) + r"[ ]*\n"
        for line in said.splitlines()
    )
    return re.fullmatch("".join(lines), printed) is not None


def _is_setting(name: str) -> bool:
    return name.startswith("LOTTERY_")
