"""`lottery check`: files read as a run would read them, and every row."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from lottery.cli.inputs import local_files
from lottery.cli.options import (
    AccountOrderOption,
    ColumnsOption,
    ExpectOption,
    PoolOption,
    methodology_of,
    read_date,
    read_totals,
)
from lottery.cli.session import Session, command
from lottery.cli.variables import memory_limit
from lottery.errors import escape
from lottery.operations.check import CheckedFile, check_files
from lottery.operations.inputs import AccountOrder, Pooling, read_mapping


@command
def check(
    session: Session,
    paths: Annotated[
        list[str],
        typer.Argument(metavar="FILE...", help="Notices, positions or volumes, by their columns."),
    ],
    date: Annotated[
        str | None,
        typer.Option(
            metavar="YYYY-MM-DD", help="The business date; needed for FIXML, and compared."
        ),
    ] = None,
    account_order: AccountOrderOption = AccountOrder.NUMERIC,
    pool: PoolOption = Pooling.OCC_ACCOUNT,
    expect: ExpectOption = None,
    columns: ColumnsOption = None,
) -> None:
    """Read files as a run would, every row of them, and record nothing.

    A run looks at the positions of assigned pools; this looks at all. Exit codes: 0 nothing is
    wrong, 2 wrong usage, 3 every problem is listed.
    """
    with local_files(*paths, columns) as files:
        checked, problems = check_files(
            [files[path] for path in paths],
            names={files[path]: path for path in paths},
            business_date=None if date is None else read_date(date),
            methodology=methodology_of(account_order, pool),
            memory=memory_limit(),
            totals=read_totals(expect),
            mappings=read_mapping(files.get(columns or "")),
        )
    problems.refuse_if_any()
    session.show(
        {"files": [dataclasses.asdict(file) for file in checked]},
        lambda console: _show_files(console, checked),
    )


def _show_files(console: Console, checked: Sequence[CheckedFile]) -> None:
    for file in checked:
        rows = f"{file.row_count:,} row{'' if file.row_count == 1 else 's'}"
        contracts = "" if file.quantity is None else f", {file.quantity:,} contracts"
        members = _members(file.members)
        found = f"{file.name}: {file.role}, {rows}{contracts}{members}"
        console.print(f"{found}; nothing is wrong", soft_wrap=True)
        if file.may_be_cut_off:
            console.print(
                f"  warning: the last line has no line end, and neither --expect nor "
                f"{Path(file.name).name}.sha256 says that the file is whole [H1]",
                style="yellow",
                soft_wrap=True,
            )


def _members(members: Mapping[str, int]) -> str:
    if not members:
        return ""
    if len(members) == 1:
        return f", clearing member {escape(next(iter(members)))}"
    listed = ", ".join(f"{escape(member)} ({count:,})" for member, count in members.items())
    return f", clearing members {listed}"
