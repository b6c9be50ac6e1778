"""TLS and mutual TLS, with certificates that the openssl program makes for the tests."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest

from lottery.client import LotteryClient, TlsFiles
from lottery.errors import ServerAway
from lottery.ledger.entry import read_run
from lottery.v1 import audit_service_pb2 as audit_pb
from lottery.v1 import lottery_service_pb2 as pb
from server import security
from server.app import LotteryServer, create_server
from tests.builders import (
    ASKS,
    PUBLISHED,
    exchange_asks,
    made,
)
from tests.server.calls import (
    connected,
    failure_to,
    read,
    run_day,
    send,
    serving,
    settings_of,
)

OPENSSL = shutil.which("openssl")
pytestmark = pytest.mark.skipif(OPENSSL is None, reason="there is no openssl program")


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """A certificate and its key, PEM files."""

    certificate: Path
    key: Path

    @property
    def pair(self) -> tuple[bytes, bytes]:
        """Key and certificate, as gRPC takes them."""
        return self.key.read_bytes(), self.certificate.read_bytes()


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificates:
    """Our authority with what it has signed, and a stranger's."""

    authority: Certificate
    server: Certificate
    backend: Certificate
    nameless_backend: Certificate
    stranger: Certificate

    def of_client(self, client: Certificate | None = None) -> grpc.ChannelCredentials:
        """Return a client's credentials."""
        key, chain = client.pair if client is not None else (None, None)
        return grpc.ssl_channel_credentials(self.authority.certificate.read_bytes(), key, chain)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    directory = tmp_path_factory.mktemp("certificates")
    authority = make_authority(directory / "authority")
    address = "IP:127.0.0.1"
    return Certificates(
        authority=authority,
        server=sign(authority, directory / "server", "/CN=lottery", address),
        backend=sign(
            authority, directory / "backend", "/O=Firm/CN=backend-7", "DNS:backend-7.example.org"
        ),
        nameless_backend=sign(authority, directory / "san", "/O=Firm", "DNS:backend-8.example.org"),
        stranger=sign(
            make_authority(directory / "other"), directory / "stranger", "/CN=backend-7", address
        ),
    )


@pytest.fixture
def tls(certificates: Certificates, tmp_path: Path) -> Iterator[LotteryServer]:
    with serving(tmp_path / "ledger", **tls_settings(certificates.server)) as server:
        yield server


@pytest.fixture
def mutual_tls(certificates: Certificates, tmp_path: Path) -> Iterator[LotteryServer]:
    authorities = certificates.authority.certificate
    with serving(
        tmp_path / "ledger", **tls_settings(certificates.server), tls_client_ca=authorities
    ) as server:
        yield server


def tls_settings(certificate: Certificate) -> dict[str, Any]:
    return {"tls_certificate": certificate.certificate, "tls_key": certificate.key}


def test_over_tls_nobody_vouches_for_a_caller_without_a_certificate(
    certificates: Certificates, tls: LotteryServer
) -> None:
    with connected(tls.port, certificates.of_client()) as stubs:
        record = read_run(run_day(stubs, PUBLISHED).run.record)

    assert (record.requested_by.kind, record.requested_by.name) == ("peer", "unauthenticated")


@pytest.mark.parametrize(
    ("client", "name"), [("backend", "backend-7"), ("nameless_backend", "backend-8.example.org")]
)
def test_over_mutual_tls_the_record_and_the_trail_have_the_certificates_name(
    certificates: Certificates, mutual_tls: LotteryServer, client: str, name: str
) -> None:
    """A certificate without a common name is known by its alternative one."""
    shown = certificates.of_client(getattr(certificates, client))
    with connected(mutual_tls.port, shown) as stubs:
        record = read_run(run_day(stubs, PUBLISHED).run.record)
        for request in (
            audit_pb.ReplayRunRequest(run="latest"),
            audit_pb.ReplayRunsRequest(),
            audit_pb.ExportRunRequest(run="latest"),
        ):
            read(send(stubs, request))
    _, *entries = mutual_tls.ledger.trail()

    assert [entry.type for entry in entries] == ["replay", "replay", "export"]
    for identity in [record.requested_by, *(entry.requested_by for entry in entries)]:
        assert (identity.kind, identity.name) == ("certificate", name)
        assert identity.host.startswith("ipv4:127.0.0.1:")


@pytest.mark.parametrize("shown", ["no certificate", "a stranger's certificate"])
def test_over_mutual_tls_nobody_gets_in_without_our_authoritys_certificate(
    certificates: Certificates, mutual_tls: LotteryServer, shown: str
) -> None:
    client = certificates.stranger if shown == "a stranger's certificate" else None
    with connected(mutual_tls.port, certificates.of_client(client)) as stubs:
        refused = failure_to(stubs, pb.ListRunsRequest())

    assert refused.code is grpc.StatusCode.UNAVAILABLE
    with connected(mutual_tls.port, certificates.of_client(certificates.backend)) as stubs:
        assert list(stubs.lottery.ListRuns(pb.ListRunsRequest()).runs) == []


def test_a_caller_without_tls_does_not_get_in(tls: LotteryServer) -> None:
    with connected(tls.port) as stubs:
        refused = failure_to(stubs, pb.ListRunsRequest())

    assert refused.code is grpc.StatusCode.UNAVAILABLE


def test_a_server_of_another_authority_is_not_trusted(
    certificates: Certificates, tmp_path: Path
) -> None:
    with (
        serving(tmp_path / "ledger", **tls_settings(certificates.stranger)) as server,
        connected(server.port, certificates.of_client()) as stubs,
    ):
        refused = failure_to(stubs, pb.ListRunsRequest())

    assert refused.code is grpc.StatusCode.UNAVAILABLE


def test_the_client_speaks_mutual_tls(
    certificates: Certificates, mutual_tls: LotteryServer
) -> None:
    files = TlsFiles(
        authorities=certificates.authority.certificate,
        certificate=certificates.backend.certificate,
        key=certificates.backend.key,
    )
    with LotteryClient(f"127.0.0.1:{mutual_tls.port}", tls=files) as client:
        assert client.derive_seed(exchange_asks(ASKS)).seed.digits == "4313"


def test_to_a_client_without_its_certificate_the_server_is_away(
    certificates: Certificates, mutual_tls: LotteryServer
) -> None:
    files = TlsFiles(authorities=certificates.authority.certificate)
    with (
        LotteryClient(f"127.0.0.1:{mutual_tls.port}", tls=files) as client,
        pytest.raises(ServerAway),
    ):
        client.derive_seed(exchange_asks(ASKS))


@pytest.mark.parametrize(
    "names", [["tls_certificate"], ["tls_key"], ["tls_client_ca"], ["tls_key", "tls_client_ca"]]
)
def test_a_certificate_and_its_key_go_together(
    certificates: Certificates, tmp_path: Path, names: list[str]
) -> None:
    given: dict[str, Any] = dict.fromkeys(names, certificates.server.certificate)

    with pytest.raises(ValueError, match="LOTTERY_TLS_CERTIFICATE and LOTTERY_TLS_KEY"):
        security.credentials(settings_of(tmp_path, **given))


def test_a_certificate_that_is_not_there_is_a_refusal_to_start(
    certificates: Certificates, tmp_path: Path
) -> None:
    settings = settings_of(
        tmp_path / "ledger",
        tls_certificate=tmp_path / "nowhere.pem",
        tls_key=certificates.server.key,
    )

    with pytest.raises(OSError, match=r"nowhere\.pem"):
        create_server(settings)


@pytest.mark.parametrize("wrong", ["no certificate", "the key of another"])
def test_a_certificate_that_does_not_fit_is_a_refusal_to_start(
    certificates: Certificates, tmp_path: Path, wrong: str
) -> None:
    noise = tmp_path / "noise.pem"
    noise.write_text("no certificate")
    given = {
        "no certificate": {"tls_certificate": noise, "tls_key": certificates.server.key},
        "the key of another": {
            "tls_certificate": certificates.server.certificate,
            "tls_key": certificates.backend.key,
        },
    }

    made(tmp_path / "ledger")
    with pytest.raises((OSError, ValueError)):
        create_server(settings_of(tmp_path / "ledger", **given[wrong]))


def make_authority(path: Path) -> Certificate:
    """Make a certificate authority."""
    made = Certificate(certificate=path.with_suffix(".pem"), key=path.with_suffix(".key"))
    openssl("req", "-x509", *new_key(made), "-subj", "/CN=authority", "-days", "2")
    return made


def sign(authority: Certificate, path: Path, subject: str, alternative: str) -> Certificate:
    """Make a certificate that the authority has signed."""
    made = Certificate(certificate=path.with_suffix(".pem"), key=path.with_suffix(".key"))
    openssl(
        *("req", "-x509", *new_key(made), "-subj", subject, "-days", "2"),
        *("-CA", str(authority.certificate), "-CAkey", str(authority.key)),
        *("-addext", f"subjectAltName={alternative}"),
        *("-addext", "basicConstraints=critical,CA:FALSE"),
    )
    return made


def new_key(made: Certificate) -> list[str]:
    """Return the options for a fresh key on a curve."""
    files = ["-keyout", str(made.key), "-out", str(made.certificate)]
    return ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", *files]


def openssl(*arguments: str) -> None:
    """Runs the program."""
    assert OPENSSL is not None
    finished = subprocess.run(
        [OPENSSL, *arguments], capture_output=True, text=True, check=False, timeout=60
    )
    assert finished.returncode == 0, finished.stderr
