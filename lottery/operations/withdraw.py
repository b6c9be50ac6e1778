"""Taking back a run whose notices OCC has taken back: a run without them (N1)."""

from __future__ import annotations

from collections.abc import Callable

from lottery.day.assigned_pools import assigned_pools
from lottery.day.tables import NOTICES
from lottery.errors import Problem, Refused
from lottery.intake.sources import Received, RowLocator
from lottery.intake.volumes import volumes_of_source
from lottery.intake.wire import IncomingRows
from lottery.ledger import evidence
from lottery.ledger.commit import Ledger
from lottery.ledger.draft import RecordedRun
from lottery.operations.request import RunRequest
from lottery.operations.requester import Identity
from lottery.operations.run import run_lottery


def withdraw_run(
    ledger: Ledger,
    run: str,
    *,
    reason: str,
    by: Identity,
    proceed: Callable[[], None] | None = None,
) -> RecordedRun:
    """Record a run without notices that supersedes another one.

    Its volumes are those of the run that it takes back: a date has one seed (S8).

    Args:
        ledger: The ledger.
        run: The run, or `latest`.
        reason: Why.
        by: The requester.
        proceed: Called right before the commit; raises to record nothing.

    Raises:
        RunNotFound: There is no such run.
        Refused: It has no notices, or the reason is not one line of text.
        Conflict: It is superseded already, or another run rests on it (H2).
        LedgerDamaged: Its evidence is not what was recorded.
        LedgerBusy: Another process holds the ledger's write lock.
    """
    record = ledger.get(run)
    if not record.notice_count:
        message = f"expected a run with notices, got {record.run}, which has none to take back"
        raise Refused([Problem(source="run", message=message, rule="N1")])
    methodology = record.method.methodology()
    volumes = evidence.read_source(ledger.ports.objects, record, "volumes")
    notices = Received(
        table=NOTICES.empty_table(), sources=(), locators=(RowLocator(source="notices"),)
    )
    request = RunRequest(
        business_date=record.business_date,
        cycle=record.cycle,
        notices=notices,
        positions=IncomingRows(role="positions", max_rows=0).positions(
            assigned_pools(notices.table), methodology.account_order, none_announced=True
        ),
        volumes=volumes_of_source(volumes, methodology.securities),
        requested_by=by,
        supersedes=(record.run,),
        reason=reason,
        clearing_member=record.clearing_member,
        methodology=methodology,
    )
    return run_lottery(ledger, request, proceed=proceed)
