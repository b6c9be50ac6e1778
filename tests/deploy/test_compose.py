"""`deploy/compose.yaml`: no privilege, nothing published beyond loopback."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from tests.deploy.files import DEPLOY


def services() -> dict[str, dict[str, Any]]:
    document = yaml.safe_load((DEPLOY / "compose.yaml").read_text("utf-8"))
    made: dict[str, dict[str, Any]] = document["services"]
    return made


@pytest.mark.parametrize("name", services())
def test_every_container_has_a_root_that_it_cannot_write_and_no_capability(name: str) -> None:
    service = services()[name]

    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert "privileged" not in service
    assert "cap_add" not in service


def test_compose_publishes_on_loopback_alone_and_neither_health_nor_metrics() -> None:
    published = [port for service in services().values() for port in service.get("ports", [])]

    assert published
    for port in published:
        assert port.startswith("127.0.0.1:")
        assert not port.endswith((":50052", ":9464"))


def test_prometheus_asks_every_replica_of_compose() -> None:
    document = yaml.safe_load((DEPLOY / "prometheus" / "prometheus.yaml").read_text("utf-8"))
    (job,) = document["scrape_configs"]
    replicas = [name for name in services() if name.startswith("lottery-")]

    assert len(replicas) == 2
    assert job["job_name"] == "lottery"
    assert job["static_configs"] == [{"targets": [f"{name}:9464" for name in replicas]}]


def test_a_replica_waits_for_all_that_its_ledger_is_in() -> None:
    for name in ("lottery-1", "lottery-2"):
        service = services()[name]
        assert set(service["depends_on"]) == {"database", "objects"}
        assert service["environment"]["LOTTERY_LEDGER"].endswith("@database/lottery")
        assert service["environment"]["AWS_ENDPOINT_URL"].startswith("http://objects:")
    assert set(services()["objects"]["depends_on"]) == {"bucket"}
