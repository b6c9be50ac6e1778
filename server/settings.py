"""Settings of the server: environment variables `LOTTERY_...`, beside those of its ledger."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Final, Literal

from pydantic import Field, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from lottery.errors import quote
from lottery.operations.roles import LocalTrust, roles_of
from lottery.operations.variables import PREFIX, Variables
from server.binding import UNIX, host_and_port

WORKER_BYTES: Final = 1 << 30
"""Memory in bytes for each worker, if their number is not set."""
_CGROUP: Final = Path("/sys/fs/cgroup/cpu.max")


class Settings(Variables, BaseSettings):
    """The settings of `lottery serve`, `lottery-server` and `python -m server`."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="ignore")

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
    http_listen: str = Field(
        "",
        description="Address of JSON over HTTP and of the console, with TLS where the services "
        "have it; empty turns it off. Needs the extra `console`.",
    )
    processes: int | None = Field(
        None,
        ge=1,
        le=256,
        description="Number of workers, which share the port of the services. Defaults to one for "
        "each processor that the process may use, or fewer if the memory limit is small.",
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
        2,
        ge=1,
        le=256,
        description="Maximum number of calls that only compute, such as `AllocateSeries`, at once "
        "in a worker; 32 times as many wait. More threads answer no more calls, and slow refusals.",
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
        16 << 20,
        ge=1 << 12,
        le=(1 << 31) - 1,
        description="Maximum size in bytes of a message that the server takes.",
    )
    leave_seconds: float = Field(
        0.0,
        ge=0,
        description="Time in seconds after SIGTERM in which the server reports NOT_SERVING and "
        "still takes calls, so that load balancers turn to others first.",
    )
    grace_seconds: float = Field(
        30.0, ge=0, description="Time in seconds for calls in progress to finish after SIGTERM."
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

    def process_count(self) -> int:
        """Return the number of workers."""
        if self.processes is not None:
            return self.processes
        memory = self.memory_limit().limit_bytes or 0
        return max(1, min(processors(), memory // WORKER_BYTES))

    def local_trust(self) -> LocalTrust | None:
        """Return who a local caller is; None if nobody vouches for one."""
        return None if self.trust_local is None else _local_trust(self.trust_local)

    @field_validator(
        "processes",
        "tls_key",
        "tls_client_ca",
        "trust_local",
        "token_keys",
        "token_issuer",
        "token_audience",
        mode="before",
    )
    @classmethod
    def _empty_server_setting_is_none(cls, path: object) -> object:
        return None if path == "" else path

    @field_validator("trust_local")
    @classmethod
    def _is_local_trust(cls, text: str | None) -> str | None:
        if text is not None:
            _local_trust(text)
        return text

    @field_validator("listen", "health_listen", "metrics_listen", "http_listen")
    @classmethod
    def _is_address(cls, listen: str, info: ValidationInfo) -> str:
        is_over_http = info.field_name in {"metrics_listen", "http_listen"}
        if (listen or not is_over_http) and (is_over_http or not listen.startswith(UNIX)):
            host_and_port(listen)
        return listen


def processors() -> int:
    """Return the number of processors that this process may use, by affinity and control group."""
    allowed = len(os.sched_getaffinity(0))
    with suppress(OSError, ValueError):  # The file is missing, or says `max`.
        quota, period = map(int, _CGROUP.read_text(encoding="ascii").split())
        allowed = min(allowed, max(1, round(quota / period)))
    return allowed


def _local_trust(text: str) -> LocalTrust:
    name, separator, roles = text.rpartition(":")
    if not (separator and name and name.isprintable()):
        raise ValueError(f"expected NAME:ROLE[,ROLE], got {quote(text)}")
    return LocalTrust(name=name, roles=roles_of(roles.split(",")))
