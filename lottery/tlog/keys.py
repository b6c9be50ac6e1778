"""Ed25519 keys that sign checkpoints, and the file that holds a private key.

Implements the key names, key ids and Ed25519 signatures (type 0x01) of C2SP signed-note
(c2sp.org/signed-note, "Format", "Signatures", "Ed25519 signatures"; RFC 8032), and the texts that
golang.org/x/mod/sumdb/note gives keys: `<name>+<key id>+<base64>`, or `PRIVATE+KEY+` and that.

Not here: other signature types, what is signed (`note`, `checkpoint`), and who is trusted.

Invariants:
- A key has exactly one text, and every other text is rejected: str(parse(text)) == text.
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

_ED25519: Final = b"\x01"
_PRIVATE: Final = "PRIVATE+KEY+"
_KEY_TEXT: Final = re.compile(r"([^+]+)\+([0-9a-f]{8})\+([A-Za-z0-9+/=]+)")
_NAME: Final = re.compile(r"[^\x00-\x1f+\ud800-\udfff]+")
_KEY_FILE_MODE: Final = 0o600


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifierKey:
    """A public key and the name it signs under.

    Attributes:
        name: Text without spaces, pluses and control characters, such as `example.com/log`.
        public_key: 32 bytes (RFC 8032, 5.1.5).

    Raises:
        KeyUnusable: The name or the size is not valid.
    """

    name: str
    public_key: bytes

    def __post_init__(self) -> None:
        _check(self.name, self.public_key, what="public key")

    def __str__(self) -> str:
        return _text(self.name, self.key_id, self.public_key)

    @classmethod
    def parse(cls, text: str) -> VerifierKey:
        """Parse a text `<name>+<key id>+<base64(0x01 || public key)>`.

        Raises:
            KeyUnusable: It is not exactly such a text, or the key id is another key's.
        """
        name, key_id, public_key = _parsed(text)
        key = cls(name=name, public_key=public_key)
        _check_key_id(expected=key.key_id, got=key_id)
        return key

    @property
    def key_id(self) -> bytes:
        """The first 4 bytes of SHA-256(name || 0x0A || 0x01 || public key)."""
        named = self.name.encode("utf-8") + b"\n" + _ED25519 + self.public_key
        return hashlib.sha256(named).digest()[:KEY_ID_SIZE]

    def has_signed(self, message: bytes, signature: bytes) -> bool:
        """Return whether the signature is this key's over the message (RFC 8032, 5.1.7)."""
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

    Raises:
        KeyUnusable: The name or the size is not valid.
    """

    name: str
    seed: bytes = field(repr=False)

    def __post_init__(self) -> None:
        _check(self.name, self.seed, what="seed")

    @classmethod
    def generate(cls, name: str) -> SigningKey:
        """Generate a key from the system's random numbers; raise `KeyUnusable` for a bad name."""
        return cls(name=name, seed=Ed25519PrivateKey.generate().private_bytes_raw())

    @classmethod
    def parse(cls, text: str) -> SigningKey:
        """Parse a text `PRIVATE+KEY+<name>+<key id>+<base64(0x01 || seed)>`.

        Raises:
            KeyUnusable: It is not exactly such a text, or the key id is another key's.
        """
        if not text.startswith(_PRIVATE):
            raise KeyUnusable(f"expected a private key, {_PRIVATE}..., got another text")
        name, key_id, seed = _parsed(text.removeprefix(_PRIVATE))
        key = cls(name=name, seed=seed)
        _check_key_id(expected=key.verifier.key_id, got=key_id)
        return key

    @property
    def verifier(self) -> VerifierKey:
        """The public key that belongs to this private key."""
        public_key = Ed25519PrivateKey.from_private_bytes(self.seed).public_key()
        return VerifierKey(name=self.name, public_key=public_key.public_bytes_raw())

    def text(self) -> str:
        """Return the private key as text; not `__str__`, so that nobody prints it by accident."""
        return _PRIVATE + _text(self.name, self.verifier.key_id, self.seed)

    def sign(self, message: bytes) -> bytes:
        """Sign a message with 64 bytes (RFC 8032, 5.1.6)."""
        return Ed25519PrivateKey.from_private_bytes(self.seed).sign(message)


def read_key_file(path: Path) -> SigningKey:
    """Read a private key from a file that holds its text, one newline, and nothing else.

    Raises:
        KeyUnusable: The file is missing, unreadable or open to others than its owner, or does not
            hold a private key.
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
    return key


def create_key_file(path: Path, name: str) -> SigningKey:
    """Generate a private key and write it to a new file, which only its owner can read.

    Args:
        path: The file, which must not exist, in a directory that does.
        name: Name of the key.

    Raises:
        KeyUnusable: The name is not valid, the file exists, or it cannot be written.
    """
    key, shown = SigningKey.generate(name), escape(str(path))
    try:
        create_file(path, f"{key.text()}\n".encode(), mode=_KEY_FILE_MODE)
    except FileExistsError as error:
        raise KeyUnusable(f"{shown} already exists; a key is never overwritten") from error
    except OSError as error:
        raise KeyUnusable(f"{shown} cannot be written: {error.strerror}") from error
    return key


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


def _text(name: str, key_id: bytes, key: bytes) -> str:
    return f"{name}+{key_id.hex()}+{encode_base64(_ED25519 + key)}"


def _check_key_id(*, expected: bytes, got: bytes) -> None:
    if got != expected:
        raise KeyUnusable(f"expected the key's own id {expected.hex()}, got {got.hex()}")


def _parsed(text: str) -> tuple[str, bytes, bytes]:
    """Return name, key id and key of a text; no message shows it, as it may be a private key."""
    parts = _KEY_TEXT.fullmatch(text)
    if parts is None:
        raise KeyUnusable("expected <name>+<8 hexadecimal digits>+<base64>, got another text")
    try:
        data = decode_base64(parts[3])
    except ValueError as error:
        raise KeyUnusable("expected the key in base64, got another text") from error
    if not data.startswith(_ED25519):
        raise KeyUnusable(f"expected algorithm 01 (Ed25519), got {data[:1].hex()}")
    return parts[1], bytes.fromhex(parts[2]), data[1:]
