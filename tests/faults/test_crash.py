"""Processes that record are killed at random moments: nothing acknowledged is lost or doubled.

`make crash-test KILLS=10000` says how many; half of them on SQLite, half on PostgreSQL and S3.
LOTTERY_SEED says from what number the moments are drawn.
"""

from __future__ import annotations

import os
import secrets
import sys
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Final

import pytest

from lottery.errors import ConnectionLost, LedgerBusy, LedgerUnfinished, LedgerUnwritable
from lottery.operations.ledgers import LedgerSettings
from lottery.tlog.keys import create_key_file
from tests.apart import run_apart
from tests.builders import settings_of
from tests.faults.crash import Plan, kill_writers
from tests.faults.services import cut_services
from tests.services import postgres
from tests.services.postgres import WITHOUT_CERTIFICATES

KILLS: Final = int(os.environ.get("LOTTERY_KILLS", "60"))
SEED: Final = int(os.environ.get("LOTTERY_SEED", "0")) or secrets.randbelow(1 << 32)

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300 + KILLS)]


def test_writers_on_sqlite_that_are_killed_at_random_lose_and_double_nothing(
    tmp_path: Path,
) -> None:
    run_apart(_kill_on_sqlite, tmp_path, KILLS - KILLS // 2, SEED)

    sys.stdout.write((tmp_path / "summary").read_text("utf-8"))


@pytest.mark.skipif(postgres.why_not() is not None, reason=str(postgres.why_not()))
def test_replicas_on_postgresql_and_s3_that_are_killed_and_cut_off_lose_and_double_nothing(
    tmp_path: Path,
) -> None:
    run_apart(_kill_replicas, tmp_path, KILLS // 2, SEED)

    sys.stdout.write((tmp_path / "summary").read_text("utf-8"))


def _kill_on_sqlite(folder: Path, kills: int, seed: int) -> None:
    plan = Plan(
        settings=settings_of(folder / "ledger"),
        folder=folder / "writers",
        kills=kills,
        writers=8,
        threads=1,
        retried=(LedgerBusy,),
        mean_seconds=0.025,
    )
    summary = kill_writers(plan, seed)
    text = f"LOTTERY_SEED={seed} {summary.line('SQLite, 8 writers')}\n"
    (folder / "summary").write_text(text, "utf-8")
    summary.refuse()


def _kill_replicas(folder: Path, kills: int, seed: int) -> None:
    with cut_services(seed) as (services, connection):
        os.environ.update([*services.environment.items(), WITHOUT_CERTIFICATES])
        create_key_file(folder / "signing.key", "example.com/log")
        plan = Plan(
            settings=LedgerSettings(
                ledger=services.ledger,
                objects=services.objects,
                key_file=folder / "signing.key",
            ),
            folder=folder / "writers",
            kills=kills,
            writers=3,
            threads=2,
            retried=(LedgerBusy, LedgerUnfinished, LedgerUnwritable, ConnectionLost),
            mean_seconds=0.05,
        )
        summary = kill_writers(plan, seed, before_check=lambda: _end_cuts(connection))
        text = summary.line("PostgreSQL and S3, 3 replicas")
        (folder / "summary").write_text(f"LOTTERY_SEED={seed} {text}\n", "utf-8")
        summary.refuse()


def _end_cuts(connection: Connection) -> str:
    connection.send("end")
    return f"{connection.recv()} connections cut"
