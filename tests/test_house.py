"""The house keeps its own rules: rooms, generated documents, locks."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

from docs.generate import generated

ROOT = Path(__file__).parents[1]


def test_nobody_imports_upwards() -> None:
    linter = Path(sys.executable).with_name("lint-imports")

    done = subprocess.run(
        [str(linter), "--no-cache"], cwd=ROOT, capture_output=True, check=False, text=True
    )

    assert done.returncode == 0, done.stdout
    assert "5 kept, 0 broken" in done.stdout


def test_generated_documents_say_what_the_code_says() -> None:
    pytest.importorskip("grpc_tools", reason="grpcio-tools is not installed: make test")
    docs, made = ROOT / "docs", generated()
    schemas = [path.relative_to(docs).as_posix() for path in docs.glob("schemas/*.json")]

    others = ["../lottery/web/openapi.json", "CLI.md", "METHOD.md", "SETTINGS.md"]
    assert {*schemas, *others} == {*made}, "run `make docs`"
    for name, text in made.items():
        assert (docs / name).read_text(encoding="utf-8") == text, f"{name}: run `make docs`"


@pytest.mark.parametrize("name", ["build.txt", "runtime.txt", "dev.txt"])
def test_locks_are_pinned_by_hash_and_name_no_index(name: str) -> None:
    text = (ROOT / "locks" / name).read_text(encoding="utf-8")
    requirements = re.findall(r"^[A-Za-z0-9]\S*", text, re.MULTILINE)

    assert requirements
    assert all("==" in requirement for requirement in requirements)
    assert len(re.findall(r"--hash=sha256:[0-9a-f]{64}", text)) >= len(requirements)
    assert "://" not in text
    assert "index" not in text


def test_the_wheel_holds_what_the_packages_read(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)

    (wheel,) = tmp_path.glob("*.whl")
    read = [
        path.relative_to(ROOT).as_posix()
        for folder in ("audit/texts", "audit/report/templates", "web/console/templates")
        for path in (ROOT / "lottery" / folder).iterdir()
    ]
    with zipfile.ZipFile(wheel) as archive:
        held = set(archive.namelist())
    protos = {f"lottery/{path.relative_to(ROOT)}" for path in ROOT.glob("proto/**/*.proto")}
    named = {"lottery/audit/replay.sql", "lottery/py.typed", "lottery/web/openapi.json"}
    assert {*read, *protos, *named} <= held


def test_every_dependency_has_a_floor_and_is_locked() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    locked = (ROOT / "locks" / "runtime.txt").read_text(encoding="utf-8")

    extras = project["optional-dependencies"]
    given = ("console", "objects", "postgres", "stats", "webhooks")  # What `make` installs too.
    for dependency in [
        *project["dependencies"],
        *(each for name in given for each in extras[name]),
    ]:
        name, floor = dependency.split(">=")
        assert floor
        assert re.search(rf"^{re.escape(name)}==", locked, re.MULTILINE), name


def test_the_readme_names_targets_that_exist() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")

    targets = set(re.findall(r"^make (\w+)", readme, re.MULTILINE))
    assert {"demo", "test", "lint", "bench", "serve"} <= targets
    for target in targets:
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


def test_a_worker_that_dies_ends_the_run_and_names_its_test(tmp_path: Path) -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8").replace("\\\n", "")
    (given,) = re.findall(r"^PYTEST := \S+ -m pytest -n auto (.*)", makefile, re.MULTILINE)
    (tmp_path / "test_dying.py").write_text("import os\ndef test_dying(): os._exit(3)\n")
    for name in ("one", "two", "three"):
        (tmp_path / f"test_{name}.py").write_text("def test_here(): pass\n")

    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-n", "2", *given.split(), "-p", "no:cacheprovider"],
        cwd=tmp_path,
        capture_output=True,
        check=False,
        text=True,
    )

    assert done.returncode == 1, done.stdout
    assert "crashed while running 'test_dying.py::test_dying'" in done.stdout


def test_what_is_said_to_install_has_the_floor_of_its_extra() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    floors = {one for extra in project["optional-dependencies"].values() for one in extra}
    sources = [ROOT / "README.md", *ROOT.glob("docs/*.md")]

    said = {
        package
        for path in sources
        for package in re.findall(r"pip install '([^'.]+[^']*)'", path.read_text(encoding="utf-8"))
    }
    assert said
    assert said <= floors
