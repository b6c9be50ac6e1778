"""Checkpoints: a log's tree head as a signed note, and the proof that something is in the log.

Implements C2SP tlog-checkpoint (c2sp.org/tlog-checkpoint, "Note text" and "Signatures") and the
form of C2SP tlog-proof (c2sp.org/tlog-proof, "Format").

Not here: Merkle trees, so neither whether a root is right nor whether a proof's hashes lead to it;
whether two checkpoints are consistent, which a log must make sure of before it signs; notes and
their signatures (`note`); keys (`signing`); cosignatures with a time.

Invariants:
- A value is valid however it was made, and has one text: parse(text).text() == text.
- Nothing that `open_checkpoint` returns is unsigned: signatures are verified before the text is
  read, and all of the known keys' are right.
- Numbers are 0 to 2**63 - 1, as in the other implementations.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from lottery.errors import CheckpointInvalid
from lottery.tlog.keys import SigningKey, VerifierKey, decode_base64, encode_base64
from lottery.tlog.merkle import HASH_SIZE
from lottery.tlog.note import SignedNote, key_id_shown, sign_text, signers_of

LARGEST_NUMBER: Final = 2**63 - 1
PROOF_HEADER: Final = "c2sp.org/tlog-proof@v1"

_CHECKPOINT_LINES: Final = 3
_DECIMAL: Final = re.compile(r"0|[1-9][0-9]{0,18}")
_EXTRA: Final = "extra "
_INDEX: Final = "index "
_LINE: Final = re.compile(r"[^\x00-\x1f\ud800-\udfff]+")
_SHOWN: Final = 80


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """A tree head.

    Attributes:
        origin: The log's identity, as `example.com/log`.
        size: Leaves in the tree.
        root: The root hash at that size, 32 bytes (RFC 6962, 2.1).
        extensions: Further lines, which mean nothing here.

    Raises:
        CheckpointInvalid: A line is empty or has a control character, the size is out of range, or
            the root is not of 32 bytes.
    """

    origin: str
    size: int
    root: bytes
    extensions: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for line in (self.origin, *self.extensions):
            if not _LINE.fullmatch(line):
                raise CheckpointInvalid(
                    f"expected a line without control characters, got {line[:_SHOWN]!r}"
                )
        _check_number(self.size, "tree size")
        _check_hash(self.root, "root hash")

    @classmethod
    def parse(cls, text: str) -> Checkpoint:
        """The tree head of a note's text.

        Raises:
            CheckpointInvalid: It is not exactly the text of one.
        """
        *lines, end = text.split("\n")
        if end or len(lines) < _CHECKPOINT_LINES:
            raise CheckpointInvalid(
                f"expected whole lines of origin, tree size and root hash, got {text[:_SHOWN]!r}"
            )
        origin, size, root, *extensions = lines
        return cls(
            origin=origin,
            size=_number(size, "tree size"),
            root=_decoded(root, "root hash"),
            extensions=tuple(extensions),
        )

    def text(self) -> str:
        """The note's text: origin, size, root and extensions, each a line."""
        lines = (self.origin, str(self.size), encode_base64(self.root), *self.extensions)
        return "".join(f"{line}\n" for line in lines)


def sign_checkpoint(checkpoint: Checkpoint, key: SigningKey) -> bytes:
    """The signed note of a tree head, with one signature.

    The key's name should be the checkpoint's origin where the log itself signs.

    Raises:
        CheckpointInvalid: The note is past `note.NOTE_SIZE_LIMIT`.
    """
    text = checkpoint.text()
    return SignedNote(text=text, signatures=(sign_text(text, key),)).encoded()


def add_signature(note: bytes, key: SigningKey) -> bytes:
    """A checkpoint's note with one more signature line; those that it has are not verified.

    Raises:
        CheckpointInvalid: It is no checkpoint's note, that key has signed it already, or it would
            pass a limit of notes.
    """
    signed = SignedNote.parse(note)
    Checkpoint.parse(signed.text)  # Nothing is signed that is no checkpoint.
    added = sign_text(signed.text, key)
    if (added.name, added.key_id) in {(line.name, line.key_id) for line in signed.signatures}:
        raise CheckpointInvalid(f"{key_id_shown(added)} has signed it already")
    return SignedNote(text=signed.text, signatures=(*signed.signatures, added)).encoded()


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenedCheckpoint:
    """A tree head that known keys have signed.

    Attributes:
        checkpoint: The tree head.
        signed_by: The known keys that signed it, at least one, in the order of their lines.
    """

    checkpoint: Checkpoint
    signed_by: tuple[VerifierKey, ...]


def open_checkpoint(
    note: bytes, keys: Sequence[VerifierKey], *, origin: str | None = None
) -> OpenedCheckpoint:
    """Verifies a checkpoint's signatures and reads it.

    Args:
        note: The signed note.
        keys: The known keys; signatures of others, by name and key id, are ignored.
        origin: The log it must be of; None where any will do.

    Raises:
        CheckpointInvalid: It is no checkpoint's note, no known key has signed it, a known key's
            signature is wrong or there twice, or the origin is another.
        KeyUnusable: Two different known keys have one name and one key id.
    """
    signed = SignedNote.parse(note)
    signed_by = signers_of(signed, keys)
    checkpoint = Checkpoint.parse(signed.text)
    if origin is not None and checkpoint.origin != origin:
        raise CheckpointInvalid(f"expected the origin {origin!r}, got {checkpoint.origin!r}")
    return OpenedCheckpoint(checkpoint=checkpoint, signed_by=signed_by)


@dataclass(frozen=True, slots=True, kw_only=True)
class LogProof:
    """That an entry is in a log, to be verified without the log; nothing in it is verified yet.

    Attributes:
        index: The entry's place in the log, the first being 0.
        hashes: The inclusion proof, from the leaf's sibling upwards, 32 bytes each (RFC 6962,
            2.1.1).
        note: The checkpoint's signed note.
        extra: Bytes that mean nothing here and that nobody has signed; None where there are none.

    Raises:
        CheckpointInvalid: The index is out of range, a hash is not of 32 bytes, or the note is no
            checkpoint's.
    """

    index: int
    hashes: tuple[bytes, ...]
    note: bytes
    extra: bytes | None = None

    def __post_init__(self) -> None:
        _check_number(self.index, "index")
        for one in self.hashes:
            _check_hash(one, "hash of the proof")
        Checkpoint.parse(SignedNote.parse(self.note).text)

    @classmethod
    def parse(cls, text: str) -> LogProof:
        """The proof of a text.

        Raises:
            CheckpointInvalid: It is not exactly the text of one.
        """
        head, _, note = text.partition("\n\n")
        header, *lines = head.split("\n")
        if header != PROOF_HEADER:
            raise CheckpointInvalid(f"expected {PROOF_HEADER!r}, got {header[:_SHOWN]!r}")
        extra = None
        if lines and lines[0].startswith(_EXTRA):
            extra = _decoded(lines.pop(0).removeprefix(_EXTRA), "extra data")
        index = lines.pop(0) if lines else ""
        if not index.startswith(_INDEX):
            raise CheckpointInvalid(f"expected a line {_INDEX}<number>, got {index[:_SHOWN]!r}")
        return cls(
            index=_number(index.removeprefix(_INDEX), "index"),
            hashes=tuple(_decoded(line, "hash of the proof") for line in lines),
            note=note.encode("utf-8", "surrogatepass"),  # A lone surrogate is no note's.
            extra=extra,
        )

    def text(self) -> str:
        """The proof's text: header, extra data, index, hashes, a blank line, the note."""
        lines = [PROOF_HEADER]
        if self.extra is not None:
            lines.append(_EXTRA + encode_base64(self.extra))
        lines.append(f"{_INDEX}{self.index}")
        lines.extend(encode_base64(one) for one in self.hashes)
        return "\n".join(lines) + "\n\n" + self.note.decode("utf-8")


def _number(text: str, what: str) -> int:
    if not _DECIMAL.fullmatch(text):
        raise CheckpointInvalid(f"{what}: expected a plain decimal, got {text[:_SHOWN]!r}")
    return int(text)


def _check_number(number: int, what: str) -> None:
    if not 0 <= number <= LARGEST_NUMBER:
        raise CheckpointInvalid(f"{what}: expected 0 to {LARGEST_NUMBER}, got {number}")


def _decoded(text: str, what: str) -> bytes:
    try:
        return decode_base64(text)
    except ValueError as error:
        raise CheckpointInvalid(f"{what}: expected base64, got {text[:_SHOWN]!r}") from error


def _check_hash(value: bytes, what: str) -> None:
    if len(value) != HASH_SIZE:
        raise CheckpointInvalid(f"{what}: expected {HASH_SIZE} bytes, got {len(value)}")
