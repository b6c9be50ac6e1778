"""The options of `python -m bench`."""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from bench import sizes
from bench.sizes import DaySize
from bench.worker import DAY, LIMIT, OURS, PANDAS, PEERS, PLAIN

RUN_LOTTERY: Final = "run-lottery"
STREAM: Final = "stream"
SERIES: Final = "series"
COLD: Final = "cold"
LOG: Final = "log"
REPLICAS: Final = "replicas"
CURVE: Final = "curve"
FIXML: Final = "fixml"
SECTIONS: Final = (*sizes.SIZES, RUN_LOTTERY, STREAM, SERIES, COLD, LOG, REPLICAS, FIXML, CURVE)
_SMALLER: Final = 4
"""What a small day's size is divided by; its row groups' series are still stored plain."""
_SMALL_SECONDS: Final = 40
"""Leaves a minute to the start and the first runs, also where the machine does other work."""
_NOT_QUICK: Final = frozenset({sizes.FRIDAY, sizes.GIANT, sizes.LONG})


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What is measured, and how often.

    Attributes:
        only: The benchmarks that run.
        quick: A look of about a minute: fewer rounds and peers, and no large day.
        contenders: Those of a day that run; ours always do.
        against: Other checkouts, whose library is timed beside this one.
        rounds: Timed runs of each contender.
        seconds: No round of a day starts later than this; None: all of them run.
        peer_rounds: Those of the peers on a large day.
        plain_rounds: Those of plain Python, which takes longest.
        loopback_day: The day of `run-lottery` and of `stream`.
        curve_to: Positions of the largest day of the cost curve.
        shrink: Divides every size, to try the benchmarks themselves.
        inputs: Where the files of days are kept, for the next time.
        directory: Where ledgers and outputs are made; None is the usual folder of temporary files.
        json: Where every measurement goes.
    """

    only: frozenset[str]
    quick: bool
    contenders: frozenset[str]
    against: tuple[Path, ...]
    rounds: int
    seconds: float | None
    peer_rounds: int
    plain_rounds: int
    loopback_day: str
    curve_to: int
    shrink: int
    inputs: Path
    directory: Path | None
    json: Path | None

    @property
    def cold_rounds(self) -> int:
        """Processes of each kind."""
        return self.rounds if self.quick else 2 * self.rounds

    @property
    def fixml_reports(self) -> int:
        """Reports of the FIXML file."""
        return (100_000 if self.quick else 1_000_000) // self.shrink

    def size(self, name: str) -> DaySize:
        """Return how large a day is here."""
        return sizes.SIZES[name].shrunk(self.shrink) if self.shrink > 1 else sizes.SIZES[name]

    def curve_sizes(self) -> list[DaySize]:
        """Return the days of the cost curve."""
        asked = [positions for positions in sizes.CURVE if positions <= self.curve_to]
        return [sizes.curve_size(max(1_000, positions // self.shrink)) for positions in asked]

    def day_rounds(self, size: DaySize) -> dict[str, int]:
        """Return the count of timed runs of each contender of a day."""
        rounds = dict.fromkeys(DAY, self.rounds)
        if size.is_large:
            rounds.update(dict.fromkeys(PEERS, min(self.peer_rounds, self.rounds)))
        rounds[PLAIN] = min(self.plain_rounds, 1 if size.is_large else 3, self.rounds)
        if self.quick:
            rounds.update({PANDAS: 0, PLAIN: 0})
        return {name: rounds[name] for name in DAY if name in self.contenders}

    def as_json(self) -> dict[str, Any]:
        """Return what changes the figures, for a JSON file."""
        return {
            "only": [name for name in SECTIONS if name in self.only],
            "quick": self.quick,
            "contenders": [name for name in DAY if name in self.contenders],
            "against": [str(checkout) for checkout in self.against],
            "rounds": self.rounds,
            "peer_rounds": self.peer_rounds,
            "plain_rounds": self.plain_rounds,
            "loopback_day": self.loopback_day,
            "curve_to": self.curve_to,
            "shrink": self.shrink,
        }


def read_options(arguments: Sequence[str] | None = None) -> Options:
    """Return the options of the command line.

    Args:
        arguments: Its words; those of this process if None.
    """
    parser = argparse.ArgumentParser(prog="python -m bench", description="Benchmarks with peers.")
    parser.add_argument("--quick", action="store_true", help="about a minute")
    parser.add_argument(
        "--small",
        action="store_true",
        help=f"1/{_SMALLER} of friday, ours and the limit, in rounds of {_SMALL_SECONDS} seconds",
    )
    parser.add_argument(
        "--only", nargs="+", choices=SECTIONS, metavar="NAME", help=f"of {', '.join(SECTIONS)}"
    )
    parser.add_argument(
        "--contenders", nargs="+", choices=DAY, metavar="NAME", help=f"of {', '.join(DAY)}"
    )
    parser.add_argument(
        "--against", nargs="+", type=Path, default=[], metavar="CHECKOUT", help="ours of others too"
    )
    parser.add_argument("--rounds", type=_count, help="timed runs of each contender; 9, quick 3")
    parser.add_argument(
        "--peer-rounds", type=_count, default=3, help="those of the peers on large days; 3"
    )
    parser.add_argument(
        "--plain-rounds", type=_count, default=3, help="those of plain Python; 3, on large days 1"
    )
    parser.add_argument(
        "--loopback-day",
        choices=tuple(sizes.SIZES),
        help="the day of run-lottery and stream; friday, quick typical",
    )
    parser.add_argument(
        "--curve-to",
        type=_count,
        metavar="POSITIONS",
        help="the end of the cost curve; 20000000, quick 2000000; 60000000 is the last",
    )
    parser.add_argument("--shrink", type=_count, metavar="N", help="divide every size, for a try")
    parser.add_argument(
        "--inputs",
        type=Path,
        default=Path(tempfile.gettempdir()) / "lottery-bench-inputs",
        help="where the files of days are kept",
    )
    parser.add_argument("--directory", type=Path, help="where ledgers and outputs are made")
    parser.add_argument("--json", type=Path, metavar="FILE", help="every measurement")
    given = parser.parse_args(arguments)
    quick = given.quick
    usual = [name for name in SECTIONS if not quick or name not in _NOT_QUICK]
    contenders: Sequence[str] = DAY
    if given.small:
        usual, contenders = [sizes.FRIDAY], (OURS, LIMIT)
    return Options(
        only=frozenset(given.only or usual),
        quick=quick,
        contenders=frozenset({OURS, *(given.contenders or contenders)}),
        against=tuple(checkout.resolve() for checkout in given.against),
        rounds=given.rounds or (3 if quick else 9),
        seconds=_SMALL_SECONDS if given.small else None,
        peer_rounds=given.peer_rounds,
        plain_rounds=given.plain_rounds,
        loopback_day=given.loopback_day or (sizes.TYPICAL if quick else sizes.FRIDAY),
        curve_to=given.curve_to or (2_000_000 if quick else 20_000_000),
        shrink=given.shrink or (_SMALLER if given.small else 1),
        inputs=given.inputs,
        directory=given.directory,
        json=given.json,
    )


def _count(text: str) -> int:
    """Return a whole number from 1 on."""
    number = int(text.replace("_", "").replace(",", ""))
    if number < 1:
        raise argparse.ArgumentTypeError("a whole number from 1 on is expected")
    return number
