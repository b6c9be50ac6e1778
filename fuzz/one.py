"""One parser under atheris: `python -m fuzz.one PARSER [libFuzzer's options and folders]`.

With the file of a finding in place of options it is run once, to see what comes out. The Python of
`lottery.intake` is followed branch by branch; the compiled loops, Arrow and libxml2 are not, yet a
crash of theirs is a finding all the same.
"""

from __future__ import annotations

import random
import sys
import tempfile
from pathlib import Path
from typing import Final

import atheris

from fuzz.samples import UNKNOWN, samples_of

ROOT: Final = Path(__file__).parents[1]

_MARK: Final = b"PAR1"
_END: Final = 8
"""Bytes of a Parquet file's end: the length of its metadata, and the mark."""


def main() -> None:
    """Fuzzes a parser until libFuzzer's options end it.

    Raises:
        AssertionError: A sound sample is refused.
    """
    parser, *options = sys.argv[1:]
    with atheris.instrument_imports(include=["lottery"], exclude=_left_alone()):
        from fuzz import laws  # noqa: PLC0415 - what it imports is to be instrumented.
    if not laws.is_known(parser):
        print(UNKNOWN)
        return
    with tempfile.TemporaryDirectory(dir=_memory()) as directory:
        check = laws.law_of(parser, Path(directory))
        for sample in samples_of(parser):
            if not check(sample):
                raise AssertionError(f"a sound sample is refused: {sample!r}")

        def take(content: bytes) -> None:
            check(content)

        mutating = {"custom_mutator": change_parquet} if parser == "parquet" else {}
        atheris.Setup([sys.argv[0], *options], take, **mutating)
        atheris.Fuzz()


def change_parquet(content: bytes, most: int, seed: int) -> bytes:
    """Changes a Parquet file, or a sound one, in its metadata or its pages, and keeps its frame.

    Args:
        content: A file, sound or not.
        most: Bytes of the new one at most.
        seed: What chooses.
    """
    choose = random.Random(seed).choice  # noqa: S311 - a fuzzer's.
    if choose((True, False, False, False)):
        content = choose(samples_of("parquet"))
    start = len(content) - _END
    length = int.from_bytes(content[start : start + 4], "little") if start > len(_MARK) else 0
    place = choose(("anywhere", "metadata", "pages"))
    if place == "anywhere" or content[-4:] != _MARK or not 0 < length <= start - len(_MARK):
        changed: bytes = atheris.Mutate(content, most)
        return changed
    pages, metadata = content[: start - length], content[start - length : start]
    if place == "metadata":
        metadata = atheris.Mutate(metadata, max(1, most - len(pages) - _END))
    else:
        # The metadata knows where each page starts, so that the length stays.
        changed = atheris.Mutate(pages, len(pages))
        pages = changed.ljust(len(pages), b"\0")
    return pages + metadata + len(metadata).to_bytes(4, "little") + _MARK


def _left_alone() -> list[str]:
    """The modules not to follow: all but the intake's, and what numba compiles from bytecode."""
    left = []
    for path in (ROOT / "lottery").rglob("*.py"):
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        is_compiled = "machine_code import" in path.read_text(encoding="utf-8")
        if not name.startswith("lottery.intake") or is_compiled:
            left.append(name)
    return left


def _memory() -> Path | None:
    """A folder in memory for the file that is written anew each time, where there is one."""
    memory = Path("/dev/shm")  # noqa: S108 - only where to make a private folder.
    return memory if memory.is_dir() else None


if __name__ == "__main__":
    main()
