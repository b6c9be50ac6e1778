"""The witness: it cosigns a log's checkpoints as long as each begins with the one before.

Implements C2SP tlog-witness (c2sp.org/tlog-witness, "add-checkpoint" and "Monitor Retrieval
Mechanism"), without its transport.

Not here: HTTP, the optional sign-subtree, and asking a witness (`witness_client`).

Invariants:
- Of two checkpoints of a log that were cosigned, the later one has the leaves of the earlier one:
  what was cosigned last is compared and replaced under one lock, of threads and of processes.
- Nothing is cosigned that is not on disk first, so that a restart forgets nothing. A copy of the
  directory that is older than the witness must never take the place of it.
- A request changes nothing unless it is answered with 200, but for the first contradiction of a log
  to what it had signed before, which is kept as proof.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from http import HTTPStatus
from pathlib import Path
from typing import Final

from lottery.durable import create_file, lock_directory, sync_directory, write_file
from lottery.errors import CheckpointInvalid, KeyUnusable, LedgerDamaged, ProofInvalid, quote
from lottery.tlog.checkpoint import (
    Checkpoint,
    check_hash,
    open_checkpoint,
    parse_base64,
    parse_number,
)
from lottery.tlog.cosignature import cosign
from lottery.tlog.keys import (
    SignatureType,
    SigningKey,
    VerifierKey,
    check_signature_type,
    encode_base64,
)
from lottery.tlog.merkle import EMPTY_ROOT, verify_consistency
from lottery.tlog.note import SignedNote

REQUEST_SIZE_LIMIT: Final = 2**17
"""Maximum size of a request in bytes: room for the 16 signatures of 5 kB that signed-note asks for,
and a proof."""
PROOF_LIMIT: Final = 63
"""Maximum number of hashes in a consistency proof."""
SIZE_TYPE: Final = "text/x.tlog.size"
"""Content type of the size that the answer 409 has."""
TEXT_TYPE: Final = "text/plain; charset=utf-8"
"""Content type of the other answers."""

_OLD: Final = "old "
_CHECKPOINT: Final = "checkpoint"
_CONTRADICTION: Final = "contradiction"
_ORIGIN_HASH: Final = re.compile(r"[0-9a-f]{64}")
_LOCK_SECONDS: Final = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """The body of an add-checkpoint request.

    Attributes:
        old_size: Size of the checkpoint that the witness is thought to have cosigned last.
        proof: The consistency proof from that size, at most `PROOF_LIMIT` hashes.
        note: Signed note of the new checkpoint; its signatures are not verified.
    """

    old_size: int
    proof: tuple[bytes, ...]
    note: bytes

    @classmethod
    def parse(cls, data: bytes) -> Request:
        """Parse a body.

        Raises:
            CheckpointInvalid: It is not exactly a request, or has too many hashes or bytes.
        """
        if len(data) > REQUEST_SIZE_LIMIT:
            raise CheckpointInvalid(
                f"expected a request of at most {REQUEST_SIZE_LIMIT} bytes, got {len(data)}"
            )
        before, _, note = data.partition(b"\n\n")
        old, *lines = before.decode("utf-8", "replace").split("\n")
        if not old.startswith(_OLD):
            raise CheckpointInvalid(f"expected a line {_OLD}<size>, got {quote(old)}")
        if len(lines) > PROOF_LIMIT:
            raise CheckpointInvalid(
                f"expected a proof of at most {PROOF_LIMIT} hashes, got {len(lines)}"
            )
        proof = tuple(parse_base64(line, "hash of the proof") for line in lines)
        for one in proof:
            check_hash(one, "hash of the proof")
        return cls(
            old_size=parse_number(old.removeprefix(_OLD), "old size"), proof=proof, note=note
        )

    def encoded(self) -> bytes:
        """Return the body's bytes."""
        lines = [f"{_OLD}{self.old_size}", *map(encode_base64, self.proof)]
        return "".join(f"{line}\n" for line in lines).encode("ascii") + b"\n" + self.note


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """What a request is answered.

    Attributes:
        status: Status code of HTTP.
        content_type: Media type of the body.
        body: The cosignature lines, the size, the checkpoint, or why there are none.
        cause: What the operator is to know of it, and nobody else; empty for nothing.
    """

    status: HTTPStatus
    content_type: str = TEXT_TYPE
    body: bytes
    cause: str = ""


class Witness:
    """A witness of some logs, whose state is kept in a directory.

    Below the directory, each log has a folder named by `origin_hash`. Its file `checkpoint` is the
    one cosigned last, with the signatures of the log and of the witness; a file `contradiction` is
    there only if the log has signed another root for the size of the one cosigned last.
    """

    def __init__(self, key: SigningKey, logs: Sequence[VerifierKey], directory: Path) -> None:
        """Open a witness.

        Args:
            key: The witness's private key, for cosignatures.
            logs: Public keys of the logs, whose names are their origins; a log may have several.
            directory: Where the state is kept; it is made if it is not there.

        Raises:
            KeyUnusable: A key is for other signatures, or no log is given.
            LedgerDamaged: What is kept of a log is not a checkpoint that it signed.
            OSError: The directory cannot be made or read.
        """
        check_signature_type(key, SignatureType.COSIGNATURE)
        if not logs:
            raise KeyUnusable("expected the public key of at least one log, got none")
        self._key = key
        self._directory = directory
        self._logs: dict[str, list[VerifierKey]] = {}
        for log in logs:
            check_signature_type(log, SignatureType.ED25519)
            self._logs.setdefault(log.name, []).append(log)
        for origin in self._logs:
            self._folder(origin).mkdir(parents=True, exist_ok=True)
            self._latest(origin)
        sync_directory(directory)
        sync_directory(directory.parent)

    @property
    def verifier(self) -> VerifierKey:
        """The witness's public key."""
        return self._key.verifier

    def add_checkpoint(self, body: bytes, now: int) -> Response:
        """Verify a checkpoint against the one cosigned last, and cosign it.

        Args:
            body: Body of the request.
            now: The time, in seconds since 1970, at least 1.

        Returns:
            200 with the cosignature line; 400 if the request is malformed or its old size exceeds
            the checkpoint's; 404 for an unknown log; 403 if no known key of the log has signed the
            checkpoint, or one's signature is wrong; 409 with the size cosigned last if it is not
            the old size; 422 if the proof or the root is wrong; and 503 if what was cosigned last
            cannot be read or written.
        """
        try:
            request = Request.parse(body)
            signed = SignedNote.parse(request.note)
            checkpoint = Checkpoint.parse(signed.text)
        except CheckpointInvalid as error:
            return _refusal(HTTPStatus.BAD_REQUEST, str(error))
        keys = self._logs.get(checkpoint.origin)
        if keys is None:
            return _refusal(HTTPStatus.NOT_FOUND, f"unknown log {quote(checkpoint.origin)}")
        try:
            signed_by = open_checkpoint(request.note, keys).signed_by
        except CheckpointInvalid as error:
            return _refusal(HTTPStatus.FORBIDDEN, str(error))
        if request.old_size > checkpoint.size:
            message = f"expected an old size of at most {checkpoint.size}, got {request.old_size}"
            return _refusal(HTTPStatus.BAD_REQUEST, message)
        # Unknown keys' lines are not kept: what the log has signed is all that was verified.
        known = {(key.name, key.key_id) for key in signed_by}
        lines = tuple(line for line in signed.signatures if (line.name, line.key_id) in known)
        verified = SignedNote(text=signed.text, signatures=lines)
        try:
            with lock_directory(self._folder(checkpoint.origin), seconds=_LOCK_SECONDS):
                return self._advance(request, checkpoint, verified, now)
        except (OSError, LedgerDamaged) as error:
            # Whoever asks is not shown where the state is kept.
            return Response(
                status=HTTPStatus.SERVICE_UNAVAILABLE,
                body=b"the state cannot be read or written; try again\n",
                cause=str(error),
            )

    def latest_checkpoint(self, log_hash: str) -> Response:
        """Return the checkpoint of a log that was cosigned last.

        Args:
            log_hash: `origin_hash` of the log.

        Returns:
            200 with the signed note; or 404, for any other text too.
        """
        if _ORIGIN_HASH.fullmatch(log_hash):
            with suppress(FileNotFoundError):
                note = (self._directory / log_hash / _CHECKPOINT).read_bytes()
                return Response(status=HTTPStatus.OK, body=note)
        return _refusal(HTTPStatus.NOT_FOUND, "no checkpoint of this log was cosigned")

    def _advance(
        self, request: Request, checkpoint: Checkpoint, verified: SignedNote, now: int
    ) -> Response:
        """Compare a checkpoint that its log signed with the latest, and replace it; locked."""
        folder = self._folder(checkpoint.origin)
        latest = self._latest(checkpoint.origin)
        if request.old_size != latest.size:
            body = b"%d\n" % latest.size
            return Response(status=HTTPStatus.CONFLICT, content_type=SIZE_TYPE, body=body)
        try:
            _check_consistency(latest, checkpoint, request.proof)
        except ProofInvalid as error:
            if checkpoint.size == latest.size and checkpoint.root != latest.root:
                with suppress(FileExistsError):
                    create_file(folder / _CONTRADICTION, verified.encoded())
            return _refusal(HTTPStatus.UNPROCESSABLE_ENTITY, str(error))
        line = cosign(verified.encoded(), self._key, now)
        cosigned = SignedNote(text=verified.text, signatures=(*verified.signatures, line))
        write_file(folder / _CHECKPOINT, cosigned.encoded())
        return Response(status=HTTPStatus.OK, body=f"{line}\n".encode())

    def _latest(self, origin: str) -> Checkpoint:
        """Return the checkpoint of a log cosigned last, or that of the empty tree."""
        path = self._folder(origin) / _CHECKPOINT
        try:
            note = path.read_bytes()
        except FileNotFoundError:
            return Checkpoint(origin=origin, size=0, root=EMPTY_ROOT)
        try:
            return open_checkpoint(
                note, [self.verifier, *self._logs[origin]], origin=origin
            ).checkpoint
        except CheckpointInvalid as error:
            raise LedgerDamaged(f"{path}: {error}") from error

    def _folder(self, origin: str) -> Path:
        return self._directory / origin_hash(origin)


def origin_hash(origin: str) -> str:
    """Return the hexadecimal SHA-256 of a log's origin, which paths name it by."""
    return sha256(origin.encode("utf-8")).hexdigest()


def _check_consistency(latest: Checkpoint, new: Checkpoint, proof: Sequence[bytes]) -> None:
    """Raise `ProofInvalid` unless a checkpoint begins with the latest one.

    Nothing is proved from the empty tree, with which every tree begins; but its root is known.
    """
    if latest.size > 0:
        verify_consistency(
            first_size=latest.size,
            second_size=new.size,
            first_root=latest.root,
            second_root=new.root,
            proof=proof,
        )
    elif proof:
        raise ProofInvalid(f"expected no proof from size 0, got {len(proof)} hashes")
    elif new.size == 0 and new.root != EMPTY_ROOT:
        raise ProofInvalid(
            f"expected the empty tree's root {EMPTY_ROOT.hex()}, got {new.root.hex()}"
        )


def _refusal(status: HTTPStatus, message: str) -> Response:
    return Response(status=status, body=f"{message}\n".encode("utf-8", "replace"))
