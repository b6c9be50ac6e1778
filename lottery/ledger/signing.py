"""The file of the log's private key, and of the next one while it takes its place.

The next key is made whole in `<key file>.next` before its entry is committed, and takes the key
file's name afterwards. A process that is killed in between leaves both: which of them the log has
says the log.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from lottery.durable import sync_directory
from lottery.errors import KeyUnusable
from lottery.tlog.keys import SigningKey, VerifierKey, read_key_file


def next_key_file(key_file: Path) -> Path:
    """Return the file of the next key."""
    return key_file.with_name(f"{key_file.name}.next")


def find_key(key_file: Path, key: VerifierKey) -> tuple[SigningKey, Path]:
    """Return the private key that belongs to a public key, and the file that has it.

    Raises:
        KeyUnusable: It is not available.
    """
    next_file = next_key_file(key_file)
    if next_file.exists():
        with suppress(KeyUnusable):  # It may have taken its name since.
            found = read_key_file(next_file)
            if found.verifier == key:
                return found, next_file
    found = read_key_file(key_file)
    if found.verifier != key:
        raise KeyUnusable(
            f"expected the key {key} in {key_file}, got {found.verifier}; check LOTTERY_SIGNING_KEY"
        )
    return found, key_file


def take_key(key_file: Path, key: VerifierKey) -> SigningKey:
    """Return the private key that belongs to the log's key, which gets the key file's name.

    Raises:
        KeyUnusable: It is not available.
    """
    found, path = find_key(key_file, key)
    if path != key_file:
        try:
            with suppress(FileNotFoundError):  # Another process has done it.
                path.replace(key_file)
            sync_directory(key_file.parent)
        except OSError as error:
            raise KeyUnusable(f"{path} cannot take its name: {error.strerror}") from error
    return found
