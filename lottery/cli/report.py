"""`lottery report`: the audit page, of a run or of one account in it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

import typer

from lottery import operations
from lottery.audit.report.request import PageRequest, Supersession
from lottery.cli.backend import writing_whole
from lottery.cli.opening import open_backend
from lottery.cli.shell import (
    JsonOption,
    KeyOption,
    LedgerOption,
    ServerOption,
    read_keys,
    reporting,
    shell_of,
)
from lottery.day.identifiers import padded_series

BUNDLE_SUFFIX: Final = ".zip"
PAGE_SUFFIX: Final = ".html"
SERIES_ASKED: Final = 100
"""Series that can be asked for at most, so that a page stays one that can be sent."""


@reporting
def report(
    context: typer.Context,
    run: Annotated[
        str, typer.Argument(help="The run, as 2024-09-16-001, or latest, or its bundle (.zip).")
    ],
    file: Annotated[Path, typer.Argument(metavar="FILE.html", help="The page to write.")],
    series: Annotated[
        list[str] | None,
        typer.Option(
            help="A series to show, padded or compact; may be given again. "
            "A large day is shown in part: these, breaks, and the largest pools."
        ),
    ] = None,
    account: Annotated[
        str | None,
        typer.Option(help="Instead: a page about this account alone, with its odds beforehand."),
    ] = None,
    mask_accounts: Annotated[
        bool,
        typer.Option("--mask-accounts", help="Name accounts A1, A2, ... and not by their numbers."),
    ] = False,
    key: KeyOption = None,
    ledger: LedgerOption = None,
    server: ServerOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write the audit report: one page that needs no network, for a browser or for paper.

    Of a bundle it needs no ledger; with --key the bundle's proof must be by that key.

    Exit codes: 0 written, 2 no such run, series or account, 6 the evidence is not what was
    recorded.
    """
    shell = shell_of(context, ledger, server, as_json=as_json)
    if file.suffix != PAGE_SUFFIX:
        raise typer.BadParameter(f"{file}: a page is called FILE{PAGE_SUFFIX}")
    keys = read_keys(key)
    from_bundle = run.endswith(BUNDLE_SUFFIX)
    if keys and not from_bundle:
        raise typer.BadParameter("--key goes with a bundle; verify takes it for a ledger")
    request = PageRequest(
        series=_padded(series or []), account=account, mask_accounts=mask_accounts
    )
    with shell.progress(1) as step:
        step("writing the page")
        if from_bundle:
            unknown = Supersession(is_known=False)
            page = operations.report_bundle(Path(run), keys, request, unknown)
        else:
            with open_backend(shell.common) as backend:
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
    pools = f"{shown}{page.pool_count:,} pool{'s' if page.pool_count != 1 else ''}"
    told = f"Run {page.run} is in {file}: {pools}, {len(html):,} bytes"
    shell.say(document, lambda console: console.print(told, soft_wrap=True))


def _padded(series: list[str]) -> tuple[str, ...]:
    """The series of --series, padded, each once.

    Raises:
        typer.BadParameter: One is no OSI symbol, or there are too many.
    """
    if len(series) > SERIES_ASKED:
        raise typer.BadParameter(f"--series: at most {SERIES_ASKED} can be asked for")
    try:
        return tuple(dict.fromkeys(map(padded_series, series)))
    except ValueError as error:
        raise typer.BadParameter(f"--series: {error}") from None
