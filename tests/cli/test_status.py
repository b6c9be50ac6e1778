"""`lottery status`: how a ledger stands, on a screen of 80 columns and as a document."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest
from cryptography import x509

from lottery.ledger.publish import witnessed_name
from lottery.operations.settings import KEY_FILE
from lottery.version import VERSION
from tests.builders import PUBLISHED
from tests.cli.calls import EXAMPLE_RUN, Answer, Door, public_key, run_of, serving, succeeds
from tests.cli.test_care import assert_narrow
from tests.server.certificates import DAY, Authority


def test_how_a_ledger_stands_is_shown(tampered: Door) -> None:
    folder = tampered.ledger / "evidence/2024-09-16/0123456789abcdef"
    folder.mkdir()
    (folder / "pools.parquet").write_bytes(b"")

    text, document = succeeds(tampered, "status")

    assert text.lines[0].startswith(f"lottery {VERSION}, ")
    assert text.lines[1].startswith("charter ")
    assert text.lines[1].endswith(", jpms-2024-09-06, from the beginning")
    assert text.lines[2] == f"last run {EXAMPLE_RUN}, ALLOCATED_WITH_BREAKS"
    assert text.lines[4] == "warning: 1 break open for 2024-09-16, 25 contracts"
    assert "heads committed 2, published 2" in text.lines
    assert "key the private key of this one is at hand" in text.lines
    assert public_key(tampered.ledger) in text.lines
    assert text.lines[-1].startswith("1 folder that no entry names")
    assert_narrow(text.out.splitlines()[1:])
    assert document["last_run"]["run"] == EXAMPLE_RUN
    (broken,) = document["open_breaks"]
    assert (broken["assigned_quantity"], broken["total_short"]) == (25, 22)
    assert (document["committed"], document["archived"], document["cosigned"]) == (2, None, None)
    assert (document["unnamed_folders"], document["certificate"]) == (1, None)
    assert document["limits"]["max_rows"] == 50_000_000
    assert 0 < document["limits"]["free_bytes"] <= document["limits"]["disk_bytes"]
    assert tampered("sweep").lines == ["There was nothing to remove"]
    assert tampered("sweep", "--json").document == {"folders": [], "remains": []}


def test_a_server_says_how_its_ledger_stands_as_the_files_do(
    tampered: Door, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "archive").mkdir()
    monkeypatch.setenv("LOTTERY_ARCHIVE", str(tmp_path / "archive"))
    monkeypatch.setenv("LOTTERY_MEMORY_LIMIT_BYTES", str(3 << 30))
    amended = tampered("charter", "amend", "--from", "2024-10-01", "--decision", "zero_hit=first")
    assert amended.exit_code == 0
    (tampered.ledger / witnessed_name(1)).parent.mkdir()
    (tampered.ledger / witnessed_name(1)).write_bytes(b"")
    (tampered.ledger / KEY_FILE).rename(tmp_path / "signing.key")

    with serving(tampered.ledger) as server:
        text, document = succeeds(server, "status")
        by_files, of_files = succeeds(tampered, "status")

    assert _without_the_disk(text) == _without_the_disk(by_files)
    for limits in (document["limits"], of_files["limits"]):
        assert limits.pop("free_bytes") > 0  # Others write to the disk too.
    assert document == of_files
    assert (document["archived"], document["cosigned"]) == (3, 1)
    assert document["charter"]["holds_from"] == "2024-10-01"
    assert document["limits"]["memory_bytes"] == 3 << 30


def _without_the_disk(answer: Answer) -> list[str]:
    return [line for line in answer.lines if not line.startswith("disk: ")]


def test_a_ledger_in_which_nothing_is_recorded_says_so(either: Door) -> None:
    text, document = succeeds(either, "status")

    assert "last run nothing is recorded yet" in text.lines
    assert (document["last_run"], document["open_breaks"]) == (None, [])


def test_a_date_without_breaks_has_nothing_open(door: Door, tmp_path: Path) -> None:
    assert door(*run_of(PUBLISHED, tmp_path / "in")).exit_code == 0

    assert "nothing is open for 2024-09-16" in door("status").lines


def test_a_proposal_that_waits_is_a_warning(tmp_path: Path) -> None:
    door = Door(ledger=tmp_path / "ledger", options=("--ledger", str(tmp_path / "ledger")))
    assert door("init", "--four-eyes").exit_code == 0
    assert door(*run_of(PUBLISHED, tmp_path / "in")).exit_code == 0

    text, document = succeeds(door, "status")

    assert "last run warning: 1 proposal without a verdict, see lottery proposals" in text.lines
    assert (document["waiting"], document["last_run"]) == (["2024-09-16-001"], None)


def test_how_far_archive_and_witnesses_are_is_shown(
    tampered: Door, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = tmp_path / "archive"
    archive.mkdir()
    monkeypatch.setenv("LOTTERY_ARCHIVE", str(archive))
    cosigned = tampered.ledger / witnessed_name(1)
    cosigned.parent.mkdir()
    cosigned.write_bytes(b"")

    text, document = succeeds(tampered, "status")

    assert "heads committed 2, published 2, archived 0, cosigned 1" in text.lines
    assert "warning: the archive is 2 heads behind" in text.lines
    assert (document["archived"], document["cosigned"]) == (0, 1)


def test_a_private_key_that_is_not_here_is_said(tampered: Door) -> None:
    (tampered.ledger / KEY_FILE).unlink()

    text, document = succeeds(tampered, "status")

    assert any(line.startswith("key warning: ") for line in text.lines)
    assert KEY_FILE in document["key_problem"]


@pytest.mark.parametrize(("days", "begins"), [(100, "expires "), (10, "warning: expires ")])
def test_when_the_servers_certificate_expires_is_shown_and_soon_is_a_warning(
    reader: Door, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, days: int, begins: str
) -> None:
    valid = (-DAY, days * DAY)
    name = x509.DNSName("server.example")
    certificate = Authority(tmp_path / "ours").sign("server", name, valid=valid).certificate
    monkeypatch.setenv("LOTTERY_TLS_CERTIFICATE", str(certificate))

    text, document = succeeds(reader, "status")

    (line,) = [line for line in text.lines if "expires" in line]
    assert line.startswith(begins)
    expires = dt.datetime.fromisoformat(document["certificate"]["expires"])
    assert f"{expires:%Y-%m-%d %H:%M} UTC" in line


def test_a_certificate_that_cannot_be_read_is_a_warning(
    reader: Door, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "text.pem").write_text("no certificate", "utf-8")
    for name, problem in (
        ("text.pem", "expected PEM certificates, got none"),
        ("gone.pem", "No such file or directory"),
    ):
        monkeypatch.setenv("LOTTERY_TLS_CERTIFICATE", str(tmp_path / name))
        text, document = succeeds(reader, "status")
        assert f"warning: {problem}" in text.lines
        assert document["certificate"]["problem"] == problem
