"""Workers and supervisors that are killed under load, with callers that try again.

LOTTERY_SERVER_KILLS says how many are killed, LOTTERY_SEED in what order.
"""

from __future__ import annotations

import os
import random
import secrets
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest

from lottery.client import LotteryClient
from lottery.errors import LedgerBusy, LotteryError, Overloaded, ServerAway
from server.binding import reserve
from tests.builders import ASKS, DATE, assert_sound, exchange_asks, notice, opened, position
from tests.server.calls import PATIENCE, wait_until
from tests.server.processes import ServerProcess, server_process

KILLS: Final = int(os.environ.get("LOTTERY_SERVER_KILLS", "4"))
SEED: Final = int(os.environ.get("LOTTERY_SEED", "0")) or secrets.randbelow(1 << 32)
CALLERS: Final = 4

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300 + 30 * KILLS)]


def test_no_acknowledged_run_is_missing_or_doubled_after_kills(tmp_path: Path) -> None:
    choice = random.Random(SEED)  # noqa: S311 - no lottery is drawn with it.
    listen = free_address()
    acknowledged: dict[str, str] = {}
    failures: list[LotteryError] = []
    stop = threading.Event()
    callers = [
        threading.Thread(target=run_days, args=(listen, number, stop, acknowledged, failures))
        for number in range(CALLERS)
    ]
    done = 0
    for caller in callers:
        caller.start()
    try:
        while done < KILLS:
            with serving(tmp_path, listen) as server:
                while done < KILLS and server.process.poll() is None:
                    wait_for_more(acknowledged, failures, 1)
                    time.sleep(choice.uniform(0.0, 0.3))  # A moment is what is drawn here.
                    done += 1
                    kill_one(server, choice)
            wait_until(lambda: is_free(listen))
        with serving(tmp_path, listen):
            wait_for_more(acknowledged, failures, CALLERS)
            stop.set()
            for caller in callers:
                caller.join(PATIENCE)
    finally:
        stop.set()

    assert failures == [], f"LOTTERY_SEED={SEED}"
    ledger = opened(tmp_path / "ledger")
    recorded_runs = {record.run: record.request_id for record in ledger.iterate()}
    ledger.close()
    assert len(set(recorded_runs.values())) == len(recorded_runs)
    assert {run: recorded_runs.get(run) for run in acknowledged.values()} == {
        run: request_id for request_id, run in acknowledged.items()
    }, f"LOTTERY_SEED={SEED}"
    assert_sound(tmp_path / "ledger")


def run_days(
    target: str,
    caller: int,
    stop: threading.Event,
    acknowledged: dict[str, str],
    failures: list[LotteryError],
) -> None:
    """Record one pool after another; each until the server has acknowledged it."""
    number = 0
    with LotteryClient(target, timeout=PATIENCE) as client:
        while not stop.is_set():
            name = f"K{caller}-{number}"
            series = f"AAPL  240920C{(caller * 10_000 + number + 1) * 1_000:08d}"
            try:
                recorded = client.run_lottery(
                    business_date=DATE,
                    asks=exchange_asks(ASKS),
                    notices=[notice(name, series, 2)],
                    positions=[position(series, str(account), 3) for account in range(101, 104)],
                    request_id=name,
                )
            except (ServerAway, LedgerBusy, Overloaded):
                time.sleep(0.05)  # The same request again.
                continue
            except LotteryError as error:
                failures.append(error)
                return
            acknowledged[name] = recorded.record.run
            number += 1


@contextmanager
def serving(folder: Path, listen: str) -> Iterator[ServerProcess]:
    """Run a server over the ledger in a folder; its log is its own."""
    own = folder / secrets.token_hex(4)
    own.mkdir()
    with server_process(own, to=folder / "ledger", listen=listen, processes="2") as server:
        yield server


def wait_for_more(acknowledged: dict[str, str], failures: list[LotteryError], more: int) -> None:
    """Wait until so many more runs are acknowledged."""
    before = len(acknowledged)
    wait_until(lambda: len(acknowledged) >= before + more or bool(failures))


def kill_one(server: ServerProcess, choice: random.Random) -> None:
    """Kill a worker, or one time in four the supervisor."""
    if not choice.randrange(4):
        workers = server.workers()
        server.process.kill()
        server.process.wait(PATIENCE)
        # One that is still starting has no port yet, and gives it up only once it has had it.
        wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in workers))
        return
    before = {line["timestamp"] for line in server.lines() if line["event"] == "worker died"}
    os.kill(choice.choice(server.workers()), signal.SIGKILL)
    wait_until(
        lambda: bool(
            {line["timestamp"] for line in server.lines() if line["event"] == "worker died"}
            - before
        )
    )


def free_address() -> str:
    """Return an address on loopback that nobody has."""
    with reserve("127.0.0.1:0") as reserved:
        return f"127.0.0.1:{reserved.getsockname()[1]}"


def is_free(listen: str) -> bool:
    """Return whether nobody listens on an address."""
    try:
        reserve(listen).close()
    except OSError:
        return False
    return True
