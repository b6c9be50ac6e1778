"""Output that goes to a bucket: files written here first, and then copied.

Invariants:
- An object is there whole or not at all; one of the same name is replaced.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from lottery.errors import ServerAway


def check_bucket(url: str) -> None:
    """Look whether a bucket is there, before anything is recorded.

    Raises:
        ValueError: The URL is not a bucket's, or there is no such bucket.
        EngineMissing: The library for buckets is not installed.
        ServerAway: The store cannot be reached.
    """
    # Loads the library, which is an extra.
    from lottery.stores.bucket import open_bucket  # noqa: PLC0415

    bucket = open_bucket(url)
    try:
        with suppress(PermissionError):  # Who may write need not be allowed to list.
            next(bucket.list(), None)
    except NotADirectoryError as error:
        raise ValueError(str(error)) from error
    except OSError as error:
        raise ServerAway(str(error)) from error


def deliver(folder: Path, url: str) -> None:
    """Copy the files of a folder to a bucket.

    Raises:
        OSError: One cannot be written.
    """
    from lottery.stores.bucket import open_bucket  # noqa: PLC0415 - as above.

    bucket = open_bucket(url)
    for path in sorted(folder.iterdir()):
        bucket.upload(path.name, path)
