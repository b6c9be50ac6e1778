"""FIXML as a stream: its reports one by one, out of a file that nobody has to trust.

FIXML 1.1 Technical Standard (FIX Trading Community): a root `FIXML`, in it messages, alone or in a
`Batch`. The parser tells a target each element as it passes; no tree is built and nothing has to be
cleared. Not here: what a report means, which `fixml_reports` says.

Invariants:
- A document type is refused as it is named, before anything of it is read: no entity is declared,
  nothing is expanded and nothing is fetched.
- Memory does not grow with the file: nesting is limited, and so is what may come between elements.
- No report is passed over in silence: one in another place or namespace than a report's is refused.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt
from lxml import etree

from lottery.intake.columns import shorten
from lottery.intake.delimited import foreign_kind
from lottery.intake.received import Place

NAMESPACES: Final = tuple(
    f"http://www.fixprotocol.org/FIXML-{version}"
    for version in ("4-4", "5-0", "5-0-SP1", "5-0-SP2")
)
ENCODINGS: Final = frozenset({"utf-8", "us-ascii", "iso-8859-1", "windows-1252", "utf-16"})
DEEPEST: Final = 16
"""Elements within each other at most; a report's parties have five."""
BETWEEN_ELEMENTS: Final = 1 << 17
"""Bytes that may come without an element's start: one attribute, one comment, one text."""

Attributes: TypeAlias = Mapping[str, str]
Blocks: TypeAlias = Callable[[], Iterator[bytes]]
"""A file's bytes from its start in blocks of any size; called again to read it again."""

_DECLARED: Final = re.compile(r"""\sencoding\s*=\s*["']([^"']*)["']""")
_DECLARATION_BYTES: Final = 512
_WIDE_MARKS: Final = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_MESSAGE, _MESSAGE_OF_BATCH = 2, 3
_TAGS_KEPT: Final = 1_000
_PIECE: Final = 1 << 16


@dataclass(slots=True)
class Report:
    """A report as it stands in the file.

    Attributes:
        row: Which report of its kind it is, from 1.
        attributes: Those of the report itself.
        parties: Each `Pty`, with its `Sub`.
        instruments: Each `Instrmt`.
        quantities: Each `Qty`.
        has_legs: Whether there is a `Leg`, as of a spread.
    """

    row: int
    attributes: Attributes
    parties: list[tuple[Attributes, list[Attributes]]] = field(default_factory=list)
    instruments: list[Attributes] = field(default_factory=list)
    quantities: list[Attributes] = field(default_factory=list)
    has_legs: bool = False

    def __str__(self) -> str:
        """What problems call it."""
        return name_of(plain(self.attributes.get("RptID", "")))


def name_of(report_id: str) -> str:
    """What problems call the report of an id."""
    shown = shorten(report_id)
    if not shown:
        return "a report without RptID"
    return f"RptID {shown if shown.isprintable() else repr(shown)}"


def plain(text: str) -> str:
    """An attribute's text as it was meant.

    Where no entity is resolved, libxml2 leaves an ampersand as the reference `&#38;`.
    """
    return text.replace("&#38;", "&") if "&" in text else text


def is_count(text: str, count: int) -> bool:
    """Whether a text is that count."""
    return re.fullmatch("[0-9]{1,18}", text) is not None and int(text) == count


def read_reports(blocks: Blocks, wanted: str, take: Callable[[Report], None], place: Place) -> bool:
    """Reads the reports of one kind; other messages are passed over.

    Args:
        blocks: The file.
        wanted: The message, as `AsgnRpt`.
        take: Told each report as it ends.
        place: Where problems go, each with the report that it was met in or behind.

    Returns:
        Whether the file was read to its end.
    """
    target = _Target(wanted, take)
    message = _parsed(blocks(), target)
    for wrong in target.wrong_batches:
        place.refuse(wrong, column="TotMsg")
    if message is None:
        return True
    if target.report is not None:
        place.refuse_numbered_row(target.report.row, f"{target.report}: {message}")
    elif target.last is not None:
        place.refuse(f"after {target.last}: {message}")
    else:
        place.refuse(message)
    return False


def lines_of_reports(blocks: Blocks, wanted: str) -> npt.NDArray[np.int64]:
    """The line on which each report's start ends; as far as the file can be read.

    The parser does not tell lines, so the file is given to it line by line, for problems alone.
    """
    line = 1
    lines: list[int] = []
    target = _Target(wanted, lambda _: None, lambda: lines.append(line))
    parser = _parser(target)
    with suppress(_Stop, etree.XMLSyntaxError, UnicodeError, OSError):
        for block in blocks():
            first, *others = block.split(b"\n")
            parser.feed(first)
            for piece in others:
                parser.feed(b"\n")
                line += 1
                parser.feed(piece)
    return np.array(lines, np.int64)


class _Stop(Exception):
    """Ends the parsing; says why."""


@dataclass(slots=True)
class _Batch:
    """A batch that is open: what it announces, and the messages that came."""

    attributes: Attributes
    message_count: int = 0

    def what_is_wrong(self, last: Report | None) -> str | None:
        announced = self.attributes.get("TotMsg")
        if announced is None or is_count(announced, self.message_count):
            return None
        batch = plain(self.attributes.get("ID", ""))
        told = f"after {last}: " if last is not None else ""
        return (
            f"{told}the Batch{f' {shorten(batch)!r}' if batch else ''} announces TotMsg "
            f"{shorten(announced)!r} and has {self.message_count} messages"
        )


class _Target:
    """What the parser calls; it knows where it is by its depth.

    Attributes:
        element_count: Elements begun.
        report: The report that is open.
        last: The last report that ended.
        wrong_batches: What batches announced and did not bring.
    """

    def __init__(
        self,
        wanted: str,
        take: Callable[[Report], None],
        opened: Callable[[], None] = lambda: None,
    ) -> None:
        self.element_count = 0
        self.report: Report | None = None
        self.last: Report | None = None
        self.wrong_batches: list[str] = []
        self._wanted = wanted
        self._take = take
        self._opened = opened
        self._count = 0
        self._depth = 0
        self._message_depth = _MESSAGE
        self._batch: _Batch | None = None
        self._kinds: dict[str, str] = {}
        self._parent = ""

    def doctype(self, *_: object) -> None:
        raise _Stop("there is a document type (DTD), which FIXML has no need of; none is read")

    def start(self, tag: str, attributes: Attributes) -> None:
        self.element_count += 1
        self._depth += 1
        inner = self._depth - self._message_depth
        kind = self._kinds.get(tag)
        if kind is None:
            kind = self._kind(tag)
        if inner <= 0:
            self._start_outer(kind, attributes)
        elif kind == self._wanted:
            raise _Stop(f"a {self._wanted} stands within another element than FIXML or its Batch")
        elif self._depth > DEEPEST:
            raise _Stop(f"elements stand more than {DEEPEST} deep within each other")
        elif self.report is not None:
            _add(self.report, kind, attributes, inner, self._parent)
            if inner == 1:
                self._parent = kind

    def end(self, _: str) -> None:
        if self._depth == self._message_depth:
            if self.report is not None:
                self.last, self.report = self.report, None
                self._take(self.last)
        elif self._depth == _MESSAGE and self._batch is not None:
            wrong = self._batch.what_is_wrong(self.last)
            if wrong is not None and len(self.wrong_batches) < _TAGS_KEPT:
                self.wrong_batches.append(wrong)
            self._batch = None
            self._message_depth = _MESSAGE
        self._depth -= 1

    def close(self) -> None:
        """The end of the file."""

    def _start_outer(self, kind: str, attributes: Attributes) -> None:
        """The root, a batch, a header or a message."""
        if self._depth == 1 or kind == "Hdr":
            return
        if kind == "Batch" and self._depth == _MESSAGE:
            self._batch = _Batch(attributes)
            self._message_depth = _MESSAGE_OF_BATCH
            return
        if self._batch is not None:
            self._batch.message_count += 1
        if kind == self._wanted:
            self._count += 1
            self.report = Report(self._count, attributes)
            self._opened()

    def _kind(self, tag: str) -> str:
        """What a tag is: its name in the root's namespace, or nothing where it is unknown."""
        namespace, _, name = tag.rpartition("}")
        if not self._kinds:
            if name != "FIXML" or namespace[1:] not in NAMESPACES:
                raise _Stop(
                    f"the root is {shorten(tag)!r}; FIXML in one of the namespaces "
                    f"{', '.join(NAMESPACES)} is expected"
                )
            known = ("FIXML", "Batch", "Hdr", "Pty", "Sub", "Instrmt", "Qty", "Leg", self._wanted)
            self._kinds = {f"{namespace}}}{one}": one for one in known}
            return name
        if name.rpartition(":")[2] == self._wanted:
            raise _Stop(f"{shorten(tag)!r} is a {self._wanted} of another namespace than the root")
        if len(self._kinds) < _TAGS_KEPT:
            self._kinds[tag] = ""
        return ""


def _add(report: Report, kind: str, attributes: Attributes, inner: int, parent: str) -> None:
    """Adds what a report holds: a child of it, or a child of such a child, which is its parent."""
    if kind == "Leg":
        report.has_legs = True
    elif inner == 1:
        if kind == "Pty":
            report.parties.append((attributes, []))
        elif kind == "Qty":
            report.quantities.append(attributes)
        elif kind == "Instrmt":
            report.instruments.append(attributes)
    elif kind == "Sub" and parent == "Pty" and inner == 2:  # noqa: PLR2004 - see above.
        report.parties[-1][1].append(attributes)


def _parsed(blocks: Iterable[bytes], target: _Target) -> str | None:
    """Parses a file to its end, or says why it was not."""
    parser = _parser(target)
    idle = 0
    is_empty = True
    try:
        for piece in _pieces(blocks):
            if is_empty:
                _check_start(piece)
                is_empty = False
            before = target.element_count
            parser.feed(piece)
            idle = idle + len(piece) if target.element_count == before else 0
            if idle >= BETWEEN_ELEMENTS:
                return f"{idle} bytes come without an element: an attribute or a text is too long"
        if is_empty:
            return "the file is empty"
        parser.close()
    except _Stop as stop:
        return str(stop)
    except (etree.XMLSyntaxError, UnicodeError) as error:
        told = str(error).splitlines()[0] if str(error) else type(error).__name__
        return f"the XML is damaged, cut short, or not in its encoding: {shorten(told)}"
    return None


def _parser(target: Any) -> Any:
    """A parser that expands, fetches, repairs and unpacks nothing."""
    return etree.XMLParser(
        target=target,
        resolve_entities=False,
        load_dtd=False,
        dtd_validation=False,
        attribute_defaults=False,
        no_network=True,
        huge_tree=False,
        recover=False,
        remove_comments=True,
        remove_pis=True,
        collect_ids=False,
    )


def _pieces(blocks: Iterable[bytes]) -> Iterator[bytes]:
    """The same bytes in pieces that are never large."""
    for block in blocks:
        for start in range(0, len(block), _PIECE):
            yield block[start : start + _PIECE]


def _check_start(block: bytes) -> None:
    """Refuses what is no XML, and an encoding that is not read or not the one declared.

    What does not decode as declared the parser finds.
    """
    start = block[:_DECLARATION_BYTES]
    is_wide = start.startswith(_WIDE_MARKS)
    is_marked = start.startswith(codecs.BOM_UTF8)
    if not is_wide:
        kind = (
            "binary data" if b"\0" in start else foreign_kind(start.removeprefix(codecs.BOM_UTF8))
        )
        if kind != "XML":
            raise _Stop(f"the file is no XML: it looks like {kind or 'another text'}")
    text = start.decode("utf-16" if is_wide else "utf-8-sig", "replace")
    if not text.startswith("<?xml"):
        return  # UTF-8, or UTF-16 with its mark, as XML has it.
    declaration, end, _ = text.partition("?>")
    if not end:
        raise _Stop(f"the XML declaration does not end within {_DECLARATION_BYTES} bytes")
    found = _DECLARED.search(declaration)
    declared = found[1].lower() if found else None
    if declared is not None and declared not in ENCODINGS:
        known = ", ".join(sorted(ENCODINGS))
        raise _Stop(f"the encoding {shorten(declared)!r} is not read; {known} are")
    if declared is not None and (declared == "utf-16") != is_wide:
        told = "UTF-16" if is_wide else "8-bit text"
        raise _Stop(f"the file declares the encoding {declared!r} and starts as {told}")
    if is_marked and declared not in (None, "utf-8"):
        raise _Stop(f"the file declares the encoding {declared!r} and starts as UTF-8")
