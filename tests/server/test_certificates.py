"""Certificates that change while the server runs, over sockets."""

from __future__ import annotations

import ipaddress
import shutil
import socket
import ssl
import warnings
from collections.abc import Iterator
from concurrent import futures
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import grpc
import prometheus_client
import pytest
import structlog
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa

from lottery.v1 import lottery_service_pb2 as pb
from server.app import LotteryServer
from server.certificates import read_certificates, watched_certificates
from tests.builders import ASKS
from tests.server.calls import PATIENCE, asks_of, connected, failure_to, serving, wait_until
from tests.server.certificates import DAY, Authority, Certificate

BATCH: Final = x509.DNSName("batch.bank.example")
ADDRESS: Final = x509.IPAddress(ipaddress.IPv4Address("127.0.0.1"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """The files of a server's certificates, and who signs."""

    files: Certificate
    client_ca: Path
    authority: Authority
    other: Authority

    def put(self, new: Certificate) -> None:
        """Put another certificate, and then its key, in the place of the server's."""
        for source, target in (
            (new.certificate, self.files.certificate),
            (new.key, self.files.key),
        ):
            exchange(source, target)

    def read(self) -> grpc.ServerCertificateConfiguration:
        return read_certificates(self.files.certificate, self.files.key, self.client_ca)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    authority, other = Authority(tmp_path / "ours"), Authority(tmp_path / "other")
    files = Certificate(certificate=tmp_path / "tls.crt", key=tmp_path / "tls.key")
    made = Place(files=files, client_ca=tmp_path / "ca.crt", authority=authority, other=other)
    made.put(authority.server())
    exchange(authority.certificate, made.client_ca)
    return made


@pytest.fixture
def server(place: Place, tmp_path: Path) -> Iterator[LotteryServer]:
    with serving(
        tmp_path / "ledger",
        **place.files.of_server,
        tls_client_ca=place.client_ca,
        max_connection_age_seconds=0.5,
    ) as server:
        yield server


def exchange(source: Path, target: Path) -> None:
    """Put a copy of a file in the place of another, as a deployment does."""
    new = target.with_suffix(".new")
    shutil.copy(source, new)
    new.replace(target)


def derive(port: int, credentials: grpc.ChannelCredentials) -> grpc.StatusCode:
    """Derive a seed over a connection of its own, and return how that ended."""
    options = [("grpc.use_local_subchannel_pool", 1)]
    request = pb.DeriveSeedRequest(exchange_asks=asks_of(ASKS)).SerializeToString()
    path = "/lottery.v1.LotteryService/DeriveSeed"
    with grpc.secure_channel(f"127.0.0.1:{port}", credentials, options) as channel:
        try:
            call: Any = channel.unary_unary(path)
            call(request, timeout=PATIENCE)
        except grpc.RpcError as error:
            code: grpc.StatusCode = error.code()
            return code
    return grpc.StatusCode.OK


def stale() -> float | None:
    labels = {"what": "certificates"}
    return prometheus_client.REGISTRY.get_sample_value("lottery_stale_files", labels)


def test_the_next_handshake_has_the_new_certificate(place: Place, server: LotteryServer) -> None:
    client = place.authority.sign("client", BATCH)
    trusting_other = place.other.of_client(client)
    assert derive(server.port, place.authority.of_client(client)) is grpc.StatusCode.OK
    assert derive(server.port, trusting_other) is grpc.StatusCode.UNAVAILABLE

    place.put(place.other.server())

    assert derive(server.port, trusting_other) is grpc.StatusCode.OK
    assert derive(server.port, place.authority.of_client(client)) is grpc.StatusCode.UNAVAILABLE


def test_an_authority_that_is_exchanged_lets_its_own_in_and_the_former_ones_out(
    place: Place, server: LotteryServer
) -> None:
    ours = place.authority.of_client(place.authority.sign("client", BATCH))
    theirs = place.authority.of_client(place.other.sign("client", BATCH))
    assert derive(server.port, ours) is grpc.StatusCode.OK
    assert derive(server.port, theirs) is grpc.StatusCode.UNAVAILABLE

    exchange(place.other.certificate, place.client_ca)

    assert derive(server.port, ours) is grpc.StatusCode.UNAVAILABLE
    assert derive(server.port, theirs) is grpc.StatusCode.OK


def test_a_connection_whose_authority_is_gone_ends_by_its_age(
    place: Place, server: LotteryServer
) -> None:
    shown = place.authority.of_client(place.authority.sign("client", BATCH))
    request = pb.ListRunsRequest()
    with connected(server.port, shown) as stubs:
        assert failure_to(stubs, request).code is grpc.StatusCode.PERMISSION_DENIED
        exchange(place.other.certificate, place.client_ca)

        wait_until(lambda: failure_to(stubs, request).code is grpc.StatusCode.UNAVAILABLE)


@pytest.mark.parametrize(
    "wrong", ["no certificate", "another's key", "expired", "no authority", "away"]
)
def test_a_broken_new_set_leaves_the_former_one_in_use_and_alarms(
    place: Place, server: LotteryServer, wrong: str
) -> None:
    shown = place.authority.of_client(place.authority.sign("client", BATCH))
    broken = {
        "no certificate": place.files.certificate,
        "another's key": place.files.key,
        "expired": place.files.certificate,
        "no authority": place.client_ca,
        "away": place.files.key,
    }[wrong]
    kept = broken.read_bytes()
    if wrong == "another's key":
        exchange(place.authority.sign("another").key, broken)
    elif wrong == "expired":
        place.put(place.authority.sign("expired", ADDRESS, valid=(-2 * DAY, -DAY)))
    else:
        broken.unlink()
    if wrong.startswith("no "):
        broken.write_text("not PEM", "utf-8")

    assert derive(server.port, shown) is grpc.StatusCode.OK
    assert stale() == 1

    if wrong == "expired":
        place.put(place.authority.server("next"))
    else:
        broken.write_bytes(kept)
    assert derive(server.port, shown) is grpc.StatusCode.OK
    assert stale() == 0


def test_a_broken_new_set_alarms_while_nobody_calls(place: Place, server: LotteryServer) -> None:
    place.files.key.unlink()
    server.keeper.look()

    assert stale() == 1


def test_no_handshake_fails_while_certificates_change(place: Place, server: LotteryServer) -> None:
    """The certificate and its key change one after the other, and handshakes come in between."""
    shown = place.authority.of_client(place.authority.sign("client", BATCH))
    with futures.ThreadPoolExecutor(4) as threads:
        answers = []
        for number in range(10):
            answers += [threads.submit(derive, server.port, shown) for _ in range(10)]
            place.put(place.authority.server(f"server-{number}"))
        codes = {answer.result() for answer in answers}

    assert codes == {grpc.StatusCode.OK}
    assert derive(server.port, shown) is grpc.StatusCode.OK
    assert stale() == 0


def test_the_metric_has_when_the_certificate_expires(place: Place) -> None:
    place.read()
    own = x509.load_pem_x509_certificate(place.files.certificate.read_bytes())

    expires = prometheus_client.REGISTRY.get_sample_value(
        "lottery_certificate_expires_timestamp_seconds"
    )
    assert expires == own.not_valid_after_utc.timestamp()


@pytest.mark.parametrize("kind", ["password", "short RSA", "Ed25519"])
def test_a_key_that_grpc_cannot_serve_is_refused(place: Place, kind: str) -> None:
    keys: dict[str, rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey] = {
        "password": rsa.generate_private_key(65_537, 2_048),
        "short RSA": rsa.generate_private_key(65_537, 1_024),  # noqa: S505 - it is refused.
        "Ed25519": ed25519.Ed25519PrivateKey.generate(),
    }
    key = keys[kind]
    lock: serialization.KeySerializationEncryption = serialization.NoEncryption()
    if kind == "password":
        lock = serialization.BestAvailableEncryption(b"open")
    place.files.key.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, lock)
    )

    with pytest.raises(ValueError, match=r"expected a (PEM key without|key of RSA with 2048)"):
        place.read()


def test_what_is_wrong_is_logged_with_the_file(place: Place) -> None:
    files = place.files
    watched = watched_certificates(files.certificate, files.key, place.client_ca)
    exchange(place.authority.sign("another").key, files.key)
    with structlog.testing.capture_logs() as lines:
        watched._log = structlog.get_logger()
        watched.current()

    (line,) = lines
    assert line["log_level"] == "error"
    assert line["problem"].startswith(f"expected the key of {files.certificate} in {files.key}")


@pytest.mark.parametrize(
    ("version", "spoken"),
    [(ssl.TLSVersion.TLSv1_1, None), (ssl.TLSVersion.TLSv1_2, "TLSv1.2"), (None, "TLSv1.3")],
    ids=["1.1", "1.2", "the best"],
)
def test_tls_is_spoken_from_version_1_2_on(
    place: Place, server: LotteryServer, version: ssl.TLSVersion | None, spoken: str | None
) -> None:
    client = place.authority.sign("client", BATCH)
    context = ssl.create_default_context(cafile=place.authority.certificate)
    context.load_cert_chain(client.certificate, client.key)
    context.set_alpn_protocols(["h2"])
    if version is not None:
        # Otherwise OpenSSL itself refuses old versions, whatever the server does.
        context.set_ciphers("ALL:@SECLEVEL=0")
        with warnings.catch_warnings(action="ignore"):
            context.minimum_version = context.maximum_version = version
    heard, problem = None, ""
    with socket.create_connection(("127.0.0.1", server.port), PATIENCE) as raw:
        try:
            with context.wrap_socket(raw, server_hostname="127.0.0.1") as wrapped:
                heard = wrapped.version()
        except (ssl.SSLError, ConnectionResetError) as error:
            problem = str(error)

    assert heard == spoken
    assert "NO_PROTOCOLS_AVAILABLE" not in problem  # OpenSSL's, before it asked the server.
