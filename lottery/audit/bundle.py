"""Bundles: one run with its proof in one file, which replays anywhere and without the ledger.

A bundle is a ZIP archive of stored files under one folder, the run's id. It holds the run's
evidence and record, the inclusion proof against the head that was signed as the run was recorded
(C2SP tlog-proof), the log's public key, the method's rules, and what an auditor needs to check all
of it with other people's tools.

Invariants:
- The same run gives the same bytes, under one version of the software.
- Opening a bundle writes nowhere but into a folder of its own, and no more than the file's size.
"""

from __future__ import annotations

import os
import re
import shutil
import stat
import tempfile
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from string import Template
from typing import BinaryIO, Final, NoReturn

from lottery.audit.replay import Mismatch
from lottery.audit.sql_replay import STATEMENT_FILE, statement
from lottery.errors import LedgerDamaged, LotteryError, Problem, Refused
from lottery.ledger import evidence
from lottery.ledger.run_record import RunRecord, read_record
from lottery.tlog import merkle
from lottery.tlog.checkpoint import open_checkpoint
from lottery.tlog.keys import VerifierKey
from lottery.tlog.proof import LogProof, verify_entry

README_FILE: Final = "README.txt"
METHOD_FILE: Final = "METHOD.md"
DIGESTS_FILE: Final = "SHA256SUMS"
PROOF_FILE: Final = "run.json.tlog-proof"
CHECKPOINT_FILE: Final = "checkpoint"
KEY_FILE: Final = "log.vkey"

MEMBERS: Final = 100_000
"""Files of a bundle at most."""
RECORD_BYTES: Final = 1 << 30
"""Of a bundle's record at most, and of each of its texts."""

_TEXTS: Final = (
    README_FILE,
    METHOD_FILE,
    DIGESTS_FILE,
    evidence.RUN_FILE,
    PROOF_FILE,
    CHECKPOINT_FILE,
    KEY_FILE,
    STATEMENT_FILE,
)
_NAME: Final = re.compile(
    r"(?P<run>[0-9-]{14,24})/(?P<file>(sources/)?[A-Za-z0-9_][A-Za-z0-9_.-]*)"
)
_MODE: Final = 0o644
_END_MARK: Final = b"PK\5\6"
_END_BYTES: Final = 22
"""Of the end of an archive without a comment (APPNOTE.TXT, 4.3.16)."""
_CHUNK: Final = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class ProvenRun:
    """A run and what proves that it is in the log.

    Attributes:
        record: Its record.
        canonical: The record's bytes as they are kept: the leaf.
        directory: Its evidence folder.
        proof: Its inclusion in the tree that was signed as it was recorded.
        key: The log's public key.
    """

    record: RunRecord
    canonical: bytes
    directory: Path
    proof: LogProof
    key: VerifierKey


def refuse_damaged(run: ProvenRun) -> None:
    """Refuses a run whose evidence is no longer what was recorded.

    Raises:
        LedgerDamaged: It is not.
    """
    for kept in run.record.evidence:
        evidence.refuse_changed(run.directory, run.record.run, kept)


def write_bundle(run: ProvenRun, file: BinaryIO) -> None:
    """Writes a run's bundle to a file that can be sought in."""
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for name, text in _texts(run).items():
            archive.writestr(_member(run.record.run, name), text)
        for kept in run.record.evidence:
            member = _member(run.record.run, kept.name)
            member.file_size = kept.size
            with (run.directory / kept.name).open("rb") as source, archive.open(member, "w") as to:
                shutil.copyfileobj(source, to, _CHUNK)


def _texts(run: ProvenRun) -> Mapping[str, bytes]:
    """The files that are not evidence, in their order."""
    record = run.record
    readme = Template(_shipped("bundle_readme.txt")).substitute(
        run=record.run,
        business_date=record.business_date.isoformat(),
        method=record.method.id,
        recorded_at=record.recorded_at,
        software=f"{record.software.name} {record.software.version}",
        log_index=run.proof.index,
        leaf=merkle.leaf_hash(run.canonical).hex(),
        key=str(run.key),
    )
    return {
        README_FILE: readme.encode(),
        evidence.RUN_FILE: run.canonical,
        PROOF_FILE: run.proof.text().encode(),
        CHECKPOINT_FILE: run.proof.note,
        KEY_FILE: f"{run.key}\n".encode(),
        DIGESTS_FILE: _digests(record),
        METHOD_FILE: _shipped(METHOD_FILE).encode(),
        STATEMENT_FILE: statement().encode(),
    }


def _digests(record: RunRecord) -> bytes:
    """The digests of the evidence, for sha256sum."""
    return "".join(f"{file.sha256}  {file.name}\n" for file in record.evidence).encode()


def _shipped(name: str) -> str:
    return resources.files("lottery.audit").joinpath("texts", name).read_text("utf-8")


def _member(run: str, name: str) -> zipfile.ZipInfo:
    """An archive's entry without anything of the machine or the moment."""
    member = zipfile.ZipInfo(f"{run}/{name}", (1980, 1, 1, 0, 0, 0))
    member.create_system = 3
    member.external_attr = (stat.S_IFREG | _MODE) << 16
    return member


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenedBundle:
    """A bundle unpacked.

    Attributes:
        record: The run's record, whatever it is worth before its proof is verified.
        directory: The folder with its files.
        mismatches: What is not as it was exported, or does not prove the record.
    """

    record: RunRecord
    directory: Path
    mismatches: tuple[Mismatch, ...]


@contextmanager
def opened_bundle(path: Path, keys: Sequence[VerifierKey]) -> Iterator[OpenedBundle]:
    """Unpacks a bundle for a while, and verifies its record's proof.

    Args:
        path: The archive.
        keys: The log's public key as it is known from elsewhere; without any the bundle's own word
            is taken for it.

    Raises:
        Refused: It is no bundle, or one that is not safe to open.
    """
    with tempfile.TemporaryDirectory(prefix="lottery-bundle-") as folder:
        directory = Path(folder)
        try:
            with zipfile.ZipFile(path) as archive:
                run, members = _safe_members(path, archive)
                changed = _unpack(archive, members, directory)
        except (OSError, zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:
            _refuse(path, f"it cannot be read as a bundle: {_told(error)}")
        try:
            canonical = (directory / evidence.RUN_FILE).read_bytes()
            record = read_record(canonical)
        except (OSError, LedgerDamaged) as error:
            _refuse(path, f"its {evidence.RUN_FILE} is no run record: {_told(error)}")
        named = {*_TEXTS, *(file.name for file in record.evidence)}
        for name in members:
            if name not in named:
                _refuse(path, f"its record does not name {name}")
        for name in _TEXTS:
            if name not in members:
                _refuse(path, f"it has no {name}")
        if run != record.run:
            _refuse(path, f"it is called {run} and holds run {record.run}")
        found = [
            Mismatch(run=run, where=name, recorded="the bytes exported", computed="other bytes")
            for name in changed
        ]
        found += _proof_mismatches(record, canonical, directory, keys)
        yield OpenedBundle(record=record, directory=directory, mismatches=tuple(found))


def proven_run_of(bundle: OpenedBundle) -> ProvenRun:
    """The run of a bundle that has no mismatches."""
    directory = bundle.directory
    return ProvenRun(
        record=bundle.record,
        canonical=(directory / evidence.RUN_FILE).read_bytes(),
        directory=directory,
        proof=LogProof.parse((directory / PROOF_FILE).read_text("utf-8")),
        key=VerifierKey.parse((directory / KEY_FILE).read_text("utf-8").removesuffix("\n")),
    )


def _safe_members(path: Path, archive: zipfile.ZipFile) -> tuple[str, dict[str, zipfile.ZipInfo]]:
    """The run that an archive is called after, and its files by their names in there.

    Raises:
        Refused: One of them is not what a bundle has, and might do harm.
    """
    infos = archive.infolist()
    with path.open("rb") as file:
        file.seek(-min(_END_BYTES, path.stat().st_size), os.SEEK_END)
        end = file.read()
    first = min((info.header_offset for info in infos), default=0)
    if archive.comment or first or not end.startswith(_END_MARK):
        _refuse(path, "there is something before or behind its files")
    if not infos or len(infos) > MEMBERS:
        _refuse(path, f"it has {len(infos)} files; a bundle has 1 to {MEMBERS}")
    members: dict[str, zipfile.ZipInfo] = {}
    runs = set()
    for info in infos:
        match = _NAME.fullmatch(info.filename)
        kind = stat.S_IFMT(info.external_attr >> 16)
        named_so = info.orig_filename == info.filename  # Otherwise it was cut at a NUL.
        if match is None or kind not in (0, stat.S_IFREG) or not named_so:
            _refuse(path, f"{info.orig_filename!r} is the name of no file of a bundle")
        if info.compress_type != zipfile.ZIP_STORED or info.compress_size != info.file_size:
            _refuse(path, f"{info.filename} is compressed; a bundle's files are stored as they are")
        if match["file"] in members:
            _refuse(path, f"{info.filename} is there twice")
        if match["file"] in _TEXTS and info.file_size > RECORD_BYTES:
            _refuse(path, f"{info.filename} has {info.file_size} bytes")
        members[match["file"]] = info
        runs.add(match["run"])
    # Stored files cannot be larger together than the archive, unless they overlap.
    if sum(info.file_size for info in infos) > path.stat().st_size:
        _refuse(path, "its files overlap")
    if len(runs) > 1:
        _refuse(path, "it has the folders of several runs")
    return runs.pop(), members


def _unpack(
    archive: zipfile.ZipFile, members: Mapping[str, zipfile.ZipInfo], directory: Path
) -> list[str]:
    """Writes the files into a folder; the names of those whose bytes were changed."""
    changed = []
    (directory / evidence.SOURCES).mkdir()
    for name, info in members.items():
        with (directory / name).open("wb") as to:
            try:
                with archive.open(info) as source:
                    shutil.copyfileobj(source, to, _CHUNK)
            except (zipfile.BadZipFile, EOFError):  # Its checksum or its place is another one.
                changed.append(name)
    return changed


def _proof_mismatches(
    record: RunRecord, canonical: bytes, directory: Path, keys: Sequence[VerifierKey]
) -> Iterator[Mismatch]:
    """What keeps the bundle's proof from proving its record."""

    def mismatch(where: str, recorded: str, computed: object) -> Mismatch:
        return Mismatch(run=record.run, where=where, recorded=recorded, computed=str(computed))

    try:
        own = VerifierKey.parse((directory / KEY_FILE).read_text("utf-8").removesuffix("\n"))
        proof = LogProof.parse((directory / PROOF_FILE).read_text("utf-8"))
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
        yield mismatch(KEY_FILE, f"a key that is trusted: {', '.join(map(str, keys))}", own)
    if digests != _digests(record):
        yield mismatch(DIGESTS_FILE, "the digests of the record", "others")
    if note != proof.note:
        yield mismatch(CHECKPOINT_FILE, f"the checkpoint of {PROOF_FILE}", "another one")


def _refuse(path: Path, message: str) -> NoReturn:
    raise Refused([Problem(source=path.name, message=message)])


def _told(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)
