"""What the parser of a FIXML file calls, element by element; depth says where it is.

The parser itself and its limits are in `fixml.parser`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, TypeAlias, TypeVar

from lottery.errors import quote
from lottery.intake.sources import report_name

NAMESPACES: Final = tuple(
    f"http://www.fixprotocol.org/FIXML-{version}"
    for version in ("4-4", "5-0", "5-0-SP1", "5-0-SP2")
)
MAX_DEPTH: Final = 16
"""Maximum depth of nested elements; a report's parties have five."""
MAX_PARTS: Final = 100
"""Maximum number of parties, sub-accounts, instruments and quantities of one report; it has ten."""
AMPERSAND: Final = "&#38;"
"""What libxml2 leaves of an ampersand in an attribute if no entity is resolved."""

T = TypeVar("T")
Attributes: TypeAlias = Mapping[str, str]

_MESSAGE_DEPTH, _MESSAGE_DEPTH_IN_BATCH = 2, 3
_SUB_DEPTH: Final = 2
"""Depth of a party's `Sub` within its message."""
_MAX_KEPT: Final = 1_000
"""Maximum number of unknown tags, and of wrong batches, that are remembered."""


@dataclass(slots=True)
class FixmlReport:
    """A report of a file, filled as its elements come.

    Attributes:
        row: Its number among the reports of its kind, from 1.
        attributes: Those of the report itself.
        parties: Each `Pty`, with its `Sub`.
        instruments: Each `Instrmt`.
        quantities: Each `Qty`.
        has_legs: Whether there is a `Leg`, as of a spread.
        part_count: Its parts so far.
    """

    row: int
    attributes: Attributes
    parties: list[tuple[Attributes, list[Attributes]]] = field(default_factory=list)
    instruments: list[Attributes] = field(default_factory=list)
    quantities: list[Attributes] = field(default_factory=list)
    has_legs: bool = False
    part_count: int = 0

    def add(self, parts: list[T], part: T) -> None:
        """Add one of the report's parts.

        Raises:
            StopParsing: There are more than the limit.
        """
        self.part_count += 1
        if self.part_count > MAX_PARTS:
            raise StopParsing(
                f"a report must have at most {MAX_PARTS} parties, sub-accounts, instruments and "
                "quantities, got more"
            )
        parts.append(part)

    def __str__(self) -> str:
        return report_name(unescaped(self.attributes.get("RptID", "")))


def unescaped(text: str) -> str:
    """Return an attribute's text with its ampersands."""
    return text.replace(AMPERSAND, "&")


def is_count(text: str, count: int) -> bool:
    """Return whether a text is that count."""
    return re.fullmatch("[0-9]{1,18}", text) is not None and int(text) == count


class StopParsing(Exception):
    """Ends the parsing and says why."""


@dataclass(slots=True)
class _Batch:
    """An open batch: what it announces, and the number of its messages so far."""

    attributes: Attributes
    message_count: int = 0

    @property
    def announces_none(self) -> bool:
        """Whether it says that it has no messages."""
        return is_count(self.attributes.get("TotMsg", ""), 0)

    def fault(self, last: FixmlReport | None) -> str | None:
        """Return what is wrong with the announced number of messages, if anything."""
        announced = self.attributes.get("TotMsg")
        if announced is None or is_count(announced, self.message_count):
            return None
        batch = unescaped(self.attributes.get("ID", ""))
        after = f"after {last}: " if last is not None else ""
        return (
            f"{after}TotMsg of the Batch{f' {quote(batch)}' if batch else ''} must be "
            f"{self.message_count}, the number of its messages, got {quote(announced)}"
        )


class Target:
    """Receives the parser's events and hands on each report of one kind.

    Args:
        wanted: The kind, such as `AsgnRpt`.
        take: Called with each report when it ends.
        begin: Called when a report begins.

    Attributes:
        element_count: Elements begun.
        report: The open report.
        last: The last report that ended.
        batch_faults: What is wrong with the announced numbers of messages.
        announces_none: Whether a batch says that it has no messages.
    """

    def __init__(
        self,
        wanted: str,
        take: Callable[[FixmlReport], None],
        begin: Callable[[], None] = lambda: None,
    ) -> None:
        self.element_count = 0
        self.report: FixmlReport | None = None
        self.last: FixmlReport | None = None
        self.batch_faults: list[str] = []
        self.announces_none = False
        self._wanted = wanted
        self._take = take
        self._begin = begin
        self._count = 0
        self._depth = 0
        self._message_depth = _MESSAGE_DEPTH
        self._batch: _Batch | None = None
        self._names: dict[str, str] = {}
        self._parent = ""

    def doctype(self, *_: object) -> None:
        """Stop at a document type, before any of its declarations."""
        raise StopParsing("expected FIXML without a document type (DTD), got one; none is read")

    def start(self, tag: str, attributes: Attributes) -> None:
        """Begin an element."""
        self.element_count += 1
        self._depth += 1
        depth = self._depth - self._message_depth
        name = self._names.get(tag)
        if name is None:
            name = self._name(tag)
        if depth <= 0:
            self._start_outer(name, attributes)
        elif name == self._wanted:
            raise StopParsing(
                f"{self._wanted} must be within FIXML or its Batch, got one in another element"
            )
        elif self.report is None or depth > 1:
            self._start_inner(name, attributes, depth)
        else:
            self._parent = name
            if name == "Pty":
                self.report.add(self.report.parties, (attributes, []))
            elif name == "Qty":
                self.report.add(self.report.quantities, attributes)
            elif name == "Instrmt":
                self.report.add(self.report.instruments, attributes)
            elif name == "Leg":
                self.report.has_legs = True

    def end(self, _: str) -> None:
        """End an element."""
        if self._depth == self._message_depth:
            if self.report is not None:
                self.last, self.report = self.report, None
                self._take(self.last)
        elif self._depth == _MESSAGE_DEPTH and self._batch is not None:
            self.announces_none |= self._batch.announces_none
            fault = self._batch.fault(self.last)
            if fault is not None and len(self.batch_faults) < _MAX_KEPT:
                self.batch_faults.append(fault)
            self._batch = None
            self._message_depth = _MESSAGE_DEPTH
        self._depth -= 1

    def close(self) -> None:
        """End the file."""

    def _start_outer(self, name: str, attributes: Attributes) -> None:
        """Begin the root, a batch, a header or a message."""
        if self._depth == 1 or name == "Hdr":
            return
        if name == "Batch" and self._depth == _MESSAGE_DEPTH:
            self._batch = _Batch(attributes)
            self._message_depth = _MESSAGE_DEPTH_IN_BATCH
            return
        if self._batch is not None:
            self._batch.message_count += 1
        if name == self._wanted:
            self._count += 1
            self.report = FixmlReport(self._count, attributes)
            self._begin()

    def _start_inner(self, name: str, attributes: Attributes, depth: int) -> None:
        """Begin an element below a report's children, or one of another message."""
        if self._depth > MAX_DEPTH:
            raise StopParsing(f"elements must be nested at most {MAX_DEPTH} deep, got more")
        if self.report is None:
            return
        if name == "Leg":
            self.report.has_legs = True
        elif name == "Sub" and self._parent == "Pty" and depth == _SUB_DEPTH:
            self.report.add(self.report.parties[-1][1], attributes)

    def _name(self, tag: str) -> str:
        """Return a tag's name if it is a known one of the root's namespace, else nothing."""
        namespace, _, name = tag.rpartition("}")
        if not self._names:
            if name != "FIXML" or namespace[1:] not in NAMESPACES:
                raise StopParsing(
                    f"root must be FIXML in one of the namespaces {', '.join(NAMESPACES)}, "
                    f"got {quote(tag)}"
                )
            known = ("FIXML", "Batch", "Hdr", "Pty", "Sub", "Instrmt", "Qty", "Leg", self._wanted)
            self._names = {f"{namespace}}}{one}": one for one in known}
            return name
        if name.rpartition(":")[2] == self._wanted:
            raise StopParsing(f"{self._wanted} must be in the root's namespace, got {quote(tag)}")
        if len(self._names) < _MAX_KEPT:
            self._names[tag] = ""
        return ""
