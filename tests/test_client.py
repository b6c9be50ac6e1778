"""The client: rows or Arrow in, the library's values out, and the library's errors.

What a server says of its log is not believed before it is proved: a log that a test puts together
lies in every way there is.
"""

from __future__ import annotations

import datetime as dt
import io
import socket
import sys
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent import futures
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NoReturn, cast

import grpc
import pytest

from lottery import errors, operations
from lottery.audit.replay import Engine
from lottery.client import LotteryClient
from lottery.client import rows as client_rows
from lottery.client.connection import REPEATED
from lottery.client.errors import call_again
from lottery.day.tables import ALLOCATIONS, NOTICE_ROWS, NOTICES, POOLS, POSITION_ROWS
from lottery.errors import (
    CheckpointInvalid,
    Conflict,
    LotteryError,
    NotInRun,
    PoolBroken,
    Problem,
    ProofInvalid,
    Refused,
    RunNotFound,
)
from lottery.ledger.commit import Ledger
from lottery.ledger.entry import canonical
from lottery.ledger.run_record import RunRecord
from lottery.method.methodology import JPMS_2024_09_06
from lottery.operations.variables import Variables
from lottery.tlog import merkle
from lottery.tlog.checkpoint import Checkpoint, sign_checkpoint
from lottery.tlog.keys import SigningKey
from lottery.v1 import audit_service_pb2 as audit_pb
from lottery.v1 import audit_service_pb2_grpc, lottery_service_pb2_grpc
from lottery.v1 import lottery_service_pb2 as pb
from server import responses, run_pages
from server.app import LotteryServer
from server.audit_service import AuditService
from server.lottery_service import LotteryService
from server.status import aborting
from tests import reference
from tests.builders import (
    AAPL,
    ASKS,
    DATE,
    EVERY_HOLD,
    FULL,
    GE,
    META,
    NEXT_DATE,
    PUBLISHED,
    TESTER,
    SmallDay,
    evidence_in,
    exchange_asks,
    made,
    notice,
    position,
    replays_of,
    request_of,
    table_of,
)
from tests.cli.calls import (
    fails,
    lottery,
    write_lock,
)
from tests.reference import Row
from tests.server.calls import (
    METHODS,
    folder_of,
    serving,
)

BEFORE: Final = dt.date(2024, 9, 5)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[LotteryServer]:
    with serving(tmp_path / "ledger", lock_seconds=0.1, max_rows=5_000) as server:
        yield server


@pytest.fixture
def client(server: LotteryServer) -> Iterator[LotteryClient]:
    with LotteryClient(f"127.0.0.1:{server.port}", timeout=60) as client:
        yield client


def run_rows(client: LotteryClient, day: SmallDay, **given: Any) -> operations.RecordedRun:
    """Run a day as rows."""
    return client.run_lottery(
        **{
            "business_date": day.date,
            "asks": exchange_asks(day.asks),
            "notices": day.notices,
            "positions": day.positions,
            "acknowledged": EVERY_HOLD,
            **given,
        }
    )


def run_arrow(client: LotteryClient, day: SmallDay) -> operations.RecordedRun:
    """Run a day as Arrow tables."""
    return run_rows(
        client,
        day,
        notices=table_of(day.notices, NOTICE_ROWS),
        positions=table_of(day.positions, POSITION_ROWS),
    )


def allocate(client: LotteryClient, **given: Any) -> Any:
    """Allocate the published pool, or what is given instead."""
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
    assert (derived.seed.composite, derived.seed.fraction) == (282_431_310, "0.4314")
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


@pytest.mark.parametrize(
    ("assigned_quantity", "zero_hit", "account"),
    [(1, "wrap", "1047"), (1, "first", ""), (10, "wrap", ""), (65, "first", "1047")],
)
def test_odds_are_those_of_the_library(
    client: LotteryClient, assigned_quantity: int, zero_hit: str, account: str
) -> None:
    rows = {"1048": 5, "1047": 30, "7": 0, "1046": 30}
    expected = operations.series_odds(
        operations.OddsRequest(
            series=AAPL,
            occ_account="C",
            assigned_quantity=assigned_quantity,
            accounts=list(rows),
            shorts=list(rows.values()),
            account=account,
            methodology=JPMS_2024_09_06.deciding({"zero_hit": zero_hit}),
        )
    )

    odds = client.odds(
        series="AAPL240920C00220000",
        occ_account="C",
        assigned_quantity=assigned_quantity,
        positions=rows.items(),
        account=account,
        decisions={"zero_hit": zero_hit},
    )

    assert odds == expected
    assert [named.account for named in odds.accounts] == (
        [account] if account else ["1046", "1047", "1048"]
    )


def test_odds_past_a_million_contracts_come_without_occs_wheel(client: LotteryClient) -> None:
    odds = client.odds(series=AAPL, assigned_quantity=2_000_000, positions=[("1", 2**40)])

    assert odds.accounts[0].odds.occ_wheel is None
    assert odds.never_first == 2**40 - 10_000


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
    broken = client.notices("latest", series=GE)
    assert broken.schema == NOTICES
    assert [row["notice_id"] for row in broken.to_pylist()] == ["A5", "A6"]
    assert client.notices("latest").num_rows == len(FULL.notices)


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


def test_more_rows_than_a_message_holds_are_sent_and_received_in_several(
    client: LotteryClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_rows, "ROWS_A_MESSAGE", 4)
    monkeypatch.setattr(client_rows, "ARROW_ROWS_A_MESSAGE", 4)
    monkeypatch.setattr(responses, "ARROW_ROWS_PER_MESSAGE", 4)
    expected = reference.allocate_day(FULL.notices, FULL.positions, ASKS)

    for run in (run_rows, run_arrow):
        record = run(client, FULL).record
        service = CountingService()
        with client_of(lottery=service) as counted, pytest.raises(RunNotFound):
            run(counted, FULL)

        assert client.allocations(record.run).to_pylist() == expected.allocations
        # The specification announces 6 notices and 15 positions, which follow 4 by 4.
        assert len(service.messages) == 1 + 2 + 4
        first, *others = service.messages
        assert (first.spec.notice_count, first.spec.position_count) == (6, 15)
        assert not any(message.HasField("spec") for message in others)


def test_arrow_of_more_bytes_than_a_message_holds_is_sent_in_several(
    client: LotteryClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_rows, "ARROW_BYTES_A_MESSAGE", 1)
    expected = reference.allocate_day(FULL.notices, FULL.positions, ASKS)

    record = run_arrow(client, FULL).record
    service = CountingService()
    with client_of(lottery=service) as counted, pytest.raises(RunNotFound):
        run_arrow(counted, FULL)

    assert client.allocations(record.run).to_pylist() == expected.allocations
    assert len(service.messages) == 1 + 6 + 15, "a row cannot be cut"


def test_a_run_is_got_as_it_was_recorded(client: LotteryClient) -> None:
    record = run_rows(client, PUBLISHED).record

    for run in (record.run, "latest"):
        found = client.get_run(run)
        assert (found.record, found.superseded_by, found.breaks) == (record, None, ())


def test_a_run_is_got_with_its_breaks_which_a_list_leaves_out(client: LotteryClient) -> None:
    outcome = run_rows(client, FULL)

    assert [(one.series, one.reason) for one in outcome.breaks] == [(GE, "EXCEEDS_SHORT")]
    assert client.get_run("latest").breaks == outcome.breaks
    assert run_rows(client, FULL).breaks == outcome.breaks
    assert [one.record.break_count for one in client.list_runs()] == [1]


def test_the_decisions_of_the_charter_are_those_of_the_method(client: LotteryClient) -> None:
    assert client.get_charter(DATE) == JPMS_2024_09_06.decisions()


def test_runs_are_listed_over_all_pages(
    client: LotteryClient, server: LotteryServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_pages, "PAGE_SIZE", 2)
    for number in range(5):
        run_rows(client, PUBLISHED.later(number))
    recorded = [record.run for record in server.ledger.iterate()]

    assert [one.record.run for one in client.list_runs()] == recorded
    assert len(recorded) == 5
    assert [one.record.run for one in client.list_runs(newest_first=True)] == recorded[::-1]
    assert [one.record.run for one in client.list_runs(last=DATE)] == recorded[:1]
    assert [one.record.run for one in client.list_runs(first=NEXT_DATE)] == recorded[1:]


def test_allocations_are_filtered(client: LotteryClient) -> None:
    run_rows(client, FULL)

    of_pool = client.allocations("latest", series=META, occ_account="C")
    of_account = client.allocations("latest", account="1047")

    assert of_pool.column("account").to_pylist() == ["0042", "1993", "48213", "2381947"]
    assert of_account.column("series").to_pylist() == [AAPL]
    with pytest.raises(NotInRun, match="account '4711'"):
        client.allocations("latest", account="4711")
    with pytest.raises(PoolBroken) as caught:
        client.allocations("latest", series=GE)
    assert (caught.value.reason, caught.value.assigned_before) == ("EXCEEDS_SHORT", 0)


def test_workings_are_those_of_the_library(client: LotteryClient, server: LotteryServer) -> None:
    run_rows(client, FULL)

    for asked in ({"series": AAPL}, {"series": GE, "occ_account": "C"}, {"account": "0815"}):
        assert client.explain("latest", **asked) == operations.explain(
            server.ledger, "latest", **asked
        )


@pytest.mark.parametrize("engine", Engine)
def test_replays_are_those_of_the_library_by_either_engine(
    client: LotteryClient, server: LotteryServer, engine: Engine
) -> None:
    first, _ = record_two(client)
    every = replays_of(folder_of(server), engine)

    assert client.replay_run(first.run, engine=engine) == every[0]
    assert list(client.replay_dates(engine=engine)) == every
    assert list(client.replay_dates(first=DATE, engine=engine)) == every
    assert list(client.replay_dates(last=DATE, engine=engine)) == every[:1]
    between = client.replay_dates(first=NEXT_DATE, last=NEXT_DATE, engine=engine)
    assert list(between) == every[1:]


@pytest.mark.parametrize(
    ("call", "kind", "details"),
    [
        (lambda client: client.derive_seed([]), Refused, ("INVALID_SEED", {})),
        (
            lambda client: allocate(client, assigned_quantity=66),
            PoolBroken,
            ("EXCEEDS_SHORT", {"assigned_quantity": "66", "total_short": "65"}),
        ),
        (
            lambda client: client.explain("latest", account="4711"),
            errors.NotInRun,
            ("NOT_IN_RUN", {}),
        ),
        (
            lambda client: run_rows(
                client, PUBLISHED.renamed("X"), positions=[position(AAPL, "1046", 31)]
            ),
            Conflict,
            ("POPULATION_DIFFERS", {"run": "2024-09-16-001"}),
        ),
        (
            lambda client: run_rows(client, PUBLISHED.renamed("X"), request_id="morning"),
            Conflict,
            ("REQUEST_ID_REUSED", {"run": "2024-09-16-001"}),
        ),
        (
            lambda client: allocate(
                client, positions=[(str(account), 1) for account in range(5_001)]
            ),
            errors.LimitExceeded,
            ("LIMIT_EXCEEDED", {"limit": "max_rows=5000"}),
        ),
    ],
)
def test_what_the_server_refuses_is_the_librarys_own_error(
    client: LotteryClient,
    call: Callable[[LotteryClient], object],
    kind: type[LotteryError],
    details: tuple[str, Mapping[str, str]],
) -> None:
    """One refusal of each method; `EVERY_ERROR` has the errors."""
    run_rows(client, PUBLISHED, request_id="morning")

    with pytest.raises(kind) as caught:
        call(client)

    assert type(caught.value) is kind
    assert (caught.value.reason, caught.value.details()) == details


def test_a_busy_ledger_is_the_librarys_own_error(
    client: LotteryClient, server: LotteryServer
) -> None:
    with write_lock(folder_of(server)), pytest.raises(errors.LedgerBusy):
        run_rows(client, PUBLISHED)

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


def test_every_problem_comes_with_its_row(client: LotteryClient) -> None:
    with pytest.raises(Refused) as caught:
        run_rows(
            client,
            PUBLISHED,
            notices=[notice("A1", AAPL, 1), notice("A2", "AAPL", 0)],
            positions=table_of([position(AAPL, "1046", -1)], POSITION_ROWS),
        )

    assert [(problem.source, problem.row, problem.column) for problem in caught.value.problems] == [
        ("notices", 2, "series"),
        ("notices", 2, "quantity"),
        ("positions", 1, "short_quantity"),
    ]
    assert caught.value.total == 3


def test_problems_past_the_details_are_counted(client: LotteryClient) -> None:
    with pytest.raises(Refused) as caught:
        run_rows(
            client,
            PUBLISHED,
            positions=[position("no series", "no account", -1) for _ in range(3_000)],
        )

    assert caught.value.total == 3_000, "of a row without a valid series, the series alone"
    assert 10 < len(caught.value.problems) < 200
    assert str(caught.value).endswith(f"and {caught.value.unlisted} more")


@pytest.mark.parametrize("as_arrow", [False, True])
def test_a_refusal_has_the_servers_reason_with_more_problems_than_are_sent(
    client: LotteryClient, *, as_arrow: bool
) -> None:
    # By another account order these were valid, which only the server knows.
    rows: list[Row] = [position(AAPL, f"A{number}", 1) for number in range(200)]

    with pytest.raises(Refused) as caught:
        run_rows(
            client,
            PUBLISHED,
            business_date=BEFORE,
            positions=table_of(rows, POSITION_ROWS) if as_arrow else rows,
        )

    assert caught.value.reason == "METHOD_NOT_IN_FORCE"


def test_a_refusal_for_rows_is_none_for_the_seed_with_more_problems_than_are_sent(
    client: LotteryClient,
) -> None:
    asks = {f"Z{number:06d}": "1" for number in range(200)}

    with pytest.raises(Refused) as caught:
        run_rows(client, PUBLISHED, asks=exchange_asks(asks), positions=[position(AAPL, "A", 1)])

    assert caught.value.reason == "INVALID_INPUT"


EVERY_ERROR: Final[list[LotteryError]] = [
    errors.Unauthenticated("nobody vouches for the caller"),
    errors.RoleMissing("no role for it", roles="operator, auditor"),
    Refused([Problem(source="notices", message="no", row=3, column="quantity")]),
    Refused([Problem(source="exchange_asks", message="no", reason=errors.INVALID_SEED)]),
    Refused([Problem(source="business_date", message="no", reason=errors.METHOD_NOT_IN_FORCE)]),
    Refused([Problem(source="positions", message="no")], total=70),
    PoolBroken("EXCEEDS_SHORT", assigned_quantity=66, total_short=65),
    PoolBroken("EXCEEDS_SHORT", assigned_quantity=40, total_short=65, assigned_before=30),
    PoolBroken("NO_POSITION", assigned_quantity=66, total_short=0),
    *(Conflict(reason, "recorded", run="2024-09-16-001") for reason in sorted(errors.CONFLICTS)),
    errors.Held([errors.Hold(code="FUTURE_DATE", message="it is tomorrow")]),
    RunNotFound("2024-09-16-001"),
    RunNotFound("latest"),
    errors.NotInRun("no such pool"),
    errors.LimitExceeded("too much", limit="max_rows=1"),
    errors.LedgerBusy("another process is writing"),
    errors.LedgerDamaged("it changed"),
    errors.LedgerNotFound("there is none"),
    errors.LedgerUnwritable("the disk is full"),
    errors.LedgerUnfinished("the disk is full now"),
    errors.ConnectionLost("the database went away"),
    errors.Overloaded("it takes no more calls"),
    errors.AllocationWrong("a pool is not as the rules have it"),
    errors.WitnessAhead("it knows more", witness="example.org/w", witness_size=7, log_size=5),
    errors.CheckpointInvalid("nobody signed it"),
    errors.ProofInvalid("it proves another record"),
    errors.KeyUnusable("it is another log's"),
    errors.EngineMissing("DuckDB is not installed"),
]


class RefusingLedger:
    """A ledger that answers everything with one error."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    def get(self, _: str) -> NoReturn:
        raise self._error


class CountingService(LotteryService):
    """Takes a run in, keeps what was sent, and refuses."""

    def __init__(self) -> None:
        ledger = cast("Ledger", RefusingLedger(RunNotFound("latest")))
        super().__init__(ledger, max_rows=1_000, identify=lambda: TESTER)
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
def served(
    lottery: lottery_service_pb2_grpc.LotteryServiceServicer | None = None,
    audit: audit_service_pb2_grpc.AuditServiceServicer | None = None,
) -> Iterator[str]:
    """Serve these services on loopback, and return the address."""
    server = grpc.server(futures.ThreadPoolExecutor(1))
    if lottery is not None:
        lottery_service_pb2_grpc.add_LotteryServiceServicer_to_server(lottery, server)
    if audit is not None:
        audit_service_pb2_grpc.add_AuditServiceServicer_to_server(audit, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        server.stop(None).wait()


@contextmanager
def client_of(**services: Any) -> Iterator[LotteryClient]:
    """Connect a client to a server with these services."""
    with served(**services) as target, LotteryClient(target, timeout=60) as client:
        yield client


def service_over(error: Exception) -> LotteryService:
    """Return the real service over a ledger that refuses."""
    ledger = cast("Ledger", RefusingLedger(error))
    return LotteryService(ledger, max_rows=1_000, identify=lambda: TESTER)


@pytest.mark.parametrize("error", EVERY_ERROR, ids=lambda error: error.reason)
def test_every_error_of_the_library_comes_back_as_itself(error: LotteryError) -> None:
    with client_of(lottery=service_over(error)) as client, pytest.raises(LotteryError) as caught:
        client.get_run("latest")

    assert type(caught.value) is type(error)
    assert caught.value.reason == error.reason
    assert caught.value.details() == error.details()
    assert str(caught.value) == str(error)


def test_every_kind_of_error_the_server_can_raise_is_tried_above() -> None:
    raised_elsewhere = {"ServerAway", "ServerFailed", "OutputUnwritable", "TlsMismatch"}
    raised_elsewhere |= {"Abandoned", "Silent", "TooLate"}  # Nobody is left who could see them.
    of_the_library = {
        kind.__name__
        for kind in LotteryError.__subclasses__()
        if kind.__module__ == "lottery.errors"
    }

    assert {type(error).__name__ for error in EVERY_ERROR} == of_the_library - raised_elsewhere


def test_an_error_nobody_thought_of_is_a_server_that_failed() -> None:
    with (
        client_of(lottery=service_over(ZeroDivisionError("account 1046"))) as client,
        pytest.raises(errors.ServerFailed) as caught,
    ):
        client.get_run("latest")

    assert "1046" not in str(caught.value)


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
        write_lock(folder_of(server)),
        LotteryClient(f"127.0.0.1:{server.port}", timeout=0.01) as client,
        pytest.raises(errors.ServerAway),
    ):
        run_rows(client, PUBLISHED)


def test_a_server_that_lacks_the_service_has_failed(tmp_path: Path) -> None:
    ledger = cast("Ledger", RefusingLedger(RunNotFound("latest")))
    audit = AuditService(ledger, settings=Variables(ledger=str(tmp_path)), identify=lambda: TESTER)
    with client_of(audit=audit) as client:
        with pytest.raises(RunNotFound):
            client.replay_run("latest")
        with pytest.raises(errors.ServerFailed, match="UNIMPLEMENTED"):
            client.get_run("latest")


def record_two(client: LotteryClient) -> list[RunRecord]:
    """Record a run on each of two dates."""
    days = (PUBLISHED, PUBLISHED.later())
    return [run_rows(client, day).record for day in days]


def test_a_run_that_supersedes_another_says_so_and_so_does_the_other(
    client: LotteryClient,
) -> None:
    old = run_rows(client, PUBLISHED).record
    corrected = [*PUBLISHED.positions, position(AAPL, "2000", 1)]

    new = run_rows(
        client, PUBLISHED, positions=corrected, supersedes=["latest"], reason="it was missing"
    )

    assert (new.record.supersedes, new.record.reason) == ((old.run,), "it was missing")
    assert new.superseded_by is None
    assert client.get_run(old.run).superseded_by == new.record.run
    for arguments in ({}, {"supersedes": [old.run], "reason": "once more"}):
        with pytest.raises(Conflict) as caught:
            run_rows(client, PUBLISHED, **arguments)
        assert (caught.value.reason, caught.value.run) == (errors.RUN_SUPERSEDED, new.record.run)


def test_late_notices_continue_the_draw(client: LotteryClient) -> None:
    first = run_rows(client, PUBLISHED).record

    later = run_rows(client, PUBLISHED, notices=[notice("B1", AAPL, 5)], cycle=2).record
    broken = run_rows(client, PUBLISHED, notices=[notice("C1", AAPL, 51)], cycle=3)

    assert later.rests_on == (first.run,)
    assert client.allocations(later.run).column("assigned_quantity").to_pylist() == [0, 5, 0]
    assert [(one.assigned_quantity, one.assigned_before) for one in broken.breaks] == [(51, 15)]
    with pytest.raises(PoolBroken, match="total short 65, of which 15 are assigned already"):
        client.allocations(broken.record.run, series=AAPL)


def test_an_engine_that_the_server_has_not_is_the_librarys_own_error(
    client: LotteryClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_rows(client, PUBLISHED)
    monkeypatch.setitem(sys.modules, "duckdb", None)

    with pytest.raises(errors.EngineMissing):
        client.replay_run("latest", engine=Engine.SQL)
    with pytest.raises(errors.EngineMissing):
        list(client.replay_dates(engine=Engine.SQL))


def test_a_ledger_is_verified_where_it_is(client: LotteryClient, server: LotteryServer) -> None:
    record = run_rows(client, PUBLISHED).record
    key = client.public_keys().key

    sound = client.verify_ledger()
    assert (sound.sound, sound.faults, sound.tally.runs) == (True, (), 1)
    assert client.verify_ledger([key]) == sound
    (evidence_in(folder_of(server), record.run) / "pools.parquet").unlink()
    verified = client.verify_ledger([key])

    assert not verified.sound
    assert any(fault.where.endswith("/pools.parquet") for fault in verified.faults)


def test_checkpoints_and_proofs_of_an_honest_server_are_believed(
    client: LotteryClient, server: LotteryServer
) -> None:
    record = run_rows(client, PUBLISHED).record
    first = client.checkpoint()
    run_rows(client, PUBLISHED.later())
    second = client.checkpoint()

    assert (first.checkpoint.size, second.checkpoint.size) == (2, 3)
    assert first.key == second.key == operations.public_keys(server.ledger).key
    assert client.checkpoint(first.key) == second
    client.verify_consistency(first.checkpoint, second.checkpoint)
    for run, index in (("latest", 2), (record.run, 1)):
        encoded = canonical(client.get_run(run).record)
        proof = client.inclusion_proof(run, encoded, key=first.key)
        assert (proof.index, proof.note) == (index, second.note)


def test_a_log_without_runs_has_its_charter_and_proves_no_run(client: LotteryClient) -> None:
    assert client.checkpoint().checkpoint.size == 1
    with pytest.raises(RunNotFound):
        client.inclusion_proof("latest", b"{}")


def test_the_key_that_is_named_has_signed_the_checkpoint_also_when_the_next_one_is_known(
    client: LotteryClient, server: LotteryServer
) -> None:
    key = operations.public_keys(server.ledger).key
    server.ledger.rotate(SigningKey.generate(key.name).verifier, TESTER)

    assert client.checkpoint().key == key


def test_a_bundle_of_an_honest_server_is_the_librarys_own(
    client: LotteryClient, server: LotteryServer
) -> None:
    first, _ = record_two(client)
    file, expected = io.BytesIO(), io.BytesIO()
    operations.export_run(server.ledger, first.run, expected, TESTER)

    assert client.export_run(first.run, file, [client.public_keys().key]) == first.run
    assert file.getvalue() == expected.getvalue()
    assert client.export_run("latest", io.BytesIO()) == "2024-09-17-001"


def test_a_bundle_of_another_log_than_the_known_one_is_not_written(client: LotteryClient) -> None:
    run_rows(client, PUBLISHED)
    file = io.BytesIO()

    with pytest.raises(ProofInvalid, match=r"log\.vkey"):
        client.export_run("latest", file, [SigningKey.generate("example.org/other").verifier])

    assert file.getvalue() == b""


class FakeLog(audit_service_pb2_grpc.AuditServiceServicer):
    """A log that a test puts together, and that says whatever the test has it say.

    Args:
        leaves: Its records' bytes; a run is called by its index among them.
    """

    def __init__(self, leaves: Sequence[bytes]) -> None:
        self.leaves = list(leaves)
        self.key = SigningKey.generate("example.org/log")
        self.named = self.key.verifier
        self.origin = self.key.name
        self.index_shift = 0
        self.swapped: Mapping[str, str] = {}
        self.hashes: list[bytes] | None = None
        self.parts: list[audit_pb.ExportRunResponse] = []

    def GetCheckpoint(  # noqa: N802 - gRPC's name.
        self,
        request: audit_pb.GetCheckpointRequest,  # noqa: ARG002 - gRPC's signature.
        context: grpc.ServicerContext,  # noqa: ARG002
    ) -> audit_pb.GetCheckpointResponse:
        size = len(self.leaves)
        root = merkle.root_of(size, self._node)
        note = sign_checkpoint(Checkpoint(origin=self.origin, size=size, root=root), self.key)
        return audit_pb.GetCheckpointResponse(
            checkpoint=note, tree_size=size, public_key=str(self.named)
        )

    def GetInclusionProof(  # noqa: N802
        self,
        request: audit_pb.GetInclusionProofRequest,
        context: grpc.ServicerContext,  # noqa: ARG002
    ) -> audit_pb.GetInclusionProofResponse:
        index = int(self.swapped.get(request.run, request.run))
        hashes = merkle.inclusion_proof(index, request.tree_size, self._node)
        return audit_pb.GetInclusionProofResponse(
            run=request.run,
            log_index=index + self.index_shift,
            tree_size=request.tree_size,
            hashes=hashes if self.hashes is None else self.hashes,
        )

    def GetConsistencyProof(  # noqa: N802
        self,
        request: audit_pb.GetConsistencyProofRequest,
        context: grpc.ServicerContext,  # noqa: ARG002
    ) -> audit_pb.GetConsistencyProofResponse:
        hashes = merkle.consistency_proof(request.first_size, request.second_size, self._node)
        return audit_pb.GetConsistencyProofResponse(
            first_size=request.first_size,
            second_size=request.second_size,
            hashes=hashes if self.hashes is None else self.hashes,
        )

    def ExportRun(  # noqa: N802
        self,
        request: audit_pb.ExportRunRequest,  # noqa: ARG002
        context: grpc.ServicerContext,
    ) -> Iterator[audit_pb.ExportRunResponse]:
        yield from self.parts
        if not self.parts:
            context.abort(grpc.StatusCode.UNAVAILABLE, "gone in the middle")

    def ReplayRun(self, request: object, context: object) -> NoReturn:  # noqa: N802
        raise NotImplementedError

    def ReplayRuns(self, request: object, context: object) -> NoReturn:  # noqa: N802
        raise NotImplementedError

    def VerifyLedger(self, request: object, context: object) -> NoReturn:  # noqa: N802
        raise NotImplementedError

    def GetStatus(self, request: object, context: object) -> NoReturn:  # noqa: N802
        raise NotImplementedError

    def StreamEntries(self, request: object, context: object) -> NoReturn:  # noqa: N802
        raise NotImplementedError

    def _node(self, level: int, position: int) -> bytes:
        if level == 0:
            return merkle.leaf_hash(self.leaves[position])
        left, right = (self._node(level - 1, 2 * position + side) for side in (0, 1))
        return merkle.node_hash(left, right)


LEAVES: Final = [f"record {number}".encode() for number in range(7)]


@pytest.fixture
def log() -> FakeLog:
    return FakeLog(LEAVES[:5])


@pytest.fixture
def of_fake(log: FakeLog) -> Iterator[LotteryClient]:
    """Connect a client to the fake log."""
    with client_of(audit=log) as client:
        yield client


def test_a_log_that_grows_is_believed_at_every_size(log: FakeLog, of_fake: LotteryClient) -> None:
    log.leaves = LEAVES[:1]
    for size in range(1, len(LEAVES) + 1):
        log.leaves = LEAVES[:size]
        assert of_fake.checkpoint().checkpoint.size == size
        assert of_fake.checkpoint(log.key.verifier).checkpoint.size == size
        for index in range(size):
            assert of_fake.inclusion_proof(str(index), LEAVES[index]).index == index


LIES: Final[dict[str, tuple[Callable[[FakeLog], object], type[LotteryError]]]] = {
    "another key is named": (
        lambda log: setattr(log, "named", SigningKey.generate(log.key.name).verifier),
        CheckpointInvalid,
    ),
    "no key is named": (lambda log: setattr(log, "named", "no key"), errors.KeyUnusable),
    "another origin": (
        lambda log: setattr(log, "origin", f"{log.key.name}/other"),
        CheckpointInvalid,
    ),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_checkpoint_that_the_named_key_has_not_signed_for_the_log_is_not_believed(
    log: FakeLog, of_fake: LotteryClient, lie: str
) -> None:
    bend, kind = LIES[lie]
    bend(log)

    with pytest.raises(kind):
        of_fake.checkpoint()
    with pytest.raises(kind):
        of_fake.inclusion_proof("0", LEAVES[0])


def test_a_checkpoint_that_the_key_known_from_elsewhere_has_not_signed_is_not_believed(
    of_fake: LotteryClient,
) -> None:
    known = SigningKey.generate("example.org/log").verifier

    with pytest.raises(CheckpointInvalid):
        of_fake.checkpoint(known)
    with pytest.raises(CheckpointInvalid):
        of_fake.inclusion_proof("0", LEAVES[0], key=known)


def test_the_key_that_was_named_first_is_the_one_that_stays(
    log: FakeLog, of_fake: LotteryClient
) -> None:
    of_fake.checkpoint()
    log.key = SigningKey.generate(log.key.name)
    log.named = log.key.verifier
    log.leaves = LEAVES[:6]

    with pytest.raises(CheckpointInvalid):
        of_fake.checkpoint()


REWRITTEN: Final = {
    "rolled back": LEAVES[:4],
    "forked at its size": [*LEAVES[:4], b"another record"],
    "forked and longer": [*LEAVES[:4], b"another record", *LEAVES[5:]],
}


@pytest.mark.parametrize("how", REWRITTEN)
def test_a_log_that_is_not_what_was_seen_before_is_not_believed(
    log: FakeLog, of_fake: LotteryClient, how: str
) -> None:
    seen = of_fake.checkpoint()
    log.leaves = list(REWRITTEN[how])

    for _ in range(2):  # Nor does it become the one that was seen.
        with pytest.raises(ProofInvalid):
            of_fake.checkpoint()
    with pytest.raises(ProofInvalid):
        of_fake.inclusion_proof("1", log.leaves[1])

    log.leaves = list(LEAVES)
    later = of_fake.checkpoint()
    assert (seen.checkpoint.size, later.checkpoint.size) == (5, 7)


def test_a_new_client_cannot_know_what_another_one_has_seen(
    log: FakeLog, of_fake: LotteryClient
) -> None:
    seen = of_fake.checkpoint()
    log.leaves = list(REWRITTEN["forked and longer"])
    with client_of(audit=log) as other:
        latest = other.checkpoint()

        # That is what a checkpoint is kept for.
        with pytest.raises(ProofInvalid):
            other.verify_consistency(seen.checkpoint, latest.checkpoint)


@pytest.mark.parametrize("hashes", [[], [b"h" * 32] * 3], ids=["no hashes", "other hashes"])
def test_a_proof_that_proves_nothing_is_refused(
    log: FakeLog, of_fake: LotteryClient, hashes: list[bytes]
) -> None:
    of_fake.checkpoint()
    log.hashes = hashes
    with pytest.raises(ProofInvalid):
        of_fake.inclusion_proof("2", LEAVES[2])
    log.leaves = list(LEAVES)
    with pytest.raises(ProofInvalid):
        of_fake.checkpoint()


def test_a_proof_of_another_record_is_refused(log: FakeLog, of_fake: LotteryClient) -> None:
    log.swapped = {"2": "3"}

    with pytest.raises(ProofInvalid):
        of_fake.inclusion_proof("2", LEAVES[2])
    with pytest.raises(ProofInvalid):
        of_fake.inclusion_proof("1", b"a record that was never made")
    assert of_fake.inclusion_proof("1", LEAVES[1]).index == 1


@pytest.mark.parametrize("shift", [-3, 1])
def test_a_proof_for_another_index_is_refused(
    log: FakeLog, of_fake: LotteryClient, shift: int
) -> None:
    log.index_shift = shift

    with pytest.raises(ProofInvalid):
        of_fake.inclusion_proof("2", LEAVES[2])


Members = dict[str, bytes]


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, bytes]:
    """Export two runs of one log, and the first of them from another log."""
    folder = tmp_path_factory.mktemp("bundles")
    exported = {}
    for name in ("log", "other log"):
        ledger = made(folder / name)
        for number, day in enumerate((PUBLISHED, PUBLISHED.later())):
            request = request_of(day, folder / f"{name} {number}")
            record = operations.run_lottery(ledger, request).record
            file = io.BytesIO()
            operations.export_run(ledger, record.run, file, TESTER)
            exported[f"{name} {record.run}"] = file.getvalue()
        ledger.close()
    return exported


def changed(bundle: bytes, run: str, change: Callable[[Members], None]) -> bytes:
    """Return a bundle with something changed, its checksums right."""
    with zipfile.ZipFile(io.BytesIO(bundle)) as archive:
        members = {name.removeprefix(f"{run}/"): archive.read(name) for name in archive.namelist()}
    change(members)
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(f"{run}/{name}"), content)
    return made.getvalue()


def sent(run: str, bundle: bytes) -> list[audit_pb.ExportRunResponse]:
    """Return a bundle's parts."""
    parts = [bundle[start : start + 5_000] for start in range(0, len(bundle), 5_000)]
    return [
        audit_pb.ExportRunResponse(run=run),
        *(audit_pb.ExportRunResponse(data=part) for part in parts),
    ]


FIRST: Final = "2024-09-16-001"


def _another_index(members: Members) -> None:
    proof = members["run.json.tlog-proof"]
    assert b"index 1" in proof
    members["run.json.tlog-proof"] = proof.replace(b"index 1", b"index 0")


def _another_evidence(members: Members) -> None:
    volumes = members["sources/volumes.csv"]
    assert b"862.45713" in volumes
    members["sources/volumes.csv"] = volumes.replace(b"862.45713", b"862.45813")


BENT: Final[dict[str, Callable[[Members], None]]] = {
    "another index": _another_index,
    "no checkpoint": lambda members: cast("None", members.pop("checkpoint")),
    "another evidence": _another_evidence,
    "no evidence": lambda members: cast("None", members.pop("allocations.parquet")),
}
"""One of each kind; `tests/audit/test_bundle.py` has all ways in which a bundle does not hold."""


def refuses_bundle(
    log: FakeLog,
    client: LotteryClient,
    parts: list[audit_pb.ExportRunResponse],
    kind: type[LotteryError] | tuple[type[LotteryError], ...],
) -> None:
    """Have the fake log send a bundle, and assert that it is refused and nothing of it written."""
    log.parts = parts
    file = io.BytesIO()
    with pytest.raises(kind):
        client.export_run(FIRST, file)
    assert file.getvalue() == b""


def test_a_bundle_that_holds_is_written_whole(
    log: FakeLog, of_fake: LotteryClient, bundles: Mapping[str, bytes]
) -> None:
    log.parts = sent(FIRST, bundles[f"log {FIRST}"])
    file = io.BytesIO()

    assert of_fake.export_run(FIRST, file) == FIRST
    assert file.getvalue() == bundles[f"log {FIRST}"]


@pytest.mark.parametrize("how", BENT)
def test_a_bundle_that_does_not_hold_is_not_written(
    log: FakeLog, of_fake: LotteryClient, bundles: Mapping[str, bytes], how: str
) -> None:
    parts = sent(FIRST, changed(bundles[f"log {FIRST}"], FIRST, BENT[how]))

    # One that lacks a file is not a bundle.
    refuses_bundle(log, of_fake, parts, (ProofInvalid, Refused))


@pytest.mark.parametrize("named", [FIRST, "2024-09-17-001"])
def test_another_runs_bundle_is_not_the_one_that_was_asked_for(
    log: FakeLog, of_fake: LotteryClient, bundles: Mapping[str, bytes], named: str
) -> None:
    refuses_bundle(log, of_fake, sent(named, bundles["log 2024-09-17-001"]), ProofInvalid)


def test_a_bundle_of_another_log_than_the_one_seen_before_is_not_believed(
    log: FakeLog, of_fake: LotteryClient, bundles: Mapping[str, bytes]
) -> None:
    of_fake.checkpoint()

    refuses_bundle(log, of_fake, sent(FIRST, bundles[f"other log {FIRST}"]), ProofInvalid)


@pytest.mark.parametrize("data", [b"", b"no archive"])
def test_what_is_no_bundle_is_not_written(
    log: FakeLog, of_fake: LotteryClient, data: bytes
) -> None:
    refuses_bundle(log, of_fake, sent(FIRST, data), LotteryError)


def test_a_bundle_that_breaks_off_is_not_written(
    log: FakeLog, of_fake: LotteryClient, bundles: Mapping[str, bytes]
) -> None:
    whole = sent(FIRST, bundles[f"log {FIRST}"])

    refuses_bundle(log, of_fake, whole[:-1], LotteryError)
    refuses_bundle(log, of_fake, [], errors.ServerAway)


def test_the_command_line_writes_no_bundle_that_does_not_hold(
    log: FakeLog, bundles: Mapping[str, bytes], tmp_path: Path
) -> None:
    kept = tmp_path / "kept.zip"
    kept.write_bytes(b"yesterday's")
    log.parts = sent(FIRST, changed(bundles[f"log {FIRST}"], FIRST, _another_index))
    with served(audit=log) as target:
        for path in (tmp_path / "run.zip", kept):
            command = ("--server", target, "export", FIRST, path)
            fails(lottery, *command, exit_code=6, reason="PROOF_INVALID")

    assert [path.name for path in tmp_path.iterdir()] == ["kept.zip"]
    assert kept.read_bytes() == b"yesterday's"


def test_what_is_sent_again_by_itself_computes_or_reads_and_leaves_no_trace() -> None:
    sent_again = {f"{service}/{name}" for service, names in REPEATED.items() for name in names}
    leaves_a_trace = {
        *("lottery.v1.LotteryService/RunLottery", "lottery.v1.LotteryService/WithdrawRun"),
        *("lottery.v1.LotteryService/ApproveRun", "lottery.v1.LotteryService/RejectRun"),
        *("lottery.v1.AuditService/ReplayRun", "lottery.v1.AuditService/ReplayRuns"),
        *("lottery.v1.AuditService/VerifyLedger", "lottery.v1.AuditService/ExportRun"),
    }
    all_of_them = {
        f"{method.containing_service.full_name}/{method.name}" for method in METHODS.values()
    }

    assert sent_again == all_of_them - leaves_a_trace


def test_a_run_is_sent_again_while_no_server_answers() -> None:
    with socket.socket() as reserved:
        reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        reserved.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{reserved.getsockname()[1]}"
    tries: list[int] = []

    def answer(request: object, timeout: float | None) -> object:  # noqa: ARG001 - as gRPC has it.
        tries.append(len(tries))
        with grpc.insecure_channel(address) as channel:
            called: Any = channel.unary_unary("/nobody/answers")
            return request if len(tries) == 3 else called(b"")

    assert call_again(answer, lambda: "sent", None) == "sent"
    assert tries == [0, 1, 2]
