"""The settings: environment variables, what does not fit, and their documentation."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest
from pydantic import ValidationError

from lottery.cli.variables import ClientVariables
from lottery.operations.ledgers import LedgerSettings
from lottery.operations.variables import PREFIX, misspelt
from server.__main__ import main
from server.settings import Settings

DOCUMENT: Final = Path(__file__).parents[2] / "docs" / "SETTINGS.md"


def test_every_setting_has_a_default_that_listens_on_loopback() -> None:
    settings = Settings()

    assert settings.listen == "127.0.0.1:50051"
    assert settings.health_listen == "127.0.0.1:50052"
    assert settings.metrics_listen == "127.0.0.1:9464"
    assert settings.ledger == "lottery-ledger"
    assert not settings.allow_insecure_public


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("ledger", "postgresql://records/lottery", "postgresql://records/lottery"),
        ("objects", "s3://bucket/prefix", "s3://bucket/prefix"),
        ("archive", "/mnt/archive", "/mnt/archive"),
        ("archive_mode", "async", "async"),
        ("witness_policy", "witnesses.txt", Path("witnesses.txt")),
        ("signing_key", "/etc/lottery/log.key", Path("/etc/lottery/log.key")),
        ("lock_seconds", "2.5", 2.5),
        ("memory_limit_bytes", "1000000000", 1_000_000_000),
        ("max_rows", "1", 1),
        ("roles", "/etc/lottery/roles.toml", Path("/etc/lottery/roles.toml")),
        ("webhooks", "/etc/lottery/webhooks.toml", Path("/etc/lottery/webhooks.toml")),
        ("tls_certificate", "server.pem", Path("server.pem")),
        ("listen", "127.0.0.1:0", "127.0.0.1:0"),
        ("health_listen", "[::1]:50052", "[::1]:50052"),
        ("metrics_listen", "", ""),
        ("http_listen", "127.0.0.1:8080", "127.0.0.1:8080"),
        ("processes", "2", 2),
        ("run_threads", "3", 3),
        ("read_threads", "4", 4),
        ("call_threads", "5", 5),
        ("silent_seconds", "5.5", 5.5),
        ("slow_grace_seconds", "20", 20.0),
        ("slow_bytes_per_second", "1000", 1_000),
        ("max_message_bytes", "4096", 4_096),
        ("leave_seconds", "1.5", 1.5),
        ("grace_seconds", "0", 0.0),
        ("tls_key", "server.key", Path("server.key")),
        ("tls_client_ca", "clients.pem", Path("clients.pem")),
        ("max_connection_age_seconds", "60", 60.0),
        ("trust_local", "ann:operator,auditor", "ann:operator,auditor"),
        ("token_keys", "/etc/lottery/keys.json", Path("/etc/lottery/keys.json")),
        ("token_issuer", "https://id.bank.example", "https://id.bank.example"),
        ("token_audience", "lottery", "lottery"),
        ("allow_insecure_public", "true", True),
        ("log_format", "text", "text"),
        ("log_level", "warning", "warning"),
    ],
)
def test_a_setting_is_an_environment_variable(
    monkeypatch: pytest.MonkeyPatch, name: str, text: str, value: object
) -> None:
    monkeypatch.setenv(f"LOTTERY_{name.upper()}", text)

    assert getattr(Settings(), name) == value


def test_every_setting_is_tried_above() -> None:
    (parameters,) = (
        mark.args[1]
        for mark in vars(test_a_setting_is_an_environment_variable)["pytestmark"]
        if mark.name == "parametrize"
    )

    assert [name for name, _, _ in parameters] == list(Settings.model_fields)


def test_what_is_given_by_name_goes_before_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("LOTTERY_LISTEN", "127.0.0.1:1")
    monkeypatch.setenv("LOTTERY_CALL_THREADS", "2")

    settings = Settings(listen="127.0.0.1:0")

    assert (settings.listen, settings.call_threads) == ("127.0.0.1:0", 2)


def test_settings_do_not_change_once_made() -> None:
    settings = Settings()

    with pytest.raises(ValidationError):
        settings.call_threads = 3  # type: ignore[misc]


@pytest.mark.parametrize("name", ["objects", "archive", "signing_key", "tls_key"])
def test_an_empty_variable_is_one_that_is_not_set(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(f"LOTTERY_{name.upper()}", "")

    assert getattr(Settings(), name) is None


def test_the_settings_say_where_the_ledger_is() -> None:
    settings = Settings(
        ledger="postgresql://records/lottery",
        objects="s3://bucket/prefix",
        archive="/mnt/archive",
        archive_mode="async",
        signing_key=Path("log.key"),
        lock_seconds=2.5,
    )

    assert settings.ledger_settings() == LedgerSettings(
        ledger="postgresql://records/lottery",
        objects="s3://bucket/prefix",
        key_file=Path("log.key"),
        lock_seconds=2.5,
        archive="/mnt/archive",
        archives_first=False,
    )


def test_other_variables_of_the_lottery_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOTTERY_SERVER_CA", "authority.pem")

    assert Settings().listen == "127.0.0.1:50051"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("call_threads", "many"),
        ("call_threads", "0"),
        ("call_threads", "257"),
        ("max_message_bytes", "4095"),
        ("max_message_bytes", "2147483648"),
        ("max_rows", "0"),
        ("memory_limit_bytes", "0"),
        ("grace_seconds", "-1"),
        ("lock_seconds", "soon"),
        ("allow_insecure_public", "perhaps"),
        ("log_format", "xml"),
        ("log_level", "loud"),
        ("archive_mode", "later"),
    ],
)
def test_a_value_that_does_not_fit_exits_2_and_names_the_variable(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str, text: str
) -> None:
    monkeypatch.setenv(f"LOTTERY_{name.upper()}", text)

    with pytest.raises(SystemExit) as left:
        main()

    assert left.value.code == 2
    assert capsys.readouterr().err.startswith(f"LOTTERY_{name.upper()}: must be ")


def test_every_value_that_does_not_fit_is_named_with_what_was_expected(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LOTTERY_LISTEN", "nowhere\x1b[2J")
    monkeypatch.setenv("LOTTERY_CALL_THREADS", "0")

    with pytest.raises(SystemExit):
        main()

    assert capsys.readouterr().err.splitlines() == [
        r"LOTTERY_LISTEN: expected HOST:PORT, got 'nowhere\x1b[2J'",
        "LOTTERY_CALL_THREADS: must be greater than or equal to 1, got '0'",
    ]


def test_the_document_has_a_row_for_every_setting_of_both_doors() -> None:
    rows = [line for line in DOCUMENT.read_text("utf-8").splitlines() if line.startswith("| `")]

    names = [*ClientVariables.model_fields, *Settings.model_fields]
    assert [row.split("`")[1] for row in rows] == [
        f"LOTTERY_{name.upper()}" for name in dict.fromkeys(names)
    ]
    assert all(row.count("|") == 4 for row in rows)


@pytest.mark.parametrize("name", ["LOTTERY_LEDGR", "LOTTERY_TLS_CERTIFICATES", "LOTTERY_ROLE"])
def test_a_variable_that_is_a_setting_misspelt_exits_2_and_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    monkeypatch.setenv(name, "somewhere")

    with pytest.raises(SystemExit) as left:
        main()

    assert left.value.code == 2
    assert capsys.readouterr().err.startswith(f"{name}: expected LOTTERY_")


@pytest.mark.parametrize("settings", [Settings, ClientVariables])
def test_the_settings_of_the_other_door_and_of_other_programs_are_not_taken_for_misspelt(
    settings: type[ClientVariables | Settings],
) -> None:
    names = {*Settings.model_fields, *ClientVariables.model_fields}
    theirs = ["HOME", "PROGRAM", "SHIP_TO", "TRIES", "WAIT_SECONDS"]  # Those of the examples.
    theirs += ["PORT", "SERVICE_HOST", "SERVER_PORT_50051_TCP"]  # As Kubernetes sets them.

    given = [f"{PREFIX}{name.upper()}" for name in (*names, *theirs)]
    assert list(misspelt(given, settings)) == []
