"""The settings that both doors read, environment variables `LOTTERY_...`: a ledger's own.

`server/settings.py` adds those of the server, and `lottery/cli/variables.py` those of the command
line. `docs/SETTINGS.md` is generated from the three; a test fails if it differs.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from lottery.errors import quote
from lottery.intake.memory import MemoryLimit
from lottery.operations.settings import LOCK_SECONDS, LedgerSettings

PREFIX: Final = "LOTTERY_"
_LIKE: Final = 0.8
"""How alike the names must be for one to be the other misspelt, from 0 to 1."""


class Variables(BaseModel):
    """Where a ledger is, how it is written to, and who may do what with it."""

    model_config = ConfigDict(frozen=True)

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
    lock_seconds: float = Field(
        LOCK_SECONDS,
        ge=0,
        description="Time in seconds that a run waits for another writer of the ledger.",
    )
    memory_limit_bytes: int | None = Field(
        None,
        ge=1,
        description="Maximum memory that one day may need, in bytes. Defaults to four fifths of "
        "the memory of the machine or container.",
    )
    max_rows: int = Field(
        50_000_000,
        ge=1,
        description="Maximum number of notices, and of positions, in one call to a server. What "
        "a command reads itself is bounded by `LOTTERY_MEMORY_LIMIT_BYTES` alone.",
    )
    roles: Path | None = Field(
        None,
        description="TOML file that gives roles to names of certificates, subjects of tokens and "
        "the system's users; a server reads it again when it changes.",
    )
    webhooks: Path | None = Field(
        None,
        description="TOML file that names who is called, over HTTPS, when a run is held, broken, "
        "in conflict or has failed; needs the extra `webhooks`.",
    )
    tls_certificate: Path | None = Field(
        None,
        description="PEM file of the server's certificate chain; enables TLS. `lottery status` "
        "shows when it expires.",
    )

    @field_validator(
        *("objects", "archive", "witness_policy", "signing_key", "memory_limit_bytes", "roles"),
        *("webhooks", "tls_certificate"),
        mode="before",
    )
    @classmethod
    def _empty_is_none(cls, given: object) -> object:
        return None if given == "" else given

    def memory_limit(self) -> MemoryLimit:
        """Return what a day may take: the figure that is set, else the machine's."""
        given = self.memory_limit_bytes
        return MemoryLimit.of_machine() if given is None else MemoryLimit(limit_bytes=given)

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


def problems_of(error: ValidationError) -> Iterator[str]:
    """Yield what is wrong with each variable, by its name."""
    for problem in error.errors():
        what = what_is_wrong(problem)
        # What is wrong with several together says their names itself.
        yield f"{PREFIX}{str(problem['loc'][0]).upper()}: {what}" if problem["loc"] else what


def what_is_wrong(problem: Any) -> str:
    """Return what pydantic says of one value: what was expected and what came."""
    if problem["type"] == "value_error":
        return str(problem["ctx"]["error"])
    expected = problem["msg"].replace("Input should be", "must be")
    return f"{expected}, got {quote(problem['input'])}"


def misspelt(given: Iterable[str], settings: type[BaseModel]) -> Iterator[str]:
    """Yield what is wrong with variables whose names are nearly those of settings.

    Others are left alone: the other door has settings of its own, and so have other programs.

    Args:
        given: The names of the environment's variables.
        settings: The settings that are read.
    """
    known = [f"{PREFIX}{name}".upper() for name in settings.model_fields]
    words = [name.removeprefix(PREFIX) for name in known]
    for name in sorted(set(given) - set(known)):
        if name.startswith(PREFIX):
            meant = difflib.get_close_matches(name.removeprefix(PREFIX), words, 1, _LIKE)
            if meant:
                yield f"{name}: expected {PREFIX}{meant[0]}, which is a setting; this is none"


def table_of(settings: type[BaseModel], leaving_out: Iterable[str] = ()) -> str:
    """Return settings as a Markdown table, without some of them."""
    lines = ["| variable | default | description |", "|---|---|---|"]
    for name, info in settings.model_fields.items():
        if name not in leaving_out:
            default = "" if info.default in (None, "") else f"`{info.default}`"
            lines.append(f"| `{PREFIX}{name.upper()}` | {default} | {info.description} |")
    return "\n".join(lines) + "\n"
