"""Checkpoints have one text each, and nothing unsigned is a checkpoint."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from hypothesis import given

from lottery.errors import CheckpointInvalid
from lottery.tlog.checkpoint import (
    Checkpoint,
    OpenedCheckpoint,
    add_signature,
    open_checkpoint,
    sign_checkpoint,
)
from lottery.tlog.keys import SigningKey, VerifierKey, encode_base64
from lottery.tlog.note import SIGNATURE_LIMIT, SignedNote, sign_text
from tests.tlog.signed import CHECKPOINT, CHECKPOINTS, LOG, NOTE, ROOT, STRANGER, WITNESS, WITNESSED

# The example of c2sp.org/tlog-checkpoint without its signature, whose key is not published.
BEHIND_THE_SOFA = """\
example.com/behind-the-sofa
20852163
CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=
"""


def test_the_published_checkpoint_is_read_and_written_as_published() -> None:
    checkpoint = Checkpoint.parse(BEHIND_THE_SOFA)

    assert checkpoint.origin == "example.com/behind-the-sofa"
    assert checkpoint.size == 20_852_163
    assert (
        checkpoint.root.hex() == "0ac5186a91863e8e1d90c808014aa89bf5da8e3ee1d9f07630f0378f68f1ab62"
    )
    assert checkpoint.extensions == ()
    assert checkpoint.text() == BEHIND_THE_SOFA


def test_a_tree_may_be_empty_and_a_checkpoint_extended() -> None:
    text = f"log example+1\n0\n{encode_base64(ROOT)}\none\n— two\n"

    checkpoint = Checkpoint.parse(text)

    assert checkpoint == Checkpoint(
        origin="log example+1", size=0, root=ROOT, extensions=("one", "— two")
    )
    assert checkpoint.text() == text


@given(checkpoint=CHECKPOINTS)
def test_checkpoints_survive_their_texts_and_their_notes(checkpoint: Checkpoint) -> None:
    """Law: parse(text) and open(sign) give the checkpoint."""
    assert Checkpoint.parse(checkpoint.text()) == checkpoint
    assert (
        open_checkpoint(sign_checkpoint(checkpoint, LOG), [LOG.verifier]).checkpoint == checkpoint
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param("", "expected whole lines", id="nothing"),
        pytest.param("log\n5\n", "expected whole lines", id="no root"),
        pytest.param("log\n5\n{root}", "expected whole lines", id="no newline at the end"),
        pytest.param("log\n5\n{root}\nextension", "expected whole lines", id="extension cut"),
        pytest.param("log\n5\n{root}\n\n", "expected a line", id="empty extension"),
        pytest.param("log\n5\n{root}\n\nextension\n", "expected a line", id="empty line within"),
        pytest.param("\n5\n{root}\n", "expected a line", id="empty origin"),
        pytest.param("l\tog\n5\n{root}\n", "expected a line", id="tab in origin"),
        pytest.param("log\n5\n{root}\nx\x00\n", "expected a line", id="null in extension"),
        pytest.param("log\n5\n{root}\nx\ud800\n", "expected a line", id="surrogate in extension"),
        pytest.param("log\r\n5\r\n{root}\r\n", "expected a", id="carriage returns"),
        pytest.param("log\n\n{root}\n", "size: expected a plain decimal", id="no size"),
        pytest.param("log\n05\n{root}\n", "size: expected a plain decimal", id="leading zero"),
        pytest.param("log\n00\n{root}\n", "size: expected a plain decimal", id="two zeros"),
        pytest.param("log\n+5\n{root}\n", "size: expected a plain decimal", id="plus"),
        pytest.param("log\n-5\n{root}\n", "size: expected a plain decimal", id="minus"),
        pytest.param("log\n 5\n{root}\n", "size: expected a plain decimal", id="space"),
        pytest.param("log\n5 \n{root}\n", "size: expected a plain decimal", id="space after"),
        pytest.param("log\n5_0\n{root}\n", "size: expected a plain decimal", id="underscore"),
        pytest.param("log\n0x5\n{root}\n", "size: expected a plain decimal", id="hexadecimal"),
        pytest.param("log\n5.0\n{root}\n", "size: expected a plain decimal", id="point"),
        pytest.param(
            "log\n\N{ARABIC-INDIC DIGIT FIVE}\n{root}\n",
            "size: expected a plain decimal",
            id="Arabic digit",
        ),
        pytest.param("log\n" + "9" * 5000 + "\n{root}\n", "plain decimal", id="5000 digits"),
        pytest.param(f"log\n{2**63}\n{{root}}\n", "expected 0 to 9223372036854775807", id="2**63"),
        pytest.param("log\n5\n\n", "root hash: expected 32 bytes, got 0", id="empty root"),
        pytest.param("log\n5\nAAAA\n", "root hash: expected 32 bytes, got 3", id="short root"),
        pytest.param("log\n5\nAAAA{root}\n", "expected 32 bytes, got 35", id="long root"),
        pytest.param("log\n5\n{root}=\n", "root hash: expected base64", id="much padding"),
        pytest.param("log\n5\n {root}\n", "root hash: expected base64", id="space before root"),
        pytest.param("log\n5\n{root} \n", "root hash: expected base64", id="space after root"),
        pytest.param("log\n5\n{bare}\n", "root hash: expected base64", id="no padding"),
        pytest.param("log\n5\n{other}\n", "root hash: expected base64", id="other last bits"),
        pytest.param("log\n5\n{url}\n", "root hash: expected base64", id="other alphabet"),
    ],
)
def test_what_is_no_checkpoint_is_reported(text: str, message: str) -> None:
    root = encode_base64(ROOT)
    url = base64.urlsafe_b64encode(b"\xff" * 32).decode()
    assert root.endswith("I=")
    other = f"{root[:-2]}J="
    text = text.format(root=root, bare=root[:-1], other=other, url=url)

    with pytest.raises(CheckpointInvalid, match=message):
        Checkpoint.parse(text)


@pytest.mark.parametrize(
    "wrong",
    [
        {"origin": ""},
        {"origin": "log\nexample"},
        {"size": -1},
        {"size": 2**63},
        {"root": b""},
        {"root": ROOT[:-1]},
        {"extensions": ("",)},
        {"extensions": ("fine", "of two\nlines")},
    ],
)
def test_a_checkpoint_that_no_text_can_say_is_not_made(wrong: dict[str, object]) -> None:
    with pytest.raises(CheckpointInvalid, match=r"expected .* got "):
        replace(CHECKPOINT, **wrong)  # type: ignore[arg-type]


def test_a_log_signs_its_checkpoint_as_the_documents_say() -> None:
    body = f"log.example/lottery\n20852163\n{base64.b64encode(ROOT).decode()}\n"
    public_key = LOG.verifier.public_key
    text, line = NOTE.decode().split("\n\n")
    dash, name, encoded = line.removesuffix("\n").split(" ")
    data = base64.b64decode(encoded)

    assert (text + "\n", dash, name) == (body, "—", "log.example/lottery")
    assert data[:4] == hashlib.sha256(name.encode() + b"\n\x01" + public_key).digest()[:4]
    Ed25519PublicKey.from_public_bytes(public_key).verify(data[4:], body.encode())


def test_an_opened_checkpoint_names_the_known_keys_that_signed_it() -> None:
    log, witness, stranger = LOG.verifier, WITNESS.verifier, STRANGER.verifier

    assert open_checkpoint(NOTE, [log]) == OpenedCheckpoint(checkpoint=CHECKPOINT, signed_by=(log,))
    assert open_checkpoint(WITNESSED, [log]).signed_by == (log,)
    assert open_checkpoint(WITNESSED, [witness]).signed_by == (witness,)
    assert open_checkpoint(WITNESSED, [stranger, witness, log]).signed_by == (log, witness)


def test_a_second_signature_leaves_text_and_first_signature_as_they_are() -> None:
    assert WITNESSED.startswith(NOTE)
    assert WITNESSED.decode() == f"{NOTE.decode()}{sign_text(CHECKPOINT.text(), WITNESS)}\n"


def test_a_key_signs_a_checkpoint_once() -> None:
    with pytest.raises(CheckpointInvalid, match=r"witness\.example\+[0-9a-f]{8} has signed it"):
        add_signature(WITNESSED, WITNESS)


def test_a_key_of_the_same_name_signs_beside_the_other() -> None:
    rotated = SigningKey(name=LOG.name, seed=b"r" * 32)

    note = add_signature(NOTE, rotated)

    known = [LOG.verifier, rotated.verifier]
    assert open_checkpoint(note, known).signed_by == (LOG.verifier, rotated.verifier)
    assert open_checkpoint(note, known[1:]).signed_by == (rotated.verifier,)


def test_nothing_is_signed_that_is_no_checkpoint() -> None:
    text = "I owe you a dollar.\n"
    note = SignedNote(text=text, signatures=(sign_text(text, LOG),)).encoded()

    with pytest.raises(CheckpointInvalid, match="expected whole lines of origin"):
        add_signature(note, WITNESS)
    with pytest.raises(CheckpointInvalid, match="expected whole lines of origin"):
        open_checkpoint(note, [LOG.verifier])
    with pytest.raises(CheckpointInvalid, match="whole signature lines"):
        add_signature(CHECKPOINT.text().encode(), WITNESS)


def test_a_checkpoint_takes_no_more_signatures_than_it_may_have() -> None:
    strange = f"{sign_text(CHECKPOINT.text(), STRANGER)}\n".encode()
    full = NOTE + strange * (SIGNATURE_LIMIT - 1)

    assert open_checkpoint(full, [LOG.verifier]).signed_by == (LOG.verifier,)
    with pytest.raises(CheckpointInvalid, match="expected 1 to 100 signatures, got 101"):
        add_signature(full, WITNESS)


def test_a_checkpoint_too_long_for_a_note_is_not_signed() -> None:
    with pytest.raises(CheckpointInvalid, match="at most 1000000 bytes"):
        sign_checkpoint(replace(CHECKPOINT, extensions=("x" * 1_000_000,)), LOG)


def test_a_checkpoint_of_another_origin_is_refused() -> None:
    known = [LOG.verifier]

    assert open_checkpoint(NOTE, known, origin="log.example/lottery").checkpoint == CHECKPOINT
    with pytest.raises(
        CheckpointInvalid, match=r"expected the origin 'log\.example', got 'log\.example/lottery'"
    ):
        open_checkpoint(NOTE, known, origin="log.example")


def test_nothing_is_looked_at_before_the_signatures_are_verified() -> None:
    text = "I owe you a dollar.\n"
    note = SignedNote(text=text, signatures=(sign_text(text, LOG),)).encoded()

    for unsigned in (NOTE, note):
        with pytest.raises(CheckpointInvalid, match=r"expected a signature of stranger\.example"):
            open_checkpoint(unsigned, [STRANGER.verifier], origin="another.example")


def test_any_byte_changed_in_a_checkpoint_that_its_log_signed_is_refused() -> None:
    """Every bit of every byte, and the bytes that mean something in a note."""
    for offset, right in enumerate(NOTE):
        for byte in {*(right ^ 1 << bit for bit in range(8)), *b"\0\n A=+/0"} - {right}:
            with pytest.raises(CheckpointInvalid):
                open_checkpoint(NOTE[:offset] + bytes([byte]) + NOTE[offset + 1 :], [LOG.verifier])


def test_a_changed_bit_is_refused_or_makes_one_of_two_signers_a_stranger() -> None:
    """Name and key id of a line may change: then the line is ignored, and the other one counts."""
    log, witness = LOG.verifier, WITNESS.verifier
    ignored: dict[tuple[VerifierKey, ...], set[int]] = {(log,): set(), (witness,): set()}
    for bit in range(len(WITNESSED) * 8):
        offset = bit // 8
        flipped = bytes([WITNESSED[offset] ^ 1 << bit % 8])
        changed = WITNESSED[:offset] + flipped + WITNESSED[offset + 1 :]
        try:
            opened = open_checkpoint(changed, [log, witness], origin=LOG.name)
        except CheckpointInvalid:
            continue
        assert opened.checkpoint == CHECKPOINT
        ignored[opened.signed_by].add(offset)

    for counted, other in (((log,), witness), ((witness,), log)):
        name = WITNESSED.index(f"— {other.name}".encode()) + len("— ".encode())
        key_id = name + len(other.name) + len(" ")
        assert ignored[counted]
        assert ignored[counted] <= set(range(name, key_id - 1)) | set(range(key_id, key_id + 6))


@pytest.mark.parametrize("cut", [1, 2, 10, 80])
def test_a_checkpoint_cut_short_is_refused(cut: int) -> None:
    with pytest.raises(CheckpointInvalid):
        open_checkpoint(NOTE[:-cut], [LOG.verifier])
    with pytest.raises(CheckpointInvalid):
        open_checkpoint(NOTE[cut:], [LOG.verifier])
