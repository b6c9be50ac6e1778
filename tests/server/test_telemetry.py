"""What the server says of itself: its log, its metrics, its health, its reflection."""

from __future__ import annotations

import hashlib
import io
import json
import re
import sys
import urllib.request
from collections.abc import Iterator, Sequence
from concurrent import futures
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, NoReturn, cast

import grpc
import pytest
import structlog
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
    ProtoReflectionDescriptorDatabase,
)

from lottery.ledger.commit import Ledger
from lottery.v1 import audit_service_pb2 as audit_pb
from lottery.v1 import lottery_service_pb2 as pb
from lottery.v1 import lottery_service_pb2_grpc
from server import logs, telemetry
from server.lottery_service import LotteryService
from tests.builders import AAPL, TESTER, TRUSTED, SmallDay, notice, position
from tests.server.calls import (
    LOOPBACK,
    Stubs,
    called,
    connected,
    date_of,
    failure_of,
    failure_to,
    messages_of,
    odds_request,
    read,
    run_day,
    send,
    series_request,
    settings_of,
)
from tests.server.processes import ServerProcess, server_process

ACCOUNT: Final = "83920174650192"
"""Long enough to be found wherever it slips in."""
REQUEST_ID: Final = "7f9c24e8-3b12-4fef-91e0-3f1a3a9a3f5c"
DAY: Final = SmallDay(
    notices=[notice("A1", AAPL, 10)],
    positions=[position(AAPL, ACCOUNT, 30), position(AAPL, ACCOUNT + "7", 5)],
)


LATE: Final = replace(DAY, positions=[*DAY.positions, position(AAPL, "1", 1)])
OTHER_POPULATION: Final = SmallDay(
    notices=[notice("B1", AAPL, 1)], positions=[position(AAPL, ACCOUNT, 31)]
)
SPOILED: Final = replace(
    DAY,
    positions=[
        *DAY.positions,
        position(AAPL, f"0{ACCOUNT}", 1),
        position(AAPL, f"{ACCOUNT}x", -1),
    ],
)


def allocations_of(**given: Any) -> pb.StreamAllocationsRequest:
    return pb.StreamAllocationsRequest(run="latest", **given)


CALLS: Final[Sequence[tuple[Any, str, str | None]]] = [
    (pb.DeriveSeedRequest(exchange_asks=series_request().exchange_asks), "OK", None),
    (series_request(positions={ACCOUNT: 30}), "OK", None),
    (
        series_request(positions={ACCOUNT: -1, f"{ACCOUNT}x": 1}, occ_account=f"?{ACCOUNT}"),
        "INVALID_ARGUMENT",
        "INVALID_INPUT",
    ),
    (messages_of(DAY), "OK", None),
    (messages_of(DAY, request_id=ACCOUNT), "OK", None),
    (messages_of(SPOILED), "INVALID_ARGUMENT", "INVALID_INPUT"),
    (messages_of(OTHER_POPULATION), "FAILED_PRECONDITION", "POPULATION_DIFFERS"),
    (pb.GetRunRequest(run="latest"), "OK", None),
    (pb.GetRunRequest(run=ACCOUNT), "NOT_FOUND", "RUN_NOT_FOUND"),
    (pb.ListRunsRequest(), "OK", None),
    (allocations_of(account=ACCOUNT), "OK", None),
    (allocations_of(series=ACCOUNT), "INVALID_ARGUMENT", "INVALID_INPUT"),
    (pb.ExplainPoolRequest(run="latest", account=ACCOUNT), "OK", None),
    (pb.ExplainPoolRequest(run="latest", account=f"{ACCOUNT}1"), "NOT_FOUND", "NOT_IN_RUN"),
    (odds_request(positions={ACCOUNT: 30}, account=ACCOUNT), "OK", None),
    (
        odds_request(positions={ACCOUNT: 30}, account=f"{ACCOUNT}1"),
        "INVALID_ARGUMENT",
        "INVALID_INPUT",
    ),
    (audit_pb.ReplayRunRequest(run="latest"), "OK", None),
    (audit_pb.ReplayRunsRequest(), "OK", None),
    (audit_pb.VerifyLedgerRequest(), "OK", None),
    (audit_pb.VerifyLedgerRequest(keys=[ACCOUNT]), "INVALID_ARGUMENT", "INVALID_INPUT"),
    (audit_pb.ExportRunRequest(run="latest"), "OK", None),
    (audit_pb.GetCheckpointRequest(), "OK", None),
    (audit_pb.GetInclusionProofRequest(run="latest"), "OK", None),
    (audit_pb.GetConsistencyProofRequest(first_size=1), "OK", None),
    (
        messages_of(
            LATE,
            supersedes=["latest"],
            reason=f"{ACCOUNT} was short less",
            request_id=REQUEST_ID,
        ),
        "OK",
        None,
    ),
    (messages_of(OTHER_POPULATION, cycle=2), "FAILED_PRECONDITION", "POPULATION_DIFFERS"),
]
"""Calls of each kind, good and bad, with an account number wherever one can be."""
METHODS: Final = [
    (
        "RunLottery" if isinstance(call, list) else call.DESCRIPTOR.name.removesuffix("Request"),
        code,
    )
    for call, code, _ in CALLS
]


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """Run a server that has answered one call of each kind, good and bad."""
    with (
        server_process(tmp_path_factory.mktemp("watched"), log_level="debug") as server,
        connected(server.port) as stubs,
    ):
        for call, code, reason in CALLS:
            if reason is None:
                read(send(stubs, call))
            else:
                failure = failure_to(stubs, call)
                assert (failure.code.name, failure.reason) == (code, reason)
        yield server


def test_every_call_has_one_line_in_the_log(watched: ServerProcess) -> None:
    lines = [line for line in watched.lines() if line["event"] == "call"]

    assert [(line["method"], line["code"]) for line in lines] == METHODS
    assert all(line["milliseconds"] > 0 for line in lines)
    assert all(line["level"] == "info" for line in lines)
    assert all(line["timestamp"].endswith("Z") for line in lines)


def test_a_call_that_fails_says_why_in_the_log(watched: ServerProcess) -> None:
    reasons = [line.get("reason") for line in watched.lines() if line["event"] == "call"]

    assert reasons == [reason for _, _, reason in CALLS]


def test_a_run_is_named_in_the_log(watched: ServerProcess) -> None:
    runs = [line for line in watched.lines() if line.get("method") == "RunLottery"]

    assert [(line.get("run"), line.get("already_recorded")) for line in runs] == [
        ("2024-09-16-001", False),
        ("2024-09-16-001", True),
        (None, None),
        (None, None),
        ("2024-09-16-002", False),
        (None, None),
    ]


def test_a_request_is_named_by_its_id_unless_that_could_be_an_account(
    watched: ServerProcess,
) -> None:
    ids = [line.get("request_id") for line in watched.lines() if line.get("method") == "RunLottery"]

    digest = f"sha256:{hashlib.sha256(ACCOUNT.encode()).hexdigest()[:16]}"
    assert ids == [None, digest, None, None, REQUEST_ID, None]


def test_calls_that_name_a_run_say_which_and_what_is_no_run_is_not_repeated(
    watched: ServerProcess,
) -> None:
    runs = {
        line["method"]: line.get("run")
        for line in watched.lines()
        if line.get("method") in {"StreamAllocations", "ExplainPool", "GetInclusionProof"}
    }
    asked = [line.get("run") for line in watched.lines() if line.get("method") == "GetRun"]

    assert runs == dict.fromkeys(runs, "latest")
    assert len(runs) == 3
    assert asked == ["latest", None]


def test_rows_are_counted_in_the_log_as_they_come_and_as_they_go(watched: ServerProcess) -> None:
    rows = {
        name: [line.get("rows") for line in watched.lines() if line.get("method") == name]
        for name in ("RunLottery", "StreamAllocations")
    }

    assert rows["RunLottery"][0] == 3
    assert rows["RunLottery"][4] == 4
    assert rows["StreamAllocations"] == [1, None]


def test_who_called_and_with_which_roles_is_in_every_line(watched: ServerProcess) -> None:
    lines = [line for line in watched.lines() if line["event"] == "call"]

    assert {line["caller"] for line in lines} == {"local:" + TRUSTED.partition(":")[0]}
    assert all(line["roles"] for line in lines)


def test_what_the_audit_found_is_named_in_the_log(watched: ServerProcess) -> None:
    notes = {
        name: [line.get(note) for line in watched.lines() if line.get("method") == name]
        for name, note in (
            ("ReplayRun", "matched"),
            ("VerifyLedger", "fault_count"),
            ("ExportRun", "run"),
        )
    }

    assert notes == {
        "ReplayRun": [True],
        "VerifyLedger": [0, None],
        "ExportRun": ["2024-09-16-001"],
    }


def test_no_account_number_is_in_the_log(watched: ServerProcess) -> None:
    assert ACCOUNT not in watched.log.read_text("utf-8")


def test_metrics_count_every_call_and_the_contracts_of_runs(watched: ServerProcess) -> None:
    with urllib.request.urlopen(
        f"http://127.0.0.1:{watched.serving['metrics_port']}/metrics", timeout=60
    ) as response:
        text = re.sub(r',?worker="[0-9]+"', "", response.read().decode())
    counted = {
        tuple(part.split('"')[1] for part in line.split("{")[1].split("}")[0].split(",")): float(
            line.rsplit(" ", 1)[1]
        )
        for line in text.splitlines()
        if line.startswith(("lottery_rpc_total{", "lottery_contracts_total{"))
    }

    expected = {tuple(sorted(call)): float(METHODS.count(call)) for call in METHODS}
    expected |= {("allocated",): 20.0, ("broken",): 0.0}
    assert {tuple(sorted(labels)): count for labels, count in counted.items()} == expected
    assert 'lottery_rpc_seconds_count{method="RunLottery"} 6.0' in text
    assert ACCOUNT not in text


def test_health_is_serving_for_every_service_and_unknown_for_others(
    watched: ServerProcess,
) -> None:
    with grpc.insecure_channel(f"127.0.0.1:{watched.serving['health_port']}") as channel:
        health = health_pb2_grpc.HealthStub(channel)

        for service in ("", "lottery.v1.LotteryService", "lottery.v1.AuditService"):
            status = health.Check(health_pb2.HealthCheckRequest(service=service)).status
            assert status == health_pb2.HealthCheckResponse.SERVING
        with pytest.raises(grpc.RpcError) as unknown:
            health.Check(health_pb2.HealthCheckRequest(service="lottery.v2.LotteryService"))

    assert cast("Any", unknown.value).code() is grpc.StatusCode.NOT_FOUND


def test_health_has_a_port_of_its_own(stubs: Stubs) -> None:
    with pytest.raises(grpc.RpcError) as refused:
        health_pb2_grpc.HealthStub(stubs.channel).Check(health_pb2.HealthCheckRequest())

    assert cast("Any", refused.value).code() is grpc.StatusCode.UNIMPLEMENTED


def test_reflection_lists_the_services_and_describes_their_messages(stubs: Stubs) -> None:
    reflection = ProtoReflectionDescriptorDatabase(stubs.channel)

    assert sorted(reflection.get_services()) == [
        "grpc.reflection.v1alpha.ServerReflection",
        "lottery.v1.AuditService",
        "lottery.v1.LotteryService",
    ]
    file = reflection.FindFileContainingSymbol("lottery.v1.LotteryService")
    assert "AllocateSeriesRequest" in [message.name for message in file.message_type]


class BrokenLedger:
    """A ledger that fails in a way nobody thought of."""

    origin = "bank.example/log"

    def get(self, run: str) -> NoReturn:
        raise _surprise(run)

    def iterate(self, **_: object) -> NoReturn:
        raise _surprise("all")

    def runs_of(self, _: object) -> NoReturn:
        raise _surprise("day")

    def charter_for(self, _: object) -> NoReturn:
        raise _surprise("new")


@contextmanager
def serving_broken_ledger() -> Iterator[Stubs]:
    """Connect to the real service and its interceptor over a ledger that fails."""
    server = grpc.server(futures.ThreadPoolExecutor(2), interceptors=[telemetry.CanonicalLog()])
    service = LotteryService(
        cast("Ledger", BrokenLedger()), max_rows=1_000, identify=lambda: TESTER
    )
    lottery_service_pb2_grpc.add_LotteryServiceServicer_to_server(service, server)
    port = server.add_insecure_port(LOOPBACK)
    server.start()
    try:
        with connected(port) as stubs:
            yield stubs
    finally:
        server.stop(None).wait()


@contextmanager
def logging_as(log_format: str, tmp_path: Path) -> Iterator[io.BytesIO]:
    """Collect what the server logs in a format during the block."""
    raw, before = io.BytesIO(), structlog.get_config()
    stderr, sys.stderr = sys.stderr, io.TextIOWrapper(raw, "utf-8", write_through=True)
    try:
        logs.configure_logging(settings_of(tmp_path, log_format=log_format))
        yield raw
    finally:
        structlog.configure(**before)  # Other tests of this process may want silence.
        sys.stderr, wrapper = stderr, sys.stderr
        cast("io.TextIOWrapper", wrapper).detach()


@pytest.mark.parametrize(
    ("name", "request_of_it"),
    [
        ("GetRun", pb.GetRunRequest(run="latest")),
        ("ListRuns", pb.ListRunsRequest()),
        ("StreamAllocations", pb.StreamAllocationsRequest(run="latest")),
        ("ExplainPool", pb.ExplainPoolRequest(run="latest", series=AAPL)),
        ("GetDay", pb.GetDayRequest(business_date=date_of(DAY.date))),
        ("DiffRuns", pb.DiffRunsRequest(run="latest", other_run="latest")),
        ("StreamHistory", pb.StreamHistoryRequest(account="1046")),
        ("RunLottery", None),
    ],
)
def test_an_error_nobody_thought_of_is_internal_and_reveals_nothing(
    tmp_path: Path, name: str, request_of_it: object
) -> None:
    with logging_as("json", tmp_path) as log, serving_broken_ledger() as stubs:
        failure = failure_of(
            lambda: (
                run_day(stubs, DAY)
                if request_of_it is None
                else getattr(stubs.lottery, name)(request_of_it)
            )
        )

    assert failure.code is grpc.StatusCode.INTERNAL
    assert failure.message == "internal error; see the server's log"
    assert (failure.reason, failure.metadata, failure.violations) == ("", {}, [])
    lines = [json.loads(line) for line in log.getvalue().splitlines()]
    assert [line["event"] for line in lines] == ["unexpected error", "call"]
    assert "RuntimeError" in lines[0]["exception"]
    assert (lines[1]["method"], lines[1]["code"]) == (name, "INTERNAL")


@pytest.mark.parametrize("log_format", ["json", "text"])
def test_an_error_nobody_thought_of_logs_no_values_of_the_call(
    tmp_path: Path, log_format: str
) -> None:
    request = pb.StreamAllocationsRequest(run="latest", account=ACCOUNT)
    with logging_as(log_format, tmp_path) as log, serving_broken_ledger() as stubs:
        failure_of(lambda: run_day(stubs, DAY))
        failure_to(stubs, request)

    assert b"unexpected error" in log.getvalue()
    assert ACCOUNT.encode() not in log.getvalue()


def test_a_replay_that_could_not_be_entered_in_the_trail_says_so_in_the_log(
    tmp_path: Path,
) -> None:
    with logging_as("json", tmp_path) as log, called(tmp_path / "ledger") as stubs:
        run_day(stubs, DAY)
        (tmp_path / "ledger/signing.key").unlink()
        stubs.audit.ReplayRun(audit_pb.ReplayRunRequest(run="latest"))
        list(stubs.audit.ReplayRuns(audit_pb.ReplayRunsRequest()))
        faults = stubs.audit.VerifyLedger(audit_pb.VerifyLedgerRequest()).faults

    lines = {line["method"]: line for line in map(json.loads, log.getvalue().splitlines())}
    for name in ("ReplayRun", "ReplayRuns"):
        assert lines[name]["code"] == "OK"
        assert lines[name]["warning"].startswith("this replay of ")
        assert "signing.key cannot be read" in lines[name]["warning"]
    assert lines["VerifyLedger"]["fault_count"] == len(faults) == 1
    assert "warning" not in lines["VerifyLedger"]


@pytest.mark.parametrize("log_format", ["auto", "json"])
def test_the_log_is_json_off_a_terminal(tmp_path: Path, log_format: str) -> None:
    with logging_as(log_format, tmp_path) as log:
        structlog.get_logger().info("serving", port=1)

    assert json.loads(log.getvalue())["port"] == 1


def test_lines_below_the_level_are_not_logged(tmp_path: Path) -> None:
    with logging_as("json", tmp_path) as log:
        structlog.get_logger().debug("nothing")

    assert log.getvalue() == b""


def _surprise(run: str) -> RuntimeError:
    return RuntimeError(f"the disk said no to {run}")
