"""examples/node: the client in Node, against a server, from the packaged protos."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.server.calls import serving

ROOT = Path(__file__).parents[1]
CLIENT = ROOT / "examples" / "node"
VARIABLE = "LOTTERY_NODE_MODULES"


def node_modules() -> Path:
    """Return the folder with the client's packages; skip without it, because no test downloads."""
    modules = Path(os.environ.get(VARIABLE) or CLIENT / "node_modules")
    if shutil.which("node") is None:
        pytest.skip("node is not installed: apt install nodejs")
    if not (modules / "@grpc" / "grpc-js").is_dir():
        pytest.skip(f"run npm install in examples/node, or name a node_modules in {VARIABLE}")
    return modules


def test_a_client_in_node_gets_the_published_allocations_from_the_packaged_protos(
    tmp_path: Path,
) -> None:
    modules = node_modules()
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "installed")

    with serving(tmp_path / "ledger") as server:
        done = subprocess.run(
            [
                *("node", "client.js", f"127.0.0.1:{server.port}"),
                str(tmp_path / "installed" / "lottery" / "proto"),
            ],
            cwd=CLIENT,
            env={**os.environ, "NODE_PATH": str(modules)},
            capture_output=True,
            check=False,
            text=True,
        )

    assert done.stdout.splitlines() == [
        "seed: composite 282431310, digits 4313, fraction 0.4314",
        *("1046: 3", "1047: 7", "1048: 0"),
        "refused: INVALID_ARGUMENT: assigned_quantity: assigned quantity must be at least 1, got 0",
        "run 2024-09-16-001: recorded",
        *("1046: 1 to 30, 3 assigned", "1047: 31 to 60, 7 assigned", "1048: 61 to 65, 0 assigned"),
    ], done.stderr
