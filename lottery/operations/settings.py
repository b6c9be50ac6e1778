"""Where a ledger is, as it is given by options, variables and a server's settings."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from lottery.errors import KeyUnusable

KEY_FILE: Final = "signing.key"
LOCK_SECONDS: Final = 30.0
"""Seconds that a writer waits for another one before it gives up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerSettings:
    """Where a ledger is.

    Attributes:
        ledger: A directory, or `postgresql://…`.
        objects: A directory or a bucket's URL for evidence and the published log; None for the
            ledger's own directory.
        key_file: The file of the log's private key; None for `signing.key` in the directory.
        lock_seconds: How long to wait for another writer.
        archive: A second directory or bucket for all that is published, or None.
        archives_first: Whether a write is answered only once it is archived.
        witness_policy: The file that names the witnesses (C2SP tlog-policy), or None.
    """

    ledger: str
    objects: str | None = None
    key_file: Path | None = None
    lock_seconds: float = LOCK_SECONDS
    archive: str | None = None
    archives_first: bool = True
    witness_policy: Path | None = None

    @property
    def is_directory(self) -> bool:
        """Whether the ledger is a directory with SQLite."""
        return "://" not in self.ledger

    def signing_key(self) -> Path:
        """Return the file of the log's private key.

        Raises:
            KeyUnusable: None is named, and there is no directory to look in.
        """
        if self.key_file is not None:
            return self.key_file
        place = self.ledger if self.is_directory else self.objects or ""
        if "://" in place:
            raise KeyUnusable("expected the log's private key; set LOTTERY_SIGNING_KEY to its file")
        return Path(place) / KEY_FILE
