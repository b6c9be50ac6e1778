"""The use cases, one function each: what both doors, the command line and the server, call.

Each takes what the intake read, runs the day, asks the ledger or the audit, and returns values; it
prints nothing and knows no status codes. Each module also re-exports the values of the deeper rooms
that it takes or returns, so that a door imports nothing but `lottery.operations`.

A name of this package imports its module when it is first used, so that a command loads what it
needs: `tests/cli/test_imports.py` says what that is. No name here is that of a module below: the
module would take its place.

- `run`, with `request`, `inputs`, `totals` and `validation`: the main job, and what it refuses.
- `check`, `seed`, `series`, `odds`, with `pool` and `pool_positions`: what records nothing.
- `withdraw`: taking a run back whose notices OCC has taken back.
- `verdicts`: four eyes, what waits for another person's approval.
- `runs`, `workings`, `replay`, `pages`: what is recorded.
- `days`, `differences`, `histories`: what stands for a date, what changed, and what happened over
  the dates.
- `proofs`, `exports`, `verification`: what proves the record to others.
- `overview`: how a ledger stands.
- `ledgers`, with `settings`, `care`, `moving`: making a ledger, taking care of it, and bringing it
  elsewhere.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:  # What `_NAMES` says, for type checkers.
    from lottery.audit.explain import PoolWorking as PoolWorking
    from lottery.audit.replay import Engine as Engine
    from lottery.audit.replay import Replayed as Replayed
    from lottery.audit.report.request import PageRequest as PageRequest
    from lottery.audit.report.request import Supersession as Supersession
    from lottery.day.allocate import Break as Break
    from lottery.day.identifiers import padded_series as padded_series
    from lottery.day.jit import report_compiling as report_compiling
    from lottery.day.jit import warm_up as warm_up
    from lottery.intake.calendar import read_calendar as read_calendar
    from lottery.intake.memory import MemoryLimit as MemoryLimit
    from lottery.intake.sources import ReceivedVolumes as ReceivedVolumes
    from lottery.ledger.commit import Ledger as Ledger
    from lottery.ledger.draft import RecordedRun as RecordedRun
    from lottery.ledger.draft import RunDraft as RunDraft
    from lottery.ledger.entry import Entry as Entry
    from lottery.ledger.run_record import Identity as Identity
    from lottery.ledger.run_record import RunRecord as RunRecord
    from lottery.method.distribution import NumberRange as NumberRange
    from lottery.method.methodology import JPMS_2024_09_06 as JPMS_2024_09_06
    from lottery.method.methodology import AccountOrder as AccountOrder
    from lottery.method.methodology import Methodology as Methodology
    from lottery.method.methodology import Pooling as Pooling
    from lottery.method.methodology import ZeroHit as ZeroHit
    from lottery.method.seed import RuleWarning as RuleWarning
    from lottery.method.seed import Seed as Seed
    from lottery.operations.answers import DerivedSeed as DerivedSeed
    from lottery.operations.answers import Difference as Difference
    from lottery.operations.answers import HistoryRow as HistoryRow
    from lottery.operations.answers import NamedOdds as NamedOdds
    from lottery.operations.answers import Proposals as Proposals
    from lottery.operations.answers import SeriesOdds as SeriesOdds
    from lottery.operations.answers import StandingDay as StandingDay
    from lottery.operations.care import Swept as Swept
    from lottery.operations.care import amend_charter as amend_charter
    from lottery.operations.care import bring_up as bring_up
    from lottery.operations.care import charters as charters
    from lottery.operations.care import rotate_key as rotate_key
    from lottery.operations.care import status_of as status_of
    from lottery.operations.care import sweep_ledger as sweep_ledger
    from lottery.operations.days import standing_day as standing_day
    from lottery.operations.delivering import check_bucket as check_bucket
    from lottery.operations.delivering import deliver as deliver
    from lottery.operations.differences import difference_of_runs as difference_of_runs
    from lottery.operations.differences import difference_since as difference_since
    from lottery.operations.exports import export_run as export_run
    from lottery.operations.exports import exported_parts as exported_parts
    from lottery.operations.fetching import fetched as fetched
    from lottery.operations.histories import history as history
    from lottery.operations.inputs import RunFiles as RunFiles
    from lottery.operations.inputs import read_mapping as read_mapping
    from lottery.operations.inputs import read_request as read_request
    from lottery.operations.inputs import read_volumes as read_volumes
    from lottery.operations.ledgers import CharterTerms as CharterTerms
    from lottery.operations.ledgers import init_ledger as init_ledger
    from lottery.operations.ledgers import methodology_for as methodology_for
    from lottery.operations.ledgers import open_ledger as open_ledger
    from lottery.operations.ledgers import probe_objects as probe_objects
    from lottery.operations.moving import Moved as Moved
    from lottery.operations.moving import copy_ledger as copy_ledger
    from lottery.operations.moving import rebuild_ledger as rebuild_ledger
    from lottery.operations.odds import OddsRequest as OddsRequest
    from lottery.operations.odds import decimal_text as decimal_text
    from lottery.operations.odds import series_odds as series_odds
    from lottery.operations.overview import overview_of as overview_of
    from lottery.operations.pages import Page as Page
    from lottery.operations.pages import report as report
    from lottery.operations.pages import report_bundle as report_bundle
    from lottery.operations.pool_positions import read_pool as read_pool
    from lottery.operations.proofs import Inclusion as Inclusion
    from lottery.operations.proofs import checkpoint as checkpoint
    from lottery.operations.proofs import consistency as consistency
    from lottery.operations.proofs import inclusion as inclusion
    from lottery.operations.proofs import public_keys as public_keys
    from lottery.operations.proofs import trail as trail
    from lottery.operations.replay import replay_bundle as replay_bundle
    from lottery.operations.replay import replay_dates as replay_dates
    from lottery.operations.replay import replay_run as replay_run
    from lottery.operations.request import Progress as Progress
    from lottery.operations.request import RunRequest as RunRequest
    from lottery.operations.requester import Requester as Requester
    from lottery.operations.run import compute_day as compute_day
    from lottery.operations.run import run_lottery as run_lottery
    from lottery.operations.runs import allocations as allocations
    from lottery.operations.runs import notices as notices
    from lottery.operations.runs import pools as pools
    from lottery.operations.runs import recorded_run as recorded_run
    from lottery.operations.runs import recorded_runs as recorded_runs
    from lottery.operations.seed import derive_seed as derive_seed
    from lottery.operations.series import SeriesAllocation as SeriesAllocation
    from lottery.operations.series import SeriesRequest as SeriesRequest
    from lottery.operations.series import allocate_series as allocate_series
    from lottery.operations.settings import LedgerSettings as LedgerSettings
    from lottery.operations.standing import LedgerStatus as LedgerStatus
    from lottery.operations.standing import Overview as Overview
    from lottery.operations.standing import PublicKeys as PublicKeys
    from lottery.operations.totals import ControlTotals as ControlTotals
    from lottery.operations.verdicts import approve_run as approve_run
    from lottery.operations.verdicts import list_proposals as list_proposals
    from lottery.operations.verdicts import reject_run as reject_run
    from lottery.operations.verification import Verification as Verification
    from lottery.operations.verification import VerifyProgress as VerifyProgress
    from lottery.operations.verification import verify_ledger as verify_ledger
    from lottery.operations.withdraw import withdraw_run as withdraw_run
    from lottery.operations.workings import explain as explain
    from lottery.stores.system import system_identity as system_identity
    from lottery.tlog.keys import VerifierKey as VerifierKey

_NAMES: Final = {
    "lottery.audit.explain": ("PoolWorking",),
    "lottery.audit.replay": (
        "Engine",
        "Replayed",
    ),
    "lottery.audit.report.request": (
        "PageRequest",
        "Supersession",
    ),
    "lottery.day.allocate": ("Break",),
    "lottery.day.identifiers": ("padded_series",),
    "lottery.day.jit": (
        "report_compiling",
        "warm_up",
    ),
    "lottery.intake.calendar": ("read_calendar",),
    "lottery.intake.memory": ("MemoryLimit",),
    "lottery.intake.sources": ("ReceivedVolumes",),
    "lottery.ledger.commit": ("Ledger",),
    "lottery.ledger.draft": (
        "RecordedRun",
        "RunDraft",
    ),
    "lottery.ledger.entry": ("Entry",),
    "lottery.ledger.run_record": (
        "Identity",
        "RunRecord",
    ),
    "lottery.method.distribution": ("NumberRange",),
    "lottery.method.methodology": (
        "AccountOrder",
        "JPMS_2024_09_06",
        "Methodology",
        "Pooling",
        "ZeroHit",
    ),
    "lottery.method.seed": (
        "RuleWarning",
        "Seed",
    ),
    "lottery.operations.answers": (
        "DerivedSeed",
        "Difference",
        "HistoryRow",
        "NamedOdds",
        "Proposals",
        "SeriesOdds",
        "StandingDay",
    ),
    "lottery.operations.care": (
        "Swept",
        "amend_charter",
        "bring_up",
        "charters",
        "rotate_key",
        "status_of",
        "sweep_ledger",
    ),
    "lottery.operations.days": ("standing_day",),
    "lottery.operations.delivering": (
        "check_bucket",
        "deliver",
    ),
    "lottery.operations.differences": (
        "difference_of_runs",
        "difference_since",
    ),
    "lottery.operations.exports": (
        "export_run",
        "exported_parts",
    ),
    "lottery.operations.fetching": ("fetched",),
    "lottery.operations.histories": ("history",),
    "lottery.operations.inputs": (
        "RunFiles",
        "read_mapping",
        "read_request",
        "read_volumes",
    ),
    "lottery.operations.ledgers": (
        "CharterTerms",
        "init_ledger",
        "methodology_for",
        "open_ledger",
        "probe_objects",
    ),
    "lottery.operations.moving": (
        "Moved",
        "copy_ledger",
        "rebuild_ledger",
    ),
    "lottery.operations.odds": (
        "OddsRequest",
        "decimal_text",
        "series_odds",
    ),
    "lottery.operations.overview": ("overview_of",),
    "lottery.operations.pages": (
        "Page",
        "report",
        "report_bundle",
    ),
    "lottery.operations.pool_positions": ("read_pool",),
    "lottery.operations.proofs": (
        "Inclusion",
        "checkpoint",
        "consistency",
        "inclusion",
        "public_keys",
        "trail",
    ),
    "lottery.operations.replay": (
        "replay_bundle",
        "replay_dates",
        "replay_run",
    ),
    "lottery.operations.request": (
        "Progress",
        "RunRequest",
    ),
    "lottery.operations.requester": ("Requester",),
    "lottery.operations.run": (
        "compute_day",
        "run_lottery",
    ),
    "lottery.operations.runs": (
        "allocations",
        "notices",
        "pools",
        "recorded_run",
        "recorded_runs",
    ),
    "lottery.operations.seed": ("derive_seed",),
    "lottery.operations.series": (
        "SeriesAllocation",
        "SeriesRequest",
        "allocate_series",
    ),
    "lottery.operations.settings": ("LedgerSettings",),
    "lottery.operations.standing": (
        "LedgerStatus",
        "Overview",
        "PublicKeys",
    ),
    "lottery.operations.totals": ("ControlTotals",),
    "lottery.operations.verdicts": (
        "approve_run",
        "list_proposals",
        "reject_run",
    ),
    "lottery.operations.verification": (
        "Verification",
        "VerifyProgress",
        "verify_ledger",
    ),
    "lottery.operations.withdraw": ("withdraw_run",),
    "lottery.operations.workings": ("explain",),
    "lottery.stores.system": ("system_identity",),
    "lottery.tlog.keys": ("VerifierKey",),
}
_HOMES: Final = {name: module for module, names in _NAMES.items() for name in names}

if not TYPE_CHECKING:  # Type checkers know every name from the imports above.

    def __getattr__(name: str) -> object:
        """Import the module of a name that is used for the first time."""
        if name not in _HOMES:
            raise AttributeError(f"module {__name__} has no attribute {name}")
        module = import_module(_HOMES[name])
        value = globals()[name] = getattr(module, name, None) or import_module(
            f"{module.__name__}.{name}"
        )
        return value
