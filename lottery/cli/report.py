"""`lottery report`: the audit page, of a run or of one account in it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

import typer

from lottery import operations
from lottery.backends.whole_file import writing_whole
from lottery.cli.backend import open_backend
from lottery.cli.options import BUNDLE_SUFFIX, KeyOption, read_keys, read_series
from lottery.cli.session import Session, command
from lottery.cli.variables import memory_limit
from lottery.errors import quote
from lottery.operations.pages import PageRequest, Supersession
from lottery.operations.workings import wording

PAGE_SUFFIX: Final = ".html"
SERIES_LIMIT: Final = 100
"""Maximum number of series asked for, so that the page stays small enough to send."""


@command
def report(
    session: Session,
    run: Annotated[
        str,
        typer.Argument(help="The run, such as 2024-09-16-001, or latest, or its bundle (.zip)."),
    ],
    file: Annotated[Path, typer.Argument(metavar="FILE.html", help="The page to write.")],
    series: Annotated[
        list[str] | None,
        typer.Option(help="A series that a large day's page must show; may be repeated."),
    ] = None,
    account: Annotated[
        str | None,
        typer.Option(help="Instead: a page about this account alone, with its odds beforehand."),
    ] = None,
    mask_accounts: Annotated[
        bool,
        typer.Option("--mask-accounts", help="Name accounts A1, A2, ... instead of their numbers."),
    ] = False,
    key: KeyOption = None,
) -> None:
    """Write the audit page of a run: one file for a browser or for paper, without network.

    A large day is shown in part: the series asked for, breaks, and the largest pools. A bundle
    needs no ledger; with --key its proof must be by that key.

    Exit codes: 0 written, 2 no such run, series or account, 6 the evidence is not what was
    recorded.
    """
    if file.suffix != PAGE_SUFFIX:
        raise typer.BadParameter(f"the page must be named FILE{PAGE_SUFFIX}, got {quote(file)}")
    keys = read_keys(key)
    if keys and not run.endswith(BUNDLE_SUFFIX):
        raise typer.BadParameter("--key goes with a bundle; for a ledger use lottery verify --key")
    if len(series or ()) > SERIES_LIMIT:
        raise typer.BadParameter(f"--series must be given at most {SERIES_LIMIT} times")
    request = PageRequest(
        series=tuple(dict.fromkeys(map(read_series, series or ()))),
        account=account,
        mask_accounts=mask_accounts,
    )
    with session.progress(1) as step:
        step("writing the page")
        if run.endswith(BUNDLE_SUFFIX):
            unknown = Supersession(is_known=False)
            page = operations.report_bundle(
                Path(run), keys, request, unknown, memory=memory_limit()
            )
        else:
            with open_backend(session) as backend:
                page = backend.report(run, request)
        html = page.html.encode()
        with writing_whole(file) as out:
            out.write(html)
    document = {
        "run": page.run,
        "file": str(file),
        "bytes": len(html),
        "pool_count": page.pool_count,
        "shown_pool_count": page.shown_pool_count,
    }
    shown = "" if page.pool_count == page.shown_pool_count else f"{page.shown_pool_count:,} of "
    pools = f"{shown}{wording.count(page.pool_count, 'pool')}"
    line = f"Wrote the page of run {page.run} to {file}: {pools}, {len(html):,} bytes"
    session.show(document, lambda console: console.print(line, soft_wrap=True))
