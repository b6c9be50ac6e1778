"""Signed notes: a text, a blank line, signature lines; and files of several notes.

Implements C2SP signed-note (c2sp.org/signed-note, "Format" and "Signatures"), which lets a verifier
set limits and refuse a note for a known key's wrong signature; both is done here.

Not here: keys (`signing`) and what the text says (`checkpoint`). A note's text means nothing before
its signatures are verified.

Invariants:
- A value is a valid note however it was made, and a note has one value and one form:
  SignedNote.parse(note).encoded() == note, so that a changed byte is refused or changes the value.
- join_notes(split_notes(data)) == data, and split_notes(join_notes(notes)) == notes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from lottery.errors import CheckpointInvalid, KeyUnusable
from lottery.tlog.keys import (
    KEY_ID_SIZE,
    SigningKey,
    VerifierKey,
    decode_base64,
    encode_base64,
    is_key_name,
)

NOTE_SIZE_LIMIT: Final = 1_000_000
"""Bytes of a note; the specification asks for a limit and names none."""
SIGNATURE_LIMIT: Final = 100
"""Signatures of a note; the specification asks for at least 16."""

_BLANK_LINE: Final = "\n\n"
_DASH: Final = "\N{EM DASH} "
_TEXT: Final = re.compile(r"[^\x00-\x09\x0b-\x1f\ud800-\udfff]*\n")
_SHOWN: Final = 80


@dataclass(frozen=True, slots=True, kw_only=True)
class NoteSignature:
    """One signature line, which nobody has verified.

    Attributes:
        name: The key's name.
        key_id: 4 bytes that tell keys of one name apart.
        signature: At least 1 byte; 64 for Ed25519.

    Raises:
        CheckpointInvalid: The name is none, or the bytes are not that many.
    """

    name: str
    key_id: bytes
    signature: bytes

    def __post_init__(self) -> None:
        if not is_key_name(self.name):
            raise CheckpointInvalid(f"expected a key name, got {self.name[:_SHOWN]!r}")
        if len(self.key_id) != KEY_ID_SIZE or not self.signature:
            raise CheckpointInvalid(
                f"expected {KEY_ID_SIZE} bytes of key id and a signature, "
                f"got {len(self.key_id)} and {len(self.signature)} bytes"
            )

    def __str__(self) -> str:
        return f"{_DASH}{self.name} {encode_base64(self.key_id + self.signature)}"

    @classmethod
    def parse(cls, line: str) -> NoteSignature:
        """The signature of a line `— <name> <base64(key id || signature)>`, without its newline.

        Raises:
            CheckpointInvalid: It is no such line.
        """
        if not line.startswith(_DASH):
            raise CheckpointInvalid(_not_a_signature(line))
        name, _, encoded = line.removeprefix(_DASH).partition(" ")
        try:
            data = decode_base64(encoded)
        except ValueError as error:
            raise CheckpointInvalid(_not_a_signature(line)) from error
        return cls(name=name, key_id=data[:KEY_ID_SIZE], signature=data[KEY_ID_SIZE:])


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedNote:
    """A note whose signatures nobody has verified.

    Attributes:
        text: What is signed, with its last newline.
        signatures: In the order of their lines, 1 to `SIGNATURE_LIMIT`.

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
                f"got {self.text[:_SHOWN]!r} of {len(self.text)} characters"
            )
        if not 1 <= len(self.signatures) <= SIGNATURE_LIMIT:
            raise CheckpointInvalid(
                f"expected 1 to {SIGNATURE_LIMIT} signatures, got {len(self.signatures)}"
            )
        _check_size(self.encoded())

    @classmethod
    def parse(cls, note: bytes) -> SignedNote:
        """The text and signatures of a note.

        Raises:
            CheckpointInvalid: The bytes are not exactly a note within the limits.
        """
        _check_size(note)
        try:
            decoded = note.decode("utf-8")
        except UnicodeDecodeError as error:
            raise CheckpointInvalid(f"expected UTF-8, got byte {error.start} of none") from error
        # The last blank line: the text may have others.
        text, blank_line, signatures = decoded.rpartition(_BLANK_LINE)
        if not blank_line or not signatures.endswith("\n"):
            raise CheckpointInvalid(
                "expected a text, a blank line and whole signature lines, "
                f"got {decoded[-_SHOWN:]!r} at the end"
            )
        lines = signatures[:-1].split("\n")
        return cls(text=text + "\n", signatures=tuple(map(NoteSignature.parse, lines)))

    def encoded(self) -> bytes:
        """The note's bytes."""
        lines = "".join(f"{signature}\n" for signature in self.signatures)
        return f"{self.text}\n{lines}".encode()


def sign_text(text: str, key: SigningKey) -> NoteSignature:
    """A key's signature line of a note's text."""
    return NoteSignature(
        name=key.name, key_id=key.verifier.key_id, signature=key.sign(text.encode("utf-8"))
    )


def signers_of(signed: SignedNote, keys: Sequence[VerifierKey]) -> tuple[VerifierKey, ...]:
    """The known keys that signed a note, at least one, in the order of their lines.

    Signatures of unknown keys, by name and key id, are ignored.

    Raises:
        CheckpointInvalid: No known key has signed it, or one's signature is wrong or there twice.
        KeyUnusable: Two different known keys have one name and one key id.
    """
    known = _by_name_and_id(keys)
    message = signed.text.encode("utf-8")
    signed_by: list[VerifierKey] = []
    for line in signed.signatures:
        key = known.get((line.name, line.key_id))
        if key is None:
            continue
        if key in signed_by:
            raise CheckpointInvalid(f"expected one signature of {key_id_shown(line)}, got two")
        if not key.has_signed(message, line.signature):
            raise CheckpointInvalid(
                f"expected a signature of {key_id_shown(line)}, got one that is not of this text"
            )
        signed_by.append(key)
    if not signed_by:
        raise CheckpointInvalid(
            f"expected a signature of {_listed(keys)}, got those of {_listed(signed.signatures)}"
        )
    return tuple(signed_by)


def split_notes(data: bytes) -> tuple[bytes, ...]:
    """The notes of a file in which an empty line follows each, in their order.

    Args:
        data: What `join_notes` gives; nothing at all for no notes.

    Raises:
        CheckpointInvalid: The bytes are not exactly whole notes with an empty line after each.
    """
    *parts, end = data.split(_BLANK_LINE.encode())
    if end or len(parts) % 2:
        raise CheckpointInvalid("expected whole notes with an empty line after each, got a part")
    blank_line = _BLANK_LINE.encode()
    return tuple(
        _checked(text + blank_line + signatures + b"\n")
        for text, signatures in zip(parts[::2], parts[1::2], strict=True)
    )


def join_notes(notes: Iterable[bytes]) -> bytes:
    """A file of notes: each, with an empty line after it.

    Raises:
        CheckpointInvalid: One is no note, or its text has an empty line, so that the file could not
            be split again.
    """
    return b"".join(_checked(note) + b"\n" for note in notes)


def key_id_shown(key: VerifierKey | NoteSignature) -> str:
    """What tells a key from others in a message."""
    return f"{key.name[:_SHOWN]}+{key.key_id.hex()}"


def _by_name_and_id(keys: Sequence[VerifierKey]) -> dict[tuple[str, bytes], VerifierKey]:
    known: dict[tuple[str, bytes], VerifierKey] = {}
    for key in keys:
        if known.setdefault((key.name, key.key_id), key) != key:
            raise KeyUnusable(f"expected one known key {key_id_shown(key)}, got two different ones")
    return known


def _listed(keys: Iterable[VerifierKey | NoteSignature]) -> str:
    return " or ".join(map(key_id_shown, keys)) or "no key"


def _checked(note: bytes) -> bytes:
    """The note itself, which is one and has no empty line but that before its signatures."""
    text = SignedNote.parse(note).text
    if "" in text[:-1].split("\n"):
        raise CheckpointInvalid(f"expected a text without empty lines, got {text[:_SHOWN]!r}")
    return note


def _check_size(note: bytes) -> None:
    if len(note) > NOTE_SIZE_LIMIT:
        raise CheckpointInvalid(
            f"expected a note of at most {NOTE_SIZE_LIMIT} bytes, got {len(note)}"
        )


def _not_a_signature(line: str) -> str:
    return f"expected a signature line, {_DASH}<name> <base64>, got {line[:_SHOWN]!r}"
