"""Keys have one text each, sign as RFC 8032 has it, and stay private in their files."""

from __future__ import annotations

import hashlib
import os
import resource
import shutil
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lottery.errors import KeyUnusable
from lottery.tlog.keys import (
    SigningKey,
    VerifierKey,
    create_key_file,
    decode_base64,
    encode_base64,
    is_key_name,
    read_key_file,
)

OPENSSL = shutil.which("openssl")

# The keys and the text of golang.org/x/mod/sumdb/note's documentation and tests.
PETER_PRIVATE = "PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz"
PETER = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
ENOCH = "EnochRoot+af0cfe78+ATtqJ7zOtqQtYqOo0CpvDXNlMhV3HeJDpjrASKGLWdop"
WORDS = (
    b"If you think cryptography is the answer to your problem,\n"
    b"then you don't know what your problem is.\n"
)
PETER_ON_WORDS = decode_base64(
    "x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM="
)[4:]

NAMES = st.text(min_size=1).filter(is_key_name).filter(lambda name: name.isprintable())
SEEDS = st.binary(min_size=32, max_size=32)
NO_NAMES = [
    "",
    "log example",
    "log+example",
    "log\texample",
    "log\nexample",
    "log\N{NO-BREAK SPACE}example",
    "log\N{IDEOGRAPHIC SPACE}example",
    "log\N{LINE SEPARATOR}example",
    "log\x00example",
    "log\x85example",
    "log\ud800example",
]


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    path = tmp_path / "log.key"
    path.touch(mode=0o600)
    path.write_text(f"{PETER_PRIVATE}\n")
    return path


def changed_by_a_bit(content: bytes) -> list[bytes]:
    """Return all contents that differ in a single bit."""
    number = int.from_bytes(content, "big")
    return [(number ^ 1 << bit).to_bytes(len(content), "big") for bit in range(len(content) * 8)]


def with_its_id(name: str, data: bytes, *, upper: bool = False) -> str:
    """The text of an algorithm and a key, whatever they are, with the id of just those bytes."""
    key_id = hashlib.sha256(name.encode() + b"\n" + data).hexdigest()[:8]
    return f"{name}+{key_id.upper() if upper else key_id}+{encode_base64(data)}"


def test_the_published_keys_are_read_and_written_as_published() -> None:
    peter = SigningKey.parse(PETER_PRIVATE)

    assert peter.text() == PETER_PRIVATE
    assert str(peter.verifier) == PETER
    assert peter.verifier == VerifierKey.parse(PETER)
    assert peter.verifier.name == "PeterNeumann"
    assert peter.verifier.key_id.hex() == "c74f20a3"
    assert str(VerifierKey.parse(ENOCH)) == ENOCH


def test_the_published_text_gets_the_published_signature() -> None:
    peter = SigningKey.parse(PETER_PRIVATE)

    assert peter.sign(WORDS) == PETER_ON_WORDS
    assert peter.verifier.has_signed(WORDS, PETER_ON_WORDS)


def test_the_first_key_of_rfc_8032_signs_as_the_rfc_says() -> None:
    key = SigningKey(
        name="rfc8032",
        seed=bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60"),
    )

    assert key.verifier.public_key.hex() == (
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"
    )
    assert key.sign(b"").hex() == (
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701c"
        "f9b46bd25bf5f0595bbe24655141438e7a100b"
    )


@pytest.mark.skipif(OPENSSL is None, reason="openssl is not installed: apt install openssl")
def test_openssl_verifies_what_a_key_signs(tmp_path: Path) -> None:
    key = SigningKey.generate("log.example")
    # RFC 8410, 4: the SubjectPublicKeyInfo of Ed25519 is these 12 bytes and the key.
    public_key = bytes.fromhex("302a300506032b6570032100") + key.verifier.public_key
    for name, content in {"key": public_key, "text": WORDS, "signature": key.sign(WORDS)}.items():
        (tmp_path / name).write_bytes(content)
    assert OPENSSL is not None

    done = subprocess.run(
        [
            OPENSSL,
            *("pkeyutl", "-verify", "-rawin", "-pubin", "-keyform", "DER"),
            *("-inkey", "key", "-in", "text", "-sigfile", "signature"),
        ],
        cwd=tmp_path,
        capture_output=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr


def test_no_other_text_signature_or_key_verifies() -> None:
    peter = VerifierKey.parse(PETER)

    assert not any(peter.has_signed(words, PETER_ON_WORDS) for words in changed_by_a_bit(WORDS))
    assert not any(
        peter.has_signed(WORDS, signature) for signature in changed_by_a_bit(PETER_ON_WORDS)
    )
    assert not VerifierKey.parse(ENOCH).has_signed(WORDS, PETER_ON_WORDS)


@pytest.mark.parametrize("size", [0, 32, 63, 65])
def test_bytes_of_another_size_are_no_signature(size: int) -> None:
    signature = (PETER_ON_WORDS + b"\0")[:size]

    assert not VerifierKey.parse(PETER).has_signed(WORDS, signature)


def test_bytes_that_are_no_point_of_the_curve_have_signed_nothing() -> None:
    key = VerifierKey(name="log.example", public_key=b"\xff" * 32)

    assert not key.has_signed(WORDS, PETER_ON_WORDS)


@given(name=NAMES, seed=SEEDS, message=st.binary())
def test_keys_survive_their_texts(name: str, seed: bytes, message: bytes) -> None:
    """Law: parse(text) is the key, and what one signs the other verifies."""
    key = SigningKey(name=name, seed=seed)

    assert SigningKey.parse(key.text()) == key
    assert VerifierKey.parse(str(key.verifier)) == key.verifier
    assert key.verifier.has_signed(message, key.sign(message))


@given(text=st.text() | st.from_regex(r"[a-z]+\+[0-9a-f]{8}\+[A-Za-z0-9+/]{44}", fullmatch=True))
def test_any_text_is_a_key_with_that_text_or_refused(text: str) -> None:
    """Law: str(parse(text)) == text, or parse refuses."""
    try:
        key = VerifierKey.parse(text)
    except KeyUnusable:
        return
    assert str(key) == text


def test_every_other_byte_in_a_public_keys_text_is_refused() -> None:
    right = PETER.encode()
    for offset in range(len(right)):
        for byte in set(range(256)) - {right[offset]}:
            changed = right[:offset] + bytes([byte]) + right[offset + 1 :]
            for text in {changed.decode("utf-8", "surrogateescape"), changed.decode("latin-1")}:
                with pytest.raises(KeyUnusable):
                    VerifierKey.parse(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param("", "another text", id="nothing"),
        pytest.param(PETER + "\n", "another text", id="newline after it"),
        pytest.param(" " + PETER, "another text|without spaces", id="space before it"),
        pytest.param(PETER_PRIVATE, "another text", id="private key"),
        pytest.param(PETER.replace("c74f20a3", "c74f20a"), "another text", id="short id"),
        pytest.param(PETER.replace("c74f20a3", "C74F20A3"), "another text", id="capitals in id"),
        pytest.param(
            PETER.replace("c74f20a3", "c74f20a4"),
            "own id c74f20a3, got c74f20a4",
            id="id of another key",
        ),
        pytest.param(PETER.replace("PeterN", "Petern"), "got c74f20a3", id="name of another key"),
        pytest.param(PETER[:-1], "in base64", id="base64 cut"),
        pytest.param(with_its_id("log", b"\x01" + b"k" * 31), "32 bytes, got 31", id="short key"),
        pytest.param(with_its_id("log", b"\x01" + b"k" * 33), "32 bytes, got 33", id="long key"),
        pytest.param(with_its_id("log", b"\x02" + b"k" * 32), "got 02", id="another algorithm"),
        pytest.param(with_its_id("l\to", b"\x01" + b"k" * 32), "without spaces", id="tab in name"),
        pytest.param(
            with_its_id("log", b"\x01" + b"k" * 32, upper=True), "another text", id="capital id"
        ),
    ],
)
def test_what_is_no_public_key_is_reported(text: str, message: str) -> None:
    with pytest.raises(KeyUnusable, match=message):
        VerifierKey.parse(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param(PETER, "expected a private key", id="public key"),
        pytest.param(PETER_PRIVATE.replace("+c7", "+c8"), "got c84f20a3", id="id of another key"),
        pytest.param(PETER_PRIVATE + "\n", "another text", id="newline after it"),
        pytest.param(PETER_PRIVATE[:-4], "32 bytes, got 29", id="cut"),
    ],
)
def test_what_is_no_private_key_is_reported_without_showing_it(text: str, message: str) -> None:
    with pytest.raises(KeyUnusable, match=message) as refused:
        SigningKey.parse(text)

    assert "AYEKFALVFGyNhPJE" not in str(refused.value)


@pytest.mark.parametrize("name", NO_NAMES)
def test_a_name_with_spaces_pluses_or_control_characters_is_no_keys(name: str) -> None:
    with pytest.raises(KeyUnusable, match="expected a key name"):
        SigningKey.generate(name)
    with pytest.raises(KeyUnusable, match="expected a key name"):
        VerifierKey(name=name, public_key=bytes(32))


def test_delete_is_in_no_keys_name_of_ours_but_may_be_in_a_strangers() -> None:
    assert is_key_name("log\x7fexample")
    with pytest.raises(KeyUnusable, match="expected a key name"):
        SigningKey.generate("log\x7fexample")


@pytest.mark.parametrize("size", [0, 31, 33, 64])
def test_a_key_has_32_bytes(size: int) -> None:
    with pytest.raises(KeyUnusable, match=f"public key of 32 bytes, got {size}"):
        VerifierKey(name="log.example", public_key=bytes(size))
    with pytest.raises(KeyUnusable, match=f"seed of 32 bytes, got {size}"):
        SigningKey(name="log.example", seed=bytes(size))


def test_a_private_key_is_in_nothing_printed() -> None:
    key = SigningKey.parse(PETER_PRIVATE)

    for printed in (str(key), repr(key), f"{key}"):
        assert printed == (
            "SigningKey(name='PeterNeumann', signature_type=<SignatureType.ED25519: 1>)"
        )


def test_a_key_is_read_without_loading_arrow_or_a_database() -> None:
    program = (
        "import sys, lottery.tlog.keys\n"
        "heavy = {'pyarrow', 'numpy', 'numba', 'sqlalchemy', 'grpc', 'pydantic'}\n"
        "print(sorted(heavy & sys.modules.keys()))"
    )

    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)

    assert done.stdout == b"[]\n"


def test_two_keys_generated_are_two() -> None:
    assert SigningKey.generate("log.example") != SigningKey.generate("log.example")


@given(data=st.binary())
def test_bytes_have_one_base64(data: bytes) -> None:
    """Law: decode(encode(data)) == data, and other bits after the last byte are refused."""
    text = encode_base64(data)
    digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"

    assert decode_base64(text) == data
    if text.endswith("="):
        bare = text.rstrip("=")
        other = bare[:-1] + digits[digits.index(bare[-1]) + 1] + text[len(bare) :]
        for wrong in (other, bare, text + "=", text + "\n"):
            with pytest.raises(ValueError, match=r"."):
                decode_base64(wrong)


def test_a_made_key_file_reads_as_the_key_it_was_made_for(tmp_path: Path) -> None:
    path = tmp_path / "log.key"

    key = create_key_file(path, "log.example")

    assert key.name == "log.example"
    assert read_key_file(path) == key
    assert path.read_text() == f"{key.text()}\n"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_only_its_owner_may_read_a_key_file_whatever_the_umask(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        create_key_file(tmp_path / "log.key", "log.example")
    finally:
        os.umask(before)

    status = (tmp_path / "log.key").stat()
    assert stat.S_IMODE(status.st_mode) == 0o600
    assert status.st_nlink == 1


def test_a_key_file_that_exists_is_never_overwritten(key_file: Path) -> None:
    before = key_file.read_bytes()

    with pytest.raises(KeyUnusable, match=r"log\.key already exists"):
        create_key_file(key_file, "log.example")

    assert key_file.read_bytes() == before
    assert list(key_file.parent.iterdir()) == [key_file]


def test_a_link_that_leads_nowhere_is_not_followed_to_make_a_key_file(tmp_path: Path) -> None:
    (tmp_path / "log.key").symlink_to(tmp_path / "elsewhere")

    with pytest.raises(KeyUnusable, match="already exists"):
        create_key_file(tmp_path / "log.key", "log.example")

    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.parametrize(
    ("file", "name", "message"),
    [
        ("missing/log.key", "log.example", r"missing/log\.key cannot be written: No such file"),
        ("log.key", "log example", "expected a key name"),
    ],
)
def test_a_missing_folder_or_a_bad_name_makes_no_file(
    tmp_path: Path, file: str, name: str, message: str
) -> None:
    with pytest.raises(KeyUnusable, match=message):
        create_key_file(tmp_path / file, name)

    assert not list(tmp_path.iterdir())


def test_a_full_disk_leaves_no_file(tmp_path: Path) -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (8, limits[1]))
    try:
        with pytest.raises(KeyUnusable, match="cannot be written: File too large"):
            create_key_file(tmp_path / "log.key", "log.example")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)

    assert not list(tmp_path.iterdir())


def test_of_creators_at_once_one_makes_the_file_and_the_others_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "log.key"
    creators = 8
    meeting = threading.Barrier(creators, timeout=60)

    def create(_: int) -> SigningKey | None:
        meeting.wait()
        try:
            return create_key_file(path, "log.example")
        except KeyUnusable as refused:
            assert "already exists" in str(refused)  # noqa: PT017 -- the winner raises nothing.
            return None

    with ThreadPoolExecutor(creators) as threads:
        made = [key for key in threads.map(create, range(creators)) if key is not None]

    assert made == [read_key_file(path)]
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o602, 0o610, 0o601, 0o666, 0o644])
def test_a_key_file_open_to_others_is_refused(key_file: Path, mode: int) -> None:
    key_file.chmod(mode)

    with pytest.raises(KeyUnusable, match=rf"log\.key .* expected mode 0600, got {mode:04o}"):
        read_key_file(key_file)


@pytest.mark.parametrize("mode", [0o400, 0o600])
def test_a_key_file_of_its_owner_is_read(key_file: Path, mode: int) -> None:
    key_file.chmod(mode)

    assert read_key_file(key_file).text() == PETER_PRIVATE


def test_a_key_file_that_is_missing_or_unreadable_is_reported(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")

    for name, message in {
        "missing": "No such file",
        "loop": "Too many levels",
        ".": "Is a directory",
    }.items():
        path = tmp_path / name
        with pytest.raises(KeyUnusable, match=f"cannot be read: {message}") as refused:
            read_key_file(path)
        assert str(path) in str(refused.value)


def test_a_key_file_that_may_not_be_read_is_reported(key_file: Path) -> None:
    key_file.chmod(0)

    with without_roots_rights(), pytest.raises(KeyUnusable, match="Permission denied"):
        read_key_file(key_file)


@contextmanager
def without_roots_rights() -> Iterator[None]:
    """Read as nobody in the block, if the tests run as root, who reads everything."""
    user = os.geteuid()
    if user == 0:
        os.seteuid(65_534)
    try:
        yield
    finally:
        os.seteuid(user)


def test_every_bit_of_a_key_file_matters(key_file: Path) -> None:
    for changed in changed_by_a_bit(key_file.read_bytes()):
        key_file.write_bytes(changed)
        with pytest.raises(KeyUnusable, match=r"log\.key (does not hold|is cut)"):
            read_key_file(key_file)


@pytest.mark.parametrize(
    "content",
    [
        pytest.param("", id="nothing"),
        pytest.param(PETER_PRIVATE, id="no newline"),
        pytest.param(PETER_PRIVATE + "\n\n", id="two newlines"),
        pytest.param(PETER_PRIVATE + "\r\n", id="carriage return"),
        pytest.param("\N{ZERO WIDTH NO-BREAK SPACE}" + PETER_PRIVATE + "\n", id="byte order mark"),
        pytest.param(PETER_PRIVATE + "\n" + PETER_PRIVATE + "\n", id="two keys"),
        pytest.param(PETER + "\n", id="public key"),
        pytest.param(PETER_PRIVATE[:-8] + "\n", id="cut"),
    ],
)
def test_a_key_file_holds_one_private_key_and_a_newline_and_is_not_shown(
    key_file: Path, content: str
) -> None:
    key_file.write_bytes(content.encode())

    with pytest.raises(KeyUnusable, match=r"log\.key (does not hold|is cut)") as refused:
        read_key_file(key_file)

    assert "AYEKFALVFGyNhPJE" not in str(refused.value)
