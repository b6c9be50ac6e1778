"""The file of roles: what it may say, and that a broken one replaces nothing."""

from __future__ import annotations

from pathlib import Path

import prometheus_client
import pytest
import structlog
from pydantic import ValidationError

from lottery.operations.requester import Identity
from lottery.operations.roles import read_roles, table
from server.app import create_server
from server.settings import Settings
from server.watched import Watched
from tests.builders import made
from tests.server.calls import settings_of

GOOD = '[names.email]\n"ann@bank.example" = ["auditor", "approver"]\n'
ANN = Identity(kind="email", name="ann@bank.example", host="here")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "roles.toml"
    path.write_text(GOOD, "utf-8")
    return path


def stale() -> float | None:
    return prometheus_client.REGISTRY.get_sample_value("lottery_stale_files", {"what": "roles"})


def test_a_name_has_its_roles_and_no_other_name_or_kind_has_them(file: Path) -> None:
    roles = read_roles(file)

    assert roles.of(ANN) == {"auditor", "approver"}
    assert roles.of(Identity(kind="dns", name=ANN.name, host="here")) == set()
    assert roles.of(Identity(kind="email", name="bob@bank.example", host="here")) == set()
    assert roles.of(None) == set()
    assert dict(roles.rpcs) == table()


def test_a_firm_decides_otherwise_about_an_rpc(file: Path) -> None:
    row = '[rpcs."lottery.v1.AuditService"]\nVerifyLedger = ["auditor", "operator"]\n'
    file.write_text(GOOD + row, "utf-8")
    changed = "lottery.v1.AuditService/VerifyLedger"

    assert dict(read_roles(file).rpcs) == {**table(), changed: {"auditor", "operator"}}


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("names", "Expected '=' after a key"),
        ("[name.dns]", "expected the tables names, rpcs and commands, got 'name'"),
        ('names = "ann"', "names: expected a table, got 'ann'"),
        ("[names.common_name]", r"a kind of name \(spiffe, uri, email, dns, token, user\)"),
        ("[names]\ndns = 1", "names.dns: expected a table, got 1"),
        ('[names.dns]\na = ["root"]', r"'names.dns.a': expected a list of operator, .* \['root'\]"),
        ('[names.dns]\na = "operator"', "'names.dns.a': expected a list of operator, "),
        ('[names.dns]\na = ["anyone"]', "'names.dns.a': expected a list of operator, "),
        ("[names.local]", "expected a kind of name"),
        ("[rpcs.a]\nB = []", "expected an RPC of this server, got 'a/B'"),
        ("[commands]\nallocate = []", "expected a command of lottery, got 'allocate'"),
        ('[commands]\nruns = "sweep"', "'commands.runs': expected a list of operator, "),
        (
            '[rpcs."lottery.v1.LotteryService"]\nGetRun = ["anyone"]',
            "'lottery.v1.LotteryService/GetRun': expected a list of operator, ",
        ),
    ],
)
def test_a_file_that_cannot_be_used_is_refused_with_what_was_expected(
    file: Path, text: str, problem: str
) -> None:
    file.write_text(text, "utf-8")

    with pytest.raises(ValueError, match=problem) as refused:
        read_roles(file)

    assert str(refused.value).startswith(f"{file}: ")


def test_a_server_does_not_start_with_a_broken_file(file: Path, tmp_path: Path) -> None:
    file.write_text("[names.dns]\na = 1\n", "utf-8")
    made(tmp_path / "ledger")

    with pytest.raises(ValueError, match=r"names\.dns\.a"):
        create_server(settings_of(tmp_path / "ledger", roles=file))


@pytest.mark.parametrize("broken", ["[names.dns]\na = 1\n", None], ids=["broken", "away"])
def test_a_broken_new_file_replaces_nothing_and_alarms_until_it_is_good(
    file: Path, broken: str | None
) -> None:
    watched = Watched("roles", [file], lambda: read_roles(file))
    with structlog.testing.capture_logs() as lines:
        watched._log = structlog.get_logger()
        file.unlink()
        if broken is not None:
            file.write_text(broken, "utf-8")
        held = [watched.current().of(ANN) for _ in range(3)]
        alarm = stale()
        file.write_text('[names.email]\n"ann@bank.example" = ["service"]\n', "utf-8")
        changed = watched.current().of(ANN)

    assert held == [{"auditor", "approver"}] * 3
    assert (alarm, stale()) == (1, 0)
    assert changed == {"service"}
    assert [(line["log_level"], line["event"]) for line in lines] == [
        ("error", "kept the former"),
        ("info", "read again"),
    ]
    assert str(file) in lines[0]["problem"]


@pytest.mark.parametrize(
    "text", ["ann", "ann:", ":operator", "ann:root", "ann:operator,", "\x1b:x"]
)
def test_local_trust_is_a_name_and_roles(text: str) -> None:
    with pytest.raises(ValidationError, match=r"NAME:ROLE\[,ROLE\]|a list of operator"):
        Settings(trust_local=text)


def test_a_name_with_a_colon_can_be_trusted() -> None:
    trust = Settings(trust_local="host:7:operator,auditor").local_trust()

    assert trust is not None
    assert trust.name == "host:7"
    assert trust.roles == {"operator", "auditor"}


@pytest.mark.parametrize(
    "given",
    [
        {"listen": "0.0.0.0:0", "allow_insecure_public": True},
        {"tls_certificate": Path("server.pem"), "tls_key": Path("server.key")},
    ],
    ids=["beyond loopback", "TLS"],
)
def test_callers_that_are_not_local_or_have_certificates_are_not_trusted_for_being_local(
    tmp_path: Path, given: dict[str, object]
) -> None:
    with pytest.raises(ValueError, match="expected LOTTERY_TRUST_LOCAL on loopback"):
        create_server(settings_of(tmp_path, trust_local="ann:operator", **given))
