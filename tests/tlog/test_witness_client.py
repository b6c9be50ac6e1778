"""A log's checkpoint gets the cosignatures of those who answer, and of nobody else.

The witnesses are real ones over HTTP on loopback, or say what a test wants them to.
"""

from __future__ import annotations

import datetime as dt
import ipaddress
import socket
import ssl
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from lottery.errors import CheckpointInvalid, WitnessAhead
from lottery.tlog.checkpoint import open_checkpoint
from lottery.tlog.cosignature import add_cosignature, cosign
from lottery.tlog.keys import SignatureType
from lottery.tlog.note import NoteSignature
from lottery.tlog.policy import Policy
from lottery.tlog.witness import SIZE_TYPE, Request, Witness
from lottery.tlog.witness_client import Answer, Collected, Outcome, collect_cosignatures
from tests.tlog.signed import LOG, STRANGER, TIME
from tests.tlog.witnessed import SmallLog, key_of, serving

A_LOG = SmallLog()
OTHER_HISTORY = SmallLog("another")
SECONDS = 5.0
TEXT = "text/plain"


@dataclass
class Witnesses:
    """Witnesses of the log, by their names in a policy, and where they are."""

    directory: Path
    stack: ExitStack
    urls: dict[str, str] = field(default_factory=dict)

    def start(self, *names: str) -> None:
        for name in names:
            witness = Witness(key_of(name), [LOG.verifier], self.directory / name)
            self.urls[name] = self.stack.enter_context(serving(witness))

    def policy(self, quorum: str) -> Policy:
        lines = [f"log {LOG.verifier}"]
        lines += [f"witness {name} {key_of(name).verifier} {self.urls[name]}" for name in self.urls]
        return Policy.parse("\n".join([*lines, quorum, ""]).encode())

    def collect(
        self, size: int, *, log: SmallLog = A_LOG, old_size: int = 0, quorum: str = "quorum none"
    ) -> Collected:
        return collect_cosignatures(
            log.note(size), self.policy(quorum), log.proof, old_size=old_size, seconds=SECONDS
        )


@pytest.fixture
def witnesses(tmp_path: Path) -> Iterator[Witnesses]:
    with ExitStack() as stack:
        yield Witnesses(directory=tmp_path, stack=stack)


Said = tuple[int, str, bytes]


@contextmanager
def saying(*said: Said) -> Iterator[tuple[str, list[Request]]]:
    """Serve what a test wants to be said, the last of it for ever; collect the requests."""
    asked: list[Request] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            asked.append(Request.parse(body))
            status, content_type, body = said[min(len(asked), len(said)) - 1]
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=[0.01])
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", asked
        finally:
            server.shutdown()
            thread.join()


def size_said(size: int) -> Said:
    return 409, SIZE_TYPE, b"%d\n" % size


def policy_of(url: str, name: str = "W") -> Policy:
    text = f"log {LOG.verifier}\nwitness {name} {key_of(name).verifier} {url}\nquorum {name}\n"
    return Policy.parse(text.encode())


def answer_of(
    *said: Said, size: int = 5, old_size: int = 0, known_size: int | None = None
) -> tuple[Answer, list[Request]]:
    """Ask a witness that says this; return its answer and what it was asked."""
    with saying(*said) as (url, asked):
        collected = collect_cosignatures(
            A_LOG.note(size),
            policy_of(url),
            A_LOG.proof,
            known_size=None if known_size is None else lambda: known_size,
            old_size=old_size,
            seconds=SECONDS,
        )
    (answer,) = collected.answers
    if answer.outcome is not Outcome.COSIGNED:
        assert collected.note == A_LOG.note(size)
        assert not collected.judgement.quorum_met
    return answer, asked


def outcomes(collected: Collected) -> dict[str, str]:
    return {answer.witness.name: str(answer.outcome) for answer in collected.answers}


def line_by(name: str, size: int = 5, timestamp: int = TIME) -> bytes:
    return f"{cosign(A_LOG.note(size), key_of(name), timestamp)}\n".encode()


def test_a_checkpoint_gets_the_cosignatures_of_all_witnesses(witnesses: Witnesses) -> None:
    witnesses.start("A", "B", "C")

    collected = witnesses.collect(5, quorum="group G all A B C\nquorum G")

    assert outcomes(collected) == {"A": "cosigned", "B": "cosigned", "C": "cosigned"}
    assert collected.judgement.quorum_met
    keys = [key_of(name).verifier for name in "ABC"]
    opened = open_checkpoint(collected.note, [LOG.verifier, *keys])
    assert opened.signed_by == (LOG.verifier, *keys)
    assert [answer.size for answer in collected.answers] == [5, 5, 5]


def test_a_witness_that_was_away_gets_the_proof_from_the_size_it_names(
    witnesses: Witnesses,
) -> None:
    witnesses.start("A")
    witnesses.collect(3)
    witnesses.start("B")

    assert outcomes(witnesses.collect(5, old_size=3)) == {"A": "cosigned", "B": "cosigned"}
    witnesses.start("C")
    assert outcomes(witnesses.collect(8, old_size=3)) == dict.fromkeys("ABC", "cosigned")
    assert outcomes(witnesses.collect(8, old_size=8)) == dict.fromkeys("ABC", "cosigned")


def test_proofs_are_asked_for_in_the_callers_thread_and_from_size_1_on(
    witnesses: Witnesses,
) -> None:
    asked = []

    def consistency(first: int, second: int) -> Sequence[bytes]:
        asked.append((first, second, threading.current_thread()))
        return A_LOG.proof(first, second)

    witnesses.start("A", "B")
    policy = witnesses.policy("quorum A")
    for size in (3, 5, 5):
        collect_cosignatures(A_LOG.note(size), policy, consistency, seconds=SECONDS)

    assert asked == [(3, 5, threading.main_thread())] * 2


def test_a_witness_that_is_down_is_reported_and_no_error(witnesses: Witnesses) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    witnesses.start("A")
    witnesses.urls["B"] = f"http://127.0.0.1:{port}"

    collected = witnesses.collect(5, quorum="group G all A B\nquorum G")

    assert outcomes(collected) == {"A": "cosigned", "B": "away"}
    assert not collected.judgement.quorum_met
    assert [one.name for one in collected.judgement.witnesses] == ["A"]
    assert collected.answers[1].detail.startswith("ConnectionRefusedError: ")


def test_a_witness_that_says_nothing_is_not_waited_for_without_end() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        collected = collect_cosignatures(A_LOG.note(5), policy_of(url), A_LOG.proof, seconds=0.2)

    (answer,) = collected.answers
    assert answer.outcome is Outcome.AWAY
    # Whichever ends first, the connection's waiting or that for all.
    assert answer.detail in {"no answer within 0.2 s", "TimeoutError: timed out"}


def test_a_witness_that_drips_is_not_waited_for_without_end() -> None:
    stopped = threading.Event()

    def drip(server: socket.socket) -> None:
        connection = server.accept()[0]
        with connection:
            connection.sendall(b"HTTP/1.1 200 OK\r\n")
            while not stopped.wait(0.05):
                connection.sendall(b"X-Header: x\r\n")

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=drip, args=[server])
        thread.start()
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        collected = collect_cosignatures(A_LOG.note(5), policy_of(url), A_LOG.proof, seconds=0.3)
        stopped.set()
        thread.join()

    assert collected.answers[0].detail == "no answer within 0.3 s"


def test_a_witness_whose_cosignature_is_there_or_that_has_no_url_is_not_asked() -> None:
    text = f"log {LOG.verifier}\n" + "".join(
        f"witness {name} {key_of(name).verifier}{url}\n"
        for name, url in [("A", " http://127.0.0.1:1"), ("B", "")]
    )
    note = add_cosignature(A_LOG.note(5), key_of("A"), TIME)

    policy = Policy.parse(f"{text}quorum A\n".encode())
    collected = collect_cosignatures(note, policy, A_LOG.proof)

    assert outcomes(collected) == {"A": "cosigned", "B": "away"}
    assert collected.answers[1].detail == "it has no URL"
    assert collected.judgement.quorum_met
    assert collected.note == note


@pytest.mark.parametrize(
    "url",
    [
        "witness.example",
        "ftp://witness.example",
        "file:///etc/passwd",
        "https://",
        "https://witness.example/?a=b",
        "https://witness.example/#a",
        "https://witness.example:port/",
        "https://[::1/",
        "http://127.0.0.1:1/\N{SNOWMAN}",
        "http://127.0.0.1:1/\x80".replace("\x80", "\N{NO-BREAK SPACE}"),
    ],
)
def test_a_url_that_is_none_is_reported(url: str) -> None:
    collected = collect_cosignatures(A_LOG.note(5), policy_of(url), A_LOG.proof)

    (answer,) = collected.answers
    assert answer.outcome is Outcome.AWAY
    assert "Error: " in answer.detail
    assert answer.detail.isprintable()


def test_a_submission_prefix_may_have_a_path() -> None:
    paths = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            paths.append(self.path)
            self.send_error(404)

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=[0.01])
        thread.start()
        for path in ("", "/", "/a/b", "/a/b/"):
            url = f"http://127.0.0.1:{server.server_port}{path}"
            collect_cosignatures(A_LOG.note(5), policy_of(url), A_LOG.proof, seconds=SECONDS)
        server.shutdown()
        thread.join()

    assert paths == ["/add-checkpoint", "/add-checkpoint"] + ["/a/b/add-checkpoint"] * 2


# What a witness has cosigned that the log does not know


def test_a_log_whose_database_is_an_older_copy_learns_it(witnesses: Witnesses) -> None:
    witnesses.start("A", "B")
    witnesses.collect(8)

    with pytest.raises(WitnessAhead, match="has cosigned size 8, the log knows 5") as ahead:
        witnesses.collect(5)

    assert (ahead.value.witness, ahead.value.witness_size, ahead.value.log_size) == ("A", 8, 5)
    assert ahead.value.details() == {"witness": "A", "witness_size": "8", "log_size": "5"}
    assert "must sign nothing more" in str(ahead.value)


@pytest.mark.parametrize("size", [5, 8])
@pytest.mark.parametrize("old_size", [0, 5])
def test_a_second_history_of_a_log_is_found(witnesses: Witnesses, size: int, old_size: int) -> None:
    witnesses.start("A")
    witnesses.collect(5)

    with pytest.raises(WitnessAhead, match="has cosigned another root for size 5") as ahead:
        witnesses.collect(size, log=OTHER_HISTORY, old_size=old_size)

    assert (ahead.value.witness_size, ahead.value.log_size) == (5, size)


def test_one_witness_that_is_ahead_is_enough_among_others(witnesses: Witnesses) -> None:
    witnesses.start("A", "B")
    later = {"B": witnesses.urls.pop("B")}
    witnesses.collect(3)
    witnesses.urls = later
    witnesses.collect(8)
    witnesses.start("A")

    with pytest.raises(WitnessAhead, match="witness B of 'log"):
        witnesses.collect(5)


def test_a_later_checkpoint_that_the_log_knows_by_now_is_none_of_that() -> None:
    answer, asked = answer_of(size_said(7), size=5, known_size=7)

    assert (answer.outcome, answer.size) == (Outcome.OVERTAKEN, 7)
    assert len(asked) == 1
    with pytest.raises(WitnessAhead, match="has cosigned size 8, the log knows 7"):
        answer_of(size_said(8), size=5, known_size=7)


# What is no cosignature


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"\n", id="an empty line"),
        pytest.param(line_by("W")[:-1], id="no newline"),
        pytest.param(line_by("W") + b"x", id="more than lines"),
        pytest.param(line_by("W") + b"\n", id="an empty line more"),
        pytest.param(line_by("X"), id="another key's"),
        pytest.param(line_by("W", size=6), id="of another checkpoint"),
        pytest.param(A_LOG.note(5) + line_by("W"), id="a whole note"),
        pytest.param(b"\xff" + line_by("W"), id="no UTF-8"),
    ],
)
def test_a_body_without_its_cosignature_is_refused(body: bytes) -> None:
    answer, _ = answer_of((200, TEXT, body))

    assert answer.outcome is Outcome.REFUSED
    assert answer.detail == "its answer has no cosignature of its key"


def test_a_cosignature_without_a_time_is_refused_though_it_verifies() -> None:
    bare = replace(key_of("W"), signature_type=SignatureType.ED25519)
    text = A_LOG.note(5).partition(b"\n\n")[0] + b"\n"
    line = NoteSignature(
        name=bare.name,
        key_id=key_of("W").verifier.key_id,
        signature=bytes(8) + bare.sign(b"cosignature/v1\ntime 0\n" + text),
    )
    assert key_of("W").verifier.has_signed(text, line.signature)

    answer, _ = answer_of((200, TEXT, f"{line}\n".encode()))

    assert answer.outcome is Outcome.REFUSED


def test_other_keys_lines_are_ignored_and_not_taken_over() -> None:
    with saying((200, TEXT, line_by("X") + line_by("W"))) as (url, _):
        collected = collect_cosignatures(A_LOG.note(5), policy_of(url), A_LOG.proof)

    assert collected.note == A_LOG.note(5) + line_by("W")


@pytest.mark.parametrize(
    ("said", "detail"),
    [
        ((400, TEXT, b"no\n"), r"status 400: 'no\n'"),
        ((403, TEXT, b"\x1b[31mred"), r"status 403: '\x1b[31mred'"),
        ((404, TEXT, b"unknown"), "status 404: 'unknown'"),
        ((422, TEXT, b"not from 0"), "status 422: 'not from 0'"),
        ((409, TEXT, b"3\n"), r"status 409: '3\n'"),
        ((409, SIZE_TYPE, b"three\n"), r"status 409: 'three\n'"),
        ((409, SIZE_TYPE, b"03\n"), r"status 409: '03\n'"),
        ((409, SIZE_TYPE, b"9" * 30), f"status 409: '{'9' * 30}'"),
        ((301, TEXT, b""), "status 301: ''"),
        ((503, TEXT, b"x" * 500), f"status 503: '{'x' * 115}'..."),
    ],
)
def test_any_other_answer_is_reported(said: Said, detail: str) -> None:
    answer, asked = answer_of(said)

    assert (answer.outcome, answer.detail) == (Outcome.REFUSED, detail)
    assert len(asked) == 1


def test_a_media_type_may_have_parameters() -> None:
    first = (409, "Text/X.tlog.size; charset=utf-8", b"3\n")

    answer, asked = answer_of(first, (200, TEXT, line_by("W")))

    assert answer.outcome is Outcome.COSIGNED
    assert [request.old_size for request in asked] == [0, 3]
    assert asked[1].proof == A_LOG.proof(3, 5)


def test_a_witness_that_names_the_size_it_was_asked_from_is_not_asked_again() -> None:
    answer, asked = answer_of(size_said(3), old_size=3)

    assert answer.detail == "it named size 3 after it was asked from 3"
    assert len(asked) == 1


def test_a_witness_that_always_names_another_size_is_asked_three_times() -> None:
    answer, asked = answer_of(size_said(1), size_said(2), size_said(3), size_said(4))

    assert (answer.outcome, answer.size) == (Outcome.REFUSED, 3)
    assert [request.old_size for request in asked] == [0, 1, 2]


def test_a_witness_that_is_not_http_is_reported() -> None:
    def chat(server: socket.socket) -> None:
        connection = server.accept()[0]
        with connection:
            connection.sendall(b"220 mail.example ESMTP\r\n")
            connection.recv(1 << 16)

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=chat, args=[server])
        thread.start()
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        collected = collect_cosignatures(
            A_LOG.note(5), policy_of(url), A_LOG.proof, seconds=SECONDS
        )
        thread.join()

    assert collected.answers[0].outcome is Outcome.AWAY


def test_a_certificate_that_nobody_vouches_for_is_refused(tmp_path: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate_in(tmp_path))

    def shake(server: socket.socket) -> None:
        with pytest.raises(OSError, match=r"."):
            context.wrap_socket(server.accept()[0], server_side=True)

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=shake, args=[server])
        thread.start()
        url = f"https://127.0.0.1:{server.getsockname()[1]}"
        collected = collect_cosignatures(
            A_LOG.note(5), policy_of(url), A_LOG.proof, seconds=SECONDS
        )
        thread.join()

    assert collected.answers[0].outcome is Outcome.AWAY
    assert "CERTIFICATE_VERIFY_FAILED" in collected.answers[0].detail


def certificate_in(directory: Path) -> Path:
    """Make a self-signed certificate and its key, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "witness.example")])
    now = dt.datetime.now(dt.UTC)
    address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([address]), critical=False)
        .sign(key, hashes.SHA256())
    )
    path = directory / "server.pem"
    path.write_bytes(
        certificate.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return path


def test_nobody_is_asked_about_what_the_log_has_not_signed() -> None:
    policy = policy_of("http://127.0.0.1:1")

    with pytest.raises(CheckpointInvalid, match="expected a signature of"):
        collect_cosignatures(SmallLog(key=STRANGER).note(5), policy, A_LOG.proof)
    with pytest.raises(ValueError, match="expected an old size of 0 to 5, got 6"):
        collect_cosignatures(A_LOG.note(5), policy, A_LOG.proof, old_size=6)


def test_the_logs_key_may_be_known_otherwise(witnesses: Witnesses) -> None:
    witnesses.start("A")
    policy = replace(witnesses.policy("quorum A"), logs=())

    collected = collect_cosignatures(
        A_LOG.note(5), policy, A_LOG.proof, log_keys=[LOG.verifier], seconds=SECONDS
    )

    assert collected.judgement.quorum_met
