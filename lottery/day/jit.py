"""Loops that are interpreted while they are short and compiled by numba when they are long.

Loading numba and the machine code of a day's loops takes longer than interpreting them over a small
day. So a loop runs as the Python function that it is until it has gone over some thousands of rows
in a process; from then on it runs compiled. Both are the same source and give the same results.

Machine code is kept in a file for each loop. Numba's own cache would go on using code with an old
rule of `lottery.method.distribution` compiled in, and runs what it finds, be it damaged.

Invariants:
- A loop has one version, of the types that it declares: after `warm_up` nothing is compiled.
- A kept file begins with a digest of what it follows from (sources, types, numba, processor) and
  of its content. A file that is empty, cut short, changed or out of date is never loaded; the loop
  is compiled again.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import inspect
import os
import pickle
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np

from lottery.durable import write_file
from lottery.method import distribution

ROWS_WORTH_COMPILING: Final = 32_768
"""Rows over which a loop is interpreted, all its calls together."""
_DIGEST_SIZE: Final = 32
_COMPILING: Final = "compiling the loops for large days, which takes some seconds"

_inlined: list[Callable[..., Any]] = []
_loops: list[Loop] = []
_lock = threading.Lock()
_reports: list[Callable[[str], None]] = []


def loop(types: str) -> Callable[[Callable[..., Any]], Loop]:
    """Decorate a function over arrays, in the part of Python that numba compiles.

    Args:
        types: The parameters' types, as `const int32[], int64[,], int64`: C-contiguous arrays of
            one and two dimensions and numbers. The loop only reads a `const` array. `words` is a
            uint64 at each byte of another array (`lottery.day.keys.words_of`).
    """

    def make(function: Callable[..., Any]) -> Loop:
        made = Loop(function, types)
        _loops.append(made)
        return made

    return make


def inlined(function: Callable[..., Any]) -> Callable[..., Any]:
    """Let loops call a function, which is compiled into them."""
    _inlined.append(function)
    return function


def warm_up() -> None:
    """Compile every loop that was imported, or load its code, before the first call."""
    for each in _loops:
        each.compiled()


def report_compiling(report: Callable[[str], None]) -> None:
    """Have it reported once before loops are compiled whose code is not kept yet."""
    _reports[:] = [report]


class Loop:
    """A loop over rows; called like the function that it is of.

    Attributes:
        function: The function.
        types: The parameters' types, as given to `loop`.
    """

    def __init__(self, function: Callable[..., Any], types: str) -> None:
        self.function = function
        self.types = types
        self.__doc__ = function.__doc__
        self._dispatcher: Callable[..., Any] | None = None
        self._interpreted_rows = 0

    def __call__(self, *arguments: Any) -> Any:
        """Run the loop, compiled if its arrays are long or many calls came before."""
        if self._dispatcher is not None:
            return self._dispatcher(*arguments)
        # Rows are counted over all calls: what is called often is compiled like what is long.
        self._interpreted_rows += _rows_of(arguments)
        if self._interpreted_rows > ROWS_WORTH_COMPILING:
            return self.compiled()(*arguments)
        return self.interpreted(*arguments)

    def interpreted(self, *arguments: Any) -> Any:
        """Run the loop as Python."""
        # Bytes and hashes wrap around, as they do in machine code.
        with np.errstate(over="ignore"):
            return self.function(*arguments)

    def compiled(self) -> Callable[..., Any]:
        """Return numba's dispatcher of the loop; from now on every call is compiled."""
        with _lock:
            if self._dispatcher is None:
                self._dispatcher = self._compile()
            return self._dispatcher

    def _compile(self) -> Callable[..., Any]:
        import numba  # noqa: PLC0415 - it takes longer to load than a small day.
        from numba.extending import register_jitable  # noqa: PLC0415 - as above.

        if numba.config.DISABLE_JIT:  # type: ignore[attr-defined]
            return self.interpreted
        while _inlined:
            register_jitable(_inlined.pop())
        # The GIL is released, so that threads can share a loop.
        dispatcher: Any = numba.njit(nogil=True)(self.function)
        signature = tuple(map(_numba_type, self.types.split(", ")))
        # What numba's own `cache=True` does, with another cache.
        dispatcher._cache = _KeptCode(self.function, self.types)  # noqa: SLF001
        dispatcher.compile(signature)
        dispatcher.disable_compile()
        compiled: Callable[..., Any] = dispatcher
        return compiled


class _KeptCode:
    """The machine code of one loop in a file: what numba's dispatcher takes for its cache."""

    def __init__(self, function: Callable[..., Any], types: str) -> None:
        folder = code_folder()
        self.cache_path = None if folder is None else str(folder)
        self._function = function
        self._types = types

    def load_overload(self, _signature: Any, target: Any) -> Any:
        """Return numba's compilation result, or None if no sound and current one is kept."""
        from numba.core.compiler import CompileResult  # noqa: PLC0415 - as numba.

        target.refresh()
        if self.cache_path is None:
            _report(f"{_COMPILING}; no folder keeps the code: set NUMBA_CACHE_DIR to one")
            return None
        path, digest = self._path(target.codegen()), self._digest(target.codegen())
        content = path.read_bytes() if path.is_file() else b""
        digest.update(content[_DIGEST_SIZE:])
        if content[:_DIGEST_SIZE] != digest.digest():
            _report(f"{_COMPILING}; the code is kept in {self.cache_path}")
            return None
        return CompileResult._rebuild(target, *pickle.loads(content[_DIGEST_SIZE:]))  # noqa: S301, SLF001 - it is as it was written.

    def save_overload(self, _signature: Any, result: Any) -> None:
        """Keep a compilation result."""
        from numba.core.serialize import dumps  # noqa: PLC0415 - as numba.

        assert not result.library.has_dynamic_globals, "such code cannot be kept"  # noqa: S101
        if self.cache_path is None:
            return
        content = dumps(result._reduce())  # noqa: SLF001
        digest = self._digest(result.codegen)
        digest.update(content)
        with contextlib.suppress(OSError):  # A read-only folder: compiled again next time.
            write_file(self._path(result.codegen), digest.digest() + content)

    def _path(self, codegen: Any) -> Path:
        """Return the path of a file of its own for each loop, Python and processor."""
        machine = hashlib.sha256(repr(codegen.magic_tuple()).encode()).hexdigest()
        name = f"{self._function.__module__}.{self._function.__qualname__}"
        tag = sys.implementation.cache_tag
        return Path(str(self.cache_path), f"{name}.{tag}-{machine[:16]}.code")

    def _digest(self, codegen: Any) -> hashlib._Hash:
        """Begin a digest with what the code follows from."""
        import numba  # noqa: PLC0415 - as above.

        digest = hashlib.sha256()
        # The loop, what may be compiled into it, and the options that it is compiled with.
        others = Path(__file__).with_name("loops.py")
        source = inspect.getfile(self._function)
        for path in (source, inspect.getfile(distribution), others, __file__):
            digest.update(hashlib.sha256(Path(path).read_bytes()).digest())
        code = self._function.__code__
        name = (self._function.__module__, self._function.__qualname__, code.co_firstlineno)
        made_by = (sys.version, numba.__version__, codegen.magic_tuple())
        digest.update(repr((*name, self._types, *made_by)).encode())
        return digest


@functools.cache
def code_folder() -> Path | None:
    """Return the folder of the machine code: the first that is there or can be made, or None.

    `$NUMBA_CACHE_DIR`, else beside this module, else the user's cache, else a private folder among
    the temporary ones. A folder that is read-only serves if it has code, as in a container.
    """
    for folder in _candidates():
        with contextlib.suppress(OSError):
            if not folder.is_dir():
                folder.mkdir(mode=0o700, parents=True)
            if folder == _private_folder() and not _is_private(folder):
                continue
            if os.access(folder, os.W_OK) or any(folder.glob("*.code")):
                return folder
    return None


def _candidates() -> Iterator[Path]:
    given = os.environ.get("NUMBA_CACHE_DIR")
    if given:
        yield Path(given)
        return
    yield Path(__file__).parent / "__pycache__"
    with contextlib.suppress(RuntimeError):  # A container's user need not have a home.
        yield Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "lottery"
    private = _private_folder()
    if private is not None:
        yield private


def _private_folder() -> Path | None:
    """Return a folder among the temporary ones; anyone could have made it."""
    try:
        return Path(tempfile.gettempdir()) / f"lottery-code-{os.getuid()}"
    except OSError:  # There need not be a temporary folder either.
        return None


def _is_private(folder: Path) -> bool:
    status = folder.lstat()
    return folder.is_dir() and status.st_uid == os.getuid() and not status.st_mode & 0o077


def _numba_type(text: str) -> Any:
    from numba import types  # noqa: PLC0415 - as above.

    name = text.removeprefix("const ").removesuffix("[]").removesuffix("[,]")
    is_const = text.startswith("const ")
    if name == "words":
        return types.Array(types.uint64, 1, "A", readonly=is_const, aligned=False)
    kind = types.boolean if name == "bool" else getattr(types, name)
    if not text.endswith("]"):
        return kind
    return types.Array(kind, 1 + text.count(","), "C", readonly=is_const)


def _rows_of(arguments: tuple[Any, ...]) -> int:
    return max((array.size for array in arguments if isinstance(array, np.ndarray)), default=0)


def _report(text: str) -> None:
    while _reports:
        _reports.pop()(text)
