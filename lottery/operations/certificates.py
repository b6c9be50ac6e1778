"""Certificates for trying out TLS: an authority, and what it signs (RFC 5280).

For production, certificates come from the firm's own authority.

Invariants:
- Who a client is stands in a typed name, never in the common name.
- The authority's private key is in memory alone: what it has not signed yet, nobody can sign.
"""

from __future__ import annotations

import datetime as dt
import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

CLOCK_SKEW: Final = dt.timedelta(minutes=5)
"""How long ago a certificate becomes valid, for clocks that are late."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Signed:
    """A certificate and its private key, PEM."""

    certificate: bytes
    key: bytes


class Authority:
    """A certificate authority.

    Args:
        name: Its common name.
        valid: From when and until when its certificate is valid, counted from now.

    Attributes:
        certificate: Its certificate, PEM.
    """

    def __init__(self, name: str, valid: tuple[dt.timedelta, dt.timedelta]) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _subject(name)
        may_sign = x509.KeyUsage(
            digital_signature=False,
            content_commitment=False,
            key_encipherment=False,
            data_encipherment=False,
            key_agreement=False,
            key_cert_sign=True,
            crl_sign=True,
            encipher_only=False,
            decipher_only=False,
        )
        builder = self._builder(self._name, self._key.public_key(), valid)
        builder = builder.add_extension(may_sign, critical=True).add_extension(
            x509.BasicConstraints(ca=True, path_length=0), critical=True
        )
        self.certificate = self._pem(builder)

    def sign(
        self,
        common_name: str,
        *names: x509.GeneralName,
        valid: tuple[dt.timedelta, dt.timedelta],
        is_server: bool = False,
    ) -> Signed:
        """Sign a certificate with a key of its own.

        Args:
            common_name: Its common name, which means nothing.
            names: Its typed names.
            valid: From when and until when it is valid, counted from now.
            is_server: Whether it is a server's, and no client's.
        """
        key = ec.generate_private_key(ec.SECP256R1())
        usage = ExtendedKeyUsageOID.SERVER_AUTH if is_server else ExtendedKeyUsageOID.CLIENT_AUTH
        builder = self._builder(_subject(common_name), key.public_key(), valid)
        builder = builder.add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        plain = serialization.NoEncryption()
        private = serialization.PrivateFormat.PKCS8
        return Signed(
            certificate=self._pem(builder),
            key=key.private_bytes(serialization.Encoding.PEM, private, plain),
        )

    def _builder(
        self,
        subject: x509.Name,
        key: ec.EllipticCurvePublicKey,
        valid: tuple[dt.timedelta, dt.timedelta],
    ) -> x509.CertificateBuilder:
        now = dt.datetime.now(dt.UTC)
        own = self._key.public_key()
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now + valid[0])
            .not_valid_after(now + valid[1])
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(own), critical=False)
        )

    def _pem(self, builder: x509.CertificateBuilder) -> bytes:
        signed = builder.sign(self._key, hashes.SHA256())
        return signed.public_bytes(serialization.Encoding.PEM)


def trial_files(hosts: Iterable[str], valid_for: dt.timedelta) -> dict[str, bytes]:
    """Return what one server and a caller of each role need, by file name.

    An authority, the server's certificate, a client's certificate for each role, and the file of
    roles (`LOTTERY_ROLES`) that gives each client its role. Programs have SPIFFE ids, and people
    e-mail addresses, below the domain `lottery.test`, which nobody has (RFC 2606).

    Args:
        hosts: Names and addresses of the server.
        valid_for: How long all of them are valid.
    """
    valid = (-CLOCK_SKEW, valid_for)
    server_names = [_host_name(host) for host in hosts]
    authority = Authority("lottery dev-certs", valid)
    files = {"authority.pem": authority.certificate}
    server = authority.sign("server", *server_names, valid=valid, is_server=True)
    signed = {"server": server}
    for role, caller in CALLERS.items():
        signed[role] = authority.sign(role, caller, valid=valid)
    for name, each in signed.items():
        files |= {f"{name}.pem": each.certificate, f"{name}.key": each.key}
    return files | {"roles.toml": _roles().encode()}


def _programs_name(role: str) -> x509.UniformResourceIdentifier:
    return x509.UniformResourceIdentifier(f"spiffe://lottery.test/{role}")


def _persons_name(role: str) -> x509.RFC822Name:
    return x509.RFC822Name(f"{role}@lottery.test")


CALLERS: Final[dict[str, x509.UniformResourceIdentifier | x509.RFC822Name]] = {
    "operator": _programs_name("operator"),
    "approver": _persons_name("approver"),
    "auditor": _persons_name("auditor"),
    "service": _programs_name("service"),
    "administrator": _persons_name("administrator"),
}
"""The typed name of the caller that has a role."""


def _roles() -> str:
    lines = ["# Who has which role: LOTTERY_ROLES (docs/ACCESS.md)."]
    kinds = (("spiffe", x509.UniformResourceIdentifier), ("email", x509.RFC822Name))
    for kind, type_of_name in kinds:
        lines += ["", f"[names.{kind}]"]
        lines += [
            f'"{caller.value}" = ["{role}"]'
            for role, caller in CALLERS.items()
            if isinstance(caller, type_of_name)
        ]
    return "\n".join(lines) + "\n"


def _host_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _subject(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
