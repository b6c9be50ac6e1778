"""Checkpoints: a log's size and root as a signed note.

Implements C2SP tlog-checkpoint (c2sp.org/tlog-checkpoint, "Note text" and "Signatures").

Not here: whether a root is right (`merkle`); whether two checkpoints are consistent, which a log
must make sure of before it signs; notes and their signatures (`note`); signatures with a time
(`cosignature`).

Invariants:
- Every value is valid and has one text: parse(text).text() == text.
- Nothing that `open_checkpoint` returns is unsigned: the signatures of all known keys are verified
  before the text is read.
- Numbers are 0 to 2**63 - 1, as in the other implementations.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from lottery.errors import CheckpointInvalid, quote
from lottery.tlog.keys import SigningKey, VerifierKey, decode_base64, encode_base64
from lottery.tlog.merkle import HASH_SIZE
from lottery.tlog.note import NoteSignature, SignedNote, show_key, sign_text, signers_of

LARGEST_NUMBER: Final = 2**63 - 1
"""Maximum size of a tree, and maximum index."""

_CHECKPOINT_LINES: Final = 3
_DECIMAL: Final = re.compile(r"0|[1-9][0-9]{0,18}")
_LINE: Final = re.compile(r"[^\x00-\x1f\ud800-\udfff]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """The size and root of a log's tree.

    Attributes:
        origin: Name of the log, such as `example.com/log`.
        size: Number of leaves in the tree.
        root: Root of the tree, 32 bytes (RFC 9162, 2.1.1).
        extensions: Further lines, which mean nothing here.

    Raises:
        CheckpointInvalid: A line is empty or has a control character, the size is out of range, or
            the root does not have 32 bytes.
    """

    origin: str
    size: int
    root: bytes
    extensions: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for line in (self.origin, *self.extensions):
            if not _LINE.fullmatch(line):
                raise CheckpointInvalid(
                    f"expected a line without control characters, got {quote(line)}"
                )
        check_number(self.size, "tree size")
        check_hash(self.root, "root hash")

    @classmethod
    def parse(cls, text: str) -> Checkpoint:
        """Parse the text of a note.

        Raises:
            CheckpointInvalid: It is not exactly the text of a checkpoint.
        """
        *lines, end = text.split("\n")
        if end or len(lines) < _CHECKPOINT_LINES:
            raise CheckpointInvalid(
                f"expected whole lines of origin, tree size and root hash, got {quote(text)}"
            )
        origin, size, root, *extensions = lines
        return cls(
            origin=origin,
            size=parse_number(size, "tree size"),
            root=parse_base64(root, "root hash"),
            extensions=tuple(extensions),
        )

    def text(self) -> str:
        """Return the note's text: origin, size, root and extensions, each on a line."""
        lines = (self.origin, str(self.size), encode_base64(self.root), *self.extensions)
        return "".join(f"{line}\n" for line in lines)


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenedCheckpoint:
    """A checkpoint that known keys have signed.

    Attributes:
        checkpoint: The checkpoint.
        signed_by: The known keys that signed it, at least one, in the order of their lines.
    """

    checkpoint: Checkpoint
    signed_by: tuple[VerifierKey, ...]


def open_checkpoint(
    note: bytes, keys: Sequence[VerifierKey], *, origin: str | None = None
) -> OpenedCheckpoint:
    """Verify a checkpoint's signatures and read it.

    Args:
        note: The signed note.
        keys: The known keys; signatures of others, by name and key id, are ignored.
        origin: The log that the checkpoint must belong to; None for any.

    Raises:
        CheckpointInvalid: The note is not a checkpoint's, no known key has signed it or one has
            signed it twice, a known key's signature is wrong, or the origin is another.
        KeyUnusable: Two different known keys have one name and one key id.
    """
    signed = SignedNote.parse(note)
    signed_by = signers_of(signed, keys)
    checkpoint = Checkpoint.parse(signed.text)
    if origin is not None and checkpoint.origin != origin:
        raise CheckpointInvalid(
            f"expected the origin {quote(origin)}, got {quote(checkpoint.origin)}"
        )
    return OpenedCheckpoint(checkpoint=checkpoint, signed_by=signed_by)


def sign_checkpoint(checkpoint: Checkpoint, key: SigningKey) -> bytes:
    """Return the signed note of a checkpoint, with one signature.

    If the log itself signs, the key's name should be the checkpoint's origin.

    Raises:
        CheckpointInvalid: The note exceeds `note.NOTE_SIZE_LIMIT`.
    """
    text = checkpoint.text()
    return SignedNote(text=text, signatures=(sign_text(text, key),)).encoded()


def add_signature(note: bytes, key: SigningKey) -> bytes:
    """Return a checkpoint's note with one more signature; the others are not verified.

    Raises:
        CheckpointInvalid: The note is not a checkpoint's, the key has signed it already, or it
            would exceed a limit of notes.
        KeyUnusable: The key is for cosignatures.
    """
    return add_line(note, sign_text(unverified_checkpoint(note).text(), key))


def add_line(note: bytes, line: NoteSignature) -> bytes:
    """Return a checkpoint's note with one more signature line; no line is verified.

    Raises:
        CheckpointInvalid: The note is not a checkpoint's, has a line of this key already, or would
            exceed a limit of notes.
    """
    unverified_checkpoint(note)
    signed = SignedNote.parse(note)
    if (line.name, line.key_id) in {(each.name, each.key_id) for each in signed.signatures}:
        raise CheckpointInvalid(f"{show_key(line)} has signed it already")
    return SignedNote(text=signed.text, signatures=(*signed.signatures, line)).encoded()


def unverified_checkpoint(note: bytes) -> Checkpoint:
    """Return what a note states, whoever signed it.

    Raises:
        CheckpointInvalid: The note is not a checkpoint's.
    """
    return Checkpoint.parse(SignedNote.parse(note).text)


def parse_number(text: str, what: str) -> int:
    """Parse a plain decimal; `what` is its name in messages."""
    if not _DECIMAL.fullmatch(text):
        raise CheckpointInvalid(f"{what}: expected a plain decimal, got {quote(text)}")
    return int(text)


def parse_base64(text: str, what: str) -> bytes:
    """Parse base64; `what` is its name in messages."""
    try:
        return decode_base64(text)
    except ValueError as error:
        raise CheckpointInvalid(f"{what}: expected base64, got {quote(text)}") from error


def check_number(number: int, what: str) -> None:
    """Raise `CheckpointInvalid` if a number is out of range."""
    if not 0 <= number <= LARGEST_NUMBER:
        raise CheckpointInvalid(f"{what}: expected 0 to {LARGEST_NUMBER}, got {number}")


def check_hash(value: bytes, what: str) -> None:
    """Raise `CheckpointInvalid` if a hash has another size."""
    if len(value) != HASH_SIZE:
        raise CheckpointInvalid(f"{what}: expected {HASH_SIZE} bytes, got {len(value)}")
