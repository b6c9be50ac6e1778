"""Alerts and the dashboard: every metric and label in them is one of the server."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, Final

import prometheus_client
import yaml

import server.app  # noqa: F401 - it registers every metric.
from tests.deploy.files import DEPLOY, ROOT

ENDINGS: Final = ("", "_total", "_bucket", "_sum", "_count")
"""What Prometheus adds to a metric's name."""


def metrics() -> set[str]:
    return {
        metric.name + ending
        for metric in prometheus_client.REGISTRY.collect()
        for ending in ENDINGS
    }


def names_of_metrics(expression: str) -> set[str]:
    without_labels = re.sub(r"\{[^}]*\}|by \([^)]*\)|\[[^]]*\]", " ", expression)
    words = set(re.findall(r"[a-z_]{2,}(?!\w*\()", without_labels))
    functions = set(re.findall(r"([a-z_]+) *\(", without_labels))
    return words - functions - {"or", "and", "by", "sum", "max", "min"}


def labels_of(expression: str) -> set[tuple[str, str]]:
    return set(re.findall(r'(\w+)=~?"([^"]+)"', expression))


def rules() -> list[dict[str, Any]]:
    document = yaml.safe_load((DEPLOY / "prometheus" / "alerts.yaml").read_text("utf-8"))
    return [rule for group in document["groups"] for rule in group["rules"]]


def panels() -> list[dict[str, Any]]:
    document = json.loads((DEPLOY / "grafana" / "lottery.json").read_text("utf-8"))
    made: list[dict[str, Any]] = document["panels"]
    return made


def expressions() -> Iterator[str]:
    yield from (rule["expr"] for rule in rules())
    yield from (target["expr"] for panel in panels() for target in panel["targets"])


def test_every_metric_that_is_looked_at_is_one_of_the_server() -> None:
    known = metrics() | {"up"}

    for expression in expressions():
        names = names_of_metrics(expression)
        assert names, expression
        assert names <= known, expression


def test_every_metric_of_the_server_is_on_the_dashboard() -> None:
    shown = {
        name
        for panel in panels()
        for one in panel["targets"]
        for name in names_of_metrics(one["expr"])
    }
    own = {
        metric.name
        for metric in prometheus_client.REGISTRY.collect()
        if metric.name.startswith("lottery_")
    }

    assert {name for name in own if not any(name + end in shown for end in ENDINGS)} == set()


def test_every_label_that_is_looked_at_has_values_that_there_are() -> None:
    sources = "".join(path.read_text("utf-8") for path in (ROOT / "server").glob("*.py"))
    sources += "UNKNOWN INTERNAL DATA_LOSS"  # gRPC's own.

    for expression in expressions():
        for label, values in labels_of(expression):
            for value in values.split("|"):
                assert label == "job" or value in sources, (label, value)


def test_every_alert_says_what_it_means_and_what_to_do() -> None:
    assert len({rule["alert"] for rule in rules()}) == len(rules())
    for rule in rules():
        assert set(rule["annotations"]) == {"summary", "what_to_do"}, rule["alert"]
        assert rule["labels"]["severity"] in {"page", "ticket"}
        for text in rule["annotations"].values():
            assert text.endswith("."), rule["alert"]


def test_every_panel_says_what_it_shows_and_none_lies_on_another() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in panels():
        assert panel["description"].endswith("."), panel["title"]
        at = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(at["x"], at["x"] + at["w"])
            for y in range(at["y"], at["y"] + at["h"])
        }
        assert not cells & taken, panel["title"]
        taken |= cells
