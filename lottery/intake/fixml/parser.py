"""FIXML as a stream: its reports one by one, out of a file that nobody has to trust.

FIXML 1.1 Technical Standard (FIX Trading Community): a root `FIXML`, in it messages, alone or in a
`Batch`. The parser tells a target each element as it passes; no tree is built and nothing has to be
cleared. Not here: what a report means, which `fixml_notices` and `fixml_positions` say.

Invariants:
- A document type is refused as it is named, before anything of it is read: no entity is declared,
  nothing is expanded and nothing is fetched.
- Memory does not grow with the file: nesting is limited, and so is what may come between elements.
- No report is passed over in silence: one in another place or namespace than a report's is refused.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt
from lxml import etree

from lottery.intake.columns import shorten
from lottery.intake.delimited import foreign_kind
from lottery.intake.fixml.target import Report, Stop, Target
from lottery.intake.sources import Place

ENCODINGS: Final = frozenset({"utf-8", "us-ascii", "iso-8859-1", "windows-1252", "utf-16"})
BETWEEN_ELEMENTS: Final = 1 << 17
"""Bytes that may come without an element's start: one attribute, one comment, one text."""

Blocks: TypeAlias = Callable[[], Iterator[bytes]]
"""A file's bytes from its start in blocks of any size; called again to read it again."""

_DECLARED: Final = re.compile(r"""\sencoding\s*=\s*["']([^"']*)["']""")
_DECLARATION_BYTES: Final = 512
_WIDE_MARKS: Final = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_PIECE: Final = 1 << 16


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
    target = Target(wanted, take)
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
    target = Target(wanted, lambda _: None, lambda: lines.append(line))
    parser = _parser(target)
    with suppress(Stop, etree.XMLSyntaxError, UnicodeError, OSError):
        for block in _pieces(blocks()):
            first, *others = block.split(b"\n")
            parser.feed(first)
            for piece in others:
                parser.feed(b"\n")
                line += 1
                parser.feed(piece)
    return np.array(lines, np.int64)


def _parsed(blocks: Iterable[bytes], target: Target) -> str | None:
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
    except Stop as stop:
        return str(stop)
    except (etree.XMLSyntaxError, UnicodeError) as error:
        # lxml puts the name that it has for the file behind, which is none.
        told = str(getattr(error, "msg", error)) or type(error).__name__
        told = told.splitlines()[0]
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
        kind = foreign_kind(start.removeprefix(codecs.BOM_UTF8))
        if kind == "XML" and b"\0" in start:
            kind = "binary data"
        if kind != "XML":
            raise Stop(f"the file is no XML: it looks like {kind or 'another text'}")
    text = start.decode("utf-16" if is_wide else "utf-8-sig", "replace")
    if not text.startswith("<?xml"):
        return  # UTF-8, or UTF-16 with its mark, as XML has it.
    declaration, end, _ = text.partition("?>")
    if not end:
        raise Stop(f"the XML declaration does not end within {_DECLARATION_BYTES} bytes")
    found = _DECLARED.search(declaration)
    declared = found[1].lower() if found else None
    if declared is not None and declared not in ENCODINGS:
        known = ", ".join(sorted(ENCODINGS))
        raise Stop(f"the encoding {shorten(declared)!r} is not read; {known} are")
    if declared is not None and (declared == "utf-16") != is_wide:
        told = "UTF-16" if is_wide else "8-bit text"
        raise Stop(f"the file declares the encoding {declared!r} and starts as {told}")
    if is_marked and declared not in (None, "utf-8"):
        raise Stop(f"the file declares the encoding {declared!r} and starts as UTF-8")
