"""An assignment morning in Airflow 3: allocate, report breaks, verify.

    assign ──► by_state ─┬─► report_breaks      if there are breaks; skipped otherwise
                         └─► verify

- 0 and 4 go on, 4 by way of `report_breaks` as well. What was allocated is recorded in both cases.
- Only 75 is tried again: the same command finds what it has already recorded.
- Everything else fails at once, without a retry: somebody has to act.

Put this file and `lottery_command.py` into the DAGs folder. Settings are the environment of the
workers: `LOTTERY_HOME`, `LOTTERY_PROGRAM`, `LOTTERY_LEDGER`, `LOTTERY_TRIES` and
`LOTTERY_WAIT_SECONDS`. The worker needs the folders on its own disk; with several
workers, give the tasks a queue.
"""

from __future__ import annotations

import datetime as dt
import logging
import os
from pathlib import Path
from typing import Any

from airflow.sdk import CronTriggerTimetable, Param, dag, task
from airflow.sdk.exceptions import AirflowException, AirflowFailException
from lottery_command import Answer, Verdict, ask, verdict_of
from lottery_command import assign as assign_date

EXCHANGES = "America/New_York"
HOME = Path(os.environ.get("LOTTERY_HOME", "/srv/lottery"))
RETRIES = int(os.environ.get("LOTTERY_TRIES", "30")) - 1
WAIT = dt.timedelta(seconds=int(os.environ.get("LOTTERY_WAIT_SECONDS", "120")))

log = logging.getLogger(__name__)


@dag(
    # Tuesday to Saturday: the morning after each business day. A holiday's files never come, and
    # its run fails once the tries are used up; leave holidays out with a timetable of your own.
    schedule=CronTriggerTimetable("15 4 * * 2-6", timezone=EXCHANGES),
    start_date=dt.datetime(2024, 9, 6, tzinfo=dt.UTC),
    # No `max_active_runs=1`: the ledger keeps runs apart itself, and one that waits for its files
    # would hold up those that somebody starts by hand.
    catchup=False,
    params={
        "business_date": Param(
            None,
            type=["null", "string"],
            format="date",
            description="Else the day before the morning.",
        )
    },
    tags=["options", "assignment"],
)
def assignment_lottery() -> None:
    """Allocates the last business date's assignment notices."""

    @task(retries=RETRIES, retry_delay=WAIT)
    def assign(params: dict[str, Any], logical_date: Any = None) -> dict[str, Any]:
        """Allocate the date and record it; return what `lottery run --json` prints."""
        business_date = params["business_date"] or _business_date(logical_date)
        run = _insist(assign_date(HOME, business_date))
        for warning in run["warnings"]:
            log.warning("%s: %s", warning["code"], warning["message"])
        return run

    @task.branch
    def by_state(run: dict[str, Any]) -> list[str]:
        """Name the tasks that follow."""
        return ["report_breaks", "verify"] if run["breaks"] else ["verify"]

    @task
    def report_breaks(run: dict[str, Any]) -> list[dict[str, Any]]:
        """Report the breaks; page your operations staff here, or in `on_success_callback`."""
        breaks: list[dict[str, Any]] = run["breaks"]
        for each in breaks:
            log.error(
                "%s: %s %s is assigned %s and short %s; run %s",
                each["reason"],
                each["occ_account"],
                each["series"],
                each["assigned_quantity"],
                each["total_short"],
                run["run"],
            )
        return breaks

    @task(retries=RETRIES, retry_delay=WAIT)
    def verify() -> None:
        """Verify the ledger, its log and every file."""
        _insist(ask(HOME, "verify"))

    run = assign()
    by_state(run) >> [report_breaks(run), verify()]


def _business_date(logical_date: dt.datetime | None) -> str:
    """Return the day before the exchanges' morning."""
    if logical_date is None:
        raise AirflowFailException("a run by hand needs its business_date")
    import zoneinfo  # noqa: PLC0415 - Airflow reads this file every few seconds.

    morning = logical_date.astimezone(zoneinfo.ZoneInfo(EXCHANGES))
    return (morning.date() - dt.timedelta(days=1)).isoformat()


def _insist(answer: Answer) -> dict[str, Any]:
    """Return the document of a successful answer.

    Raises:
        AirflowException: The command may succeed later; Airflow tries it again.
        AirflowFailException: It will not; Airflow does not try again.
    """
    verdict = verdict_of(answer.exit_code)
    if verdict is Verdict.TRY_AGAIN:
        raise AirflowException(answer.message)
    if verdict is Verdict.FAIL:
        raise AirflowFailException(answer.message)
    document: dict[str, Any] = answer.document
    return document


assignment_lottery()
