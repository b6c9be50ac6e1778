"""Make the example day 2024-09-16: ``python -m examples.make_day``, from the top of the checkout.

The day is invented and realistic. Every run writes the same bytes, from the tables below and a
seeded generator. The tests' plain reference computes the expected result, so that the example
checks the library too. ``ASSIGNED`` says what each assigned pool demonstrates.

The asks add up to 2,824.31310, the published example's composite, so that the day contains the
published pool: first hit 28, and 3, 7 and 0 contracts.
"""

from __future__ import annotations

import csv
import io
import random
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

from examples import fixml
from tests.reference import allocate_day

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from tests.reference import Row

DIRECTORY = Path(__file__).parent / "2024-09-16"

VOLUMES: list[Row] = [
    {
        "security_number": "Z901803",
        "cusip": "649990058",
        "description": "NYSE Volume",
        "ask_price": "862.45713",
    },
    {
        "security_number": "Z901439",
        "cusip": "649990074",
        "description": "MIDWEST Volume",
        "ask_price": "118.20946",
    },
    {
        "security_number": "Z901466",
        "cusip": "649990108",
        "description": "CINCINNATI Volume",
        "ask_price": "407.93388",
    },
    {
        "security_number": "Z901448",
        "cusip": "649990124",
        "description": "NASD Volume",
        "ask_price": "1435.71263",
    },
]

# Of very different lengths, so that their text order is not their numerical order.
# No number is there in two spellings.
CUSTOMERS = (
    *("108", "263", "577", "904", "0042", "0815", "1046", "1047", "1048", "1993", "3310", "7204"),
    *("00671", "12874", "20559", "48213", "77032", "90418", "003350", "104611", "220987", "351406"),
    *("508832", "640275", "819054", "0009921", "1046220", "2381947", "5520183", "7714056"),
    *("9038415", "10582274", "23661908", "40417735", "58820146", "76109382", "91457703"),
    *("104700318", "286613507", "330915842", "517208866", "700461923", "948337215"),
    *("1048226079", "2275910346", "4410683925", "6083351177", "9917205648"),
)
FIRM = ("550", "0551", "5520", "55307", "554016", "5550012")
MARKET_MAKER = ("811", "8120", "081377")

ACCOUNTS = {"C": CUSTOMERS, "F": FIRM, "M/ABC": MARKET_MAKER}
POOL_SIZES = {"C": (22, 34), "F": (4, 6), "M/ABC": (2, 3)}

# Most accounts are short a few contracts, some are short many.
SHORT_QUANTITIES = (1, 1, 2, 2, 3, 4, 5, 5, 8, 10, 10, 12, 15, 20, 25, 30, 40, 50, 75, 120)
ZERO_SHARE = 0.04

# Root, expiry, right, strike, and the OCC accounts that are short the series.
LISTED = (
    ("AAPL", "240920", "C", "212.50", ("C",)),
    ("AAPL", "240920", "P", "225", ("C",)),
    ("AAPL", "240927", "C", "225", ("C",)),
    ("AMZN", "240920", "C", "170", ("C", "F")),
    ("AMZN", "240920", "P", "187.50", ("C",)),
    ("BAC", "240920", "P", "39", ("C",)),
    ("DIS", "240920", "C", "90", ("C",)),
    ("GOOGL", "240920", "P", "160", ("C",)),
    ("INTC", "240920", "P", "21.50", ("C",)),
    ("JPM", "240920", "C", "205", ("C",)),
    ("JPM", "240920", "P", "210", ("C", "F")),
    ("KO", "240920", "C", "67.50", ("C",)),
    ("META", "240920", "C", "535", ("C",)),
    ("MSFT", "240920", "C", "400", ("C",)),
    ("MSFT", "240920", "P", "430", ("C", "M/ABC")),
    ("NVDA", "240920", "C", "110", ("C",)),
    ("NVDA", "240920", "C", "117", ("C",)),
    ("NVDA", "240920", "P", "130", ("C", "F", "M/ABC")),
    ("PFE", "240920", "C", "28.50", ("C",)),
    ("SPXW", "240916", "C", "5600", ("C", "F")),
    ("SPXW", "240916", "P", "5500", ("C",)),
    ("SPXW", "240918", "P", "5550", ("C",)),
    ("SPXW", "240920", "P", "5475", ("C", "M/ABC")),
    ("SPXW", "240923", "C", "5700", ("C",)),
    ("SPXW", "240927", "C", "5750", ("C",)),
    ("T", "240920", "C", "20", ("C",)),
    ("TSLA", "240920", "C", "230", ("C", "M/ABC")),
    ("TSLA", "240920", "P", "250", ("C", "F")),
    ("VIX", "240918", "C", "18", ("C",)),
    ("VIX", "240918", "P", "17.50", ("C",)),
    ("WFC", "240920", "C", "47.50", ("C",)),
    ("XOM", "240920", "P", "115", ("C",)),
    ("XSP", "240916", "P", "565", ("C",)),
    ("XSP", "240920", "C", "570", ("C",)),
)

# Pools of the customers that are what they are for the sake of what they show.
CHOSEN = (
    ("AAPL", "240920", "C", "220", (("1046", 30), ("1047", 30), ("1048", 5))),
    ("BRKB", "240920", "P", "465", (("77032", 1),)),
    ("GE1", "240920", "C", "160", (("904", 3), ("0815", 10), ("351406", 0), ("9038415", 9))),
    ("GOOGL1", "240920", "C", "155", (("263", 1), ("104611", 1))),
    ("META", "240920", "P", "560", (("0042", 12), ("1993", 20), ("48213", 5), ("2381947", 3))),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Assigned:
    """A assigned pool: one notice a quantity, and one of all that they leave where ``rest``."""

    occ_account: str
    series: str
    quantities: tuple[int, ...] = ()
    rest: bool = False
    first_is_compact: bool = False


MISSING = {("C", "GE1   240920C00160000"): 3}
"""Contracts that OCC has short and the firm's positions lack: they make the day's one break."""

ASSIGNED = (
    # The published example, whole.
    Assigned(occ_account="C", series="AAPL  240920C00220000", quantities=(10,)),
    # Three notices that add up, and run past the last number through many accounts from number 1.
    Assigned(occ_account="C", series="TSLA  240920P00250000", quantities=(90, 60, 45)),
    # Past the last number too, and the account that was hit first is hit again (D4).
    Assigned(occ_account="C", series="META  240920P00560000", quantities=(38,)),
    # 0.4314 x 2 is below one: a zero hit (D2).
    Assigned(occ_account="C", series="GOOGL1240920C00155000", quantities=(1,)),
    # A pool of one contract, which is a zero hit too and can only go to one account.
    Assigned(occ_account="C", series="BRKB  240920P00465000", quantities=(1,)),
    # The day's one break: 25 assigned, 22 short (D5).
    Assigned(occ_account="C", series="GE1   240920C00160000", quantities=(18, 7)),
    # Expired in the money that day: every contract is assigned, to customers and to the firm.
    Assigned(occ_account="C", series="SPXW  240916C05600000", quantities=(100,), rest=True),
    Assigned(occ_account="F", series="SPXW  240916C05600000", rest=True),
    # The same, and one of its notices names the series in the compact form.
    Assigned(
        occ_account="C",
        series="XSP   240916P00565000",
        quantities=(40,),
        rest=True,
        first_is_compact=True,
    ),
    # One series in three pools, which never mix (P3).
    Assigned(occ_account="C", series="NVDA  240920P00130000", quantities=(45, 20)),
    Assigned(occ_account="F", series="NVDA  240920P00130000", quantities=(8,)),
    Assigned(occ_account="M/ABC", series="NVDA  240920P00130000", quantities=(2,)),
    # Assigned for the firm alone, though customers are short the series too.
    Assigned(occ_account="F", series="AMZN  240920C00170000", quantities=(6,)),
    # Two notices that add up, in a large pool.
    Assigned(occ_account="C", series="MSFT  240920C00400000", quantities=(25, 12)),
    # One contract of a large pool: one account has it, all others have none.
    Assigned(occ_account="C", series="WFC   240920C00047500", quantities=(1,)),
    # A strike with a fraction, and a root of one character.
    Assigned(occ_account="C", series="KO    240920C00067500", quantities=(14,)),
    Assigned(occ_account="C", series="T     240920C00020000", quantities=(33,)),
)


def files_of_the_day() -> dict[str, str]:
    """Make the text of every file of the day, by its path below the day's directory."""
    # A generator that anyone can repeat is what an example needs; no lottery is drawn with it.
    generator = random.Random(20_240_916)
    positions = _positions(generator)
    notices = _notices(positions, generator)
    asks = {str(row["security_number"]): str(row["ask_price"]) for row in VOLUMES}
    day = allocate_day(notices, positions, asks)
    return {
        "positions.csv": csv_text(positions),
        "notices.csv": csv_text(notices),
        "notices.xml": fixml.notices_text(notices, DIRECTORY.name),
        "occ_positions.xml": fixml.positions_text(positions, DIRECTORY.name, MISSING),
        "volumes.csv": csv_text(VOLUMES),
        "expected/pools.csv": csv_text(day.pools),
        "expected/allocations.csv": csv_text(day.allocations),
    }


def main() -> None:
    """Write the files of the day."""
    for name, text in files_of_the_day().items():
        path = DIRECTORY / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8", newline="\n")


def _positions(generator: random.Random) -> list[Row]:
    """Draw who is short what, and shuffle the rows."""
    rows: list[Row] = []
    for root, expiry, right, strike, holdings in CHOSEN:
        rows.extend(_pool_rows(_series(root, expiry, right, strike), "C", holdings))
    for root, expiry, right, strike, occ_accounts in LISTED:
        for occ_account in occ_accounts:
            size = generator.randint(*POOL_SIZES[occ_account])
            drawn = [
                (account, _short_quantity(generator))
                for account in generator.sample(ACCOUNTS[occ_account], size)
            ]
            rows.extend(_pool_rows(_series(root, expiry, right, strike), occ_account, drawn))
    generator.shuffle(rows)
    return rows


def _notices(positions: Iterable[Row], generator: random.Random) -> list[Row]:
    """Write the notices of ``ASSIGNED`` in a shuffled order, and number them in another."""
    short: dict[tuple[str, str], int] = {}
    for position in positions:
        pool = (str(position["occ_account"]), str(position["series"]))
        short[pool] = short.get(pool, 0) + int(str(position["short_quantity"]))

    unnumbered: list[tuple[str, int, str]] = []
    for assigned in ASSIGNED:
        quantities = list(assigned.quantities)
        if assigned.rest:
            quantities.append(short[assigned.occ_account, assigned.series] - sum(quantities))
        for index, quantity in enumerate(quantities):
            compact = assigned.first_is_compact and index == 0
            series = assigned.series.replace(" ", "") if compact else assigned.series
            unnumbered.append((series, quantity, assigned.occ_account))
    generator.shuffle(unnumbered)
    rows: list[Row] = [
        {
            "notice_id": f"A{number:09d}",
            "series": series,
            "quantity": quantity,
            "occ_account": occ_account,
        }
        for number, (series, quantity, occ_account) in enumerate(unnumbered, start=1)
    ]
    generator.shuffle(rows)
    return rows


def _pool_rows(series: str, occ_account: str, holdings: Iterable[tuple[str, int]]) -> list[Row]:
    """Write one pool's positions as rows."""
    return [
        {
            "series": series,
            "account": account,
            "short_quantity": short_quantity,
            "occ_account": occ_account,
        }
        for account, short_quantity in holdings
    ]


def _short_quantity(generator: random.Random) -> int:
    """Draw a position's short contracts, now and then none (P2)."""
    if generator.random() < ZERO_SHARE:
        return 0
    return generator.choice(SHORT_QUANTITIES)


def _series(root: str, expiry: str, right: str, strike: str) -> str:
    """Write an OSI symbol, blank-padded to 21 characters."""
    return f"{root:<6}{expiry}{right}{int(Decimal(strike) * 1000):08d}"


def csv_text(rows: Sequence[Mapping[str, str | int | None]]) -> str:
    """Write rows as CSV; a None is an empty text."""
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return buffer.getvalue()


if __name__ == "__main__":
    main()
