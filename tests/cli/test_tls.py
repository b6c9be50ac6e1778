"""`lottery --server` over TLS: what the environment names, and what does not fit."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509

from tests.cli.calls import Door, fails, lottery, serving
from tests.server.certificates import Authority

ME = x509.DNSName("me.example")


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return the files of two authorities, and of a caller's certificate by each."""
    folder = tmp_path_factory.mktemp("tls")
    (folder / "text.pem").write_text("no certificate", "utf-8")
    found = {"text": folder / "text.pem"}
    for whose in ("ours", "theirs"):
        authority = Authority(folder / whose)
        caller, server = authority.sign("caller", ME), authority.server()
        found |= {
            f"{whose} authority": authority.certificate,
            f"{whose} certificate": caller.certificate,
            f"{whose} key": caller.key,
            f"{whose} server": server.certificate,
            f"{whose} server key": server.key,
        }
    return found


@pytest.fixture(scope="module")
def secure(tmp_path_factory: pytest.TempPathFactory, files: dict[str, Path]) -> Iterator[Door]:
    """Serve a ledger over mutual TLS."""
    folder = tmp_path_factory.mktemp("secure")
    roles = folder / "roles.toml"
    roles.write_text(f'[names.dns]\n"{ME.value}" = ["service"]\n', "utf-8")
    with serving(
        folder / "ledger",
        tls_certificate=files["ours server"],
        tls_key=files["ours server key"],
        tls_client_ca=files["ours authority"],
        trust_local=None,
        roles=roles,
    ) as door:
        yield door


def given(monkeypatch: pytest.MonkeyPatch, files: dict[str, Path], **names: str) -> None:
    for variable, name in names.items():
        monkeypatch.setenv(f"LOTTERY_{variable}", str(files[name]))


def test_a_command_shows_its_certificate(
    secure: Door, files: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    own = {"CLIENT_CERTIFICATE": "ours certificate", "CLIENT_KEY": "ours key"}
    given(monkeypatch, files, SERVER_CA="ours authority", **own)

    assert secure("runs").exit_code == 0


def test_a_server_of_another_authority_is_not_tried_again(
    secure: Door, files: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    given(monkeypatch, files, SERVER_CA="theirs authority")

    text, _ = fails(secure, "runs", exit_code=2, reason="TLS_MISMATCH")

    assert "check LOTTERY_SERVER_CA" in text.message


def test_a_server_without_tls_is_not_tried_again(
    example_server: Door, files: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    given(monkeypatch, files, SERVER_CA="ours authority")

    fails(example_server, "runs", exit_code=2, reason="TLS_MISMATCH")


def test_a_server_that_just_ends_the_connection_may_want_tls(secure: Door) -> None:
    text, _ = fails(secure, "runs", exit_code=75, reason="SERVER_AWAY")

    assert "it may want TLS, or a certificate that it knows" in text.message


@pytest.mark.parametrize(
    ("names", "problem"),
    [
        ({"SERVER_CA": "text"}, "text.pem: expected PEM certificates"),
        (
            {
                "SERVER_CA": "ours authority",
                "CLIENT_CERTIFICATE": "ours certificate",
                "CLIENT_KEY": "text",
            },
            "text.pem: expected a PEM key without a password",
        ),
        (
            {
                "SERVER_CA": "ours authority",
                "CLIENT_CERTIFICATE": "ours certificate",
                "CLIENT_KEY": "theirs key",
            },
            "expected the key of",
        ),
    ],
    ids=["authority", "key", "another's key"],
)
def test_a_file_that_does_not_fit_is_wrong_usage_before_anything_is_sent(
    files: dict[str, Path], monkeypatch: pytest.MonkeyPatch, names: dict[str, str], problem: str
) -> None:
    given(monkeypatch, files, **names)

    answer = lottery("--server", "127.0.0.1:9", "runs", "--json")

    assert (answer.exit_code, answer.document["reason"]) == (2, "WRONG_USAGE")
    assert problem in answer.document["message"]
