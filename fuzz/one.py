"""One parser under atheris: `python -m fuzz.one PARSER [libFuzzer's options and folders]`.

With the file of a finding in place of options it is run once, to see what comes out. The Python of
`lottery.intake` is followed branch by branch; the compiled loops, Arrow and libxml2 are not, yet a
crash of theirs is a finding all the same.
"""

from __future__ import annotations

import importlib
import pkgutil
import sys
import tempfile
from pathlib import Path
from typing import Final

import atheris

from fuzz.changes import change_fixml, change_parquet
from fuzz.samples import UNKNOWN, samples_of

ROOT: Final = Path(__file__).parents[1]

CHANGES: Final = {"parquet": change_parquet, "fixml": change_fixml}


def main() -> None:
    """Fuzzes a parser until libFuzzer's options end it.

    Raises:
        AssertionError: A sound sample is refused.
    """
    parser, *options = sys.argv[1:]
    with atheris.instrument_imports(include=["lottery"], exclude=_left_alone()):
        from fuzz import laws  # noqa: PLC0415 - what it imports is to be instrumented.
        from lottery import intake  # noqa: PLC0415 - as above.

        # Also what is loaded only where it is used.
        for module in pkgutil.walk_packages(intake.__path__, "lottery.intake."):
            importlib.import_module(module.name)
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

        mutating = {"custom_mutator": CHANGES[parser]} if parser in CHANGES else {}
        atheris.Setup([sys.argv[0], *options], take, **mutating)
        atheris.Fuzz()


def _left_alone() -> list[str]:
    """Return the modules not to follow: all but the intake's, and what numba compiles."""
    left = []
    for path in (ROOT / "lottery").rglob("*.py"):
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        is_compiled = "jit import" in path.read_text(encoding="utf-8")
        if not name.startswith("lottery.intake") or is_compiled:
            left.append(name)
    return left


def _memory() -> Path | None:
    """Return a folder in memory, if there is one, for the file that is written each time."""
    memory = Path("/dev/shm")  # noqa: S108 - only where to make a private folder.
    return memory if memory.is_dir() else None


if __name__ == "__main__":
    main()
