"""`make fuzz`: every parser for a bounded time, two at a time; one line each, and what was found.

Exits with 1 where anything but a table or a refusal came out, and names the file that did it.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from fuzz.samples import SUFFIXES, UNKNOWN, samples_of, words_of

ROOT: Final = Path(__file__).parents[1]
BUILD: Final = ROOT / "build" / "fuzz"
AT_A_TIME: Final = 2
LONGEST_INPUT: Final = {"csv": 1_024, "parquet": 4_096, "fixml": 4_096}
LAST_LINES: Final = 15


def main() -> int:
    """Fuzzes the parsers named, or all of them.

    Returns:
        The exit code.
    """
    options = argparse.ArgumentParser(prog="python -m fuzz", description=__doc__)
    options.add_argument("parsers", nargs="*", metavar="PARSER", help=", ".join(SUFFIXES))
    options.add_argument("--seconds", type=int, default=60, help="for each; 60 by default")
    options.add_argument(
        "--seed", type=int, default=1, help="the same changes every time; 0 for others each time"
    )
    options.add_argument(
        "--folder", type=Path, default=BUILD, help="for what is found; build/fuzz by default"
    )
    given = options.parse_args()
    unknown = set(given.parsers) - set(SUFFIXES)
    if unknown:
        options.error(f"no such parser: {', '.join(sorted(unknown))}")
    if importlib.util.find_spec("atheris") is None:
        print("fuzz: skipped, there is no atheris for this Python")
        return 0
    with ThreadPoolExecutor(AT_A_TIME) as beside:
        lasting = [
            beside.submit(_fuzz, parser, given.folder / parser, given.seconds, given.seed)
            for parser in given.parsers or SUFFIXES
        ]
        sound = [each.result() for each in lasting]
    return 0 if all(sound) else 1


def _fuzz(parser: str, folder: Path, seconds: int, seed: int) -> bool:
    """Fuzzes one parser and prints what came of it; whether nothing was found."""
    corpus = folder / "corpus"
    corpus.mkdir(parents=True, exist_ok=True)
    for number, sample in enumerate(samples_of(parser), start=1):
        (corpus / f"sample-{number}").write_bytes(sample)
    words = folder / "words"
    words.write_text("".join(f'"{_escaped(word)}"\n' for word in words_of(parser)))
    log = folder / "log"
    with log.open("wb") as lines:
        done = subprocess.run(
            [
                *(sys.executable, "-m", "fuzz.one", parser, str(corpus)),
                f"-max_total_time={seconds}",
                f"-max_len={LONGEST_INPUT[parser]}",
                f"-dict={words}",
                f"-artifact_prefix={folder}/found-",
                f"-seed={seed}",
                *("-timeout=60", "-rss_limit_mb=3072", "-print_final_stats=1"),
            ],
            stdout=lines,
            stderr=subprocess.STDOUT,
            cwd=ROOT,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
            check=False,
        )
    output = log.read_text(encoding="utf-8", errors="replace")
    ended = re.search(r"^Done (\d+) runs in (\d+) second", output, re.MULTILINE)
    if done.returncode == 0 and ended is not None:
        print(
            f"fuzz: {parser}: {int(ended[1]):,} inputs in {ended[2]} s, "
            "nothing but tables and refusals",
            flush=True,
        )
        return True
    if done.returncode == 0 and UNKNOWN in output:
        print(f"fuzz: {parser}: skipped, {UNKNOWN}", flush=True)
        return True
    found = re.search(r"Test unit written to (\S+)", output)
    last = "\n".join(f"    {line}" for line in output.splitlines()[-LAST_LINES:])
    named = f"FOUND {found[1]}" if found else f"failed with exit code {done.returncode}"
    again = f"; again with: python -m fuzz.one {parser} {found[1]}" if found else ""
    print(f"fuzz: {parser}: {named}{again}; the whole of it is in {log}\n{last}", flush=True)
    return False


def _escaped(word: bytes) -> str:
    """Write a word as libFuzzer's dictionaries have it: every byte by its number."""
    return "".join(f"\\x{byte:02X}" for byte in word)


if __name__ == "__main__":
    sys.exit(main())
