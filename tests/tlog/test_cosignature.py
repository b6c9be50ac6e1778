"""Cosignatures carry their time, are of checkpoints alone, and their keys sign nothing else."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from hypothesis import given
from hypothesis import strategies as st

from lottery.errors import CheckpointInvalid, KeyUnusable
from lottery.tlog.checkpoint import Checkpoint, add_signature, open_checkpoint, sign_checkpoint
from lottery.tlog.cosignature import Cosignature, add_cosignature, cosign, cosignatures_of
from lottery.tlog.keys import (
    LARGEST_TIMESTAMP,
    SignatureType,
    SigningKey,
    VerifierKey,
    create_key_file,
    encode_base64,
    read_key_file,
    timestamp_of,
)
from lottery.tlog.note import NoteSignature, SignedNote, sign_text
from tests.tlog.signed import (
    CHECKPOINT,
    CHECKPOINTS,
    COSIGNED,
    COSIGNER,
    LOG,
    NOTE,
    STRANGER,
    TIME,
    WITNESS,
)

# The example of c2sp.org/tlog-cosignature, whose keys are not published.
PUBLISHED_LINE = (
    "— witness.example.com/w1 "
    "jWbPPwAAAABkGFDLEZMHwSRaJNiIDoe9DYn/zXcrtPHeolMI5OWXEhZCB9dlrDJsX3b2oyin1nPZ"
    "qhf5nNo0xUe+mbIUBkBIfZ+qnA=="
)
PUBLISHED_TIME = 1_679_315_147

KNOWN = [LOG.verifier, COSIGNER.verifier]
LINE = SignedNote.parse(COSIGNED).signatures[1]


def with_signature(signature: bytes, *, text: str = CHECKPOINT.text()) -> bytes:
    """The checkpoint's note with these bytes as the cosigner's signature."""
    line = NoteSignature(name=COSIGNER.name, key_id=COSIGNER.verifier.key_id, signature=signature)
    return SignedNote(text=text, signatures=(sign_text(text, LOG), line)).encoded()


def test_the_published_cosignature_has_the_published_time() -> None:
    line = NoteSignature.parse(PUBLISHED_LINE)

    assert line.key_id.hex() == "8d66cf3f"
    assert len(line.signature) == 72
    assert timestamp_of(line.signature) == PUBLISHED_TIME


def test_what_is_signed_is_two_lines_and_the_whole_text() -> None:
    extended = replace(CHECKPOINT, extensions=("one", "two"))
    note = sign_checkpoint(extended, LOG)

    signature = cosign(note, COSIGNER, PUBLISHED_TIME).signature

    assert signature[:8] == bytes.fromhex("00000000641850cb")
    public_key = Ed25519PublicKey.from_public_bytes(COSIGNER.verifier.public_key)
    public_key.verify(
        signature[8:], b"cosignature/v1\ntime 1679315147\n" + extended.text().encode()
    )
    with pytest.raises(InvalidSignature):
        public_key.verify(signature[8:], extended.text().encode())


def test_a_cosigners_key_has_an_id_and_a_text_of_its_type() -> None:
    key = COSIGNER.verifier
    same = VerifierKey(name=key.name, public_key=key.public_key)
    key_id = hashlib.sha256(key.name.encode() + b"\n\x04" + key.public_key).digest()[:4]

    assert key.key_id == key_id
    assert str(key) == f"{key.name}+{key_id.hex()}+{encode_base64(bytes([4]) + key.public_key)}"
    assert VerifierKey.parse(str(key)) == key
    assert SigningKey.parse(COSIGNER.text()) == COSIGNER
    assert same.key_id != key.key_id
    assert same != key


def test_a_note_opens_with_the_logs_signature_and_cosignatures() -> None:
    opened = open_checkpoint(COSIGNED, KNOWN, origin=LOG.name)

    assert opened.checkpoint == CHECKPOINT
    assert opened.signed_by == (LOG.verifier, COSIGNER.verifier)
    assert open_checkpoint(COSIGNED, [LOG.verifier]).signed_by == (LOG.verifier,)
    assert open_checkpoint(COSIGNED, [COSIGNER.verifier]).signed_by == (COSIGNER.verifier,)
    assert cosignatures_of(COSIGNED, KNOWN) == (Cosignature(key=COSIGNER.verifier, timestamp=TIME),)
    assert cosignatures_of(NOTE, KNOWN) == ()


@given(checkpoint=CHECKPOINTS, timestamp=st.integers(1, LARGEST_TIMESTAMP))
def test_a_cosignature_is_read_with_its_time(checkpoint: Checkpoint, timestamp: int) -> None:
    """Law: cosignatures_of(add_cosignature(note, key, time)) is the key and the time."""
    note = add_cosignature(sign_checkpoint(checkpoint, LOG), COSIGNER, timestamp)

    assert cosignatures_of(note, KNOWN) == (
        Cosignature(key=COSIGNER.verifier, timestamp=timestamp),
    )


def test_every_other_bit_of_a_cosignature_spoils_the_note() -> None:
    for bit in range(len(LINE.signature) * 8):
        number = int.from_bytes(LINE.signature, "big") ^ 1 << bit
        note = with_signature(number.to_bytes(72, "big"))
        with pytest.raises(CheckpointInvalid, match="that is not of this text"):
            open_checkpoint(note, KNOWN)


@pytest.mark.parametrize(
    "signature",
    [
        pytest.param(LINE.signature[8:], id="no time"),
        pytest.param(LINE.signature[:-1], id="cut"),
        pytest.param(LINE.signature + b"\x00", id="a byte too many"),
        pytest.param(LINE.signature[:8], id="nothing but the time"),
        pytest.param(b"\x00", id="a byte"),
        pytest.param(COSIGNED, id="another length"),
    ],
)
def test_a_cosignature_has_72_bytes(signature: bytes) -> None:
    with pytest.raises(CheckpointInvalid, match="that is not of this text"):
        open_checkpoint(with_signature(signature), KNOWN)


def signed_at(timestamp: int) -> bytes:
    """A cosignature of any time, which `cosign` makes of few."""
    bare = replace(COSIGNER, signature_type=SignatureType.ED25519)
    message = f"cosignature/v1\ntime {timestamp}\n{CHECKPOINT.text()}".encode()
    return timestamp.to_bytes(8, "big") + bare.sign(message)


def test_a_cosignature_of_the_time_0_verifies_and_is_never_made() -> None:
    assert cosignatures_of(with_signature(signed_at(0)), KNOWN) == (
        Cosignature(key=COSIGNER.verifier, timestamp=0),
    )
    for timestamp in (0, -1, 2**63):
        with pytest.raises(ValueError, match="expected a time from 1 to"):
            cosign(NOTE, COSIGNER, timestamp)


def test_no_time_exceeds_63_bits() -> None:
    assert signed_at(TIME) == LINE.signature
    open_checkpoint(with_signature(signed_at(2**63 - 1)), KNOWN)
    with pytest.raises(CheckpointInvalid, match="that is not of this text"):
        open_checkpoint(with_signature(signed_at(2**63)), KNOWN)


def test_a_cosignature_is_of_its_text_alone() -> None:
    other = replace(CHECKPOINT, size=CHECKPOINT.size + 1).text()

    with pytest.raises(CheckpointInvalid, match="that is not of this text"):
        open_checkpoint(with_signature(LINE.signature, text=other), KNOWN)


def test_nothing_but_a_checkpoint_is_cosigned() -> None:
    note = SignedNote(text="text\n", signatures=(sign_text("text\n", LOG),)).encoded()

    with pytest.raises(CheckpointInvalid, match="expected whole lines of origin"):
        cosign(note, COSIGNER, TIME)


def test_a_witness_cosigns_a_checkpoint_once() -> None:
    with pytest.raises(CheckpointInvalid, match="has signed it already"):
        add_cosignature(COSIGNED, COSIGNER, TIME + 1)


def test_a_key_makes_the_signatures_of_its_type_alone() -> None:
    with pytest.raises(KeyUnusable, match=r"for Ed25519 signatures \(type 01\), got one for cosig"):
        add_signature(NOTE, COSIGNER)
    with pytest.raises(KeyUnusable, match=r"for cosignatures \(type 04\), got one for Ed25519"):
        add_cosignature(NOTE, WITNESS, TIME)


def test_one_public_key_of_both_types_is_two_keys() -> None:
    twin = replace(COSIGNER, signature_type=SignatureType.ED25519)
    both = add_signature(COSIGNED, twin)

    assert open_checkpoint(both, [COSIGNER.verifier, twin.verifier]).signed_by == (
        COSIGNER.verifier,
        twin.verifier,
    )
    assert not COSIGNER.verifier.has_signed(CHECKPOINT.text().encode(), LINE.signature[8:])


def test_an_unknown_cosigner_is_ignored() -> None:
    other = replace(STRANGER, signature_type=SignatureType.COSIGNATURE)

    assert len(cosignatures_of(add_cosignature(COSIGNED, other, TIME), KNOWN)) == 1


def test_a_key_file_holds_a_key_of_the_type_that_is_asked_for(tmp_path: Path) -> None:
    witness, log = tmp_path / "witness.key", tmp_path / "log.key"
    key = create_key_file(witness, "witness.example", SignatureType.COSIGNATURE)
    create_key_file(log, "log.example")

    assert key.signature_type is SignatureType.COSIGNATURE
    assert read_key_file(witness, SignatureType.COSIGNATURE) == key
    with pytest.raises(KeyUnusable, match="expected a key for Ed25519 signatures"):
        read_key_file(witness)
    with pytest.raises(KeyUnusable, match="expected a key for cosignatures"):
        read_key_file(log, SignatureType.COSIGNATURE)
