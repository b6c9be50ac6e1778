"""Machine code that is kept: in a safe folder or none, sound and current or not at all."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import pytest

import lottery
from lottery.day import jit, loops, pool_loops
from lottery.day.jit import Loop, code_folder
from tests.loops import loops_of

COMPILING = "compiling the loops for large days, which takes some seconds"


def double(number: int) -> int:
    """Stand in for a loop, quick to compile."""
    return 2 * number


@dataclass(frozen=True, slots=True, kw_only=True)
class Folders:
    """The folders that a test's program may find.

    Attributes:
        package: The package's folder.
        user: The user's cache.
        temporary: The system's folder for temporary files.
    """

    package: Path
    user: Path
    temporary: Path

    @property
    def private(self) -> Path:
        """This user's folder among the temporary ones."""
        return self.temporary / f"lottery-code-{os.getuid()}"


@pytest.fixture
def folders(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Folders:
    """Give the program folders of the test's own, all of which can be written."""
    found = Folders(
        package=tmp_path / "package", user=tmp_path / "user", temporary=tmp_path / "temporary"
    )
    for folder in (found.package, found.user, found.temporary):
        folder.mkdir()
    monkeypatch.setattr(jit, "__file__", str(found.package / "jit.py"))
    monkeypatch.setattr(tempfile, "tempdir", str(found.temporary))
    monkeypatch.setenv("XDG_CACHE_HOME", str(found.user))
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    return found


def close(folder: Path) -> None:
    """Replace a folder by a file, so that the superuser cannot make anything in it either."""
    folder.rmdir()
    folder.touch()


def chosen() -> Path | None:
    """Return the folder chosen, looked for anew."""
    return jit.code_folder.__wrapped__()


def test_code_is_kept_beside_the_package(folders: Folders) -> None:
    assert chosen() == folders.package / "__pycache__"
    assert chosen() == folders.package / "__pycache__"
    assert list(folders.user.iterdir()) == list(folders.temporary.iterdir()) == []


def test_a_package_that_cannot_be_written_keeps_its_code_in_the_users_cache(
    folders: Folders, monkeypatch: pytest.MonkeyPatch
) -> None:
    close(folders.package)

    assert chosen() == folders.user / "lottery"
    assert (folders.user / "lottery").stat().st_mode & 0o777 == 0o700
    monkeypatch.setenv("XDG_CACHE_HOME", "")
    monkeypatch.setenv("HOME", str(folders.user))
    assert chosen() == folders.user / ".cache" / "lottery"


def no_home() -> NoReturn:
    """Stand in for the home of a container's user without one."""
    raise RuntimeError


def test_a_user_without_a_home_keeps_code_in_a_private_temporary_folder(
    folders: Folders, monkeypatch: pytest.MonkeyPatch
) -> None:
    close(folders.package)
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr(Path, "home", no_home)

    assert chosen() == folders.private
    assert folders.private.stat().st_mode & 0o777 == 0o700


@pytest.fixture
def temporary_alone(folders: Folders) -> Folders:
    """Leave the program the temporary folder alone."""
    close(folders.package)
    close(folders.user)
    return folders


def test_the_private_folder_serves_again(temporary_alone: Folders) -> None:
    assert chosen() == temporary_alone.private
    (temporary_alone.private / "kept").touch()

    assert chosen() == temporary_alone.private
    assert (temporary_alone.private / "kept").exists()


@pytest.mark.parametrize("mode", [0o701, 0o710, 0o750, 0o770, 0o777])
def test_a_folder_that_others_can_enter_keeps_no_code(mode: int, temporary_alone: Folders) -> None:
    temporary_alone.private.mkdir()
    temporary_alone.private.chmod(mode)

    assert chosen() is None


def test_a_folder_of_another_user_keeps_no_code(
    temporary_alone: Folders, monkeypatch: pytest.MonkeyPatch
) -> None:
    somebody_else = os.getuid() + 1
    (temporary_alone.temporary / f"lottery-code-{somebody_else}").mkdir(mode=0o700)
    monkeypatch.setattr(os, "getuid", lambda: somebody_else)

    assert chosen() is None


def make_link(private: Path) -> None:
    """Link to a private folder."""
    elsewhere = private.with_name("elsewhere")
    elsewhere.mkdir(mode=0o700)
    private.symlink_to(elsewhere)


@pytest.mark.parametrize(
    "make",
    [
        make_link,
        lambda private: private.symlink_to(private.with_name("absent")),
        lambda private: private.touch(mode=0o600),
    ],
    ids=["a link to a folder", "a link to nothing", "a file"],
)
def test_what_is_not_a_folder_keeps_no_code(
    make: Callable[[Path], None], temporary_alone: Folders
) -> None:
    make(temporary_alone.private)

    assert chosen() is None


def no_temporary_folder() -> NoReturn:
    """Stand in for `tempfile.gettempdir` on a system where no folder can be written."""
    raise FileNotFoundError


def test_without_any_folder_nothing_is_kept(
    temporary_alone: Folders, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(temporary_alone.temporary / "absent" / "deeper"))
    close(temporary_alone.temporary)
    assert chosen() is None

    monkeypatch.setattr(tempfile, "gettempdir", no_temporary_folder)
    assert chosen() is None


def test_a_folder_that_was_set_is_made_and_the_only_one(
    folders: Folders, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "set" / "here"))
    assert chosen() == tmp_path / "set" / "here"
    assert list(folders.package.iterdir()) == []

    close(folders.user)
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(folders.user / "here"))
    assert chosen() is None

    monkeypatch.setenv("NUMBA_CACHE_DIR", "")
    assert chosen() == folders.package / "__pycache__"


def never(*_: object) -> bool:
    """Stand in for `os.access` if nothing can be written."""
    return False


def test_a_folder_that_is_read_only_serves_if_there_is_code_in_it(
    folders: Folders, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folders.user / "lottery").mkdir()
    monkeypatch.setattr(os, "access", never)
    assert chosen() is None

    (folders.user / "lottery" / "loops.read_keys.code").touch()

    assert chosen() == folders.user / "lottery"


@pytest.fixture
def reports() -> list[str]:
    """Return what is reported of compiling."""
    reported: list[str] = []
    jit.report_compiling(reported.append)
    return reported


@pytest.fixture
def kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Have code kept in a folder of the test's own."""
    folder = tmp_path / "code"
    folder.mkdir()
    monkeypatch.setattr(jit, "code_folder", lambda: folder)
    return folder


def doubled(number: int = 21) -> tuple[int, bool]:
    """Run the stand-in in a loop of its own: its result, and whether it was loaded."""
    compiled = Loop(double, "int64").compiled()
    return compiled(number), bool(compiled.stats.cache_hits)  # type: ignore[attr-defined]


def test_a_loop_without_a_folder_for_its_code_is_compiled_all_the_same(
    monkeypatch: pytest.MonkeyPatch, reports: list[str]
) -> None:
    monkeypatch.setattr(jit, "code_folder", lambda: None)

    assert doubled() == (42, False)
    assert reports == [f"{COMPILING}; no folder keeps the code: set NUMBA_CACHE_DIR to one"]


def test_a_loop_whose_code_cannot_be_written_is_compiled_all_the_same(kept: Path) -> None:
    kept.rmdir()

    assert doubled() == (42, False)


def test_a_loop_that_was_compiled_before_is_loaded(kept: Path, reports: list[str]) -> None:
    assert [doubled(), doubled()] == [(42, False), (42, True)]

    assert reports == [f"{COMPILING}; the code is kept in {kept}"]
    assert [path.suffix for path in kept.iterdir()] == [".code"]


def test_code_is_synced_before_it_has_its_name(kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[int] = []
    sync = os.fsync

    def record(descriptor: int) -> None:
        synced.append(os.fstat(descriptor).st_size)
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", record)
    doubled()

    (path,) = kept.iterdir()
    assert synced[0] == path.stat().st_size
    assert len(synced) == 2  # The file, and the folder that names it.


@pytest.mark.parametrize("size", [0, 1, 31, 32, 33, 100, 0.5, -1])
def test_code_that_is_empty_or_cut_short_is_compiled_again(size: float, kept: Path) -> None:
    doubled()
    (path,) = kept.iterdir()
    whole = path.read_bytes()
    end = int(size * len(whole)) if isinstance(size, float) else size
    path.write_bytes(whole[:end])

    assert [doubled(), doubled()] == [(42, False), (42, True)]
    assert len(path.read_bytes()) == pytest.approx(len(whole), abs=64)


def flipped(content: bytes, bit: int) -> bytes:
    """Return a content with one bit flipped."""
    changed = bytearray(content)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def test_code_with_a_flipped_bit_is_compiled_again(kept: Path) -> None:
    doubled()
    (path,) = kept.iterdir()
    chance = random.Random(10)  # noqa: S311 - a fixed sample.

    for _ in range(12):
        whole = path.read_bytes()
        path.write_bytes(flipped(whole, chance.randrange(8 * len(whole))))
        assert doubled() == (42, False)


@pytest.mark.usefixtures("kept")
def test_no_flipped_bit_in_the_code_of_any_loop_is_loaded() -> None:
    chance = random.Random(10)  # noqa: S311 - a fixed sample.
    flips = 0
    for loop in (*loops_of(loops).values(), *loops_of(pool_loops).values()):
        dispatcher = loop.compiled()
        target = dispatcher.targetctx  # type: ignore[attr-defined]
        code = jit._KeptCode(loop.function, loop.types)
        (result,) = dispatcher.overloads.values()  # type: ignore[attr-defined]
        original = code_folder()
        path = code._path(target.codegen())
        assert original is not None
        shutil.copyfile(original / path.name, path)
        whole = path.read_bytes()
        assert code.load_overload(result.signature, target) is not None

        bits = [0, 255, 256, 8 * len(whole) - 1]
        bits += [chance.randrange(8 * len(whole)) for _ in range(20)]
        for bit in bits:
            path.write_bytes(flipped(whole, bit))
            assert code.load_overload(result.signature, target) is None, (path.name, bit)
            flips += 1
        for size in (0, 32, len(whole) // 2, len(whole) - 1):
            path.write_bytes(whole[:size])
            assert code.load_overload(result.signature, target) is None, (path.name, size)
    assert flips >= 150


def test_the_code_of_one_loop_is_not_loaded_as_another(kept: Path) -> None:
    doubled()
    (path,) = kept.iterdir()
    whole = path.read_bytes()
    other = Loop(triple, "int64")
    path.with_name(path.name.replace("double", "triple")).write_bytes(whole)

    assert other.compiled()(21) == 63


def triple(number: int) -> int:
    """Stand in for another loop."""
    return 3 * number


FIRST_HIT_BOTH_WAYS = """
from lottery.day.jit import report_compiling
from lottery.day.pool_loops import allocate_rows
from lottery.day.single_pool import allocate_pool
from lottery.method.methodology import AccountOrder, ZeroHit
from lottery.method.distribution import first_hit_number

report_compiling(print)
loaded = sum(allocate_rows.compiled().stats.cache_hits.values())
pool = allocate_pool(
    ["1046", "1047", "1048"],
    [30, 30, 5],
    account_order=AccountOrder.NUMERIC,
    assigned_quantity=10,
    ten_thousandths=4314,
    zero_hit=ZeroHit.WRAP,
)
print(pool.first_hit, first_hit_number(4314, 65, False), "loaded" if loaded else "compiled")
"""


def test_a_rule_that_was_changed_is_not_run_from_older_code(tmp_path: Path) -> None:
    package = tmp_path / "lottery"
    for room in ("", "method", "day"):
        (package / room).mkdir()
        for module in (Path(lottery.__path__[0]) / room).glob("*.py"):
            shutil.copy2(module, package / room)

    def first_hits() -> list[str]:
        *reported, last = subprocess.run(
            [sys.executable, "-P", "-c", FIRST_HIT_BOTH_WAYS],
            env={
                "PYTHONPATH": str(tmp_path),
                "PYTHONDONTWRITEBYTECODE": "1",
                "NUMBA_CACHE_DIR": str(tmp_path / "code"),
                "NUMBA_OPT": "0",  # It is compiled sooner, and need not be fast.
            },
            capture_output=True,
            check=True,
            text=True,
        ).stdout.splitlines()
        # Reported once, however many loops are compiled.
        where = f"{COMPILING}; the code is kept in {tmp_path / 'code'}"
        assert reported == [where] * last.endswith("compiled")
        return last.split()

    assert first_hits() == ["28", "28", "compiled"]
    assert first_hits() == ["28", "28", "loaded"]
    rule = package / "method" / "distribution.py"
    status = rule.stat()
    rule.write_text(rule.read_text().replace("    if hit > 0:", "    hit += 1\n    if hit > 0:"))
    os.utime(rule, ns=(status.st_atime_ns, status.st_mtime_ns))

    assert first_hits() == ["29", "29", "compiled"]
