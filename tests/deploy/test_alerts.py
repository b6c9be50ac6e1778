"""The alert rules, given to Prometheus' own tool: when each sounds, and when it does not."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Final

import pytest

from tests.deploy.files import DEPLOY

PROMTOOL: Final = shutil.which("promtool")
RULES: Final = DEPLOY / "prometheus" / "alerts.yaml"

pytestmark = pytest.mark.skipif(PROMTOOL is None, reason="promtool, of prometheus, is away")

SOUNDS: Final = {
    "LotteryDown": {'up{job="lottery",instance="a"}': "0x60", 'up{job="lottery"}': "1x60"},
    "LotteryAllDown": {'up{job="lottery"}': "0x60"},
    "LotteryFails": {'lottery_rpc_total{method="RunLottery",code="INTERNAL"}': "0+1x60"},
    "LotteryCannotRecord": {'lottery_rpc_total{code="UNAVAILABLE"}': "0+1x60"},
    "LotteryOverloaded": {
        'lottery_rpc_total{code="RESOURCE_EXHAUSTED"}': "0+2x60",
        'lottery_rpc_total{code="OK"}': "0+98x60",
    },
    "LotterySlow": {
        'lottery_rpc_seconds_bucket{method="AllocateSeries",le="0.5"}': "0+97x60",
        'lottery_rpc_seconds_bucket{method="AllocateSeries",le="2"}': "0+100x60",
        'lottery_rpc_seconds_bucket{method="AllocateSeries",le="+Inf"}': "0+100x60",
    },
    "LotteryPublishingLags": {
        'lottery_log_entries{state="committed"}': "8x60",
        'lottery_log_entries{state="published"}': "7x60",
    },
    "LotteryArchivingLags": {
        'lottery_log_entries{state="published"}': "8x60",
        'lottery_log_entries{state="archived"}': "7x60",
    },
    "LotteryFilesStale": {'lottery_stale_files{what="roles"}': "1x60"},
    "LotteryCertificateExpires": {"lottery_certificate_expires_timestamp_seconds": "600000x60"},
    "LotteryBreaks": {'lottery_contracts_total{outcome="broken"}': "0x30 25x30"},
    "LotteryWebhooksGivenUp": {'lottery_webhooks_total{outcome="given_up"}': "0x30 1x30"},
    "LotteryRefusesCallers": {'lottery_rpc_total{code="PERMISSION_DENIED"}': "0+60x60"},
}
"""For each alert, series of sixty minutes after which it sounds."""
QUIET: Final = {
    'up{job="lottery",instance="a"}': "1x60",
    'up{job="lottery",instance="b"}': "1x60",
    'lottery_rpc_total{method="AllocateSeries",code="OK"}': "0+6000x60",
    'lottery_rpc_total{method="RunLottery",code="INVALID_ARGUMENT"}': "0+1x60",
    'lottery_rpc_total{method="AllocateSeries",code="RESOURCE_EXHAUSTED"}': "0+1x60",
    'lottery_rpc_seconds_bucket{method="AllocateSeries",le="0.5"}': "0+6000x60",
    'lottery_rpc_seconds_bucket{method="AllocateSeries",le="+Inf"}': "0+6000x60",
    'lottery_log_entries{state="committed"}': "0+1x60",
    'lottery_log_entries{state="published"}': "0+1x60",
    'lottery_stale_files{what="roles"}': "0x60",
    'lottery_webhooks_total{outcome="delivered"}': "0+1x60",
    'lottery_webhooks_total{outcome="given_up"}': "0x60",
    "lottery_certificate_expires_timestamp_seconds": "9000000x60",
    'lottery_contracts_total{outcome="allocated"}': "0+1000x60",
    'lottery_contracts_total{outcome="broken"}': "25x60",
}
"""Series of an hour in which nothing is wrong."""


def sounding(tmp_path: Path, series: dict[str, str], names: list[str]) -> set[str]:
    """Return which alerts of these sound at the end of an hour of series."""
    sounded = set()
    for name in names:
        test = {
            "interval": "1m",
            "input_series": [{"series": each, "values": text} for each, text in series.items()],
            "alert_rule_test": [{"eval_time": "59m", "alertname": name, "exp_alerts": []}],
        }
        path = tmp_path / f"{name}.yaml"
        path.write_text(json.dumps({"rule_files": [str(RULES)], "tests": [test]}))
        done = subprocess.run(
            [str(PROMTOOL), "test", "rules", str(path)],
            capture_output=True,
            check=False,
            text=True,
        )
        assert done.returncode == 0 or "got:[" in done.stderr.replace("\n", "").replace(" ", ""), (
            done.stderr
        )
        if done.returncode:
            sounded.add(name)
    return sounded


def test_prometheus_takes_the_rules_and_the_configuration() -> None:
    for what, path in (("rules", RULES), ("config", RULES.with_name("prometheus.yaml"))):
        subprocess.run([str(PROMTOOL), "check", what, str(path)], check=True, capture_output=True)


def test_every_alert_is_tried_out() -> None:
    text = RULES.read_text("utf-8")

    assert [line.split()[-1] for line in text.splitlines() if "- alert:" in line] == list(SOUNDS)


@pytest.mark.parametrize("name", SOUNDS)
def test_an_alert_sounds_when_what_it_is_for_happens(name: str, tmp_path: Path) -> None:
    assert sounding(tmp_path, SOUNDS[name], [name]) == {name}


def test_no_alert_sounds_in_an_hour_in_which_nothing_is_wrong(tmp_path: Path) -> None:
    assert sounding(tmp_path, QUIET, list(SOUNDS)) == set()
