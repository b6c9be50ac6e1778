"""DEPLOYMENT and SECURITY: what they name is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from lottery.cli.commands import COMMANDS
from server.settings import Settings
from tests.deploy.files import DEPLOY, ROOT

DOCUMENTS = ("docs/DEPLOYMENT.md", "SECURITY.md")
OF_THE_COMMAND_LINE = {"SERVER_CA", "CLIENT_CERTIFICATE", "CLIENT_KEY", "TOKEN_FILE", "NAME"}
"""Variables that are none of the server; `LOTTERY_NAME` stands for any."""


def read(document: str) -> str:
    return (ROOT / document).read_text("utf-8")


def headings(path: Path) -> set[str]:
    """Return the anchors of a document's headings."""
    titles = re.findall(r"^#+ (.+)$", path.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_link_leads_to_a_file_and_a_heading_that_are_there(document: str) -> None:
    links = re.findall(r"\]\(([^)#]+)(?:#([^)]+))?\)", read(document))

    assert links
    for path, anchor in links:
        target = (ROOT / document).parent / path
        assert target.exists(), path
        assert not anchor or anchor in headings(target), anchor


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_setting_and_command_that_is_named_exists(document: str) -> None:
    text = read(document)
    settings = {name.lower() for name in re.findall(r"LOTTERY_([A-Z_]+)", text)}
    given = r"(?:^|[` ])lottery ([a-z][a-z-]+)(?=[` ])"
    commands = set(re.findall(given, text, re.MULTILINE)) - {"options-assignment-lottery"}

    assert settings <= {*Settings.model_fields, *map(str.lower, OF_THE_COMMAND_LINE)}
    assert commands
    assert commands <= set(COMMANDS)


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_target_of_make_that_is_named_exists(document: str) -> None:
    makefile = (ROOT / "Makefile").read_text("utf-8")

    for target in re.findall(r"`make ([a-z-]+)`", read(document)):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


def test_every_file_of_deployment_is_in_the_document() -> None:
    document = read("docs/DEPLOYMENT.md")

    for path in DEPLOY.iterdir():
        assert f"deploy/{path.name}" in document, path.name


def test_the_document_lists_every_secret_that_the_pods_need() -> None:
    deployment = (DEPLOY / "kubernetes" / "deployment.yaml").read_text("utf-8")
    named = set(re.findall(r"secretName: ([\w-]+)", deployment))
    named |= set(re.findall(r"secretKeyRef: \{name: ([\w-]+)", deployment))

    assert named
    assert named == set(
        re.findall(r"^\| `(lottery-[\w-]+)`", read("docs/DEPLOYMENT.md"), re.MULTILINE)
    )
