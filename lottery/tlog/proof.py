"""Proofs that an entry is in a log, and their verification without the log.

Implements the form of C2SP tlog-proof (c2sp.org/tlog-proof, "Format").

Not here: how a proof is made (`merkle.inclusion_proof`), and who is trusted.

Invariants:
- A value has one text: LogProof.parse(text).text() == text.
- A `LogProof` is well-formed and nothing more; `verify_entry` says whether it proves an entry.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from lottery.errors import CheckpointInvalid, quote
from lottery.tlog.checkpoint import (
    check_hash,
    check_number,
    open_checkpoint,
    parse_base64,
    parse_number,
    unverified_checkpoint,
)
from lottery.tlog.keys import VerifierKey, encode_base64
from lottery.tlog.merkle import leaf_hash, verify_inclusion

PROOF_HEADER: Final = "c2sp.org/tlog-proof@v1"
"""First line of a proof."""

_EXTRA: Final = "extra "
_INDEX: Final = "index "
_HASH: Final = "hash of the proof"


def verify_entry(
    leaf: bytes,
    *,
    index: int,
    hashes: Sequence[bytes],
    note: bytes,
    keys: Sequence[VerifierKey],
    origin: str | None = None,
) -> None:
    """Verify that an entry is in a log.

    Args:
        leaf: Bytes of the entry.
        index: Index of the entry in the log.
        hashes: The inclusion proof, 32 bytes each.
        note: Signed note of the checkpoint.
        keys: The known keys, one of which must have signed the checkpoint.
        origin: The log that the checkpoint must belong to; None for any.

    Raises:
        CheckpointInvalid: The checkpoint is not signed as `checkpoint.open_checkpoint` requires.
        ProofInvalid: The proof does not lead from the entry to the checkpoint's root.
    """
    checkpoint = open_checkpoint(note, keys, origin=origin).checkpoint
    verify_inclusion(
        index=index,
        size=checkpoint.size,
        leaf_hash=leaf_hash(leaf),
        proof=hashes,
        root=checkpoint.root,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class LogProof:
    """Proof that an entry is in a log, not verified.

    Attributes:
        index: Index of the entry in the log.
        hashes: The inclusion proof, from the leaf's sibling upwards, 32 bytes each (RFC 9162,
            2.1.3).
        note: Signed note of the checkpoint.
        extra: Bytes that mean nothing here and that nobody has signed; None if there are none.

    Raises:
        CheckpointInvalid: The index is out of range, a hash does not have 32 bytes, or the note is
            not a checkpoint's.
    """

    index: int
    hashes: tuple[bytes, ...]
    note: bytes
    extra: bytes | None = None

    def __post_init__(self) -> None:
        check_number(self.index, "index")
        for one in self.hashes:
            check_hash(one, _HASH)
        unverified_checkpoint(self.note)

    @classmethod
    def parse(cls, text: str) -> LogProof:
        """Parse the text of a proof.

        Raises:
            CheckpointInvalid: It is not exactly the text of one.
        """
        before, _, note = text.partition("\n\n")
        header, *lines = before.split("\n")
        if header != PROOF_HEADER:
            raise CheckpointInvalid(f"expected {PROOF_HEADER!r}, got {quote(header)}")
        extra = None
        if lines and lines[0].startswith(_EXTRA):
            extra = parse_base64(lines.pop(0).removeprefix(_EXTRA), "extra data")
        index = lines.pop(0) if lines else ""
        if not index.startswith(_INDEX):
            raise CheckpointInvalid(f"expected a line {_INDEX}<number>, got {quote(index)}")
        return cls(
            index=parse_number(index.removeprefix(_INDEX), "index"),
            hashes=tuple(parse_base64(line, _HASH) for line in lines),
            note=note.encode("utf-8", "surrogatepass"),  # A lone surrogate is rejected as a note.
            extra=extra,
        )

    def text(self) -> str:
        """Return the proof's text: header, extra data, index, hashes, a blank line, the note."""
        lines = [PROOF_HEADER]
        if self.extra is not None:
            lines.append(_EXTRA + encode_base64(self.extra))
        lines.append(f"{_INDEX}{self.index}")
        lines.extend(map(encode_base64, self.hashes))
        return "\n".join(lines) + "\n\n" + self.note.decode("utf-8")
