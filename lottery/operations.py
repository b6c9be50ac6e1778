"""The use cases, one function each: what both doors, the command line and the server, call.

Each takes what the intake made, runs the day, asks the ledger or the audit, and returns values; it
prints nothing and knows no status codes. Reading order: `run_lottery` is the main job.
"""

from __future__ import annotations

import datetime as dt
import functools
import getpass
import os
import re
import socket
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lottery.audit.explain import PoolWorking, explain_account, explain_pool
from lottery.audit.replay import Replayed, replay
from lottery.day import warm
from lottery.day.accounts import describe_wrong
from lottery.day.allocate import Day, TotalTooLarge, allocate
from lottery.day.one_pool import AllocatedPool, allocate_pool, arrange_pool
from lottery.day.pools import Arrangement, arrange, overflowing_pools
from lottery.day.series import padded_series
from lottery.day.tables import INT64_MAX
from lottery.errors import METHOD_NOT_IN_FORCE, Problem, Problems, Refused
from lottery.intake import files
from lottery.intake.columns import describe_occ_account, is_occ_account, shorten
from lottery.intake.quotes import quotes_are_sound
from lottery.intake.received import Place, Received, ReceivedVolumes, SourceFile
from lottery.ledger import evidence
from lottery.ledger.content import content_sha256
from lottery.ledger.run import (
    ALLOCATED,
    ALLOCATED_WITH_BREAKS,
    RECORD_FORMAT,
    BreakRecord,
    EvidenceFile,
    Identity,
    MethodRecord,
    RunRecord,
    SeedRecord,
    Software,
    SourceRecord,
    WarningRecord,
    occ_accounts_on_one_side,
)
from lottery.ledger.store import Ledger, Prepared
from lottery.method.methodology import JPMS_2024_09_06, AccountOrder, Methodology, Security
from lottery.method.seed import ExchangeAsk, Seed, derive_seed
from lottery.version import NAME, VERSION

__all__ = [
    "ComputedDay",
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

CYCLES: Final = 999
"""Cycles of a date at most."""

Progress = Callable[[str], None]
"""Told the name of each step as it starts."""


def _silent(_: str) -> None:
    """Tells nobody."""


def _proceed() -> None:
    """Lets a run be recorded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRequest:
    """A day, or a cycle of it, to allocate and record.

    Attributes:
        business_date: The run's date.
        cycle: Its cycle, from 1.
        notices: What OCC assigned.
        positions: Who is short.
        volumes: The four ask prices.
        problems: What the intake found wrong; the run is refused with what is found later.
        requested_by: Who asks.
        request_id: Once-only id; None derives one from the content.
        methodology: The method with its decisions.
    """

    business_date: dt.date
    cycle: int = 1
    notices: Received
    positions: Received
    volumes: ReceivedVolumes
    problems: Problems
    requested_by: Identity
    request_id: str | None = None
    methodology: Methodology = JPMS_2024_09_06


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOutcome:
    """A recorded run, and whether it had been recorded before."""

    record: RunRecord
    already_recorded: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ComputedDay:
    """A day allocated and not recorded."""

    seed: Seed
    day: Day
    warnings: tuple[WarningRecord, ...]


def run_lottery(
    open_ledger: Callable[[], Ledger],
    request: RunRequest,
    *,
    proceed: Callable[[], None] = _proceed,
    progress: Progress = _silent,
) -> RunOutcome:
    """Allocates a day and records it.

    Args:
        open_ledger: Opens the ledger for writing; called once nothing is left to refuse.
        request: The day.
        proceed: Called between the steps and right before the commit; raises to record nothing.
        progress: Told each step.

    Raises:
        Refused: Something that came in is wrong; every problem is listed.
        Conflict: It contradicts what stands recorded.
        LedgerBusy: Another process holds the ledger's write lock.
    """
    computed = compute_day(request, progress=progress)
    proceed()
    progress("recording")
    notices = evidence.sorted_notices(request.notices.table)
    method = MethodRecord.of(request.methodology)
    seed = SeedRecord.of(computed.seed)
    content = content_sha256(
        business_date=request.business_date.isoformat(),
        cycle=request.cycle,
        method=method,
        seed=seed,
        notices=notices,
        day=computed.day,
    )
    request_id = request.request_id or f"content-{content}"

    def record_of(run: str, evidence_files: tuple[EvidenceFile, ...]) -> RunRecord:
        return _record(request, computed, run, request_id, content, evidence_files)

    ledger = open_ledger()
    proceed()
    record, already_recorded = ledger.record(
        Prepared(
            business_date=request.business_date.isoformat(),
            request_id=request_id,
            content_sha256=content,
            seed=seed,
            notices=notices,
            day=computed.day,
            sources=_sources(request),
            record_of=record_of,
        ),
        proceed=proceed,
    )
    return RunOutcome(record=record, already_recorded=already_recorded)


def compute_day(request: RunRequest, *, progress: Progress = _silent) -> ComputedDay:
    """Allocates a day without recording it.

    Raises:
        Refused: Something that came in is wrong; every problem is listed.
    """
    problems = request.problems
    check_date(request.business_date, request.methodology, problems)
    if not 1 <= request.cycle <= CYCLES:
        message = f"{request.cycle} is no cycle: 1 to {CYCLES} are"
        problems.add(Problem(source="cycle", message=message))
    seed = _derive_seed(request.volumes, request.methodology, problems)
    progress("arranging the accounts")
    arrangement = arrange(
        request.notices.table, request.positions.table, request.methodology.account_order
    )
    _refuse_doubled_notices(request.notices)
    for pool in overflowing_pools(arrangement.noticed):
        request.notices.places[0].refuse(
            f"the notices of {_pool_name(pool.occ_account, pool.series)} add up to more than "
            f"{INT64_MAX} contracts",
            column="quantity",
            rule="P5",
        )
    _refuse_accounts(request.positions, arrangement, request.methodology.account_order)
    problems.refuse_if_any()
    assert seed is not None, "a seed that is refused has problems"  # noqa: S101
    progress("allocating")
    try:
        day = allocate(
            arrangement,
            ten_thousandths=seed.ten_thousandths,
            zero_hit=request.methodology.zero_hit,
        )
    except TotalTooLarge as error:
        for pool in error.pools:
            request.positions.places[0].refuse(
                f"{_pool_name(pool.occ_account, pool.series)} is short more than {INT64_MAX} "
                "contracts",
                column="short_quantity",
                rule="R3",
            )
        problems.refuse_if_any()
        raise
    return ComputedDay(seed=seed, day=day, warnings=_warnings(request, seed))


def read_seed(path: Path, methodology: Methodology = JPMS_2024_09_06) -> Seed:
    """Every step of the seed of a file of volumes; records nothing.

    Raises:
        Refused: The file or an ask in it is wrong.
    """
    problems = Problems()
    volumes = files.read_volumes(path, methodology.securities, problems)
    return seed_of(volumes, methodology)


def seed_of(volumes: ReceivedVolumes, methodology: Methodology = JPMS_2024_09_06) -> Seed:
    """Every step of the seed of ask prices as received; records nothing.

    Raises:
        Refused: An ask or the set of them is wrong; problems say their places in the source.
    """
    problems = volumes.place.problems
    seed = _derive_seed(volumes, methodology, problems)
    problems.refuse_if_any()
    assert seed is not None, "a seed that is refused has problems"  # noqa: S101
    return seed


@dataclass(frozen=True, slots=True, kw_only=True)
class SeriesRequest:
    """One pool to allocate without recording it.

    Attributes:
        accounts: Account numbers, one a row.
        shorts: Contracts short, beside `accounts`.
        problems: What was found wrong before.
    """

    business_date: dt.date
    asks: Sequence[ExchangeAsk]
    series: str
    occ_account: str
    assigned_quantity: int
    accounts: Sequence[str]
    shorts: Sequence[int]
    methodology: Methodology = JPMS_2024_09_06
    problems: Problems = field(default_factory=Problems)


@dataclass(frozen=True, slots=True, kw_only=True)
class SeriesAllocation:
    """One pool allocated: its seed, its padded series and its accounts in order."""

    seed: Seed
    series: str
    pool: AllocatedPool


def allocate_series(request: SeriesRequest) -> SeriesAllocation:
    """Allocates one pool; records nothing.

    Raises:
        Refused: Something in the request is wrong; every problem is listed.
        PoolBroken: The pool is a break (D5).
    """
    problems = request.problems
    place = Place(source="positions", problems=problems)
    check_date(request.business_date, request.methodology, problems)
    series = request.series
    try:
        series = _series(series)
    except Refused as error:
        problems.add(error.problems[0])
    if not is_occ_account(request.occ_account):
        problems.add(
            Problem(source="occ_account", message=describe_occ_account(request.occ_account))
        )
    if not 1 <= request.assigned_quantity <= INT64_MAX:
        message = f"{request.assigned_quantity} is no quantity: at least 1 is expected"
        problems.add(Problem(source="assigned_quantity", message=message))
    seed = _derive_seed(
        ReceivedVolumes(
            asks=tuple(request.asks),
            sources=(),
            place=Place(source="exchange_asks", problems=problems),
        ),
        request.methodology,
        problems,
    )
    if min(request.shorts, default=0) < 0:
        for row, short in enumerate(request.shorts):
            if short < 0:
                place.refuse_row(row, f"{short} is negative", column="short_quantity", rule="P2")
    order = request.methodology.account_order
    pool = arrange_pool(request.accounts, order)
    if pool.wrong_accounts.size:
        place.refuse_rows(
            pool.wrong_accounts,
            lambda row: describe_wrong(shorten(request.accounts[row]), order),
            column="account",
            rule="R2",
        )
    for doubled in pool.doubled:
        _refuse_doubled(
            place,
            doubled.row,
            request.accounts[doubled.row],
            request.accounts[doubled.first_row],
            f"row {place.row(doubled.first_row)}",
        )
    problems.refuse_if_any()
    assert seed is not None, "a seed that is refused has problems"  # noqa: S101
    try:
        allocated = allocate_pool(
            pool,
            request.shorts,
            assigned_quantity=request.assigned_quantity,
            ten_thousandths=seed.ten_thousandths,
            zero_hit=request.methodology.zero_hit,
        )
    except OverflowError as error:
        place.refuse(f"{error}", column="short_quantity", rule="R3")
        raise Refused(problems) from error
    return SeriesAllocation(seed=seed, series=series, pool=allocated)


def explain(
    ledger: Ledger,
    run: str,
    *,
    series: str | None = None,
    occ_account: str | None = None,
    account: str | None = None,
) -> list[PoolWorking]:
    """The working of one pool of a recorded run, or of every pool that an account is in.

    Args:
        ledger: The ledger.
        run: The run's id, or `latest`.
        series: The pool's series, padded or compact.
        occ_account: The pool's OCC account; None where the series has one pool only.
        account: Instead of a series: every pool of this account, with this account alone.

    Raises:
        RunNotFound: There is no such run.
        NotInRun: The run has no such pool or account, or several pools and none was named.
        Refused: The series is no OSI symbol.
    """
    record = ledger.get(run)
    read = functools.partial(ledger.read, record)
    if account is not None:
        return list(explain_account(record, read, account))
    return [explain_pool(record, read, _series(series or ""), occ_account)]


def replay_run(ledger: Ledger, run: str) -> Replayed:
    """Computes a recorded run again and compares every value.

    Raises:
        RunNotFound: There is no such run.
    """
    record = ledger.get(run)
    return replay(record, ledger.evidence_of(record))


def replay_dates(
    ledger: Ledger, *, first: dt.date | None = None, last: dt.date | None = None
) -> Iterator[Replayed]:
    """Computes every run between two dates again, both inclusive; without dates, all of them."""
    for record in ledger.iterate(first=first, last=last):
        yield replay(record, ledger.evidence_of(record))


def allocations(
    ledger: Ledger,
    run: str,
    *,
    series: str | None = None,
    occ_account: str | None = None,
    account: str | None = None,
) -> pa.Table:
    """The recorded allocations of a run, all or those of a pool or an account.

    Returns:
        `tables.ALLOCATIONS`.

    Raises:
        RunNotFound: There is no such run.
        Refused: The series is no OSI symbol.
    """
    record = ledger.get(run)
    wanted = {
        "series": None if series is None else _series(series),
        "occ_account": occ_account,
        "account": account,
    }
    where = None
    for name, value in wanted.items():
        if value is not None:
            match = pc.field(name) == value
            where = match if where is None else where & match
    return ledger.read(record, evidence.ALLOCATIONS_FILE, where)


def pools(ledger: Ledger, run: str) -> pa.Table:
    """The recorded pools of a run, `tables.POOLS`.

    Raises:
        RunNotFound: There is no such run.
    """
    record = ledger.get(run)
    return ledger.read(record, evidence.POOLS_FILE)


def warm_up() -> None:
    """Compiles every loop, or loads it from where its machine code is kept."""
    warm.warm_up()
    quotes_are_sound(np.frombuffer(b'"1"', np.uint8))


def system_identity() -> Identity:
    """Who runs this process: the system's user on its host."""
    try:
        name = getpass.getuser()
    except (KeyError, OSError):  # A container's user need not have a name.
        name = f"uid {os.getuid()}"
    return Identity(kind="system-user", name=name, host=socket.gethostname())


def is_run_id(text: str) -> bool:
    """Whether a text has the form of a run's id, as `2024-09-16-001`."""
    return re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}-[0-9]{3,9}", text) is not None


def check_date(business_date: dt.date, methodology: Methodology, problems: Problems) -> None:
    """Refuses a date before the method is in force (F1)."""
    if business_date < methodology.effective:
        problems.add(
            Problem(
                source="business_date",
                message=f"{business_date} is before {methodology.effective}, when the method "
                f"{methodology.id} came into force",
                rule="F1",
                reason=METHOD_NOT_IN_FORCE,
            )
        )


def _series(symbol: str) -> str:
    try:
        return padded_series(symbol)
    except ValueError as error:
        raise Refused([Problem(source="series", message=str(error))]) from error


def _pool_name(occ_account: str, series: str) -> str:
    return f"{occ_account} {series}".strip()


def _derive_seed(
    volumes: ReceivedVolumes, methodology: Methodology, problems: Problems
) -> Seed | None:
    """The seed, or None and its problems with their places in the source."""
    place = volumes.place
    if not volumes.asks and problems.counts.get(place.source):
        return None  # The file itself was refused: that nothing is in it goes without saying.
    try:
        return _known_seed(volumes.asks, methodology.securities, place.source)
    except Refused as error:
        for problem in error.problems:
            row = problem.row
            problems.add(
                problem
                if row is None
                else replace(problem, row=place.row(row - 1), line=place.line(place.row(row - 1)))
            )
        return None


@functools.lru_cache(maxsize=64)
def _known_seed(
    asks: tuple[ExchangeAsk, ...], securities: tuple[Security, ...], source: str
) -> Seed:
    """`derive_seed`, remembered: a date has one seed, and a server is asked for it all day."""
    return derive_seed(asks, securities, source=source)


def _refuse_doubled_notices(notices: Received) -> None:
    """One notice id stands once within its OCC account."""
    first_of: dict[tuple[str, str], int] = {}
    columns = (
        notices.table.column(name).cast(pa.string()).to_pylist()
        for name in ("occ_account", "notice_id")
    )
    for index, notice in enumerate(zip(*columns, strict=True)):
        first = first_of.setdefault(notice, index)
        if first != index and notice[1]:
            place, row = notices.place_of(index)
            first_place, first_row = notices.place_of(first)
            place.refuse_row(
                row,
                f"the notice {_pool_name(*notice)} stands on row {first_place.row(first_row)} of "
                f"{first_place.source} already",
                column="notice_id",
            )


def _refuse_accounts(positions: Received, arrangement: Arrangement, order: AccountOrder) -> None:
    """Refuses rows whose account is none (R2), and rows that repeat one of their pool (P4, R2)."""
    accounts = positions.table.column("account")
    for index in arrangement.wrong_accounts:
        place, row = positions.place_of(int(index))
        text = accounts[int(index)].cast(pa.binary()).as_py().decode("utf-8", "replace")
        place.refuse_row(row, describe_wrong(shorten(text), order), column="account", rule="R2")
    for doubled in arrangement.doubled:
        place, row = positions.place_of(doubled.row)
        first_place, first_row = positions.place_of(doubled.first_row)
        _refuse_doubled(
            place,
            row,
            accounts[doubled.row].as_py(),
            accounts[doubled.first_row].as_py(),
            f"row {first_place.row(first_row)}"
            + (f" of {first_place.source}" if first_place.source != place.source else ""),
        )


def _refuse_doubled(place: Place, index: int, account: str, first: str, where: str) -> None:
    """Refuses a row whose account stands already, alike (P4) or in another spelling (R2)."""
    if account == first:
        message, rule = f"account {account} is on {where} of this pool already", "P4"
    else:
        message = f"account {account} is the number of {first} on {where} in another spelling"
        rule = "R2"
    place.refuse_row(index, message, column="account", rule=rule)


def _warnings(request: RunRequest, seed: Seed) -> tuple[WarningRecord, ...]:
    found = [WarningRecord.of(warning) for warning in seed.warnings()]
    one_side = occ_accounts_on_one_side(
        _has_occ_accounts(request.notices.table), _has_occ_accounts(request.positions.table)
    )
    return (*found, *one_side)


def _has_occ_accounts(table: pa.Table) -> bool:
    return any(any(chunk.dictionary.to_pylist()) for chunk in table.column("occ_account").chunks)


def _sources(request: RunRequest) -> tuple[SourceFile, ...]:
    return (
        *request.notices.sources,
        *request.positions.sources,
        *request.volumes.sources,
    )


def _record(
    request: RunRequest,
    computed: ComputedDay,
    run: str,
    request_id: str,
    content: str,
    evidence_files: tuple[EvidenceFile, ...],
) -> RunRecord:
    day = computed.day
    return RunRecord(
        format=RECORD_FORMAT,
        run=run,
        business_date=request.business_date,
        cycle=request.cycle,
        state=ALLOCATED_WITH_BREAKS if day.breaks else ALLOCATED,
        request_id=request_id,
        content_sha256=content,
        method=MethodRecord.of(request.methodology),
        seed=SeedRecord.of(computed.seed),
        pool_count=day.pools.num_rows,
        notice_count=request.notices.table.num_rows,
        assigned_quantity=sum(day.pools.column("assigned_quantity").to_pylist()),
        allocated_quantity=day.allocated_quantity,
        breaks=tuple(BreakRecord.of(broken) for broken in day.breaks),
        warnings=computed.warnings,
        sources=tuple(
            SourceRecord(
                role=source.role,
                name=source.name,
                sha256=source.sha256,
                size=source.size,
                kept_as=None if source.content is None else source.kept_as,
            )
            for source in _sources(request)
        ),
        evidence=evidence_files,
        requested_by=request.requested_by,
        recorded_at=dt.datetime.now(dt.UTC)
        .isoformat(timespec="microseconds")
        .replace("+00:00", "Z"),
        software=Software(name=NAME, version=VERSION),
    )
