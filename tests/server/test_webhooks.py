"""The server's webhooks: no answer waits for them, and a stop drains them."""

from __future__ import annotations

import json
import re
import sys
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn, cast

import grpc
import pytest

from lottery.errors import EngineMissing
from lottery.operations.events import Event
from lottery.v1 import lottery_pb2
from lottery.v1 import lottery_service_pb2 as pb
from server.app import create_server
from server.lottery_service import LotteryService
from tests.builders import (
    AAPL,
    FULL,
    NEXT_DATE,
    OTHER_ASKS,
    PUBLISHED,
    TESTER,
    SmallDay,
    made,
    notice,
    position,
)
from tests.receiver import Receiver, receiving, url_of, webhooks_file
from tests.server.calls import (
    PATIENCE,
    called,
    connected,
    failure_of,
    messages_of,
    run_day,
    run_messages,
    serving,
    settings_of,
    spec_of,
    wait_until,
)
from tests.server.processes import ServerProcess, environment_of, server_process, start_in_vain

ACCOUNT = "83920174650192"
BROKEN = SmallDay(notices=[notice(ACCOUNT, AAPL, 10)], positions=[position(AAPL, ACCOUNT, 9)])
MOSTLY_BREAKS = [lottery_pb2.Acknowledgement(code="MOSTLY_BREAKS", reason="it is a test")]


def data_of(receiver: Receiver, count: int) -> list[dict[str, Any]]:
    """Return what so many requests say, with their types."""
    documents = [request.document for request in receiver.wait_for(count)]
    return [{**document["data"], "type": document["type"]} for document in documents]


def test_no_answer_waits_for_a_receiver(tmp_path: Path) -> None:
    with receiving() as receiver:
        receiver.may_answer.clear()
        file = webhooks_file(tmp_path, url_of(receiver))
        with called(tmp_path / "ledger", webhooks=file) as stubs:
            for cycle in (1, 2, 3):
                answer = run_day(stubs, FULL)
                assert (answer.run.break_count, cycle) == (1, cycle)
            receiver.wait_for(1)
            receiver.may_answer.set()

    assert receiver.events() == ["run.broken"] * 3  # They are on their way when it stops.
    assert len({request.id for request in receiver.came}) == 1


def test_what_becomes_of_a_call_is_announced(tmp_path: Path) -> None:
    wrong = replace(PUBLISHED, notices=[notice("A1", "nothing", 1)])
    uuid = "7f9c24e8-3b12-4fef-91e0-3f1a3a9a3f5c"
    with receiving() as receiver:
        file = webhooks_file(tmp_path, url_of(receiver))
        with called(tmp_path / "ledger", webhooks=file) as stubs:
            failure_of(lambda: run_day(stubs, wrong, request_id=uuid))
            run_day(stubs, FULL)
            failure_of(lambda: run_day(stubs, replace(FULL, asks=OTHER_ASKS)))
            with pytest.raises(grpc.RpcError):
                run_day(stubs, replace(FULL, date=NEXT_DATE))
            failure_of(lambda: run_messages(stubs, messages_of(PUBLISHED)[1:]))
            said = data_of(receiver, 5)

    assert [(one["type"], one["reason"]) for one in said] == [
        ("run.failed", "INVALID_INPUT"),
        ("run.broken", None),
        ("run.conflicted", "SEED_CONFLICT"),
        ("run.held", "HELD"),
        ("run.failed", "INVALID_INPUT"),
    ]
    assert [(one["business_date"], one["cycle"]) for one in said] == [
        *[("2024-09-16", 1)] * 3,
        ("2024-09-17", 1),
        (None, None),  # Its first message has no spec.
    ]
    assert [one["request_id"] for one in said][::2] == [uuid, None, None]
    assert len({one["ledger"] for one in said}) == 1
    assert said[0]["problem_count"] == 1
    assert "STALE_VOLUMES" in said[3]["held"]


def test_a_rehearsal_and_a_call_that_may_not_be_made_call_nobody(tmp_path: Path) -> None:
    with receiving() as receiver:
        file = webhooks_file(tmp_path, url_of(receiver))
        with called(tmp_path / "ledger", webhooks=file) as stubs:
            run_day(stubs, FULL, validate_only=True)
        with called(tmp_path / "ledger", webhooks=file, trust_local="me:auditor") as stubs:
            assert failure_of(lambda: run_day(stubs, FULL)).reason == "ROLE_MISSING"

    assert receiver.came == []


class Gone:
    """The context of a call whose caller has gone."""

    class Aborted(Exception):
        """The call has ended."""

    def is_active(self) -> bool:
        return False

    def abort(self, code: grpc.StatusCode, _: str) -> NoReturn:
        raise self.Aborted(code)


def test_a_caller_that_goes_away_is_announced(tmp_path: Path) -> None:
    events: list[Event] = []
    service = LotteryService(
        made(tmp_path / "ledger"), max_rows=9, identify=lambda: TESTER, announce=events.append
    )

    def messages() -> Iterator[pb.RunLotteryRequest]:
        yield spec_of(PUBLISHED)
        raise RuntimeError("what gRPC raises is bare")

    with pytest.raises(Gone.Aborted):
        service.RunLottery(messages(), cast("grpc.ServicerContext", Gone()))

    (event,) = events
    assert (event.said.type, event.said.data.reason) == ("run.failed", "ABANDONED")
    assert event.said.data.business_date == PUBLISHED.date


def test_a_stop_drains_what_is_on_its_way_and_logs_and_counts_it(tmp_path: Path) -> None:
    with receiving() as receiver:
        file = webhooks_file(tmp_path, url_of(receiver))
        with server_process(tmp_path, webhooks=str(file), processes="1") as server:
            with connected(server.port) as stubs:
                run_day(stubs, BROKEN, acknowledgements=MOSTLY_BREAKS)
                wait_until(lambda: server.has_logged("webhook delivered"))
                assert counted(server) == {"delivered": 1.0, "given_up": 0.0}
                receiver.may_answer.clear()
                run_day(stubs, BROKEN, acknowledgements=MOSTLY_BREAKS)
                receiver.wait_for(2)
            server.process.terminate()
            wait_until(lambda: server.has_logged("draining"))
            receiver.may_answer.set()
            assert server.process.wait(PATIENCE) == 0

    first, second = (line for line in server.lines() if line["event"] == "webhook delivered")
    assert first["to"] == f"http://127.0.0.1:{receiver.server_port}"
    assert (first["type"], first["attempts"], first["id"]) == ("run.broken", 1, second["id"])
    text = server.log.read_text("utf-8")
    assert ACCOUNT not in text
    assert "hidden" not in text
    assert ACCOUNT not in str(receiver.came)


def test_a_receiver_that_never_answers_holds_up_no_stop(tmp_path: Path) -> None:
    with receiving() as receiver:
        receiver.may_answer.clear()
        file = webhooks_file(tmp_path, url_of(receiver))
        with (
            server_process(
                tmp_path, webhooks=str(file), processes="1", grace_seconds="0"
            ) as server,
            connected(server.port) as stubs,
        ):
            run_day(stubs, BROKEN, acknowledgements=MOSTLY_BREAKS)
            receiver.wait_for(1)
            server.process.terminate()
            assert server.process.wait(PATIENCE) == 0

    (line,) = (line for line in server.lines() if line["event"] == "webhook given up")
    assert line["problem"] == "it did not take it before this process ended"
    assert line["level"] == "warning"


def counted(server: ServerProcess) -> dict[str, float]:
    """Return the metric of webhooks, by outcome."""
    url = f"http://127.0.0.1:{server.serving['metrics_port']}/metrics"
    with urllib.request.urlopen(url, timeout=PATIENCE) as response:
        text = response.read().decode()
    found = re.findall(
        r'^lottery_webhooks_total\{.*?outcome="(\w+)".*?\} (\S+)$', text, re.MULTILINE
    )
    return {outcome: float(count) for outcome, count in found}


def test_a_server_with_a_wrong_file_of_webhooks_does_not_start(tmp_path: Path) -> None:
    file = webhooks_file(tmp_path, "http://pager.bank.example/", seconds=0)
    with serving(tmp_path / "ledger"):
        pass

    done = start_in_vain(environment_of(tmp_path / "ledger", webhooks=str(file)))

    assert done.returncode == 2
    problems = [json.loads(line).get("problem", "") for line in done.stderr.splitlines()]
    assert any(
        "webhook 1, url: expected https://" in problem and "webhook 1, seconds: " in problem
        for problem in problems
    ), done.stderr


def test_a_server_without_the_library_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = webhooks_file(tmp_path, "https://pager.bank.example/")
    monkeypatch.setitem(sys.modules, "urllib3", None)

    with pytest.raises(EngineMissing, match="pip install 'urllib3>="):
        create_server(settings_of(tmp_path / "ledger", webhooks=file))
