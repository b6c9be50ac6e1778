"""The use cases, one function each: what both doors, the command line and the server, call.

Each takes what the intake read, runs the day, asks the ledger or the audit, and returns values; it
prints nothing and knows no status codes. Each module also re-exports the values of the deeper rooms
that it takes or returns, so that a door imports nothing but `lottery.operations`.

- `run`, with `inputs`, `totals` and `validation`: the main job, and what it refuses.
- `check`, `seed`, `allocate_series`, `odds`, with `pool` and `read_pool`: what records nothing.
- `withdraw`: taking a run back whose notices OCC has taken back.
- `runs`, `explain`, `replay`, `report`: what is recorded.
- `days`, `differences`, `histories`: what stands for a date, what changed, and what happened over
  the dates.
- `proofs`, `exports`, `verification`: what proves the record to others.
- `ledgers`, `care`, `moving`: making a ledger, taking care of it, and bringing it elsewhere.
"""

from lottery.day.jit import report_compiling, warm_up
from lottery.intake.calendar import read_calendar
from lottery.ledger.draft import RecordedRun, RunDraft
from lottery.operations.allocate_series import SeriesAllocation, SeriesRequest, allocate_series
from lottery.operations.care import (
    LedgerStatus,
    Swept,
    amend_charter,
    bring_up,
    charters,
    rotate_key,
    status_of,
    sweep_ledger,
)
from lottery.operations.days import StandingDay, standing_day
from lottery.operations.differences import Difference, difference_of_runs, difference_since
from lottery.operations.explain import explain
from lottery.operations.exports import export_run, exported_parts
from lottery.operations.histories import HistoryRow, history
from lottery.operations.inputs import RunFiles, read_request, read_volumes
from lottery.operations.ledgers import (
    CharterTerms,
    LedgerSettings,
    init_ledger,
    methodology_for,
    open_ledger,
    probe_objects,
)
from lottery.operations.moving import Moved, copy_ledger, rebuild_ledger
from lottery.operations.odds import NamedOdds, OddsRequest, SeriesOdds, decimal_text, series_odds
from lottery.operations.proofs import (
    Inclusion,
    PublicKeys,
    checkpoint,
    consistency,
    inclusion,
    public_keys,
    trail,
)
from lottery.operations.read_pool import read_pool
from lottery.operations.replay import replay_bundle, replay_dates, replay_run
from lottery.operations.report import Page, report, report_bundle
from lottery.operations.requester import Requester
from lottery.operations.run import (
    Progress,
    RunRequest,
    compute_day,
    run_lottery,
)
from lottery.operations.runs import allocations, pools, recorded_run
from lottery.operations.seed import DerivedSeed, derive_seed
from lottery.operations.verification import verify_ledger
from lottery.operations.withdraw import withdraw_run

__all__ = [
    "CharterTerms",
    "DerivedSeed",
    "Difference",
    "HistoryRow",
    "Inclusion",
    "LedgerSettings",
    "LedgerStatus",
    "Moved",
    "NamedOdds",
    "OddsRequest",
    "Page",
    "Progress",
    "PublicKeys",
    "RecordedRun",
    "Requester",
    "RunDraft",
    "RunFiles",
    "RunRequest",
    "SeriesAllocation",
    "SeriesOdds",
    "SeriesRequest",
    "StandingDay",
    "Swept",
    "allocate_series",
    "allocations",
    "amend_charter",
    "bring_up",
    "charters",
    "checkpoint",
    "compute_day",
    "consistency",
    "copy_ledger",
    "decimal_text",
    "derive_seed",
    "difference_of_runs",
    "difference_since",
    "explain",
    "export_run",
    "exported_parts",
    "history",
    "inclusion",
    "init_ledger",
    "methodology_for",
    "open_ledger",
    "pools",
    "probe_objects",
    "public_keys",
    "read_calendar",
    "read_pool",
    "read_request",
    "read_volumes",
    "rebuild_ledger",
    "recorded_run",
    "replay_bundle",
    "replay_dates",
    "replay_run",
    "report",
    "report_bundle",
    "report_compiling",
    "rotate_key",
    "run_lottery",
    "series_odds",
    "standing_day",
    "status_of",
    "sweep_ledger",
    "trail",
    "verify_ledger",
    "warm_up",
    "withdraw_run",
]
