"""Ask for known vulnerabilities of the locked packages; `make audit` calls it.

`locks/exceptions.toml` has those that do not matter here, each with a reason and an end. Where no
service of advisories answers, it says that nothing was asked, and succeeds: a machine without the
network is no reason to stop a change, and no proof of anything.

Exit codes: 0 nothing is known or nothing could be asked, 1 something is known, 2 wrong usage.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
EXCEPTIONS = ROOT / "locks" / "exceptions.toml"
LOCKS = (ROOT / "locks" / "build.txt", ROOT / "locks" / "dev.txt")
MEMBERS = {"id", "package", "reason", "until"}


def main() -> int:
    """Ask, and print what is known."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--program", default=str(Path(sys.executable).with_name("pip-audit")))
    parser.add_argument("--exceptions", type=Path, default=EXCEPTIONS)
    parser.add_argument("--seconds", type=float, default=120.0, help="How long it may take.")
    given = parser.parse_args()
    try:
        excepted = read_exceptions(given.exceptions, dt.datetime.now(dt.UTC).date())
    except (OSError, ValueError) as error:
        say(f"audit: {given.exceptions}: {error}")
        return 2
    packages, problem = ask(given.program, given.seconds)
    asked = [package for package in packages if "skip_reason" not in package]
    if not asked:
        say(f"audit: skipped, nothing could be asked of a service of advisories: {problem}")
        return 0
    known = [
        (package, found)
        for package in asked
        for found in package["vulns"]
        if excepted.isdisjoint((package["name"], name) for name in [found["id"], *found["aliases"]])
    ]
    for package, found in known:
        fixed = ", ".join(found["fix_versions"]) or "no version yet"
        say(f"audit: {package['name']} {package['version']}: {found['id']}, fixed by {fixed}")
    not_asked = f", {len(packages) - len(asked)} could not be asked about"
    say(
        f"audit: {len(asked)} packages, {len(known)} known vulnerabilities, "
        f"{len(excepted)} exceptions{not_asked if len(asked) < len(packages) else ''}"
    )
    return 1 if known else 0


def ask(program: str, seconds: float) -> tuple[list[dict[str, Any]], str]:
    """Return what pip-audit says of each package, and why if it says nothing."""
    locks = [text for lock in LOCKS for text in ("--requirement", str(lock))]
    command = [program, "--require-hashes", "--disable-pip", "--progress-spinner=off", *locks]
    try:
        asked = subprocess.run(  # noqa: S603 - the project's own locks.
            [*command, "--format=json"],
            capture_output=True,
            check=False,
            stdin=subprocess.DEVNULL,
            text=True,
            timeout=seconds,
        )
    except subprocess.TimeoutExpired:
        return [], f"no answer within {seconds:g} seconds"
    try:
        packages: list[dict[str, Any]] = json.loads(asked.stdout)["dependencies"]
    except ValueError:
        lines = asked.stderr.strip().splitlines() or [f"exit code {asked.returncode}"]
        return [], lines[-1]
    reasons = [package["skip_reason"] for package in packages if "skip_reason" in package]
    return packages, reasons[0] if reasons else "no package is locked"


def read_exceptions(path: Path, today: dt.date) -> set[tuple[str, str]]:
    """Return the vulnerabilities that do not matter here: package and id.

    Raises:
        ValueError: One has no reason, or its time is over.
    """
    excepted = set()
    for each in tomllib.loads(path.read_text("utf-8"))["exception"]:
        if set(each) != MEMBERS or not all(map(str, each.values())):
            raise ValueError(f"expected {', '.join(sorted(MEMBERS))} of each, got {each}")
        if each["until"] < today:
            raise ValueError(f"the exception for {each['id']} ended on {each['until']}: look again")
        excepted.add((each["package"], each["id"]))
    return excepted


def say(line: str) -> None:
    """Print a line."""
    sys.stdout.write(f"{line}\n")


if __name__ == "__main__":
    sys.exit(main())
