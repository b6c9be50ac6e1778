"""The server's keeper: what is behind is published and archived between the calls."""

from __future__ import annotations

from pathlib import Path

import prometheus_client
import pytest
import structlog

from lottery.errors import LedgerUnfinished
from server.keeper import Keeper
from tests.builders import REQUESTER, made
from tests.services.waiting import wait_until


def _entries(state: str) -> float | None:
    return prometheus_client.REGISTRY.get_sample_value("lottery_log_entries", {"state": state})


def test_what_a_killed_process_committed_is_published_and_archived(tmp_path: Path) -> None:
    ledger = made(tmp_path / "ledger", archive=str(tmp_path / "archive"), archives_first=False)
    with pytest.MonkeyPatch.context() as patch:
        # As if the process were killed between its commit and its publishing.
        patch.setattr(type(ledger), "_publish_all", lambda *_, **__: 0)
        ledger.enter("report", "a page", "made", REQUESTER.by)
    keeper = Keeper(ledger, also=[], seconds=0.01)

    keeper.start()
    try:
        wait_until(lambda: _entries("archived") == 2, "the archive")
    finally:
        keeper.stop()

    assert [_entries("committed"), _entries("published")] == [2, 2]
    for folder in ("ledger", "archive"):
        assert (tmp_path / folder / "log/checkpoint").read_text("utf-8").split("\n")[1] == "2"


def test_what_goes_wrong_is_logged_and_tried_again(tmp_path: Path) -> None:
    ledger = made(tmp_path / "ledger")
    keeper = Keeper(ledger, also=[])
    with structlog.testing.capture_logs() as lines, pytest.MonkeyPatch.context() as patch:

        def fails() -> int:
            raise LedgerUnfinished("the disk is full")

        patch.setattr(ledger, "publish", fails)
        keeper._log = structlog.get_logger()
        keeper.look()

    assert [(line["event"], line["problem"]) for line in lines] == [
        ("publishing is behind", "the disk is full")
    ]
