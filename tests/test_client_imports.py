"""What the client loads: no ledger, no database, and nothing of the doors."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Final

from tests.builders import ASKS
from tests.server.calls import serving

UNUSED: Final = (
    *("sqlalchemy", "sqlite3", "pg8000", "obstore", "lottery.ledger.commit", "lottery.stores"),
    *("numba", "scipy", "mpmath", "duckdb", "lxml", "holidays", "jinja2", "xlsxwriter"),
    *("typer", "rich", "structlog", "prometheus_client", "server", "lottery.cli"),
)
"""Modules that a program which only calls a server has no use for."""

_CALLS: Final = """
import io, json, sys
from lottery.client import LotteryClient

target, asks = sys.argv[1], json.loads(sys.argv[2])
pool = {"series": "AAPL240920C00220000", "assigned_quantity": 1, "positions": [("1", 3)]}
run = {"business_date": "2024-09-16", "asks": asks}
notices = [{"notice_id": "A1", "series": pool["series"], "quantity": 1}]
positions = [{"series": pool["series"], "account": "1", "short_quantity": 3}]
loaded = set(sys.modules)
with LotteryClient(target) as client:
    client.derive_seed(asks)
    client.allocate_series(**run, **pool)
    client.odds(**pool)
    recorded = client.run_lottery(**run, notices=notices, positions=positions).record
    client.get_run(recorded.run), list(client.list_runs()), client.list_proposals()
    client.allocations("latest"), client.pools("latest"), client.explain("latest", account="1")
    client.get_charter("2024-09-16"), client.get_day("2024-09-16").breaks
    client.diff_runs("latest", "latest"), list(client.history(account="1"))
    client.replay_run("latest"), list(client.replay_dates()), client.verify_ledger()
    client.export_run("latest", io.BytesIO()), client.checkpoint()
    client.status(), list(client.trail())
print(json.dumps([sorted(loaded), sorted(sys.modules)]))
"""


def test_a_client_that_calls_everything_loads_no_ledger_and_no_compiler(tmp_path: Path) -> None:
    asks = json.dumps(ASKS)
    with serving(tmp_path / "ledger") as server:
        done = subprocess.run(
            [sys.executable, "-c", _CALLS, f"127.0.0.1:{server.port}", asks],
            capture_output=True,
            check=False,
            text=True,
        )

    assert done.returncode == 0, done.stderr
    imported, called = map(set, json.loads(done.stdout))
    assert "lottery.client" in imported
    assert "pandas" not in imported  # Arrow loads it for some of the calls, where it is.
    assert called.isdisjoint(UNUSED), sorted(called.intersection(UNUSED))
