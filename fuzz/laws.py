"""What must hold for any bytes: they are read, or refused by name; nothing else comes out."""

from __future__ import annotations

import datetime as dt
import functools
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from fuzz.samples import NOTICES, POSITIONS, SUFFIXES
from lottery import operations
from lottery.day.assigned_pools import assigned_pools
from lottery.day.tables import NOTICE_ROWS, POSITION_ROWS
from lottery.errors import Problem, Refused
from lottery.intake import files, position_block
from lottery.intake.positions import ReceivedPositions
from lottery.intake.sources import Received
from lottery.intake.wire import IncomingRows, volumes_of_asks
from lottery.ledger.run_record import Identity
from lottery.method.methodology import JPMS_2024_09_06
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
        return _with_positions(files.read_notices(path))
    notices = _sound_notices()
    order = JPMS_2024_09_06.account_order
    # Pools of the notices, and all pools of the file: then every row is read.
    for assigned in (None, assigned_pools(notices.table)):
        found = []
        # Compiled passes leave small blocks to the checks of each column; both must say the same.
        for rows_worth_passes in (1, position_block.ROWS_WORTH_PASSES):
            with _worth(rows_worth_passes):
                found.append(files.read_positions(path, assigned, order))
        by_passes, checked = map(_described, found)
        if by_passes != checked:
            raise AssertionError(f"passes: {by_passes}, columns: {checked}")
    return _is_allocated(notices, found[0])


def _described(received: ReceivedPositions) -> tuple[object, ...]:
    """Return what a file came to: its rows with their numbers, its problems and its figures."""
    located = map(received.locate, range(len(received.positions)))
    return (
        [locator.row(index) for locator, index in located],
        received.table().to_pylist(),
        received.problems,
        received.row_count,
        received.has_occ_accounts,
    )


def _is_fixml_taken(path: Path, content: bytes) -> bool:
    """Read a FIXML file as OCC's own figures if it may have some, and as notices."""
    if b"PosRpt" in content:
        problems = files.read_occ_positions(path, DATE).problems
        if problems:
            _check_messages(problems)
        elif b"AsgnRpt" not in content:
            return True
    return _with_positions(files.read_notices(path, business_date=DATE))


def _with_positions(notices: Received) -> bool:
    incoming = _incoming("positions")
    order = JPMS_2024_09_06.account_order
    return _is_allocated(notices, incoming.positions(assigned_pools(notices.table), order))


def _is_allocated(notices: Received, received: ReceivedPositions) -> bool:
    """Return whether a day of them can be allocated; if not, check the refusal's messages.

    Reading is not enough: repeated accounts are found when they are put into order.
    """
    request = operations.RunRequest(
        business_date=DATE,
        notices=notices,
        positions=received,
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


@contextmanager
def _worth(rows: int) -> Iterator[None]:
    """Have blocks of so many rows read by compiled passes."""
    module = vars(position_block)
    before = module["ROWS_WORTH_PASSES"]
    module["ROWS_WORTH_PASSES"] = rows
    try:
        yield
    finally:
        module["ROWS_WORTH_PASSES"] = before


@functools.cache
def _sound_notices() -> Received:
    """Return valid notices, to allocate positions with."""
    return _incoming("notices").received()


def _incoming(role: str) -> IncomingRows:
    columns, schema = (NOTICES, NOTICE_ROWS) if role == "notices" else (POSITIONS, POSITION_ROWS)
    incoming = IncomingRows(role=role, max_rows=100)
    incoming.add_rows([columns[name] for name in schema.names])
    return incoming
