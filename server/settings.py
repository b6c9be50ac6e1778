"""The server's settings: environment variables `LOTTERY_…`, each documented here and nowhere else.

`docs/SETTINGS.md` is printed from this module; a test fails when it drifts.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from server.binding import UNIX, host_and_port


class Settings(BaseSettings):
    """Settings of `lottery serve`, `lottery-server` and `python -m server`."""

    model_config = SettingsConfigDict(env_prefix="LOTTERY_", frozen=True, extra="ignore")

    listen: str = Field("127.0.0.1:50051", description="Where the services listen; port 0 is any.")
    health_listen: str = Field(
        "127.0.0.1:50052",
        description="Where `grpc.health.v1` listens, apart from the services and their limits.",
    )
    metrics_listen: str = Field(
        "127.0.0.1:9464", description="Where Prometheus metrics are served; empty turns them off."
    )
    ledger: Path = Field(Path("lottery-ledger"), description="The ledger's directory.")
    signing_key: Path | None = Field(
        None, description="The log's private key; `signing.key` in the ledger where none is given."
    )
    workers: int = Field(8, ge=1, le=256, description="Calls that are served at a time.")
    max_message_bytes: int = Field(
        64 << 20, ge=1 << 12, le=(1 << 31) - 1, description="The largest message, each way."
    )
    max_rows: int = Field(
        50_000_000, ge=1, description="Notices or positions of one call at most, each."
    )
    memory_limit_bytes: int | None = Field(
        None,
        ge=1,
        description="What one day may take at its peak; four fifths of the machine's, or of the "
        "container's, where none is given.",
    )
    grace_seconds: float = Field(
        30.0, ge=0, description="How long calls in flight may go on after SIGTERM."
    )
    lock_seconds: float = Field(
        30.0, ge=0, description="How long a run waits for another writer of the ledger."
    )
    tls_certificate: Path | None = Field(
        None, description="The server's certificate chain, PEM; with it the services speak TLS."
    )
    tls_key: Path | None = Field(None, description="The certificate's private key, PEM.")
    tls_client_ca: Path | None = Field(
        None, description="Client certificates must be signed by one of these, PEM (mutual TLS)."
    )
    allow_insecure_public: bool = Field(
        default=False, description="Allows to listen beyond loopback without TLS."
    )
    log_format: Literal["auto", "json", "text"] = Field(
        "auto", description="`auto` is text on a terminal and JSON elsewhere."
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="The least severe level that is logged."
    )

    @field_validator("signing_key", "tls_certificate", "tls_key", "tls_client_ca", mode="before")
    @classmethod
    def _empty_is_none(cls, path: object) -> object:
        return path or None

    @field_validator("listen", "health_listen", "metrics_listen")
    @classmethod
    def _is_address(cls, listen: str, info: ValidationInfo) -> str:
        is_metrics = info.field_name == "metrics_listen"
        if (listen or not is_metrics) and (is_metrics or not listen.startswith(UNIX)):
            host_and_port(listen)
        return listen


def settings_table() -> str:
    """The settings as a Markdown table."""
    lines = ["| variable | default | what |", "|---|---|---|"]
    for name, info in Settings.model_fields.items():
        default = "" if info.default is None else f"`{info.default}`" if info.default != "" else ""
        lines.append(f"| `LOTTERY_{name.upper()}` | {default} | {info.description} |")
    return "\n".join(lines) + "\n"
