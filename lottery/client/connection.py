"""The client's channel, made anew when the files of its certificates change.

Invariants:
- A call goes on over the channel on which it began; a former channel ends with its last call.
- What only computes or reads is sent again while nobody answers; what records is not, by gRPC.
- Files that do not fit, such as a new certificate beside the former key, change nothing.
"""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any, Final

import grpc
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509 import Certificate, load_pem_x509_certificates

from lottery.durable import states_of
from lottery.errors import escape
from lottery.v1 import audit_service_pb2_grpc, lottery_service_pb2_grpc

MESSAGE_BYTES: Final = 256 << 20
"""Maximum message size in bytes, in both directions."""
METADATA_BYTES: Final = 64 << 10
"""Maximum size of a response's metadata in bytes."""
REPEATED: Final = {
    "lottery.v1.LotteryService": (
        *("DeriveSeed", "AllocateSeries", "GetOdds", "GetCharter", "GetRun", "ListRuns"),
        "ListProposals",
        *("StreamAllocations", "ExplainPool", "GetDay", "DiffRuns", "StreamHistory"),
    ),
    "lottery.v1.AuditService": (
        *("GetCheckpoint", "GetInclusionProof", "GetConsistencyProof"),
        *("GetStatus", "StreamEntries"),
    ),
}
"""The RPCs that gRPC sends again while nobody answers: they compute or read, and leave no trace."""
SERVICE_CONFIG: Final = json.dumps(
    {
        "methodConfig": [
            {
                "name": [
                    {"service": service, "method": method}
                    for service, methods in REPEATED.items()
                    for method in methods
                ],
                "retryPolicy": {
                    "maxAttempts": 4,
                    "initialBackoff": "0.2s",
                    "maxBackoff": "2s",
                    "backoffMultiplier": 2,
                    "retryableStatusCodes": [grpc.StatusCode.UNAVAILABLE.name],
                },
            }
        ]
    }
)
"""What gRPC does by itself; a stream of which something has arrived is not sent again."""
OPTIONS: Final = (
    ("grpc.service_config", SERVICE_CONFIG),
    ("grpc.max_receive_message_length", MESSAGE_BYTES),
    ("grpc.max_send_message_length", MESSAGE_BYTES),
    ("grpc.max_metadata_size", METADATA_BYTES),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsFiles:
    """Files for TLS, PEM but the token; each may be replaced while the client is used.

    Attributes:
        authorities: The authorities that may sign the server's certificate.
        certificate: The client's certificate chain, for mutual TLS.
        key: The private key of `certificate`.
        token: A token that says who calls, read for each call.
    """

    authorities: Path
    certificate: Path | None = None
    key: Path | None = None
    token: Path | None = None


@dataclass(frozen=True, slots=True)
class Channel:
    """A channel, and both services on it."""

    channel: grpc.Channel
    lottery: lottery_service_pb2_grpc.LotteryServiceStub
    audit: audit_service_pb2_grpc.AuditServiceStub


class Connection:
    """The channel to a server.

    Args:
        target: The server's address, HOST:PORT, or a channel that somebody else has opened.
        tls: The files for TLS; None connects without it.

    Raises:
        OSError: A file cannot be read.
        ValueError: A file is not PEM, or the key is not that of the certificate.
    """

    def __init__(self, target: str | grpc.Channel, tls: TlsFiles | None) -> None:
        self._target = target
        self._tls = tls
        files = () if tls is None else (tls.authorities, tls.certificate, tls.key)
        self._files = [file for file in files if file is not None]
        self._lock = Lock()
        self._states = states_of(self._files)
        self._channel = self._made()

    def current(self) -> Channel:
        """Return the channel, after a look whether a file has changed."""
        # The files are looked at before they are read: later changes are read the next time.
        now = states_of(self._files)
        with self._lock:
            if now != self._states:
                self._states = now
                # Half of a deployment changes nothing; if it lasts, the server refuses in time.
                with suppress(OSError, ValueError):
                    self._channel = self._made()
            return self._channel

    def close(self) -> None:
        """Close the channel, unless somebody else has opened it."""
        if isinstance(self._target, str):
            self._channel.channel.close()

    def _made(self) -> Channel:
        if not isinstance(self._target, str):
            made = self._target
        elif self._tls is None:
            made = grpc.insecure_channel(self._target, OPTIONS)
        else:
            made = grpc.secure_channel(self._target, _credentials(self._tls), OPTIONS)
        return Channel(
            made,
            lottery_service_pb2_grpc.LotteryServiceStub(made),
            audit_service_pb2_grpc.AuditServiceStub(made),
        )


class _Token(grpc.AuthMetadataPlugin):
    """Sends the token that a file has at the time of the call."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def __call__(
        self,
        context: grpc.AuthMetadataContext,  # noqa: ARG002 - gRPC's signature.
        callback: grpc.AuthMetadataPluginCallback,
    ) -> None:
        try:
            token = self._file.read_text("ascii").strip()
        except (OSError, ValueError) as error:
            callback((), error)
        else:
            callback((("authorization", f"Bearer {token}"),), None)


def _credentials(tls: TlsFiles) -> grpc.ChannelCredentials:
    authorities = tls.authorities.read_bytes()
    _certificates_in(tls.authorities)
    key = None if tls.key is None else tls.key.read_bytes()
    chain = None if tls.certificate is None else tls.certificate.read_bytes()
    if tls.key is not None and tls.certificate is not None:
        own: Any = _certificates_in(tls.certificate)[0].public_key()
        if own != _key_in(tls.key).public_key():
            raise ValueError(
                f"expected the key of {escape(tls.certificate)}, got {escape(tls.key)}"
            )
    channel = grpc.ssl_channel_credentials(authorities, key, chain)
    if tls.token is None:
        return channel
    token = grpc.metadata_call_credentials(_Token(tls.token))
    return grpc.composite_channel_credentials(channel, token)


def _certificates_in(file: Path) -> list[Certificate]:
    try:
        return load_pem_x509_certificates(file.read_bytes())
    except ValueError:
        raise ValueError(f"{escape(file)}: expected PEM certificates, got none") from None


def _key_in(file: Path) -> Any:
    try:
        return load_pem_private_key(file.read_bytes(), None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise ValueError(f"{escape(file)}: expected a PEM key without a password") from None
