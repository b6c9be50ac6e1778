"""The file of webhooks: who is called, and every way in which it can be wrong."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest

from lottery.operations.events import TYPES
from lottery.operations.webhooks import read_webhooks
from tests.receiver import OLD_SECRET, SECRET, webhooks_file
from tests.server.certificates import Authority

URL = "https://pager.bank.example:8443/lottery?token=hidden"


def problems_of(file: Path) -> list[str]:
    """Return what is wrong with a file, without its name."""
    with pytest.raises(ValueError, match="webhooks") as caught:
        read_webhooks(file)
    lines = str(caught.value).splitlines()
    assert all(line.startswith(f"{file}: ") for line in lines)
    return [line.removeprefix(f"{file}: ") for line in lines]


def test_nobody_is_called_where_no_file_is_named() -> None:
    assert read_webhooks(None) == ()


def test_a_receiver_gets_all_that_somebody_must_look_at(tmp_path: Path) -> None:
    (receiver,) = read_webhooks(webhooks_file(tmp_path, URL))

    assert receiver.url == URL
    assert receiver.secrets == (bytes(range(24)),)
    assert receiver.events == set(TYPES) - {"run.recorded"}
    assert (receiver.seconds, receiver.authorities) == (30.0, None)


def test_a_receiver_is_shown_without_its_path_and_its_secret(tmp_path: Path) -> None:
    (receiver,) = read_webhooks(webhooks_file(tmp_path, URL))

    assert receiver.name == "https://pager.bank.example:8443"
    assert "hidden" not in repr(receiver)
    assert repr(bytes(range(24))) not in repr(receiver)


def test_files_are_named_from_the_folder_of_the_file(tmp_path: Path) -> None:
    Authority(tmp_path / "bank")
    given: dict[str, Any] = {
        "authorities": "bank/authority.pem",
        "seconds": 5,
        "events": ["run.recorded"],
    }

    (receiver,) = read_webhooks(webhooks_file(tmp_path, URL, **given))

    assert receiver.authorities == tmp_path / "bank" / "authority.pem"
    assert (receiver.seconds, *receiver.events) == (5.0, "run.recorded")


def test_a_file_of_secrets_has_the_present_one_and_those_before_it(tmp_path: Path) -> None:
    secrets = f"{SECRET}\n{OLD_SECRET}\n"

    (receiver,) = read_webhooks(webhooks_file(tmp_path, URL, secrets=secrets))

    assert receiver.secrets == (bytes(range(24)), bytes(range(64)))


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:8080/bell", "http://[::1]/bell", "http://localhost/bell"]
)
def test_plain_http_goes_to_loopback(tmp_path: Path, url: str) -> None:
    (receiver,) = read_webhooks(webhooks_file(tmp_path, url))

    assert receiver.url == url


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("http://pager.bank.example/bell", ", got 'http://pager.bank.example'"),
        ("ftp://127.0.0.1/bell", ", got 'ftp://127.0.0.1'"),
        ("https:///bell", ", in ASCII"),
        ("bell", ", in ASCII"),
        ("https://b\u00e4nk.example/bell", ", in ASCII"),
        ("https://bank.example/a bell", ", in ASCII"),
        ("https://bank.example:99999/bell", ": Port out of range 0-65535"),
        ("https://me:secret@bank.example/bell", ", without a user and without a fragment"),
        ("https://bank.example/bell#1", ", without a user and without a fragment"),
    ],
)
def test_a_url_that_cannot_be_called_is_wrong(tmp_path: Path, url: str, problem: str) -> None:
    expected = "expected https://HOST[:PORT][/PATH], or http:// to loopback"

    assert problems_of(webhooks_file(tmp_path, url)) == [f"webhook 1, url: {expected}{problem}"]


@pytest.mark.parametrize(
    "secrets",
    [
        "",
        "\n",
        "whsec_",
        base64.b64encode(bytes(24)).decode(),
        "whsec_no base64",
        "whsec_" + base64.b64encode(bytes(23)).decode(),
        "whsec_" + base64.b64encode(bytes(65)).decode(),
        f"{SECRET}\n{SECRET[:-2]}",
    ],
)
def test_a_file_without_a_whole_secret_is_wrong(tmp_path: Path, secrets: str) -> None:
    (problem,) = problems_of(webhooks_file(tmp_path, URL, secrets=secrets))

    assert problem == (
        f"webhook 1, secret_file: {tmp_path / 'bell.secret'}: expected lines of whsec_ and the "
        "base64 of 24 to 64 random bytes, the present secret first"
    )


def test_a_secret_that_others_can_read_is_refused(tmp_path: Path) -> None:
    file = webhooks_file(tmp_path, URL)
    (tmp_path / "bell.secret").chmod(0o640)

    assert problems_of(file) == [
        (
            f"webhook 1, secret_file: {tmp_path / 'bell.secret'} is open to others: expected mode "
            "0600, got 0640; run chmod 600 on it if nobody else can have read it"
        )
    ]


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        (
            {"events": ["run.hold"]},
            (
                "events, 0: must be 'run.held', 'run.broken', 'run.conflicted', 'run.failed', "
                "'run.proposed' or 'run.recorded', got 'run.hold'"
            ),
        ),
        (
            {"events": []},
            (
                "events: expected one or more of run.held, run.broken, run.conflicted, run.failed, "
                "run.proposed, run.recorded"
            ),
        ),
        ({"seconds": 0}, "seconds: must be greater than 0, got 0"),
        ({"seconds": 301}, "seconds: must be less than or equal to 300, got 301"),
        ({"authorities": 1}, "authorities: expected the name of a file, got 1"),
        (
            {"event": ["run.held"]},
            "event: expected url, secret_file, events, seconds, authorities",
        ),
    ],
)
def test_a_member_that_does_not_fit_is_named(
    tmp_path: Path, given: dict[str, Any], problem: str
) -> None:
    (found,) = problems_of(webhooks_file(tmp_path, URL, **given))

    assert found.startswith(f"webhook 1, {problem}")


@pytest.mark.parametrize(
    ("name", "problem"),
    [("nothing.pem", "No such file or directory"), ("bell.secret", "no certificate or crl found")],
)
def test_a_file_without_authorities_is_wrong(tmp_path: Path, name: str, problem: str) -> None:
    (found,) = problems_of(webhooks_file(tmp_path, URL, authorities=name))

    expected = f"webhook 1, authorities: {tmp_path / name}: expected PEM of authorities: "
    assert found.startswith(expected)
    assert problem in found


def test_a_secret_that_is_not_there_is_named(tmp_path: Path) -> None:
    file = webhooks_file(tmp_path, URL)
    (tmp_path / "bell.secret").unlink()

    assert problems_of(file) == [
        (
            f"webhook 1, secret_file: {tmp_path / 'bell.secret'} cannot be read: No such file or "
            "directory"
        )
    ]


def test_all_that_is_wrong_is_said_at_once(tmp_path: Path) -> None:
    file = webhooks_file(tmp_path, URL, "http://pager.bank.example/bell", seconds=-1)
    file.write_text(file.read_text("utf-8") + "\n[[webhooks]]\nsecret_file = 3\n", "utf-8")

    assert [problem.partition(":")[0] for problem in problems_of(file)] == [
        *("webhook 1, seconds", "webhook 2, url", "webhook 2, seconds"),
        *("webhook 3, url", "webhook 3, secret_file"),
    ]


@pytest.mark.parametrize("text", ["", "webhooks = []", "[webhooks]\nurl = 'hidden'", "hooks = 1"])
def test_a_file_that_names_nobody_is_wrong(tmp_path: Path, text: str) -> None:
    file = tmp_path / "webhooks.toml"
    file.write_text(text, "utf-8")

    problems = problems_of(file)

    assert "webhooks: expected one or more tables [[webhooks]], and nothing else" in problems
    assert "hidden" not in str(problems)


def test_a_file_that_is_no_toml_is_wrong(tmp_path: Path) -> None:
    file = tmp_path / "webhooks.toml"
    file.write_text("[[webhooks", "utf-8")

    (problem,) = problems_of(file)

    assert problem.startswith("Expected ']]'")
