"""Certificates for the tests: authorities, and what they sign."""

from __future__ import annotations

import datetime as dt
import ipaddress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import grpc
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

DAY: Final = dt.timedelta(days=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """A certificate and its key, PEM files."""

    certificate: Path
    key: Path

    @property
    def pair(self) -> tuple[bytes, bytes]:
        """Key and certificate, as gRPC takes them."""
        return self.key.read_bytes(), self.certificate.read_bytes()

    @property
    def of_server(self) -> dict[str, Path]:
        """The settings of a server that has it."""
        return {"tls_certificate": self.certificate, "tls_key": self.key}


class Authority:
    """A certificate authority; its files and those of what it signs are in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _subject(folder.name)
        builder = _builder(self._name, self._name, self._key.public_key(), (-DAY, DAY))
        made = builder.add_extension(
            x509.BasicConstraints(ca=True, path_length=None), critical=True
        )
        self.certificate = folder / "authority.pem"
        self.certificate.write_bytes(_pem(made.sign(self._key, hashes.SHA256())))

    def server(self, name: str = "server") -> Certificate:
        """Sign the certificate of a server on loopback."""
        address = x509.IPAddress(ipaddress.IPv4Address("127.0.0.1"))
        return self.sign(name, address)

    def sign(
        self,
        name: str,
        *names: x509.GeneralName,
        common_name: str | None = None,
        valid: tuple[dt.timedelta, dt.timedelta] = (-DAY, DAY),
    ) -> Certificate:
        """Sign a certificate.

        Args:
            name: The name of its files.
            names: Its typed names.
            common_name: Its common name; that of its files unless it says so.
            valid: From when and until when, counted from now.
        """
        key = ec.generate_private_key(ec.SECP256R1())
        builder = _builder(_subject(common_name or name), self._name, key.public_key(), valid)
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        made = Certificate(
            certificate=self._folder / f"{name}.pem", key=self._folder / f"{name}.key"
        )
        made.certificate.write_bytes(_pem(builder.sign(self._key, hashes.SHA256())))
        made.key.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        return made

    def of_client(self, client: Certificate | None = None) -> grpc.ChannelCredentials:
        """Return the credentials of a client that trusts this authority."""
        key, chain = client.pair if client is not None else (None, None)
        return grpc.ssl_channel_credentials(self.certificate.read_bytes(), key, chain)


def _subject(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePublicKey,
    valid: tuple[dt.timedelta, dt.timedelta],
) -> x509.CertificateBuilder:
    now = dt.datetime.now(dt.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + valid[0])
        .not_valid_after(now + valid[1])
    )


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)
