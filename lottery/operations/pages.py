"""The audit page: of a recorded run, or of a bundle without any ledger."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from lottery.audit.bundle import ProvenRun
from lottery.audit.bundle_reader import opened_bundle, proven_run_of
from lottery.audit.report.account_page import AccountPage, account_page
from lottery.audit.report.request import PageRequest, Supersession
from lottery.audit.report.run_page import RunPage, run_page
from lottery.errors import LedgerDamaged
from lottery.intake.memory import UNLIMITED, MemoryLimit, naming
from lottery.ledger.commit import Ledger
from lottery.ledger.entry import REPORT
from lottery.operations.proofs import proven_run
from lottery.operations.requester import Requester
from lottery.tlog.keys import VerifierKey

__all__ = ["Page", "PageRequest", "Supersession", "report", "report_bundle"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """A page, ready to be written.

    Attributes:
        run: The run that it is about.
        html: The whole page.
        pool_count: Pools that the page could show.
        shown_pool_count: Those that it shows with their working.
    """

    run: str
    html: str
    pool_count: int
    shown_pool_count: int


def report(ledger: Ledger, run: str, request: PageRequest, requester: Requester) -> Page:
    """Return the page of a recorded run, and enter in the log that it was made.

    Args:
        ledger: The ledger.
        run: The run, or `latest`.
        request: What to show.
        requester: Who asks.

    Raises:
        RunNotFound: There is no such run.
        Conflict: It is a proposal that is not approved.
        NotInRun: A series or an account asked for is not in it.
        LedgerDamaged: Its evidence is not what was recorded.
    """
    with proven_run(ledger, run) as proven:
        described = ledger.described(proven.record)
        supersession = Supersession(
            is_known=True, superseded_by=described.superseded_by, verdict=described.verdict
        )
        page = _page(proven, request, supersession)
    outcome = "one account" if request.account is not None else "the run"
    requester.enter(ledger, REPORT, page.run, f"a page about {outcome}")
    return page


def report_bundle(
    path: Path,
    keys: Sequence[VerifierKey],
    request: PageRequest,
    supersession: Supersession,
    *,
    memory: MemoryLimit = UNLIMITED,
) -> Page:
    """Return the page of a bundle's run; needs no ledger.

    Args:
        path: The bundle.
        keys: The log's public key as known from elsewhere; without one, the bundle's own copy is
            trusted.
        request: What to show.
        supersession: Whether the run was superseded, if that is known.
        memory: What the day may take.

    Raises:
        Refused: It is not a bundle, or not safe to open.
        NotInRun: A series or an account asked for is not in it.
        LedgerDamaged: The bundle is not as it was exported, or does not prove its record.
        LimitExceeded: A table of it needs more memory.
    """
    with opened_bundle(path, keys) as bundle:
        for mismatch in bundle.mismatches:
            raise LedgerDamaged(
                f"{path.name}: {mismatch.where}: recorded {mismatch.recorded}, "
                f"computed {mismatch.computed}"
            )
        with naming(path.name):
            approved = replace(supersession, verdict=supersession.verdict or bundle.approval)
            return _page(proven_run_of(bundle, memory), request, approved)


def _page(proven: ProvenRun, request: PageRequest, supersession: Supersession) -> Page:
    # Loads Jinja, which nothing else needs.
    from lottery.audit.report.html import page_html  # noqa: PLC0415

    page: RunPage | AccountPage
    if request.account is None:
        page = run_page(proven, request, supersession)
    else:
        page = account_page(proven, request.account, request, supersession)
    return Page(
        run=page.record.run,
        html=page_html(page),
        pool_count=page.pool_count,
        shown_pool_count=len(page.shown),
    )
