"""Events on their way: nobody waits for them, and of each it is reported once what came of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from lottery.operations.events import Event, EventData, EventType, Webhook
from lottery.operations.outbox import QUEUED, Outbox
from lottery.operations.webhooks import Delivery, read_webhooks
from tests.receiver import receiving, url_of, webhooks_file
from tests.server.calls import PATIENCE, wait_until


def event(number: int = 1, of_type: EventType = "run.held") -> Event:
    said = Webhook(type=of_type, timestamp="2024-09-17T08:00:00Z", data=EventData())
    return Event(id=f"msg_{number}", said=said)


def outbox_of(folder: Path, *urls: str, **given: Any) -> tuple[Outbox, list[Delivery]]:
    """Return a started outbox, and what it reports."""
    came: list[Delivery] = []
    outbox = Outbox(read_webhooks(webhooks_file(folder, *urls, **given)), came.append)
    outbox.start()
    return outbox, came


def test_what_is_on_its_way_is_sent_before_the_outbox_closes(tmp_path: Path) -> None:
    with receiving() as receiver:
        outbox, came = outbox_of(tmp_path, url_of(receiver))
        for number in range(5):
            outbox.put(event(number))
        outbox.close(PATIENCE)

    assert [request.id for request in receiver.came] == [f"msg_{number}" for number in range(5)]
    assert [(one.event.id, one.problem) for one in came] == [
        (f"msg_{number}", None) for number in range(5)
    ]


def test_a_receiver_gets_the_events_that_it_asked_for(tmp_path: Path) -> None:
    with receiving() as receiver:
        outbox, came = outbox_of(tmp_path, url_of(receiver), events=["run.broken"])
        outbox.put(event(1, "run.held"))
        outbox.put(event(2, "run.broken"))
        outbox.close(PATIENCE)

    assert receiver.events() == ["run.broken"]
    assert len(came) == 1


def test_a_receiver_that_hangs_holds_up_no_other_one(tmp_path: Path) -> None:
    with receiving() as hanging, receiving() as receiver:
        hanging.may_answer.clear()
        outbox, came = outbox_of(tmp_path, url_of(hanging), url_of(receiver))
        for number in range(3):
            outbox.put(event(number))
        receiver.wait_for(3)
        wait_until(lambda: len(came) == 3)
        outbox.close(0.0)

    given_up = [one for one in came if one.problem is not None]
    assert [one.event.id for one in given_up] == ["msg_0", "msg_1", "msg_2"]
    assert {one.problem for one in given_up} == {"it did not take it before this process ended"}
    assert len(came) == 6


def test_what_was_given_up_is_not_reported_again(tmp_path: Path) -> None:
    with receiving() as receiver:
        receiver.may_answer.clear()
        outbox, came = outbox_of(tmp_path, url_of(receiver))
        outbox.put(event())
        receiver.wait_for(1)
        outbox.close(0.0)
        receiver.may_answer.set()
        outbox.close(PATIENCE)  # Its thread has ended.

    assert [one.problem for one in came] == ["it did not take it before this process ended"]


def test_more_events_than_may_be_on_their_way_are_given_up_at_once(tmp_path: Path) -> None:
    with receiving() as receiver:
        receiver.may_answer.clear()
        outbox, came = outbox_of(tmp_path, url_of(receiver))
        for number in range(QUEUED + 2):
            outbox.put(event(number))
        too_many = list(came)
        receiver.may_answer.set()
        outbox.close(PATIENCE)

    assert [one.event.id for one in too_many] == [f"msg_{QUEUED}", f"msg_{QUEUED + 1}"]
    assert {one.problem for one in too_many} == {f"{QUEUED} events are on their way already"}
    assert len(receiver.came) == QUEUED


def test_an_event_that_cannot_be_sent_is_given_up_and_the_next_one_is_sent(tmp_path: Path) -> None:
    nothing: Any = None
    unsendable = replace(event(1), said=nothing)
    with receiving() as receiver:
        outbox, came = outbox_of(tmp_path, url_of(receiver))
        outbox._lanes[0].put(unsendable)
        outbox.put(event(2))
        outbox.close(PATIENCE)

    assert [request.id for request in receiver.came] == ["msg_2"]
    assert str(came[0].problem).startswith("TypeError: ")
    assert came[1].problem is None
