"""Settings of the server: environment variables `LOTTERY_...`, documented here and nowhere else.

`docs/SETTINGS.md` is generated from this module; a test fails if it differs.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from lottery.errors import quote
from lottery.operations.ledgers import LedgerSettings
from lottery.operations.roles import LocalTrust, roles_of
from server.binding import UNIX, host_and_port


class Settings(BaseSettings):
    """The settings of `lottery serve`, `lottery-server` and `python -m server`."""

    model_config = SettingsConfigDict(env_prefix="LOTTERY_", frozen=True, extra="ignore")

    listen: str = Field(
        "127.0.0.1:50051", description="Address of the services; port 0 picks a free port."
    )
    health_listen: str = Field(
        "127.0.0.1:50052",
        description="Address of `grpc.health.v1`, which the limits of the services do not affect.",
    )
    metrics_listen: str = Field(
        "127.0.0.1:9464", description="Address of the Prometheus metrics; empty turns them off."
    )
    ledger: str = Field(
        "lottery-ledger", description="Directory of the ledger, or `postgresql://…`."
    )
    objects: str | None = Field(
        None,
        description="Directory or bucket URL (`s3://`, `gs://`, `az://`) for the evidence and the "
        "published log; needed with PostgreSQL.",
    )
    archive: str | None = Field(
        None, description="A second directory or bucket URL for all that is published."
    )
    archive_mode: Literal["sync", "async"] = Field(
        "sync", description="Whether a write is answered once it is archived, or before."
    )
    witness_policy: Path | None = Field(
        None, description="File that names the witnesses of the log (C2SP tlog-policy)."
    )
    signing_key: Path | None = Field(
        None, description="File of the log's private key. Defaults to `signing.key` in the ledger."
    )
    run_threads: int = Field(
        16,
        ge=1,
        le=256,
        description="Maximum number of calls that record, such as runs, at once in a worker; as "
        "many again wait.",
    )
    read_threads: int = Field(
        8,
        ge=1,
        le=256,
        description="Maximum number of calls that read the ledger at once in a worker; as many "
        "again wait.",
    )
    call_threads: int = Field(
        8,
        ge=1,
        le=256,
        description="Maximum number of calls that only compute, such as `AllocateSeries`, at once "
        "in a worker; eight times as many wait.",
    )
    silent_seconds: float = Field(
        30.0,
        gt=0,
        description="Time in seconds after which a call ends whose caller sends nothing or takes "
        "nothing.",
    )
    slow_grace_seconds: float = Field(
        60.0,
        gt=0,
        description="Time in seconds for which the server waits for a call's caller in all, "
        "beside what `LOTTERY_SLOW_BYTES_PER_SECOND` gives.",
    )
    slow_bytes_per_second: int = Field(
        16_384,
        ge=1,
        description="Bytes of a call that give its caller a second more; a slower one is ended.",
    )
    max_message_bytes: int = Field(
        64 << 20, ge=1 << 12, le=(1 << 31) - 1, description="Maximum message size in bytes."
    )
    max_rows: int = Field(
        50_000_000, ge=1, description="Maximum number of notices, and of positions, in one call."
    )
    memory_limit_bytes: int | None = Field(
        None,
        ge=1,
        description="Maximum memory that one day may need, in bytes. Defaults to four fifths of "
        "the memory of the machine or container.",
    )
    grace_seconds: float = Field(
        30.0, ge=0, description="Time in seconds for calls in progress to finish after SIGTERM."
    )
    lock_seconds: float = Field(
        30.0, ge=0, description="Time in seconds that a run waits for another writer of the ledger."
    )
    tls_certificate: Path | None = Field(
        None, description="PEM file of the server's certificate chain; enables TLS."
    )
    tls_key: Path | None = Field(None, description="PEM file of the certificate's private key.")
    tls_client_ca: Path | None = Field(
        None,
        description="PEM file of the authorities that must have signed a client's certificate; "
        "enables mutual TLS.",
    )
    max_connection_age_seconds: float = Field(
        300.0,
        gt=0,
        le=86_400,
        description="Time in seconds after which a connection ends, so that another shows what "
        "the caller is now; calls in progress have as long again.",
    )
    trust_local: str | None = Field(
        None,
        description="NAME:ROLE[,ROLE]: who every local caller is, and its roles, where there is "
        "no TLS; without it such a caller reads nothing of the ledger and records nothing.",
    )
    roles: Path | None = Field(
        None,
        description="TOML file that gives roles to names of certificates, subjects of tokens and "
        "the system's users; a server reads it again when it changes.",
    )
    token_keys: Path | None = Field(
        None,
        description="JSON Web Key Set of the public keys that sign callers' tokens; read again "
        "when it changes.",
    )
    token_issuer: str | None = Field(None, description="What `iss` of a token must be.")
    token_audience: str | None = Field(None, description="What `aud` of a token must be.")
    allow_insecure_public: bool = Field(
        default=False, description="Allow listening beyond loopback without TLS."
    )
    log_format: Literal["auto", "json", "text"] = Field(
        "auto", description="Format of the log; `auto` is text on a terminal and JSON elsewhere."
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="Lowest level that is logged."
    )

    def ledger_settings(self) -> LedgerSettings:
        """Return where the ledger is."""
        return LedgerSettings(
            ledger=self.ledger,
            objects=self.objects,
            key_file=self.signing_key,
            lock_seconds=self.lock_seconds,
            archive=self.archive,
            archives_first=self.archive_mode == "sync",
            witness_policy=self.witness_policy,
        )

    def local_trust(self) -> LocalTrust | None:
        """Return who a local caller is; None if nobody vouches for one."""
        return None if self.trust_local is None else _local_trust(self.trust_local)

    @field_validator(
        "signing_key",
        "objects",
        "archive",
        "witness_policy",
        "tls_certificate",
        "tls_key",
        "tls_client_ca",
        "trust_local",
        "roles",
        "token_keys",
        "token_issuer",
        "token_audience",
        mode="before",
    )
    @classmethod
    def _empty_is_none(cls, path: object) -> object:
        return path or None

    @field_validator("trust_local")
    @classmethod
    def _is_local_trust(cls, text: str | None) -> str | None:
        if text is not None:
            _local_trust(text)
        return text

    @field_validator("listen", "health_listen", "metrics_listen")
    @classmethod
    def _is_address(cls, listen: str, info: ValidationInfo) -> str:
        is_metrics = info.field_name == "metrics_listen"
        if (listen or not is_metrics) and (is_metrics or not listen.startswith(UNIX)):
            host_and_port(listen)
        return listen


def _local_trust(text: str) -> LocalTrust:
    name, separator, roles = text.rpartition(":")
    if not (separator and name and name.isprintable()):
        raise ValueError(f"expected NAME:ROLE[,ROLE], got {quote(text)}")
    return LocalTrust(name=name, roles=roles_of(roles.split(",")))


def settings_table() -> str:
    """Return the settings as a Markdown table."""
    lines = ["| variable | default | description |", "|---|---|---|"]
    for name, info in Settings.model_fields.items():
        default = "" if info.default is None else f"`{info.default}`" if info.default != "" else ""
        lines.append(f"| `LOTTERY_{name.upper()}` | {default} | {info.description} |")
    return "\n".join(lines) + "\n"
