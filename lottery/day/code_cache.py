"""numba's machine code of loops, and where it is kept. Importing this imports numba.

numba's own cache knows the file of the loop alone: it would go on using code with an old rule of
`lottery.method.distribution` compiled in, and it refuses a folder that it cannot write to. This
one stamps the code with the sources of the loop, of the rules, and of this module, whose options
count too; and it reads a folder that is read-only, as in a container.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import inspect
import os
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, Final, cast

import numba
from numba.core.caching import (
    CompileResultCacheImpl,
    FunctionCache,
    UserProvidedCacheLocator,
)
from numba.extending import register_jitable

from lottery.method import distribution

_COMPILING: Final = "compiling the loops for large days, which takes some seconds"


def machine_code_of(
    function: Callable[..., Any], announce: Callable[[str], None]
) -> Callable[..., Any]:
    """Numba's dispatcher of a loop: it releases the GIL, and its code is kept.

    Args:
        function: The loop.
        announce: Told before it is compiled, where no code of it is kept.
    """
    dispatcher: Any = numba.njit(nogil=True)(function)
    folder = code_folder()
    if folder is None:
        announce(f"{_COMPILING}; no folder keeps the code: NUMBA_CACHE_DIR names one")
    else:
        # What numba's own `cache=True` does, with another cache.
        dispatcher._cache = _Cache(function)  # noqa: SLF001
        dispatcher._cache.announce = partial(  # noqa: SLF001
            announce, f"{_COMPILING}; the code is kept in {folder}"
        )
    return cast("Callable[..., Any]", dispatcher)


def let_loops_inline(function: Callable[..., int]) -> None:
    """Lets loops that are compiled from now on call a rule; the compiler puts it into them."""
    register_jitable(function)


@functools.cache
def code_folder() -> Path | None:
    """The folder of the machine code: the first that is there or can be made; None for none.

    `$NUMBA_CACHE_DIR`, else beside the package, else the user's cache, else a private folder among
    the temporary ones.
    """
    for folder in _candidates():
        with contextlib.suppress(OSError):
            if not folder.is_dir():
                folder.mkdir(mode=0o700, parents=True)
            if folder == _private_folder() and not _is_private(folder):
                continue
            if os.access(folder, os.W_OK) or any(folder.rglob("*.nbi")):
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
    """A folder among the temporary ones; anyone could have made it, so it is looked at first."""
    try:
        return Path(tempfile.gettempdir()) / f"lottery-code-{os.getuid()}"
    except OSError:  # Nor need there be a temporary folder.
        return None


def _is_private(folder: Path) -> bool:
    status = folder.lstat()
    return folder.is_dir() and status.st_uid == os.getuid() and not status.st_mode & 0o077


class _Locator(UserProvidedCacheLocator):
    """Keeps code in `code_folder`, stamped with the loops' and the rules' sources."""

    def __init__(self, py_func: Callable[..., Any], py_file: str) -> None:
        super().__init__(py_func, py_file)
        self._cache_path = str(code_folder())

    @classmethod
    def from_function(cls, py_func: Callable[..., Any], py_file: str) -> _Locator:
        return cls(py_func, py_file)

    def ensure_cache_path(self) -> None:
        """The folder was chosen for being there."""

    def get_source_stamp(self) -> str:
        # The loop, what may be compiled into it, and the options that it is compiled with.
        others = Path(__file__).with_name("loops.py")
        sources = (self._py_file, inspect.getfile(distribution), others, __file__)
        digest = hashlib.sha256()
        for source in sources:
            digest.update(Path(source).read_bytes())
        return digest.hexdigest()


class _CacheImpl(CompileResultCacheImpl):
    _locator_classes = [_Locator]  # noqa: RUF012 - numba's own attribute.


class _Cache(FunctionCache):
    _impl_class = _CacheImpl
    announce: Callable[[], None]

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        found = super().load_overload(sig, target_context)
        if found is None:
            self.announce()
        return found

    def save_overload(self, sig: Any, data: Any) -> None:
        with contextlib.suppress(OSError):  # A read-only folder: compiled again next time.
            super().save_overload(sig, data)
