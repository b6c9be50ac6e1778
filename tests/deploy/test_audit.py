"""`make audit`: known vulnerabilities stop, exceptions have a reason, and silence is told apart."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

from tests.deploy.files import ROOT

FOUND = {"id": "GHSA-1", "aliases": ["CVE-2"], "fix_versions": ["1.1"], "description": ""}
SOUND = {"name": "sound", "version": "2", "vulns": []}
VULNERABLE = {"name": "vulnerable", "version": "1", "vulns": [FOUND]}
SKIPPED = {"name": "skipped", "skip_reason": "not found"}


@pytest.fixture
def exceptions(tmp_path: Path) -> Path:
    (tmp_path / "exceptions.toml").write_text("exception = []\n")
    return tmp_path / "exceptions.toml"


def audit(exceptions: Path, *packages: dict[str, Any], stderr: str = "") -> tuple[int, str]:
    """Give the command a program that says this of the packages, in the place of pip-audit."""
    program = exceptions.with_name("pip-audit")
    said = json.dumps({"dependencies": packages, "fixes": []}) if packages else ""
    program.write_text(
        textwrap.dedent(f"""\
            #!{sys.executable}
            import sys
            sys.stdout.write({said!r})
            sys.stderr.write({stderr!r})
            sys.exit({int("GHSA" in said)})
            """)
    )
    program.chmod(0o755)
    options = ["--program", str(program), "--exceptions", str(exceptions)]
    done = subprocess.run(
        [sys.executable, str(ROOT / ".ci" / "audit.py"), *options],
        capture_output=True,
        check=False,
        text=True,
    )
    assert not done.stderr, done.stderr
    return done.returncode, done.stdout


def test_a_known_vulnerability_stops_and_names_what_fixes_it(exceptions: Path) -> None:
    code, text = audit(exceptions, SOUND, VULNERABLE)

    assert code == 1
    assert "vulnerable 1: GHSA-1, fixed by 1.1" in text
    assert "2 packages, 1 known vulnerabilities, 0 exceptions" in text


@pytest.mark.parametrize("name", ["GHSA-1", "CVE-2"])
def test_an_exception_lets_it_pass_until_its_time_is_over(exceptions: Path, name: str) -> None:
    written = (
        f'[[exception]]\nid = "{name}"\npackage = "vulnerable"\nreason = "not called"\nuntil = '
    )

    exceptions.write_text(written + "2999-12-31\n")
    assert audit(exceptions, VULNERABLE)[0] == 0

    exceptions.write_text(written + "2024-12-31\n")
    code, text = audit(exceptions, VULNERABLE)
    assert code == 2
    assert "ended on 2024-12-31" in text


def test_an_exception_is_of_one_package(exceptions: Path) -> None:
    exceptions.write_text(
        '[[exception]]\nid = "GHSA-1"\npackage = "another"\nreason = "no"\nuntil = 2999-12-31\n'
    )

    assert audit(exceptions, VULNERABLE)[0] == 1


@pytest.mark.parametrize("reason", ["", 'reason = ""\n'])
def test_an_exception_without_a_reason_is_refused(exceptions: Path, reason: str) -> None:
    exceptions.write_text(
        f'[[exception]]\nid = "GHSA-1"\npackage = "vulnerable"\n{reason}until = 2999-12-31\n'
    )

    code, text = audit(exceptions, VULNERABLE)

    assert code == 2
    assert "reason" in text


@pytest.mark.parametrize("packages", [(), (SKIPPED,)])
def test_what_could_not_be_asked_is_not_called_sound(
    exceptions: Path, packages: tuple[dict[str, Any], ...]
) -> None:
    code, text = audit(exceptions, *packages, stderr="no network" if not packages else "")

    assert code == 0
    assert "skipped, nothing could be asked" in text
    assert "known vulnerabilities" not in text
    assert ("no network" if not packages else "not found") in text


def test_a_service_that_does_not_answer_holds_nobody_up(exceptions: Path) -> None:
    program = exceptions.with_name("pip-audit")
    program.write_text(f"#!{sys.executable}\nimport signal\nsignal.pause()\n")
    program.chmod(0o755)
    options = ["--program", str(program), "--exceptions", str(exceptions), "--seconds", "0.2"]

    done = subprocess.run(
        [sys.executable, str(ROOT / ".ci" / "audit.py"), *options],
        capture_output=True,
        check=False,
        text=True,
    )

    assert done.returncode == 0
    assert "skipped, nothing could be asked" in done.stdout
    assert "within 0.2 seconds" in done.stdout


def test_packages_that_could_not_be_asked_about_are_counted(exceptions: Path) -> None:
    assert "1 could not be asked about" in audit(exceptions, SOUND, SKIPPED)[1]


def test_the_exceptions_of_the_project_can_be_read(exceptions: Path) -> None:
    exceptions.write_bytes((ROOT / "locks" / "exceptions.toml").read_bytes())

    assert audit(exceptions, SOUND)[0] == 0
