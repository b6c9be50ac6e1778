"""Ed25519 keys that sign the ledger's checkpoints, and the file that holds one.

Implements the key names, key ids and Ed25519 signatures (type 0x01) of C2SP signed-note
(c2sp.org/signed-note, "Format", "Signatures", "Ed25519 signatures"; RFC 8032), and the texts that
golang.org/x/mod/sumdb/note gives keys: `<name>+<key id>+<base64>`, or `PRIVATE+KEY+` and that.

Not here: other signature types, what is signed (`note`, `checkpoint`), and who is trusted.

Invariants:
- A key has exactly one text, and every other text is refused: str(parse(text)) == text.
- A private key is in no `repr` and in no error's message.
- A key file is there whole or not at all, was never readable by others, and is never overwritten.
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

from lottery.durable import write_file
from lottery.errors import KeyUnusable

KEY_ID_SIZE: Final = 4
KEY_SIZE: Final = 32
_ED25519: Final = b"\x01"
_PRIVATE: Final = "PRIVATE+KEY+"
_KEY_TEXT: Final = re.compile(r"([^+]+)\+([0-9a-f]{8})\+([A-Za-z0-9+/=]+)")
_NAME: Final = re.compile(r"[^\x00-\x1f+\ud800-\udfff]+")
_KEY_FILE_MODE: Final = 0o600


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifierKey:
    """A public key and the name it signs under.

    Attributes:
        name: As `example.com/log`: some text without spaces, pluses and control characters.
        public_key: 32 bytes (RFC 8032, 5.1.5).

    Raises:
        KeyUnusable: An attribute is not so.
    """

    name: str
    public_key: bytes

    def __post_init__(self) -> None:
        _check(self.name, self.public_key, what="public key")

    def __str__(self) -> str:
        return _text(self.name, self.key_id, self.public_key)

    @classmethod
    def parse(cls, text: str) -> VerifierKey:
        """The key of a text `<name>+<key id>+<base64(0x01 || public key)>`.

        Raises:
            KeyUnusable: It is no such text, or the key id is another key's.
        """
        name, key_id, public_key = _parsed(text)
        key = cls(name=name, public_key=public_key)
        _check_key_id(expected=key.key_id, got=key_id)
        return key

    @property
    def key_id(self) -> bytes:
        """SHA-256(name || 0x0A || 0x01 || public key), the first 4 bytes of it."""
        named = self.name.encode("utf-8") + b"\n" + _ED25519 + self.public_key
        return hashlib.sha256(named).digest()[:KEY_ID_SIZE]

    def has_signed(self, message: bytes, signature: bytes) -> bool:
        """Whether the signature is this key's over the message (RFC 8032, 5.1.7)."""
        try:
            Ed25519PublicKey.from_public_bytes(self.public_key).verify(signature, message)
        except InvalidSignature:
            return False
        return True


@dataclass(frozen=True, slots=True, kw_only=True)
class SigningKey:
    """A private key and the name it signs under.

    Attributes:
        name: As the public key's.
        seed: The private key, 32 bytes (RFC 8032, 5.1.5).

    Raises:
        KeyUnusable: An attribute is not so.
    """

    name: str
    seed: bytes = field(repr=False)

    def __post_init__(self) -> None:
        _check(self.name, self.seed, what="seed")

    @classmethod
    def generate(cls, name: str) -> SigningKey:
        """A new key from the system's random numbers; raises `KeyUnusable` for no key name."""
        return cls(name=name, seed=Ed25519PrivateKey.generate().private_bytes_raw())

    @classmethod
    def parse(cls, text: str) -> SigningKey:
        """The key of a text `PRIVATE+KEY+<name>+<key id>+<base64(0x01 || seed)>`.

        Raises:
            KeyUnusable: It is no such text, or the key id is another key's.
        """
        if not text.startswith(_PRIVATE):
            raise KeyUnusable(f"expected a private key, {_PRIVATE}…, got another text")
        name, key_id, seed = _parsed(text.removeprefix(_PRIVATE))
        key = cls(name=name, seed=seed)
        _check_key_id(expected=key.verifier.key_id, got=key_id)
        return key

    @property
    def verifier(self) -> VerifierKey:
        """The public key of this one."""
        public_key = Ed25519PrivateKey.from_private_bytes(self.seed).public_key()
        return VerifierKey(name=self.name, public_key=public_key.public_bytes_raw())

    def text(self) -> str:
        """The private key as text; no `__str__`, so that nobody prints it by accident."""
        return _PRIVATE + _text(self.name, self.verifier.key_id, self.seed)

    def sign(self, message: bytes) -> bytes:
        """The signature over a message, 64 bytes (RFC 8032, 5.1.6)."""
        return Ed25519PrivateKey.from_private_bytes(self.seed).sign(message)


def read_key_file(path: Path) -> SigningKey:
    """The private key of a file: its text, one newline, nothing else.

    Raises:
        KeyUnusable: It is missing, unreadable or open to others than its owner, or holds no key.
    """
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode & 0o777
            content = b"" if mode & 0o077 else file.read()
    except OSError as error:
        raise KeyUnusable(f"{path} cannot be read: {error.strerror}") from error
    if mode & 0o077:
        raise KeyUnusable(f"{path} is open to others: expected mode 0600, got {mode:04o}")
    text = content.decode("utf-8", "surrogateescape")  # No key has what that makes.
    try:
        key = SigningKey.parse(text.removesuffix("\n"))
    except KeyUnusable as error:
        raise KeyUnusable(f"{path} holds no private key: {error}") from error
    if not text.endswith("\n"):
        raise KeyUnusable(f"{path} holds no whole line: expected a newline at its end")
    return key


def create_key_file(path: Path, name: str) -> SigningKey:
    """Makes a new private key and its file, which only its owner can read.

    Args:
        path: The file, which must not exist, in a folder that does.
        name: The key's name.

    Raises:
        KeyUnusable: The name is none, the file exists, or it cannot be made.
    """
    key = SigningKey.generate(name)
    try:
        write_file(path, f"{key.text()}\n".encode(), mode=_KEY_FILE_MODE, overwrite=False)
    except FileExistsError as error:
        raise KeyUnusable(f"{path} exists already; a key is never overwritten") from error
    except OSError as error:
        raise KeyUnusable(f"{path} cannot be made: {error.strerror}") from error
    return key


def is_key_name(name: str) -> bool:
    """Whether signed-note allows the name ("Format"): some text without Unicode space and plus."""
    return bool(_NAME.fullmatch(name)) and not any(character.isspace() for character in name)


def encode_base64(data: bytes) -> str:
    """Standard base64 with padding (RFC 4648, 4)."""
    return base64.b64encode(data).decode("ascii")


def decode_base64(text: str) -> bytes:
    """The bytes whose base64 a text is; raises ValueError for all that encoding does not give."""
    data = base64.b64decode(text, validate=True)
    if encode_base64(data) != text:
        raise ValueError("the padding or the bits after the last byte are not base64's")
    return data


def _check(name: str, key: bytes, *, what: str) -> None:
    if not is_key_name(name) or any(unicodedata.category(one) == "Cc" for one in name):
        raise KeyUnusable(f"expected a name without spaces, pluses and controls, got {name!r}")
    if len(key) != KEY_SIZE:
        raise KeyUnusable(f"expected a {what} of {KEY_SIZE} bytes, got {len(key)}")


def _text(name: str, key_id: bytes, key: bytes) -> str:
    return f"{name}+{key_id.hex()}+{encode_base64(_ED25519 + key)}"


def _check_key_id(*, expected: bytes, got: bytes) -> None:
    if got != expected:
        raise KeyUnusable(f"expected the key's own id {expected.hex()}, got {got.hex()}")


def _parsed(text: str) -> tuple[str, bytes, bytes]:
    """Name, key id and key of a text, which no message shows: it may be a private key's."""
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
