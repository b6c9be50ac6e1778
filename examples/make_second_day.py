"""Make the example date 2024-09-17: ``python -m examples.make_second_day``, at the top.

What goes wrong on a date goes wrong on this one: a break in its first cycle, late notices in the
second, a notice in the third that OCC takes back, and a correction of the first two cycles,
because the positions lacked an account and three contracts of another.

The tests' plain reference computes what stands at the end of the date.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from examples.make_day import csv_text
from tests.reference import allocate_day

if TYPE_CHECKING:
    from tests.reference import Row

DIRECTORY = Path(__file__).parent / "2024-09-17"

AAPL = "AAPL  240920C00220000"
GE = "GE1   240920C00160000"
KO = "KO    240920C00067500"
MSFT = "MSFT  240920C00400000"

ASKS = {
    "Z901803": "911.20478",
    "Z901439": "97.88310",
    "Z901466": "388.01927",
    "Z901448": "1502.66095",
}
SHORTS = {
    AAPL: {"1046": 28, "1047": 16, "1048": 5},
    GE: {"904": 3, "0815": 10, "9038415": 9},
    KO: {"263": 4, "7204": 2},
    MSFT: {"00671": 12, "108": 7, "55307": 30, "2381947": 1},
}
CORRECTED = {**SHORTS, AAPL: {**SHORTS[AAPL], "1993": 6}, GE: {**SHORTS[GE], "904": 6}}
"""The positions with the account and the contracts that were missing."""
CYCLES = (
    (("B000000001", AAPL, 10), ("B000000002", GE, 25), ("B000000003", MSFT, 21)),
    (("B000000004", AAPL, 5),),
    (("B000000005", KO, 3),),
)
"""The notices of each cycle."""


def files_of_the_day() -> dict[str, str]:
    """Make the text of every file of the date, by its path below the date's directory."""
    notices = [[_notice(*one) for one in cycle] for cycle in CYCLES]
    corrected = [*notices[0], *notices[1]]
    day = allocate_day(corrected, _positions(CORRECTED), ASKS)
    volumes: list[Row] = [
        {"security_number": number, "ask_price": ask} for number, ask in ASKS.items()
    ]
    return {
        "volumes.csv": csv_text(volumes),
        "positions.csv": csv_text(_positions(SHORTS)),
        "notices.csv": csv_text(notices[0]),
        "cycle-2/notices.csv": csv_text(notices[1]),
        "cycle-3/notices.csv": csv_text(notices[2]),
        "corrected/positions.csv": csv_text(_positions(CORRECTED)),
        "corrected/notices.csv": csv_text(corrected),
        "expected/pools.csv": csv_text(day.pools),
        "expected/allocations.csv": csv_text(day.allocations),
    }


def main() -> None:
    """Write the files of the date."""
    for name, text in files_of_the_day().items():
        path = DIRECTORY / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8", newline="\n")


def _notice(notice_id: str, series: str, quantity: int) -> Row:
    return {"notice_id": notice_id, "series": series, "quantity": quantity, "occ_account": "C"}


def _positions(shorts: dict[str, dict[str, int]]) -> list[Row]:
    return [
        {"series": series, "account": account, "short_quantity": short, "occ_account": "C"}
        for series, accounts in shorts.items()
        for account, short in accounts.items()
    ]


if __name__ == "__main__":
    main()
