"""Notices as FIXML, against lxml's bare iterparse: `python -m bench.fixml NAME FILE`.

Ours reads the file as `lottery run` does: the digest of its bytes, every report checked, notices
and what else OCC says of them as Arrow tables. The bare one looks at each report's element and
clears it, as lxml's documentation has it, and takes nothing out of it.

Each pass is a process of its own, so that peaks are its own; imports are not timed.
"""

from __future__ import annotations

import datetime as dt
import json
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from bench.worker import peak_bytes

OURS: Final = "ours"
BARE: Final = "bare iterparse"
DATE: Final = dt.date(2024, 9, 16)

_NAMESPACE: Final = "http://www.fixprotocol.org/FIXML-5-0-SP2"
_PROLOG: Final = f"""<?xml version="1.0" encoding="UTF-8"?>
<FIXML xmlns="{_NAMESPACE}">
 <Batch>
  <Hdr SID="OCC" TID="00099" Snt="2024-09-17T02:15:00-05:00"/>
"""
_REPORT: Final = """\
  <AsgnRpt RptID="A%09d" BizDt="2024-09-16" AcctTyp="1" Ccy="USD" SetPx="0" SetPxTyp="1" \
UndSetPx="0" ExpireDt="2024-09-20" AsgnMeth="R" Unit="25" OpenInt="12345" ExrMethod="M" \
SetSesID="EOD" SetSesSub="1">
   <Pty ID="OCC" R="21"/>
   <Pty ID="00099" R="4"/>
   <Pty ID="C" R="38"><Sub ID="ZZZ" Typ="2"/></Pty>
   <Instrmt Sym="S%d" ID="S%d" Src="J" CFI="OCASPS" MMY="20240920" MatDt="2024-09-20" \
StrkPx="%d" StrkCcy="USD" Mult="100"/>
   <Qty Typ="AS" Short="%d"/>
  </AsgnRpt>
"""
_TAIL: Final = " </Batch>\n</FIXML>\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class FixmlPass:
    """One reading of the file; peaks are those of its process, before the pass and after it."""

    contender: str
    seconds: float
    cpu_seconds: float
    peak_before_bytes: int
    peak_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FixmlResult:
    """What was measured."""

    reports: int
    file_bytes: int
    passes: Sequence[FixmlPass]

    def of(self, contender: str) -> list[FixmlPass]:
        """Return the passes of one."""
        return [one for one in self.passes if one.contender == contender]

    def as_json(self) -> dict[str, Any]:
        """Return the values for a JSON file."""
        return asdict(self)


def measure_fixml(
    directory: Path, *, reports: int, rounds: int, report: Callable[[str], None]
) -> FixmlResult:
    """Time both in turns.

    Args:
        directory: A folder for the file.
        reports: How many it has.
        rounds: Passes of each.
        report: Receives what goes on, as text.
    """
    report(f"writing {reports:,} reports")
    path = directory / "notices.xml"
    write_reports(path, reports)
    passes = []
    for number in range(rounds):
        for contender in (OURS, BARE) if number % 2 else (BARE, OURS):
            report(f"{contender}, round {number + 1} of {rounds}")
            command = [sys.executable, "-m", "bench.fixml", contender, str(path)]
            done = subprocess.run(command, capture_output=True, check=True)
            answer = json.loads(done.stdout)
            assert answer.pop("reports") == reports, "every report is read"
            passes.append(FixmlPass(contender=contender, **answer))
    return FixmlResult(reports=reports, file_bytes=path.stat().st_size, passes=passes)


def write_reports(path: Path, count: int) -> None:
    """Write a file of reports, for 1,000 strikes of each of 100 roots."""
    with path.open("w", encoding="utf-8") as file:
        file.write(_PROLOG)
        for number in range(count):
            root = number % 100
            values = (number, root, root, 1 + number // 100 % 1_000, 1 + number % 90)
            file.write(_REPORT % values)
        file.write(_TAIL)


def _ours(path: Path) -> int:
    from lottery.intake import files  # noqa: PLC0415 - as above.

    received = files.read_notices(path, business_date=DATE)
    received.problems.refuse_if_any()
    return int(received.table.num_rows)


def _bare(path: Path) -> int:
    from lxml import etree  # noqa: PLC0415 - as above.

    count = 0
    for _, element in etree.iterparse(str(path), tag=f"{{{_NAMESPACE}}}AsgnRpt"):
        count += 1
        element.clear(keep_tail=False)
        while element.getprevious() is not None:
            del element.getparent()[0]
    return count


def main() -> None:
    """Run one pass of a contender, over a small file first."""
    name, path = sys.argv[1], Path(sys.argv[2])
    read = {OURS: _ours, BARE: _bare}[name]
    small = path.with_suffix(".small.xml")
    write_reports(small, 100)
    read(small)
    small.unlink()
    before = peak_bytes()
    cpu, wall = time.process_time(), time.perf_counter()
    reports = read(path)
    answer = {
        "seconds": time.perf_counter() - wall,
        "cpu_seconds": time.process_time() - cpu,
        "peak_before_bytes": before,
        "peak_bytes": peak_bytes(),
        "reports": reports,
    }
    print(json.dumps(answer))


if __name__ == "__main__":
    main()
