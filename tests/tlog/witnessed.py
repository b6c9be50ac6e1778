"""A small log that grows, and its witness, which can be asked over HTTP."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from lottery.cli.witness_server import WitnessServer
from lottery.tlog.checkpoint import Checkpoint, sign_checkpoint
from lottery.tlog.keys import SignatureType, SigningKey
from lottery.tlog.merkle import append, consistency_proof, leaf_hash, root_of
from lottery.tlog.witness import Request, Response, Witness
from tests.tlog.signed import COSIGNER, LOG, TIME


class SmallLog:
    """A log of made-up entries: two with one salt have one history."""

    def __init__(self, salt: str = "", key: SigningKey = LOG) -> None:
        self.key = key
        self._nodes: dict[tuple[int, int], bytes] = {}
        compact_range: tuple[bytes, ...] = ()
        for size in range(40):
            leaf = leaf_hash(f"{salt} {size}".encode())
            compact_range, nodes = append(size, compact_range, leaf)
            self._nodes.update(((node.level, node.index), node.hash) for node in nodes)

    def node_of(self, level: int, index: int) -> bytes:
        return self._nodes[level, index]

    def note(self, size: int, *extensions: str) -> bytes:
        """The log's signed checkpoint of a size."""
        root = root_of(size, self.node_of)
        checkpoint = Checkpoint(origin=self.key.name, size=size, root=root, extensions=extensions)
        return sign_checkpoint(checkpoint, self.key)

    def proof(self, first: int, second: int) -> tuple[bytes, ...]:
        """Prove a size to be the beginning of another; nothing where nothing is proved."""
        return consistency_proof(first, second, self.node_of) if 0 < first <= second else ()

    def request(self, old: int, new: int, proof: Sequence[bytes] | None = None) -> bytes:
        """The body that asks a witness to go from a size to another."""
        hashes = self.proof(old, new) if proof is None else proof
        return Request(old_size=old, proof=tuple(hashes), note=self.note(new)).encoded()


def witness_in(directory: Path, *logs: SmallLog) -> Witness:
    return Witness(COSIGNER, [log.key.verifier for log in logs or [SmallLog()]], directory)


def advance(witness: Witness, log: SmallLog, old: int, new: int, now: int = TIME) -> Response:
    return witness.add_checkpoint(log.request(old, new), now)


def key_of(name: str) -> SigningKey:
    """Return the private key of a witness."""
    return SigningKey(
        name=f"witness.example/{name}",
        seed=name.encode().ljust(32, b"."),
        signature_type=SignatureType.COSIGNATURE,
    )


@contextmanager
def serving(witness: Witness) -> Iterator[str]:
    """Serve a witness over HTTP on loopback; gives its address."""
    server = WitnessServer(witness, ("127.0.0.1", 0), clock=lambda: TIME, report=lambda _: None)
    thread = threading.Thread(target=server.serve_forever, args=[0.01])
    thread.start()
    try:
        yield server.url
    finally:
        server.stop()
        thread.join()
