"""Who is called when something became of a run: the file that `LOTTERY_WEBHOOKS` names.

    [[webhooks]]
    url = "https://pager.bank.example/lottery"
    secret_file = "pager.secret"
    events = ["run.held", "run.broken", "run.conflicted", "run.failed"]
    seconds = 30
    authorities = "bank-ca.pem"

A secret is what Standard Webhooks 1.0.0 ("Signature scheme") serializes: `whsec_` and the base64 of
24 to 64 random bytes. A file with several, one a line, has the present one and those before it: all
of them sign, so that a receiver can change to the new one when it likes.

Invariants:
- All that is wrong with the file is said at once, before anything is read or recorded.
- Nothing shows a secret, or more of a URL than its scheme, host and port: a path may be a secret.
- Plain HTTP goes to this machine alone.
"""

from __future__ import annotations

import base64
import binascii
import os
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final
from urllib.parse import urlsplit

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, ValidationInfo

from lottery.errors import escape, quote
from lottery.extras import import_extra
from lottery.operations.events import TYPES, Event, EventType
from lottery.operations.hosts import is_loopback
from lottery.operations.variables import what_is_wrong

SECRET: Final = "whsec_"  # noqa: S105 - what a secret begins with.
SECRET_BYTES: Final = range(24, 65)
"""How long a secret may be in bytes."""
SECONDS: Final = 30.0
"""Time in seconds for all attempts of one call."""
MOST_SECONDS: Final = 300.0


def _url(given: object) -> object:
    """Refuse a URL that cannot be called, or that crosses a network in plain text."""
    if not isinstance(given, str):
        return given
    wanted = "expected https://HOST[:PORT][/PATH], or http:// to loopback"
    try:
        parts = urlsplit(given)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise ValueError(f"{wanted}: {error}") from None
    if not host or not given.isascii() or not given.isprintable() or " " in given:
        raise ValueError(f"{wanted}, in ASCII")
    if parts.username is not None or parts.fragment:
        raise ValueError(f"{wanted}, without a user and without a fragment")
    if parts.scheme != "https" and not (parts.scheme == "http" and is_loopback(host)):
        raise ValueError(f"{wanted}, got {quote(f'{parts.scheme}://{host}')}")
    return given


def _secrets(given: object, info: ValidationInfo) -> object:
    """Read the secrets of a file."""
    path = _path(given, info)
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode & 0o777
            lines = [] if mode & 0o077 else file.read(1 << 16).splitlines()
    except OSError as error:
        raise ValueError(f"{escape(path)} cannot be read: {error.strerror}") from None
    if mode & 0o077:
        raise ValueError(
            f"{escape(path)} is open to others: expected mode 0600, got {mode:04o}; run chmod 600 "
            "on it if nobody else can have read it"
        )
    found = tuple(_secret(line) for line in lines)
    if not found or None in found:
        raise ValueError(
            f"{escape(path)}: expected lines of {SECRET} and the base64 of {SECRET_BYTES.start} to "
            f"{SECRET_BYTES.stop - 1} random bytes, the present secret first"
        )
    return found


def _secret(line: bytes) -> bytes | None:
    """Return the secret of a line; None if it has none."""
    if not line.startswith(SECRET.encode()):
        return None
    try:
        secret = base64.b64decode(line.removeprefix(SECRET.encode()), validate=True)
    except binascii.Error:
        return None
    return secret if len(secret) in SECRET_BYTES else None


def _authorities(given: object, info: ValidationInfo) -> object:
    """Look at the authorities of a file."""
    import ssl  # noqa: PLC0415 - few commands need it.

    path = _path(given, info)
    try:
        ssl.create_default_context(cafile=path)
    except OSError as error:  # What is wrong with its content is one too.
        what = error.strerror or error
        raise ValueError(f"{escape(path)}: expected PEM of authorities: {what}") from None
    return path


def _path(given: object, info: ValidationInfo) -> Path:
    """Return the path of a file that is named from the folder of the file of webhooks."""
    if not isinstance(given, str):
        raise ValueError(f"expected the name of a file, got {quote(given)}")  # noqa: TRY004 - pydantic takes it alone.
    folder: Path = (info.context or {})["folder"]
    return folder / given


def _events(given: object) -> object:
    """Refuse a receiver who wants nothing."""
    if given == []:
        raise ValueError(f"expected one or more of {', '.join(TYPES)}")
    return given


class Receiver(BaseModel):
    """Who is called.

    Attributes:
        url: Where.
        secrets: What the calls are signed with, the present secret first.
        events: The events that are announced; all that somebody must look at by default.
        seconds: How long one event is tried in all.
        authorities: The PEM file of the authorities that may sign the receiver's certificate; None
            for those that the system trusts.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    url: Annotated[str, BeforeValidator(_url)] = Field(repr=False)
    secrets: Annotated[tuple[bytes, ...], BeforeValidator(_secrets)] = Field(
        validation_alias="secret_file", repr=False
    )
    events: Annotated[frozenset[EventType], BeforeValidator(_events)] = frozenset(TYPES) - {
        "run.recorded"
    }
    seconds: float = Field(SECONDS, gt=0, le=MOST_SECONDS)
    authorities: Annotated[Path | None, BeforeValidator(_authorities)] = None

    @property
    def name(self) -> str:
        """What is shown of the URL: its scheme, host and port."""
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.netloc}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """What came of an event for one receiver.

    Attributes:
        receiver: The receiver's name.
        event: The event.
        attempts: How often it was sent, as far as that is known.
        problem: Why it was given up; None if the receiver has taken it.
    """

    receiver: str
    event: Event
    attempts: int
    problem: str | None


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid")

    webhooks: list[Receiver] = Field(min_length=1)


def read_webhooks(file: Path | None) -> tuple[Receiver, ...]:
    """Read who is called.

    Args:
        file: The file; None if nobody is.

    Raises:
        EngineMissing: The library that calls them is not installed.
        OSError: The file cannot be read.
        ValueError: It is not TOML, or something in it is wrong; every problem is listed.
    """
    if file is None:
        return ()
    try:
        given = tomllib.loads(file.read_text("utf-8"))
        found = _File.model_validate(given, context={"folder": file.parent})
    except ValidationError as error:
        raise ValueError("\n".join(_problems(file, error))) from None
    except ValueError as error:
        raise ValueError(f"{escape(file)}: {error}") from None
    import_extra("urllib3")  # It is said now if it is missing, and not when it is wanted.
    return tuple(found.webhooks)


def _problems(file: Path, error: ValidationError) -> Iterator[str]:
    """Yield what is wrong with each value, and where it is."""
    for problem in error.errors():
        location = [str(part) for part in problem["loc"]]
        if location[1:]:
            location[:2] = [f"webhook {int(location[1]) + 1}"]
        where = ", ".join(escape(part, 40) for part in location)
        yield f"{escape(file)}: {where}: {_what(problem)}"


def _what(problem: Any) -> str:
    if len(problem["loc"]) == 1:
        return "expected one or more tables [[webhooks]], and nothing else"
    if problem["type"] == "missing":
        return "expected it, got none"
    if problem["type"] == "extra_forbidden":
        fields = Receiver.model_fields.items()
        return f"expected {', '.join(str(one.validation_alias or name) for name, one in fields)}"
    return what_is_wrong(problem)
