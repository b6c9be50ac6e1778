"""Replay of a run's inputs: sources as received, seed, notices, positions, OCC's own figures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path

import pyarrow as pa

from lottery.audit.differences import (
    Difference,
    compare,
    compare_members,
    compare_tables,
)
from lottery.day.allocate import PositionsInvalid
from lottery.day.assigned_pools import assigned_pools
from lottery.day.own_occ_accounts import arranged_positions
from lottery.day.tables import NOTICES, OCC_REPORTS
from lottery.errors import NO_PROBLEMS, LedgerDamaged, Problems, Refused
from lottery.intake.as_of import date_of
from lottery.intake.compressed import suffix_of
from lottery.intake.kept import (
    notices_of_source,
    occ_positions_of_source,
    positions_of_sources,
)
from lottery.intake.mapping import PLAIN, ROLE, FileMapping, mappings_of_source
from lottery.intake.members import choose_member
from lottery.intake.memory import MemoryLimit
from lottery.intake.occ_reports import empty_reports
from lottery.intake.sources import SourceFile
from lottery.intake.volumes import volumes_of_source
from lottery.ledger import evidence
from lottery.ledger import occ_positions as occ
from lottery.ledger.run_record import (
    RunRecord,
    SourceRecord,
)
from lottery.ledger.warning_codes import OCC_SHORT_WARNINGS, SEED_WARNINGS
from lottery.method.methodology import PositionsSource
from lottery.method.seed import RuleWarning, derive_seed


def compare_sources(record: RunRecord, _: Path, __: MemoryLimit) -> Iterator[Difference]:
    """Compare what the record says of kept sources with the digests of its evidence.

    What says of which date it is must be of the run's (P7, S8).
    """
    for source in record.sources:
        if source.as_of is not None and date_of(source.as_of) != record.business_date:
            where = f"run.json sources {source.role} as_of"
            yield Difference(where, source.as_of, f"a time of {record.business_date}")
        if source.kept_as is None:
            continue
        name = f"{evidence.SOURCES}/{source.kept_as}"
        file = record.digest_of(name)
        if file is None:
            yield Difference(name, "a kept source", "no digest of it")
            continue
        where = f"run.json sources {source.kept_as}"
        yield from compare(f"{where} sha256", source.sha256, file.sha256)
        yield from compare(f"{where} size", source.size, file.size)


def compare_seed(record: RunRecord, directory: Path, memory: MemoryLimit) -> Iterator[Difference]:
    """Compare the method, the seed and its warnings."""
    methodology = record.method.methodology()
    yield from compare("run.json method effective", record.method.effective, methodology.effective)
    decisions = methodology.decisions()
    yield from compare_members("run.json decisions", record.method.decisions, decisions)
    sources = _kept_sources(record, directory, "volumes", memory)
    yield from compare("sources volumes", 1, len(sources))
    for source in sources:
        volumes = volumes_of_source(source, methodology.securities)
        try:
            volumes.problems.refuse_if_any()
            seed = derive_seed(volumes.asks, methodology.securities, source=source.name)
        except Refused as error:
            yield Difference(f"{evidence.SOURCES}/{source.kept_as}", "readable", error)
            continue
        yield from compare_members("run.json seed", asdict(record.seed), asdict(seed))
        where = f"run.json sources {source.kept_as} as_of"
        yield from compare(where, source.as_of, volumes.sources[0].as_of)
        recorded = tuple(warning for warning in record.warnings if warning.code in SEED_WARNINGS)
        yield from compare("run.json warnings", recorded, seed.warnings())


def compare_notices(
    record: RunRecord, directory: Path, memory: MemoryLimit
) -> Iterator[Difference]:
    """Compare the notices, and OCC's own reports of them, with their sources."""
    mapping = _mapping_of(record, directory, "notices", memory)
    received = [
        notices_of_source(source, record.business_date, mapping, memory)
        for source in _kept_sources(record, directory, "notices", memory)
    ]
    for problem in sum((part.problems for part in received), NO_PROBLEMS):
        yield Difference("sources notices", "readable", problem)
    notices = pa.concat_tables([NOTICES.empty_table(), *(part.table for part in received)])
    has_reports = any(part.occ_reports is not None for part in received)
    reports = pa.concat_tables(
        [
            OCC_REPORTS.empty_table(),
            *(
                empty_reports(part.table) if part.occ_reports is None else part.occ_reports
                for part in received
            ),
        ]
    )
    other_members = record.method.methodology().other_members
    choice = choose_member(notices, reports, record.clearing_member, other_members)
    if choice.problem is not None:
        yield Difference("sources notices", "notices of one clearing member", choice.problem)
    if choice.counts is not None:
        notices, reports = notices.filter(choice.counts), reports.filter(choice.counts)
    yield from compare("run.json clearing_member", record.clearing_member, choice.member)
    left_out = tuple(warning for warning in record.warnings if warning.rule == "P8")
    computed_warnings = () if choice.warning is None else (choice.warning,)
    yield from compare("run.json warnings of other members", left_out, computed_warnings)
    recorded = evidence.read_table(directory, evidence.NOTICES_FILE, memory=memory)
    computed = evidence.sorted_notices(notices)
    yield from compare_tables(evidence.NOTICES_FILE, recorded, computed)
    if has_reports != bool(record.files_of(evidence.OCC_REPORTS_FILE)):
        texts = ("no reports of OCC", "reports of OCC")
        yield Difference(evidence.OCC_REPORTS_FILE, texts[not has_reports], texts[has_reports])
    elif has_reports:
        recorded = evidence.read_table(directory, evidence.OCC_REPORTS_FILE, memory=memory)
        computed = evidence.sorted_occ_reports(reports)
        yield from compare_tables(evidence.OCC_REPORTS_FILE, recorded, computed)


def compare_positions(
    record: RunRecord, directory: Path, memory: MemoryLimit
) -> Iterator[Difference]:
    """Compare the positions with those as they were received, if these are kept (C1)."""
    methodology = record.method.methodology()
    paths = [
        directory / evidence.SOURCES / str(source.kept_as)
        for source in record.sources
        if source.role == "positions" and source.kept_as is not None
    ]
    came = any(source.role == "positions" for source in record.sources)  # Not to a withdrawal.
    is_kept = came and methodology.positions_source is PositionsSource.KEPT
    yield from compare("sources positions", bool(paths), is_kept)
    if not paths:
        return
    notices = evidence.read_table(directory, evidence.NOTICES_FILE, memory=memory)
    assigned = assigned_pools(notices, methodology.pool)
    try:
        mapping = _mapping_of(record, directory, "positions", memory)
        received = positions_of_sources(paths, assigned, methodology.account_order, mapping, memory)
    except OSError as error:
        raise LedgerDamaged(f"sources of the positions: {error.strerror}") from error
    for problem in received.problems:
        yield Difference("sources positions", "readable", problem)
    recorded = evidence.read_table(directory, evidence.POSITIONS_FILE, memory=memory)
    try:
        computed = arranged_positions(assigned, received.positions)
    except PositionsInvalid as error:
        yield Difference("sources positions", "one row for each account", error)
        return
    yield from compare_tables(evidence.POSITIONS_FILE, recorded, computed)


def compare_occ_warnings(
    record: RunRecord, directory: Path, memory: MemoryLimit
) -> Iterator[Difference]:
    """Compare the warnings of pools whose total is not OCC's own figure."""
    recorded = tuple(warning for warning in record.warnings if warning.code in OCC_SHORT_WARNINGS)
    computed: tuple[RuleWarning, ...] = ()
    positions, problems = received_occ_positions(record, directory, memory)
    for problem in problems:
        yield Difference("sources occ_positions", "readable", problem)
    if positions is not None:
        pools = evidence.read_table(directory, evidence.POOLS_FILE, memory=memory)
        try:
            computed = occ.warnings_of(occ.occ_shorts(positions, pools), pools)
        except pa.ArrowInvalid as error:
            yield Difference(evidence.POOLS_FILE, "totals of 64 bits", error)
    yield from compare("run.json warnings of OCC", recorded, computed)


def received_occ_positions(
    record: RunRecord, directory: Path, memory: MemoryLimit
) -> tuple[pa.Table | None, Problems]:
    """Return OCC's own figures as received, None if there are none, and what is wrong with them."""
    received = [
        occ_positions_of_source(source, record.business_date, memory)
        for source in _kept_sources(record, directory, "occ_positions", memory)
    ]
    problems = sum((part.problems for part in received), NO_PROBLEMS)
    return (pa.concat_tables(part.table for part in received) if received else None), problems


def _mapping_of(record: RunRecord, directory: Path, role: str, memory: MemoryLimit) -> FileMapping:
    """Return what the kept mapping says of a role's files, if there is one."""
    for source in _kept_sources(record, directory, ROLE, memory):
        return mappings_of_source(source).of_role.get(role, PLAIN)
    return PLAIN


def _kept_sources(
    record: RunRecord, directory: Path, role: str, memory: MemoryLimit
) -> Sequence[SourceFile]:
    return [
        _kept_source(source, directory, memory)
        for source in record.sources
        if source.role == role and source.kept_as is not None
    ]


def _kept_source(source: SourceRecord, directory: Path, memory: MemoryLimit) -> SourceFile:
    path = directory / evidence.SOURCES / str(source.kept_as)
    try:
        memory.check(path.name, path.stat().st_size)
        content = path.read_bytes()
    except OSError as error:
        raise LedgerDamaged(f"sources/{source.kept_as}: {error.strerror}") from error
    suffix = suffix_of(path)
    part = path.name.removesuffix(suffix).removeprefix(source.role)
    kept = SourceFile.of(source.role, source.name, suffix, content, part=part)
    return replace(kept, as_of=source.as_of)
