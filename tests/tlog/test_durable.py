"""Files are there whole or not at all, and locks end with their holders."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lottery import durable

Write = Callable[[Path, bytes], None]


def without_unnamed_files(monkeypatch: pytest.MonkeyPatch, error: int = errno.EOPNOTSUPP) -> None:
    """Refuse unnamed files, as some file systems do."""
    opens = os.open

    def refusing(path: Any, flags: int, mode: int = 0o777, **named: Any) -> int:
        if flags & os.O_TMPFILE == os.O_TMPFILE:
            raise OSError(error, os.strerror(error))
        return opens(path, flags, mode, **named)

    monkeypatch.setattr(os, "open", refusing)


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The paths of what is synced, in order."""
    paths: list[Path] = []
    fsync = os.fsync

    def record(descriptor: int) -> None:
        paths.append(Path(f"/proc/self/fd/{descriptor}").readlink())
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", record)
    return paths


def test_a_file_gets_its_name_when_it_is_whole_and_synced(
    tmp_path: Path, synced: list[Path]
) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")

    with durable.atomic_file(path) as file:
        file.write(b"new")
        assert path.read_bytes() == b"old"
        temporary = Path(file.name)

    assert path.read_bytes() == b"new"
    assert synced == [temporary, tmp_path]
    assert temporary.parent == tmp_path
    assert names(tmp_path) == ["file"]


def test_a_writer_may_open_the_temporary_file_by_its_path(tmp_path: Path) -> None:
    with durable.atomic_file(tmp_path / "file") as file:
        Path(file.name).write_bytes(b"content")

    assert (tmp_path / "file").read_bytes() == b"content"


def test_two_temporary_files_have_different_names(tmp_path: Path) -> None:
    path = tmp_path / "file"

    with durable.atomic_file(path) as one, durable.atomic_file(path) as other:
        assert one.name != other.name


def test_a_failed_write_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "file"

    def fail() -> None:
        with durable.atomic_file(path) as file:
            file.write(b"half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert names(tmp_path) == []

    path.write_bytes(b"old")
    with pytest.raises(RuntimeError):
        fail()
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["file"]


@pytest.mark.parametrize("write", [durable.write_file, durable.create_file])
@pytest.mark.parametrize("unnamed", [True, False])
def test_a_file_that_cannot_be_synced_or_named_is_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, write: Write, unnamed: bool
) -> None:
    if not unnamed:
        without_unnamed_files(monkeypatch)

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", fail)
        with pytest.raises(OSError, match="No space"):
            write(tmp_path / "file", b"content")
    assert names(tmp_path) == []

    (tmp_path / "file").mkdir()
    with pytest.raises(OSError, match="file"):
        write(tmp_path / "file", b"content")
    assert names(tmp_path) == ["file"]


@pytest.mark.parametrize("kind", ["file", "directory", "symbolic link", "dangling link"])
@pytest.mark.parametrize("unnamed", [True, False])
def test_a_new_file_never_replaces_anything(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, *, unnamed: bool
) -> None:
    if not unnamed:
        without_unnamed_files(monkeypatch)
    path, elsewhere = tmp_path / "file", tmp_path / "elsewhere"
    match kind:
        case "file":
            path.write_bytes(b"old")
        case "directory":
            path.mkdir()
        case "symbolic link":
            elsewhere.write_bytes(b"old")
            path.symlink_to(elsewhere)
        case _:
            path.symlink_to(elsewhere)
    before = names(tmp_path)

    with pytest.raises(FileExistsError):
        durable.create_file(path, b"new")

    assert names(tmp_path) == before


def test_a_temporary_file_is_never_one_that_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("secrets.token_hex", lambda _: "guessed")
    guessed, elsewhere = tmp_path / ".guessed.tmp", tmp_path / "elsewhere"
    guessed.symlink_to(elsewhere)

    with pytest.raises(FileExistsError):
        durable.write_file(tmp_path / "file", b"secret")

    assert names(tmp_path) == [".guessed.tmp"]


def test_a_file_has_the_mode_asked_for_less_the_umask(tmp_path: Path) -> None:
    umask = os.umask(0o027)
    try:
        durable.write_file(tmp_path / "default", b"")
        durable.write_file(tmp_path / "private", b"", mode=0o600)
        with durable.atomic_file(tmp_path / "meanwhile", mode=0o600) as file:
            assert stat.S_IMODE(os.fstat(file.fileno()).st_mode) == 0o600
    finally:
        os.umask(umask)

    assert stat.S_IMODE((tmp_path / "default").stat().st_mode) == 0o640
    assert stat.S_IMODE((tmp_path / "private").stat().st_mode) == 0o600


def test_a_missing_directory_is_an_error_of_the_system(tmp_path: Path) -> None:
    missing = tmp_path / "missing"

    with pytest.raises(FileNotFoundError):
        durable.write_file(missing / "file", b"")
    with pytest.raises(FileNotFoundError):
        durable.sync_directory(missing)
    with pytest.raises(FileNotFoundError):
        durable.sync_file(missing)
    with pytest.raises(FileNotFoundError), durable.lock_directory(missing):
        pass


def test_files_and_directories_are_synced_and_nothing_stays_open(
    tmp_path: Path, synced: list[Path]
) -> None:
    (tmp_path / "file").touch()
    before = names(Path("/proc/self/fd"))

    durable.sync_file(tmp_path / "file")
    durable.sync_directory(tmp_path)
    with pytest.raises(NotADirectoryError):
        durable.sync_directory(tmp_path / "file")

    assert synced == [tmp_path / "file", tmp_path]
    assert names(Path("/proc/self/fd")) == before


def test_a_lock_is_held_alone(tmp_path: Path) -> None:
    wants = durable.lock_directory(tmp_path)

    with (
        durable.lock_directory(tmp_path),
        pytest.raises(TimeoutError, match="is locked by another process"),
        wants,
    ):
        pass

    with durable.lock_directory(tmp_path):  # It ended with the block.
        assert names(tmp_path) == []


@pytest.mark.parametrize("unnamed", [True, False])
def test_a_new_file_is_whole_before_it_has_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, unnamed: bool
) -> None:
    if not unnamed:
        without_unnamed_files(monkeypatch)
    content = bytes(range(256)) * 1_000
    seen: list[list[str]] = []
    fsync, link = os.fsync, os.link

    def before(call: Callable[..., None]) -> Callable[..., None]:
        def called(*arguments: Any, **named: Any) -> None:
            seen.append([name for name in names(tmp_path) if not name.startswith(".")])
            call(*arguments, **named)

        return called

    monkeypatch.setattr(os, "fsync", before(fsync))
    monkeypatch.setattr(os, "link", before(link))
    durable.create_file(tmp_path / "file", content, mode=0o600)

    assert seen == [[], [], ["file"]]  # Its content is synced, it is linked, the name is synced.
    assert (tmp_path / "file").read_bytes() == content
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o600
    assert names(tmp_path) == ["file"]


def test_a_killed_process_leaves_nothing_of_a_new_file(tmp_path: Path) -> None:
    program = (
        "import os, signal, sys\nfrom pathlib import Path\nfrom lottery import durable\n"
        "os.link = lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL)\n"
        "durable.create_file(Path(sys.argv[1]), b'secret')\n"
    )

    done = subprocess.run([sys.executable, "-c", program, tmp_path / "key"], check=False)

    assert done.returncode == -9
    assert names(tmp_path) == []


def test_what_else_a_file_system_refuses_is_not_hidden(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_unnamed_files(monkeypatch, errno.ENOSPC)

    with pytest.raises(OSError, match="No space"):
        durable.create_file(tmp_path / "file", b"content")


@pytest.mark.parametrize("kind", ["link", "pipe"])
def test_a_link_is_not_followed_and_a_pipe_is_not_waited_for(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "file"
    if kind == "link":
        (tmp_path / "elsewhere").write_bytes(b"secret")
        path.symlink_to(tmp_path / "elsewhere")
        with pytest.raises(OSError, match="symbolic links"):
            durable.read_file(path)
    else:
        os.mkfifo(path)
        assert durable.read_file(path) == b""


def test_a_lock_is_waited_for_and_ends_with_its_process(tmp_path: Path) -> None:
    program = (
        "import sys, time\nfrom pathlib import Path\nfrom lottery import durable\n"
        "with durable.lock_directory(Path(sys.argv[1])):\n"
        "    print('held', flush=True)\n    time.sleep(60)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, tmp_path], stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(TimeoutError), durable.lock_directory(tmp_path, seconds=0.1):
            pass
        holder.kill()
        with durable.lock_directory(tmp_path, seconds=30.0):
            pass
