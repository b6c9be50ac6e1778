"""Opening a bundle: unpack it safely, and verify that its proof is of its record.

Invariants:
- Nothing is written outside a temporary folder, and no more than the size of the file.
- A name, a type or a size that no bundle has is refused before anything is unpacked.
"""

from __future__ import annotations

import re
import shutil
import stat
import tempfile
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NoReturn

from lottery.audit.bundle import (
    APPROVAL_FILES,
    CHECKPOINT_FILE,
    DIGESTS_FILE,
    KEY_FILE,
    PROOF_FILE,
    TEXT_FILES,
    ProvenRun,
    digests_of,
)
from lottery.audit.bundle_approval import approval_in, approval_mismatches
from lottery.audit.bundle_directory import describe_directory
from lottery.audit.replay import Mismatch
from lottery.errors import LedgerDamaged, LotteryError, Problem, Refused, quote
from lottery.intake.memory import MemoryLimit
from lottery.ledger import evidence
from lottery.ledger.entry import read_run
from lottery.ledger.four_eyes import Proposal, Verdict
from lottery.ledger.run_record import EVIDENCE_NAME, RunRecord
from lottery.tlog.checkpoint import open_checkpoint
from lottery.tlog.keys import VerifierKey
from lottery.tlog.proof import LogProof, verify_entry

MEMBERS: Final = 1_000
"""Maximum number of files in a bundle; a record of 16 KiB names fewer."""
RECORD_BYTES: Final = 16 << 20
"""Maximum size of a bundle's record, and of each of its other texts, in bytes."""

_NAME: Final = re.compile(rf"(?P<run>[0-9-]{{14,24}})/(?P<file>{EVIDENCE_NAME})")
_CHUNK: Final = 1 << 20
"""Bytes copied at a time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenedBundle:
    """A bundle unpacked.

    Attributes:
        record: The run's record; trust it only if there are no mismatches.
        directory: The folder with its files.
        mismatches: What is not as it was exported, or does not prove the record.
    """

    record: RunRecord
    directory: Path
    mismatches: tuple[Mismatch, ...]

    @property
    def approval(self) -> Verdict | None:
        """The approval of a run that was proposed; None also if there are mismatches."""
        is_approved = isinstance(self.record, Proposal) and not self.mismatches
        return approval_in(self.directory) if is_approved else None


@contextmanager
def opened_bundle(path: Path, keys: Sequence[VerifierKey]) -> Iterator[OpenedBundle]:
    """Unpack a bundle into a temporary folder, and verify its record's proof.

    Args:
        path: The archive.
        keys: The log's public key as known from elsewhere; without one, the bundle's own copy is
            trusted.

    Raises:
        Refused: The file is not a bundle, or not safe to open.
    """
    with tempfile.TemporaryDirectory(prefix="lottery-bundle-") as folder:
        directory = Path(folder)
        try:
            problem = describe_directory(path, MEMBERS)
            if problem is not None:
                _refuse(path, f"cannot be read as a bundle: {problem}")
            with zipfile.ZipFile(path) as archive:
                run, members = _safe_members(path, archive)
                changed = _unpack(archive, members, directory)
        except (OSError, zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:
            _refuse(path, f"cannot be read as a bundle: {_text_of(error)}")
        try:
            canonical = (directory / evidence.RUN_FILE).read_bytes()
            record = read_run(canonical)
        except (OSError, LedgerDamaged) as error:
            _refuse(path, f"{evidence.RUN_FILE} is not a run record: {_text_of(error)}")
        texts = (*TEXT_FILES, *(APPROVAL_FILES if isinstance(record, Proposal) else ()))
        named = {*texts, *(file.name for file in record.evidence)}
        for name in members:
            if name not in named:
                _refuse(path, f"unexpected file {name}: {evidence.RUN_FILE} does not name it")
        for name in texts:
            if name not in members:
                _refuse(path, f"{name} is missing")
        if run != record.run:
            _refuse(path, f"expected the folder of run {record.run}, got {run}")
        mismatches = [
            Mismatch(run=run, where=name, recorded="the bytes exported", computed="other bytes")
            for name in changed
        ]
        mismatches += _proof_mismatches(record, canonical, directory, keys)
        yield OpenedBundle(record=record, directory=directory, mismatches=tuple(mismatches))


def proven_run_of(bundle: OpenedBundle, memory: MemoryLimit) -> ProvenRun:
    """Return the run of a bundle that has no mismatches, whose tables are within a limit."""
    directory = bundle.directory
    return ProvenRun(
        record=bundle.record,
        canonical=(directory / evidence.RUN_FILE).read_bytes(),
        directory=directory,
        proof=_proof_in(directory),
        key=_key_in(directory),
        memory=memory,
    )


def _safe_members(path: Path, archive: zipfile.ZipFile) -> tuple[str, dict[str, zipfile.ZipInfo]]:
    """Return the run that an archive is named after, and its members by their names in there.

    Raises:
        Refused: A member is not what a bundle has, and might do harm.
    """
    infos = archive.infolist()
    first = min((info.header_offset for info in infos), default=0)
    if first:
        _refuse(path, "expected nothing but files, got other bytes before them")
    if not infos or len(infos) > MEMBERS:
        _refuse(path, f"expected 1 to {MEMBERS} files, got {len(infos)}")
    members: dict[str, zipfile.ZipInfo] = {}
    runs = set()
    for info in infos:
        match = _NAME.fullmatch(info.filename)
        kind = stat.S_IFMT(info.external_attr >> 16)
        is_whole = info.orig_filename == info.filename  # Otherwise it was cut at a NUL.
        if match is None or kind not in (0, stat.S_IFREG) or not is_whole:
            _refuse(path, f"unexpected file {quote(info.orig_filename)}")
        if info.compress_type != zipfile.ZIP_STORED or info.compress_size != info.file_size:
            _refuse(path, f"expected {info.filename} to be stored, but it is compressed")
        if match["file"] in members:
            _refuse(path, f"{info.filename} appears twice")
        if match["file"] in (*TEXT_FILES, *APPROVAL_FILES) and info.file_size > RECORD_BYTES:
            limit = f"{info.filename} must have at most {RECORD_BYTES} bytes"
            _refuse(path, f"{limit}, got {info.file_size}")
        members[match["file"]] = info
        runs.add(match["run"])
    # Stored files cannot be larger together than the archive, unless they overlap.
    if sum(info.file_size for info in infos) > path.stat().st_size:
        _refuse(path, "files overlap in the archive")
    if len(runs) > 1:
        _refuse(path, f"expected the folder of one run, got {len(runs)}")
    return runs.pop(), members


def _unpack(
    archive: zipfile.ZipFile, members: Mapping[str, zipfile.ZipInfo], directory: Path
) -> list[str]:
    """Write the files into a folder; return the names of those whose bytes were changed."""
    changed = []
    (directory / evidence.SOURCES).mkdir()
    for name, info in members.items():
        (directory / name).parent.mkdir(exist_ok=True)
        with (directory / name).open("wb") as to:
            try:
                with archive.open(info) as source:
                    shutil.copyfileobj(source, to, _CHUNK)
            except (zipfile.BadZipFile, EOFError):  # Its checksum or its offset is wrong.
                changed.append(name)
    return changed


def _proof_mismatches(
    record: RunRecord, canonical: bytes, directory: Path, keys: Sequence[VerifierKey]
) -> Iterator[Mismatch]:
    """Yield what keeps the bundle's proof from proving its record."""

    def mismatch(where: str, recorded: str, computed: object) -> Mismatch:
        return Mismatch(run=record.run, where=where, recorded=recorded, computed=str(computed))

    try:
        own = _key_in(directory)
        proof = _proof_in(directory)
        verify_entry(
            canonical,
            index=proof.index,
            hashes=proof.hashes,
            note=proof.note,
            keys=[own],
            origin=own.name,
        )
        others = [key for key in keys if key != own]
        signed_by = open_checkpoint(proof.note, [own, *others]).signed_by
        note = (directory / CHECKPOINT_FILE).read_bytes()
        digests = (directory / DIGESTS_FILE).read_bytes()
    except (OSError, UnicodeDecodeError, LotteryError) as error:
        yield mismatch(PROOF_FILE, f"a proof of {evidence.RUN_FILE}", error)
        return
    if keys and not set(keys) & set(signed_by):
        yield mismatch(KEY_FILE, f"a trusted key: {', '.join(map(str, keys))}", own)
    if digests != digests_of(record):
        yield mismatch(DIGESTS_FILE, "the digests of the record", "other digests")
    if note != proof.note:
        yield mismatch(CHECKPOINT_FILE, f"the checkpoint of {PROOF_FILE}", "another checkpoint")
    if isinstance(record, Proposal):
        yield from approval_mismatches(record, canonical, directory, proof, own)


def _key_in(directory: Path) -> VerifierKey:
    return VerifierKey.parse((directory / KEY_FILE).read_text("utf-8").removesuffix("\n"))


def _proof_in(directory: Path) -> LogProof:
    return LogProof.parse((directory / PROOF_FILE).read_text("utf-8"))


def _refuse(path: Path, message: str) -> NoReturn:
    raise Refused([Problem(source=path.name, message=message)])


def _text_of(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)
