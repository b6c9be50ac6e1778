"""The bundle of a run that was proposed: it proves by itself that another person approved it."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from lottery import operations
from lottery.audit.replay import Engine, Replayed
from lottery.errors import Refused
from lottery.ledger.entry import Entry, canonical, read_entry
from lottery.ledger.four_eyes import Proposal, Verdict
from lottery.operations.pages import PageRequest, Supersession
from lottery.tlog import merkle
from lottery.tlog.checkpoint import Checkpoint, sign_checkpoint
from lottery.tlog.keys import SigningKey
from lottery.tlog.proof import LogProof
from tests.builders import PUBLISHED, REQUESTER, TESTER, opened, settings_of
from tests.ledger.contract.places import APPROVER, FOUR_EYES, TERMS, A, approve, record

STRANGER = SigningKey(name="stranger.example", seed=bytes(range(1, 33)))
APPROVAL_FILES = {"approval.json", "approval.json.tlog-proof"}
Files = dict[str, bytes]


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ledger whose key changed between a proposal and its approval."""
    settings = settings_of(tmp_path_factory.mktemp("eyes") / "ledger")
    proposed = record(operations.init_ledger(settings, FOUR_EYES, TESTER), PUBLISHED)
    operations.rotate_key(settings, TESTER)
    approve(opened(Path(settings.ledger)), proposed)
    return Path(settings.ledger)


@pytest.fixture
def files(ledger: Path) -> Files:
    return exported(ledger)


def exported(ledger: Path) -> Files:
    """Return the files of a run's bundle."""
    file = io.BytesIO()
    operations.export_run(opened(ledger), A, file, TESTER)
    with zipfile.ZipFile(file) as archive:
        return {info.filename.partition("/")[2]: archive.read(info) for info in archive.infolist()}


def replayed(files: Files, tmp_path: Path, engine: Engine = Engine.COMPILED) -> Replayed:
    path = tmp_path / "run.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(f"{A}/{name}", content)
    return operations.replay_bundle(path, [], engine=engine)


@pytest.mark.parametrize("engine", Engine)
def test_the_bundle_alone_says_who_approved_the_run_and_proves_it(
    files: Files, tmp_path: Path, engine: Engine
) -> None:
    replay = replayed(files, tmp_path, engine)

    assert replay.matched
    assert replay.approval is not None
    assert replay.approval.requested_by == APPROVER
    assert files["approval.json"] == canonical(replay.approval)
    readme = files["README.txt"].decode()
    assert "approval.json, entry 3 of the log" in readme
    assert merkle.leaf_hash(files["approval.json"]).hex() in readme
    page = operations.report_bundle(
        tmp_path / "run.zip", [], PageRequest(), Supersession(is_known=False)
    )
    assert f"approved by {APPROVER.name} on {APPROVER.host}" in page.html


def test_the_same_run_gives_the_same_bytes_whatever_is_recorded_after_its_approval(
    ledger: Path, files: Files
) -> None:
    operations.replay_run(opened(ledger), A, REQUESTER, engine=Engine.COMPILED)

    assert exported(ledger) == files


def test_a_run_that_needed_no_approval_has_nothing_of_it(tmp_path: Path) -> None:
    settings = settings_of(tmp_path / "ledger")
    record(operations.init_ledger(settings, TERMS, TESTER), PUBLISHED)

    files = exported(Path(settings.ledger))

    assert not APPROVAL_FILES & files.keys()
    assert b"approv" not in files["README.txt"]
    with pytest.raises(Refused, match=r"unexpected file approval\.json"):
        replayed({**files, "approval.json": b"{}"}, tmp_path)
    assert replayed(files, tmp_path).approval is None


@pytest.mark.parametrize("name", sorted(APPROVAL_FILES))
def test_a_proposal_without_its_approval_is_no_bundle(
    files: Files, tmp_path: Path, name: str
) -> None:
    del files[name]

    with pytest.raises(Refused, match=f"{name} is missing"):
        replayed(files, tmp_path)


@pytest.mark.parametrize("name", sorted(APPROVAL_FILES))
def test_an_approval_of_other_bytes_proves_nothing(files: Files, tmp_path: Path, name: str) -> None:
    content = files[name]
    files[name] = content[:-9] + bytes([content[-9] ^ 1]) + content[-8:]

    replay = replayed(files, tmp_path)

    assert {mismatch.where for mismatch in replay.mismatches} == {"approval.json.tlog-proof"}
    assert replay.approval is None


def forged(files: Files, change: Callable[[Verdict, Proposal], Entry]) -> Files:
    """Return the bundle with another second entry, of a sound log of a stranger's own."""
    approval, proposal = read_entry(files["approval.json"]), read_entry(files["run.json"])
    assert isinstance(approval, Verdict)
    assert isinstance(proposal, Proposal)
    entries = (files["run.json"], canonical(change(approval, proposal)))
    leaves = tuple(map(merkle.leaf_hash, entries))
    root = merkle.node_hash(*leaves)
    note = sign_checkpoint(Checkpoint(origin=STRANGER.name, size=2, root=root), STRANGER)
    proofs = [
        LogProof(index=index, hashes=(leaves[1 - index],), note=note).text().encode()
        for index in range(2)
    ]
    return {
        **files,
        "approval.json": entries[1],
        "run.json.tlog-proof": proofs[0],
        "approval.json.tlog-proof": proofs[1],
        "checkpoint": note,
        "log.vkey": f"{STRANGER.verifier}\n".encode(),
    }


@pytest.mark.parametrize(
    ("change", "expected", "got"),
    [
        pytest.param(
            lambda approval, proposal: replace(approval, requested_by=proposal.requested_by),
            "another person than the proposer",
            "the same",
            id="the proposer's own",
        ),
        pytest.param(
            lambda approval, _: replace(approval, record_sha256="0" * 64),
            "the record ",
            "0" * 64,
            id="of another record",
        ),
        pytest.param(
            lambda approval, _: replace(approval, run="2024-09-16-002"),
            f"the approval of run {A}",
            "another entry",
            id="of another run",
        ),
        pytest.param(
            lambda approval, _: replace(approval, type="rejection", reason="no"),
            f"the approval of run {A}",
            "another entry",
            id="a rejection",
        ),
        pytest.param(
            lambda _, proposal: proposal,
            f"the approval of run {A}",
            "another entry",
            id="the proposal itself",
        ),
        pytest.param(
            lambda approval, proposal: replace(approval, recorded_at=proposal.expires_at),
            "a time from ",
            "",
            id="too late",
        ),
        pytest.param(
            lambda approval, _: replace(approval, recorded_at="2024-01-01T00:00:00.000000Z"),
            "a time from ",
            "2024-01-01T00:00:00.000000Z",
            id="before it was proposed",
        ),
    ],
)
def test_what_is_no_approval_by_another_person_is_named(
    files: Files,
    tmp_path: Path,
    change: Callable[[Verdict, Proposal], Entry],
    expected: str,
    got: str,
) -> None:
    assert replayed(forged(files, lambda approval, _: approval), tmp_path).matched

    (mismatch,) = replayed(forged(files, change), tmp_path).mismatches

    assert mismatch.where == "approval.json"
    assert mismatch.recorded.startswith(expected)
    assert mismatch.computed.startswith(got)


def test_the_approval_is_proved_by_the_checkpoint_of_the_run(files: Files, tmp_path: Path) -> None:
    """Another head that the same key has signed is of another history, for all that is known."""
    approval = files["approval.json"]
    root = merkle.leaf_hash(approval)
    note = sign_checkpoint(Checkpoint(origin=STRANGER.name, size=1, root=root), STRANGER)
    mixed = forged(files, lambda verdict, _: verdict)
    mixed["approval.json.tlog-proof"] = LogProof(index=0, hashes=(), note=note).text().encode()

    (mismatch,) = replayed(mixed, tmp_path).mismatches

    assert (mismatch.where, mismatch.computed) == ("approval.json.tlog-proof", "another checkpoint")
