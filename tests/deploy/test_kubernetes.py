"""`deploy/kubernetes`: valid by the schemas, without privilege, and of one piece."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any, Final

import kubernetes_validate
import pytest
import yaml

from lottery.operations.roles import read_roles
from tests.deploy.files import DEPLOY, image_settings

KUBERNETES: Final = DEPLOY / "kubernetes"
VERSION: Final = "1.33"
"""The version of Kubernetes whose schemas are asked."""


def resources() -> list[dict[str, Any]]:
    kustomization = yaml.safe_load((KUBERNETES / "kustomization.yaml").read_text("utf-8"))
    return [
        document
        for name in kustomization["resources"]
        for document in yaml.safe_load_all((KUBERNETES / name).read_text("utf-8"))
    ]


def deployment() -> dict[str, Any]:
    (found,) = (one for one in resources() if one["kind"] == "Deployment")
    return found


def test_what_kubernetes_gets_is_valid() -> None:
    kinds = []
    for resource in resources():
        kubernetes_validate.validate(resource, VERSION, strict=True)
        kinds.append(resource["kind"])

    assert sorted(kinds) == [
        "Deployment",
        "NetworkPolicy",
        "PodDisruptionBudget",
        "Service",
        "ServiceAccount",
    ]


def test_every_file_of_kubernetes_is_in_the_kustomization() -> None:
    text = (KUBERNETES / "kustomization.yaml").read_text("utf-8")
    names = {path.name for path in KUBERNETES.iterdir()} - {"kustomization.yaml"}

    assert {name for name in names if name not in text} == set()


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl, which has kustomize, is away")
def test_kustomize_builds_what_is_valid() -> None:
    built = subprocess.run(
        ["kubectl", "kustomize", str(KUBERNETES)],  # noqa: S607 - wherever it is.
        capture_output=True,
        check=True,
    )

    documents = list(yaml.safe_load_all(built.stdout))
    for document in documents:
        kubernetes_validate.validate(document, VERSION, strict=True)
    assert {"ConfigMap", "Deployment"} <= {document["kind"] for document in documents}


def test_pods_have_no_privilege_and_write_nothing_but_memory() -> None:
    pod = deployment()["spec"]["template"]["spec"]

    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["runAsUser"] > 10_000
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    for container in [*pod["containers"], *pod["initContainers"]]:
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert "memory" in container["resources"]["limits"]
    assert all(
        volume["emptyDir"]["medium"] == "Memory"
        for volume in pod["volumes"]
        if "emptyDir" in volume
    )


def test_probes_ask_the_port_of_health_and_a_drain_outlives_none_of_them() -> None:
    pod = deployment()["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    settings = image_settings()

    assert {name: str(port) for name, port in ports.items()} == {
        "grpc": settings.listen.rpartition(":")[2],
        "health": settings.health_listen.rpartition(":")[2],
        "metrics": settings.metrics_listen.rpartition(":")[2],
    }
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert container[probe]["grpc"]["port"] == ports["health"]
    liveness = container["livenessProbe"]
    assert liveness["periodSeconds"] * liveness["failureThreshold"] > settings.grace_seconds
    assert pod["terminationGracePeriodSeconds"] > settings.grace_seconds


def test_every_volume_that_is_mounted_is_there_and_every_file_lies_in_one() -> None:
    pod = deployment()["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    volumes = {volume["name"] for volume in pod["volumes"]}
    mounted = {mount["mountPath"] for mount in container["volumeMounts"]}
    given = dict(
        line.split("=", 1)
        for line in (KUBERNETES / "settings.env").read_text("utf-8").splitlines()
        if not line.startswith("#")
    )

    assert {mount["name"] for mount in container["volumeMounts"]} < volumes
    files = [value for value in given.values() if value.startswith("/")]
    assert len(files) == 5
    assert all(str(Path(file).parent) in mounted for file in files)


def test_the_example_of_roles_can_be_read() -> None:
    assert read_roles(KUBERNETES / "roles.toml").names
