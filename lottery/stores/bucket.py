"""Objects in a bucket: S3 and what speaks its protocol, Google Cloud Storage and Azure.

An adapter of `lottery.ledger.ports.Objects` over obstore. Credentials, region and endpoint come
from the environment, by the names that obstore has for them (`AWS_ENDPOINT_URL`,
`AWS_ALLOW_HTTP`, `GOOGLE_APPLICATION_CREDENTIALS`, `AZURE_STORAGE_ACCOUNT_NAME` and so on).

Not here: the requests themselves (`lottery.stores.bucket_requests`), and whether the store keeps
what it promises (`lottery.stores.bucket_probe`).

Invariants:
- No method trusts a conditional write. What a store says of one is a reason to read the object and
  compare its bytes: a write that is sent again finds what it wrote itself, some stores ignore the
  condition, and others race.
- Every call ends: requests, retries and attempts have limits.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from lottery.errors import quote
from lottery.ledger.ports import ObjectInfo
from lottery.stores.bucket_requests import CHUNK_BYTES, Requests
from lottery.stores.bucket_settings import LIMITS, Limits, checked_name

_ATTEMPTS: Final = 3
"""How often a write is sent that is refused for an object that is not there."""

_PARALLEL: Final = 4
"""Files that are on their way at one time."""


def open_bucket(url: str, *, limits: Limits = LIMITS) -> Bucket:
    """Return the objects below a URL; nothing is asked of the store yet.

    Args:
        url: `s3://BUCKET/PREFIX`, `gs://BUCKET/PREFIX`, `az://CONTAINER/PREFIX` or, in memory and
            for tests, `memory:///`.
        limits: How long a request and its retries may take.

    Raises:
        ValueError: The URL is not such a one, or what the environment says is not enough.
    """
    return Bucket(Requests(url, limits))


class Bucket:
    """Objects below a prefix of a bucket; the methods are those of `lottery.ledger.ports.Objects`.

    Attributes:
        conditional: Whether the store was seen to refuse a second write of a name, as
            `lottery.stores.bucket_probe` finds out. As long as it is false, a name is read before
            it is created, because a store that ignores the condition replaces what is there.
    """

    def __init__(self, requests: Requests) -> None:
        """Take the requests to the store."""
        self._requests = requests
        self.conditional = False

    @property
    def place(self) -> str:
        """The URL, for messages."""
        return self._requests.place

    def get(self, name: str) -> bytes:
        """Return an object's bytes.

        Raises:
            FileNotFoundError: There is no such object.
            OSError: It could not be read, or broke off; a missing bucket is no missing object.
        """
        return self._requests.read(checked_name(name))

    def put(self, name: str, content: bytes) -> None:
        """Write an object, in the place of the one that has the name."""
        self._requests.write(checked_name(name), content)

    def upload(self, name: str, path: Path) -> None:
        """Write a file as an object, in the place of the one that has the name."""
        if path.stat().st_size <= CHUNK_BYTES:
            self.put(name, path.read_bytes())
        else:
            self._requests.upload(checked_name(name), path)

    def create(self, name: str, content: bytes) -> None:
        """Write an object that never changes; one that has these bytes already is left alone.

        Raises:
            FileExistsError: An object has the name, and other bytes.
        """

        def same() -> bool:
            return self._requests.read(name) == content

        checked_name(name)
        if self.conditional or not self._has(name, same):
            self._write_once(name, same, lambda: self.write_if_absent(name, content))

    def create_all(self, contents: Mapping[str, bytes]) -> None:
        """Write several objects as `create` does, a few at a time."""
        _in_parallel(self.create, contents.items())

    def write_if_absent(self, name: str, content: bytes) -> bool:
        """Ask the store to write an object if none has its name, and return its answer.

        The answer proves nothing: False may be said of an object that this call wrote itself. On a
        store that knows no conditional writes the object is written.
        """
        return self._requests.write_if_absent(checked_name(name), content)

    @contextmanager
    def staging(self) -> Iterator[Path]:
        """Return a new folder on disk that only this user can read; it is removed at the end."""
        with tempfile.TemporaryDirectory(prefix="lottery-") as folder:  # Made with mode 0700.
            yield Path(folder)

    def take(self, staged: Path, prefix: str) -> None:
        """Make an object `prefix/NAME` of every file NAME below a staging folder.

        Raises:
            FileExistsError: An object has one of the names, and other bytes.
        """
        files = sorted(path for path in staged.rglob("*") if not path.is_dir())
        names = [checked_name(f"{prefix}/{path.relative_to(staged).as_posix()}") for path in files]
        _in_parallel(self._take_file, zip(files, names, strict=True))

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        """Yield the objects below `prefix/`, or all of them, in no particular order.

        Names that the port does not allow, such as a console's empty `folder/`, are left out.
        """
        for found in self._requests.listed(checked_name(prefix) if prefix else prefix):
            try:
                name = checked_name(found["path"])
            except ValueError:
                continue
            yield ObjectInfo(name=name, size=found["size"], modified=found["last_modified"])

    def delete(self, name: str) -> None:
        """Remove an object, if there is one."""
        self._requests.delete(checked_name(name))

    def download(self, name: str, path: Path) -> None:
        """Copy an object to a new file.

        Raises:
            FileNotFoundError: There is no such object.
            OSError: It could not be read whole, or changed meanwhile.
        """
        version = self._requests.version(checked_name(name))
        self._download(path, name, version[0])
        if self._requests.version(name) != version:
            raise OSError(f"{quote(name)} in {self.place} changed while it was read; run again")

    @contextmanager
    def local(self, prefix: str) -> Iterator[Path]:
        """Return a folder on disk that has copies of the objects below `prefix/`.

        Raises:
            OSError: An object was not read whole, or has a name that could lie elsewhere on disk.
        """
        with self.staging() as folder:
            _in_parallel(self._download, self._copies(folder, prefix))
            yield folder

    def _write_once(self, name: str, same: Callable[[], bool], write: Callable[[], object]) -> None:
        """Write an object that never changes; whatever the store answers, the bytes decide.

        Args:
            name: The object's name, for messages.
            same: Reads the object and returns whether it has the bytes to be written.
            write: Writes it, and returns False if the store says that it exists.
        """
        for _ in range(_ATTEMPTS):
            try:
                answer = write()
            except OSError:
                # It may have been written before its answer was lost.
                if self._has(name, same):
                    return
                raise
            if answer is not False or self._has(name, same):
                return
            # Refused for an object that is not there: another writer's was under way and failed.
        raise OSError(
            f"cannot write {quote(name)} in {self.place}: the store says that it exists, and when "
            f"it is read that it does not, {_ATTEMPTS} times; look for another writer, and repeat"
        )

    def _has(self, name: str, same: Callable[[], bool]) -> bool:
        """Return whether an object is there, which then has these bytes."""
        try:
            if same():
                return True
        except FileNotFoundError:
            return False
        raise FileExistsError(
            f"{quote(name)} in {self.place} has other bytes than those to be written; such an "
            "object never changes: find out who wrote it before anything is written again"
        )

    def _take_file(self, path: Path, name: str) -> None:
        size = path.stat().st_size
        if size <= CHUNK_BYTES:
            self.create(name, path.read_bytes())
            return

        def same() -> bool:
            return self._requests.size(name) == size and self._has_bytes_of(path, name)

        if not self._has(name, same):
            self._write_once(name, same, lambda: self._requests.upload(name, path))

    def _has_bytes_of(self, path: Path, name: str) -> bool:
        with path.open("rb") as file:
            size = path.stat().st_size
            return all(part == file.read(len(part)) for part in self._requests.parts(name, size))

    def _copies(self, folder: Path, prefix: str) -> Iterator[tuple[Path, str, int]]:
        """Yield the path below a folder, the name and the size of each object below a prefix."""
        for found in self._requests.listed(checked_name(prefix) if prefix else prefix):
            below = found["path"].removeprefix(f"{prefix}/") if prefix else found["path"]
            if not found["path"]:
                continue  # The prefix itself, as consoles make it.
            try:
                checked_name(found["path"])
            except ValueError as error:
                raise OSError(f"cannot copy from {self.place}: {error}") from None
            yield folder / below, found["path"], found["size"]

    def _download(self, path: Path, name: str, size: int) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("xb") as file:
            for part in self._requests.parts(name, size):
                file.write(part)


def _in_parallel(do: Callable[..., None], items: Iterable[tuple[object, ...]]) -> None:
    """Call a function with each item, a few at a time; after an error no further one begins."""
    with ThreadPoolExecutor(_PARALLEL, thread_name_prefix="bucket") as pool:
        futures = [pool.submit(do, *item) for item in items]
        try:
            for future in futures:
                future.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
