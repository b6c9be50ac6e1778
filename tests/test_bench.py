"""The benchmarks' contenders check what the lottery refuses, and nothing else (P1, P4)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bench.made_day import DayFiles, write_day
from bench.ours import run_ours
from bench.outputs import compare, outputs
from bench.plain import InputRefused, run_plain
from bench.sizes import DaySize
from bench.with_duckdb import run_duckdb
from bench.with_pandas import run_pandas
from bench.with_polars import run_polars
from bench.worker import Contender
from lottery.errors import Refused

CONTENDERS: dict[str, Contender] = {
    "ours": run_ours,
    "polars": run_polars,
    "DuckDB": run_duckdb,
    "pandas": run_pandas,
    "Python": run_plain,
}
SIZES = {
    "short accounts": DaySize(positions=4_000, series=40, assigned=20),
    "accounts of 18 digits": DaySize(positions=4_000, series=40, assigned=20, digits=(17, 18)),
}

_Row = dict[str, Any]
_Change = Callable[[_Row, _Row], None]
"""Changes a row by another one of its pool."""

CHANGES: dict[str, tuple[_Change, bool]] = {
    "a series that is none": (lambda row, _: row.update(series="AAPL"), True),
    "an account that is none": (lambda row, _: row.update(account="12A"), False),
    "a negative quantity": (lambda row, _: row.update(short_quantity=-1), False),
    "a repeated account": (lambda row, other: row.update(account=other["account"]), False),
}
"""Each with whether it is refused in a pool without notices too."""


@pytest.fixture(scope="module", params=SIZES)
def files(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> DayFiles:
    """Return the files of a small day."""
    folder = tmp_path_factory.mktemp("day")
    write_day(folder, SIZES[request.param])
    return DayFiles.of(folder)


@pytest.mark.parametrize("name", [name for name in CONTENDERS if name != "ours"])
def test_a_contender_gives_our_tables(name: str, files: DayFiles, tmp_path: Path) -> None:
    for contender in ("ours", name):
        _run(contender, files, files.positions, tmp_path / contender)
    compare(name, outputs(tmp_path / name), outputs(tmp_path / "ours"))


@pytest.mark.parametrize("takes_part", [True, False], ids=["taking part", "taking no part"])
@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("name", CONTENDERS)
def test_a_contender_refuses_what_the_rule_refuses(
    name: str,
    change: str,
    takes_part: bool,  # noqa: FBT001 - a parameter of the test.
    files: DayFiles,
    tmp_path: Path,
) -> None:
    make, is_always_refused = CHANGES[change]
    positions = _changed(files, make, tmp_path / "positions.parquet", takes_part=takes_part)
    if takes_part or is_always_refused:
        with pytest.raises((Refused, InputRefused)):
            _run(name, files, positions, tmp_path / "output")
    else:
        _run(name, files, positions, tmp_path / "output")
        _run(name, files, files.positions, tmp_path / "unchanged")
        compare(name, outputs(tmp_path / "output"), outputs(tmp_path / "unchanged"))


def _run(name: str, files: DayFiles, positions: Path, output: Path) -> None:
    output.mkdir()
    CONTENDERS[name](positions, files.notices, files.volumes, output)


def _changed(files: DayFiles, change: _Change, path: Path, *, takes_part: bool) -> Path:
    """Write the positions with one row changed, in a pool with notices or in one without."""
    rows = pq.read_table(files.positions)
    assigned = set(pq.read_table(files.notices)["series"].to_pylist())
    wanted = [(series in assigned) == takes_part for series in rows["series"].to_pylist()]
    series = rows.filter(pa.array(wanted))["series"][0].as_py()
    values = rows.to_pylist()
    row, other = [value for value in values if value["series"] == series][:2]
    change(row, other)
    pq.write_table(pa.Table.from_pylist(values, rows.schema), path)
    return path
