"""Whether the server has TLS, and where it may listen without.

Invariants:
- Without TLS the services listen on loopback only, unless `LOTTERY_ALLOW_INSECURE_PUBLIC` is set.
- A caller is trusted for being local only where every caller is.
"""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Final

import grpc

from lottery.errors import quote
from lottery.operations import hosts
from server.binding import UNIX, host_and_port
from server.certificates import watched_certificates, watched_contexts
from server.settings import Settings
from server.tokens import Tokens, watched_keys
from server.watched import Watched

_LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})


class InsecureListen(ValueError):
    """The services were to listen beyond loopback without TLS."""


def certificates(settings: Settings) -> Watched[grpc.ServerCertificateConfiguration] | None:
    """Return the server's certificates, which may change, or None without TLS.

    Raises:
        ValueError: As `_files`, or they do not fit.
        OSError: A file cannot be read.
        InsecureListen: As `_files`.
    """
    files = _files(settings)
    return None if files is None else watched_certificates(*files, settings.tls_client_ca)


def web_contexts(settings: Settings) -> Watched[ssl.SSLContext] | None:
    """Return the same for HTTP, where no client shows a certificate; None without TLS.

    Raises:
        ValueError: As `certificates`.
        OSError: A file cannot be read.
        InsecureListen: As `_files`.
    """
    files = _files(settings)
    return None if files is None else watched_contexts(*files)


def _files(settings: Settings) -> tuple[Path, Path] | None:
    """Return the files of the certificate and its key, or None without TLS.

    Raises:
        ValueError: One of them or both are missing while another TLS setting is set, or local
            callers are trusted where there is TLS or callers are not local.
        InsecureListen: The services would listen beyond loopback without TLS.
    """
    certificate, key = settings.tls_certificate, settings.tls_key
    if certificate is not None and key is not None:
        if settings.trust_local is not None:
            raise _misplaced_trust()
        return certificate, key
    if certificate or key or settings.tls_client_ca:
        raise ValueError(
            "expected both LOTTERY_TLS_CERTIFICATE and LOTTERY_TLS_KEY for TLS; "
            "set both or remove every LOTTERY_TLS setting"
        )
    for listen in filter(None, (settings.listen, settings.http_listen)):
        if not (is_loopback(listen) or settings.allow_insecure_public):
            raise InsecureListen(
                f"expected an address on loopback without TLS, got {quote(listen)}; set "
                "LOTTERY_TLS_CERTIFICATE and LOTTERY_TLS_KEY, or LOTTERY_ALLOW_INSECURE_PUBLIC=true"
            )
        if settings.trust_local is not None and not is_loopback(listen):
            raise _misplaced_trust()
    return None


def local_hosts(settings: Settings) -> frozenset[str] | None:
    """Return the names of this machine under which HTTP is asked; None for any.

    A name that an attacker points at loopback leads no page of theirs to callers who are trusted
    for being local. Beyond loopback and with TLS nobody is.
    """
    if settings.tls_certificate is not None or not is_loopback(settings.http_listen):
        return None
    return _LOOPBACK | {host_and_port(settings.http_listen)[0]}


def tokens(settings: Settings) -> Tokens | None:
    """Return whose tokens count; None if none do.

    Raises:
        ValueError: One of the settings of tokens is missing.
    """
    given = settings.token_keys, settings.token_issuer, settings.token_audience
    keys, issuer, audience = given
    if keys is not None and issuer is not None and audience is not None:
        return Tokens(watched_keys(keys), issuer=issuer, audience=audience)
    if any(given):
        raise ValueError(
            "expected LOTTERY_TOKEN_KEYS, LOTTERY_TOKEN_ISSUER and LOTTERY_TOKEN_AUDIENCE for "
            "tokens; set all three or none"
        )
    return None


def _misplaced_trust() -> ValueError:
    return ValueError(
        "expected LOTTERY_TRUST_LOCAL on loopback or a Unix socket, without TLS; remove it, and "
        "give roles to the names of certificates with LOTTERY_ROLES"
    )


def is_loopback(listen: str) -> bool:
    """Return whether an address HOST:PORT can be reached from this machine only."""
    if listen.startswith(UNIX):
        return True
    return hosts.is_loopback(host_and_port(listen)[0])
