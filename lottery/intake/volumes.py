"""The ask prices: CSV or JSON, always text (rules S1, S2).

JSON is a list of objects, or an object whose only member `volumes` is that list. A number in place
of a text is refused: a reader somewhere would make a float of it.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from lottery.errors import INVALID_SEED
from lottery.intake.columns import check_names, shorten
from lottery.intake.delimited import BYTE_ORDER_MARK, foreign_kind
from lottery.intake.sources import Place
from lottery.method.methodology import Security
from lottery.method.seed import ExchangeAsk

REQUIRED: Final = ("security_number", "ask_price")
OPTIONAL: Final = ("cusip", "description")


def read_volumes_csv(
    data: bytes, securities: Sequence[Security], place: Place
) -> tuple[ExchangeAsk, ...]:
    """The asks of a CSV file; wrong rows are problems."""
    place.header_lines = 1
    if not data:
        place.refuse("the file is empty")
        return ()
    kind = foreign_kind(data)
    if kind:
        place.refuse(f"the file is no CSV: it looks like {kind}")
        return ()
    try:
        text = data.removeprefix(BYTE_ORDER_MARK).decode()
        rows = list(csv.reader(io.StringIO(text, newline=""), strict=True))
    except UnicodeDecodeError as error:
        place.refuse(f"the file is no CSV in UTF-8: byte {error.start} cannot be read")
        return ()
    except csv.Error as error:
        place.refuse(f"the file is no CSV: {error}")
        return ()
    header = rows[0] if rows else []
    if not check_names(header, REQUIRED, place, OPTIONAL):
        return ()
    asks, kept = [], []
    for index, values in enumerate(rows[1:]):
        if len(values) != len(header):
            place.refuse_row(
                index, f"{len(values)} values where the header has {len(header)} columns"
            )
            continue
        asks.append(_ask(dict(zip(header, values, strict=True)), index, securities, place))
        kept.append(index + 1)
    place.row_numbers = np.array(kept, np.int64)
    if len(rows) == 1:
        place.refuse("there are no rows")
    return tuple(asks)


def read_volumes_json(
    data: bytes, securities: Sequence[Security], place: Place
) -> tuple[ExchangeAsk, ...]:
    """The asks of a JSON file; wrong entries are problems."""
    if not data.strip():
        place.refuse("the file is empty")
        return ()
    try:
        document = json.loads(data, object_pairs_hook=_Pairs, parse_constant=_Number)
    except (ValueError, RecursionError) as error:
        place.refuse(f"the file is no JSON: {error}")
        return ()
    if isinstance(document, _Pairs) and [name for name, _ in document] == ["volumes"]:
        document = document[0][1]
    if isinstance(document, _Pairs) or not isinstance(document, list):
        place.refuse("a list of objects is expected, one for each security")
        return ()
    if not document:
        place.refuse("there are no rows")
    asks, kept = [], []
    for index, entry in enumerate(document):
        ask = _json_ask(entry, index, securities, place)
        if ask is not None:
            asks.append(ask)
            kept.append(index + 1)
    place.row_numbers = np.array(kept, np.int64)
    return tuple(asks)


class _Pairs(list[tuple[str, Any]]):
    """A JSON object's members in order, the doubled ones too."""


class _Number(str):
    """NaN or Infinity, which JSON does not have."""

    __slots__ = ()


def _json_ask(
    entry: object, index: int, securities: Sequence[Security], place: Place
) -> ExchangeAsk | None:
    if not isinstance(entry, _Pairs):
        place.refuse_row(index, f"an object is expected, not {shorten(json.dumps(entry))}")
        return None
    values: dict[str, str] = {}
    sound = True
    for name, value in entry:
        message = None
        if name not in (*REQUIRED, *OPTIONAL):
            known = ", ".join((*REQUIRED, *OPTIONAL))
            message = f"unknown member {name!r}; known are {known}"
        elif name in values:
            message = "the member appears a second time"
        elif isinstance(value, _Number) or not isinstance(value, str):
            shown = value if isinstance(value, _Number) else shorten(json.dumps(value))
            message = f"{shown} is no text: it must stand in quotes, so that nothing rounds it"
        if message:
            seed = name in REQUIRED
            place.refuse_row(
                index,
                message,
                column=name.encode("utf-8", "replace").decode(),
                rule="S2" if seed else None,
                **({"reason": INVALID_SEED} if seed else {}),
            )
            sound = sound and name not in REQUIRED
            values.setdefault(name, "")
            continue
        values[name] = value
    for name in REQUIRED:
        if name not in values:
            place.refuse_row(
                index, "the member is missing", column=name, rule="S2", reason=INVALID_SEED
            )
            sound = False
    return _ask(values, index, securities, place) if sound else None


def _ask(
    values: dict[str, str], index: int, securities: Sequence[Security], place: Place
) -> ExchangeAsk:
    """One ask; a CUSIP that is given must be the security's own (S1)."""
    number = values["security_number"]
    cusip = values.get("cusip", "")
    for security in securities:
        if security.number == number and cusip not in ("", security.cusip):
            place.refuse_row(
                index,
                f"{shorten(cusip)!r} is not the CUSIP of {number}, which is {security.cusip}",
                column="cusip",
                rule="S1",
                reason=INVALID_SEED,
            )
    return ExchangeAsk(security_number=number, ask_price=values["ask_price"])
