"""How a bucket is named and connected to: URLs, limits, object names, and obstore's messages.

Not here: what is read and written (`lottery.stores.bucket`).
"""

from __future__ import annotations

import datetime as dt
import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, cast
from urllib.parse import urlsplit

from lottery.errors import escape, quote

if TYPE_CHECKING:
    from obstore.store import ClientConfig, ObjectStore, RetryConfig

SCHEMES: Final = {"s3": "AWS", "gs": "GOOGLE", "az": "AZURE"}
"""The schemes of a bucket's URL, and how the names of their environment variables begin."""

_MEMORY: Final = "memory:///"
_MESSAGE_LIMIT: Final = 400
_PART: Final = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*", re.ASCII)
_FORWARDED: Final = (
    "allow_http",
    "allow_invalid_certificates",
    "proxy_ca_certificate",
    "proxy_excludes",
    "proxy_url",
    "root_certificate",
)
"""What obstore no longer reads from the environment once a limit is set in the program."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How long a store may take.

    Attributes:
        connect_seconds: To accept a connection.
        stalled_seconds: To send the next bytes of an answer.
        request_seconds: To answer one request, with its body.
        retries: How often a request is sent again.
        retry_seconds: For how long after its beginning a request is sent again.
    """

    connect_seconds: float = 5.0
    stalled_seconds: float = 20.0
    request_seconds: float = 30.0
    retries: int = 6
    retry_seconds: float = 45.0


LIMITS: Final = Limits()


def connect(url: str, limits: Limits) -> tuple[ObjectStore, str]:
    """Return obstore's store for a URL, and the URL as messages show it.

    Raises:
        ValueError: The URL is none of a bucket, or what the environment says is not enough.
    """
    from obstore import exceptions, store  # noqa: PLC0415 - an optional dependency.

    if url == _MEMORY:
        return store.MemoryStore(), url
    parts = urlsplit(url)
    if parts.username is not None or parts.password is not None or parts.query or parts.fragment:
        # What came is not shown, because it may hold a secret.
        raise ValueError(
            f"expected {_expected()} and nothing else in the URL, got one with a user, a query or "
            "a fragment; give credentials by the environment"
        )
    if parts.scheme not in SCHEMES or not parts.netloc:
        raise ValueError(
            f"expected {_expected()}, got {quote(url)}; for a directory give its path, without a "
            "scheme"
        )
    for part in filter(None, parts.path.split("/")):
        checked_name(part)
    place = f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}"
    try:
        opened = store.from_url(
            place,
            client_options=_client(SCHEMES[parts.scheme], limits),
            retry_config=_retries(limits),
        )
    except (exceptions.BaseError, ValueError) as error:
        raise ValueError(
            f"cannot use {place}: {summary(error)}; set what is missing in the environment, by "
            f"variables that begin with {SCHEMES[parts.scheme]}_"
        ) from None
    return opened, place


def checked_name(name: str) -> str:
    """Return an object's name, after checking it.

    Raises:
        ValueError: A part of it is empty, begins with a dot, or has a character that no name has.
    """
    if not all(_PART.fullmatch(part) for part in name.split("/")):
        raise ValueError(
            "expected an object name: parts of letters, digits, '.', '-' and '_', joined with '/', "
            f"none of them empty or beginning with a dot; got {quote(name)}"
        )
    return name


def summary(error: Exception) -> str:
    """Return what an error of obstore says, in a line and without credentials.

    Further lines of it show the request and the answer; of these the store's own code is kept.
    """
    text = str(error)
    code = re.search(r"<Code>(\w+)</Code>", text)
    line = re.sub(r"//[^/@\s]*@", "//", text.partition("\n")[0])
    line = re.sub(r"\?\S*", "", line.partition(": <?xml")[0])
    if line.endswith("builder error"):  # All that is said of an endpoint that is not allowed.
        line += "; for an endpoint that begins with http:// set AWS_ALLOW_HTTP=true, or its like"
    return escape(f"{line.strip()} ({code[1]})" if code else line.strip(), _MESSAGE_LIMIT)


def _expected() -> str:
    return "s3://BUCKET/PREFIX, gs://BUCKET/PREFIX or az://CONTAINER/PREFIX"


def _client(environment_prefix: str, limits: Limits) -> ClientConfig:
    forwarded = {
        option: value
        for option in _FORWARDED
        if (value := os.environ.get(f"{environment_prefix}_{option.upper()}"))
    }
    durations = {
        "connect_timeout": dt.timedelta(seconds=limits.connect_seconds),
        "read_timeout": dt.timedelta(seconds=limits.stalled_seconds),
        "timeout": dt.timedelta(seconds=limits.request_seconds),
    }
    return cast("ClientConfig", {**forwarded, **durations})


def _retries(limits: Limits) -> RetryConfig:
    return {
        "max_retries": limits.retries,
        "retry_timeout": dt.timedelta(seconds=limits.retry_seconds),
        "backoff": {
            "init_backoff": dt.timedelta(milliseconds=100),
            "max_backoff": dt.timedelta(seconds=5),
            "base": 2,
        },
    }
