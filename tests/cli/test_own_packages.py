"""Commands use this project's packages, whatever the working directory has by their names."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.calls import fails, lottery

FOREIGN = "print('somebody else was imported')\nraise SystemExit(9)\n"


def command(name: str) -> list[str]:
    """Return a command that the installation made."""
    return [str(Path(sys.executable).with_name(name))]


GIVEN = {
    "python -m lottery": ([sys.executable, "-m", "lottery", "serve"], "lottery"),
    "python -m server": ([sys.executable, "-m", "server"], "server"),
    "lottery": ([*command("lottery"), "serve"], ""),
    "lottery-server": (command("lottery-server"), ""),
}
"""Commands, and the package of which Python itself runs that of the working directory."""


@pytest.mark.parametrize(
    ("name", "foreign"),
    [
        (name, foreign)
        for name, (_, own) in GIVEN.items()
        for foreign in ("server.py", "server/__init__.py", "lottery.py")
        if foreign not in (f"{own}.py", f"{own}/__init__.py")
    ],
)
def test_the_server_is_never_that_of_the_working_directory(
    name: str, foreign: str, tmp_path: Path
) -> None:
    arguments, _ = GIVEN[name]
    path = tmp_path / foreign
    path.parent.mkdir(exist_ok=True)
    path.write_text(FOREIGN, "utf-8")

    done = subprocess.run(
        arguments,
        cwd=tmp_path,
        env={**os.environ, "LOTTERY_MAX_ROWS": "none"},
        capture_output=True,
        check=False,
        text=True,
    )

    assert (done.returncode, done.stdout) == (2, ""), done.stderr
    assert done.stderr.startswith("LOTTERY_MAX_ROWS: "), done.stderr


def test_a_server_that_is_loaded_from_elsewhere_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "server", sys.modules[__name__])

    fails(lottery, "serve", exit_code=2, reason="WRONG_USAGE")
