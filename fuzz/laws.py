"""What must hold for any bytes: they are read, or refused by name; nothing else comes out."""

from __future__ import annotations

import datetime as dt
import functools
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Final

import pyarrow as pa

from fuzz.samples import NOTICES, POSITIONS, SUFFIXES
from lottery import operations
from lottery.day.tables import NOTICE_ROWS, POSITION_ROWS
from lottery.errors import Problem, Problems, Refused
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
    """The check of one parser.

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
    """Whether files of this format are read at all."""
    problems = Problems()
    files.read_notices(Path(f"gone{SUFFIXES[parser]}"), problems)
    return any("no such file" in problem.message for problem in problems)


def _is_table_taken(path: Path, content: bytes) -> bool:
    """Reads a CSV or Parquet file, as notices where it may have some, else as positions."""
    problems = Problems()
    if b"notice_id" in content:
        return _is_allocated(files.read_notices(path, problems), None, problems)
    positions = files.read_positions(path, problems)
    if path.suffix == SUFFIXES["parquet"]:
        _check_straight(content, positions, problems)
    return _is_allocated(None, positions, problems)


def _is_fixml_taken(path: Path, content: bytes) -> bool:
    """Reads a FIXML file as OCC's own figures where it may have some, and as notices."""
    read_occ_positions = vars(files).get("read_occ_positions")
    if read_occ_positions is not None and b"PosRpt" in content:
        problems = Problems()
        read_occ_positions(path, DATE, problems)
        if problems:
            _check_words(problems)
        elif b"AsgnRpt" not in content:
            return True
    problems = Problems()
    # Its reports are of a date.
    options: dict[str, Any] = {"business_date": DATE}
    return _is_allocated(files.read_notices(path, problems, **options), None, problems)


def _is_allocated(notices: Received | None, positions: Received | None, problems: Problems) -> bool:
    """Whether a day of them can be allocated; where not, it is refused in words to print.

    Accounts are checked when they are put into order, so that reading alone is not all.
    """
    if not problems:
        try:
            operations.compute_day(
                operations.RunRequest(
                    business_date=DATE,
                    notices=notices or _sound("notices"),
                    positions=positions or _sound("positions"),
                    volumes=volumes_of_asks(ASKS, problems),
                    problems=problems,
                    requested_by=NOBODY,
                )
            )
        except Refused as refused:
            _check_words(refused.problems)
            return False
        return True
    _check_words(problems)
    return False


def _check_words(problems: Iterable[Problem]) -> None:
    told = [str(problem).encode() for problem in problems]
    if not told:
        raise AssertionError("refused without a problem")


def _check_straight(content: bytes, whole: Received, problems: Problems) -> None:
    """Checks that the straight reading gives nothing, or the assigned rows of the whole.

    Raises:
        AssertionError: It gives other rows, or takes what is refused.
    """
    notices = _sound("notices").table
    straight = position_filter.read_assigned_positions(
        pa.py_buffer(content), notices, forget=lambda: None, check=lambda _: None
    )
    if straight is None:
        return
    if problems:
        raise AssertionError(f"what is refused was taken: {list(problems)}")
    pools = {(row["occ_account"], row["series"]) for row in notices.to_pylist()}
    expected = [
        row for row in whole.table.to_pylist() if (row["occ_account"], row["series"]) in pools
    ]
    if straight.table.to_pylist() != expected:
        raise AssertionError("the straight reading gives other rows")


@functools.cache
def _sound(role: str) -> Received:
    """What stands beside the file that is read."""
    columns, schema = (NOTICES, NOTICE_ROWS) if role == "notices" else (POSITIONS, POSITION_ROWS)
    incoming = IncomingRows(role=role, problems=Problems(), max_rows=100)
    incoming.add_rows([columns[name] for name in schema.names])
    return incoming.received()
