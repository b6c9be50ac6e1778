"""The options assignment lottery: OCC assignment notices to short accounts, by a documented method.

Reading order of the rooms: `errors`, `method` (integers), `day` (tables), `intake` (files and
messages), `ledger` (what is kept), `audit` (reading it back), `operations` (the use cases), then
the doors: `cli`, and beside this package `server`; `client` speaks to it.

The names here are the method itself, for a Python user; a day with its record is
`lottery.operations.run_lottery`.
"""

from lottery.errors import LotteryError, Refused
from lottery.method.distribution import NumberRange, PoolAllocation, allocate_pool
from lottery.method.methodology import JPMS_2024_09_06, METHODOLOGIES, Methodology, ZeroHit
from lottery.method.seed import ExchangeAsk, Seed, derive_seed

__all__ = [
    "JPMS_2024_09_06",
    "METHODOLOGIES",
    "ExchangeAsk",
    "LotteryError",
    "Methodology",
    "NumberRange",
    "PoolAllocation",
    "Refused",
    "Seed",
    "ZeroHit",
    "allocate_pool",
    "derive_seed",
]
