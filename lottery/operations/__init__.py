"""The use cases, one function each: what both doors, the command line and the server, call.

Each takes what the intake made, runs the day, asks the ledger or the audit, and returns values; it
prints nothing and knows no status codes. Reading order: `run` (the main job) with `gross`, `ask`
and `odds` (what records nothing), `look` (what is recorded), `prove` (what proves it), `report`
(the audit page), `checks` (what is refused on the way).
"""

from lottery.day.jit import report_compiling, warm_up
from lottery.ledger.draft import RecordedRun, RunDraft
from lottery.operations.allocate_series import (
    DerivedSeed,
    SeriesAllocation,
    SeriesRequest,
    allocate_series,
    read_seed,
    seed_of,
)
from lottery.operations.odds import (
    NamedOdds,
    OddsRequest,
    SeriesOdds,
    decimal_text,
    read_pool,
    series_odds,
)
from lottery.operations.proofs import (
    Inclusion,
    PublicKeys,
    checkpoint,
    consistency,
    cosign,
    export_run,
    exported_parts,
    inclusion,
    public_keys,
    trail,
    verify_ledger,
)
from lottery.operations.report import Page, report, report_bundle
from lottery.operations.requester import Requester
from lottery.operations.run import (
    Progress,
    RunRequest,
    compute_day,
    run_lottery,
)
from lottery.operations.runs import (
    allocations,
    explain,
    pools,
    replay_bundle,
    replay_dates,
    replay_run,
    seeds,
)

__all__ = [
    "DerivedSeed",
    "Inclusion",
    "NamedOdds",
    "OddsRequest",
    "Page",
    "Progress",
    "PublicKeys",
    "RecordedRun",
    "Requester",
    "RunDraft",
    "RunRequest",
    "SeriesAllocation",
    "SeriesOdds",
    "SeriesRequest",
    "allocate_series",
    "allocations",
    "checkpoint",
    "compute_day",
    "consistency",
    "cosign",
    "decimal_text",
    "explain",
    "export_run",
    "exported_parts",
    "inclusion",
    "pools",
    "public_keys",
    "read_pool",
    "read_seed",
    "replay_bundle",
    "replay_dates",
    "replay_run",
    "report",
    "report_bundle",
    "report_compiling",
    "run_lottery",
    "seed_of",
    "seeds",
    "series_odds",
    "trail",
    "verify_ledger",
    "warm_up",
]
