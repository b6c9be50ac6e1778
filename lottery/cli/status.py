"""`lottery status`: how a ledger stands, for people."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from typing import Final

from rich.console import Console

from lottery.cli import text
from lottery.cli.backend import open_backend
from lottery.cli.session import Session, command
from lottery.operations.care import status_line
from lottery.operations.overview import overview_document
from lottery.operations.standing import Certificate, Overview
from lottery.operations.workings import wording

EXPIRES_SOON: Final = dt.timedelta(days=30)
_GIBIBYTE: Final = 1 << 30


@command
def status(session: Session) -> None:
    """Show how the ledger stands: charter, last run, what is open, heads, key and limits.

    With --server the key, the certificate and the limits are the server's.
    """
    with open_backend(session) as backend:
        found = backend.status()
    session.show(overview_document(found), lambda console: _show(console, found))


def _show(console: Console, found: Overview) -> None:
    console.print(f"lottery {found.version}, {found.ledger}", style="bold", soft_wrap=True)
    for title, lines in (
        ("charter", _charter(found)),
        ("last run", _last_run(found)),
        ("heads", _heads(found)),
        ("key", _key(found)),
        ("certificate", _expiry(found.certificate)),
        ("limits", _limits(found)),
    ):
        for number, line in enumerate(lines):
            style = "yellow" if line.startswith("warning: ") else None
            console.print(f"{'' if number else title:12}{line}", style=style, soft_wrap=True)
        if title == "key":
            console.print(found.status.public_key, soft_wrap=True)  # One word, to be copied.
    text.show_unnamed(console, found.status.unnamed_folders)


def _charter(found: Overview) -> Iterator[str]:
    one = found.charter
    since = "from the beginning" if one.holds_from is None else f"from {one.holds_from} on"
    yield f"{one.sha256[: text.CHARTER_DIGITS]}, {one.method}, {since}"


def _last_run(found: Overview) -> Iterator[str]:
    if found.waiting:
        waiting = wording.count(len(found.waiting), "proposal")
        yield f"warning: {waiting} without a verdict, see lottery proposals"
    run = found.last_run
    if run is None:
        yield "nothing is recorded yet"
        return
    yield f"{run.run}, {run.state}"
    yield f"recorded {text.recorded_time(run.recorded_at)} UTC by {text.person(run.requested_by)}"
    if run.superseded_by is not None:
        yield f"superseded by {run.superseded_by}"
    contracts = sum(broken.assigned_quantity for broken in found.open_breaks)
    if contracts:
        open_breaks = wording.count(len(found.open_breaks), "break")
        yield f"warning: {open_breaks} open for {run.business_date}, {contracts:,} contracts"
    else:
        yield f"nothing is open for {run.business_date}"


def _heads(found: Overview) -> Iterator[str]:
    status = found.status
    yield status_line(status) + ("" if found.cosigned is None else f", cosigned {found.cosigned:,}")
    for noun, size in (("publishing", status.published), ("the archive", status.archived)):
        if size is not None and size < status.committed:
            behind = wording.count(status.committed - size, "head")
            yield f"warning: {noun} is {behind} behind"
            yield "lottery watch, or the next write, ends that"


def _key(found: Overview) -> Iterator[str]:
    if found.key_problem is None:
        yield "the private key of this one is at hand"
    else:
        yield f"warning: {found.key_problem}"


def _expiry(certificate: Certificate | None) -> Iterator[str]:
    if certificate is None:
        return
    yield certificate.file
    if certificate.expires is None:
        yield f"warning: {certificate.problem}"
        return
    left = certificate.expires - dt.datetime.now(dt.UTC)
    warning = "warning: " if left < EXPIRES_SOON else ""
    expires = "has expired" if left < dt.timedelta() else "expires"
    yield f"{warning}{expires} {certificate.expires:%Y-%m-%d %H:%M} UTC ({left.days:,} days)"


def _limits(found: Overview) -> Iterator[str]:
    limits, run = found.limits, found.last_run
    if limits.memory_bytes is not None:
        yield f"memory: a day may take {limits.memory_bytes / _GIBIBYTE:,.1f} GiB"
    yield f"rows: a call to a server may have {limits.max_rows:,}"
    if run is not None:
        yield f"the last run had {wording.count(run.notice_count, 'notice')}"
    if limits.free_bytes is not None and limits.disk_bytes is not None:
        yield (
            f"disk: {limits.free_bytes / _GIBIBYTE:,.1f} of {limits.disk_bytes / _GIBIBYTE:,.1f} "
            "GiB free"
        )
    yield f"evidence: {limits.evidence_bytes:,} bytes"
