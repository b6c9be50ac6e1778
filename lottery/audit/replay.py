"""Replay: a recorded run computed again from its evidence alone, every value compared.

The seed comes from the volumes as received, the notices from the notices as received, the positions
from the evidence; method and decisions from the record. Nothing else is read. Two engines can
compute it, which share no code: the compiled loop and one SQL statement.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lottery.audit import sql_replay
from lottery.day.allocate import Break, Day, TotalTooLarge, allocate
from lottery.day.arrange import arrange
from lottery.day.tables import BROKEN_POSITIONS, NOTICES, POSITIONS
from lottery.day.taken_off import put_back, take_off
from lottery.errors import LedgerDamaged, Problems, Refused
from lottery.intake.files import notices_of_source, occ_positions_of_source, volumes_of_source
from lottery.intake.occ_reports import nothing_said
from lottery.intake.sources import Place, SourceFile
from lottery.ledger import evidence
from lottery.ledger import occ_positions as occ
from lottery.ledger.content import content_sha256
from lottery.ledger.run_record import (
    ALLOCATED,
    ALLOCATED_WITH_BREAKS,
    BreakRecord,
    RunRecord,
    SeedRecord,
    SourceRecord,
    Superseding,
    WarningRecord,
)
from lottery.method.seed import derive_seed

MISMATCHES_LISTED: Final = 20
"""Values listed of one column; the rest are counted."""


class Engine(StrEnum):
    """What computes a run again."""

    COMPILED = "compiled"
    SQL = "sql"


@dataclass(frozen=True, slots=True, kw_only=True)
class Mismatch:
    """A value that is not what was recorded.

    Attributes:
        run: The run.
        where: The file and its value, as `allocations.parquet row 7 assigned_quantity`.
        recorded: What the ledger has.
        computed: What the replay gives.
    """

    run: str
    where: str
    recorded: str
    computed: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    """A run replayed; it matches where there is no mismatch."""

    run: str
    mismatches: tuple[Mismatch, ...]

    @property
    def matched(self) -> bool:
        """Whether every value is what was recorded."""
        return not self.mismatches


def replay(record: RunRecord, directory: Path, *, engine: Engine = Engine.COMPILED) -> Replayed:
    """Computes a run again and compares every value.

    Args:
        record: The run's record.
        directory: Its evidence folder.
        engine: What computes it.

    Raises:
        EngineMissing: The SQL engine is not installed.
    """
    found = _Findings(record.run)
    for file in record.evidence:
        wrong = evidence.what_is_wrong(directory, file)
        if wrong is not None:
            found.add(file.name, f"sha256 {file.sha256}, {file.size} bytes", wrong)
    _compare_run_file(record, directory, found)
    # What is damaged was named above; the rest is compared as far as it can be read.
    compare_allocation = _compare_allocation if engine is Engine.COMPILED else _compare_by_sql
    steps = (_compare_sources, _compare_seed, _compare_notices, compare_allocation, _compare_occ)
    for step in steps:
        try:
            step(record, directory, found)
        except LedgerDamaged as error:
            found.add("evidence", "what can be read", error)
    return Replayed(run=record.run, mismatches=tuple(found.mismatches))


class _Findings:
    """Collects the mismatches of one run."""

    def __init__(self, run: str) -> None:
        self._run = run
        self.mismatches: list[Mismatch] = []

    def add(self, where: str, recorded: object, computed: object) -> None:
        self.mismatches.append(
            Mismatch(run=self._run, where=where, recorded=str(recorded), computed=str(computed))
        )

    def compare(self, where: str, recorded: object, computed: object) -> None:
        if recorded != computed:
            self.add(where, recorded, computed)

    def compare_members(
        self, where: str, recorded: Mapping[str, Any], computed: Mapping[str, Any]
    ) -> None:
        for name in dict.fromkeys((*recorded, *computed)):
            self.compare(f"{where} {name}", recorded.get(name), computed.get(name))

    def compare_tables(self, where: str, recorded: pa.Table, computed: pa.Table) -> None:
        self.compare(f"{where} rows", recorded.num_rows, computed.num_rows)
        rows = min(recorded.num_rows, computed.num_rows)
        for name in computed.column_names:
            theirs, ours = (table.column(name)[:rows] for table in (recorded, computed))
            if pa.types.is_dictionary(theirs.type):
                theirs, ours = theirs.cast(pa.string()), ours.cast(pa.string())
            differ = pc.or_(
                pc.fill_null(pc.not_equal(theirs, ours), False),  # noqa: FBT003
                pc.xor(theirs.is_null(), ours.is_null()),
            )
            at = np.flatnonzero(differ.to_numpy())
            for row in at[:MISMATCHES_LISTED]:
                self.add(f"{where} row {row + 1} {name}", theirs[row], ours[row])
            if len(at) > MISMATCHES_LISTED:
                self.add(f"{where} {name}", "as computed", f"{len(at)} rows differ in all")


def _compare_run_file(record: RunRecord, directory: Path, found: _Findings) -> None:
    try:
        kept = (directory / evidence.RUN_FILE).read_bytes()
    except OSError as error:
        found.add(evidence.RUN_FILE, "readable", error.strerror or error)
        return
    if kept != record.canonical():
        found.add(evidence.RUN_FILE, "the record's canonical bytes", "other bytes")


def _compare_seed(record: RunRecord, directory: Path, found: _Findings) -> None:
    methodology = record.method.methodology()
    found.compare("run.json method effective", record.method.effective, methodology.effective)
    found.compare_members("run.json decisions", record.method.decisions, methodology.decisions())
    problems = Problems()
    sources = _kept_sources(record, directory, "volumes")
    found.compare("sources volumes", 1, len(sources))
    for source in sources:
        place = Place(source=source.name, problems=problems)
        volumes = volumes_of_source(source, methodology.securities, place)
        try:
            problems.refuse_if_any()
            seed = derive_seed(volumes.asks, methodology.securities, source=source.name)
        except Refused as error:
            found.add(f"sources/{source.kept_as}", "readable", error)
            continue
        found.compare_members("run.json seed", asdict(record.seed), asdict(SeedRecord.of(seed)))
        of_seed = tuple(WarningRecord.of(warning) for warning in seed.warnings())
        recorded = tuple(
            warning
            for warning in record.warnings
            if warning.rule != "P3" and warning.code not in occ.CODES
        )
        found.compare("run.json warnings", recorded, of_seed)


def _compare_sources(record: RunRecord, _: Path, found: _Findings) -> None:
    """What the record says of the kept sources, which the evidence's digests cover too."""
    for source in record.sources:
        if source.kept_as is None:
            continue
        file = record.digest_of(f"{evidence.SOURCES}/{source.kept_as}")
        if file is None:
            found.add(f"{evidence.SOURCES}/{source.kept_as}", "a kept source", "no digest of it")
            continue
        where = f"run.json sources {source.kept_as}"
        found.compare(f"{where} sha256", source.sha256, file.sha256)
        found.compare(f"{where} size", source.size, file.size)


def _compare_notices(record: RunRecord, directory: Path, found: _Findings) -> None:
    problems = Problems()
    read = [
        notices_of_source(
            source, record.business_date, Place(source=source.name, problems=problems)
        )
        for source in _kept_sources(record, directory, "notices")
    ]
    for problem in problems:
        found.add("sources notices", "readable", problem)
    tables = [notices for notices, _ in read]
    computed = evidence.sorted_notices(
        pa.concat_tables(tables) if tables else NOTICES.empty_table()
    )
    recorded = evidence.read_table(directory, evidence.NOTICES_FILE)
    found.compare_tables(evidence.NOTICES_FILE, recorded, computed)
    _compare_occ_reports(record, directory, read, found)


def _compare_occ_reports(
    record: RunRecord,
    directory: Path,
    read: Sequence[tuple[pa.Table, pa.Table | None]],
    found: _Findings,
) -> None:
    """What OCC says of the notices besides, as their sources have it."""
    is_said = any(reports is not None for _, reports in read)
    is_kept = record.digest_of(evidence.OCC_REPORTS_FILE) is not None
    if is_said != is_kept:
        told = ("nothing said besides", "what OCC says besides")
        found.add(evidence.OCC_REPORTS_FILE, told[is_kept], told[is_said])
    elif is_kept:
        parts = [nothing_said(notices) if reports is None else reports for notices, reports in read]
        computed = evidence.sorted_occ_reports(pa.concat_tables(parts))
        recorded = evidence.read_table(directory, evidence.OCC_REPORTS_FILE)
        found.compare_tables(evidence.OCC_REPORTS_FILE, recorded, computed)


def _compare_occ(record: RunRecord, directory: Path, found: _Findings) -> None:
    """The warnings of pools whose total is not OCC's own figure."""
    recorded = tuple(warning for warning in record.warnings if warning.code in occ.CODES)
    computed: tuple[WarningRecord, ...] = ()
    positions, problems = _occ_positions_again(record, directory)
    for problem in problems:
        found.add("sources occ_positions", "readable", problem)
    if positions is not None:
        pools = evidence.read_table(directory, evidence.POOLS_FILE)
        taken_off = None
        if record.digest_of(evidence.TAKEN_OFF_FILE) is not None:
            taken_off = evidence.read_table(directory, evidence.TAKEN_OFF_FILE)
        try:
            given = occ.as_given(pools, taken_off)
            computed = occ.warnings_of(occ.occ_shorts(positions, given), given)
        except pa.ArrowInvalid as error:
            found.add(evidence.POOLS_FILE, "totals of 64 bits", error)
    found.compare("run.json warnings of OCC", recorded, computed)


def _occ_positions_again(record: RunRecord, directory: Path) -> tuple[pa.Table | None, Problems]:
    """OCC's own figures as they were received, None where there were none; what is wrong there."""
    problems = Problems()
    sources = _kept_sources(record, directory, "occ_positions")
    if not sources:
        return None, problems
    tables = [
        occ_positions_of_source(
            source, record.business_date, Place(source=source.name, problems=problems)
        )
        for source in sources
    ]
    return pa.concat_tables(tables), problems


def _compare_allocation(record: RunRecord, directory: Path, found: _Findings) -> None:
    notices = evidence.read_table(directory, evidence.NOTICES_FILE)
    allocations, broken = (
        evidence.read_table(directory, name)
        for name in (evidence.ALLOCATIONS_FILE, evidence.BROKEN_POSITIONS_FILE)
    )
    positions = pa.concat_tables([allocations.select(BROKEN_POSITIONS.names), broken])
    given = positions
    if record.digest_of(evidence.TAKEN_OFF_FILE) is not None:
        given, positions = _take_off_again(directory, positions, found)
    day = _allocate_again(record, notices, positions, found)
    if day is None:
        return
    _compare_day(record, directory, day, found)
    day_given = day if given is positions else _allocate_again(record, notices, given, found)
    if day_given is not None:
        occ_positions, _ = _occ_positions_again(record, directory)
        computed = _content_of(record, notices, day_given, occ_positions)
        found.compare("run.json content_sha256", record.content_sha256, computed)


def _compare_by_sql(record: RunRecord, directory: Path, found: _Findings) -> None:
    """As `_compare_allocation`, but the content's digest and what gross positions had."""
    computed = sql_replay.compute(directory)
    broken = computed.pools.filter(pc.is_valid(computed.pools.column("break_reason")))
    breaks = tuple(
        Break(
            occ_account=pool["occ_account"],
            series=pool["series"],
            reason=pool["break_reason"],
            assigned_quantity=pool["assigned_quantity"],
            total_short=pool["total_short"],
        )
        for pool in broken.to_pylist()
    )
    day = Day(
        pools=computed.pools,
        allocations=computed.allocations,
        broken_positions=computed.broken_positions,
        breaks=breaks,
    )
    _compare_day(record, directory, day, found)


def _compare_day(record: RunRecord, directory: Path, day: Day, found: _Findings) -> None:
    for name, computed in (
        (evidence.POOLS_FILE, day.pools),
        (evidence.ALLOCATIONS_FILE, day.allocations),
        (evidence.BROKEN_POSITIONS_FILE, day.broken_positions),
    ):
        found.compare_tables(name, evidence.read_table(directory, name), computed)
    found.compare_members("run.json", _figures(record), _figures_of(day))


def _take_off_again(
    directory: Path, positions: pa.Table, found: _Findings
) -> tuple[pa.Table, pa.Table]:
    """The gross positions as given, and net again, without what was assigned before."""
    taken_off = evidence.read_table(directory, evidence.TAKEN_OFF_FILE)
    given = put_back(positions, taken_off).select(POSITIONS.names).cast(POSITIONS)
    assigned = taken_off.rename_columns([*BROKEN_POSITIONS.names, "assigned_quantity"])
    net = take_off(given, assigned)
    for account in net.unmatched[:MISMATCHES_LISTED]:
        where = f"{evidence.TAKEN_OFF_FILE} account {account.account}"
        found.add(where, account.assigned_quantity, f"at most {account.short_quantity}")
    found.compare_tables(evidence.TAKEN_OFF_FILE, taken_off, net.taken_off)
    return given, net.positions


def _allocate_again(
    record: RunRecord, notices: pa.Table, positions: pa.Table, found: _Findings
) -> Day | None:
    methodology = record.method.methodology()
    arrangement = arrange(
        notices, positions.select(POSITIONS.names).cast(POSITIONS), methodology.account_order
    )
    for doubled in arrangement.doubled[:MISMATCHES_LISTED]:
        account = positions.column("account")[doubled.row]
        found.add("positions", "one row for each account", f"{account} appears twice")
    for row in arrangement.wrong_accounts[:MISMATCHES_LISTED]:
        found.add("positions", "accounts", repr(positions.column("account")[int(row)].as_py()))
    if re.fullmatch("[0-9]{4}", record.seed.digits) is None:
        found.add("run.json seed digits", repr(record.seed.digits), "four digits")
        return None
    if arrangement.doubled or arrangement.wrong_accounts.size:
        return None
    try:
        return allocate(
            arrangement,
            ten_thousandths=int(record.seed.digits) + 1,
            zero_hit=methodology.zero_hit,
        )
    except TotalTooLarge as error:
        found.add(evidence.POOLS_FILE, "totals of 64 bits", error)
        return None


def _figures(record: RunRecord) -> Mapping[str, Any]:
    return {
        "state": record.state,
        "pool_count": record.pool_count,
        "notice_count": record.notice_count,
        "assigned_quantity": record.assigned_quantity,
        "allocated_quantity": record.allocated_quantity,
        "breaks": record.breaks,
    }


def _content_of(
    record: RunRecord, notices: pa.Table, day: Day, occ_positions: pa.Table | None
) -> str:
    return content_sha256(
        business_date=record.business_date.isoformat(),
        cycle=record.cycle,
        superseding=Superseding(runs=record.supersedes, reason=record.reason),
        positions_basis=record.positions_basis,
        method=record.method,
        seed=record.seed,
        notices=notices,
        day=day,
        occ_shorts=None if occ_positions is None else occ.occ_shorts(occ_positions, day.pools),
    )


def _figures_of(day: Day) -> Mapping[str, Any]:
    return {
        "state": ALLOCATED_WITH_BREAKS if day.breaks else ALLOCATED,
        "pool_count": day.pools.num_rows,
        "notice_count": sum(day.pools.column("notice_count").to_pylist()),
        "assigned_quantity": sum(day.pools.column("assigned_quantity").to_pylist()),
        "allocated_quantity": day.allocated_quantity,
        "breaks": tuple(BreakRecord.of(broken) for broken in day.breaks),
    }


def _kept_sources(record: RunRecord, directory: Path, role: str) -> list[SourceFile]:
    return [
        _kept_source(source, directory)
        for source in record.sources
        if source.role == role and source.kept_as is not None
    ]


def _kept_source(source: SourceRecord, directory: Path) -> SourceFile:
    path = directory / evidence.SOURCES / str(source.kept_as)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise LedgerDamaged(f"sources/{source.kept_as}: {error.strerror}") from error
    return SourceFile.of(
        source.role,
        source.name,
        path.suffix,
        content,
        part=path.stem.removeprefix(source.role),
    )
