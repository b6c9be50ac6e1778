"""Whether a file arrived whole: the checksum beside it, and how a text file ends (rule H1).

`NAME.sha256` beside a file is what `sha256sum NAME` prints, or the digest alone. A CSV file that is
cut off within its last line may still be read, and give a smaller number: without a checksum, only
a line end shows that the last line is whole. JSON and XML end by their own syntax, and a Parquet
file has a footer.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Final

from lottery.errors import NO_PROBLEMS, Problem, Problems, quote
from lottery.intake.compressed import plain_suffix
from lottery.intake.sources import SourceFile

CHECKSUM: Final = ".sha256"
"""What the name of a checksum's file has after that of the file itself."""

_CHECKSUM_BYTES: Final = 8_192
"""Maximum size of a checksum's file, which has one line."""
_LINE: Final = re.compile(r"([0-9A-Fa-f]{64})(?: [ *]([^\r\n]+))?\r?\n?")
_LINE_ENDS: Final = (b"\n", b"\r")


def check_arrival(
    path: Path, file: SourceFile, ending: bytes, source: str
) -> tuple[SourceFile, Problems]:
    """Compare a file that was read with the checksum beside it, if there is one.

    Args:
        path: The file.
        file: It as it was read.
        ending: The last byte of its text.
        source: What problems name as their source.

    Returns:
        The file, flagged if it is text that may be cut off, and what is wrong.
    """
    beside = path.with_name(path.name + CHECKSUM)
    try:
        with beside.open("rb") as opened:
            content = opened.read(_CHECKSUM_BYTES + 1)
    except FileNotFoundError:
        may_be_cut_off = plain_suffix(file.suffix) == ".csv" and ending not in _LINE_ENDS
        return replace(file, may_be_cut_off=may_be_cut_off), NO_PROBLEMS
    except OSError as error:
        message = f"the checksum cannot be read: {error.strerror or error}"
        return file, Problems.of(Problem(source=source + CHECKSUM, message=message))
    line = _LINE.fullmatch(content.decode("utf-8", "replace"))
    if line is None or len(content) > _CHECKSUM_BYTES:
        message = (
            "expected one line of 64 hexadecimal digits, and perhaps the file's name after them, "
            f"as sha256sum prints it; got {quote(content)}"
        )
        return file, Problems.of(Problem(source=source + CHECKSUM, message=message))
    expected, name = line.groups()
    if name is not None and Path(name).name != path.name:
        message = f"expected the checksum of {quote(path.name)}, got that of {quote(name)}"
        return file, Problems.of(Problem(source=source + CHECKSUM, message=message))
    if expected.lower() != file.sha256:
        message = (
            f"expected SHA-256 {expected.lower()}, as {path.name}{CHECKSUM} has it, got "
            f"{file.sha256}; get the file again from its sender"
        )
        return file, Problems.of(Problem(source=source, message=message))
    return file, NO_PROBLEMS
