"""Callers that go away: nothing is recorded for them, and the server serves the next one."""

from __future__ import annotations

import signal
import subprocess
import sys
from typing import Any, Final

import grpc
import pytest

from lottery.v1 import lottery_service_pb2 as pb
from server.app import LotteryServer
from tests.builders import PUBLISHED, assert_sound
from tests.cli.calls import write_lock
from tests.server.calls import (
    PATIENCE,
    Stream,
    Stubs,
    connected,
    folder_of,
    rows_of,
    run_count,
    run_day,
    spec_of,
    wait_until,
)

SENDS_AND_HANGS: Final = """
import sys
import threading
import grpc
from lottery.v1 import lottery_service_pb2, lottery_service_pb2_grpc

def messages():
    for line in sys.stdin:
        yield lottery_service_pb2.RunLotteryRequest.FromString(bytes.fromhex(line))
        print("taken", flush=True)
    threading.Event().wait()

channel = grpc.insecure_channel(sys.argv[1])
lottery_service_pb2_grpc.LotteryServiceStub(channel).RunLottery(messages())
"""


@pytest.mark.parametrize("sent", [0, 1, 3, 5], ids=lambda count: f"{count} messages sent")
def test_a_caller_that_cancels_in_the_middle_records_nothing(
    server: LotteryServer, stubs: Stubs, sent: int
) -> None:
    stream = Stream(*[spec_of(PUBLISHED), *rows_of(PUBLISHED)][:sent])
    call = stubs.lottery.RunLottery.future(iter(stream))
    for _ in range(sent):
        assert stream.taken.acquire(timeout=PATIENCE)

    call.cancel()
    stream.end()

    assert_nothing_is_recorded(server, stubs)


def test_a_caller_whose_deadline_passes_in_the_middle_records_nothing(
    server: LotteryServer, stubs: Stubs
) -> None:
    stream = Stream(spec_of(PUBLISHED), *rows_of(PUBLISHED))

    with pytest.raises(grpc.RpcError) as caught:
        stubs.lottery.RunLottery(iter(stream), timeout=0.2)
    stream.end()

    assert code_of(caught.value) is grpc.StatusCode.DEADLINE_EXCEEDED
    assert_nothing_is_recorded(server, stubs)


@pytest.mark.parametrize("ending", ["cancels", "lets its deadline pass"])
def test_a_caller_that_leaves_while_the_run_waits_for_the_ledger_records_nothing(
    server: LotteryServer, stubs: Stubs, ending: str
) -> None:
    messages = [spec_of(PUBLISHED), *rows_of(PUBLISHED)]
    with write_lock(folder_of(server)):
        call = stubs.lottery.RunLottery.future(
            iter(messages), timeout=None if ending == "cancels" else 2.0
        )
        wait_until(lambda: evidence_is_put(server) or call.done())
        if ending == "cancels":
            call.cancel()
        with pytest.raises((grpc.RpcError, grpc.FutureCancelledError)):
            call.result(PATIENCE)

    assert_nothing_is_recorded(server, stubs)


def test_a_client_process_that_is_killed_in_the_middle_records_nothing(
    server: LotteryServer, stubs: Stubs
) -> None:
    messages = [spec_of(PUBLISHED), *rows_of(PUBLISHED)]
    command = [sys.executable, "-c", SENDS_AND_HANGS, f"127.0.0.1:{server.port}"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as client:
        assert client.stdin is not None
        assert client.stdout is not None
        for message in messages:
            client.stdin.write(message.SerializeToString().hex() + "\n")
            client.stdin.flush()
            assert client.stdout.readline() == "taken\n"
        client.send_signal(signal.SIGKILL)
        assert client.wait(PATIENCE) == -signal.SIGKILL

    assert_nothing_is_recorded(server, stubs)


def test_a_caller_that_stops_reading_allocations_leaves_the_server_serving(
    server: LotteryServer, stubs: Stubs
) -> None:
    run_day(stubs, PUBLISHED)
    with connected(server.port) as other:
        stream = other.lottery.StreamAllocations(pb.StreamAllocationsRequest(run="latest"))
        next(stream)
        stream.cancel()

    assert stubs.lottery.GetRun(pb.GetRunRequest(run="latest")).run.run == "2024-09-16-001"


def assert_nothing_is_recorded(server: LotteryServer, stubs: Stubs) -> None:
    """Nothing of the call is left; the same day from someone who waits is the first run."""
    assert run_count(stubs) == 0
    recorded = run_day(stubs, PUBLISHED)
    assert (recorded.run.run, recorded.already_recorded) == ("2024-09-16-001", False)
    assert run_count(stubs) == 1
    assert_sound(folder_of(server))


def evidence_is_put(server: LotteryServer) -> bool:
    """Return whether a run has come as far as to its evidence, which is put before the lock."""
    return any(folder_of(server).glob("evidence/*/*/pools.parquet"))


def code_of(error: Any) -> grpc.StatusCode:
    code: grpc.StatusCode = error.code()
    return code
