"""What is in `deploy/`, and the image: every setting exists, and nothing is a secret."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import pytest

from server import security
from server.settings import Settings
from tests.deploy.files import DEPLOY, ROOT, image_settings

FILES: Final = sorted(path for path in DEPLOY.rglob("*") if path.is_file())


def test_there_is_something_to_check() -> None:
    names = {path.relative_to(DEPLOY).parts[0] for path in FILES}

    assert names >= {"compose.yaml", "kubernetes", "systemd", "prometheus", "grafana"}


@pytest.mark.parametrize("path", [*FILES, ROOT / "Dockerfile"], ids=lambda path: path.name)
def test_every_variable_that_a_file_sets_is_a_setting_of_the_server(path: Path) -> None:
    # A setting and its value, and not a name in a sentence: some are of the command line alone.
    names = re.findall(
        r"^[^#\n]*?\bLOTTERY_([A-Z_]+)\b *[:=]", path.read_text("utf-8"), re.MULTILINE
    )
    names += re.findall(r"- name: LOTTERY_([A-Z_]+)", path.read_text("utf-8"))

    assert {name.lower() for name in names} <= set(Settings.model_fields)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_no_file_has_a_secret(path: Path) -> None:
    text = path.read_text("utf-8")

    assert "PRIVATE" not in text
    for name, value in re.findall(r"(\w*(?:PASSWORD|SECRET)\w*): (.+)", text):
        assert re.match(r"(?:&\w+ )?\$\{\w+:\?|\*\w+", value), name
    assert re.search(r"://\w+:(?!\$|PASSWORD@)\w+@", text) is None


def test_the_image_listens_on_every_address_and_so_refuses_to_serve_without_tls() -> None:
    settings = image_settings()

    assert settings.listen == "0.0.0.0:50051"
    with pytest.raises(security.InsecureListen, match="LOTTERY_TLS_CERTIFICATE"):
        security.certificates(settings)


def test_the_image_is_run_by_a_user_of_its_own_and_installs_nothing_in_its_last_stage() -> None:
    build, final = (ROOT / "Dockerfile").read_text("utf-8").rsplit("\nFROM ", 1)

    assert re.search(r"^USER 10001:10001$", final, re.MULTILINE)
    assert "useradd --uid 10001" in final
    assert "pip" not in re.sub(r"^#.*$", "", final, flags=re.MULTILINE)
    assert "pip" in build
