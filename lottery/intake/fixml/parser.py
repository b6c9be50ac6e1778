"""FIXML as a stream of reports, from a file that nobody has to trust.

FIXML 1.1 Technical Standard (FIX Trading Community): a root `FIXML` with messages in it, alone or
in a `Batch`. What a report means is in `fixml.notices` and `fixml.positions`.

Invariants:
- A document type is refused when it is named: no entity is declared, nothing is expanded and
  nothing is fetched.
- Memory does not grow with the file: nesting is limited, and so are the bytes between elements.
- No report is skipped silently: one in the wrong element or namespace is refused.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt
from lxml import etree

from lottery.errors import ProblemCollector, Problems, escape, quote
from lottery.intake.delimited import describe_format
from lottery.intake.fixml.target import FixmlReport, StopParsing, Target
from lottery.intake.sources import RowLocator

ENCODINGS: Final = frozenset({"utf-8", "us-ascii", "iso-8859-1", "windows-1252", "utf-16"})
"""The encodings that are read."""
MAX_BYTES_BETWEEN_ELEMENTS: Final = 1 << 17
"""Maximum number of bytes without an element's start: one attribute, one comment, one text."""

Blocks: TypeAlias = Callable[[], Iterator[bytes]]
"""Yields a file's bytes in blocks of any size; called again to read the file again."""

_DECLARED: Final = re.compile(r"""\sencoding\s*=\s*["']([^"']*)["']""")
_DECLARATION_BYTES: Final = 512
_UTF_16_BYTE_ORDER_MARKS: Final = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_PIECE_BYTES: Final = 1 << 16
_SHOWN: Final = 160


@dataclass(frozen=True, slots=True, kw_only=True)
class Parsed:
    """What became of a file.

    Attributes:
        is_complete: Whether it was read to its end.
        announces_none: Whether a batch says that it has no messages.
        problems: Problems with the report that each was met in or after.
    """

    is_complete: bool
    announces_none: bool
    problems: Problems


def read_reports(
    blocks: Blocks, wanted: str, take: Callable[[FixmlReport], None], locator: RowLocator
) -> Parsed:
    """Read the reports of one kind; other messages are skipped.

    Args:
        blocks: The file.
        wanted: The kind, such as `AsgnRpt`.
        take: Called with each report when it ends.
        locator: Locates the reports.
    """
    target = Target(wanted, take)
    message = _parse(blocks(), target)
    found = ProblemCollector()
    found.add(*(locator.problem(fault, column="TotMsg") for fault in target.batch_faults))
    if message is None:
        pass
    elif target.report is not None:
        message = f"{target.report}: {message}"
        found.add(locator.numbered_row_problem(target.report.row, message))
    else:
        after = f"after {target.last}: " if target.last is not None else ""
        found.add(locator.problem(f"{after}{message}"))
    return Parsed(
        is_complete=message is None,
        announces_none=target.announces_none,
        problems=found.problems(),
    )


def lines_of_reports(blocks: Blocks, wanted: str) -> npt.NDArray[np.int64]:
    """Return the line on which each report's start tag ends, as far as the file can be read.

    The parser does not report lines, so the file is fed to it line by line, for problems only.
    """
    line = 1
    lines: list[int] = []
    target = Target(wanted, lambda _: None, lambda: lines.append(line))
    parser = _parser(target)
    with suppress(StopParsing, etree.XMLSyntaxError, UnicodeError, OSError):
        for block in _pieces(blocks()):
            first, *others = block.split(b"\n")
            parser.feed(first)
            for piece in others:
                parser.feed(b"\n")
                line += 1
                parser.feed(piece)
    return np.array(lines, np.int64)


def _parse(blocks: Iterable[bytes], target: Target) -> str | None:
    """Parse a file to its end; return why it could not be."""
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
            if idle >= MAX_BYTES_BETWEEN_ELEMENTS:
                return (
                    f"an attribute or a text must be shorter than {MAX_BYTES_BETWEEN_ELEMENTS} "
                    f"bytes, got {idle} bytes without an element"
                )
        if is_empty:
            return "the file is empty"
        parser.close()
    except StopParsing as stop:
        return str(stop)
    except (etree.XMLSyntaxError, UnicodeError) as error:
        # After its message lxml puts the file's name, which it does not have.
        detail = str(getattr(error, "msg", error)) or type(error).__name__
        detail = escape(detail.splitlines()[0], _SHOWN)
        return f"the XML is damaged, cut short, or not in its encoding: {detail}"
    return None


def _parser(target: Any) -> Any:
    """Return a parser that expands, fetches, repairs and unpacks nothing."""
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
    """Yield the same bytes in pieces that are never large."""
    for block in blocks:
        for start in range(0, len(block), _PIECE_BYTES):
            yield block[start : start + _PIECE_BYTES]


def _check_start(block: bytes) -> None:
    """Refuse other formats, and an encoding that is not read or not the one declared.

    The parser finds what does not decode as declared.
    """
    start = block[:_DECLARATION_BYTES]
    is_utf_16 = start.startswith(_UTF_16_BYTE_ORDER_MARKS)
    if not is_utf_16:
        found = describe_format(start.removeprefix(codecs.BOM_UTF8))
        if found == "XML" and b"\0" in start:
            found = "binary data"
        if found != "XML":
            raise StopParsing(f"expected XML, got {found or 'other text'}")
    text = start.decode("utf-16" if is_utf_16 else "utf-8-sig", "replace")
    if not text.startswith("<?xml"):
        return  # XML without a declaration is UTF-8, or UTF-16 with a byte order mark.
    declaration, end, _ = text.partition("?>")
    if not end:
        raise StopParsing(f"the XML declaration must end within {_DECLARATION_BYTES} bytes")
    found_encoding = _DECLARED.search(declaration)
    declared = found_encoding[1].lower() if found_encoding else None
    if declared is not None and declared not in ENCODINGS:
        known = ", ".join(sorted(ENCODINGS))
        raise StopParsing(f"encoding must be one of {known}, got {quote(declared)}")
    if declared is not None and (declared == "utf-16") != is_utf_16:
        begins_as = "UTF-16" if is_utf_16 else "8-bit text"
        raise StopParsing(f"the file declares the encoding {declared!r} but begins as {begins_as}")
    if start.startswith(codecs.BOM_UTF8) and declared not in (None, "utf-8"):
        raise StopParsing(f"the file declares the encoding {declared!r} but begins as UTF-8")
