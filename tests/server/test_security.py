"""TLS and mutual TLS."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest
from cryptography import x509

from lottery.client import LotteryClient, TlsFiles
from lottery.errors import ServerAway
from lottery.v1 import lottery_service_pb2 as pb
from server import security
from server.app import LotteryServer, create_server
from tests.builders import (
    ASKS,
    exchange_asks,
    made,
)
from tests.server.calls import (
    connected,
    failure_to,
    serving,
    settings_of,
)
from tests.server.certificates import Authority, Certificate

CLIENT = x509.UniformResourceIdentifier("spiffe://bank.example/backend")


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificates:
    """Our authority with what it has signed, and a stranger's."""

    authority: Authority
    server: Certificate
    backend: Certificate
    stranger: Certificate

    def of_client(self, client: Certificate | None = None) -> grpc.ChannelCredentials:
        """Return a client's credentials."""
        return self.authority.of_client(client)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    directory = tmp_path_factory.mktemp("certificates")
    authority = Authority(directory / "ours")
    return Certificates(
        authority=authority,
        server=authority.server(),
        backend=authority.sign("backend", CLIENT),
        stranger=Authority(directory / "other").server("stranger"),
    )


@pytest.fixture
def tls(certificates: Certificates, tmp_path: Path) -> Iterator[LotteryServer]:
    with serving(tmp_path / "ledger", **certificates.server.of_server) as server:
        yield server


@pytest.fixture
def mutual_tls(certificates: Certificates, tmp_path: Path) -> Iterator[LotteryServer]:
    authorities = certificates.authority.certificate
    with serving(
        tmp_path / "ledger", **certificates.server.of_server, tls_client_ca=authorities
    ) as server:
        yield server


def test_over_tls_nobody_vouches_for_a_caller_without_a_certificate(
    certificates: Certificates, tls: LotteryServer
) -> None:
    with connected(tls.port, certificates.of_client()) as stubs:
        refused = failure_to(stubs, pb.ListRunsRequest())

    assert refused.status == (grpc.StatusCode.UNAUTHENTICATED, "UNAUTHENTICATED")


@pytest.mark.parametrize("shown", ["no certificate", "a stranger's certificate"])
def test_over_mutual_tls_nobody_gets_in_without_our_authoritys_certificate(
    certificates: Certificates, mutual_tls: LotteryServer, shown: str
) -> None:
    client = certificates.stranger if shown == "a stranger's certificate" else None
    with connected(mutual_tls.port, certificates.of_client(client)) as stubs:
        refused = failure_to(stubs, pb.ListRunsRequest())

    assert refused.code is grpc.StatusCode.UNAVAILABLE
    with connected(mutual_tls.port, certificates.of_client(certificates.backend)) as stubs:
        assert failure_to(stubs, pb.ListRunsRequest()).reason == "ROLE_MISSING"


def test_a_caller_without_tls_does_not_get_in(tls: LotteryServer) -> None:
    with connected(tls.port) as stubs:
        refused = failure_to(stubs, pb.ListRunsRequest())

    assert refused.code is grpc.StatusCode.UNAVAILABLE


def test_a_server_of_another_authority_is_not_trusted(
    certificates: Certificates, tmp_path: Path
) -> None:
    with (
        serving(tmp_path / "ledger", **certificates.stranger.of_server) as server,
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
        security.certificates(settings_of(tmp_path, **given))


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
