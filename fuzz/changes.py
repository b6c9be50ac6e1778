"""Changes that keep a format's frame, so that they come past the first look of a reader.

Bytes changed anywhere are refused early most times: a Parquet file as no Parquet, a FIXML file as
no XML. What libFuzzer changes by itself is mixed in, and is all that CSV needs.
"""

from __future__ import annotations

import random
import re
from typing import Final

import atheris

from fuzz.samples import samples_of, words_of

_MAGIC: Final = b"PAR1"
_END: Final = 8
"""Bytes of a Parquet file's end: the length of its metadata, and the magic number."""
_TAG: Final = re.compile(rb"<[^<>]*>")
_VALUE: Final = re.compile(rb'="([^"<>]*)"')


def change_parquet(content: bytes, most: int, seed: int) -> bytes:
    """Change a Parquet file, or a sound one, in its metadata or its pages, and keeps its frame.

    Args:
        content: A file, sound or not.
        most: Bytes of the new one at most.
        seed: What chooses.
    """
    choose = random.Random(seed).choice  # noqa: S311 - a fuzzer's.
    if choose((True, False, False, False)):
        content = choose(samples_of("parquet"))
    start = len(content) - _END
    length = int.from_bytes(content[start : start + 4], "little") if start > len(_MAGIC) else 0
    part = choose(("anywhere", "metadata", "pages"))
    if part == "anywhere" or content[-4:] != _MAGIC or not 0 < length <= start - len(_MAGIC):
        return _anywhere(content, most)
    pages, metadata = content[: start - length], content[start - length : start]
    if part == "metadata":
        metadata = _anywhere(metadata, max(1, most - len(pages) - _END))
    else:
        # The metadata knows where each page starts, so that the length stays.
        pages = _anywhere(pages, len(pages)).ljust(len(pages), b"\0")
    return pages + metadata + len(metadata).to_bytes(4, "little") + _MAGIC


def change_fixml(content: bytes, most: int, seed: int) -> bytes:
    """Change a FIXML file, or a sound one, by its tags and values; as `change_parquet`."""
    chance = random.Random(seed)  # noqa: S311 - a fuzzer's.
    if chance.random() < 0.25:  # noqa: PLR2004 - one in four starts anew.
        content = chance.choice(samples_of("fixml"))
    tags, values = list(_TAG.finditer(content)), list(_VALUE.finditer(content))
    what = chance.choice(("anywhere", "value", "word", "twice", "gone", "swapped"))
    if what == "anywhere" or not tags or not values:
        return _anywhere(content, most)
    if what in ("value", "word"):
        start, end = chance.choice(values).span(1)
        words = [match[1] for match in values] + words_of("fixml")
        value = chance.choice(words) if what == "word" else _anywhere(content[start:end], 64)
        content = content[:start] + value + content[end:]
    elif what == "swapped":
        first, second = sorted(chance.choices(tags, k=2), key=lambda tag: tag.start())
        if first is not second:
            between = content[first.end() : second.start()]
            content = (
                content[: first.start()] + second[0] + between + first[0] + content[second.end() :]
            )
    else:
        # From one tag to the next few: an element, part of one, or several.
        index = chance.randrange(len(tags))
        start = tags[index].start()
        end = tags[min(index + chance.randrange(6), len(tags) - 1)].end()
        times = 2 if what == "twice" else 0
        content = content[:start] + content[start:end] * times + content[end:]
    return content[:most]


def _anywhere(content: bytes, most: int) -> bytes:
    changed: bytes = atheris.Mutate(content, most)
    return changed
