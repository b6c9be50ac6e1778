"""Cosignatures: a witness's statement that a checkpoint was a log's latest at a time.

Implements the Ed25519 form of C2SP tlog-cosignature (c2sp.org/tlog-cosignature, "Format" and
"Ed25519 signed message"); its keys and bytes are those of signature type 0x04 in `keys`.

Not here: whether the checkpoint is consistent with those before, which a witness makes sure of
first (`witness`); how many cosignatures are enough (`policy`); ML-DSA-44 cosignatures.

Invariants:
- Nothing but a checkpoint is cosigned, and its extension lines are cosigned with it.
- Nothing is cosigned with the time 0, which stands for no time. A cosignature that has it verifies,
  as the specification does not reject it; who needs the time must look at it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lottery.tlog.checkpoint import add_line, open_checkpoint, unverified_checkpoint
from lottery.tlog.keys import SignatureType, SigningKey, VerifierKey, timestamp_of
from lottery.tlog.note import NoteSignature, SignedNote


@dataclass(frozen=True, slots=True, kw_only=True)
class Cosignature:
    """A verified cosignature.

    Attributes:
        key: The witness's key.
        timestamp: The time of the statement, in seconds since 1970; 0 for none.
    """

    key: VerifierKey
    timestamp: int


def cosign(note: bytes, key: SigningKey, timestamp: int) -> NoteSignature:
    """Cosign a checkpoint.

    Args:
        note: Signed note of the checkpoint; its signatures are not verified.
        key: The witness's key.
        timestamp: The time, in seconds since 1970.

    Raises:
        CheckpointInvalid: The note is not a checkpoint's.
        KeyUnusable: The key is not for cosignatures.
        ValueError: The time is 0 or out of range.
    """
    signature = key.cosign(unverified_checkpoint(note).text().encode("utf-8"), timestamp)
    return NoteSignature(name=key.name, key_id=key.verifier.key_id, signature=signature)


def add_cosignature(note: bytes, key: SigningKey, timestamp: int) -> bytes:
    """Return a checkpoint's note with a cosignature added.

    Raises:
        CheckpointInvalid: The note is not a checkpoint's, the key has signed it already, or it
            would exceed a limit of notes.
        KeyUnusable: The key is not for cosignatures.
        ValueError: The time is 0 or out of range.
    """
    return add_line(note, cosign(note, key, timestamp))


def cosignatures_of(note: bytes, keys: Sequence[VerifierKey]) -> tuple[Cosignature, ...]:
    """Verify a checkpoint's signatures and return those that are cosignatures.

    Arguments and errors are those of `checkpoint.open_checkpoint`, which known keys of both types
    may be given to.
    """
    signed_by = open_checkpoint(note, keys).signed_by
    lines = {(line.name, line.key_id): line for line in SignedNote.parse(note).signatures}
    return tuple(
        Cosignature(key=key, timestamp=timestamp_of(lines[key.name, key.key_id].signature))
        for key in signed_by
        if key.signature_type is SignatureType.COSIGNATURE
    )
