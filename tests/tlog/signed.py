"""Keys, and a checkpoint that they have signed."""

from __future__ import annotations

import hashlib

from hypothesis import strategies as st

from lottery.tlog.checkpoint import LARGEST_NUMBER, Checkpoint, add_signature, sign_checkpoint
from lottery.tlog.cosignature import add_cosignature
from lottery.tlog.keys import SignatureType, SigningKey

LOG = SigningKey(name="log.example/lottery", seed=b"l" * 32)
WITNESS = SigningKey(name="witness.example", seed=b"w" * 32)
STRANGER = SigningKey(name="stranger.example", seed=b"s" * 32)
ROOT = hashlib.sha256(b"root").digest()
CHECKPOINT = Checkpoint(origin=LOG.name, size=20_852_163, root=ROOT)
NOTE = sign_checkpoint(CHECKPOINT, LOG)
WITNESSED = add_signature(NOTE, WITNESS)
COSIGNER = SigningKey(
    name="cosigner.example/w1", seed=b"c" * 32, signature_type=SignatureType.COSIGNATURE
)
TIME = 1_679_315_147
"""The time of the cosignature that tlog-cosignature shows."""
COSIGNED = add_cosignature(NOTE, COSIGNER, TIME)


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
