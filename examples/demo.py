"""`make demo`: the example day through a real server on loopback, shown, replayed, verified."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

DAY = Path(__file__).parent / "2024-09-16"
FILES = [
    *("--notices", str(DAY / "notices.csv")),
    *("--positions", str(DAY / "positions.csv")),
    *("--volumes", str(DAY / "volumes.csv")),
]
BREAKS = 4
"""The exit code of a run with breaks; the example day has one on purpose."""


def main() -> None:
    """Show the example day.

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
            lottery(*to_server, "run", "--date", "2024-09-16", *FILES, "--output", str(output))
            expected = (DAY / "expected" / "allocations.csv").read_bytes()
            if (output / "allocations.csv").read_bytes() != expected:
                raise SystemExit("the allocations are not those of the independent reference")
            print("The allocations are those of the tests' independent reference, to the byte.")
            lottery(*to_server, "show", "latest", "--allocations")
            lottery(*to_server, "explain", "latest", "--series", "AAPL240920C00220000")
            lottery(*to_server, "replay", "--all")
            lottery(*to_server, "verify")
        finally:
            server.terminate()
            server.wait()


def start_server(ledger: Path) -> tuple[subprocess.Popen[bytes], int]:
    """Start a server and return it with its port, which its log says."""
    environment = {
        **os.environ,
        "LOTTERY_LISTEN": "127.0.0.1:0",
        "LOTTERY_HEALTH_LISTEN": "127.0.0.1:0",
        "LOTTERY_METRICS_LISTEN": "",
        "LOTTERY_LEDGER": str(ledger),
        "LOTTERY_LOG_FORMAT": "json",
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
