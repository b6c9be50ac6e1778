"""What each command prints with `--json`, as types; `docs.schemas` makes JSON Schemas of them.

A document is one type, or several whose members it has together. Where the code has a type for what
is printed, as for a record or the rows of a table, it is that type; only what a command puts
together by itself is written here.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple, NotRequired, TypeAlias

import pyarrow as pa
from typing_extensions import TypedDict  # Python's own is read from 3.12 on.

from lottery.audit.explain import AccountWorking
from lottery.audit.fault import Fault, Tally
from lottery.audit.replay import Mismatch
from lottery.audit.seeds import Flag
from lottery.day.allocate import Break
from lottery.day.tables import ALLOCATIONS, CHANGES, POOLS
from lottery.ledger.entry import Activity, Charter, NamedRequest, NextKey
from lottery.ledger.four_eyes import Verdict
from lottery.ledger.run_record import Acknowledgement, Identity, RunRecord
from lottery.method.distribution import NumberRange
from lottery.method.odds import NumbersHitFirst
from lottery.method.seed import ExchangeVolume, RuleWarning
from lottery.operations.answers import HistoryRow
from lottery.operations.care import Swept
from lottery.operations.check import CheckedFile
from lottery.operations.events import Webhook
from lottery.operations.moving import Moved
from lottery.operations.standing import (
    Certificate,
    CharterInBrief,
    LastRun,
    LedgerStatus,
    Limits,
)


def row(name: str, columns: pa.Schema) -> Any:
    """Return the type of a table's rows."""
    types = {each.name: int if pa.types.is_integer(each.type) else str for each in columns}
    nullable = {each.name: types[each.name] | None for each in columns if each.nullable}
    made: Any = TypedDict
    return made(name, {**types, **nullable})


if TYPE_CHECKING:  # They are made at run time.
    Pool: TypeAlias = dict[str, Any]
    Allocation: TypeAlias = dict[str, Any]
    Change: TypeAlias = dict[str, Any]
else:
    Pool = row("Pool", POOLS)
    Allocation = row("Allocation", ALLOCATIONS)
    Change = row("Change", CHANGES)


class Brief(TypedDict):
    """A run in brief; figures of the seed are texts, and the last four are a proposal's."""

    run: str
    state: str
    business_date: dt.date
    cycle: int
    supersedes: list[str]
    reason: str | None
    acknowledgements: list[Acknowledgement]
    rests_on: list[str]
    charter: str
    method: str
    composite: str
    digits: str
    fraction: str
    clearing_member: str | None
    pool_count: int
    notice_count: int
    assigned_quantity: int
    allocated_quantity: int
    break_count: int
    warnings: list[RuleWarning]
    request_id: str
    recorded_at: str
    superseded_by: str | None
    record_sha256: NotRequired[str]
    proposed_by: NotRequired[Identity]
    expires_at: NotRequired[str]
    verdict: NotRequired[Verdict | None]


class Answered(TypedDict):
    """How a request to record a run was answered."""

    already_recorded: bool
    dry_run: bool
    breaks: list[Break]
    output: NotRequired[str]


class Runs(TypedDict):
    """The recorded runs."""

    runs: list[Brief]


class Shown(TypedDict):
    """What is shown of a run beside its record; allocations if they are asked for."""

    type: Literal["run", "proposal"]
    state: str
    breaks: list[Break]
    superseded_by: str | None
    pools: list[Pool]
    allocations: NotRequired[list[Allocation]]
    record_sha256: NotRequired[str]
    proposed_by: NotRequired[Identity]
    expires_at: NotRequired[str]
    verdict: NotRequired[Verdict | None]


class Proposed(TypedDict):
    """The runs that wait for an approval."""

    four_eyes: bool
    proposals: list[Brief]


class SeedSteps(TypedDict):
    """A seed with every step."""

    volumes: list[ExchangeVolume]
    composite: str
    length: int
    cut_position: int
    digits: str
    fraction: str


class Drawn(TypedDict):
    """The seed that a run was drawn with."""

    seed: SeedSteps


class Warned(TypedDict):
    """What deserves attention."""

    warnings: list[RuleWarning]


class DatedSeed(TypedDict):
    """The seed of a date, with its flags."""

    business_date: dt.date
    composite: str
    digits: str
    fraction: str
    runs: list[str]
    marks: list[Flag]


class Spread(TypedDict):
    """How evenly the fractions are spread."""

    test: str
    dates: int
    statistic: float | None
    p_value: float | None
    enough_dates: bool
    message: str


class Seeds(TypedDict):
    """The seeds of the dates between two."""

    seeds: list[DatedSeed]
    uniformity: Spread
    warnings: list[RuleWarning]


Between = TypedDict("Between", {"from": dt.date | None, "to": dt.date | None})


class Working(TypedDict):
    """The working of a pool."""

    run: str
    business_date: dt.date
    method: str
    zero_hit: str
    seed: SeedSteps
    occ_account: str
    series: str
    notice_count: int
    assigned_quantity: int
    total_short: int
    assigned_before: int
    account_count: int
    hit_account_count: int
    product: str
    first_hit: int | None
    break_reason: str | None
    ranges: list[NumberRange]
    accounts: list[AccountWorking]
    accounts_left_out: int
    marked_composite: str
    wraps: bool


class Workings(TypedDict):
    """The workings of every pool that an account is in."""

    account: str
    pools: list[Working]


class Figure(TypedDict):
    """A figure as decimals, and as a fraction if it is an exact one."""

    fraction: NotRequired[str]
    decimal: str


class Chance(TypedDict):
    """The chance of a quantity."""

    assigned_quantity: int
    fraction: str
    decimal: str


class Compared(TypedDict):
    """The odds of another procedure."""

    none: Figure
    full: Figure
    mean: Figure
    variance: Figure


class AccountOdds(TypedDict):
    """The odds of an account."""

    account: str
    short_quantity: int
    first_number: int
    last_number: int
    none: Figure
    full: Figure
    mean: Figure
    variance: Figure
    share_quantity: Figure
    mean_less_share: Figure
    chances: list[Chance]
    random_draw: Compared
    occ_wheel: Compared | None


class Odds(TypedDict):
    """The odds in a pool."""

    occ_account: str
    series: str
    method: str
    account_order: str
    zero_hit: str
    assigned_quantity: int
    total_short: int
    account_count: int
    never_first: int
    evenness: list[NumbersHitFirst]
    accounts: list[AccountOdds]


class Superseded(TypedDict):
    """A run of a date that stands no longer."""

    run: str
    superseded_by: str


class Day(TypedDict):
    """What stands for a date; allocations if they are asked for."""

    business_date: dt.date
    state: str
    runs: list[str]
    superseded: list[Superseded]
    last_run: str
    recorded_at: str
    pool_count: int
    notice_count: int
    assigned_quantity: int
    allocated_quantity: int
    break_count: int
    breaks: list[Break]
    output: NotRequired[str]
    pools: list[Pool]
    allocations: NotRequired[list[Allocation]]


class Difference(TypedDict):
    """What changed for whom."""

    business_date: dt.date
    before_runs: list[str]
    after_runs: list[str]
    before: int
    after: int
    difference: int
    increase: int
    decrease: int
    changes: list[Change]


class History(TypedDict):
    """What happened to an account or a series."""

    account: str | None
    series: str | None
    rows: list[HistoryRow]
    standing_quantity: int


class Replays(TypedDict):
    """What was replayed, what differs, and the approvals that bundles prove."""

    replayed: int
    matched: int
    mismatches: list[Mismatch]
    approvals: list[Verdict]


class TrustedKey(TypedDict):
    """A key by which a log was verified, as it was given or as the ledger names it."""

    name: str
    id: str
    public_key: str


class Verified(TypedDict):
    """Whether a ledger is sound."""

    sound: bool
    faults: list[Fault]
    key_given: bool
    trusted: list[TrustedKey]


class Checked(TypedDict):
    """The files that were checked."""

    files: list[CheckedFile]


class Written(TypedDict):
    """A file of a run that was written."""

    run: str
    file: str
    bytes: int


class PageWritten(TypedDict):
    """How much of a run a page shows."""

    pool_count: int
    shown_pool_count: int


class LogKey(TypedDict):
    """A log's public key."""

    origin: str
    public_key: str


class LedgerMade(TypedDict):
    """A ledger that was made."""

    ledger: str


class Standing(TypedDict):
    """How a ledger stands beside its log."""

    version: str
    ledger: str
    cosigned: int | None
    key_problem: str | None
    charter: CharterInBrief
    last_run: LastRun | None
    open_breaks: list[Break]
    waiting: list[str]
    certificate: Certificate | None
    limits: Limits


class TrialCertificates(TypedDict):
    """Certificates for a try, and the typed name of each role's caller."""

    folder: str
    hosts: list[str]
    valid_until: dt.datetime
    callers: dict[str, str]


class NextLogKey(TypedDict):
    """The log's next key."""

    public_key: str
    signs_from: int


class Trail(TypedDict):
    """Who did what with the ledger."""

    entries: list[Activity | Charter | NamedRequest | NextKey | Verdict]


class Listing(NamedTuple):
    """A member that is a list of objects, each with the members of several types."""

    name: str
    types: Sequence[Any]


class Digested(TypedDict):
    """The SHA-256 of an entry."""

    sha256: str


class Copied(TypedDict):
    """That a copy has no private key."""

    private_key_copied: bool


class Status(TypedDict):
    """What a server says of itself."""

    status: str


class ConsoleAddress(TypedDict):
    """Where a console is, with the secret that opens it once."""

    url: str


class WitnessKey(TypedDict):
    """A witness's public key, and where it is asked."""

    name: str
    public_key: str
    url: NotRequired[str]


class Hold(TypedDict):
    """What holds a run."""

    code: str
    message: str
    acknowledge: str


class Problem(TypedDict):
    """One thing that is wrong with an input."""

    file: str
    row: int | None
    line: int | None
    column: str | None
    rule: str | None
    reason: str
    message: str


class Error(TypedDict):
    """Why a command failed; an error has its own details as texts as well."""

    reason: str
    message: str
    held: NotRequired[list[Hold]]
    problem_count: NotRequired[int]
    problems: NotRequired[list[Problem]]


DOCUMENTS: Final[dict[str, Sequence[Any]]] = {
    "run": (Brief, Answered),
    "withdraw": (Brief, Answered),
    "proposals": (Proposed,),
    "approve": (Brief, Answered),
    "reject": (Brief, Answered),
    "runs": (Runs,),
    "show": (RunRecord, Drawn, Shown),
    "explain --series": (Working,),
    "explain --account": (Workings,),
    "check": (Checked,),
    "seed": (SeedSteps, Warned),
    "seeds": (Between, Seeds),
    "odds": (Odds,),
    "day": (Day,),
    "diff": (Difference,),
    "history": (History,),
    "replay": (Replays,),
    "verify": (Verified, Tally),
    "export": (Written,),
    "report": (Written, PageWritten),
    "trail": (Trail,),
    "init": (LedgerMade, LogKey),
    "charter": (Listing("charters", (Charter, Digested)),),
    "charter amend": (Charter,),
    "rebuild": (Moved,),
    "copy": (Moved, Copied),
    "sweep": (Swept,),
    "status": (LedgerStatus, Standing),
    "watch": (LedgerStatus,),
    "keys": (LogKey,),
    "keys rotate": (NextLogKey,),
    "console": (ConsoleAddress,),
    "health": (Status,),
    "dev-certs": (TrialCertificates,),
    "witness keys": (WitnessKey,),
    "witness serve": (WitnessKey,),
    "error": (Error,),
    "webhook": (Webhook,),
}
"""By command: the types whose members its document has. `error` is that of every failure, and
`webhook` the body of a request to a receiver."""
