"""Certificates of the load test: an authority that signs the server's anew while it serves."""

from __future__ import annotations

import datetime as dt
import ipaddress
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from cryptography import x509

from lottery.operations.certificates import CLOCK_SKEW, Authority, Signed

CLIENT: Final = "spiffe://load.test/service"
"""The caller's typed name."""
_VALID: Final = (-CLOCK_SKEW, dt.timedelta(days=1))


class Certificates:
    """The certificates of a server and of a caller, in a folder.

    Args:
        folder: The folder, which is made.

    Attributes:
        folder: The folder.
        settings: The server's settings for mutual TLS.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        self.folder = folder
        self._authority = Authority("load", _VALID)
        self._put("authority.pem", self._authority.certificate)
        self._put("roles.toml", f'[names.spiffe]\n"{CLIENT}" = ["service"]\n'.encode())
        caller = x509.UniformResourceIdentifier(CLIENT)
        self._put_pair("service", self._authority.sign("service", caller, valid=_VALID))
        self.change()
        self.settings: Mapping[str, str] = {
            "LOTTERY_TLS_CERTIFICATE": str(folder / "server.pem"),
            "LOTTERY_TLS_KEY": str(folder / "server.key"),
            "LOTTERY_TLS_CLIENT_CA": str(folder / "authority.pem"),
            "LOTTERY_ROLES": str(folder / "roles.toml"),
        }

    def change(self) -> None:
        """Exchange the server's certificate and key for new ones, each file whole."""
        address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
        self._put_pair(
            "server", self._authority.sign("server", address, valid=_VALID, is_server=True)
        )

    def _put_pair(self, name: str, signed: Signed) -> None:
        self._put(f"{name}.pem", signed.certificate)
        self._put(f"{name}.key", signed.key)

    def _put(self, name: str, content: bytes) -> None:
        new = self.folder / f"{name}.new"
        new.write_bytes(content)
        new.replace(self.folder / name)
