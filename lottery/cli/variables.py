"""The settings of the command line, environment variables `LOTTERY_...`."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

import typer
from pydantic import Field, ValidationError, model_validator

from lottery.errors import escape
from lottery.operations import MemoryLimit
from lottery.operations.variables import PREFIX, Variables, misspelt, problems_of


class ClientVariables(Variables):
    """The settings of the commands: those of a ledger, and of `--server`."""

    server_ca: Path | None = Field(
        None,
        description="PEM file of the authorities that may sign the server's certificate; enables "
        "TLS.",
    )
    client_certificate: Path | None = Field(
        None, description="PEM file of the caller's certificate chain, for mutual TLS."
    )
    client_key: Path | None = Field(
        None, description="PEM file of the private key of `LOTTERY_CLIENT_CERTIFICATE`."
    )
    token_file: Path | None = Field(
        None, description="File of a token that says who calls; read for each call."
    )

    @model_validator(mode="after")
    def _fits(self) -> ClientVariables:
        """Refuse to call without TLS where somebody means to: nothing would say so."""
        rest = ("client_certificate", "client_key", "token_file")
        given = [name for name in rest if getattr(self, name) is not None]
        if given and self.server_ca is None:
            names = ", ".join(PREFIX + name.upper() for name in given)
            raise ValueError(f"{names}: expected {PREFIX}SERVER_CA too, the authorities to trust")
        if (self.client_certificate is None) != (self.client_key is None):
            raise ValueError(
                f"expected {PREFIX}CLIENT_CERTIFICATE and {PREFIX}CLIENT_KEY together, got one"
            )
        return self


def client_variables() -> ClientVariables:
    """Return the settings of this process.

    Raises:
        typer.BadParameter: One is wrong, or a variable is one misspelt.
    """
    if not any(name.startswith(PREFIX) for name in os.environ):
        return ClientVariables()
    problems = list(misspelt(os.environ, ClientVariables))
    try:
        found = _environment()()
    except ValidationError as error:
        problems += problems_of(error)
    if problems:
        raise typer.BadParameter("\n".join(map(escape, problems)))
    return found


def memory_limit() -> MemoryLimit:
    """Return what a day may take: the environment's figure, else the machine's.

    Raises:
        typer.BadParameter: A setting in the environment is wrong.
    """
    return client_variables().memory_limit()


@cache
def _environment() -> type[ClientVariables]:
    # The library takes as long to load as a small command takes: it is for who has set something.
    from pydantic_settings import BaseSettings, SettingsConfigDict  # noqa: PLC0415

    class Environment(ClientVariables, BaseSettings):
        model_config = SettingsConfigDict(
            env_prefix=PREFIX, env_ignore_empty=True, frozen=True, extra="ignore"
        )

    return Environment
