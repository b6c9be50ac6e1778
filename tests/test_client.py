"""The client: rows or Arrow in, the library's values out, and the library's errors."""

from __future__ import annotations

import datetime as dt
import sqlite3
from collections.abc import Callable, Iterator
from concurrent import futures
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Final, NoReturn, cast

import grpc
import pytest

from lottery import errors, operations
from lottery.client import LotteryClient
from lottery.day.tables import ALLOCATIONS, POOLS
from lottery.errors import Conflict, LotteryError, PoolBroken, Problem, Refused, RunNotFound
from lottery.intake.wire import NOTICE_ROWS, POSITION_ROWS
from lottery.ledger.store import DATABASE, Ledger
from lottery.v1 import audit_service_pb2_grpc, lottery_service_pb2_grpc
from lottery.v1 import lottery_service_pb2 as pb
from server.app import LotteryServer
from server.audit_service import AuditService
from server.lottery_service import LotteryService
from server.status import aborting
from tests import reference
from tests.days import (
    AAPL,
    ASKS,
    DATE,
    FULL,
    GE,
    META,
    NEXT_DATE,
    OTHER_ASKS,
    PUBLISHED,
    TESTER,
    Row,
    SmallDay,
    notice,
    position,
    table_of,
)
from tests.server.calls import serving
from tests.tables import exchange_asks

BEFORE: Final = dt.date(2024, 9, 5)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[LotteryServer]:
    with serving(tmp_path / "ledger", lock_seconds=0.1, max_rows=5_000) as server:
        yield server


@pytest.fixture
def client(server: LotteryServer) -> Iterator[LotteryClient]:
    with LotteryClient(f"127.0.0.1:{server.port}", timeout=60) as client:
        yield client


def run_rows(client: LotteryClient, day: SmallDay, **given: Any) -> operations.RunOutcome:
    """Runs a day as rows."""
    return client.run_lottery(
        **{
            "business_date": day.date,
            "asks": exchange_asks(day.asks),
            "notices": day.notices,
            "positions": day.positions,
            **given,
        }
    )


def run_arrow(client: LotteryClient, day: SmallDay) -> operations.RunOutcome:
    """Runs a day as Arrow tables."""
    return run_rows(
        client,
        day,
        notices=table_of(day.notices, NOTICE_ROWS),
        positions=table_of(day.positions, POSITION_ROWS),
    )


def allocate(client: LotteryClient, **given: Any) -> Any:
    """Allocates the published pool, or what is given in its place."""
    return client.allocate_series(
        **{
            "business_date": DATE,
            "asks": exchange_asks(ASKS),
            "series": AAPL,
            "assigned_quantity": 10,
            "positions": [("1046", 30), ("1047", 30), ("1048", 5)],
            **given,
        }
    )


def test_the_published_seed_comes_with_every_step(client: LotteryClient) -> None:
    derived = client.derive_seed(exchange_asks(ASKS))

    assert [volume.volume for volume in derived.seed.volumes] == [
        86_245_713,
        11_820_946,
        40_793_388,
        143_571_263,
    ]
    assert (derived.seed.composite, derived.seed.fraction) == ("282431310", "0.4314")
    assert derived.warnings == ()


def test_a_zero_ask_comes_with_its_warning(client: LotteryClient) -> None:
    derived = client.derive_seed(exchange_asks({**ASKS, "Z901439": "0"}))

    assert [warning.code for warning in derived.warnings] == ["ZERO_ASK"]


def test_the_published_pool_comes_as_rows_of_the_contracts_columns(client: LotteryClient) -> None:
    answer = allocate(client, occ_account="C")
    expected = reference.allocate_day([notice("", AAPL, 10)], PUBLISHED.positions, ASKS)

    assert answer.pool == {**expected.pools[0], "occ_account": "C"}
    assert answer.allocations == [{**row, "occ_account": "C"} for row in expected.allocations]
    assert answer.seed.digits == "4313"


def test_a_pool_is_allocated_by_the_decisions_given(client: LotteryClient) -> None:
    answer = allocate(
        client,
        assigned_quantity=1,
        positions=[("99", 1), ("1000", 1)],
        decisions={"account_order": "code-point", "zero_hit": "first"},
    )

    assert [(row["account"], row["assigned_quantity"]) for row in answer.allocations] == [
        ("1000", 1),
        ("99", 0),
    ]


def test_rows_and_arrow_are_one_run_and_come_back_as_the_references_tables(
    client: LotteryClient,
) -> None:
    by_rows = run_rows(client, FULL)
    by_arrow = run_arrow(client, FULL)
    expected = reference.allocate_day(FULL.notices, FULL.positions, ASKS)

    assert (by_rows.already_recorded, by_arrow.already_recorded) == (False, True)
    assert by_rows.record == by_arrow.record
    allocations, pools = client.allocations("latest"), client.pools("latest")
    assert (allocations.schema, pools.schema) == (ALLOCATIONS, POOLS)
    assert allocations.to_pylist() == expected.allocations
    assert pools.to_pylist() == expected.pools


def test_rows_may_come_from_an_iterator_and_leave_out_the_occ_account(
    client: LotteryClient,
) -> None:
    outcome = run_rows(
        client,
        PUBLISHED,
        notices=({"notice_id": "A1", "series": AAPL, "quantity": 10} for _ in range(1)),
        positions=iter([{"series": AAPL, "account": "1046", "short_quantity": 30}]),
    )

    assert outcome.record.assigned_quantity == 10


@pytest.mark.parametrize("run", [run_rows, run_arrow])
def test_more_rows_than_a_message_holds_are_sent_in_several(
    client: LotteryClient, run: Callable[[LotteryClient, SmallDay], operations.RunOutcome]
) -> None:
    day = SmallDay(
        notices=[notice("A1", AAPL, 4_500)],
        positions=[position(AAPL, str(account), 1) for account in range(1, 4_501)],
    )

    outcome = run(client, day)

    assert outcome.record.allocated_quantity == 4_500
    assert client.allocations(outcome.record.run).num_rows == 4_500


def test_a_run_is_got_as_it_was_recorded(client: LotteryClient) -> None:
    record = run_rows(client, PUBLISHED).record

    assert client.get_run(record.run) == record
    assert client.get_run("latest") == record


def test_runs_are_listed_over_all_pages(client: LotteryClient, server: LotteryServer) -> None:
    run_rows(client, PUBLISHED)
    for number in range(1, 103):
        series = f"SPY   240920C{number:08d}"
        run_rows(
            client,
            SmallDay(
                notices=[notice(f"N{number}", series, 1)],
                positions=[position(series, "1", 1)],
                date=DATE + dt.timedelta(days=number),
            ),
        )
    recorded = [record.run for record in server.ledger.iterate()]

    assert [record.run for record in client.list_runs()] == recorded
    assert len(recorded) == 103
    assert [record.run for record in client.list_runs(last=DATE)] == recorded[:1]
    assert [record.run for record in client.list_runs(first=NEXT_DATE)] == recorded[1:]


def test_allocations_are_filtered(client: LotteryClient) -> None:
    run_rows(client, FULL)

    of_pool = client.allocations("latest", series=META, occ_account="C")
    of_account = client.allocations("latest", account="1047")
    of_nobody = client.allocations("latest", account="4711")

    assert of_pool.column("account").to_pylist() == ["0042", "1993", "48213", "2381947"]
    assert of_account.column("series").to_pylist() == [AAPL]
    assert (of_nobody.num_rows, of_nobody.schema) == (0, ALLOCATIONS)


def test_workings_are_those_of_the_library(client: LotteryClient, server: LotteryServer) -> None:
    run_rows(client, FULL)

    for asked in ({"series": AAPL}, {"series": GE, "occ_account": "C"}, {"account": "0815"}):
        assert client.explain("latest", **asked) == operations.explain(
            server.ledger, "latest", **asked
        )


def test_replays_are_those_of_the_library(client: LotteryClient, server: LotteryServer) -> None:
    run = run_rows(client, PUBLISHED).record.run
    run_rows(client, SmallDay(notices=FULL.notices, positions=FULL.positions, date=NEXT_DATE))
    every = list(operations.replay_dates(server.ledger))

    assert client.replay_run(run) == every[0]
    assert list(client.replay_dates()) == every
    assert list(client.replay_dates(first=DATE)) == every
    assert list(client.replay_dates(last=DATE)) == every[:1]
    assert list(client.replay_dates(first=NEXT_DATE, last=NEXT_DATE)) == every[1:]


@pytest.mark.parametrize(
    ("call", "kind", "reason"),
    [
        (lambda client: allocate(client, series="AAPL"), Refused, "INVALID_INPUT"),
        (lambda client: client.derive_seed([]), Refused, "INVALID_SEED"),
        (
            lambda client: allocate(client, business_date=BEFORE),
            Refused,
            "METHOD_NOT_IN_FORCE",
        ),
        (lambda client: allocate(client, assigned_quantity=66), PoolBroken, "EXCEEDS_SHORT"),
        (lambda client: allocate(client, positions=[]), PoolBroken, "NO_POSITION"),
        (lambda client: client.get_run("2024-09-16-009"), RunNotFound, "RUN_NOT_FOUND"),
        (
            lambda client: client.explain("latest", account="4711"),
            errors.NotInRun,
            "NOT_IN_RUN",
        ),
        (
            lambda client: run_rows(client, PUBLISHED.renamed("X")),
            Conflict,
            "POOL_ALREADY_ALLOCATED",
        ),
        (
            lambda client: run_rows(client, PUBLISHED, notices=[notice("A1", AAPL, 9)]),
            Conflict,
            "NOTICE_ALREADY_ALLOCATED",
        ),
        (
            lambda client: run_rows(client, PUBLISHED, asks=exchange_asks(OTHER_ASKS)),
            Conflict,
            "SEED_CONFLICT",
        ),
        (
            lambda client: run_rows(client, PUBLISHED.renamed("X"), request_id="morning"),
            Conflict,
            "REQUEST_ID_REUSED",
        ),
        (
            lambda client: allocate(
                client, positions=[(str(account), 1) for account in range(5_001)]
            ),
            errors.LimitExceeded,
            "LIMIT_EXCEEDED",
        ),
    ],
)
def test_what_the_server_refuses_is_the_librarys_own_error(
    client: LotteryClient,
    call: Callable[[LotteryClient], object],
    kind: type[LotteryError],
    reason: str,
) -> None:
    run_rows(client, PUBLISHED, request_id="morning")

    with pytest.raises(kind) as caught:
        call(client)

    assert type(caught.value) is kind
    assert caught.value.reason == reason


def test_a_busy_ledger_is_the_librarys_own_error(
    client: LotteryClient, server: LotteryServer
) -> None:
    with closing(sqlite3.connect(server.ledger.directory / DATABASE)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(errors.LedgerBusy):
            run_rows(client, PUBLISHED)
        other.execute("ROLLBACK")

    assert not run_rows(client, PUBLISHED).already_recorded


def test_a_message_past_the_servers_limit_is_a_limit_exceeded(tmp_path: Path) -> None:
    positions = [(str(account), 1) for account in range(1_000)]
    with (
        serving(tmp_path / "ledger", max_message_bytes=4_096) as server,
        LotteryClient(f"127.0.0.1:{server.port}") as client,
        pytest.raises(errors.LimitExceeded) as caught,
    ):
        allocate(client, positions=positions)

    assert caught.value.limit == "max_message_bytes"


def test_a_break_has_both_figures(client: LotteryClient) -> None:
    with pytest.raises(PoolBroken) as caught:
        allocate(client, assigned_quantity=66)

    assert (caught.value.assigned_quantity, caught.value.total_short) == (66, 65)


def test_a_conflict_names_the_run_that_stands(client: LotteryClient) -> None:
    run_rows(client, PUBLISHED)

    with pytest.raises(Conflict) as caught:
        run_rows(client, PUBLISHED.renamed("X"))

    assert caught.value.run == "2024-09-16-001"
    assert "2024-09-16-001" in str(caught.value)


def test_every_problem_comes_with_its_place(client: LotteryClient) -> None:
    with pytest.raises(Refused) as caught:
        run_rows(
            client,
            PUBLISHED,
            notices=[notice("A1", AAPL, 1), notice("A2", "AAPL", 0)],
            positions=table_of([position(AAPL, "1046", -1)], POSITION_ROWS),
        )

    assert [(problem.source, problem.row, problem.column) for problem in caught.value.problems] == [
        ("arrow_positions", 1, "short_quantity"),
        ("notices", 2, "series"),
        ("notices", 2, "quantity"),
    ]
    assert caught.value.total == 3


def test_problems_past_the_details_are_counted(client: LotteryClient) -> None:
    with pytest.raises(Refused) as caught:
        run_rows(
            client,
            PUBLISHED,
            positions=[position("no series", "no account", -1) for _ in range(1_000)],
        )

    assert caught.value.total == 3_000
    assert 10 < len(caught.value.problems) < 200
    assert str(caught.value).endswith(f"and {caught.value.unlisted} more")


@pytest.mark.parametrize("as_arrow", [False, True])
def test_a_refusal_has_the_servers_reason_with_more_problems_than_are_sent(
    client: LotteryClient, *, as_arrow: bool
) -> None:
    rows: list[Row] = [notice(f"A{number}", "no series", 1) for number in range(200)]

    with pytest.raises(Refused) as caught:
        run_rows(
            client,
            PUBLISHED,
            business_date=BEFORE,
            notices=table_of(rows, NOTICE_ROWS) if as_arrow else rows,
        )

    assert caught.value.reason == "METHOD_NOT_IN_FORCE"


def test_a_refusal_for_rows_is_none_for_the_seed_with_more_problems_than_are_sent(
    client: LotteryClient,
) -> None:
    asks = {f"Z{number:06d}": "1" for number in range(200)}

    with pytest.raises(Refused) as caught:
        run_rows(client, PUBLISHED, asks=exchange_asks(asks), notices=[notice("A1", "?", 1)])

    assert caught.value.reason == "INVALID_INPUT"


EVERY_ERROR: Final[list[LotteryError]] = [
    Refused([Problem(source="notices", message="no", row=3, column="quantity")]),
    Refused([Problem(source="exchange_asks", message="no", reason=errors.INVALID_SEED)]),
    Refused([Problem(source="business_date", message="no", reason=errors.METHOD_NOT_IN_FORCE)]),
    Refused([Problem(source="positions", message="no")], total=70),
    PoolBroken("EXCEEDS_SHORT", assigned_quantity=66, total_short=65),
    PoolBroken("NO_POSITION", assigned_quantity=66, total_short=0),
    *(Conflict(reason, "it stands", run="2024-09-16-001") for reason in sorted(errors.CONFLICTS)),
    RunNotFound("2024-09-16-001"),
    RunNotFound("latest"),
    errors.NotInRun("no such pool"),
    errors.LimitExceeded("too much", limit="max_rows=1"),
    errors.LedgerBusy("another process is writing"),
    errors.LedgerDamaged("it changed"),
    errors.LedgerNotFound("there is none"),
    errors.LedgerUnwritable("the disk is full"),
]


class RefusingLedger:
    """A ledger that answers everything with one error."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    def get(self, _: str) -> NoReturn:
        raise self._error


class CountingService(LotteryService):
    """Takes a run in, keeps what it was told, and refuses."""

    def __init__(self) -> None:
        ledger = cast("Ledger", RefusingLedger(RunNotFound("latest")))
        super().__init__(ledger, max_rows=1_000, identify=lambda _: TESTER)
        self.messages: list[pb.RunLotteryRequest] = []

    @aborting
    def RunLottery(  # noqa: N802 - gRPC's name.
        self,
        request: Iterator[pb.RunLotteryRequest],
        context: grpc.ServicerContext,  # noqa: ARG002 - gRPC's signature.
    ) -> NoReturn:
        self.messages.extend(request)
        raise RunNotFound("latest")


@contextmanager
def client_of(service: lottery_service_pb2_grpc.LotteryServiceServicer) -> Iterator[LotteryClient]:
    """A client of a service on loopback."""
    server = grpc.server(futures.ThreadPoolExecutor(1))
    lottery_service_pb2_grpc.add_LotteryServiceServicer_to_server(service, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        with LotteryClient(f"127.0.0.1:{port}", timeout=60) as client:
            yield client
    finally:
        server.stop(None).wait()


def service_over(error: Exception) -> LotteryService:
    """The real service over a ledger that refuses."""
    ledger = cast("Ledger", RefusingLedger(error))
    return LotteryService(ledger, max_rows=1_000, identify=lambda _: TESTER)


@pytest.mark.parametrize("error", EVERY_ERROR, ids=lambda error: error.reason)
def test_every_error_of_the_library_comes_back_as_itself(error: LotteryError) -> None:
    with client_of(service_over(error)) as client, pytest.raises(LotteryError) as caught:
        client.get_run("latest")

    assert type(caught.value) is type(error)
    assert caught.value.reason == error.reason
    assert caught.value.details() == error.details()
    assert str(caught.value) == str(error)


def test_every_kind_of_error_the_server_can_raise_is_tried_above() -> None:
    raised_elsewhere = {"ServerAway", "ServerFailed", "Abandoned", "OutputUnwritable"}
    of_the_library = {
        kind.__name__
        for kind in LotteryError.__subclasses__()
        if kind.__module__ == "lottery.errors"
    }

    assert {type(error).__name__ for error in EVERY_ERROR} == of_the_library - raised_elsewhere


def test_an_error_nobody_thought_of_is_a_server_that_failed() -> None:
    with (
        client_of(service_over(ZeroDivisionError("account 1046"))) as client,
        pytest.raises(errors.ServerFailed) as caught,
    ):
        client.get_run("latest")

    assert "1046" not in str(caught.value)


@pytest.mark.parametrize("as_arrow", [False, True])
def test_the_client_announces_how_many_rows_it_sends(*, as_arrow: bool) -> None:
    service = CountingService()
    with client_of(service) as client, pytest.raises(RunNotFound):
        (run_arrow if as_arrow else run_rows)(client, FULL)

    specs = [message.spec for message in service.messages if message.HasField("spec")]
    assert [(spec.notice_count, spec.position_count) for spec in specs] == [(6, 15)]
    assert service.messages[0].HasField("spec")


def test_a_server_that_is_not_there_is_away(tmp_path: Path) -> None:
    with serving(tmp_path / "ledger") as server:
        port = server.port
    with LotteryClient(f"127.0.0.1:{port}") as client:
        for call in (
            lambda: client.derive_seed(exchange_asks(ASKS)),
            lambda: run_rows(client, PUBLISHED),
            lambda: list(client.list_runs()),
            lambda: list(client.replay_dates()),
            lambda: client.allocations("latest"),
        ):
            with pytest.raises(errors.ServerAway):
                call()


def test_a_server_that_does_not_answer_in_time_is_away(server: LotteryServer) -> None:
    with (
        closing(sqlite3.connect(server.ledger.directory / DATABASE)) as other,
        LotteryClient(f"127.0.0.1:{server.port}", timeout=0.01) as client,
    ):
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(errors.ServerAway):
            run_rows(client, PUBLISHED)
        other.execute("ROLLBACK")


def test_a_server_that_lacks_the_service_has_failed() -> None:
    server = grpc.server(futures.ThreadPoolExecutor(1))
    audit = AuditService(cast("Ledger", RefusingLedger(RunNotFound("latest"))))
    audit_service_pb2_grpc.add_AuditServiceServicer_to_server(audit, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        with LotteryClient(f"127.0.0.1:{port}", timeout=60) as client:
            with pytest.raises(RunNotFound):
                client.replay_run("latest")
            with pytest.raises(errors.ServerFailed, match="UNIMPLEMENTED"):
                client.get_run("latest")
    finally:
        server.stop(None).wait()
