"""What a store keeps of its promises, tried out when a program starts.

The ledger needs two things of a bucket: that what was written is read, and is listed, at once. A
store without them is refused. Conditional writes decide nothing here, since SQL does: a store that
has none, or whose conditional writes race, is used and reported.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Final

from lottery.errors import LedgerUnwritable, quote
from lottery.ledger.ports import Ids
from lottery.stores.bucket import Bucket

_WRITERS: Final = 4
_WAIT_SECONDS: Final = 60.0
_FOLDER: Final = "probe"


def probe(bucket: Bucket, ids: Ids) -> list[str]:
    """Try a store out with objects below `probe/`, which are deleted, and return what was found.

    Sets `bucket.conditional` when the store refused a second write of a name.

    Args:
        bucket: The bucket that is going to be used.
        ids: What the objects' names and contents are made of.

    Returns:
        A sentence for each promise that is not kept and not needed; none if all is well.

    Raises:
        LedgerUnwritable: The store cannot be written or read, or does not read its own writes.
    """
    name = f"{_FOLDER}/{ids()}"
    names = (f"{name}-first", f"{name}-race")
    bucket.conditional = False
    try:
        with _deleted(bucket, names):
            _check_own_writes(bucket, names[0], ids().encode("ascii"))
            findings = list(_refusals(bucket, names[0], ids().encode("ascii")))
            bucket.conditional = not findings
            return findings or list(_races(bucket, names[1], ids))
    except OSError as error:
        raise LedgerUnwritable(
            f"{bucket.place} cannot be used: {error}; check its address and the permissions to "
            "read, write, list and delete there"
        ) from error


def _check_own_writes(bucket: Bucket, name: str, content: bytes) -> None:
    """Refuse a store that does not read what it was given last.

    Raises:
        LedgerUnwritable: It does not.
    """
    for expected in (content, content[::-1]):  # Of a second write an old answer could be kept.
        bucket.put(name, expected)
        try:
            got = bucket.get(name)
        except FileNotFoundError:
            got = b""
        if got != expected:
            raise LedgerUnwritable(
                f"{bucket.place} does not read its own writes: expected the {len(expected)} bytes "
                f"just written to {quote(name)}, got {'others' if got else 'no object'}; use a "
                "store that is consistent, without a cache between"
            )
    if name not in {found.name for found in bucket.list(_FOLDER)}:
        raise LedgerUnwritable(
            f"{bucket.place} does not list its own writes: expected {quote(name)}, which was just "
            "written, in the list; use a store that is consistent"
        )


def _refusals(bucket: Bucket, name: str, other: bytes) -> Iterator[str]:
    """Yield a finding if the store writes over an object on the condition that there is none."""
    if bucket.write_if_absent(name, other) or bucket.get(name) == other:
        yield (
            f"{bucket.place} ignores conditional writes: it wrote over an object on the condition "
            "that there is none; every object is read before it is created"
        )


def _races(bucket: Bucket, name: str, ids: Ids) -> Iterator[str]:
    """Yield a finding if several writers at one time are each said to have made the same object."""
    contents = [ids().encode("ascii") for _ in range(_WRITERS)]
    barrier = Barrier(_WRITERS, timeout=_WAIT_SECONDS)

    def write(content: bytes) -> bool:
        barrier.wait()
        return bucket.write_if_absent(name, content)

    with ThreadPoolExecutor(_WRITERS) as pool:
        answers = list(pool.map(write, contents))
    kept = bucket.get(name)
    winners = [content for content, won in zip(contents, answers, strict=True) if won]
    # No winner is no finding: the one that won may have been refused when it was sent again.
    if len(winners) > 1 or (winners and kept != winners[0]):
        yield (
            f"{bucket.place} races on conditional writes: expected one of {_WRITERS} writers of a "
            f"name to be accepted, and its bytes to be kept, got {len(winners)} accepted; the "
            "ledger does not rest on it, since its database decides"
        )


@contextlib.contextmanager
def _deleted(bucket: Bucket, names: tuple[str, ...]) -> Iterator[None]:
    """Delete objects at the end; what cannot be deleted does no harm and hides no error."""
    try:
        yield
    finally:
        for name in names:
            with contextlib.suppress(OSError):
                bucket.delete(name)
