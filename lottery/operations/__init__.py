"""The use cases, one function each: what both doors, the command line and the server, call.

Each takes what the intake made, runs the day, asks the ledger or the audit, and returns values; it
prints nothing and knows no status codes. Reading order: `run` (the main job), `ask` (what records
nothing), `look` (what is recorded), `checks` (what is refused on the way).
"""

from lottery.operations.ask import (
    SeriesAllocation,
    SeriesRequest,
    allocate_series,
    read_seed,
    seed_of,
    warm_up,
)
from lottery.operations.look import allocations, explain, is_run_id, pools, replay_dates, replay_run
from lottery.operations.run import (
    ComputedDay,
    Progress,
    RunOutcome,
    RunRequest,
    compute_day,
    run_lottery,
    system_identity,
)

__all__ = [
    "ComputedDay",
    "Progress",
    "RunOutcome",
    "RunRequest",
    "SeriesAllocation",
    "SeriesRequest",
    "allocate_series",
    "allocations",
    "compute_day",
    "explain",
    "is_run_id",
    "pools",
    "read_seed",
    "replay_dates",
    "replay_run",
    "run_lottery",
    "seed_of",
    "system_identity",
    "warm_up",
]
