"""Asking witnesses: a log's checkpoint goes to those of a policy, and their cosignatures come back.

Implements the client of C2SP tlog-witness (c2sp.org/tlog-witness, "add-checkpoint") over HTTP/1.1;
with TLS, certificates are verified as the system does.

Not here: the witness (`witness`), and when a log asks: after it has committed the checkpoint.

Invariants:
- No cosignature is taken over that the witness's own key has not made of this checkpoint, with a
  time.
- A witness that does not answer, or not as it should, is reported and is no error; one that has
  cosigned what the log does not know is one.
- The functions that are given are called in the caller's own thread.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Final, TypeAlias
from urllib.parse import urlsplit

from lottery.errors import CheckpointInvalid, WitnessAhead, escape, quote
from lottery.tlog.checkpoint import Checkpoint, add_line, parse_number
from lottery.tlog.keys import VerifierKey, timestamp_of
from lottery.tlog.note import NoteSignature
from lottery.tlog.policy import Judgement, Policy, PolicyWitness
from lottery.tlog.witness import SIZE_TYPE, TEXT_TYPE, Request

Consistency: TypeAlias = Callable[[int, int], Sequence[bytes]]
"""Returns the consistency proof from a size, at least 1, to a larger one."""

SECONDS: Final = 10.0
"""How long all witnesses together are waited for."""

_ADD_CHECKPOINT: Final = "/add-checkpoint"
_ANSWER_SIZE_LIMIT: Final = 2**16
_TRIES: Final = 3
_SHOWN: Final = 120
_CONNECTIONS: Final = {"http": HTTPConnection, "https": HTTPSConnection}


class Outcome(StrEnum):
    """What came of asking a witness."""

    COSIGNED = "cosigned"
    """Its cosignature is in the note."""
    OVERTAKEN = "overtaken"
    """It has cosigned a later checkpoint that the log knows, and no earlier one any more."""
    AWAY = "away"
    """It cannot be reached, or did not answer in time."""
    REFUSED = "refused"
    """It answered, and with nothing that is of use."""
    AHEAD = "ahead"
    """It has cosigned a checkpoint that the log does not know."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a witness answered.

    Attributes:
        witness: The witness.
        outcome: What came of it.
        detail: The same for people, in one line; empty if it cosigned.
        size: The size that the witness has cosigned last, as far as it is known.
    """

    witness: PolicyWitness
    outcome: Outcome
    detail: str = ""
    size: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Collected:
    """A checkpoint with the cosignatures that were collected.

    Attributes:
        note: The signed note, with the cosignatures added to it in the order of the policy.
        answers: What the witnesses answered, in the order of the policy.
        judgement: What the policy says of the note, such as whether the quorum is met.
    """

    note: bytes
    answers: tuple[Answer, ...]
    judgement: Judgement


@dataclass(frozen=True, slots=True, kw_only=True)
class _Reply:
    """An answer as it came.

    Attributes:
        witness: The witness.
        old_size: The old size that it was asked with.
        status: The status code; None if there is no answer.
        content_type: The media type.
        body: The body; without an answer, why there is none.
    """

    witness: PolicyWitness
    old_size: int
    status: int | None = None
    content_type: str = ""
    body: bytes


def collect_cosignatures(
    note: bytes,
    policy: Policy,
    consistency: Consistency,
    *,
    known_size: Callable[[], int] | None = None,
    old_size: int = 0,
    log_keys: Sequence[VerifierKey] = (),
    seconds: float = SECONDS,
) -> Collected:
    """Ask the witnesses of a policy to cosign a checkpoint, all at once.

    Those whose cosignature the note has already are not asked.

    Args:
        note: Signed note of the checkpoint, which the log has committed.
        policy: The policy; a witness without a URL is not asked.
        consistency: Called for the proof from the size that a witness has cosigned last.
        known_size: Called for the size of the largest checkpoint that the log knows by now, if a
            witness has cosigned a larger one than this; None if this is the largest.
        old_size: The size that the witnesses have probably cosigned last. They say so themselves
            if it is another, at the price of one more request.
        log_keys: Keys of the log that the policy does not have.
        seconds: How long to wait for all of them.

    Raises:
        WitnessAhead: A witness has cosigned a larger checkpoint than the log knows, or another one
            of the same size or of a smaller one. A size is not signed: whoever answers in place of
            the witness can name any.
        CheckpointInvalid: The note is not a checkpoint's, no known log has signed it, or a known
            key's signature is wrong.
        ValueError: The old size exceeds the checkpoint's.
    """
    judgement = policy.judge(note, log_keys)
    checkpoint = judgement.checkpoint
    if not 0 <= old_size <= checkpoint.size:
        raise ValueError(f"expected an old size of 0 to {checkpoint.size}, got {old_size}")
    asked = _Asked(note, checkpoint, consistency, known_size or (lambda: checkpoint.size), seconds)
    for witness in policy.witnesses:
        if witness in judgement.witnesses:
            asked.settle(witness, Outcome.COSIGNED, size=checkpoint.size)
        elif witness.url is None:
            asked.settle(witness, Outcome.AWAY, "it has no URL")
        else:
            asked.ask(witness, old_size)
    asked.wait()
    answers = tuple(asked.answers[witness.name] for witness in policy.witnesses)
    for answer in answers:
        if answer.outcome is Outcome.AHEAD:
            raise _witness_ahead(answer, checkpoint, asked.log_size)
    for witness in policy.witnesses:
        if (line := asked.lines.get(witness.name)) is not None:
            note = add_line(note, line)
    return Collected(note=note, answers=answers, judgement=policy.judge(note, log_keys))


class _Asked:
    """The witnesses that were asked to cosign a checkpoint, and what they answered so far."""

    def __init__(
        self,
        note: bytes,
        checkpoint: Checkpoint,
        consistency: Consistency,
        known_size: Callable[[], int],
        seconds: float,
    ) -> None:
        self.answers: dict[str, Answer] = {}
        self.lines: dict[str, NoteSignature] = {}
        self.log_size = checkpoint.size
        self._note = note
        self._checkpoint = checkpoint
        self._consistency = consistency
        self._known_size = known_size
        self._tries: dict[str, int] = {}
        self._waiting: dict[str, PolicyWitness] = {}
        self._replies: SimpleQueue[_Reply] = SimpleQueue()
        self._seconds = seconds

    def ask(self, witness: PolicyWitness, old_size: int) -> None:
        """Send the checkpoint to a witness, in a thread of its own."""
        proof: Sequence[bytes] = ()
        if 0 < old_size < self._checkpoint.size:
            proof = self._consistency(old_size, self._checkpoint.size)
        body = Request(old_size=old_size, proof=tuple(proof), note=self._note).encoded()
        self._waiting[witness.name] = witness
        self._tries[witness.name] = self._tries.get(witness.name, 0) + 1

        def post() -> None:
            self._replies.put(_post(witness, old_size, body, self._seconds))

        # A daemon: a process that ends does not wait for a witness that is slow.
        Thread(target=post, daemon=True).start()

    def settle(
        self, witness: PolicyWitness, outcome: Outcome, detail: str = "", size: int | None = None
    ) -> None:
        """Take an answer as the witness's last one."""
        self._waiting.pop(witness.name, None)
        self.answers[witness.name] = Answer(
            witness=witness, outcome=outcome, detail=detail, size=size
        )

    def wait(self) -> None:
        """Receive replies, and ask again where one calls for it, until all answers are there."""
        deadline = time.monotonic() + self._seconds
        while self._waiting:
            try:
                reply = self._replies.get(timeout=max(deadline - time.monotonic(), 0.0))
            except Empty:
                break
            self._receive(reply)
        for witness in list(self._waiting.values()):
            self.settle(witness, Outcome.AWAY, f"no answer within {self._seconds:g} s")

    def _receive(self, reply: _Reply) -> None:
        witness, size = reply.witness, _size_in(reply)
        if size is not None:
            self._receive_size(reply, size)
        elif reply.status is None:
            self.settle(witness, Outcome.AWAY, escape(reply.body.decode("utf-8", "replace")))
        elif reply.status == HTTPStatus.OK:
            line = _cosignature_in(reply.body, witness.key, self._checkpoint)
            if line is None:
                self.settle(witness, Outcome.REFUSED, "its answer has no cosignature of its key")
            else:
                self.lines[witness.name] = line
                self.settle(witness, Outcome.COSIGNED, size=self._checkpoint.size)
        elif reply.status == HTTPStatus.UNPROCESSABLE_ENTITY and reply.old_size > 0:
            detail = f"it has cosigned another root for size {reply.old_size}"
            self.settle(witness, Outcome.AHEAD, detail, size=reply.old_size)
        else:
            detail = f"status {reply.status}: {quote(reply.body, _SHOWN)}"
            self.settle(witness, Outcome.REFUSED, detail)

    def _receive_size(self, reply: _Reply, size: int) -> None:
        """Receive the size that a witness has cosigned last, which is not the one it was sent."""
        witness = reply.witness
        if size > self._checkpoint.size:
            self.log_size = max(self.log_size, self._known_size())
            detail = f"it has cosigned size {size}, the log knows {self.log_size}"
            is_known = size <= self.log_size
            self.settle(
                witness, Outcome.OVERTAKEN if is_known else Outcome.AHEAD, detail, size=size
            )
        elif size == reply.old_size or self._tries[witness.name] == _TRIES:
            detail = f"it named size {size} after it was asked from {reply.old_size}"
            self.settle(witness, Outcome.REFUSED, detail, size=size)
        else:
            self.ask(witness, size)


def _size_in(reply: _Reply) -> int | None:
    """Return the size that an answer names; None if it is another answer."""
    if reply.status != HTTPStatus.CONFLICT or reply.content_type != SIZE_TYPE:
        return None
    try:
        return parse_number(reply.body.decode("ascii", "replace").removesuffix("\n"), "size")
    except CheckpointInvalid:
        return None


def _cosignature_in(body: bytes, key: VerifierKey, checkpoint: Checkpoint) -> NoteSignature | None:
    """Return a witness's cosignature of a checkpoint; None if an answer does not have it.

    Lines of other keys are ignored, as a witness may have several.
    """
    *texts, end = body.decode("utf-8", "replace").split("\n")
    try:
        lines = [NoteSignature.parse(text) for text in texts]
    except CheckpointInvalid:
        return None
    message = checkpoint.text().encode("utf-8")
    for line in lines:
        is_own = (line.name, line.key_id) == (key.name, key.key_id)
        if (
            not end
            and is_own
            and timestamp_of(line.signature)
            and key.has_signed(message, line.signature)
        ):
            return line
    return None


def _post(witness: PolicyWitness, old_size: int, body: bytes, seconds: float) -> _Reply:
    """Send a request and return what came; nothing is raised."""
    try:
        with _connection(witness.url or "", seconds) as (connection, path):
            connection.request("POST", path, body=body, headers={"Content-Type": TEXT_TYPE})
            response = connection.getresponse()
            return _Reply(
                witness=witness,
                old_size=old_size,
                status=response.status,
                content_type=response.headers.get_content_type(),
                body=response.read(_ANSWER_SIZE_LIMIT),
            )
    except (OSError, HTTPException, ValueError) as error:
        problem = f"{type(error).__name__}: {error}".encode("utf-8", "replace")
        return _Reply(witness=witness, old_size=old_size, body=problem)


@contextmanager
def _connection(url: str, seconds: float) -> Iterator[tuple[HTTPConnection, str]]:
    """Open a connection to a submission prefix; yield it and the path to send to."""
    parts = urlsplit(url)
    if parts.scheme not in _CONNECTIONS or not parts.hostname or parts.query or parts.fragment:
        raise ValueError(f"expected a URL https://HOST[:PORT][/PATH], got {quote(url)}")
    connection = _CONNECTIONS[parts.scheme](parts.hostname, parts.port, timeout=seconds)
    try:
        yield connection, parts.path.rstrip("/") + _ADD_CHECKPOINT
    finally:
        connection.close()


def _witness_ahead(answer: Answer, checkpoint: Checkpoint, log_size: int) -> WitnessAhead:
    name = escape(answer.witness.name)
    return WitnessAhead(
        f"witness {name} of {quote(checkpoint.origin)}: {answer.detail}. The log must sign nothing "
        "more: its database may be an older copy of itself. Compare it with what is published and "
        "with the witness's own checkpoint",
        witness=answer.witness.name,
        witness_size=answer.size or 0,
        log_size=log_size,
    )
