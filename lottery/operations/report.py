"""The audit page: of a recorded run, or of a bundle without any ledger."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lottery.audit.bundle import ProvenRun, opened_bundle, proven_run_of
from lottery.audit.report.run_report import ReportRequest, Standing, run_report
from lottery.errors import LedgerDamaged
from lottery.ledger.commit import Ledger
from lottery.ledger.trail import RUN_REPORTED
from lottery.operations.proofs import proven_run
from lottery.operations.requester import Requester
from lottery.tlog.keys import VerifierKey


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


def report(ledger: Ledger, run: str, request: ReportRequest, requester: Requester) -> Page:
    """The page of a recorded run; the trail says that it was made.

    Args:
        ledger: The ledger.
        run: The run, or `latest`.
        request: What to show.
        requester: Who asks.

    Raises:
        RunNotFound: There is no such run.
        NotInRun: A series or an account asked for is not in it.
        LedgerDamaged: Its evidence is not what was recorded.
    """
    proven = proven_run(ledger, run)
    standing = Standing(is_known=True, superseded_by=ledger.superseded_by(proven.record.run))
    page = _page(proven, request, standing)
    outcome = "one account" if request.account is not None else "the run"
    requester.enter(ledger, RUN_REPORTED, page.run, f"a page about {outcome}")
    return page


def report_bundle(
    path: Path, keys: Sequence[VerifierKey], request: ReportRequest, standing: Standing
) -> Page:
    """The page of a bundle's run; needs no ledger.

    Args:
        path: The bundle.
        keys: The log's public key as it is known from elsewhere; without any the bundle's own word
            is taken for it.
        request: What to show.
        standing: Whether the run was superseded, where somebody knows.

    Raises:
        Refused: It is no bundle, or not safe to open.
        NotInRun: A series or an account asked for is not in it.
        LedgerDamaged: The bundle is not as it was exported, or does not prove its record.
    """
    with opened_bundle(path, keys) as bundle:
        for mismatch in bundle.mismatches:
            raise LedgerDamaged(
                f"{path.name}: {mismatch.where}: recorded {mismatch.recorded}, "
                f"computed {mismatch.computed}"
            )
        return _page(proven_run_of(bundle), request, standing)


def _page(proven: ProvenRun, request: ReportRequest, standing: Standing) -> Page:
    # Loads Jinja, which nothing else needs.
    from lottery.audit.report.page import account_page, run_page  # noqa: PLC0415

    if request.account is not None:
        # Its chances are counted with what no other page needs.
        from lottery.audit.report.account_report import account_report  # noqa: PLC0415

        about = account_report(proven, request.account, request, standing)
        return Page(
            run=about.record.run,
            html=account_page(about),
            pool_count=about.pool_count,
            shown_pool_count=len(about.shown),
        )
    made = run_report(proven, request, standing)
    return Page(
        run=made.record.run,
        html=run_page(made),
        pool_count=made.pool_count,
        shown_pool_count=len(made.shown),
    )
