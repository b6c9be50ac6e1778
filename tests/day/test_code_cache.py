"""Where compiled loops are kept: in a folder of one's own or none, and without an old rule."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import pytest

import lottery
from lottery.day import code_cache

COMPILING = "compiling the loops for large days, which takes some seconds"


def double(number: int) -> int:
    """A loop's stand-in that is quick to compile."""
    return 2 * number


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
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
def places(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Places:
    """Gives the program folders of the test's own, of which all can be written."""
    found = Places(
        package=tmp_path / "package", user=tmp_path / "user", temporary=tmp_path / "temporary"
    )
    for folder in (found.package, found.user, found.temporary):
        folder.mkdir()
    monkeypatch.setattr(code_cache, "__file__", str(found.package / "code_cache.py"))
    monkeypatch.setattr(tempfile, "tempdir", str(found.temporary))
    monkeypatch.setenv("XDG_CACHE_HOME", str(found.user))
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    return found


def close(folder: Path) -> None:
    """Makes that nothing can be made in a folder, for the superuser too: a file is in its place."""
    folder.rmdir()
    folder.touch()


def chosen() -> Path | None:
    """The folder chosen, looked for anew."""
    return code_cache.code_folder.__wrapped__()


def test_code_is_kept_beside_the_package(places: Places) -> None:
    assert chosen() == places.package / "__pycache__"
    assert chosen() == places.package / "__pycache__"
    assert list(places.user.iterdir()) == list(places.temporary.iterdir()) == []


def test_a_package_that_cannot_be_written_keeps_its_code_in_the_users_cache(
    places: Places,
) -> None:
    close(places.package)

    assert chosen() == places.user / "lottery"
    assert (places.user / "lottery").stat().st_mode & 0o777 == 0o700


def test_the_users_cache_is_in_the_home_where_nothing_else_is_set(
    places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    close(places.package)
    monkeypatch.setenv("XDG_CACHE_HOME", "")
    monkeypatch.setenv("HOME", str(places.user))

    assert chosen() == places.user / ".cache" / "lottery"


def no_home() -> NoReturn:
    """Stands in for the home of a container's user without one."""
    raise RuntimeError


def test_a_user_without_a_home_keeps_code_in_a_private_temporary_folder(
    places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    close(places.package)
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr(Path, "home", no_home)

    assert chosen() == places.private
    assert places.private.stat().st_mode & 0o777 == 0o700


@pytest.fixture
def temporary_alone(places: Places) -> Places:
    """Leaves the program the temporary folder alone."""
    close(places.package)
    close(places.user)
    return places


def test_the_private_folder_serves_again(temporary_alone: Places) -> None:
    assert chosen() == temporary_alone.private
    (temporary_alone.private / "kept").touch()

    assert chosen() == temporary_alone.private
    assert (temporary_alone.private / "kept").exists()


@pytest.mark.parametrize("mode", [0o701, 0o710, 0o750, 0o770, 0o777])
def test_a_folder_that_others_can_enter_is_no_place_for_code_cache(
    mode: int, temporary_alone: Places
) -> None:
    temporary_alone.private.mkdir()
    temporary_alone.private.chmod(mode)

    assert chosen() is None


def test_a_folder_of_another_user_is_no_place_for_code_cache(
    temporary_alone: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    somebody_else = os.getuid() + 1
    (temporary_alone.temporary / f"lottery-code-{somebody_else}").mkdir(mode=0o700)
    monkeypatch.setattr(os, "getuid", lambda: somebody_else)

    assert chosen() is None


def test_a_link_to_a_private_folder_is_no_place_for_code_cache(temporary_alone: Places) -> None:
    elsewhere = temporary_alone.temporary / "elsewhere"
    elsewhere.mkdir(mode=0o700)
    temporary_alone.private.symlink_to(elsewhere)

    assert chosen() is None


def test_a_link_to_nothing_is_no_place_for_code_cache(temporary_alone: Places) -> None:
    temporary_alone.private.symlink_to(temporary_alone.temporary / "absent")

    assert chosen() is None


def test_a_file_in_the_folders_place_is_none(temporary_alone: Places) -> None:
    temporary_alone.private.touch(mode=0o600)

    assert chosen() is None


def test_without_any_place_nothing_is_kept(
    temporary_alone: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(temporary_alone.temporary / "absent" / "deeper"))
    close(temporary_alone.temporary)

    assert chosen() is None


def no_temporary_folder() -> NoReturn:
    """Stands in for `tempfile.gettempdir` on a system where no folder can be written."""
    raise FileNotFoundError


def test_a_system_without_a_temporary_folder_keeps_nothing(
    temporary_alone: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert temporary_alone.package.is_file()
    monkeypatch.setattr(tempfile, "gettempdir", no_temporary_folder)

    assert chosen() is None


def test_a_place_that_was_set_is_made_and_the_only_one(
    places: Places, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "set" / "here"))

    assert chosen() == tmp_path / "set" / "here"
    assert list(places.package.iterdir()) == []


def test_a_place_that_was_set_and_cannot_be_made_is_not_replaced(
    places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    close(places.user)
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(places.user / "here"))

    assert chosen() is None


def test_a_place_set_to_nothing_is_not_set(places: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NUMBA_CACHE_DIR", "")

    assert chosen() == places.package / "__pycache__"


def never(*_: object) -> bool:
    """Stands in for `os.access` where nothing can be written."""
    return False


def test_a_folder_that_is_read_only_serves_where_there_is_code_in_it(
    places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    (places.user / "lottery" / "loops").mkdir(parents=True)
    monkeypatch.setattr(os, "access", never)
    assert chosen() is None

    (places.user / "lottery" / "loops" / "loops.read_digits.nbi").touch()

    assert chosen() == places.user / "lottery"


def test_a_loop_without_a_place_for_its_code_is_compiled_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(code_cache, "code_folder", lambda: None)

    told: list[str] = []
    loop = code_cache.machine_code_of(double, told.append)

    assert loop(21) == 42
    assert loop.stats.cache_path is None  # type: ignore[attr-defined]
    assert told == [f"{COMPILING}; no folder keeps the code: NUMBA_CACHE_DIR names one"]


def test_a_loop_whose_code_cannot_be_written_is_compiled_all_the_same(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder = tmp_path / "code"
    folder.mkdir()
    monkeypatch.setattr(code_cache, "code_folder", lambda: folder)
    told: list[str] = []
    loop = code_cache.machine_code_of(double, told.append)
    folder.rmdir()

    assert loop(21) == 42


def test_a_loop_is_loaded_where_it_was_compiled_before(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(code_cache, "code_folder", lambda: tmp_path)
    told: list[str] = []
    before = code_cache.machine_code_of(double, told.append)
    after = code_cache.machine_code_of(double, told.append)

    assert before(21) == after(21) == 42

    assert list(tmp_path.glob("*.nbi"))
    assert sum(before.stats.cache_hits.values()) == 0  # type: ignore[attr-defined]
    assert sum(after.stats.cache_hits.values()) == 1  # type: ignore[attr-defined]
    assert told == [f"{COMPILING}; the code is kept in {tmp_path}"]


FIRST_HIT_BOTH_WAYS = """
import numpy as np
import pyarrow as pa

from lottery.day import loops
from lottery.day.single_pool import ArrangedPool, allocate_pool
from lottery.day.jit import compile_all, tell_when_compiling
from lottery.method.methodology import ZeroHit
from lottery.method.distribution import first_hit_number

tell_when_compiling(print)
compile_all()
pool = allocate_pool(
    ArrangedPool(
        accounts=pa.array(["1046", "1047", "1048"]),
        keys=np.arange(3),
        index_bits=2,
        doubled=(),
        wrong_accounts=np.arange(0),
    ),
    [30, 30, 5],
    assigned_quantity=10,
    ten_thousandths=4314,
    zero_hit=ZeroHit.WRAP,
)
loaded = sum(loops.allocate_pools.compiled().stats.cache_hits.values())
print(pool.first_hit, first_hit_number(4314, 65, False), "loaded" if loaded else "compiled")
"""


def test_a_rule_that_was_changed_is_not_run_from_older_code(tmp_path: Path) -> None:
    package = tmp_path / "lottery"
    for room in ("", "method", "day"):
        (package / room).mkdir()
        for module in (Path(lottery.__path__[0]) / room).glob("*.py"):
            shutil.copy2(module, package / room)

    def first_hits() -> list[str]:
        *told, last = subprocess.run(
            [sys.executable, "-P", "-c", FIRST_HIT_BOTH_WAYS],
            env={
                "PYTHONPATH": str(tmp_path),
                "PYTHONDONTWRITEBYTECODE": "1",
                "NUMBA_CACHE_DIR": str(tmp_path / "code"),
            },
            capture_output=True,
            check=True,
            text=True,
        ).stdout.splitlines()
        # Told once, however many loops are compiled.
        kept = f"{COMPILING}; the code is kept in {tmp_path / 'code'}"
        assert told == [kept] * last.endswith("compiled")
        return last.split()

    assert first_hits() == ["28", "28", "compiled"]
    assert first_hits() == ["28", "28", "loaded"]
    rule = package / "method" / "distribution.py"
    status = rule.stat()
    rule.write_text(rule.read_text().replace("    if hit > 0:", "    hit += 1\n    if hit > 0:"))
    os.utime(rule, ns=(status.st_atime_ns, status.st_mtime_ns))

    assert first_hits() == ["29", "29", "compiled"]
