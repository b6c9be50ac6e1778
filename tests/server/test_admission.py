"""Admission: who is let in under load, what a refusal says, and how silent callers end."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import grpc
import pytest
import structlog

from lottery.v1 import lottery_service_pb2 as pb
from server.admission import CALLS, READS, REFLECTION, RUNS, share_of
from tests.builders import AAPL, PUBLISHED, SmallDay, position
from tests.server.calls import (
    METHODS,
    PATIENCE,
    Stream,
    Stubs,
    arrow_of,
    called,
    failure_of,
    rows_of,
    run_count,
    run_day,
    run_messages,
    series_request,
    spec_of,
    wait_until,
)

REFLECTED: Final = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"
SHORT: Final = {"silent_seconds": 0.2}
"""Settings with which a silent caller is ended soon."""
TINY: Final = {"run_threads": 1}
"""Settings with which one run is in progress and one waits."""


def test_every_rpc_has_its_share() -> None:
    shares = {
        method.name: share_of(f"/{method.containing_service.full_name}/{method.name}")
        for method in METHODS.values()
    }

    assert {name for name, share in shares.items() if share == RUNS} == {
        *("RunLottery", "WithdrawRun", "ApproveRun", "RejectRun"),
    }
    assert {name for name, share in shares.items() if share == CALLS} == {
        "DeriveSeed",
        "AllocateSeries",
        "GetOdds",
    }
    assert set(shares.values()) == {RUNS, READS, CALLS}
    assert share_of(REFLECTED) == REFLECTION


def test_silent_runs_leave_calls_and_reads_alone(tmp_path: Path) -> None:
    with called(tmp_path / "ledger", run_threads=4) as stubs, silent_runs(stubs, 64):
        assert allocates(stubs)
        assert run_count(stubs) == 0


def test_silent_reflection_leaves_everything_alone(tmp_path: Path) -> None:
    with called(tmp_path / "ledger") as stubs, silent_calls(stubs, REFLECTED, 64):
        assert allocates(stubs)
        assert run_day(stubs, PUBLISHED).run.run == "2024-09-16-001"
        assert run_count(stubs) == 1


def test_a_run_past_threads_and_queue_is_refused_and_learns_when_to_try_again(
    tmp_path: Path,
) -> None:
    with called(tmp_path / "ledger", **TINY) as stubs, silent_runs(stubs, 2) as streams:
        failure = failure_of(lambda: run_day(stubs, PUBLISHED))

        assert failure.status == (grpc.StatusCode.RESOURCE_EXHAUSTED, "OVERLOADED")
        assert failure.retry_seconds == 1
        assert "nothing of this one was done" in failure.message
        end(streams)
        wait_until(lambda: recorded(stubs))


def test_a_full_server_refuses_a_caller_without_a_role_for_that_reason(tmp_path: Path) -> None:
    with (
        called(tmp_path / "ledger", **TINY, trust_local="eve:auditor") as stubs,
        # The first reads nothing before the role is known: it is refused, and so is this one.
        silent_runs(stubs, 8),
    ):
        failure = failure_of(lambda: run_day(stubs, PUBLISHED))

    assert failure.status == (grpc.StatusCode.PERMISSION_DENIED, "ROLE_MISSING")


def test_a_call_whose_deadline_passes_in_the_queue_is_not_begun(tmp_path: Path) -> None:
    with (
        structlog.testing.capture_logs() as lines,
        called(tmp_path / "ledger", **TINY) as stubs,
        silent_runs(stubs, 1) as streams,
    ):
        # Long enough to arrive on a busy machine, and shorter than what silence is allowed.
        late = failure_of(lambda: stubs.lottery.RunLottery(iter([spec_of(PUBLISHED)]), timeout=0.8))
        seen = time.monotonic()
        # The server counts from when the call arrived.
        wait_until(lambda: time.monotonic() > seen + 0.4)
        end(streams)
        wait_until(lambda: len(calls_in(lines)) == 2)

    assert late.code is grpc.StatusCode.DEADLINE_EXCEEDED
    assert [(line["code"], line["reason"]) for line in calls_in(lines)] == [
        ("INVALID_ARGUMENT", "INVALID_INPUT"),
        ("DEADLINE_EXCEEDED", "TOO_LATE"),
    ]


@pytest.mark.parametrize(
    "limits",
    [SHORT, {"slow_grace_seconds": 0.2}],
    ids=["silent", "slow"],
)
def test_a_run_that_says_nothing_more_ends_and_records_nothing(
    tmp_path: Path, limits: dict[str, Any]
) -> None:
    with (
        structlog.testing.capture_logs() as lines,
        called(tmp_path / "ledger", **TINY, **limits) as stubs,
    ):
        stream = Stream(spec_of(PUBLISHED), *rows_of(PUBLISHED))
        failure = failure_of(lambda: stubs.lottery.RunLottery(iter(stream), timeout=PATIENCE))
        stream.end()

        assert failure.code is grpc.StatusCode.CANCELLED
        wait_until(lambda: bool(calls_in(lines)))
        assert [(line["code"], line["reason"]) for line in calls_in(lines)] == [
            ("CANCELLED", "SILENT")
        ]
        assert run_count(stubs) == 0
        assert run_day(stubs, PUBLISHED).run.run == "2024-09-16-001"


def test_a_slow_run_ends_though_it_is_never_silent(tmp_path: Path) -> None:
    with called(
        tmp_path / "ledger", slow_grace_seconds=0.5, slow_bytes_per_second=1 << 30
    ) as stubs:
        failure = failure_of(lambda: stubs.lottery.RunLottery(dribble(), timeout=PATIENCE))

    assert failure.code is grpc.StatusCode.CANCELLED


@pytest.mark.parametrize("method", ["AllocateSeries", "GetRun", "WithdrawRun"])
def test_a_call_that_never_sends_its_message_ends(tmp_path: Path, method: str) -> None:
    with called(tmp_path / "ledger", **SHORT) as stubs:
        call: Any = stubs.channel.stream_unary(f"/lottery.v1.LotteryService/{method}")
        stream = Stream()

        failure = failure_of(lambda: call(iter(stream), timeout=PATIENCE))
        stream.end()

    assert failure.code is grpc.StatusCode.CANCELLED


def test_a_silent_run_gives_way_to_one_that_waits_for_its_thread(tmp_path: Path) -> None:
    with called(tmp_path / "ledger", **TINY) as stubs, silent_runs(stubs, 1):
        assert run_day(stubs, PUBLISHED).run.run == "2024-09-16-001"


def test_a_caller_that_stops_reading_ends_and_frees_its_thread(tmp_path: Path) -> None:
    with (
        structlog.testing.capture_logs() as lines,
        called(tmp_path / "ledger", read_threads=1, **SHORT) as stubs,
    ):
        run_messages(stubs, [spec_of(PUBLISHED), *arrow_of(large_day())])
        stopped = stubs.lottery.StreamAllocations(pb.StreamAllocationsRequest(run="latest"))
        next(stopped)

        wait_until(lambda: "SILENT" in {line.get("reason") for line in lines})
        assert run_count(stubs) == 1


@pytest.mark.parametrize("message", [None, b"\xff\xff"], ids=["none", "no message"])
@pytest.mark.parametrize(
    "rpc",
    [
        "lottery.v1.LotteryService/AllocateSeries",
        "lottery.v1.LotteryService/RunLottery",
        "lottery.v1.LotteryService/StreamAllocations",
        "lottery.v1.AuditService/VerifyLedger",
    ],
)
def test_bytes_that_are_no_message_are_refused(
    empty: Stubs, rpc: str, message: bytes | None
) -> None:
    call: Any = empty.channel.stream_stream(f"/{rpc}")

    failure = failure_of(lambda: call(iter([] if message is None else [message])))

    assert failure.status == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_INPUT")
    assert failure.fields == ["spec" if "Run" in rpc and message is None else "request"]


def silent_runs(stubs: Stubs, count: int) -> Any:
    """Keep this many runs open during the block, which send nothing."""
    return silent_calls(stubs, "/lottery.v1.LotteryService/RunLottery", count)


@contextmanager
def silent_calls(stubs: Stubs, method: str, count: int) -> Iterator[list[Stream]]:
    """Keep this many calls open during the block, which send nothing."""
    streams = [Stream() for _ in range(count)]
    method_of: Any = stubs.channel.stream_stream(method)
    calls = [method_of(iter(stream), timeout=PATIENCE) for stream in streams]
    try:
        # One connection keeps its order: once this is answered, the server has the calls above.
        run_count(stubs)
        yield streams
    finally:
        for call in calls:
            call.cancel()
        end(streams)


def end(streams: list[Stream]) -> None:
    for stream in streams:
        stream.end()


def dribble() -> Iterator[pb.RunLotteryRequest]:
    """Yield a run's first message and then empty ones, for ever."""
    yield spec_of(PUBLISHED)
    while True:
        yield pb.RunLotteryRequest()


def allocates(stubs: Stubs) -> bool:
    """Return whether the published pool is allocated."""
    answer = stubs.lottery.AllocateSeries(series_request(), timeout=PATIENCE)
    return bool(answer.allocations)


def recorded(stubs: Stubs) -> bool:
    """Return whether the published day can be recorded now."""
    try:
        return bool(run_day(stubs, PUBLISHED).run.run)
    except grpc.RpcError:
        return False


def large_day() -> SmallDay:
    """Return a day whose allocations are more than a connection holds."""
    positions = [position(AAPL, str(10_000 + number), 1) for number in range(200_000)]
    return SmallDay(notices=PUBLISHED.notices[:1], positions=positions)


def calls_in(lines: list[Any]) -> list[Any]:
    return [line for line in lines if line["event"] == "call" and line["method"] == "RunLottery"]
