"""What changed for whom: between two runs of a date, or since one of them was its last."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from lottery.day.changes import changes
from lottery.day.population import allocated_quantity
from lottery.errors import Problem, Refused
from lottery.ledger.run_record import RunRecord, Superseding
from lottery.operations.answers import Difference
from lottery.operations.days import runs_of, whole_date

if TYPE_CHECKING:  # What formats an answer loads no ledger.
    from lottery.ledger.commit import Ledger


def difference_of_runs(ledger: Ledger, before: str, after: str) -> Difference:
    """Return what one run of a date assigns otherwise than another, each by itself.

    Args:
        ledger: The ledger.
        before: The first run's id, or `latest`.
        after: The second run's id, or `latest`.

    Raises:
        RunNotFound: One of them is not recorded.
        Refused: They are of different dates.
        LedgerDamaged: The evidence of a run is not what was recorded.
    """
    first, second = ledger.get(before), ledger.get(after)
    if first.business_date != second.business_date:
        message = f"expected a run of {first.business_date}, as {first.run} is, got {second.run}"
        raise Refused([Problem(source="other_run", message=message)])
    return _difference(ledger, [first], [second])


def difference_since(ledger: Ledger, business_date: dt.date, since: str) -> Difference:
    """Return what stands for a date otherwise than when one of its runs was the last.

    Args:
        ledger: The ledger.
        business_date: The date.
        since: The run's id, or `latest`.

    Raises:
        RunNotFound: The run is not recorded, or the date has none.
        Refused: The run is of another date.
        AllocationWrong: Two runs have allocated a pool to different accounts.
        LedgerDamaged: The evidence of a run is not what was recorded.
    """
    record = ledger.get(since)
    if record.business_date != business_date:
        message = f"expected a run of {business_date}, got {record.run}"
        raise Refused([Problem(source="run", message=message)])
    runs = runs_of(ledger, business_date)
    then = runs.until(record.run)
    return _difference(ledger, then.standing(Superseding()), runs.standing(Superseding()))


def difference_document(difference: Difference) -> dict[str, Any]:
    """Return a difference as JSON values, without its accounts."""
    return {
        "business_date": difference.business_date.isoformat(),
        "before_runs": list(difference.before_runs),
        "after_runs": list(difference.after_runs),
        "before": difference.before,
        "after": difference.after,
        "difference": difference.after - difference.before,
        "increase": difference.increase,
        "decrease": difference.decrease,
    }


def _difference(
    ledger: Ledger, before: Iterable[RunRecord], after: Iterable[RunRecord]
) -> Difference:
    first, second = list(before), list(after)
    states = [whole_date(ledger, records) for records in (first, second)]
    last = second[-1]
    return Difference(
        business_date=last.business_date,
        before_runs=tuple(record.run for record in first),
        after_runs=tuple(record.run for record in second),
        before=allocated_quantity(states[0].pools),
        after=allocated_quantity(states[1].pools),
        changes=changes(
            states[0].allocations,
            states[1].allocations,
            last.method.methodology().account_order,
        ),
    )
