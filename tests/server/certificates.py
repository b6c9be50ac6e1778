"""Certificates for the tests: authorities, and what they sign."""

from __future__ import annotations

import datetime as dt
import ipaddress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import grpc
from cryptography import x509

from lottery.operations import certificates

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
        self._authority = certificates.Authority(folder.name, (-DAY, DAY))
        self.certificate = folder / "authority.pem"
        self.certificate.write_bytes(self._authority.certificate)

    def server(self, name: str = "server") -> Certificate:
        """Sign the certificate of a server on loopback."""
        address = x509.IPAddress(ipaddress.IPv4Address("127.0.0.1"))
        return self.sign(name, address, is_server=True)

    def sign(
        self,
        name: str,
        *names: x509.GeneralName,
        common_name: str | None = None,
        valid: tuple[dt.timedelta, dt.timedelta] = (-DAY, DAY),
        is_server: bool = False,
    ) -> Certificate:
        """Sign a certificate.

        Args:
            name: The name of its files.
            names: Its typed names.
            common_name: Its common name; that of its files unless it says so.
            valid: From when and until when, counted from now.
            is_server: Whether it is a server's, and no client's.
        """
        signed = self._authority.sign(common_name or name, *names, valid=valid, is_server=is_server)
        made = Certificate(
            certificate=self._folder / f"{name}.pem", key=self._folder / f"{name}.key"
        )
        made.certificate.write_bytes(signed.certificate)
        made.key.write_bytes(signed.key)
        return made

    def of_client(self, client: Certificate | None = None) -> grpc.ChannelCredentials:
        """Return the credentials of a client that trusts this authority."""
        key, chain = client.pair if client is not None else (None, None)
        return grpc.ssl_channel_credentials(self.certificate.read_bytes(), key, chain)
