"""A file as it came: mapped, its text, and the digest of the very bytes that are read."""

from __future__ import annotations

import mmap
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import pyarrow as pa

from lottery.errors import Problems, quote
from lottery.intake.arrival import check_arrival
from lottery.intake.compressed import decompressed, suffix_of
from lottery.intake.memory import TEXT_FACTOR, MemoryLimit
from lottery.intake.sources import Reading, Received, RowLocator, SourceFile

_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenedFile:
    """A file as received, and the text or table in it, which may have been compressed."""

    received: mmap.mmap | bytes
    text: pa.Buffer


def opened_file(path: Path, source: str, memory: MemoryLimit) -> OpenedFile | str:
    """Return the file mapped and as text, or why it cannot be read.

    Raises:
        LimitExceeded: It is compressed, and its text would take more memory.
    """
    received = mapped_file(path)
    if isinstance(received, str):
        return received
    text = text_in(received, suffix_of(path), source, memory)
    return text if isinstance(text, str) else OpenedFile(received=received, text=text)


def read_and_digest(
    path: Path,
    role: str,
    opened: OpenedFile,
    locator: RowLocator,
    read: Callable[[], _Result],
) -> tuple[_Result, SourceFile, Problems]:
    """Read a mapped file while another thread takes the digest of the same bytes.

    Returns:
        What `read` returns, the source, and a problem if the file was changed meanwhile or is not
        what its checksum says.
    """
    before = _identity(path)
    with ThreadPoolExecutor(1) as other_thread:
        file = other_thread.submit(
            SourceFile.digested, role, name_of(path), suffix_of(path), memoryview(opened.received)
        )
        result = read()
        source = file.result()
    if _identity(path) != before:
        changed = locator.problem("the file changed while it was read; run again")
        return result, source, Problems.of(changed)
    # In UTF-16 a line end is two bytes.
    ending = bytes(memoryview(opened.text)[-2:]).strip(b"\x00")[-1:]
    source, problems = check_arrival(path, source, ending, locator.source)
    return result, source, problems


def received_of(read: Reading, schema: pa.Schema, file: SourceFile) -> Received:
    """Return what a file had; without its source if it is refused as a whole."""
    is_refused = read.table is None
    return Received(
        table=schema.empty_table() if is_refused else read.table,
        sources=() if is_refused else (file,),
        locators=(read.locator,),
        problems=read.problems,
        occ_reports=read.occ_reports,
    )


def refused(source: str, schema: pa.Schema, message: str) -> Received:
    """Return that a file is refused as a whole, and why."""
    locator = RowLocator(source=source)
    problems = Problems.of(locator.problem(message))
    return Received(table=schema.empty_table(), sources=(), locators=(locator,), problems=problems)


def text_in(
    content: bytes | mmap.mmap, suffix: str, source: str, memory: MemoryLimit
) -> pa.Buffer | str:
    """Return the text of a file, which may be compressed, or why it has none.

    Raises:
        LimitExceeded: It would take more memory.
    """
    return decompressed(
        pa.py_buffer(content), suffix, lambda size: memory.check(source, size * TEXT_FACTOR)
    )


def mapped_file(path: Path) -> mmap.mmap | bytes | str:
    """Return the file mapped, no bytes if it is empty, or why it cannot be read."""
    try:
        missing = describe_missing(path)
        if missing is not None:
            return missing
        if path.stat().st_size == 0:
            return b""
        with path.open("rb") as file:
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except OSError as error:
        return describe_unreadable(error)


def suffix_text(path: Path) -> str:
    """Return what messages call the suffix of a file."""
    return quote(suffix_of(path)) if path.suffix else "no suffix"


def name_of(path: Path) -> str:
    """Return the file's name as text; bytes that are not text are replaced."""
    return os.fsencode(path.name).decode("utf-8", "replace")


def _identity(path: Path) -> tuple[int, int, int] | None:
    """Return what changes if a file is written or replaced; None if it is gone."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns


def describe_missing(path: Path) -> str | None:
    """Return why there is no file at a path, or None if there is one."""
    if path.is_file():
        return None
    return "the path is not a file" if path.exists() else "no such file"


def describe_unreadable(error: OSError) -> str:
    """Return why a file cannot be read."""
    return f"the file cannot be read: {error.strerror or error}"
