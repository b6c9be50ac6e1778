"""The options assignment lottery: OCC assignment notices to short accounts, by a documented method.

Reading order of the rooms: `errors`, `method` (integers), `day` (tables), `intake` (files and
messages), `ledger` (what is kept), `audit` (reading it back), `operations` (the use cases), then
the doors: `cli`, and beside this package `server`; `client` speaks to it.

The names here are the method itself, and `allocate`, a day of frames or rows without a record; a
day with its record is `lottery.operations.run_lottery`, or `lottery.client.LotteryClient`.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from lottery.errors import LotteryError, Refused
from lottery.method.distribution import NumberRange, PoolAllocation, allocate_pool
from lottery.method.methodology import JPMS_2024_09_06, METHODOLOGIES, Methodology, ZeroHit
from lottery.method.seed import ExchangeAsk, Seed, derive_seed

if TYPE_CHECKING:
    from lottery.operations.allocation import AllocatedDay as AllocatedDay
    from lottery.operations.allocation import allocate as allocate

__all__ = [
    "JPMS_2024_09_06",
    "METHODOLOGIES",
    "AllocatedDay",
    "ExchangeAsk",
    "LotteryError",
    "Methodology",
    "NumberRange",
    "PoolAllocation",
    "Refused",
    "Seed",
    "ZeroHit",
    "allocate",
    "allocate_pool",
    "derive_seed",
]

_OF_A_DAY = ("AllocatedDay", "allocate")

if not TYPE_CHECKING:  # Type checkers know these from the imports above.

    def __getattr__(name: str) -> object:
        """Import what allocates a day, and Arrow with it, when it is first used."""
        if name not in _OF_A_DAY:
            raise AttributeError(f"module {__name__} has no attribute {name}")
        return getattr(import_module("lottery.operations.allocation"), name)
