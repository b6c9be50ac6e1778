"""The webhooks of a command: called once its answer is printed, for a limited time."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import typer
from typer.exceptions import TyperException

from lottery.cli import exits
from lottery.cli.session import Session
from lottery.cli.variables import client_variables
from lottery.errors import escape
from lottery.operations.events import INTERNAL, Announcing, Asked, Event

if TYPE_CHECKING:
    from lottery.operations.webhooks import Delivery, Receiver

PATIENCE_SECONDS: Final = 1.0
"""Time in seconds beyond a receiver's own, for what it says at the last moment."""


def announcing(session: Session, asked: Asked) -> Announcing:
    """Return a block whose event is sent after the command's answer.

    An event that is not taken is a warning, and changes nothing about how the command ends.

    Raises:
        typer.BadParameter: A setting in the environment, or the file of webhooks, is wrong.
        EngineMissing: The library that calls them is not installed.
    """
    file = client_variables().webhooks
    if file is None:
        return Announcing(asked, None)
    from lottery.operations.webhooks import read_webhooks  # noqa: PLC0415 - few have any.

    try:
        receivers = read_webhooks(file)
    except OSError as error:
        message = f"LOTTERY_WEBHOOKS: {escape(file)}: {error.strerror}"
        raise typer.BadParameter(message) from None
    except ValueError as error:
        lines = (f"LOTTERY_WEBHOOKS: {line}" for line in str(error).splitlines())
        raise typer.BadParameter("\n".join(lines)) from None
    events: list[Event] = []
    session.afterwards.callback(_send, session, receivers, events)
    return Announcing(asked, events.append, reason_of=_reason_of)


def _reason_of(error: Exception) -> str:
    return exits.WRONG_USAGE if isinstance(error, TyperException) else INTERNAL


def _send(session: Session, receivers: Sequence[Receiver], events: Sequence[Event]) -> None:
    """Send events, and warn of those that were not taken."""
    if not events:
        return
    from lottery.operations.outbox import Outbox  # noqa: PLC0415 - as above.

    came: list[Delivery] = []
    outbox = Outbox(receivers, came.append)
    try:
        sys.stdout.flush()  # Who waits for the answer has it now.
    finally:
        outbox.start()
        for event in events:
            outbox.put(event)
        outbox.close(max(receiver.seconds for receiver in receivers) + PATIENCE_SECONDS)
        for delivery in came:
            if delivery.problem is not None:
                session.warn(
                    f"{delivery.event.said.type} was not delivered to {delivery.receiver}: "
                    f"{delivery.problem}"
                )
