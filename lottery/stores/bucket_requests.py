"""The requests to a bucket's store: obstore's calls, with errors and answers as the port has them.

Not here: what is done about a write whose answer proves nothing (`lottery.stores.bucket`).

Invariants:
- Nothing shorter than the object is ever returned.
- What does not heal by itself has a type of its own: a missing bucket is a
  `NotADirectoryError`, and what is not allowed a `PermissionError`.
- A message names the object and the bucket, and never a credential.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from lottery.errors import quote
from lottery.extras import missing
from lottery.stores.bucket_settings import Limits, connect, summary

try:
    import obstore
    from obstore import exceptions
except ImportError as error:
    raise missing("obstore") from error

if TYPE_CHECKING:
    from obstore import ObjectMeta

CHUNK_BYTES: Final = 8 << 20
"""A file up to this size is one request; a larger one is written and read in parts of it."""

_ATTEMPTS: Final = 3
"""How often a body that broke off is asked for."""

_PARALLEL_PARTS: Final = 4

_NO_BUCKET: Final = ("NoSuchBucket", "ContainerNotFound", "specified bucket does not exist")
"""What stores say in an answer of 404 when it is the bucket that is not there."""


class Requests:
    """The requests to one prefix of one bucket.

    Attributes:
        place: The URL, for messages.
    """

    def __init__(self, url: str, limits: Limits) -> None:
        """Connect to a URL, as `lottery.stores.bucket_settings.connect` does."""
        self._store, self.place = connect(url, limits)

    def write(self, name: str, content: bytes) -> None:
        """Write an object, whether or not there is one."""
        with self._errors("write", name):
            obstore.put(self._store, name, content, use_multipart=False)

    def write_if_absent(self, name: str, content: bytes) -> bool:
        """Write an object on the condition that none has its name; False if the store says so."""
        with self._errors("write", name):
            try:
                obstore.put(self._store, name, content, mode="create", use_multipart=False)
            except (exceptions.AlreadyExistsError, exceptions.PreconditionError):
                return False
            except (exceptions.NotSupportedError, exceptions.GenericError) as error:
                if not _is_unsupported(error):
                    raise
                obstore.put(self._store, name, content, use_multipart=False)
        return True

    def upload(self, name: str, path: Path) -> None:
        """Write a file in parts, which takes no condition."""
        with self._errors("write", name):
            obstore.put(
                self._store, name, path, chunk_size=CHUNK_BYTES, max_concurrency=_PARALLEL_PARTS
            )

    def delete(self, name: str) -> None:
        """Remove an object, if there is one."""
        try:
            with self._errors("delete", name, reads=True):
                obstore.delete(self._store, name)
        except FileNotFoundError:
            return  # Google and Azure say so, where Amazon does not.

    def listed(self, prefix: str) -> Iterator[ObjectMeta]:
        """Yield what is below a prefix, whatever its name."""
        with self._errors("list", prefix):
            for batch in obstore.list(self._store, prefix or None, chunk_size=1000):
                yield from batch

    def size(self, name: str) -> int:
        """Return an object's size."""
        with self._errors("read", name, reads=True):
            return obstore.get(self._store, name).meta["size"]

    def version(self, name: str) -> tuple[int, str | None, dt.datetime]:
        """Return an object's size, and what is another of every other version of it."""
        with self._errors("read", name, reads=True):
            meta = obstore.get(self._store, name).meta
        return meta["size"], meta["e_tag"], meta["last_modified"]

    def parts(self, name: str, size: int) -> Iterator[bytes]:
        """Yield an object's bytes, each part by a request of its own."""
        for start in range(0, size, CHUNK_BYTES):
            yield self.read(name, (start, min(start + CHUNK_BYTES, size)))

    def read(self, name: str, span: tuple[int, int] | None = None) -> bytes:
        """Return an object's bytes, or those from one offset to another."""
        left = _ATTEMPTS
        while True:
            with self._errors("read", name, reads=True):
                answer = obstore.get(
                    self._store, name, options={"range": span} if span is not None else None
                )
            try:
                return self._body(name, answer, span or (0, answer.meta["size"]))
            except OSError:  # obstore itself goes on with a body only where a store gives ETags.
                left -= 1
                if not left:
                    raise

    def _body(self, name: str, answer: obstore.GetResult, span: tuple[int, int]) -> bytes:
        with self._errors("read", name):
            content = bytes(answer.bytes())
        expected = span[1] - span[0]
        if len(content) != expected:
            raise OSError(
                f"cannot read {quote(name)} in {self.place}: expected {expected} bytes from offset "
                f"{span[0]} on, got {len(content)}; repeat the call"
            )
        return content

    @contextmanager
    def _errors(self, doing: str, name: str, *, reads: bool = False) -> Iterator[None]:
        """Raise obstore's errors as the port has them.

        Args:
            doing: The verb of the message.
            name: The object's name.
            reads: Whether a missing object is an answer; a write that says so misses its bucket.
        """
        # Its errors' further lines show requests whole, and are kept out of a traceback as well.
        try:
            yield
        except FileNotFoundError as error:
            if reads and not _is_of_bucket(error):
                raise FileNotFoundError(f"there is no {quote(name)} in {self.place}") from None
            raise NotADirectoryError(self._message(doing, name, error)) from None
        except (exceptions.PermissionDeniedError, exceptions.UnauthenticatedError) as error:
            raise PermissionError(self._message(doing, name, error)) from None
        except (exceptions.BaseError, ValueError) as error:
            kind = NotADirectoryError if _is_of_bucket(error) else OSError
            raise kind(self._message(doing, name, error)) from None

    def _message(self, doing: str, name: str, error: Exception) -> str:
        subject = f"{quote(name)} in {self.place}" if name else self.place
        return f"cannot {doing} {subject}: {summary(error)}"


def _is_of_bucket(error: Exception) -> bool:
    """Return whether a store said that it is the bucket that is not there."""
    return any(text in str(error) for text in _NO_BUCKET)


def _is_unsupported(error: Exception) -> bool:
    """Return whether a store said that it knows no conditional writes."""
    return isinstance(error, exceptions.NotSupportedError) or any(
        text in str(error) for text in ("501 Not Implemented", "<Code>NotImplemented</Code>")
    )
