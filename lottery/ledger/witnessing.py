"""Witnesses: asking them to cosign the head, before anything is signed after it and as it is new.

A run is acknowledged without them: one that is down must not stop an assignment morning. One that
knows a larger head than the database ends all signing, because the ledger is an older copy then.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

from lottery.ledger import log
from lottery.ledger.ports import Ports
from lottery.ledger.publish import CHECKPOINT, published_size, witnessed_name
from lottery.tlog.policy import Policy
from lottery.tlog.witness_client import Collected, collect_cosignatures

Warn = Callable[[str], None]
"""Receives a warning, in one line."""


def cosign_head(ports: Ports, policy: Policy, warn: Warn) -> None:
    """Ask the witnesses of a policy to cosign the head that is committed, and publish it so.

    Args:
        ports: Where the ledger is.
        policy: The witnesses, and how many are enough.
        warn: Receives what keeps the head from having enough cosignatures.

    Raises:
        WitnessAhead: A witness has cosigned a head that the database does not know.
        OSError: The cosigned head cannot be published.
    """
    with ports.database.reading() as connection:
        signer = log.read_log(connection)
        size = log.read_size(connection)
        note = log.note_of(connection, size)

    def consistency(first_size: int, second_size: int) -> tuple[bytes, ...]:
        with ports.database.reading() as connection:
            return log.consistency_proof(connection, first_size, second_size)

    def known_size() -> int:
        with ports.database.reading() as connection:
            return log.read_size(connection)

    collected = collect_cosignatures(
        note,
        policy,
        consistency,
        known_size=known_size,
        old_size=max(size - 1, 0),
        log_keys=[signer.key_of(size)],
    )
    if collected.judgement.quorum_met:
        _publish(ports, size, collected)
    else:
        answers = "; ".join(
            f"{answer.witness.name}: {answer.outcome} {answer.detail}".rstrip()
            for answer in collected.answers
        )
        warn(f"the head of {size} entries has too few cosignatures: {answers}")


def _publish(ports: Ports, size: int, collected: Collected) -> None:
    # Another process may have asked too, and got cosignatures of another second.
    with suppress(FileExistsError):
        ports.objects.create(witnessed_name(size), collected.note)
    with ports.database.publishing():
        if published_size(ports.objects) == size:
            ports.objects.put(CHECKPOINT, collected.note)
