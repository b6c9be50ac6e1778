"""A disk as POSIX promises it: what was not synced may be there, or not, or in part.

A file's content is durable up to its last sync, and a name up to the last sync of its directory. A
disk is made of the calls of a recorded command; `states` yields what a power cut may leave of it.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeAlias

from tests.faults.traced import Call

SECTORS: Final = (512, 4096)

_FOLDER: Final = "O_DIRECTORY"
_UNNAMED: Final = "O_TMPFILE"


@dataclass(eq=False, slots=True)
class File:
    """A file: what is durable of it, and what was done since."""

    durable: bytes = b""
    pending: list[Write] = field(default_factory=list)


@dataclass(eq=False, slots=True)
class Folder:
    """A folder: the names that are durable, and what was done since."""

    durable: dict[str, Node] = field(default_factory=dict)
    pending: list[Naming] = field(default_factory=list)


@dataclass(eq=False, slots=True)
class Write:
    """Bytes written at an offset; None cuts the file there, or extends it by zeros."""

    offset: int
    data: bytes | None

    def onto(self, content: bytes) -> bytes:
        if self.data is None:
            return content[: self.offset].ljust(self.offset, b"\0")
        before = content[: self.offset].ljust(self.offset, b"\0")
        return before + self.data + content[self.offset + len(self.data) :]


@dataclass(eq=False, slots=True)
class Naming:
    """A name given, or taken away if `node` is None."""

    name: str
    node: Node | None


Node: TypeAlias = File | Folder
Pending: TypeAlias = Write | Naming
Kept: TypeAlias = Callable[[Pending], "Pending | None"]
"""Returns what is left of a change that was not synced."""
State: TypeAlias = dict[str, "bytes | None"]
"""The paths of a tree with the contents of files; None for a folder."""


class Disk:
    """The tree below a folder, as the calls of a command leave it."""

    def __init__(self, root: Path) -> None:
        """Read what is there, all of which is durable."""
        self._root = str(root)
        self._tree = _read(root)
        self._open: dict[int, Node] = {}
        self._offsets: dict[int, int] = {}

    def apply(self, call: Call) -> bool:
        """Do a call, and return whether it changed anything here."""
        return bool(getattr(self, f"_{call.name}", self._unknown)(call))

    def states(self) -> Iterator[tuple[str, State]]:
        """Yield what a power cut may leave now, each with what it is."""
        pending = list(_pending_of(self._tree))
        yield "all kept", self.state(lambda change: change)
        yield "nothing kept", self.state(lambda _: None)
        yield "names kept", self.state(lambda one: one if isinstance(one, Naming) else None)
        yield "contents kept", self.state(lambda one: one if isinstance(one, Write) else None)
        for number, change in enumerate(pending):
            for what, kept in _variants(change):
                yield f"{number} {what}", self.state(kept)

    def state(self, kept: Kept) -> State:
        """Return the tree with what is left of each change that was not synced."""
        found: State = {}
        _collect(self._tree, "", kept, found)
        return found

    def _openat(self, call: Call) -> bool:
        path = call.texts[0].decode()
        self._offsets[call.result] = 0
        if _UNNAMED in call.arguments:
            if self._inside(path):
                self._open[call.result] = File()
            return False
        node = self._find(path) if self._inside(path) else None
        created = False
        if node is None and self._inside(path) and "O_CREAT" in call.arguments:
            node = File()
            created = self._name(path, node)
        if node is None:
            self._open.pop(call.result, None)
            return False
        if "O_TRUNC" in call.arguments and isinstance(node, File):
            node.pending.append(Write(0, None))
        self._open[call.result] = node
        return created

    def _close(self, call: Call) -> bool:
        self._open.pop(call.descriptor, None)
        return False

    def _lseek(self, call: Call) -> bool:
        self._offsets[call.descriptor] = call.result
        return False

    def _write(self, call: Call) -> bool:
        offset = self._offsets.get(call.descriptor, 0)
        self._offsets[call.descriptor] = offset + call.result
        return self._written(call, offset)

    def _pwrite64(self, call: Call) -> bool:
        return self._written(call, call.numbers[-1])

    def _written(self, call: Call, offset: int) -> bool:
        node = self._open.get(call.descriptor)
        if not isinstance(node, File):
            return False
        node.pending.append(Write(offset, b"".join(call.texts)[: call.result]))
        return True

    def _ftruncate(self, call: Call) -> bool:
        node = self._open.get(call.descriptor)
        if not isinstance(node, File):
            return False
        node.pending.append(Write(call.numbers[-1], None))
        return True

    def _fsync(self, call: Call) -> bool:
        node = self._open.get(call.descriptor)
        if node is None:
            return False
        if isinstance(node, File):
            for write in node.pending:
                node.durable = write.onto(node.durable)
        else:
            node.durable = _named(node, lambda change: change)
        node.pending.clear()
        return True

    _fdatasync = _fsync

    def _rename(self, call: Call) -> bool:
        old, new = (text.decode() for text in call.texts)
        if not self._inside(old):
            return False
        node = self._find(old)
        assert node is not None, f"expected a node at {old}"
        self._name(new, node)
        return self._name(old, None)

    _renameat = _renameat2 = _rename

    def _linkat(self, call: Call) -> bool:
        old, new = (text.decode() for text in call.texts)
        if old.startswith("/proc/self/fd/"):
            node = self._open.get(int(old.rpartition("/")[2]))
        else:
            node = self._find(old) if self._inside(old) else None
        if node is None:
            return False
        if not new.startswith("/"):
            # The name is relative to a folder's descriptor, the second one of the call.
            folder = self._open[int(call.arguments.split(", ")[2])]
            assert isinstance(folder, Folder), f"expected a folder, got {folder}"
            folder.pending.append(Naming(new, node))
            return True
        return self._name(new, node)

    _link = _linkat

    def _unlink(self, call: Call) -> bool:
        path = call.texts[0].decode()
        if not path.startswith("/"):
            folder = self._open.get(call.descriptor)
            if not isinstance(folder, Folder):
                return False
            folder.pending.append(Naming(path, None))
            return True
        return self._inside(path) and self._name(path, None)

    _unlinkat = _rmdir = _unlink

    def _mkdir(self, call: Call) -> bool:
        path = call.texts[0].decode()
        return self._inside(path) and self._name(path, Folder())

    _mkdirat = _mkdir

    def _unknown(self, call: Call) -> bool:
        assert self._root not in call.arguments, f"expected a call that is known, got {call}"
        return False

    def _inside(self, path: str) -> bool:
        return path == self._root or path.startswith(f"{self._root}/")

    def _find(self, path: str) -> Node | None:
        node: Node | None = self._tree
        for part in path[len(self._root) :].split("/"):
            if part and isinstance(node, Folder):
                node = _named(node, lambda change: change).get(part)
        return node

    def _name(self, path: str, node: Node | None) -> bool:
        parent, _, name = path.rpartition("/")
        folder = self._find(parent)
        assert isinstance(folder, Folder), f"expected a folder at {parent}"
        folder.pending.append(Naming(name, node))
        return True


def write_state(state: State, to: Path) -> None:
    """Write a tree below a folder, which is made."""
    to.mkdir()
    for name, content in state.items():
        if content is None:
            (to / name).mkdir(0o700)
        else:
            (to / name).write_bytes(content)
            (to / name).chmod(0o600)


def _read(path: Path) -> Node:
    if path.is_dir():
        return Folder({child.name: _read(child) for child in path.iterdir()})
    return File(path.read_bytes())


def _named(folder: Folder, kept: Kept) -> dict[str, Node]:
    names = dict(folder.durable)
    for change in folder.pending:
        left = kept(change)
        if not isinstance(left, Naming):
            continue
        if left.node is None:
            names.pop(left.name, None)
        else:
            names[left.name] = left.node
    return names


def _collect(node: Node, path: str, kept: Kept, found: State) -> None:
    if isinstance(node, File):
        content = node.durable
        for write in node.pending:
            left = kept(write)
            if isinstance(left, Write):
                content = left.onto(content)
        found[path] = content
        return
    if path:
        found[path] = None
    for name, child in sorted(_named(node, kept).items(), key=lambda item: item[0]):
        _collect(child, f"{path}/{name}".lstrip("/"), kept, found)


def _pending_of(tree: Node) -> Iterator[Pending]:
    """Yield the changes that are not synced, of all files and folders that a state may show."""
    seen: set[int] = set()
    rest: list[Node] = [tree]
    while rest:
        node = rest.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        yield from node.pending
        if isinstance(node, Folder):
            rest += node.durable.values()
            rest += [change.node for change in node.pending if change.node is not None]


def _variants(change: Pending) -> Iterator[tuple[str, Kept]]:
    """Yield ways in which one change differs from all others, or is in part there."""
    yield "lost alone", lambda one: None if one is change else one
    yield "kept alone", lambda one: one if one is change else None
    if isinstance(change, Write) and change.data is not None:
        for part in _torn(change, change.data):
            yield "torn", lambda one, part=part: part if one is change else one  # type: ignore[misc]


def _torn(write: Write, data: bytes) -> Sequence[Write]:
    """Return what is left of a write whose end, or whose beginning, did not come to the disk."""
    cuts = sorted({cut for cut in itertools.chain(SECTORS, (len(data) // 1024 * 512,)) if cut})
    return [
        part
        for cut in cuts
        if cut < len(data)
        for part in (
            Write(write.offset, data[:cut]),
            Write(write.offset + cut, data[cut:]),
        )
    ]
