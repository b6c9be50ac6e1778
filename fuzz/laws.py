"""What must hold for any bytes: they are read, or refused by name; nothing else comes out."""

from __future__ import annotations

import datetime as dt
import functools
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

import pyarrow as pa

from fuzz.samples import NOTICES, POSITIONS, SUFFIXES
from lottery import operations
from lottery.day.tables import NOTICE_ROWS, POSITION_ROWS
from lottery.errors import Problem, Refused
from lottery.intake import files, position_filter
from lottery.intake.sources import Received
from lottery.intake.wire import IncomingRows, volumes_of_asks
from lottery.ledger.run_record import Identity
from lottery.method.seed import ExchangeAsk

DATE: Final = dt.date(2024, 9, 16)
NOBODY: Final = Identity(kind="system-user", name="fuzz", host="fuzz")
ASKS: Final = [
    ExchangeAsk(security_number="Z901803", ask_price="862.45713"),
    ExchangeAsk(security_number="Z901439", ask_price="118.20946"),
    ExchangeAsk(security_number="Z901466", ask_price="407.93388"),
    ExchangeAsk(security_number="Z901448", ask_price="1435.71263"),
]


def law_of(parser: str, directory: Path) -> Callable[[bytes], bool]:
    """Return the check of one parser.

    Args:
        parser: `csv`, `parquet` or `fixml`.
        directory: A folder for the file that it reads.

    Returns:
        A function of a file's bytes: whether they were taken and not refused. It raises what should
        not come out.
    """
    path = directory / f"input{SUFFIXES[parser]}"
    # The straight reading leaves small files to the other; here every file is small.
    vars(position_filter)["ROWS_WORTH_A_THREAD"] = 1
    is_taken = _is_fixml_taken if parser == "fixml" else _is_table_taken

    def check(content: bytes) -> bool:
        path.write_bytes(content)
        return is_taken(path, content)

    return check


def is_known(parser: str) -> bool:
    """Return whether files of this format are read at all."""
    received = files.read_notices(Path(f"gone{SUFFIXES[parser]}"), business_date=DATE)
    return any("no such file" in problem.message for problem in received.problems)


def _is_table_taken(path: Path, content: bytes) -> bool:
    """Read a CSV or Parquet file, as notices if it may have some, else as positions."""
    if b"notice_id" in content:
        return _is_allocated(files.read_notices(path), _sound("positions"))
    positions = files.read_positions(path)
    if path.suffix == SUFFIXES["parquet"]:
        _check_filter(content, positions)
    return _is_allocated(_sound("notices"), positions)


def _is_fixml_taken(path: Path, content: bytes) -> bool:
    """Read a FIXML file as OCC's own figures if it may have some, and as notices."""
    if b"PosRpt" in content:
        problems = files.read_occ_positions(path, DATE).problems
        if problems:
            _check_messages(problems)
        elif b"AsgnRpt" not in content:
            return True
    return _is_allocated(files.read_notices(path, business_date=DATE), _sound("positions"))


def _is_allocated(notices: Received, positions: Received) -> bool:
    """Return whether a day of them can be allocated; if not, check the refusal's messages.

    Reading is not enough: accounts are checked when they are put into order.
    """
    request = operations.RunRequest(
        business_date=DATE,
        notices=notices,
        positions=positions,
        volumes=volumes_of_asks(ASKS),
        requested_by=NOBODY,
    )
    try:
        operations.compute_day(request)
    except Refused as refused:
        _check_messages(refused.problems)
        return False
    return True


def _check_messages(problems: Iterable[Problem]) -> None:
    shown = [str(problem) for problem in problems]
    if not shown:
        raise AssertionError("refused without a problem")
    if not all(text.isprintable() for text in shown):
        raise AssertionError(f"a message shows control characters: {shown}")


def _check_filter(content: bytes, whole: Received) -> None:
    """Check that the position filter returns nothing, or the assigned rows of the whole file.

    Raises:
        AssertionError: It returns other rows, or accepts what is refused.
    """
    notices = _sound("notices").table
    assigned = position_filter.read_assigned_positions(
        pa.py_buffer(content), notices, forget=lambda: None, check=lambda _: None
    )
    if assigned is None:
        return
    if whole.problems:
        raise AssertionError(f"the filter accepts what is refused: {list(whole.problems)}")
    pools = {(row["occ_account"], row["series"]) for row in notices.to_pylist()}
    expected = [
        row for row in whole.table.to_pylist() if (row["occ_account"], row["series"]) in pools
    ]
    if assigned.table.to_pylist() != expected:
        raise AssertionError("the filter returns other rows")


@functools.cache
def _sound(role: str) -> Received:
    """Return valid rows of the other role, to allocate a day with."""
    columns, schema = (NOTICES, NOTICE_ROWS) if role == "notices" else (POSITIONS, POSITION_ROWS)
    incoming = IncomingRows(role=role, max_rows=100)
    incoming.add_rows([columns[name] for name in schema.names])
    return incoming.received()
