"""Keys, and a checkpoint that they have signed."""

from __future__ import annotations

import hashlib

from hypothesis import strategies as st

from lottery.tlog.checkpoint import LARGEST_NUMBER, Checkpoint, add_signature, sign_checkpoint
from lottery.tlog.keys import SigningKey

LOG = SigningKey(name="log.example/lottery", seed=b"l" * 32)
WITNESS = SigningKey(name="witness.example", seed=b"w" * 32)
STRANGER = SigningKey(name="stranger.example", seed=b"s" * 32)
ROOT = hashlib.sha256(b"root").digest()
CHECKPOINT = Checkpoint(origin=LOG.name, size=20_852_163, root=ROOT)
NOTE = sign_checkpoint(CHECKPOINT, LOG)
WITNESSED = add_signature(NOTE, WITNESS)


LINES = st.text(st.characters(codec="utf-8", min_codepoint=0x20), min_size=1)
HASHES = st.binary(min_size=32, max_size=32)
NUMBERS = st.integers(0, LARGEST_NUMBER)
CHECKPOINTS = st.builds(
    Checkpoint,
    origin=LINES,
    size=NUMBERS,
    root=HASHES,
    extensions=st.lists(LINES, max_size=3).map(tuple),
)
