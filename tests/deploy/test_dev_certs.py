"""`lottery dev-certs`: what it makes is what a server and its callers take."""

from __future__ import annotations

import datetime as dt
import ipaddress
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
from cryptography import x509

from lottery.operations.roles import ROLES, read_roles
from server.app import create_server
from server.settings import Settings
from tests.builders import PUBLISHED, made
from tests.cli.calls import Answer, files_in, lottery, run_of
from tests.server.calls import LOOPBACK

DAY = dt.timedelta(days=1)


@pytest.fixture(scope="module", autouse=True)
def _silent_server() -> Iterator[None]:
    structlog.configure(logger_factory=structlog.ReturnLoggerFactory())
    yield
    structlog.reset_defaults()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dev-certs") / "certificates"
    assert lottery("dev-certs", folder, "--host", "lottery-1", "--host", "10.0.0.7").exit_code == 0
    return folder


@pytest.fixture(scope="module")
def port(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """Serve with the certificates, as the command says."""
    ledger = tmp_path_factory.mktemp("served") / "ledger"
    made(ledger)
    settings = Settings(
        listen=LOOPBACK,
        health_listen=LOOPBACK,
        metrics_listen="",
        ledger=str(ledger),
        tls_certificate=folder / "server.pem",
        tls_key=folder / "server.key",
        tls_client_ca=folder / "authority.pem",
        roles=folder / "roles.toml",
    )
    server = create_server(settings)
    server.start()
    yield server.port
    server.stop()


def as_caller(
    role: str, folder: Path, port: int, patch: pytest.MonkeyPatch, *arguments: object
) -> Answer:
    """Give a command to the server as the caller who has a role, as the command says."""
    patch.setenv("LOTTERY_SERVER_CA", str(folder / "authority.pem"))
    patch.setenv("LOTTERY_CLIENT_CERTIFICATE", str(folder / f"{role}.pem"))
    patch.setenv("LOTTERY_CLIENT_KEY", str(folder / f"{role}.key"))
    return lottery("--server", f"localhost:{port}", *arguments)


@pytest.mark.parametrize(
    ("role", "reads", "verifies"),
    [
        ("operator", 0, 2),
        ("approver", 0, 2),
        ("auditor", 0, 0),
        ("service", 0, 2),
        ("administrator", 2, 2),
    ],
)
def test_each_certificate_lets_its_caller_do_what_the_role_may_do(
    role: str, reads: int, verifies: int, folder: Path, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    codes = [
        as_caller(role, folder, port, monkeypatch, command).exit_code
        for command in ("runs", "verify")
    ]

    assert codes == [reads, verifies]


def test_the_operator_records_under_the_certificates_typed_name(
    folder: Path, port: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = run_of(PUBLISHED, tmp_path)
    recorded = as_caller("operator", folder, port, monkeypatch, *run)
    shown = as_caller("operator", folder, port, monkeypatch, "show", "latest", "--json")

    assert (recorded.exit_code, shown.exit_code) == (0, 0)
    assert "spiffe://lottery.test/operator" in str(shown.document)


def test_every_role_has_a_caller_and_every_caller_one_role(folder: Path) -> None:
    given = read_roles(folder / "roles.toml").names

    assert sorted(given.values(), key=sorted) == sorted(
        (frozenset([role]) for role in ROLES), key=sorted
    )
    for (_, name), roles in given.items():
        (role,) = roles
        certificate = x509.load_pem_x509_certificate((folder / f"{role}.pem").read_bytes())
        (typed,) = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        assert typed.value == name


def test_the_server_is_known_by_loopback_and_by_the_hosts_that_are_named(folder: Path) -> None:
    certificate = x509.load_pem_x509_certificate((folder / "server.pem").read_bytes())
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value

    assert names.get_values_for_type(x509.DNSName) == ["localhost", "lottery-1"]
    assert names.get_values_for_type(x509.IPAddress) == [
        ipaddress.ip_address(address) for address in ("127.0.0.1", "::1", "10.0.0.7")
    ]


def test_private_keys_are_readable_by_their_owner_alone_and_the_authoritys_is_not_kept(
    folder: Path,
) -> None:
    modes = {path.name: path.stat().st_mode & 0o777 for path in folder.iterdir()}

    keys = {name for name, mode in modes.items() if mode == 0o600}
    assert keys == {"server.key", *(f"{role}.key" for role in ROLES)}
    assert all(mode == 0o644 for name, mode in modes.items() if name not in keys)
    private = {path.name for path in folder.iterdir() if b"PRIVATE" in path.read_bytes()}
    assert private == keys


@pytest.mark.parametrize(("options", "days"), [([], 30), (["--days", "2"], 2)])
def test_certificates_are_valid_from_now_and_for_a_short_time(
    options: list[str], days: int, tmp_path: Path
) -> None:
    assert lottery("dev-certs", tmp_path / "made", *options).exit_code == 0
    now = dt.datetime.now(dt.UTC)
    certificates = [
        x509.load_pem_x509_certificate(path.read_bytes())
        for path in (tmp_path / "made").glob("*.pem")
    ]

    assert len(certificates) == len(ROLES) + 2
    for certificate in certificates:
        assert certificate.not_valid_before_utc < now
        assert (days - 1) * DAY < certificate.not_valid_after_utc - now <= days * DAY


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    assert lottery("dev-certs", tmp_path / "made").exit_code == 0
    before = files_in(tmp_path)

    again = lottery("dev-certs", tmp_path / "made")

    assert again.exit_code == 2
    assert "nothing is overwritten" in again.message
    assert files_in(tmp_path) == before


def test_a_folder_that_cannot_be_made_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no directory")

    answer = lottery("dev-certs", tmp_path / "file" / "made", "--json")

    assert (answer.exit_code, answer.document["reason"]) == (75, "OUTPUT_UNWRITABLE")
    assert files_in(tmp_path) == {"file": b"no directory"}


@pytest.mark.parametrize("host", ["", "-x", "two words", "täg", "a/b", "x" * 300])
def test_a_name_that_is_no_hosts_is_refused(host: str, tmp_path: Path) -> None:
    answer = lottery("dev-certs", tmp_path / "made", f"--host={host}")

    assert answer.exit_code == 2
    assert "--host" in answer.message
    assert list(tmp_path.iterdir()) == []


def test_the_command_says_what_to_do_next_in_commands_that_can_be_pasted(tmp_path: Path) -> None:
    answer = lottery("dev-certs", tmp_path / "two words")

    exports = dict(re.findall(r"export (LOTTERY_\w+)='(.+)'", answer.out))
    assert {"LOTTERY_TLS_KEY", "LOTTERY_ROLES", "LOTTERY_CLIENT_KEY"} < set(exports)
    assert all(Path(file).is_file() for file in exports.values())
