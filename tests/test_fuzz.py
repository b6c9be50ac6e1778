"""The fuzzing itself: its sound samples are sound, and it tells what came of it."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest

from fuzz import laws
from fuzz.samples import SUFFIXES, samples_of, words_of

ROOT = Path(__file__).parents[1]
needs_atheris = pytest.mark.skipif(
    importlib.util.find_spec("atheris") is None,
    reason="there is no atheris for this Python: use one before 3.14 on Linux",
)


def fuzzing(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "fuzz", *arguments],
        cwd=ROOT,
        capture_output=True,
        check=False,
        text=True,
    )


@pytest.mark.parametrize("parser", SUFFIXES)
def test_every_sample_is_taken_and_cut_in_half_it_is_not(parser: str, tmp_path: Path) -> None:
    if not laws.is_known(parser):
        pytest.skip(f"{parser} is not read")
    is_taken = laws.law_of(parser, tmp_path)

    for sample in samples_of(parser):
        assert is_taken(sample)
        assert not is_taken(sample[: len(sample) // 2].removesuffix(b"\n") + b"\0")


@pytest.mark.parametrize("parser", SUFFIXES)
def test_samples_are_small_and_differ(parser: str) -> None:
    samples = samples_of(parser)

    assert len(set(samples)) == len(samples) > 1
    assert max(map(len, samples)) < 4_096
    assert len(set(words_of(parser))) == len(words_of(parser))


@needs_atheris
def test_a_changed_parquet_keeps_its_frame_or_is_changed_anywhere() -> None:
    script = (
        "import atheris, sys\n"
        "from fuzz.changes import change_parquet\n"
        "from fuzz.samples import samples_of\n"
        "sample = samples_of('parquet')[0]\n"
        "def take(content): pass\n"
        "def change(content, most, seed):\n"
        "    changed = [change_parquet(sample, 4096, each) for each in range(300)]\n"
        "    framed = [each for each in changed if each[:4] == each[-4:] == b'PAR1'\n"
        "        and int.from_bytes(each[-8:-4], 'little') <= len(each) - 12]\n"
        "    print(len(set(changed)), len(framed), max(map(len, changed)))\n"
        "    sys.stdout.flush()\n"
        "    return content\n"
        "atheris.Setup([sys.argv[0], '-runs=20', '-seed=1'], take, custom_mutator=change)\n"
        "atheris.Fuzz()\n"
    )

    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, check=False, text=True
    )

    told = re.search(r"^(\d+) (\d+) (\d+)$", done.stdout, re.MULTILINE)
    assert told is not None, done.stderr
    different, framed, longest = map(int, told.groups())
    assert different > 250
    assert framed > 150
    assert longest <= 4_096


@needs_atheris
def test_a_parser_is_fuzzed_for_the_time_given_and_one_line_tells_of_it(
    tmp_path: Path,
) -> None:
    done = fuzzing("csv", "--seconds", "2", "--folder", str(tmp_path))

    assert done.returncode == 0, done.stdout
    told = re.fullmatch(
        r"fuzz: csv: ([\d,]+) inputs in \d+ s, nothing but tables and refusals\n", done.stdout
    )
    assert told is not None
    assert int(told[1].replace(",", "")) > 0
    assert sorted(path.name for path in (tmp_path / "csv").iterdir()) == ["corpus", "log", "words"]


def test_a_parser_that_there_is_not_is_wrong_usage() -> None:
    done = fuzzing("yaml")

    assert done.returncode == 2
    assert "no such parser: yaml" in done.stderr


def test_the_samples_beside_a_fuzzed_file_are_those_that_it_is_fuzzed_with() -> None:
    parquet = [pa.parquet.read_table(pa.BufferReader(each)) for each in samples_of("parquet")]

    assert {tuple(table.column_names) for table in parquet} == {
        ("series", "account", "short_quantity", "occ_account"),
        ("notice_id", "series", "quantity", "occ_account"),
    }
