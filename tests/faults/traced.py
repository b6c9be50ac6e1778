"""A command in a forked process whose system calls strace records, or lets fail one by one."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

_CALLS: Final = (
    *("openat", "close", "lseek", "write", "pwrite64", "writev", "ftruncate", "fallocate"),
    *("fsync", "fdatasync", "rename", "renameat", "renameat2", "link", "linkat", "unlink"),
    *("unlinkat", "mkdir", "mkdirat", "rmdir"),
)
"""What changes files, and what says which of them a descriptor is."""
_LINE: Final = re.compile(r"(\d+) +(\w+)\((.*)\) += (-?\d+)(.*)", re.DOTALL)
_UNFINISHED: Final = re.compile(r"(\d+) +(\w+)\((.*) <unfinished \.\.\.>", re.DOTALL)
_RESUMED: Final = re.compile(r"(\d+) +<\.\.\. (\w+) resumed>(.*)", re.DOTALL)
_TEXT: Final = re.compile(r'"((?:\\x[0-9a-f]{2})*)"')
_ATTACH_SECONDS: Final = 120.0
ALL: Final = pytest.param(None, id="all", marks=[pytest.mark.long, pytest.mark.timeout(1800)])
"""The parameter of a test of a sample that makes it a test of all there is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A system call that succeeded.

    Attributes:
        name: Its name.
        number: The how-manieth of that name it is in its thread, from 1.
        arguments: Its arguments as strace prints them, texts in hexadecimal.
        result: What it returned.
        thread: Which thread called, the first one being 0.
    """

    name: str
    number: int
    arguments: str
    result: int
    thread: int

    @property
    def texts(self) -> list[bytes]:
        """The strings among the arguments."""
        return [_bytes_of(found) for found in _TEXT.findall(self.arguments)]

    @property
    def descriptor(self) -> int:
        """The descriptor that the first argument is."""
        return int(re.match(r"\d+", self.arguments)[0])  # type: ignore[index]

    @property
    def numbers(self) -> list[int]:
        """The arguments that are plain decimal numbers, but for the first one."""
        return [int(one) for one in re.findall(r", (-?\d+)(?=,|$)", self.arguments)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a process ended.

    Attributes:
        code: Its exit code, or the negative number of the signal that killed it.
        said: What it printed.
        calls: The system calls, if they were recorded.
        failed: Whether a call was let fail.
    """

    code: int
    said: str
    calls: Sequence[Call]
    failed: bool


def why_not() -> str | None:
    """Return why nothing can be traced here, or None if it can."""
    return None if shutil.which("strace") else "strace is not installed: apt install strace"


def traced(command: Callable[[], int], folder: Path, *, inject: str = "") -> Ended:
    """Run a function in a forked process, and record its calls or let one of them fail.

    Args:
        command: Returns the exit code.
        folder: Where strace and the process write.
        inject: What strace's `-e inject=` takes; empty records all calls.
    """
    reader, writer = os.pipe()
    said, trace = folder / "said", folder / "trace"
    process = os.fork()
    if not process:
        _run(command, reader, said)
    os.close(reader)
    calls = [inject.partition(":")[0]] if inject else _CALLS
    options = [f"--trace={','.join(calls)}", *([f"--inject={inject}"] if inject else [])]
    strace = ["strace", "-f", "-xx", "-s", "100000000", "-o", str(trace), "-p", str(process)]
    with subprocess.Popen([*strace, *options], stderr=subprocess.PIPE) as tracer:
        _wait_until_attached(process, tracer)
        os.write(writer, b"\0")
        os.close(writer)
        code = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    text = trace.read_text("ascii")
    return Ended(
        code=code,
        said=said.read_text("utf-8"),
        calls=() if inject else _calls_of(text),
        failed="(INJECTED)" in text or code < 0,
    )


def forked(command: Callable[[], int], folder: Path) -> Ended:
    """Run a function in a forked process, and trace nothing."""
    said = folder / "said"
    process = os.fork()
    if not process:
        _run(command, None, said)
    code = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    return Ended(code=code, said=said.read_text("utf-8"), calls=(), failed=False)


def _run(command: Callable[[], int], reader: int | None, said: Path) -> None:
    code = 70
    try:
        descriptor = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        os.dup2(descriptor, 1)
        os.dup2(descriptor, 2)
        if reader is not None:
            os.read(reader, 1)
        code = command()
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _wait_until_attached(process: int, tracer: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + _ATTACH_SECONDS
    while "TracerPid:\t0\n" in Path(f"/proc/{process}/status").read_text("utf-8"):
        if tracer.poll() is not None or time.monotonic() > deadline:
            said = tracer.stderr.read() if tracer.stderr else b""
            os.kill(process, 9)
            os.waitpid(process, 0)
            raise RuntimeError(f"strace did not attach: {said.decode('utf-8', 'replace')}")
        time.sleep(0.000_5)


def _calls_of(text: str) -> list[Call]:
    found: list[Call] = []
    begun: dict[str, str] = {}
    counts: Counter[tuple[str, str]] = Counter()
    threads: dict[str, int] = {}
    for line in text.splitlines():
        if (cut := _UNFINISHED.fullmatch(line)) is not None:
            begun[cut[1]] = f"{cut[1]} {cut[2]}({cut[3]}"
            continue
        whole = line
        if (rest := _RESUMED.fullmatch(line)) is not None:
            whole = begun.pop(rest[1]) + rest[3]
        parts = _LINE.fullmatch(whole)
        if parts is None:
            continue
        thread = threads.setdefault(parts[1], len(threads))
        counts[parts[1], parts[2]] += 1
        if int(parts[4]) >= 0:
            found.append(
                Call(
                    name=parts[2],
                    number=counts[parts[1], parts[2]],
                    arguments=parts[3],
                    result=int(parts[4]),
                    thread=thread,
                )
            )
    return found


def _bytes_of(escaped: str) -> bytes:
    return bytes.fromhex(escaped.replace("\\x", ""))
