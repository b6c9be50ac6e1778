"""The pools that lie near a break: of the same underlying, those that differ in the least first.

A break is often another pool's notice: a strike, a date, or call and put mistaken for another, an
adjusted root, or another OCC account. Nothing is decided here; people look.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from lottery.operations import PoolWorking

NEAR_POOLS: Final = 5
"""Maximum number of pools that are shown near a break."""
_DIGITS: Final = "0123456789"
_LETTERS: Final = 3
"""How many letters a root must have for one with another letter after it to be kin."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NearPool:
    """A pool near a break.

    Attributes:
        series: Its series.
        occ_account: Its OCC account.
        differs: In what it differs from the break, in words.
    """

    series: str
    occ_account: str
    differs: tuple[str, ...]


def near_pools(broken: PoolWorking, pools: pa.Table) -> list[NearPool]:
    """Return the pools that lie nearest to a break, the nearest first.

    Args:
        broken: The break.
        pools: The pools of its run: `tables.POOLS`.
    """
    letters = letters_of(broken.series)
    beginning = pc.starts_with(pools.column("series"), letters[:_LETTERS])
    found = [
        NearPool(**row, differs=_differences(row["series"], row["occ_account"], broken))
        for row in pools.filter(beginning).select(["series", "occ_account"]).to_pylist()
        if _are_kin(letters_of(row["series"]), letters)
    ]
    found.sort(key=lambda near: (len(near.differs), *_distance(near.series, broken.series)))
    return [near for near in found if near.differs][:NEAR_POOLS]


def letters_of(series: str) -> str:
    """Return a root without the digits of an adjustment, as GE for GE1."""
    root = series[:6].rstrip()
    return root.rstrip(_DIGITS) or root


def _are_kin(letters: str, others: str) -> bool:
    """Return whether two roots seem to be of one underlying, as SPX and SPXW."""
    shorter, longer = sorted((letters, others), key=len)
    if shorter == longer:
        return True
    return len(shorter) >= _LETTERS and longer[:-1] == shorter


def _differences(series: str, occ_account: str, broken: PoolWorking) -> tuple[str, ...]:
    parts = (
        ("the OCC account", occ_account, broken.occ_account),
        ("the root", series[:6], broken.series[:6]),
        ("the expiration", series[6:12], broken.series[6:12]),
        ("call or put", series[12], broken.series[12]),
        ("the strike", series[13:], broken.series[13:]),
    )
    return tuple(name for name, there, here in parts if there != here)


def _distance(series: str, other: str) -> tuple[int, int, str]:
    """Return how far two series are apart: in strike, then in expiration."""
    return (
        abs(int(series[13:]) - int(other[13:])),
        abs(int(series[6:12]) - int(other[6:12])),
        series,
    )
