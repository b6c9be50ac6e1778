"""The builders that every test shares: rows, tables, days, files, requests, a recorded ledger.

Rows are dictionaries as `tests.reference` takes them, so that one list of rows goes to the library
and to the reference alike. `PUBLISHED` is the published example. `FULL` has a pool for each thing
that can happen: the published example, a zero hit (D2), a distribution that wraps and hits the
first account again (D4), and a break (D5).
"""

from __future__ import annotations

import csv
import datetime as dt
import io
import json
import random
import resource
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from lottery import operations
from lottery.audit.replay import Engine, Replayed, replay
from lottery.audit.verify import Fault
from lottery.day.allocate import Day, allocate
from lottery.day.assigned_pools import assigned_pools
from lottery.day.keys import key_table
from lottery.day.tables import LABEL, NOTICE_ROWS, NOTICES, POSITION_ROWS, POSITIONS
from lottery.errors import Refused
from lottery.intake import files
from lottery.intake.wire import IncomingRows, volumes_of_asks
from lottery.ledger.commit import Ledger
from lottery.ledger.holds import HOLDS
from lottery.ledger.run_record import Identity
from lottery.method.methodology import (
    JPMS_2024_09_06,
    AccountOrder,
    Methodology,
    PositionsSource,
    ZeroHit,
)
from lottery.method.seed import ExchangeAsk
from lottery.operations.ledgers import CharterTerms, LedgerSettings, init_ledger, open_ledger
from lottery.operations.requester import Requester
from lottery.stores.sqlite import FILE as DATABASE
from lottery.tlog.keys import VerifierKey
from tests.reference import Row

DATE = dt.date(2024, 9, 16)
NEXT_DATE = dt.date(2024, 9, 17)
ASKS = {
    "Z901803": "862.45713",
    "Z901439": "118.20946",
    "Z901466": "407.93388",
    "Z901448": "1435.71263",
}
"""The published asks; they make the fraction 0.4314."""
OTHER_ASKS = {**ASKS, "Z901803": "862.45714"}
PUBLISHED_TEN_THOUSANDTHS = 4314

AAPL = "AAPL  240920C00220000"
GOOGL = "GOOGL1240920C00155000"
META = "META  240920P00560000"
GE = "GE1   240920C00160000"
SPY = "SPY   240920P00550000"
ZVZZT = "ZVZZT 241018C00010000"

TRUSTED = "tester:operator,approver,auditor,service,administrator"
"""`LOTTERY_TRUST_LOCAL` of a test's server: a local caller may call everything."""
TESTER = Identity(kind="system-user", name="tester", host="backend")
REQUESTER = Requester(by=TESTER)
EVERY_HOLD = dict.fromkeys(HOLDS, "it is a test")
"""What requests acknowledge whose tests are not about holds (H1)."""
NOTICE_NAMES = ("notice_id", "series", "quantity", "occ_account")
POSITION_NAMES = ("series", "account", "short_quantity", "occ_account")


def notice(notice_id: str, series: str, quantity: str | int | None, occ_account: str = "") -> Row:
    """Return the row of a notice; a wrong value is for the tests of refusals."""
    return {
        "notice_id": notice_id,
        "series": series,
        "quantity": quantity,
        "occ_account": occ_account,
    }


def position(
    series: str, account: str | None, short_quantity: str | int | None, occ_account: str = ""
) -> Row:
    """Return the row of a position; a wrong value is for the tests of refusals."""
    return {
        "series": series,
        "account": account,
        "short_quantity": short_quantity,
        "occ_account": occ_account,
    }


def positions_of(
    series: str, shorts: Mapping[str, int] | Iterable[tuple[str, int]], occ_account: str = ""
) -> list[Row]:
    """Return the rows of a pool by its accounts and their short quantities."""
    pairs = shorts.items() if isinstance(shorts, Mapping) else shorts
    return [position(series, account, short, occ_account) for account, short in pairs]


PUBLISHED_POSITIONS = positions_of(AAPL, {"1048": 5, "1046": 30, "1047": 30})


@dataclass(frozen=True, slots=True, kw_only=True)
class SmallDay:
    """A day as rows: notices and positions, with its asks and its date."""

    notices: Sequence[Row]
    positions: Sequence[Row]
    asks: Mapping[str, str] = field(default_factory=lambda: ASKS)
    date: dt.date = DATE

    def renamed(self, prefix: str) -> SmallDay:
        """Return the same day with other notice ids."""
        return replace(
            self,
            notices=[{**row, "notice_id": f"{prefix}{row['notice_id']}"} for row in self.notices],
        )

    def later(self, days: int = 1) -> SmallDay:
        """Return the same day so many days later, with other notices and volumes.

        The composite's last two digits differ, which are not among the four that are cut (S4).
        """
        ask = Decimal(self.asks["Z901803"]) + days * Decimal("0.00001")
        return replace(
            self.renamed(f"D{days}-"),
            date=self.date + dt.timedelta(days=days),
            asks={**self.asks, "Z901803": str(ask)},
        )

    def shuffled(self, seed: int) -> SmallDay:
        """Return the same day with its rows in another order."""
        generator = random.Random(seed)  # noqa: S311 - no lottery is drawn with it.
        notices, positions = list(self.notices), list(self.positions)
        generator.shuffle(notices)
        generator.shuffle(positions)
        return replace(self, notices=notices, positions=positions)


PUBLISHED = SmallDay(notices=[notice("A1", AAPL, 10)], positions=PUBLISHED_POSITIONS)
FULL = SmallDay(
    notices=[
        notice("A1", AAPL, 10, "C"),
        notice("A2", GOOGL, 1, "C"),
        notice("A3", META, 30, "C"),
        notice("A4", META, 8, "C"),
        notice("A5", GE, 18, "C"),
        notice("A6", GE, 7, "C"),
    ],
    positions=[
        *positions_of(AAPL, {"1048": 5, "1046": 30, "1047": 30}, "C"),
        *positions_of(GOOGL, {"104611": 1, "263": 1}, "C"),
        *positions_of(META, {"0042": 12, "1993": 20, "48213": 5, "2381947": 3}, "C"),
        *positions_of(GE, {"904": 3, "0815": 10, "351406": 0, "9038415": 9}, "C"),
        position("KO    240920C00067500", "1046", 7, "C"),
        position(AAPL, "1046", 4, "F"),
    ],
)


def notices_table(rows: Iterable[Row]) -> pa.Table:
    """Return `tables.NOTICES` of rows."""
    return _labelled(rows, NOTICES)


def positions_table(rows: Iterable[Row]) -> pa.Table:
    """Return `tables.POSITIONS` of rows."""
    return _labelled(rows, POSITIONS)


def label(texts: Iterable[str]) -> pa.DictionaryArray:
    """Return a label column, whose dictionary has the texts in the order in which they come."""
    return pa.array(list(texts), pa.string()).dictionary_encode()


def without_chunks(schema: pa.Schema) -> pa.Table:
    """Return a table without rows, of which no column has a chunk."""
    return pa.table([pa.chunked_array([], kind) for kind in schema.types], schema=schema)


def in_chunks(table: pa.Table, rows_a_chunk: int) -> pa.Table:
    """Return the same rows in several chunks, each with label dictionaries of its own."""
    columns = []
    for column_field in table.schema:
        column = table.column(column_field.name)
        parts = [
            column.slice(start, rows_a_chunk).combine_chunks()
            for start in range(0, table.num_rows, rows_a_chunk)
        ]
        if column_field.type == LABEL:
            parts = [label(part.to_pylist()) for part in parts]
        columns.append(pa.chunked_array(parts, column_field.type))
    return pa.table(columns, schema=table.schema)


def allocate_rows(
    notices: Iterable[Row],
    positions: Iterable[Row],
    *,
    ten_thousandths: int = PUBLISHED_TEN_THOUSANDTHS,
    zero_hit: ZeroHit = ZeroHit.WRAP,
    account_order: AccountOrder = AccountOrder.NUMERIC,
    assigned_before: Sequence[int] | None = None,
) -> Day:
    """Allocate a day of rows; `assigned_before` is in the order of the pools."""
    return allocate_tables(
        notices_table(notices),
        positions_table(positions),
        ten_thousandths=ten_thousandths,
        zero_hit=zero_hit,
        account_order=account_order,
        assigned_before=assigned_before,
    )


def allocate_tables(
    notices: pa.Table,
    positions: pa.Table,
    *,
    ten_thousandths: int = PUBLISHED_TEN_THOUSANDTHS,
    zero_hit: ZeroHit = ZeroHit.WRAP,
    account_order: AccountOrder = AccountOrder.NUMERIC,
    assigned_before: Sequence[int] | None = None,
) -> Day:
    """Allocate a day of tables."""
    assigned = assigned_pools(notices)
    keyed = key_table(positions, assigned, account_order)
    return allocate(
        assigned,
        keyed,
        ten_thousandths=ten_thousandths,
        zero_hit=zero_hit,
        assigned_before=None if assigned_before is None else np.array(assigned_before, np.int64),
    )


def exchange_asks(asks: Mapping[str, str]) -> list[ExchangeAsk]:
    """Return asks as the method takes them."""
    return [
        ExchangeAsk(security_number=number, ask_price=ask_price)
        for number, ask_price in asks.items()
    ]


def asks_making(composite: int) -> dict[str, str]:
    """Return asks whose volumes add up to a composite, with a different share on every exchange."""
    eighth = composite // 8
    volumes = (composite - 6 * eighth, eighth, 2 * eighth, 3 * eighth)
    return {number: price_of(volume) for number, volume in zip(ASKS, volumes, strict=True)}


def price_of(volume: int) -> str:
    """Return the ask of a volume, with all of its five decimals."""
    return f"{volume // 100_000}.{volume % 100_000:05d}"


def rows_of(table: pa.Table) -> list[Row]:
    """Return a table's rows as dictionaries, in the order of its columns."""
    rows: list[Row] = table.to_pylist()
    return rows


def tuples_of(table: pa.Table, *names: str) -> list[tuple[str | int | None, ...]]:
    """Return a table's rows as tuples of the named columns, or of all of them."""
    columns: Iterator[list[str | int | None]] = (
        table.column(name).to_pylist() for name in names or table.column_names
    )
    return list(zip(*columns, strict=True))


def csv_text(rows: Sequence[Mapping[str, object]], names: Sequence[str] | None = None) -> str:
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, names or list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return buffer.getvalue()


def volumes_text(asks: Mapping[str, str]) -> str:
    return csv_text(_asks_of(asks))


def table_of(rows: Sequence[Row], schema: pa.Schema) -> pa.Table:
    return pa.table({name: [row.get(name) for row in rows] for name in schema.names}, schema=schema)


def write_files(day: SmallDay, directory: Path, suffix: str = ".csv") -> dict[str, Path]:
    """Write the day's three files; with Parquet the volumes are JSON."""
    directory.mkdir(parents=True, exist_ok=True)
    paths = {
        "notices": directory / f"notices{suffix}",
        "positions": directory / f"positions{suffix}",
        "volumes": directory / ("volumes.csv" if suffix == ".csv" else "volumes.json"),
    }
    if suffix == ".csv":
        paths["notices"].write_text(csv_text(day.notices, NOTICE_NAMES), "utf-8")
        paths["positions"].write_text(csv_text(day.positions, POSITION_NAMES), "utf-8")
        paths["volumes"].write_text(volumes_text(day.asks), "utf-8")
    else:
        pq.write_table(table_of(day.notices, NOTICE_ROWS), paths["notices"])
        pq.write_table(table_of(day.positions, POSITION_ROWS), paths["positions"])
        paths["volumes"].write_text(json.dumps(_asks_of(day.asks)), "utf-8")
    return paths


def request_of_files(
    paths: Mapping[str, Path],
    *,
    date: dt.date = DATE,
    cycle: int = 1,
    supersedes: Sequence[str] = (),
    methodology: Methodology = JPMS_2024_09_06,
    **given: Any,
) -> operations.RunRequest:
    """Return the request of a day's three files; more arguments are those of `RunRequest`."""
    given.setdefault("acknowledged", EVERY_HOLD)
    notices = files.read_notices(paths["notices"], business_date=date)
    return operations.RunRequest(
        business_date=date,
        cycle=cycle,
        notices=notices,
        positions=files.read_positions(
            paths["positions"],
            assigned_pools(notices.table, methodology.pool),
            methodology.account_order,
            keep=methodology.positions_source is PositionsSource.KEPT,
        ),
        volumes=files.read_volumes(paths["volumes"], methodology.securities),
        requested_by=TESTER,
        supersedes=tuple(supersedes),
        methodology=methodology,
        **given,
    )


def request_of(
    day: SmallDay, directory: Path, *, suffix: str = ".csv", **given: Any
) -> operations.RunRequest:
    """Return the request of a day through files, which are written to a directory."""
    return request_of_files(write_files(day, directory, suffix), date=day.date, **given)


def incoming(role: str, max_rows: int = 1_000_000) -> IncomingRows:
    return IncomingRows(role=role, max_rows=max_rows)


def columns_of(rows: Sequence[Row], schema: pa.Schema) -> list[list[object]]:
    return [[row[name] for row in rows] for name in schema.names]


def arrow_payload(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    content: bytes = sink.getvalue().to_pybytes()
    return content


def request_of_wire(
    day: SmallDay,
    *,
    as_arrow: bool,
    cycle: int = 1,
    methodology: Methodology = JPMS_2024_09_06,
    **given: Any,
) -> operations.RunRequest:
    """Return the request of a day through messages: rows, or two Arrow payloads of each role."""
    given.setdefault("acknowledged", EVERY_HOLD)

    def arrived(role: str, rows: Sequence[Row], schema: pa.Schema) -> IncomingRows:
        arriving = incoming(role)
        half = (len(rows) + 1) // 2
        for part in filter(None, (rows[:half], rows[half:])):
            if as_arrow:
                arriving.add_arrow(arrow_payload(table_of(part, schema)))
            else:
                arriving.add_rows(columns_of(part, schema))
        return arriving

    arrived_notices = arrived("notices", day.notices, NOTICE_ROWS)
    notices = arrived_notices.received(none_announced=not day.notices)
    return operations.RunRequest(
        business_date=day.date,
        cycle=cycle,
        notices=notices,
        positions=arrived("positions", day.positions, POSITION_ROWS).positions(
            assigned_pools(notices.table, methodology.pool),
            methodology.account_order,
            keep=methodology.positions_source is PositionsSource.KEPT,
        ),
        volumes=volumes_of_asks(exchange_asks(day.asks)),
        requested_by=TESTER,
        methodology=methodology,
        **given,
    )


def settings_of(ledger: Path, **given: Any) -> LedgerSettings:
    """Return the settings of the ledger in a directory; more arguments are `LedgerSettings`'."""
    return LedgerSettings(ledger=str(ledger), **given)


def made(ledger: Path, methodology: Methodology = JPMS_2024_09_06, **given: Any) -> Ledger:
    """Open the ledger in a directory; if there is none, make it with a method's decisions."""
    settings = settings_of(ledger, **given)
    if (ledger / DATABASE).exists():
        return open_ledger(settings)
    return init_ledger(settings, CharterTerms(decisions=methodology.decisions()), TESTER)


def opened(ledger: Path, **given: Any) -> Ledger:
    """Open the ledger in a directory; more arguments are those of `LedgerSettings`."""
    return open_ledger(settings_of(ledger, **given))


def record_in(ledger: Path, request: operations.RunRequest, **given: Any) -> operations.RecordedRun:
    """Run a request and record it in the ledger in a directory, which is made if need be."""
    return operations.run_lottery(made(ledger, request.methodology, **given), request)


def evidence_in(ledger: Path, run: str) -> Path:
    """Return the folder of a run's evidence in the ledger in a directory."""
    return ledger / opened(ledger).get(run).folder


def copied(directory: Path, to: Path) -> Path:
    """Copy a ledger or a folder of evidence, with files that may be changed."""
    shutil.copytree(directory, to)
    for path in to.rglob("*"):
        path.chmod(0o700 if path.is_dir() else 0o600)
    return to


def replays_of(ledger: Path, engine: Engine = Engine.COMPILED) -> list[Replayed]:
    """Replay every run of the ledger in a directory."""
    return list(operations.replay_dates(opened(ledger), REQUESTER, engine=engine))


def replay_of(ledger: Path, run: str, engine: Engine = Engine.COMPILED) -> Replayed:
    """Replay a run of the ledger in a directory."""
    return operations.replay_run(opened(ledger), run, REQUESTER, engine=engine)


def faults_of(ledger: Path, *, keys: Sequence[VerifierKey] = (), **given: Any) -> list[Fault]:
    """Return what `lottery verify` finds wrong with the ledger in a directory."""
    return list(operations.verify_ledger(settings_of(ledger, **given), keys=keys))


def assert_sound(ledger: Path) -> None:
    """Assert that a ledger is whole and signed, and that every run of it replays.

    Nothing is added to the ledger: a replay by `lottery replay` would be an entry of its log.
    """
    assert faults_of(ledger) == []
    there = opened(ledger)
    for record in there.iterate():
        with there.evidence_of(record) as folder:
            assert replay(record, folder).mismatches == ()


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """Refuse files of more bytes, as a full disk does."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def refusal(request: operations.RunRequest) -> Refused:
    """Return what the request is refused with.

    Raises:
        AssertionError: It is not refused.
    """
    try:
        operations.compute_day(request)
    except Refused as refused:
        return refused
    raise AssertionError("the request is not refused")


def _labelled(rows: Iterable[Row], schema: pa.Schema) -> pa.Table:
    listed = list(rows)
    columns = {
        column.name: label(_texts(listed, column.name))
        if column.type == LABEL
        else pa.array([row[column.name] for row in listed], column.type)
        for column in schema
    }
    return pa.table(columns, schema)


def _texts(rows: Iterable[Row], name: str) -> list[str]:
    return [str(row.get(name) or "") for row in rows]


def _asks_of(asks: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"security_number": number, "ask_price": ask} for number, ask in asks.items()]
