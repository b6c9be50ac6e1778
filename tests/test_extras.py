"""What a plain install leaves out: one sentence names it, and the command to get it."""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path

import pytest

from lottery.extras import REQUIREMENTS
from tests.builders import PUBLISHED, record_in, request_of
from tests.cli.calls import fails, lottery
from tests.receiver import webhooks_file

PROJECT = tomllib.loads(Path(__file__).parents[1].joinpath("pyproject.toml").read_text("utf-8"))[
    "project"
]

NEEDING = {
    "scipy": ["seeds"],
    "duckdb": ["replay", "latest", "--engine", "sql"],
    "obstore": ["--objects", "s3://bucket/prefix", "status"],
    "starlette": ["console"],
    "uvicorn": ["console"],
    "urllib3": [
        *("run", "--date", "2024-09-16", "--notices", "n.csv"),
        *("--positions", "p.csv", "--volumes", "v.csv"),
    ],
    "pg8000": ["--ledger", "postgresql://me@nowhere/lottery", "--objects", ".", "runs"],
}


def test_every_extra_has_the_package_that_is_asked_for() -> None:
    extras = PROJECT["optional-dependencies"]

    found = {
        re.split("[>=]", requirement)[0]: requirement
        for extra, requirements in extras.items()
        for requirement in requirements
        if extra != "otel"  # Without it nothing is traced, and nothing is missing.
    }
    assert found == REQUIREMENTS
    assert not {re.split("[>=]", each)[0] for each in PROJECT["dependencies"]} & set(found)


@pytest.mark.parametrize("package", NEEDING)
def test_without_a_package_the_command_says_what_to_install(
    package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record_in(tmp_path / "ledger", request_of(PUBLISHED, tmp_path))
    webhooks = webhooks_file(tmp_path, "https://pager.bank.example/")
    monkeypatch.setenv("LOTTERY_WEBHOOKS", str(webhooks))
    for name in [name for name in sys.modules if name.partition(".")[0] == package]:
        monkeypatch.delitem(sys.modules, name)
    for name in ("lottery.stores.bucket", "lottery.stores.bucket_requests"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.setitem(sys.modules, package, None)

    answer, document = fails(
        lottery,
        *("--ledger", tmp_path / "ledger"),
        *NEEDING[package],
        exit_code=2,
        reason="ENGINE_MISSING",
    )

    pip = f"pip install '{REQUIREMENTS[package]}'"
    assert document["message"] == f"{package} is not installed; run {pip}"
    assert len(answer.error_lines) == 1
