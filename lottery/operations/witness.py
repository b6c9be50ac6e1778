"""Being a witness of other people's logs, and the keys for it.

A witness has a directory of its own and nothing to do with a ledger: it should be run by others
than those who run the log.
"""

from __future__ import annotations

from pathlib import Path

from lottery.tlog.keys import SignatureType, VerifierKey, create_key_file, read_key_file
from lottery.tlog.witness import REQUEST_SIZE_LIMIT, Response, Witness

__all__ = [
    "REQUEST_SIZE_LIMIT",
    "Response",
    "Witness",
    "make_witness_key",
    "open_witness",
    "witness_key",
]


def open_witness(key_file: Path, logs: list[VerifierKey], directory: Path) -> Witness:
    """Open the witness of some logs.

    Args:
        key_file: The witness's private key, which `make_witness_key` made.
        logs: Public keys of the logs, whose names are their origins.
        directory: Where the witness keeps what it has cosigned.

    Raises:
        KeyUnusable: The key file is not one, or a key is for other signatures.
        LedgerDamaged: What is kept of a log is not a checkpoint that it signed.
    """
    return Witness(read_key_file(key_file, SignatureType.COSIGNATURE), logs, directory)


def make_witness_key(path: Path, name: str) -> VerifierKey:
    """Make a witness's private key in a new file, and return its public key.

    Raises:
        KeyUnusable: The name is not valid, the file exists, or it cannot be written.
    """
    return create_key_file(path, name, SignatureType.COSIGNATURE).verifier


def witness_key(path: Path) -> VerifierKey:
    """Return the public key of a witness's private key.

    Raises:
        KeyUnusable: The file is not one of a witness.
    """
    return read_key_file(path, SignatureType.COSIGNATURE).verifier
