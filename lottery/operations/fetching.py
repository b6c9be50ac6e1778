"""Inputs that are no files of this machine: objects of a bucket, and standard input.

They are copied to a folder that is this process's alone, under their own names, and are read there
like any other file; a checksum beside an object comes along. The folder is removed at the end.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, Final

from lottery.errors import ServerAway
from lottery.intake.arrival import CHECKSUM

_STANDARD_INPUT: Final = "-"
_NAME: Final = "standard-input"
_CSV: Final = ".csv"


@contextmanager
def fetched(
    given: Iterable[str | None], standard_input: Callable[[], BinaryIO]
) -> Iterator[Mapping[str, Path]]:
    """Return the file of each input while the block runs.

    Args:
        given: Paths, URLs of objects, `-` for CSV on standard input, or `-` and a suffix for
            another format of it, as `-.xml`; None is no input.
        standard_input: Returns what `-` is; called if it is an input.

    Raises:
        ValueError: There is no such object or bucket, it may not be read, or several inputs are
            standard input.
        EngineMissing: The library for buckets is not installed.
        ServerAway: The store cannot be reached.
    """
    inputs = [one for one in given if one is not None]
    if len([one for one in inputs if _is_standard_input(one)]) > 1:
        raise ValueError("standard input can be one file only, got it for several")
    files = {one: Path(one) for one in inputs if not (_is_standard_input(one) or "://" in one)}
    if len(files) == len({*inputs}):  # Nothing is written for files that are here.
        yield files
        return
    with tempfile.TemporaryDirectory(prefix="lottery-") as folder:  # Made with mode 0700.
        for number, one in enumerate(dict.fromkeys(inputs)):
            if one not in files:
                own = Path(folder) / str(number)
                own.mkdir()
                is_object = "://" in one
                files[one] = _object(one, own) if is_object else _copied(one, own, standard_input())
        yield files


def _is_standard_input(given: str) -> bool:
    return given == _STANDARD_INPUT or given.startswith(f"{_STANDARD_INPUT}.")


def _copied(given: str, folder: Path, standard_input: BinaryIO) -> Path:
    path = folder / f"{_NAME}{given.removeprefix(_STANDARD_INPUT) or _CSV}"
    with path.open("wb") as file:
        shutil.copyfileobj(standard_input, file)
    return path


def _object(url: str, folder: Path) -> Path:
    """Copy an object, and the checksum beside it if there is one, and return the copy's path."""
    # Loads the library, which is an extra.
    from lottery.stores.bucket import open_bucket  # noqa: PLC0415

    prefix, _, name = url.rpartition("/")
    bucket = open_bucket(prefix)
    path = folder / name
    try:
        bucket.download(name, path)
        with suppress(FileNotFoundError):
            bucket.download(f"{name}{CHECKSUM}", path.with_name(f"{name}{CHECKSUM}"))
    except (FileNotFoundError, NotADirectoryError, PermissionError) as error:
        raise ValueError(str(error)) from error
    except OSError as error:
        raise ServerAway(str(error)) from error
    return path
