"""`deploy/systemd`: what the unit may do, and how long it waits."""

from __future__ import annotations

import re
import shutil
import subprocess

import pytest

from tests.deploy.files import DEPLOY, image_settings


def unit() -> list[tuple[str, str]]:
    text = (DEPLOY / "systemd" / "lottery-server.service").read_text("utf-8")
    return re.findall(r"^(\w+)=(.*)$", text, re.MULTILINE)


def test_the_unit_has_no_privilege_and_writes_its_state_and_cache_alone() -> None:
    keys = dict(unit())

    assert keys["User"] == "lottery"
    assert keys["ProtectSystem"] == "strict"
    assert keys["NoNewPrivileges"] == "true"
    assert keys["CapabilityBoundingSet"] == ""
    assert "ReadWritePaths" not in keys
    written = {"LOTTERY_LEDGER", "LOTTERY_SIGNING_KEY", "NUMBA_CACHE_DIR"}
    for key, value in unit():
        name, _, path = value.partition("=")
        if key == "Environment" and name in written:
            assert path.startswith(("/var/lib/lottery/", "/var/cache/lottery"))


def test_the_unit_waits_longer_for_the_server_than_the_server_for_its_calls() -> None:
    assert int(dict(unit())["TimeoutStopSec"]) > image_settings().grace_seconds


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is away")
def test_systemd_rates_the_unit_as_little_exposed() -> None:
    path = DEPLOY / "systemd" / "lottery-server.service"
    rated = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--threshold=15", str(path)],  # noqa: S607
        capture_output=True,
        check=False,
        text=True,
    )

    assert rated.returncode == 0, rated.stdout
