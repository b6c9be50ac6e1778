"""The load test by itself: every part of it runs; what it measures is for people."""

from __future__ import annotations

from pathlib import Path

import pytest
from rich.table import Table

from bench.load import Size, measure

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def test_every_part_of_the_load_test_finds_callers_that_were_answered(tmp_path: Path) -> None:
    table = Table("what", "answered", "OK/s", "p50 ms", "p99 ms", "others")
    tiny = Size(seconds=0.5, minute=0.5, positions=2_000, bad=20, calls=100, handshakes=10)

    measure(tmp_path, tiny, table)

    parts, answered = ([*column.cells] for column in table.columns[:2])
    assert parts[:2] == ["workers: 1", "workers: 2"]
    assert len(parts) == 20
    of_parts = dict(zip(parts, answered, strict=True))
    assert of_parts.pop("  these") == "0", "bad messages and bombs have no answers"
    memory = next(part for part in parts if str(part).startswith("memory"))
    assert of_parts.pop(memory) == "", "memory has none"
    assert all(int(str(count).replace(",", "")) > 0 for count in of_parts.values())
