"""The server's certificates, which change while it runs.

gRPC asks before each handshake whether there is another set; a connection that exists goes on until
it has reached `LOTTERY_MAX_CONNECTION_AGE_SECONDS`. gRPC's core speaks TLS 1.2 and 1.3.

Invariants:
- A set is served only if the key is that of the certificate, the certificate is valid now, and the
  authorities can be read; any other new set leaves the former one in use, and alarms.
"""

from __future__ import annotations

import datetime as dt
import ssl
from pathlib import Path
from typing import Any, Final

import grpc
import prometheus_client
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from lottery.errors import escape
from server.watched import Watched

RSA_BITS: Final = 2_048
"""Minimum size of an RSA key in bits."""
CURVES: Final = (ec.SECP256R1, ec.SECP384R1)
"""The curves of keys that gRPC's clients accept."""

_expires = prometheus_client.Gauge(
    "lottery_certificate_expires_timestamp_seconds",
    "When the server's certificate expires, in seconds since 1970.",
)


def watched_certificates(
    certificate: Path, key: Path, client_ca: Path | None
) -> Watched[grpc.ServerCertificateConfiguration]:
    """Return the set of certificates, which is read again when a file changes.

    Raises:
        OSError: A file cannot be read.
        ValueError: The files do not make a set.
    """
    files = [certificate, key, *([client_ca] if client_ca else [])]
    return Watched("certificates", files, lambda: read_certificates(certificate, key, client_ca))


def changing_credentials(
    certificates: Watched[grpc.ServerCertificateConfiguration], *, require_client: bool
) -> grpc.ServerCredentials:
    """Return credentials that have the present set of certificates for each handshake.

    Args:
        certificates: The set.
        require_client: Whether a client must show a certificate.
    """
    served = [certificates.current()]

    def fetch() -> Any:  # None for no change, which the type that grpcio states leaves out.
        present = certificates.current()
        if present is served[0]:
            return None
        served[0] = present
        return present

    return grpc.dynamic_ssl_server_credentials(
        served[0], fetch, require_client_authentication=require_client
    )


def read_certificates(
    certificate: Path, key: Path, client_ca: Path | None
) -> grpc.ServerCertificateConfiguration:
    """Read a set of certificates.

    Args:
        certificate: PEM file of the server's chain, its own certificate first.
        key: PEM file of its private key.
        client_ca: PEM file of the authorities of clients' certificates.

    Raises:
        OSError: A file cannot be read.
        ValueError: The files do not make a set.
    """
    chain, secret = _read_pair(certificate, key)
    roots = None if client_ca is None else client_ca.read_bytes()
    if client_ca is not None and roots is not None:
        _certificates_in(client_ca, roots)
    return grpc.ssl_server_certificate_configuration([(secret, chain)], roots)


def watched_contexts(certificate: Path, key: Path) -> Watched[ssl.SSLContext]:
    """Return the context of TLS for HTTP, which is made again when a file changes.

    Raises:
        OSError: A file cannot be read.
        ValueError: The files do not make a set.
    """

    def read() -> ssl.SSLContext:
        _read_pair(certificate, key)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        return context

    return Watched("certificates", [certificate, key], read)


def _read_pair(certificate: Path, key: Path) -> tuple[bytes, bytes]:
    """Return the chain and the key, if they fit and the certificate is valid now."""
    chain, secret = certificate.read_bytes(), key.read_bytes()
    own = _certificates_in(certificate, chain)[0]
    if own.public_key() != _key_in(key, secret).public_key():
        raise ValueError(
            f"expected the key of {escape(certificate)} in {escape(key)}, got another key; "
            "write both"
        )
    now = dt.datetime.now(dt.UTC)
    first, last = own.not_valid_before_utc, own.not_valid_after_utc
    if not first <= now <= last:
        raise ValueError(
            f"{escape(certificate)}: expected a certificate that is valid now, got one from "
            f"{first:%Y-%m-%d %H:%M} until {last:%Y-%m-%d %H:%M} UTC"
        )
    _expires.set(last.timestamp())
    return chain, secret


def _certificates_in(file: Path, content: bytes) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(content)
    except ValueError as error:
        raise ValueError(f"{escape(file)}: expected PEM certificates: {error}") from None


def _key_in(file: Path, content: bytes) -> rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey:
    try:
        key = load_pem_private_key(content, None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise ValueError(
            f"{escape(file)}: expected a PEM key without a password: {error}"
        ) from None
    if isinstance(key, rsa.RSAPrivateKey) and key.key_size >= RSA_BITS:
        return key
    if isinstance(key, ec.EllipticCurvePrivateKey) and isinstance(key.curve, CURVES):
        return key
    raise ValueError(
        f"{escape(file)}: expected a key of RSA with {RSA_BITS} bits or more, P-256 or P-384"
    )
