"""`make demo`: two example dates through a real server on loopback, shown, replayed, verified."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

DAY = Path(__file__).parent / "2024-09-16"
SECOND_DAY = Path(__file__).parent / "2024-09-17"
BREAKS = 4
"""The exit code of a run with breaks; the example dates have one each, on purpose."""


def main() -> None:
    """Show the example dates.

    Raises:
        SystemExit: Something is not as expected; the code is 1.
    """
    with tempfile.TemporaryDirectory(prefix="lottery-demo-") as directory:
        folder = Path(directory)
        lottery("--ledger", str(folder / "ledger"), "init")
        print("Starting a server on loopback (the first start compiles the loops) ...", flush=True)
        server, port = start_server(folder / "ledger")
        to_server = ("--server", f"127.0.0.1:{port}")
        try:
            output = folder / "output"
            lottery(*to_server, *run_of(DAY), "--output", str(output))
            compare(output, DAY)
            lottery(*to_server, "show", "latest", "--allocations")
            lottery(*to_server, "explain", "latest", "--series", "AAPL240920C00220000")
            for command in second_date(folder / "booked"):
                lottery(*to_server, *command)
            compare(folder / "booked", SECOND_DAY)
            lottery(*to_server, "replay", "--all")
            lottery(*to_server, "verify")
        finally:
            server.terminate()
            server.wait()


def run_of(day: Path, notices: str = "notices.csv", positions: str = "positions.csv") -> list[str]:
    """Return `run` of a date's files."""
    return [
        *("run", "--date", day.name),
        *("--notices", str(day / notices)),
        *("--positions", str(day / positions)),
        *("--volumes", str(day / "volumes.csv")),
    ]


def second_date(booked: Path) -> list[list[str]]:
    """Return the commands of the second date, on which everything goes wrong that can.

    Args:
        booked: The folder for what stands in the end.
    """
    date = SECOND_DAY.name
    corrected = run_of(SECOND_DAY, "corrected/notices.csv", "corrected/positions.csv")
    return [
        run_of(SECOND_DAY),
        [*run_of(SECOND_DAY, "cycle-2/notices.csv"), "--cycle", "2"],
        [*run_of(SECOND_DAY, "cycle-3/notices.csv"), "--cycle", "3"],
        ["withdraw", f"{date}-003", "--reason", "OCC took B000000005 back"],
        [
            *(*corrected, "--cycle", "2", "--supersede", f"{date}-001", f"{date}-002"),
            *("--reason", "an account and a late trade were missing in the positions"),
        ],
        ["day", date, "--output", str(booked)],
        ["diff", date, "--since", f"{date}-002"],
    ]


def compare(output: Path, day: Path) -> None:
    """Compare allocations with those that are expected.

    Raises:
        SystemExit: They differ.
    """
    expected = (day / "expected" / "allocations.csv").read_bytes()
    if (output / "allocations.csv").read_bytes() != expected:
        raise SystemExit("the allocations are not those of the independent reference")
    print("The allocations are those of the tests' independent reference, to the byte.")


def start_server(ledger: Path) -> tuple[subprocess.Popen[bytes], int]:
    """Start a server and return it with its port, which its log says."""
    environment = {
        **os.environ,
        "LOTTERY_LISTEN": "127.0.0.1:0",
        "LOTTERY_HEALTH_LISTEN": "127.0.0.1:0",
        "LOTTERY_METRICS_LISTEN": "",
        "LOTTERY_LEDGER": str(ledger),
        "LOTTERY_LOG_FORMAT": "json",
        "LOTTERY_TRUST_LOCAL": "demo:operator,auditor",
    }
    server = subprocess.Popen(
        [sys.executable, "-m", "server"], env=environment, stderr=subprocess.PIPE
    )
    assert server.stderr is not None
    for line in server.stderr:
        entry = json.loads(line)
        if entry["event"] == "serving":
            return server, entry["port"]
    raise SystemExit("the server did not start")


def lottery(*arguments: str) -> None:
    """Run a command, showing the command and what it prints."""
    shown = [argument.replace(f"{Path.cwd()}{os.sep}", "") for argument in arguments]
    print(f"\n$ lottery {' '.join(shown)}", flush=True)
    code = subprocess.run([sys.executable, "-m", "lottery", *arguments], check=False).returncode
    if code not in (0, BREAKS):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
