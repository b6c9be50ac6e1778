"""What the parser of a FIXML file calls, element by element: it knows where it is by its depth.

Not here: the parser itself and what it is given, which is `fixml`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from lottery.intake.columns import shorten

NAMESPACES: Final = tuple(
    f"http://www.fixprotocol.org/FIXML-{version}"
    for version in ("4-4", "5-0", "5-0-SP1", "5-0-SP2")
)
DEEPEST: Final = 16
"""Elements within each other at most; a report's parties have five."""
AMPERSAND: Final = "&#38;"
"""What libxml2 leaves of an ampersand in an attribute where no entity is resolved."""

Attributes: TypeAlias = Mapping[str, str]

_MESSAGE, _MESSAGE_OF_BATCH = 2, 3
"""How deep a message stands."""
_SUB = 2
"""How deep a party's sub stands within its message."""
_TAGS_KEPT: Final = 1_000


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
    """An attribute's text as it was meant."""
    return text.replace(AMPERSAND, "&")


def is_count(text: str, count: int) -> bool:
    """Whether a text is that count."""
    return re.fullmatch("[0-9]{1,18}", text) is not None and int(text) == count


class Stop(Exception):
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


class Target:
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
        """A document type is named; its declarations would come next."""
        raise Stop("there is a document type (DTD), which FIXML has no need of; none is read")

    def start(self, tag: str, attributes: Attributes) -> None:
        """An element begins."""
        self.element_count += 1
        self._depth += 1
        inner = self._depth - self._message_depth
        kind = self._kinds.get(tag)
        if kind is None:
            kind = self._kind(tag)
        if inner <= 0:
            self._start_outer(kind, attributes)
        elif kind == self._wanted:
            raise Stop(f"a {self._wanted} stands within another element than FIXML or its Batch")
        elif self.report is None or inner > 1:
            self._start_deeper(kind, attributes, inner)
        else:
            self._parent = kind
            if kind == "Pty":
                self.report.parties.append((attributes, []))
            elif kind == "Qty":
                self.report.quantities.append(attributes)
            elif kind == "Instrmt":
                self.report.instruments.append(attributes)
            elif kind == "Leg":
                self.report.has_legs = True

    def end(self, _: str) -> None:
        """An element ends."""
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

    def _start_deeper(self, kind: str, attributes: Attributes, inner: int) -> None:
        """What stands below a report's own children, or within what is passed over."""
        if self._depth > DEEPEST:
            raise Stop(f"elements stand more than {DEEPEST} deep within each other")
        if self.report is None:
            return
        if kind == "Leg":
            self.report.has_legs = True
        elif kind == "Sub" and self._parent == "Pty" and inner == _SUB:
            self.report.parties[-1][1].append(attributes)

    def _kind(self, tag: str) -> str:
        """What a tag is: its name in the root's namespace, or nothing where it is unknown."""
        namespace, _, name = tag.rpartition("}")
        if not self._kinds:
            if name != "FIXML" or namespace[1:] not in NAMESPACES:
                raise Stop(
                    f"the root is {shorten(tag)!r}; FIXML in one of the namespaces "
                    f"{', '.join(NAMESPACES)} is expected"
                )
            known = ("FIXML", "Batch", "Hdr", "Pty", "Sub", "Instrmt", "Qty", "Leg", self._wanted)
            self._kinds = {f"{namespace}}}{one}": one for one in known}
            return name
        if name.rpartition(":")[2] == self._wanted:
            raise Stop(f"{shorten(tag)!r} is a {self._wanted} of another namespace than the root")
        if len(self._kinds) < _TAGS_KEPT:
            self._kinds[tag] = ""
        return ""
