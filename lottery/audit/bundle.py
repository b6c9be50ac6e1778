"""Bundles: one run with its proof in one file, which replays anywhere without the ledger.

A bundle is a ZIP archive of stored files in one folder, named after the run. It holds the run's
evidence and record, the inclusion proof against the checkpoint that was signed when the run came
to count (C2SP tlog-proof), the approval of a run that was proposed with its proof against the same
checkpoint, the log's public key, the method's rules, and what an auditor needs to
check all of it with third-party tools. The same run gives the same bytes, under one version of the
software.

Not here: opening a bundle, which is for `bundle_reader`.
"""

from __future__ import annotations

import shutil
import stat
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from string import Template
from typing import BinaryIO, Final

from lottery.audit.sql_replay import STATEMENT_FILE, statement
from lottery.intake.memory import UNLIMITED, MemoryLimit
from lottery.ledger import evidence
from lottery.ledger.run_record import RunRecord
from lottery.tlog import merkle
from lottery.tlog.keys import VerifierKey
from lottery.tlog.proof import LogProof

README_FILE: Final = "README.txt"
METHOD_FILE: Final = "METHOD.md"
DIGESTS_FILE: Final = "SHA256SUMS"
PROOF_FILE: Final = "run.json.tlog-proof"
CHECKPOINT_FILE: Final = "checkpoint"
KEY_FILE: Final = "log.vkey"
APPROVAL_FILE: Final = "approval.json"
APPROVAL_PROOF_FILE: Final = "approval.json.tlog-proof"

TEXT_FILES: Final = (
    README_FILE,
    METHOD_FILE,
    DIGESTS_FILE,
    evidence.RUN_FILE,
    PROOF_FILE,
    CHECKPOINT_FILE,
    KEY_FILE,
    STATEMENT_FILE,
)
"""The files of every bundle that are not evidence."""
APPROVAL_FILES: Final = (APPROVAL_FILE, APPROVAL_PROOF_FILE)
"""Those that the bundle of a run that was proposed has also."""

_MODE: Final = 0o644
_CHUNK: Final = 1 << 20
"""Bytes copied at a time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProvenApproval:
    """The approval of a run and what proves that it is in the log.

    Attributes:
        canonical: Its bytes as recorded: the log's entry.
        proof: Its inclusion in the tree of the run's proof.
    """

    canonical: bytes
    proof: LogProof


@dataclass(frozen=True, slots=True, kw_only=True)
class ProvenRun:
    """A run and what proves that it is in the log.

    Attributes:
        record: Its record.
        canonical: The record's bytes as recorded: the log's entry.
        directory: Its evidence folder.
        proof: Its inclusion in the tree that was signed when it came to count.
        key: The log's public key.
        approval: Its approval, if it was proposed.
        memory: What reading a table of its evidence may take.
    """

    record: RunRecord
    canonical: bytes
    directory: Path
    proof: LogProof
    key: VerifierKey
    approval: ProvenApproval | None = None
    memory: MemoryLimit = UNLIMITED


def verify_evidence(run: ProvenRun) -> None:
    """Verify that a run's evidence is what was recorded.

    Raises:
        LedgerDamaged: A file is missing or changed.
    """
    for kept in run.record.evidence:
        evidence.refuse_changed(run.directory, run.record.run, kept)


def write_bundle(run: ProvenRun, file: BinaryIO) -> None:
    """Write a run's bundle to a seekable file."""
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for name, text in _texts(run).items():
            archive.writestr(_member(run.record.run, name), text)
        for kept in run.record.evidence:
            member = _member(run.record.run, kept.name)
            member.file_size = kept.size
            with (run.directory / kept.name).open("rb") as source, archive.open(member, "w") as to:
                shutil.copyfileobj(source, to, _CHUNK)


def _texts(run: ProvenRun) -> Mapping[str, bytes]:
    """Return the files that are not evidence, in their order."""
    record = run.record
    readme = Template(_shipped("bundle_readme.txt")).substitute(
        run=record.run,
        business_date=record.business_date.isoformat(),
        method=record.method.id,
        recorded_at=record.recorded_at,
        charter=record.charter,
        software=f"{record.software.name} {record.software.version}",
        log_index=run.proof.index,
        leaf=merkle.leaf_hash(run.canonical).hex(),
        key=str(run.key),
        **_approval_texts(run.approval),
    )
    approval = {}
    if run.approval is not None:
        approval[APPROVAL_FILE] = run.approval.canonical
        approval[APPROVAL_PROOF_FILE] = run.approval.proof.text().encode()
    return {
        README_FILE: readme.encode(),
        evidence.RUN_FILE: run.canonical,
        PROOF_FILE: run.proof.text().encode(),
        **approval,
        CHECKPOINT_FILE: run.proof.note,
        KEY_FILE: f"{run.key}\n".encode(),
        DIGESTS_FILE: digests_of(record),
        METHOD_FILE: _shipped(METHOD_FILE).encode(),
        STATEMENT_FILE: statement().encode(),
    }


def _approval_texts(approval: ProvenApproval | None) -> Mapping[str, str]:
    """Return what the text says of an approval; nothing of a run that needed none."""
    if approval is None:
        return {"approval_files": "", "approval_steps": ""}
    steps = Template(_shipped("bundle_approval.txt")).substitute(
        leaf=merkle.leaf_hash(approval.canonical).hex(), log_index=approval.proof.index
    )
    files, _, steps = steps.partition("\n\n")
    return {"approval_files": f"{files}\n", "approval_steps": f"\n{steps.rstrip()}"}


def digests_of(record: RunRecord) -> bytes:
    """Return the digests of the evidence in the form of sha256sum."""
    return "".join(f"{file.sha256}  {file.name}\n" for file in record.evidence).encode()


def _shipped(name: str) -> str:
    return resources.files("lottery.audit").joinpath("texts", name).read_text("utf-8")


def _member(run: str, name: str) -> zipfile.ZipInfo:
    """Return an archive member with no trace of the machine or the time."""
    member = zipfile.ZipInfo(f"{run}/{name}", (1980, 1, 1, 0, 0, 0))
    member.create_system = 3
    member.external_attr = (stat.S_IFREG | _MODE) << 16
    return member
