"""Proofs have one text each, and prove one entry of one log."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lottery.errors import CheckpointInvalid, LotteryError, ProofInvalid
from lottery.tlog import merkle
from lottery.tlog.checkpoint import Checkpoint, sign_checkpoint
from lottery.tlog.proof import LogProof, verify_entry
from tests.tlog.signed import CHECKPOINT, CHECKPOINTS, HASHES, LOG, NOTE, NUMBERS, STRANGER, WITNESS

# The lines before the checkpoint in the example of c2sp.org/tlog-proof, whose signatures are cut.
FANCY_PROOF = """\
c2sp.org/tlog-proof@v1
extra YWdlLXYxLjIuMS1kYXJ3aW4tYXJtNjQudGFyLmd6kYXJ3aW4tYXJ
index 73894
gSKyXoYZUgZ6jduWYrkDOARinOMGJveXjgMkBTcdPlQ=
B95lDa8R83lS8n0eG+o0buTxRKQTYFi//1U8anccXmA=
EKNzoDWG8LGC0Yp9o+sv3qllpMP9uHQ9B20KNL+Q1zs=
RoopEkOdqkYqMB4MJXrbt/hMjOxsVn0IrWjpz1ZMMes=
AHCioX9nLjsrse6YhjRRmk1WUEirVOLLRoOQ6vfO5vk=
"""

PROOF = LogProof(index=7, hashes=(b"a" * 32, b"b" * 32), note=NOTE, extra=b"2024-09-16-001")

PROOFS = st.builds(
    LogProof,
    index=NUMBERS,
    hashes=st.lists(HASHES, max_size=3).map(tuple),
    note=CHECKPOINTS.map(lambda checkpoint: sign_checkpoint(checkpoint, LOG)),
    extra=st.none() | st.binary(),
)

LEAVES = [b"one", b"two", b"three"]
HASHED = [merkle.leaf_hash(leaf) for leaf in LEAVES]
ROOT_OF_TWO = merkle.node_hash(*HASHED[:2])
ROOT_OF_THREE = merkle.node_hash(ROOT_OF_TWO, HASHED[2])
ENTRY: dict[str, Any] = {
    "leaf": b"two",
    "index": 1,
    "hashes": (HASHED[0], HASHED[2]),
    "note": sign_checkpoint(Checkpoint(origin=LOG.name, size=3, root=ROOT_OF_THREE), LOG),
    "keys": [WITNESS.verifier, LOG.verifier],
    "origin": LOG.name,
}
"""The second of three entries, and its proof."""


def test_an_entry_is_in_the_log_that_signed_it() -> None:
    verify_entry(**ENTRY)
    verify_entry(**{**ENTRY, "origin": None})


@pytest.mark.parametrize(
    ("wrong", "error", "message"),
    [
        ({"leaf": b"three"}, ProofInvalid, "expected the root [0-9a-f]{64}, got [0-9a-f]{64}"),
        ({"index": 0}, ProofInvalid, "expected the root [0-9a-f]{64}, got [0-9a-f]{64}"),
        ({"index": 3}, ProofInvalid, "expected an index below the tree size of 3, got 3"),
        ({"hashes": HASHED[:1]}, ProofInvalid, "expected a proof of 2 hashes, got 1"),
        ({"hashes": [b"", b""]}, ProofInvalid, "expected a hash of 32 bytes, got 0"),
        ({"keys": [STRANGER.verifier]}, CheckpointInvalid, "expected a signature of stranger"),
        ({"origin": "other.example"}, CheckpointInvalid, "expected the origin 'other.example'"),
        ({"note": b"\n"}, CheckpointInvalid, "expected a text"),
        (
            {"note": sign_checkpoint(Checkpoint(origin=LOG.name, size=3, root=ROOT_OF_TWO), LOG)},
            ProofInvalid,
            f"expected the root {ROOT_OF_TWO.hex()}, got {ROOT_OF_THREE.hex()}",
        ),
    ],
)
def test_an_entry_that_is_not_proved_is_rejected(
    wrong: dict[str, Any], error: type[LotteryError], message: str
) -> None:
    with pytest.raises(error, match=message):
        verify_entry(**{**ENTRY, **wrong})


def test_a_proof_is_written_as_the_document_says() -> None:
    assert PROOF.text() == (
        "c2sp.org/tlog-proof@v1\n"
        "extra MjAyNC0wOS0xNi0wMDE=\n"
        "index 7\n"
        "YWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWE=\n"
        "YmJiYmJiYmJiYmJiYmJiYmJiYmJiYmJiYmJiYmJiYmI=\n"
        "\n"
        f"{NOTE.decode()}"
    )


def test_the_published_proof_is_read_and_written_as_published() -> None:
    text = f"{FANCY_PROOF}\n{NOTE.decode()}"

    proof = LogProof.parse(text)

    assert proof.index == 73_894
    assert len(proof.hashes) == 5
    assert proof.hashes[0].hex().startswith("8122b25e8619")
    assert proof.extra is not None
    assert proof.extra.startswith(b"age-v1.2.1-darwin-arm64.tar.gz")
    assert proof.text() == text


def test_a_proof_in_a_tree_of_one_leaf_has_no_hashes() -> None:
    text = f"c2sp.org/tlog-proof@v1\nindex 0\n\n{NOTE.decode()}"

    assert LogProof.parse(text) == LogProof(index=0, hashes=(), note=NOTE)
    assert LogProof(index=0, hashes=(), note=NOTE).text() == text


def test_empty_extra_data_are_not_the_same_as_none() -> None:
    empty = replace(PROOF, extra=b"")

    assert "\nextra \nindex 7\n" in empty.text()
    assert LogProof.parse(empty.text()) == empty
    assert "extra" not in replace(PROOF, extra=None).text()


@given(proof=PROOFS)
def test_proofs_survive_their_texts(proof: LogProof) -> None:
    """Law: parse(proof.text()) == proof."""
    assert LogProof.parse(proof.text()) == proof


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("c2sp.org/tlog-proof@v1\n", "", "expected 'c2sp.org/tlog-proof@v1', got 'extra"),
        ("proof@v1", "proof@v2", "got 'c2sp.org/tlog-proof@v2'"),
        ("c2sp", " c2sp", "expected 'c2sp.org/tlog-proof@v1'"),
        ("extra ", "Extra ", "expected a line index <number>, got 'Extra"),
        ("extra ", "extra", "expected a line index <number>, got 'extra"),
        ("extra ", "extra  ", "extra data: expected base64"),
        ("MDE=\n", "MDF=\n", "extra data: expected base64"),
        ("MDE=\n", "MDE=\nextra MDE=\n", "expected a line index <number>, got 'extra MDE='"),
        ("extra MjAyNC0wOS0xNi0wMDE=\nindex 7\n", "", "expected a line index <number>, got 'YWF"),
        ("index 7\n", "", "expected a line index <number>, got 'YWF"),
        ("index 7", "index", "expected a line index <number>, got 'index'"),
        ("index 7", "index ", "index: expected a plain decimal, got ''"),
        ("index 7", "index 07", "index: expected a plain decimal, got '07'"),
        ("index 7", "index -7", "index: expected a plain decimal, got '-7'"),
        ("index 7", "index  7", "index: expected a plain decimal, got ' 7'"),
        ("index 7", f"index {2**63}", "index: expected 0 to 9223372036854775807"),
        ("index 7\n", "index 7\nindex 7\n", "hash of the proof: expected base64, got 'index 7'"),
        ("YmI=\n", "YmJ=\n", "hash of the proof: expected base64"),
        ("YmI=\n", "YmI=\nAAAA\n", "hash of the proof: expected 32 bytes, got 3"),
        ("YmI=\n\n", "YmI=\n", "hash of the proof: expected base64, got 'log.example"),
        ("YmI=\n\n", "YmI=\n\n\n", "tree size: expected a plain decimal, got 'log.example"),
        ("\nlog.example/", "\n\udc80log.example/", "expected UTF-8, got the byte"),
        (
            "\nlog.example/",
            "\n\udcc3\udca8log.example/",
            "expected UTF-8, got the byte",
        ),
        ("lottery\n20852163", "lottery\n020852163", "tree size: expected a plain decimal"),
        ("\n— ", "\n- ", "expected a signature line"),
    ],
)
def test_what_is_no_proof_is_reported(old: str, new: str, message: str) -> None:
    text = PROOF.text()
    assert text.count(old) == 1

    with pytest.raises(CheckpointInvalid, match=message):
        LogProof.parse(text.replace(old, new))


@pytest.mark.parametrize(
    "text", ["", "c2sp.org/tlog-proof@v1", "c2sp.org/tlog-proof@v1\nextra AAAA\n"]
)
def test_a_proof_without_an_index_is_reported(text: str) -> None:
    with pytest.raises(CheckpointInvalid, match=r"expected .* got ''"):
        LogProof.parse(text)


def test_a_proof_that_lost_its_checkpoint_is_reported() -> None:
    before, _, _ = PROOF.text().partition("\n\n")

    for text in (before, f"{before}\n\n", f"{before}\n\n{CHECKPOINT.text()}"):
        with pytest.raises(CheckpointInvalid, match="whole signature lines"):
            LogProof.parse(text)


def test_a_changed_bit_in_a_proof_is_refused_or_seen() -> None:
    """What is not refused is another proof, and another note too where the bit was in that."""
    data = PROOF.text().encode()
    note_from = len(data) - len(NOTE)
    for bit in range(len(data) * 8):
        offset = bit // 8
        changed = data[:offset] + bytes([data[offset] ^ 1 << bit % 8]) + data[offset + 1 :]
        try:
            proof = LogProof.parse(changed.decode("utf-8", "surrogateescape"))
        except CheckpointInvalid:
            continue
        assert proof != PROOF
        assert proof.text().encode() == changed
        assert (proof.note != NOTE) == (offset >= note_from)


@pytest.mark.parametrize(
    "wrong",
    [
        {"index": -1},
        {"index": 2**63},
        {"hashes": (b"a" * 31,)},
        {"hashes": (b"a" * 32, b"")},
        {"note": b""},
        {"note": NOTE[:-1]},
        {"note": NOTE + b"\n"},
    ],
)
def test_a_proof_that_no_text_can_say_is_not_made(wrong: dict[str, object]) -> None:
    with pytest.raises(CheckpointInvalid, match=r"expected .* got "):
        replace(PROOF, **wrong)  # type: ignore[arg-type]
