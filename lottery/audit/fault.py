"""What verification finds and counts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeAlias

from lottery.errors import ConnectionLost, LedgerBusy, LimitExceeded, Overloaded

Progress: TypeAlias = Callable[[str, int, int], None]
"""Called with each run before its evidence is verified, its number from 1, and their count."""
NO_FAULTS: Final = (ConnectionLost, LedgerBusy, LimitExceeded, Overloaded)
"""What ends a verification and says nothing of the ledger."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """Something that is not as it was recorded.

    Attributes:
        where: The file, relative to the ledger, or the record.
        problem: What was expected and what came.
    """

    where: str
    problem: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Stray(Fault):
    """A file among those of the log or of a run that is none of them."""


@dataclass(slots=True, kw_only=True)
class Tally:
    """What a verification has looked at so far.

    Attributes:
        runs: Runs whose evidence was read.
        files: Files that were read.
        bytes: Their bytes.
        tree_size: Entries of the log.
        root_hash: The root of their tree, as a checkpoint has it (base64); None of no entries.
        origin: The log's origin; None if the log does not say.
        public_key: The key that signs the log's next head; None if the log does not say.
        unnamed_folders: Folders of evidence that no entry names, as killed processes leave them.
    """

    runs: int = 0
    files: int = 0
    bytes: int = 0
    tree_size: int = 0
    root_hash: str | None = None
    origin: str | None = None
    public_key: str | None = None
    unnamed_folders: int = 0

    def add(self, size: int) -> None:
        """Count a file of a size."""
        self.files += 1
        self.bytes += size
