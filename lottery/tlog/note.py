"""Signed notes: a text, a blank line, signature lines; and files of several notes.

Implements C2SP signed-note (c2sp.org/signed-note, "Format" and "Signatures"), which lets a verifier
set limits and reject a note for a known key's wrong signature; this one does both.

Not here: keys (`keys`) and what the text says (`checkpoint`). A note's text means nothing before
its signatures are verified.

Invariants:
- Every value is a valid note, and a note has one value and one form:
  SignedNote.parse(note).encoded() == note, so a changed byte is rejected or changes the value.
- join_notes(split_notes(data)) == data, and split_notes(join_notes(notes)) == notes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from lottery.errors import CheckpointInvalid, KeyUnusable, escape, quote
from lottery.tlog.keys import (
    KEY_ID_SIZE,
    SigningKey,
    VerifierKey,
    decode_base64,
    encode_base64,
    is_key_name,
)

NOTE_SIZE_LIMIT: Final = 1_000_000
"""Maximum size of a note in bytes; the specification asks for a limit and names none."""
SIGNATURE_LIMIT: Final = 100
"""Maximum number of signatures of a note; the specification asks for at least 16."""

_BLANK_LINE: Final = "\n\n"
_DASH: Final = "\N{EM DASH} "
_TEXT: Final = re.compile(r"[^\x00-\x09\x0b-\x1f\ud800-\udfff]*\n")
_NAME_SHOWN: Final = 80
_END_SHOWN: Final = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class NoteSignature:
    """One signature line, not verified.

    Attributes:
        name: Name of the key.
        key_id: 4 bytes that tell keys of one name apart.
        signature: At least 1 byte; 64 for Ed25519, 72 for a cosignature.

    Raises:
        CheckpointInvalid: The name is not a key name, or the bytes are not that many.
    """

    name: str
    key_id: bytes
    signature: bytes

    def __post_init__(self) -> None:
        if not is_key_name(self.name):
            raise CheckpointInvalid(f"expected a key name, got {quote(self.name)}")
        if len(self.key_id) != KEY_ID_SIZE or not self.signature:
            raise CheckpointInvalid(
                f"expected {KEY_ID_SIZE} bytes of key id and a signature, "
                f"got {len(self.key_id)} and {len(self.signature)} bytes"
            )

    def __str__(self) -> str:
        return f"{_DASH}{self.name} {encode_base64(self.key_id + self.signature)}"

    @classmethod
    def parse(cls, line: str) -> NoteSignature:
        """Parse a line `— <name> <base64(key id || signature)>` without its newline.

        Raises:
            CheckpointInvalid: It is not exactly such a line.
        """
        name, _, encoded = line.removeprefix(_DASH).partition(" ")
        try:
            data = decode_base64(encoded) if line.startswith(_DASH) else b""
        except ValueError:
            data = b""
        if not data:
            raise CheckpointInvalid(
                f"expected a signature line, {_DASH}<name> <base64>, got {quote(line)}"
            )
        return cls(name=name, key_id=data[:KEY_ID_SIZE], signature=data[KEY_ID_SIZE:])


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedNote:
    """A note whose signatures are not verified.

    Attributes:
        text: The signed text, with its last newline.
        signatures: 1 to `SIGNATURE_LIMIT` signatures, in the order of their lines.

    Raises:
        CheckpointInvalid: The text does not end in a newline or has a control character, or there
            are too few or too many signatures or bytes.
    """

    text: str
    signatures: tuple[NoteSignature, ...]

    def __post_init__(self) -> None:
        if not _TEXT.fullmatch(self.text):
            raise CheckpointInvalid(
                "expected lines of UTF-8 without control characters, "
                f"got {quote(self.text)} of {len(self.text)} characters"
            )
        if not 1 <= len(self.signatures) <= SIGNATURE_LIMIT:
            raise CheckpointInvalid(
                f"expected 1 to {SIGNATURE_LIMIT} signatures, got {len(self.signatures)}"
            )
        _check_size(self.encoded())

    @classmethod
    def parse(cls, note: bytes) -> SignedNote:
        """Parse a note's bytes.

        Raises:
            CheckpointInvalid: They are not exactly a note within the limits.
        """
        _check_size(note)
        try:
            decoded = note.decode("utf-8")
        except UnicodeDecodeError as error:
            raise CheckpointInvalid(
                f"expected UTF-8, got the byte 0x{note[error.start]:02x} at offset {error.start}"
            ) from error
        # The last blank line: the text may have others.
        text, blank_line, signatures = decoded.rpartition(_BLANK_LINE)
        if not blank_line or not signatures.endswith("\n"):
            raise CheckpointInvalid(
                "expected a text, a blank line and whole signature lines, "
                f"got {quote(decoded[-_END_SHOWN:])} at the end"
            )
        lines = signatures[:-1].split("\n")
        return cls(text=text + "\n", signatures=tuple(map(NoteSignature.parse, lines)))

    def encoded(self) -> bytes:
        """Return the note's bytes."""
        lines = "".join(f"{signature}\n" for signature in self.signatures)
        return f"{self.text}\n{lines}".encode()


def signers_of(signed: SignedNote, keys: Sequence[VerifierKey]) -> tuple[VerifierKey, ...]:
    """Return the known keys that signed a note, at least one, in the order of their lines.

    Signatures of unknown keys, by name and key id, are ignored.

    Raises:
        CheckpointInvalid: No known key has signed the note, or one has signed it twice, or a known
            key's signature is wrong.
        KeyUnusable: Two different known keys have one name and one key id.
    """
    known: dict[tuple[str, bytes], VerifierKey] = {}
    for key in keys:
        if known.setdefault((key.name, key.key_id), key) != key:
            raise KeyUnusable(f"expected one known key {show_key(key)}, got two different ones")
    message = signed.text.encode("utf-8")
    signed_by: list[VerifierKey] = []
    for line in signed.signatures:
        signer = known.get((line.name, line.key_id))
        if signer is None:
            continue
        if signer in signed_by:
            raise CheckpointInvalid(f"expected one signature of {show_key(line)}, got two")
        if not signer.has_signed(message, line.signature):
            raise CheckpointInvalid(
                f"expected a signature of {show_key(line)}, got one that is not of this text"
            )
        signed_by.append(signer)
    if not signed_by:
        expected, got = (
            " or ".join(map(show_key, some)) or "no key" for some in (keys, signed.signatures)
        )
        raise CheckpointInvalid(f"expected a signature of {expected}, got those of {got}")
    return tuple(signed_by)


def sign_text(text: str, key: SigningKey) -> NoteSignature:
    """Sign a note's text; raise `KeyUnusable` for a key that is for cosignatures."""
    return NoteSignature(
        name=key.name, key_id=key.verifier.key_id, signature=key.sign(text.encode("utf-8"))
    )


def split_notes(data: bytes) -> tuple[bytes, ...]:
    """Split a file in which an empty line follows each note.

    Args:
        data: The bytes that `join_notes` returns; none for no notes.

    Raises:
        CheckpointInvalid: The bytes are not exactly whole notes with an empty line after each.
    """
    blank_line = _BLANK_LINE.encode()
    *parts, end = data.split(blank_line)
    if end or len(parts) % 2:
        raise CheckpointInvalid("expected whole notes with an empty line after each, got a part")
    return tuple(
        _checked(text + blank_line + signatures + b"\n")
        for text, signatures in zip(parts[::2], parts[1::2], strict=True)
    )


def join_notes(notes: Iterable[bytes]) -> bytes:
    """Join notes into a file, with an empty line after each.

    Raises:
        CheckpointInvalid: One is not a note, or its text has an empty line, so that the file could
            not be split again.
    """
    return b"".join(_checked(note) + b"\n" for note in notes)


def show_key(key: VerifierKey | NoteSignature) -> str:
    """Return a key's name and id as messages show them."""
    return f"{escape(key.name, _NAME_SHOWN)}+{key.key_id.hex()}"


def _checked(note: bytes) -> bytes:
    """Return the note itself, which has no empty line but the one before its signatures."""
    text = SignedNote.parse(note).text
    if "" in text[:-1].split("\n"):
        raise CheckpointInvalid(f"expected a text without empty lines, got {quote(text)}")
    return note


def _check_size(note: bytes) -> None:
    if len(note) > NOTE_SIZE_LIMIT:
        raise CheckpointInvalid(
            f"expected a note of at most {NOTE_SIZE_LIMIT} bytes, got {len(note)}"
        )
