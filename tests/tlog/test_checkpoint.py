"""Checkpoints and proofs have one text each, and nothing unsigned is a checkpoint."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from hypothesis import given, settings
from hypothesis import strategies as st

from lottery.errors import CheckpointInvalid
from lottery.tlog.checkpoint import (
    LARGEST_NUMBER,
    Checkpoint,
    LogProof,
    OpenedCheckpoint,
    add_signature,
    open_checkpoint,
    sign_checkpoint,
)
from lottery.tlog.keys import SigningKey, VerifierKey, encode_base64
from lottery.tlog.note import SIGNATURE_LIMIT, SignedNote, sign_text

LOG = SigningKey(name="log.example/lottery", seed=b"l" * 32)
WITNESS = SigningKey(name="witness.example", seed=b"w" * 32)
STRANGER = SigningKey(name="stranger.example", seed=b"s" * 32)
ROOT = hashlib.sha256(b"root").digest()
HEAD = Checkpoint(origin=LOG.name, size=20_852_163, root=ROOT)
NOTE = sign_checkpoint(HEAD, LOG)
WITNESSED = add_signature(NOTE, WITNESS)

# The example of c2sp.org/tlog-checkpoint without its signature, whose key is not published.
BEHIND_THE_SOFA = """\
example.com/behind-the-sofa
20852163
CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=
"""
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

LINES = st.text(st.characters(codec="utf-8", min_codepoint=0x20), min_size=1)
HASHES = st.binary(min_size=32, max_size=32)
NUMBERS = st.integers(0, LARGEST_NUMBER)
HEADS = st.builds(
    Checkpoint,
    origin=LINES,
    size=NUMBERS,
    root=HASHES,
    extensions=st.lists(LINES, max_size=3).map(tuple),
)
PROOFS = st.builds(
    LogProof,
    index=NUMBERS,
    hashes=st.lists(HASHES, max_size=3).map(tuple),
    note=HEADS.map(lambda head: sign_checkpoint(head, LOG)),
    extra=st.none() | st.binary(),
)


def test_the_published_checkpoint_is_read_and_written_as_published() -> None:
    head = Checkpoint.parse(BEHIND_THE_SOFA)

    assert head.origin == "example.com/behind-the-sofa"
    assert head.size == 20_852_163
    assert head.root.hex() == "0ac5186a91863e8e1d90c808014aa89bf5da8e3ee1d9f07630f0378f68f1ab62"
    assert head.extensions == ()
    assert head.text() == BEHIND_THE_SOFA


def test_a_tree_may_be_empty_and_a_checkpoint_extended() -> None:
    text = f"log example+1\n0\n{encode_base64(ROOT)}\none\n— two\n"

    head = Checkpoint.parse(text)

    assert head == Checkpoint(
        origin="log example+1", size=0, root=ROOT, extensions=("one", "— two")
    )
    assert head.text() == text


@settings(deadline=None)
@given(head=HEADS)
def test_checkpoints_survive_their_texts_and_their_notes(head: Checkpoint) -> None:
    """Law: parse(text) and open(sign) give the checkpoint."""
    assert Checkpoint.parse(head.text()) == head
    assert open_checkpoint(sign_checkpoint(head, LOG), [LOG.verifier]).checkpoint == head


@pytest.mark.parametrize(
    ("text", "told"),
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
def test_what_is_no_checkpoint_is_told(text: str, told: str) -> None:
    root = encode_base64(ROOT)
    url = base64.urlsafe_b64encode(b"\xff" * 32).decode()
    assert root.endswith("I=")
    other = f"{root[:-2]}J="
    text = text.format(root=root, bare=root[:-1], other=other, url=url)

    with pytest.raises(CheckpointInvalid, match=told):
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
        replace(HEAD, **wrong)  # type: ignore[arg-type]


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

    assert open_checkpoint(NOTE, [log]) == OpenedCheckpoint(checkpoint=HEAD, signed_by=(log,))
    assert open_checkpoint(WITNESSED, [log]).signed_by == (log,)
    assert open_checkpoint(WITNESSED, [witness]).signed_by == (witness,)
    assert open_checkpoint(WITNESSED, [stranger, witness, log]).signed_by == (log, witness)


def test_a_second_signature_leaves_text_and_first_signature_as_they_are() -> None:
    assert WITNESSED.startswith(NOTE)
    assert WITNESSED.decode() == f"{NOTE.decode()}{sign_text(HEAD.text(), WITNESS)}\n"


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
        add_signature(HEAD.text().encode(), WITNESS)


def test_a_checkpoint_takes_no_more_signatures_than_it_may_have() -> None:
    strange = f"{sign_text(HEAD.text(), STRANGER)}\n".encode()
    full = NOTE + strange * (SIGNATURE_LIMIT - 1)

    assert open_checkpoint(full, [LOG.verifier]).signed_by == (LOG.verifier,)
    with pytest.raises(CheckpointInvalid, match="expected 1 to 100 signatures, got 101"):
        add_signature(full, WITNESS)


def test_a_checkpoint_too_long_for_a_note_is_not_signed() -> None:
    with pytest.raises(CheckpointInvalid, match="at most 1000000 bytes"):
        sign_checkpoint(replace(HEAD, extensions=("x" * 1_000_000,)), LOG)


def test_a_checkpoint_of_another_origin_is_refused() -> None:
    known = [LOG.verifier]

    assert open_checkpoint(NOTE, known, origin="log.example/lottery").checkpoint == HEAD
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


def test_every_other_byte_in_a_checkpoint_that_its_log_signed_is_refused() -> None:
    known = [LOG.verifier]
    for place, right in enumerate(NOTE):
        for byte in set(range(256)) - {right}:
            changed = NOTE[:place] + bytes([byte]) + NOTE[place + 1 :]
            with pytest.raises(CheckpointInvalid):
                open_checkpoint(changed, known)


def test_a_changed_bit_is_refused_or_makes_one_of_two_signers_a_stranger() -> None:
    """Name and key id of a line may change: then the line is ignored, and the other one counts."""
    log, witness = LOG.verifier, WITNESS.verifier
    ignored: dict[tuple[VerifierKey, ...], set[int]] = {(log,): set(), (witness,): set()}
    for bit in range(len(WITNESSED) * 8):
        place = bit // 8
        flipped = bytes([WITNESSED[place] ^ 1 << bit % 8])
        changed = WITNESSED[:place] + flipped + WITNESSED[place + 1 :]
        try:
            opened = open_checkpoint(changed, [log, witness], origin=LOG.name)
        except CheckpointInvalid:
            continue
        assert opened.checkpoint == HEAD
        ignored[opened.signed_by].add(place)

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


@settings(deadline=None)
@given(proof=PROOFS)
def test_proofs_survive_their_texts(proof: LogProof) -> None:
    """Law: parse(proof.text()) == proof."""
    assert LogProof.parse(proof.text()) == proof


@pytest.mark.parametrize(
    ("old", "new", "told"),
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
        ("\nlog.example/", "\n\udc80log.example/", "expected UTF-8, got byte 0"),
        ("\nlog.example/", "\n\udcc3\udca8log.example/", "expected UTF-8, got byte 0"),
        ("lottery\n20852163", "lottery\n020852163", "tree size: expected a plain decimal"),
        ("\n— ", "\n- ", "expected a signature line"),
    ],
)
def test_what_is_no_proof_is_told(old: str, new: str, told: str) -> None:
    text = PROOF.text()
    assert text.count(old) == 1

    with pytest.raises(CheckpointInvalid, match=told):
        LogProof.parse(text.replace(old, new))


@pytest.mark.parametrize(
    "text", ["", "c2sp.org/tlog-proof@v1", "c2sp.org/tlog-proof@v1\nextra AAAA\n"]
)
def test_a_proof_without_an_index_is_told(text: str) -> None:
    with pytest.raises(CheckpointInvalid, match=r"expected .* got ''"):
        LogProof.parse(text)


def test_a_proof_that_lost_its_checkpoint_is_told() -> None:
    head, _, _ = PROOF.text().partition("\n\n")

    for text in (head, f"{head}\n\n", f"{head}\n\n{HEAD.text()}"):
        with pytest.raises(CheckpointInvalid, match="whole signature lines"):
            LogProof.parse(text)


def test_a_changed_bit_in_a_proof_is_refused_or_seen() -> None:
    """What is not refused is another proof, and another note too where the bit was in that."""
    data = PROOF.text().encode()
    note_from = len(data) - len(NOTE)
    for bit in range(len(data) * 8):
        place = bit // 8
        changed = data[:place] + bytes([data[place] ^ 1 << bit % 8]) + data[place + 1 :]
        try:
            proof = LogProof.parse(changed.decode("utf-8", "surrogateescape"))
        except CheckpointInvalid:
            continue
        assert proof != PROOF
        assert proof.text().encode() == changed
        assert (proof.note != NOTE) == (place >= note_from)


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
