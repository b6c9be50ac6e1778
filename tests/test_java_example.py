"""examples/java: the client in Java, against a server, from the packaged protos."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.server.calls import serving

ROOT = Path(__file__).parents[1]
BUILD = ROOT / "examples" / "java" / "build.sh"
JARS = Path("/usr/share/java")

pytestmark = pytest.mark.slow


def require_packages() -> None:
    """Skip without Debian's packages, because no test downloads any."""
    script = BUILD.read_text("utf-8")
    packages = " ".join(re.findall(r"apt install (.*)", script))
    jars = re.search(r"for name in ([^;]*);", script)
    assert jars is not None
    named = [JARS / f"{name}.jar" for name in jars[1].replace("\\\n", "").split()]
    programs = ("javac", "protoc", "grpc_java_plugin")
    if not (all(map(shutil.which, programs)) and all(jar.exists() for jar in named)):
        pytest.skip(f"what builds the client in Java is not installed: apt install {packages}")


def test_a_client_in_java_gets_the_published_allocations_from_the_packaged_protos(
    tmp_path: Path,
) -> None:
    require_packages()
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "installed")
    protos, classes = tmp_path / "installed" / "lottery" / "proto", tmp_path / "classes"

    compiled = subprocess.run(
        [str(BUILD), str(protos), str(classes)], capture_output=True, check=False, text=True
    )
    assert compiled.returncode == 0, compiled.stderr

    with serving(tmp_path / "ledger") as server:
        done = subprocess.run(
            [*("java", f"@{classes}/arguments"), *("Client", f"127.0.0.1:{server.port}")],
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
