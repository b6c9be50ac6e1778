"""A webhook on its way: signed, tried again, taken or given up; the receiver is a real one."""

from __future__ import annotations

import base64
import email.utils
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from lottery.operations.events import Event, EventData, Webhook
from lottery.operations.post import post, signed_headers
from lottery.operations.webhooks import Receiver as Known
from lottery.operations.webhooks import read_webhooks
from tests.receiver import OLD_SECRET, SECRET, receiving, url_of, webhooks_file
from tests.server.certificates import Authority

EVENT = Event(
    id="msg_1",
    said=Webhook(
        type="run.held",
        timestamp="2024-09-17T08:00:00Z",
        data=EventData(reason="HELD", held=("STALE_VOLUMES",)),
    ),
)


def known(folder: Path, url: str, **given: Any) -> Known:
    """Return a receiver as the file of webhooks names it."""
    (receiver,) = read_webhooks(webhooks_file(folder, url, **given))
    return receiver


@contextmanager
def closed_port() -> Iterator[int]:
    """Hold a port on which nobody listens."""
    with socket.socket() as held:
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]


def test_the_signature_is_that_of_the_specification() -> None:
    # The example of the libraries of Standard Webhooks.
    secret = base64.b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    headers = signed_headers(
        [secret], "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}'
    )

    assert headers == {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }


def test_an_event_is_posted_signed(tmp_path: Path) -> None:
    with receiving() as receiver:
        delivery = post(known(tmp_path, url_of(receiver)), EVENT)

    (request,) = receiver.came
    assert (delivery.attempts, delivery.problem) == (1, None)
    assert delivery.receiver == f"http://127.0.0.1:{receiver.server_port}"
    assert request.path == "/bell?token=hidden"
    assert request.id == "msg_1"
    assert request.is_signed()
    assert not request.is_signed(OLD_SECRET)
    assert request.headers["content-type"] == "application/json"
    assert request.headers["user-agent"].startswith("options-assignment-lottery/")
    assert request.document["data"]["held"] == ["STALE_VOLUMES"]


def test_while_a_secret_changes_both_sign(tmp_path: Path) -> None:
    with receiving() as receiver:
        post(known(tmp_path, url_of(receiver), secrets=f"{SECRET}\n{OLD_SECRET}"), EVENT)

    (request,) = receiver.came
    assert request.is_signed()
    assert request.is_signed(OLD_SECRET)


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_what_another_attempt_can_get_over_is_tried_again_under_the_same_id(
    tmp_path: Path, status: int
) -> None:
    with receiving(status) as receiver:
        delivery = post(known(tmp_path, url_of(receiver)), EVENT)

    assert (delivery.attempts, delivery.problem) == (2, None)
    assert [request.id for request in receiver.came] == ["msg_1", "msg_1"]


def test_each_attempt_has_a_time_and_a_signature_of_its_own(tmp_path: Path) -> None:
    with receiving(503, 503) as receiver:
        post(known(tmp_path, url_of(receiver)), EVENT)

    assert len(receiver.came) == 3
    assert receiver.came[-1].time > receiver.came[0].time
    assert all(request.is_signed() for request in receiver.came)


@pytest.mark.parametrize("status", [301, 307, 308, 400, 401, 404, 410])
def test_any_other_answer_is_given_up_at_once_and_no_redirect_is_followed(
    tmp_path: Path, status: int
) -> None:
    with receiving(status, Location="/elsewhere") as receiver:
        delivery = post(known(tmp_path, url_of(receiver)), EVENT)

    assert delivery.problem == f"it answered with status {status}"
    assert [request.path for request in receiver.came] == ["/bell?token=hidden"]


class Restarted:
    """An event during whose second attempt its receiver is there again."""

    id, said = EVENT.id, EVENT.said

    def __init__(self, port: int, stack: ExitStack) -> None:
        self._port = port
        self._stack = stack
        self._attempts = 0

    def body(self) -> bytes:
        self._attempts += 1
        if self._attempts == 2:
            self.receiver = self._stack.enter_context(receiving(port=self._port))
        return EVENT.body()


def test_a_receiver_that_was_away_gets_it(tmp_path: Path) -> None:
    with ExitStack() as stack:
        port = stack.enter_context(closed_port())
        event: Any = Restarted(port, stack)
        delivery = post(known(tmp_path, f"http://127.0.0.1:{port}/"), event)

    assert (delivery.attempts, delivery.problem) == (2, None)
    assert event.receiver.events() == ["run.held"]


def test_a_receiver_that_is_away_is_tried_again_and_given_up(tmp_path: Path) -> None:
    with closed_port() as port:
        delivery = post(known(tmp_path, f"http://127.0.0.1:{port}/", seconds=0.4), EVENT)

    assert delivery.attempts >= 2
    assert "Connection refused" in str(delivery.problem)


def test_a_receiver_that_never_answers_is_given_up(tmp_path: Path) -> None:
    with receiving() as receiver:
        receiver.may_answer.clear()
        delivery = post(known(tmp_path, url_of(receiver), seconds=0.4), EVENT)

    assert "timed out" in str(delivery.problem)


def test_a_receiver_is_left_alone_for_as_long_as_it_asks(tmp_path: Path) -> None:
    with receiving(503, Retry_After="2") as receiver:
        delivery = post(known(tmp_path, url_of(receiver)), EVENT)

    first, second = receiver.came
    assert delivery.problem is None
    assert second.time - first.time >= 2


def test_a_receiver_that_asks_for_more_than_there_is_gets_no_second_request(
    tmp_path: Path,
) -> None:
    an_hour = email.utils.formatdate(time.time() + 3_600, usegmt=True)
    for asked in ("3600", an_hour):
        with receiving(503, Retry_After=asked) as receiver:
            delivery = post(known(tmp_path, url_of(receiver)), EVENT)

        assert (delivery.attempts, delivery.problem) == (1, "it answered with status 503")


def test_a_wait_that_is_none_is_read_over(tmp_path: Path) -> None:
    with receiving(503, Retry_After="later") as receiver:
        delivery = post(known(tmp_path, url_of(receiver)), EVENT)

    assert (delivery.attempts, delivery.problem) == (2, None)


def test_a_receiver_is_called_over_tls_if_a_known_authority_vouches_for_it(tmp_path: Path) -> None:
    authority = Authority(tmp_path / "bank")
    with receiving(certificate=authority.server()) as receiver:
        url = url_of(receiver, "https")
        delivery = post(known(tmp_path, url, authorities="bank/authority.pem"), EVENT)
        unknown = post(known(tmp_path, url), EVENT)

    assert (delivery.attempts, delivery.problem) == (1, None)
    assert unknown.attempts == 1  # It would be the same the next time.
    assert "certificate verify failed" in str(unknown.problem)
    assert len(receiver.came) == 1
