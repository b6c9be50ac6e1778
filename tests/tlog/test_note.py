"""Notes have one form each; a known key's signature counts, a wrong one spoils the note."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lottery.errors import CheckpointInvalid, KeyUnusable
from lottery.tlog.keys import SigningKey, VerifierKey, encode_base64, is_key_name
from lottery.tlog.note import (
    NOTE_SIZE_LIMIT,
    SIGNATURE_LIMIT,
    NoteSignature,
    SignedNote,
    join_notes,
    sign_text,
    signers_of,
    split_notes,
)

# The keys and notes of golang.org/x/mod/sumdb/note's documentation and tests.
PETER = VerifierKey.parse("PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW")
ENOCH = VerifierKey.parse("EnochRoot+af0cfe78+ATtqJ7zOtqQtYqOo0CpvDXNlMhV3HeJDpjrASKGLWdop")
WORDS = (
    "If you think cryptography is the answer to your problem,\n"
    "then you don't know what your problem is.\n"
)
PETER_LINE = (
    "— PeterNeumann "
    "x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
)
ENOCH_LINE = (
    "— EnochRoot "
    "rwz+eBzmZa0SO3NbfRGzPCpDckykFXSdeX+MNtCOXm2/5n2tiOHp+vAF1aGrQ5ovTG01oOTGwnWLox33WWd1RvMc+QQ=\n"
)
# The examples of c2sp.org/signed-note and c2sp.org/tlog-checkpoint, which publish no keys.
QUASIMODO = """\
Ognuno sta solo sul cuor della terra
trafitto da un raggio di sole:

ed è subito sera.

— quasimodo.example/salvatore \
NnugSzTjtVAewIS+Z/iJhUPeFDkO/5QQ2i5ddnGITLlC+EhfLW9oJKONrMouFSQU0xMcXxj99ihAQwaqP3ZekRwNtIc=
"""
BEHIND_THE_SOFA = """\
example.com/behind-the-sofa
20852163
CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=

— example.com/behind-the-sofa \
Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=
"""

LOG = SigningKey(name="log.example", seed=b"l" * 32)
WITNESS = SigningKey(name="witness.example", seed=b"w" * 32)

TEXTS = st.lists(st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]))).map(
    lambda lines: "".join(f"{line}\n" for line in ["text", *lines])
)
SIGNATURES = st.builds(
    NoteSignature,
    name=st.text(st.characters(codec="utf-8"), min_size=1).filter(is_key_name),
    key_id=st.binary(min_size=4, max_size=4),
    signature=st.binary(min_size=1, max_size=70),
)
NOTES = st.builds(
    SignedNote, text=TEXTS, signatures=st.lists(SIGNATURES, min_size=1, max_size=4).map(tuple)
)


def signers(note: str, *keys: VerifierKey) -> tuple[VerifierKey, ...]:
    return signers_of(SignedNote.parse(note.encode()), keys)


def signed(text: str, *keys: SigningKey) -> bytes:
    return SignedNote(text=text, signatures=tuple(sign_text(text, key) for key in keys)).encoded()


@pytest.mark.parametrize("note", [QUASIMODO, BEHIND_THE_SOFA, f"{WORDS}\n{PETER_LINE}{ENOCH_LINE}"])
def test_the_published_notes_are_read_and_written_as_published(note: str) -> None:
    assert SignedNote.parse(note.encode()).encoded() == note.encode()


def test_the_last_empty_line_parts_text_and_signatures() -> None:
    note = SignedNote.parse(QUASIMODO.encode())

    assert note.text.endswith("sole:\n\ned è subito sera.\n")
    (signature,) = note.signatures
    assert signature.name == "quasimodo.example/salvatore"
    assert signature.key_id.hex() == "367ba04b"
    assert len(signature.signature) == 64


@pytest.mark.parametrize("text", ["\n", "\n\n", "text\n\n", "\ntext\n", "text\n\n\n\n"])
def test_a_text_may_be_of_empty_lines_too(text: str) -> None:
    note = signed(text, LOG)

    assert SignedNote.parse(note).text == text
    assert SignedNote.parse(note).encoded() == note


def test_the_published_notes_are_signed_by_whom_they_say() -> None:
    both = f"{WORDS}\n{PETER_LINE}{ENOCH_LINE}"

    assert signers(f"{WORDS}\n{PETER_LINE}", PETER) == (PETER,)
    assert signers(both, PETER) == (PETER,)
    assert signers(both, ENOCH) == (ENOCH,)
    assert signers(both, ENOCH, PETER) == (PETER, ENOCH)


def test_the_published_private_key_makes_the_published_note() -> None:
    peter = SigningKey.parse(
        "PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz"
    )

    assert signed(WORDS, peter).decode() == f"{WORDS}\n{PETER_LINE}"


@pytest.mark.parametrize(
    "note",
    [
        pytest.param(WORDS, id="no signature"),
        pytest.param(WORDS + "\n", id="empty line and no signature"),
        pytest.param(f"{WORDS}\n{PETER_LINE}"[:-1], id="no newline at the end"),
        pytest.param(f"{WORDS}\n{PETER_LINE}\n", id="empty line at the end"),
        pytest.param(f"{WORDS}{PETER_LINE}", id="no empty line"),
        pytest.param(f"\x01{WORDS}\n{PETER_LINE}", id="control character"),
        pytest.param(f"{WORDS}\n{PETER_LINE}".replace("\n", "\r\n"), id="carriage returns"),
        pytest.param(f"a\tb\n\n{PETER_LINE}", id="tab"),
        pytest.param(f"{WORDS}\n{PETER_LINE}Unexpected line.\n", id="line that is no signature"),
        pytest.param(f"{WORDS}\n{PETER_LINE[2:]}", id="no dash"),
        pytest.param(f"{WORDS}\n{PETER_LINE}".replace("— ", "- "), id="hyphen"),
        pytest.param(f"{WORDS}\n{PETER_LINE}".replace("— ", "—"), id="no space"),
        pytest.param(f"{WORDS}\n{PETER_LINE}".replace("— ", "—  "), id="two spaces"),
        pytest.param(f"{WORDS}\n{PETER_LINE}".replace("Neumann ", "Neumann  "), id="spaces within"),
        pytest.param(f"{WORDS}\n{PETER_LINE}".replace("PeterN", "Peter N"), id="space in name"),
        pytest.param(f"{WORDS}\n{PETER_LINE}".replace("PeterN", "Peter+N"), id="plus in name"),
        pytest.param(f"{WORDS}\n{PETER_LINE[:-2]}\n", id="no padding"),
        pytest.param(f"{WORDS}\n{PETER_LINE[:-1]}=\n", id="too much padding"),
        pytest.param(f"{WORDS}\n{PETER_LINE[:-3]}N=\n", id="other bits after the last byte"),
        pytest.param(f"{WORDS}\n{PETER_LINE[:-1]} \n", id="space after it"),
        pytest.param(f"{WORDS}\n— PeterNeumann \n", id="no base64"),
        pytest.param(f"{WORDS}\n— PeterNeumann\n", id="just a name"),
        pytest.param(f"{WORDS}\n— PeterNeumann x08g\n", id="3 bytes"),
        pytest.param(f"{WORDS}\n— PeterNeumann x08gow==\n", id="4 bytes"),
    ],
)
def test_what_is_no_note_is_refused(note: str) -> None:
    with pytest.raises(CheckpointInvalid, match=r"expected .* got "):
        SignedNote.parse(note.encode())


@pytest.mark.parametrize("stray", [b"\xff", b"\xc0\x80", b"\xed\xa0\x80", b"\xe2\x80"])
def test_what_is_not_utf_8_is_refused(stray: bytes) -> None:
    with pytest.raises(CheckpointInvalid, match=f"got the byte 0x{stray[0]:02x} at offset 0"):
        SignedNote.parse(stray + f"{WORDS}\n{PETER_LINE}".encode())


def test_five_bytes_are_a_signature_as_far_as_a_note_knows() -> None:
    note = SignedNote.parse(f"{WORDS}\n— PeterNeumann {encode_base64(b'12345')}\n".encode())

    assert note.signatures == (NoteSignature(name="PeterNeumann", key_id=b"1234", signature=b"5"),)


def test_a_note_has_at_most_a_hundred_signatures() -> None:
    at_most = f"{WORDS}\n{ENOCH_LINE * (SIGNATURE_LIMIT - 1)}{PETER_LINE}"

    assert signers(at_most, PETER) == (PETER,)
    with pytest.raises(CheckpointInvalid, match="expected 1 to 100 signatures, got 101"):
        SignedNote.parse(f"{at_most}{ENOCH_LINE}".encode())


def test_a_note_has_at_most_a_megabyte() -> None:
    line = f"{sign_text('', LOG)}\n"
    text = "x" * (NOTE_SIZE_LIMIT - len(line.encode()) - 2) + "\n"

    assert len(signed(text, LOG)) == NOTE_SIZE_LIMIT
    assert SignedNote.parse(signed(text, LOG)).text == text
    with pytest.raises(CheckpointInvalid, match="at most 1000000 bytes, got 1000001"):
        signed("x" + text, LOG)
    with pytest.raises(CheckpointInvalid, match="at most 1000000 bytes, got 1000001"):
        SignedNote.parse(b"x" + signed(text, LOG))


@pytest.mark.parametrize("text", ["", "no newline", "\x1f\n", "tab\t\n", "\x00\n", "\ud800\n"])
def test_a_text_that_no_note_can_have_is_in_none(text: str) -> None:
    signature = NoteSignature(name="log.example", key_id=b"1234", signature=b"5")

    with pytest.raises(CheckpointInvalid, match="expected lines of UTF-8"):
        SignedNote(text=text, signatures=(signature,))


def test_a_note_without_signatures_is_none() -> None:
    with pytest.raises(CheckpointInvalid, match="expected 1 to 100 signatures, got 0"):
        SignedNote(text=WORDS, signatures=())


@pytest.mark.parametrize("name", ["", "a b", "a+b", "a\nb", "a\x00b", "a\u3000b", "a\ud800b"])
def test_a_name_that_no_key_can_have_is_in_no_signature(name: str) -> None:
    with pytest.raises(CheckpointInvalid, match="expected a key name"):
        NoteSignature(name=name, key_id=b"1234", signature=b"5")


@pytest.mark.parametrize(
    ("key_id", "signature"), [(b"123", b"5"), (b"12345", b"5"), (b"1234", b"")]
)
def test_a_signature_has_a_key_id_of_four_bytes_and_something_after_it(
    key_id: bytes, signature: bytes
) -> None:
    with pytest.raises(CheckpointInvalid, match="expected 4 bytes of key id and a signature"):
        NoteSignature(name="log.example", key_id=key_id, signature=signature)


@given(note=NOTES)
def test_notes_survive_their_form(note: SignedNote) -> None:
    """Law: parse(note.encoded()) == note."""
    assert SignedNote.parse(note.encoded()) == note


@given(note=NOTES, data=st.data())
def test_a_changed_byte_is_refused_or_changes_the_value(
    note: SignedNote, data: st.DataObject
) -> None:
    """Law: parse(x).encoded() == x, or parse refuses."""
    changed = bytearray(note.encoded())
    offset = data.draw(st.integers(0, len(changed) - 1))
    changed[offset] ^= data.draw(st.integers(1, 255))
    try:
        other = SignedNote.parse(bytes(changed))
    except CheckpointInvalid:
        return
    assert other != note
    assert other.encoded() == changed


def test_signatures_of_unknown_keys_are_ignored_though_they_share_a_name_or_an_id() -> None:
    namesake = SigningKey(name="log.example", seed=b"n" * 32)
    same_id = NoteSignature(
        name="other.example", key_id=LOG.verifier.key_id, signature=LOG.sign(WORDS.encode())
    )
    lines = (sign_text(WORDS, namesake), same_id, sign_text(WORDS, LOG))
    note = SignedNote(text=WORDS, signatures=lines)

    assert signers_of(note, [LOG.verifier]) == (LOG.verifier,)
    with pytest.raises(CheckpointInvalid, match=r"got those of log\.example.* or other\.example"):
        signers_of(SignedNote(text=WORDS, signatures=lines[:2]), [LOG.verifier])


def test_a_note_that_no_known_key_signed_is_refused() -> None:
    note = f"{WORDS}\n{PETER_LINE}"

    with pytest.raises(
        CheckpointInvalid,
        match=r"of EnochRoot\+af0cfe78, got those of PeterNeumann\+c74f20a3",
    ):
        signers(note, ENOCH)
    with pytest.raises(CheckpointInvalid, match="expected a signature of no key"):
        signers(note)


@pytest.mark.parametrize("offset", range(64))
def test_a_wrong_signature_of_a_known_key_spoils_the_note(offset: int) -> None:
    right = sign_text(WORDS, WITNESS)
    bits = bytearray(right.signature)
    bits[offset] ^= 1
    wrong = NoteSignature(name=right.name, key_id=right.key_id, signature=bytes(bits))
    note = SignedNote(text=WORDS, signatures=(sign_text(WORDS, LOG), wrong))

    assert signers_of(note, [LOG.verifier]) == (LOG.verifier,)
    with pytest.raises(CheckpointInvalid, match=r"expected a signature of witness\.example\+"):
        signers_of(note, [LOG.verifier, WITNESS.verifier])


def test_two_lines_of_a_known_key_are_refused_and_of_an_unknown_one_ignored() -> None:
    note = f"{WORDS}\n{PETER_LINE}{PETER_LINE}{ENOCH_LINE}"

    with pytest.raises(CheckpointInvalid, match=r"one signature of PeterNeumann\+c74f20a3, got"):
        signers(note, PETER, ENOCH)
    assert signers(note, ENOCH) == (ENOCH,)


def test_a_key_known_twice_is_known() -> None:
    assert signers(f"{WORDS}\n{PETER_LINE}", PETER, PETER) == (PETER,)


def test_two_known_keys_of_one_name_and_id_are_refused() -> None:
    # Found by trying: the first two numbers whose key ids under this name are one.
    one, other = (
        VerifierKey(name="log.example", public_key=number.to_bytes(32, "big"))
        for number in (19719, 33356)
    )
    assert one.key_id == other.key_id

    with pytest.raises(KeyUnusable, match=r"one known key log\.example\+f9381e5a, got two"):
        signers(f"{WORDS}\n{PETER_LINE}", PETER, one, other)


def test_a_file_of_notes_is_the_notes_with_an_empty_line_after_each() -> None:
    one, other = signed("one\n", LOG), signed("other\nof two lines\n", LOG, WITNESS)
    data = one + b"\n" + other + b"\n"

    assert join_notes([one, other]) == data
    assert split_notes(data) == (one, other)
    assert split_notes(b"") == ()
    assert join_notes([]) == b""


def test_what_is_not_whole_notes_with_empty_lines_is_not_split() -> None:
    one, other = signed("one\n", LOG), signed("other\n", WITNESS)
    data = join_notes([one, other])

    assert split_notes(data[: len(one) + 1]) == (one,)
    for cut in set(range(1, len(data))) - {len(one) + 1}:
        with pytest.raises(CheckpointInvalid):
            split_notes(data[:cut])
    for wrong in (
        b"\n",
        b"\n\n",
        b"\n" + data,
        data + b"\n",
        data + b"\n\n",
        one + b"\n\n" + other,
    ):
        with pytest.raises(CheckpointInvalid):
            split_notes(wrong)


@pytest.mark.parametrize("text", ["\n", "\n\n", "a\n\n", "\na\n", "a\n\nb\n", "a\n\nb\n\nc\n"])
def test_a_text_with_an_empty_line_is_not_joined(text: str) -> None:
    with pytest.raises(CheckpointInvalid, match="expected a text without empty lines"):
        join_notes([signed("one\n", LOG), signed(text, LOG)])


def test_a_part_of_a_note_is_not_joined() -> None:
    with pytest.raises(CheckpointInvalid, match="whole signature lines"):
        join_notes([signed("one\n", LOG)[:-1]])


@given(
    notes=st.lists(
        NOTES.filter(lambda note: "" not in note.text[:-1].split("\n")).map(SignedNote.encoded),
        max_size=4,
    ),
    data=st.data(),
)
def test_files_of_notes_survive_splitting(notes: list[bytes], data: st.DataObject) -> None:
    """Laws: split(join(notes)) == notes, and join(split(x)) == x, or split refuses."""
    joined = join_notes(notes)
    assert split_notes(joined) == tuple(notes)

    changed = bytearray(joined or b"\n")
    offset = data.draw(st.integers(0, len(changed) - 1))
    changed[offset : offset + 1] = data.draw(st.sampled_from([b"", b"\n", b"\n\n", b"A", b"x\n"]))
    try:
        parts = split_notes(bytes(changed))
    except CheckpointInvalid:
        return
    assert join_notes(parts) == changed


def test_a_signature_is_over_the_text_with_its_newline_and_without_the_empty_line() -> None:
    line = sign_text(WORDS, LOG)

    named = b"log.example\n\x01" + LOG.verifier.public_key
    assert line.key_id == hashlib.sha256(named).digest()[:4]
    assert LOG.verifier.has_signed(WORDS.encode(), line.signature)
    assert not LOG.verifier.has_signed(f"{WORDS}\n".encode(), line.signature)
