"""Run the commands of documents as they are printed, and compare their output.

A block of `sh` may be followed by a line `Exit code N:`, for any code but 0, and by a block of
`text`, which is its output: `...` within a line leaves the rest of it open, and a line `...` any
number of lines.
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
    """A block of commands in a document.

    Attributes:
        kind: `sh` or `python`.
        text: The commands.
        exit_code: What the document says that the last one exits with.
        printed: What it says that they print, on both streams; None if it says nothing.
    """

    kind: str
    text: str
    exit_code: int = 0
    printed: str | None = None


def read(name: str) -> str:
    """Read a document."""
    return (DOCUMENTS / name).read_text("utf-8")


def blocks_of(text: str) -> list[Block]:
    """Return the blocks of commands in a document, or in a part of one, in their order."""
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
    """Run a block in a folder, with this Python's commands and without the caller's settings."""
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
    """Return whether what was printed is what a document says."""
    lines = (
        r"(?:.*\n)*?"
        if line == "..."
        else ".*".join(re.escape(part.rstrip()) for part in line.split("...")) + r"[ ]*\n"
        for line in said.splitlines()
    )
    return re.fullmatch("".join(lines), printed) is not None


def _is_setting(name: str) -> bool:
    return name.startswith("LOTTERY_")
