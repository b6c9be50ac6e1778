"""Ed25519 keys that sign checkpoints, and the file that holds a private key.

Implements the key names, key ids and Ed25519 signatures (type 0x01) of C2SP signed-note
(c2sp.org/signed-note, "Format", "Signatures", "Ed25519 signatures"; RFC 8032), the timestamped
Ed25519 signatures (type 0x04) of C2SP tlog-cosignature (c2sp.org/tlog-cosignature, "Format",
"Ed25519 signed message"), and the texts that golang.org/x/mod/sumdb/note gives keys:
`<name>+<key id>+<base64>`, or `PRIVATE+KEY+` and that.

Not here: other signature types, what is signed (`note`, `checkpoint`, `cosignature`), and who is
trusted.

Invariants:
- A key has exactly one text, and every other text is rejected: str(parse(text)) == text.
- A key has one signature type, in its text and in its id: what signs a log's checkpoints cosigns
  none, and the other way round.
- No `repr` and no error message shows a private key.
- A key file is complete or absent, was never readable by others, and is never overwritten.
"""

from __future__ import annotations

import base64
import hashlib
import os
import re
import unicodedata
from dataclasses import dataclass, field
from enum import IntEnum
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from lottery.durable import create_file
from lottery.errors import KeyUnusable, escape, quote

KEY_ID_SIZE: Final = 4
"""Size of a key id in bytes."""
KEY_SIZE: Final = 32
"""Size of a public key, and of a private one, in bytes."""

LARGEST_TIMESTAMP: Final = 2**63 - 1
"""Maximum time of a cosignature, in seconds since 1970."""

_TIMESTAMP_SIZE: Final = 8
_PRIVATE: Final = "PRIVATE+KEY+"
_KEY_TEXT: Final = re.compile(r"([^+]+)\+([0-9a-f]{8})\+([A-Za-z0-9+/=]+)")
_NAME: Final = re.compile(r"[^\x00-\x1f+\ud800-\udfff]+")
_KEY_FILE_MODE: Final = 0o600


class SignatureType(IntEnum):
    """What a key's signatures are (signed-note, "Signature types")."""

    ED25519 = 0x01
    """Of a note's text itself: a log's."""
    COSIGNATURE = 0x04
    """Of a checkpoint and the time at which it was the latest: a witness's."""


_USES: Final = {
    SignatureType.ED25519: "Ed25519 signatures (type 01)",
    SignatureType.COSIGNATURE: "cosignatures (type 04)",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifierKey:
    """A public key and the name it signs under.

    Attributes:
        name: Text without spaces, pluses and control characters, such as `example.com/log`.
        public_key: 32 bytes (RFC 8032, 5.1.5).
        signature_type: What its signatures are.

    Raises:
        KeyUnusable: The name or the size is not valid.
    """

    name: str
    public_key: bytes
    signature_type: SignatureType = SignatureType.ED25519

    def __post_init__(self) -> None:
        _check(self.name, self.public_key, what="public key")

    def __str__(self) -> str:
        return _text(self.name, self.key_id, self.signature_type, self.public_key)

    @classmethod
    def parse(cls, text: str) -> VerifierKey:
        """Parse a text `<name>+<key id>+<base64(signature type || public key)>`.

        Raises:
            KeyUnusable: It is not exactly such a text, or the key id is another key's.
        """
        name, key_id, signature_type, public_key = _parsed(text)
        key = cls(name=name, public_key=public_key, signature_type=signature_type)
        _check_key_id(expected=key.key_id, got=key_id)
        return key

    @property
    def key_id(self) -> bytes:
        """The first 4 bytes of SHA-256(name || 0x0A || signature type || public key)."""
        named = self.name.encode("utf-8") + b"\n" + bytes([self.signature_type]) + self.public_key
        return hashlib.sha256(named).digest()[:KEY_ID_SIZE]

    def has_signed(self, message: bytes, signature: bytes) -> bool:
        """Return whether the signature is this key's over the message (RFC 8032, 5.1.7).

        Args:
            message: A note's text.
            signature: What a signature line has after the key id: 64 bytes, or of a cosignature
                its time and these.
        """
        if self.signature_type is SignatureType.COSIGNATURE:
            timestamp = timestamp_of(signature)
            if timestamp > LARGEST_TIMESTAMP:
                return False
            message, signature = _timed(message, timestamp), signature[_TIMESTAMP_SIZE:]
        try:
            Ed25519PublicKey.from_public_bytes(self.public_key).verify(signature, message)
        except InvalidSignature:
            return False
        return True


@dataclass(frozen=True, slots=True, kw_only=True)
class SigningKey:
    """A private key and the name it signs under.

    Attributes:
        name: The public key's name.
        seed: The private key, 32 bytes (RFC 8032, 5.1.5).
        signature_type: What its signatures are.

    Raises:
        KeyUnusable: The name or the size is not valid.
    """

    name: str
    seed: bytes = field(repr=False)
    signature_type: SignatureType = SignatureType.ED25519

    def __post_init__(self) -> None:
        _check(self.name, self.seed, what="seed")

    @classmethod
    def generate(
        cls, name: str, signature_type: SignatureType = SignatureType.ED25519
    ) -> SigningKey:
        """Generate a key from the system's random numbers; raise `KeyUnusable` for a bad name."""
        seed = Ed25519PrivateKey.generate().private_bytes_raw()
        return cls(name=name, seed=seed, signature_type=signature_type)

    @classmethod
    def parse(cls, text: str) -> SigningKey:
        """Parse a text `PRIVATE+KEY+<name>+<key id>+<base64(signature type || seed)>`.

        Raises:
            KeyUnusable: It is not exactly such a text, or the key id is another key's.
        """
        if not text.startswith(_PRIVATE):
            raise KeyUnusable(f"expected a private key, {_PRIVATE}..., got another text")
        name, key_id, signature_type, seed = _parsed(text.removeprefix(_PRIVATE))
        key = cls(name=name, seed=seed, signature_type=signature_type)
        _check_key_id(expected=key.verifier.key_id, got=key_id)
        return key

    @property
    def verifier(self) -> VerifierKey:
        """The public key that belongs to this private key."""
        public_key = Ed25519PrivateKey.from_private_bytes(self.seed).public_key()
        return VerifierKey(
            name=self.name,
            public_key=public_key.public_bytes_raw(),
            signature_type=self.signature_type,
        )

    def text(self) -> str:
        """Return the private key as text; not `__str__`, so that nobody prints it by accident."""
        return _PRIVATE + _text(self.name, self.verifier.key_id, self.signature_type, self.seed)

    def sign(self, message: bytes) -> bytes:
        """Sign a message with 64 bytes (RFC 8032, 5.1.6).

        Raises:
            KeyUnusable: The key is for cosignatures.
        """
        check_signature_type(self, SignatureType.ED25519)
        return Ed25519PrivateKey.from_private_bytes(self.seed).sign(message)

    def cosign(self, message: bytes, timestamp: int) -> bytes:
        """Sign a checkpoint's text with 72 bytes: the time, and a signature of both.

        Args:
            message: The text.
            timestamp: The time, in seconds since 1970. It is not 0, which would mean that nothing
                is said about the time.

        Raises:
            KeyUnusable: The key is not for cosignatures.
            ValueError: The time is out of range.
        """
        check_signature_type(self, SignatureType.COSIGNATURE)
        if not 1 <= timestamp <= LARGEST_TIMESTAMP:
            raise ValueError(f"expected a time from 1 to {LARGEST_TIMESTAMP}, got {timestamp}")
        private_key = Ed25519PrivateKey.from_private_bytes(self.seed)
        signature = private_key.sign(_timed(message, timestamp))
        return timestamp.to_bytes(_TIMESTAMP_SIZE, "big") + signature


def read_key_file(path: Path, signature_type: SignatureType = SignatureType.ED25519) -> SigningKey:
    """Read a private key from a file that holds its text, one newline, and nothing else.

    Args:
        path: The file.
        signature_type: What the key must be for.

    Raises:
        KeyUnusable: The file is missing, unreadable or open to others than its owner, or does not
            hold a private key of this type.
    """
    shown = escape(str(path))
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode & 0o777
            content = b"" if mode & 0o077 else file.read()
    except OSError as error:
        raise KeyUnusable(f"{shown} cannot be read: {error.strerror}") from error
    if mode & 0o077:
        raise KeyUnusable(
            f"{shown} is open to others: expected mode 0600, got {mode:04o}; run chmod 600 on it "
            "if nobody else can have read it"
        )
    text = content.decode("utf-8", "surrogateescape")  # No key has what that makes.
    try:
        key = SigningKey.parse(text.removesuffix("\n"))
    except KeyUnusable as error:
        raise KeyUnusable(f"{shown} does not hold a private key: {error}") from error
    if not text.endswith("\n"):
        raise KeyUnusable(f"{shown} is cut short: expected a newline at its end, got none")
    check_signature_type(key, signature_type)
    return key


def create_key_file(
    path: Path, name: str, signature_type: SignatureType = SignatureType.ED25519
) -> SigningKey:
    """Generate a private key and write it to a new file, which only its owner can read.

    Args:
        path: The file, which must not exist, in a directory that does.
        name: Name of the key.
        signature_type: What the key is for.

    Raises:
        KeyUnusable: The name is not valid, the file exists, or it cannot be written.
    """
    key, shown = SigningKey.generate(name, signature_type), escape(str(path))
    try:
        create_file(path, f"{key.text()}\n".encode(), mode=_KEY_FILE_MODE)
    except FileExistsError as error:
        raise KeyUnusable(f"{shown} already exists; a key is never overwritten") from error
    except OSError as error:
        raise KeyUnusable(f"{shown} cannot be written: {error.strerror}") from error
    return key


def check_signature_type(key: SigningKey | VerifierKey, expected: SignatureType) -> None:
    """Raise `KeyUnusable` if a key is for other signatures than these."""
    if key.signature_type is not expected:
        raise KeyUnusable(
            f"{escape(key.name)}: expected a key for {_USES[expected]}, "
            f"got one for {_USES[key.signature_type]}"
        )


def timestamp_of(cosignature: bytes) -> int:
    """Return the time of a cosignature that `SigningKey.cosign` returns."""
    return int.from_bytes(cosignature[:_TIMESTAMP_SIZE], "big")


def is_key_name(name: str) -> bool:
    """Return whether signed-note allows a name ("Format"): text without Unicode space and plus."""
    return bool(_NAME.fullmatch(name)) and not any(character.isspace() for character in name)


def encode_base64(data: bytes) -> str:
    """Encode bytes as standard base64 with padding (RFC 4648, 4)."""
    return base64.b64encode(data).decode("ascii")


def decode_base64(text: str) -> bytes:
    """Decode base64; raise `ValueError` for a text that `encode_base64` never returns."""
    data = base64.b64decode(text, validate=True)
    if encode_base64(data) != text:
        raise ValueError("expected zero bits after the last byte of base64, got others")
    return data


def _check(name: str, key: bytes, *, what: str) -> None:
    if not is_key_name(name) or any(unicodedata.category(one) == "Cc" for one in name):
        raise KeyUnusable(
            f"expected a key name without spaces, pluses and control characters, got {quote(name)}"
        )
    if len(key) != KEY_SIZE:
        raise KeyUnusable(f"expected a {what} of {KEY_SIZE} bytes, got {len(key)}")


def _timed(message: bytes, timestamp: int) -> bytes:
    """Return what a cosignature signs: a fixed line, the time, and the checkpoint's text."""
    return b"cosignature/v1\ntime %d\n" % timestamp + message


def _text(name: str, key_id: bytes, signature_type: SignatureType, key: bytes) -> str:
    return f"{name}+{key_id.hex()}+{encode_base64(bytes([signature_type]) + key)}"


def _check_key_id(*, expected: bytes, got: bytes) -> None:
    if got != expected:
        raise KeyUnusable(f"expected the key's own id {expected.hex()}, got {got.hex()}")


def _parsed(text: str) -> tuple[str, bytes, SignatureType, bytes]:
    """Return name, key id, type and key; no message shows the text, which may be a private key."""
    parts = _KEY_TEXT.fullmatch(text)
    if parts is None:
        raise KeyUnusable("expected <name>+<8 hexadecimal digits>+<base64>, got another text")
    try:
        data = decode_base64(parts[3])
    except ValueError as error:
        raise KeyUnusable("expected the key in base64, got another text") from error
    try:
        signature_type = SignatureType(data[0])
    except ValueError as error:
        raise KeyUnusable(
            "expected signature type 01 (Ed25519) or 04 (Ed25519 cosignatures), "
            f"got {data[:1].hex()}"
        ) from error
    return parts[1], bytes.fromhex(parts[2]), signature_type, data[1:]
