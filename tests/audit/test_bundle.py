"""Bundles: one run gives the same bytes, which replay anywhere, and harm nobody who opens them.

Whatever is changed in a bundle is a mismatch that names it, or the bundle is refused as a whole.
"""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import stat
import struct
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from lottery import operations
from lottery.audit import bundle_reader
from lottery.audit.replay import Engine, Replayed
from lottery.audit.sql_replay import statement
from lottery.errors import CheckpointInvalid, LedgerDamaged, ProofInvalid, Refused
from lottery.ledger import evidence
from lottery.ledger.entry import canonical, read_run
from lottery.ledger.run_record import EvidenceFile, RunRecord
from lottery.tlog import merkle
from lottery.tlog.checkpoint import Checkpoint, open_checkpoint, sign_checkpoint
from lottery.tlog.keys import SigningKey, VerifierKey
from lottery.tlog.proof import LogProof, verify_entry
from tests.builders import (
    AAPL,
    FULL,
    META,
    NEXT_DATE,
    PUBLISHED,
    TESTER,
    evidence_in,
    notice,
    opened,
    record_in,
    request_of,
)

RUN = "2024-09-16-001"
LATE_RUN = "2024-09-16-002"
TEXTS = (
    "README.txt",
    "run.json",
    "run.json.tlog-proof",
    "checkpoint",
    "log.vkey",
    "SHA256SUMS",
    "METHOD.md",
    "replay.sql",
)
EVIDENCE = (
    "allocations.parquet",
    "continued.parquet",
    "notices.parquet",
    "pools.parquet",
    "population.parquet",
    "positions.parquet",
    "sources/notices.csv",
    "sources/volumes.csv",
)
PROVING = ("run.json.tlog-proof", "checkpoint", "log.vkey")
OFFICER = SigningKey(name="officer.example", seed=bytes(range(32)))
STRANGER = SigningKey(name="stranger.example", seed=bytes(range(1, 33)))

Files = dict[str, bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class Exported:
    """What was exported of a ledger of two runs, and of another ledger's run."""

    ledger: Path
    key: VerifierKey
    first: bytes
    second: bytes
    foreign: bytes


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    folder = tmp_path_factory.mktemp("exported")
    record_in(folder / "ledger", request_of(FULL, folder / "a"))
    second = replace(FULL, notices=[notice("B1", META, 2, "C"), notice("B2", AAPL, 50, "C")])
    request = request_of(second, folder / "b", cycle=2)
    record_in(folder / "ledger", request)
    record_in(folder / "other", request_of(FULL, folder / "c"))
    return Exported(
        ledger=folder / "ledger",
        key=opened(folder / "ledger").log().key,
        first=export(folder / "ledger", RUN),
        second=export(folder / "ledger", LATE_RUN),
        foreign=export(folder / "other", RUN),
    )


@pytest.fixture
def ledger(exported: Exported, tmp_path: Path) -> Path:
    """A copy of the ledger that may be changed."""
    shutil.copytree(exported.ledger, tmp_path / "ledger")
    return tmp_path / "ledger"


@pytest.fixture
def files(exported: Exported) -> Files:
    """The files of the first run's bundle."""
    return unpacked(exported.first)


@pytest.fixture
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only folder for temporary files, with nothing else in it."""
    folder = tmp_path / "alone"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def export(ledger: Path, run: str) -> bytes:
    file = io.BytesIO()
    assert operations.export_run(opened(ledger), run, file, TESTER) == run
    return file.getvalue()


def unpacked(content: bytes) -> Files:
    """The files by their names, without the folder that they are in."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return {info.filename.partition("/")[2]: archive.read(info) for info in archive.infolist()}


def packed(files: Mapping[str, bytes], folder: str = RUN) -> bytes:
    """A bundle of these files, as one is that was made with right checksums."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(f"{folder}/{name}"), content)
    return file.getvalue()


def replayed(
    tmp_path: Path, content: bytes, *keys: VerifierKey, engine: Engine = Engine.COMPILED
) -> Replayed:
    path = tmp_path / "bundle.zip"
    path.write_bytes(content)
    return operations.replay_bundle(path, keys, engine=engine)


def named(replay: Replayed) -> set[str]:
    return {mismatch.where for mismatch in replay.mismatches}


def assert_refused(tmp_path: Path, content: bytes, match: str | None = None) -> None:
    """Asserts that a bundle is refused, with nothing left of it anywhere."""
    before = {path for path in tmp_path.rglob("*") if path.name != "bundle.zip"}
    with pytest.raises(Refused, match=match) as caught:
        replayed(tmp_path, content)
    assert [problem.source for problem in caught.value.problems] == ["bundle.zip"]
    assert {path for path in tmp_path.rglob("*") if path.name != "bundle.zip"} == before


def flipped(content: bytes, offset: int) -> bytes:
    """Return the content with a byte changed: the bits come in turn, and are never none."""
    flip = (offset * 37 + 11) % 255 + 1
    return content[:offset] + bytes([content[offset] ^ flip]) + content[offset + 1 :]


def wrong_in(tmp_path: Path, content: bytes, whole: Files | None = None) -> set[str]:
    """Open a bundle and return the files found wrong, or its own name if it is refused.

    What is wrong with the evidence, the replay of what was opened would find. If nothing is wrong,
    the files opened must be the whole ones.
    """
    path = tmp_path / "bundle.zip"
    path.write_bytes(content)
    try:
        with bundle_reader.opened_bundle(path, ()) as bundle:
            wrong = {mismatch.where for mismatch in bundle.mismatches}
            for file in bundle.record.evidence:
                if evidence.what_is_wrong(bundle.directory, file):
                    wrong.add(file.name)
            assert (
                wrong
                or whole is None
                or whole
                == {
                    path.relative_to(bundle.directory).as_posix(): path.read_bytes()
                    for path in bundle.directory.rglob("*")
                    if path.is_file()
                }
            )
            return wrong
    except Refused:
        return {path.name}


def test_a_bundle_holds_the_run_and_what_proves_it(exported: Exported, files: Files) -> None:
    directory = evidence_in(exported.ledger, RUN)

    assert tuple(files) == (*TEXTS, *EVIDENCE)
    assert files["run.json"] == (directory / f"{RUN}.json").read_bytes()
    for name in EVIDENCE:
        assert files[name] == (directory / name).read_bytes()
    assert files["log.vkey"].decode() == f"{exported.key}\n"
    assert files["replay.sql"].decode() == statement()
    sums = dict(line.split("  ")[::-1] for line in files["SHA256SUMS"].decode().splitlines())
    assert sums == {name: hashlib.sha256(files[name]).hexdigest() for name in EVIDENCE}


def test_a_bundle_has_nothing_of_the_machine_or_the_moment(exported: Exported) -> None:
    with zipfile.ZipFile(io.BytesIO(exported.first)) as archive:
        for info in archive.infolist():
            assert info.filename.startswith(f"{RUN}/")
            assert info.date_time == (1980, 1, 1, 0, 0, 0)
            assert info.compress_type == zipfile.ZIP_STORED
            assert stat.S_ISREG(info.external_attr >> 16)
            assert info.extra == b""
        assert archive.testzip() is None
        assert archive.comment == b""


def test_the_same_run_gives_the_same_bytes_whatever_happens_to_it_later(
    exported: Exported, ledger: Path, tmp_path: Path
) -> None:
    assert export(ledger, RUN) == export(ledger, RUN) == exported.first
    assert export(ledger, LATE_RUN) == exported.second, "the checkpoint signed is its own"

    record_in(ledger, request_of(replace(PUBLISHED, date=NEXT_DATE), tmp_path / "later"))
    assert export(ledger, RUN) == exported.first

    again = request_of(
        FULL.shuffled(3), tmp_path / "again", supersedes=[RUN, LATE_RUN], reason="wrong file"
    )
    record_in(ledger, again)
    assert opened(ledger).described(opened(ledger).get(RUN)).superseded_by == "2024-09-16-003"
    assert export(ledger, RUN) == exported.first
    assert export(ledger, LATE_RUN) == exported.second


@pytest.mark.parametrize("name", EVIDENCE)
def test_evidence_that_is_damaged_is_not_exported(ledger: Path, name: str) -> None:
    path = evidence_in(ledger, RUN) / name
    path.chmod(0o644)
    content = path.read_bytes()
    for wrong in (content[:-1], content + b"\n", bytes([content[0] ^ 1]) + content[1:], None):
        if wrong is None:
            path.unlink()
        else:
            path.write_bytes(wrong)
        file = io.BytesIO()

        with pytest.raises(LedgerDamaged, match=name):
            operations.export_run(opened(ledger), RUN, file, TESTER)
        assert file.getvalue() == b""


@pytest.mark.parametrize("engine", Engine)
def test_a_bundle_replays_where_there_is_no_ledger(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    exported: Exported,
    ledger: Path,
    engine: Engine,
) -> None:
    content = export(ledger, RUN), export(ledger, LATE_RUN)
    shutil.rmtree(ledger)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")

    for one, run in zip(content, (RUN, LATE_RUN), strict=True):
        for keys in ((), (exported.key,), (OFFICER.verifier, exported.key)):
            replay = replayed(tmp_path, one, *keys, engine=engine)

            assert (replay.run, replay.mismatches) == (run, ())
    assert list(Path.cwd().iterdir()) == []


def test_another_key_than_the_logs_is_a_mismatch_that_names_both(
    exported: Exported, tmp_path: Path
) -> None:
    foreign = VerifierKey.parse(unpacked(exported.foreign)["log.vkey"].decode().strip())
    namesake = SigningKey(name=exported.key.name, seed=STRANGER.seed).verifier

    for key in (STRANGER.verifier, foreign, namesake):
        (mismatch,) = replayed(tmp_path, exported.first, key).mismatches
        assert (mismatch.where, mismatch.computed) == ("log.vkey", str(exported.key))
        assert str(key) in mismatch.recorded


@pytest.mark.parametrize("name", EVIDENCE)
def test_an_evidence_file_changed_inside_the_archive_is_named(
    files: Files, tmp_path: Path, name: str
) -> None:
    content = files[name]
    middle = len(content) // 2
    for wrong in (
        content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :],
        content + b"\n",
        content[:-1],
        b"",
    ):
        assert name in named(replayed(tmp_path, packed({**files, name: wrong}))), wrong


def test_nothing_is_decoded_of_a_bundle_with_a_file_that_was_not_recorded(
    files: Files, tmp_path: Path
) -> None:
    # The notices are another day's, and well-formed: only their digest is wrong.
    others = {**files, "notices.parquet": files["pools.parquet"]}

    assert set(named(replayed(tmp_path, packed(others)))) == {"notices.parquet"}


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda record: replace(record, recorded_at="2024-09-16T09:00:00Z"), id="when"),
        pytest.param(
            lambda record: replace(record, requested_by=replace(TESTER, name="nobody")), id="who"
        ),
        pytest.param(lambda record: replace(record, state="ALLOCATED", break_count=0), id="breaks"),
        pytest.param(lambda record: replace(record, reason="because"), id="why"),
    ],
)
def test_a_record_changed_and_written_canonically_is_not_proved(
    files: Files, tmp_path: Path, change: Callable[[RunRecord], RunRecord]
) -> None:
    forged = canonical(change(read_run(files["run.json"])))

    found = replayed(tmp_path, packed({**files, "run.json": forged}))

    assert "run.json.tlog-proof" in named(found)


@pytest.mark.parametrize("wrong", [b"", b"{}", b"null", b"\xff", b"[" * 100_000])
def test_a_record_that_is_none_is_refused(files: Files, tmp_path: Path, wrong: bytes) -> None:
    assert_refused(tmp_path, packed({**files, "run.json": wrong}), "is not a run record")
    assert_refused(tmp_path, packed({**files, "run.json": files["run.json"] + b" "}), "canonical")


@pytest.mark.parametrize(
    ("whose", "names"),
    [
        ("second", ["run.json.tlog-proof"]),
        ("second", ["checkpoint"]),
        *(("foreign", [name]) for name in PROVING),
        ("foreign", list(PROVING)),
    ],
)
def test_what_proves_another_run_proves_nothing_here(
    exported: Exported, files: Files, tmp_path: Path, whose: str, names: list[str]
) -> None:
    other = unpacked(getattr(exported, whose))
    forged = {**files, **{name: other[name] for name in names}}

    wrong = "checkpoint" if names == ["checkpoint"] else "run.json.tlog-proof"
    assert named(replayed(tmp_path, packed(forged))) == {wrong}


def test_a_key_of_the_logs_own_name_in_the_bundle_proves_nothing(
    exported: Exported, files: Files, tmp_path: Path
) -> None:
    key = SigningKey(name=exported.key.name, seed=STRANGER.seed).verifier
    forged = {**files, "log.vkey": f"{key}\n".encode()}

    assert named(replayed(tmp_path, packed(forged))) == {"run.json.tlog-proof"}


@pytest.mark.parametrize("name", [*TEXTS, *EVIDENCE])
def test_a_file_that_is_missing_is_a_mismatch_or_a_refusal(
    files: Files, tmp_path: Path, name: str
) -> None:
    content = packed({file: text for file, text in files.items() if file != name})
    if name == "run.json":
        assert_refused(tmp_path, content, "run.json is not a run record")
    elif name in TEXTS:
        assert_refused(tmp_path, content, f"{name} is missing")
    else:
        assert name in named(replayed(tmp_path, content))


@pytest.mark.parametrize("name", ["stray", "sources/stray.csv", "occ_reports.parquet", "sources"])
def test_a_file_that_nobody_names_is_refused(files: Files, tmp_path: Path, name: str) -> None:
    assert_refused(tmp_path, packed({**files, name: b"stray"}))


@pytest.mark.parametrize("name", [*PROVING, "SHA256SUMS"])
def test_what_proves_the_record_is_named_if_a_byte_is_another_and_the_archive_is_right(
    exported: Exported, alone: Path, tmp_path: Path, name: str
) -> None:
    """Without the archive's checksums, which find every flip before the proof is read."""
    files = unpacked(exported.second)
    content = files[name]
    wrong = {"checkpoint": name, "SHA256SUMS": name}.get(name, "run.json.tlog-proof")
    path = tmp_path / "bundle.zip"
    for at in {*range(0, len(content), 8), len(content) - 1}:
        path.write_bytes(packed({**files, name: flipped(content, at)}, LATE_RUN))
        with bundle_reader.opened_bundle(path, ()) as bundle:
            assert {one.where for one in bundle.mismatches} == {wrong}, at
    assert list(alone.iterdir()) == []


def test_a_proof_with_any_byte_flipped_proves_nothing(exported: Exported) -> None:
    files = unpacked(exported.second)
    content = files["run.json.tlog-proof"]

    def prove(text: bytes) -> None:
        proof = LogProof.parse(text.decode("utf-8", "surrogateescape"))
        verify_entry(
            files["run.json"],
            index=proof.index,
            hashes=proof.hashes,
            note=proof.note,
            keys=[exported.key],
            origin=exported.key.name,
        )

    prove(content)
    for at in range(len(content)):
        with pytest.raises((CheckpointInvalid, ProofInvalid)):
            prove(flipped(content, at))


def signed_by_nobody(files: Files, record: RunRecord) -> Files:
    """The files with another record, whose proof is right in a log of a stranger's own."""
    encoded = canonical(record)
    checkpoint = Checkpoint(origin=STRANGER.name, size=1, root=merkle.leaf_hash(encoded))
    note = sign_checkpoint(checkpoint, STRANGER)
    proof = LogProof(index=0, hashes=(), note=note)
    return {
        **files,
        "run.json": encoded,
        "run.json.tlog-proof": proof.text().encode(),
        "checkpoint": note,
        "log.vkey": f"{STRANGER.verifier}\n".encode(),
    }


def test_a_stranger_can_vouch_for_a_bundle_of_his_own_and_no_key_given_believes_him(
    exported: Exported, files: Files, tmp_path: Path
) -> None:
    forged = signed_by_nobody(files, read_run(files["run.json"]))

    assert replayed(tmp_path, packed(forged)).matched
    assert named(replayed(tmp_path, packed(forged), exported.key)) == {"log.vkey"}


def _naming_a_file_outside(record: RunRecord, outside: str) -> RunRecord:
    guessed = hashlib.sha256(b"guessed").hexdigest()
    file = EvidenceFile(name=outside, sha256=guessed, size=len(SECRET))
    return replace(record, evidence=(*record.evidence, file))


def _keeping_a_source_outside(record: RunRecord, outside: str) -> RunRecord:
    sources = [
        replace(source, kept_as=outside) if source.role == "notices" else source
        for source in record.sources
    ]
    kept = [
        replace(file, name=f"sources/{outside}") if file.name == "sources/notices.csv" else file
        for file in record.evidence
    ]
    return replace(record, sources=tuple(sources), evidence=tuple(kept))


SECRET = b"of the machine that opens it"


@pytest.mark.parametrize(
    ("change", "outside"),
    [
        (_naming_a_file_outside, "../outside"),
        (_naming_a_file_outside, "/{}/outside"),
        (_naming_a_file_outside, "sources/../../outside"),
        (_keeping_a_source_outside, "../../outside"),
        (_keeping_a_source_outside, "/{}/outside"),
    ],
)
def test_a_record_that_refers_to_a_file_outside_of_its_bundle_is_refused(
    files: Files,
    tmp_path: Path,
    alone: Path,
    change: Callable[[RunRecord, str], RunRecord],
    outside: str,
) -> None:
    """Nothing of the machine that opens it is read: its digest would be shown, or it never ends."""
    is_source = change is _keeping_a_source_outside
    for folder in (tmp_path, alone):
        content = files["sources/notices.csv"] if is_source else SECRET
        (folder / "outside").write_bytes(content)
    record = change(read_run(files["run.json"]), outside.format(str(tmp_path).strip("/")))
    forged = signed_by_nobody(files, record)
    if is_source:
        del forged["sources/notices.csv"]

    assert_refused(tmp_path, packed(forged), "which is not the name of an evidence file")


Entry = tuple[zipfile.ZipInfo, bytes]


def archived(entries: Sequence[Entry]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for info, content in entries:
            archive.writestr(info, content)
    return file.getvalue()


def entries_of(files: Mapping[str, bytes]) -> list[Entry]:
    return [(zipfile.ZipInfo(f"{RUN}/{name}"), content) for name, content in files.items()]


@pytest.mark.parametrize(
    "name",
    [
        "../outside",
        f"{RUN}/../outside",
        f"{RUN}/../../outside",
        f"{RUN}/sources/../../outside",
        f"{RUN}/sources/../README.txt",
        f"{RUN}/./README.txt",
        f"{RUN}//README.txt",
        f"/{RUN}/README.txt",
        "/outside",
        f"{RUN}\\README.txt",
        f"{RUN}/..\\outside",
        f"{RUN}/sources\\..\\..\\outside",
        f"C:/{RUN}/README.txt",
        f"C:{RUN}/README.txt",
        f"{RUN}/C:outside",
        f"{RUN}/sources/deeper/outside",
        f"{RUN}/.hidden",
        f"{RUN}/..",
        f"{RUN}/.",
        f"{RUN}/",
        f"{RUN}/sources/",
        f"{RUN}/-rf",
        f"{RUN}/README.txt ",
        f"{RUN}/READ\nME",
        f"{RUN}/R\u00c9ADME",
        f"{RUN}/{'x' * 300}",
        "README.txt",
        "",
        "~/outside",
    ],
)
def test_a_name_that_no_file_of_a_bundle_has_is_refused(
    files: Files, tmp_path: Path, alone: Path, name: str
) -> None:
    entry = (zipfile.ZipInfo("x"), b"harm")
    entry[0].filename = name

    for entries in ([entry], [*entries_of(files), entry], [entry, *entries_of(files)]):
        assert_refused(tmp_path, archived(entries), "unexpected file '|name too long")
    assert list(alone.iterdir()) == []


def test_a_name_that_goes_on_after_a_null_is_refused(files: Files, tmp_path: Path) -> None:
    content = packed({**files, "READMExTXT": files["README.txt"]})

    assert_refused(tmp_path, content.replace(b"READMExTXT", b"README\0TXT"))
    other = packed(
        {"README.txtX.exe" if name == "README.txt" else name: text for name, text in files.items()}
    )
    assert_refused(tmp_path, other.replace(b"README.txtX.exe", b"README.txt\0.exe"))


@pytest.mark.parametrize(
    "kind", [stat.S_IFLNK, stat.S_IFDIR, stat.S_IFIFO, stat.S_IFCHR, stat.S_IFBLK, stat.S_IFSOCK]
)
def test_what_is_no_plain_file_is_refused(
    files: Files, tmp_path: Path, alone: Path, kind: int
) -> None:
    entries = entries_of(files)
    for info, _ in entries:
        if info.filename.endswith("checkpoint"):
            info.create_system = 3
            info.external_attr = (kind | 0o777) << 16

    assert_refused(tmp_path, archived(entries), "unexpected file")
    assert list(alone.iterdir()) == []


@pytest.mark.filterwarnings("ignore:Duplicate name:UserWarning")
@pytest.mark.parametrize("name", ["run.json", "pools.parquet"])
def test_a_file_that_is_there_twice_is_refused(files: Files, tmp_path: Path, name: str) -> None:
    entries = [*entries_of(files), (zipfile.ZipInfo(f"{RUN}/{name}"), b"another")]

    assert_refused(tmp_path, archived(entries), f"{name} appears twice")


def patched_members(content: bytes, change: Callable[[bytearray, int, int], None]) -> bytes:
    """Return an archive with every entry changed, by its offset in the directory and its header's.

    The fields are those of APPNOTE.TXT 4.3.7 and 4.3.12.
    """
    changed = bytearray(content)
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        entry = archive.start_dir
        for info in archive.infolist():
            assert changed[entry : entry + 4] == b"PK\x01\x02"
            change(changed, entry, info.header_offset)
            lengths = struct.unpack_from("<HHH", changed, entry + 28)
            entry += 46 + sum(lengths)
    return bytes(changed)


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_compressed_file_is_refused_before_it_is_unpacked(
    files: Files, tmp_path: Path, method: int
) -> None:
    entries = entries_of({**files, "METHOD.md": bytes(10_000_000)})
    for info, _ in entries:
        info.compress_type = method if info.filename.endswith("METHOD.md") else zipfile.ZIP_STORED
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for info, content in entries:
            archive.writestr(info, content, compress_type=info.compress_type)
    assert len(file.getvalue()) < 1_000_000

    assert_refused(tmp_path, file.getvalue(), "is compressed")


def test_entries_that_share_one_files_bytes_are_refused_or_a_mismatch(
    files: Files, tmp_path: Path, alone: Path
) -> None:
    """Overlapping entries are how a small archive unpacks to a large one."""
    large = {**files, "METHOD.md": bytes(1_000_000), "replay.sql": b""}
    content = packed(large)
    offsets: dict[str, int] = {}
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        for info in archive.infolist():
            offsets[info.filename] = info.header_offset
    entry = content.rindex(f"{RUN}/replay.sql".encode()) - 46

    lying = bytearray(content)
    struct.pack_into("<II", lying, entry + 20, 1_000_000, 1_000_000)
    struct.pack_into("<I", lying, entry + 42, offsets[f"{RUN}/METHOD.md"])

    assert_refused(tmp_path, bytes(lying), "overlap")
    struct.pack_into("<II", lying, entry + 20, 100, 100)
    try:
        assert "replay.sql" in named(replayed(tmp_path, bytes(lying)))
    except Refused:
        assert list(alone.iterdir()) == []


@pytest.mark.parametrize("fields", [(20,), (24,), (20, 24)], ids=["packed", "unpacked", "both"])
@pytest.mark.parametrize("by", [-1, 1, 1000, 2**31])
def test_a_size_that_lies_is_refused_or_a_mismatch(
    exported: Exported, tmp_path: Path, alone: Path, fields: tuple[int, ...], by: int
) -> None:
    for name in unpacked(exported.first):
        content = bytearray(exported.first)
        start = content.rindex(f"{RUN}/{name}".encode()) - 46
        (size,) = struct.unpack_from("<I", content, start + 20)
        for field in fields:
            struct.pack_into("<I", content, start + field, (size + by) % 2**32)

        assert wrong_in(tmp_path, bytes(content)), name
        if by == 2**31 and len(fields) == 2:
            assert_refused(tmp_path, bytes(content), "overlap|must have at most")
    assert list(alone.iterdir()) == []


def _encrypted(content: bytearray, entry: int, local: int) -> None:
    content[entry + 8] |= 1
    content[local + 6] |= 1


def _compressed_in_an_unknown_way(content: bytearray, entry: int, local: int) -> None:
    struct.pack_into("<H", content, entry + 10, 99)
    struct.pack_into("<H", content, local + 8, 99)


def _beginning_after_the_end(content: bytearray, _: int, local: int) -> None:
    """The length of a local header's extra field moves where its file begins."""
    struct.pack_into("<H", content, local + 28, 0xFFFF)


def test_headers_that_lie_are_refused_or_a_mismatch(exported: Exported, tmp_path: Path) -> None:
    for change in (_encrypted, _compressed_in_an_unknown_way):
        assert_refused(tmp_path, patched_members(exported.first, change))
    assert wrong_in(tmp_path, patched_members(exported.first, _beginning_after_the_end))


def test_more_files_than_a_bundle_may_have_are_refused(
    exported: Exported, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    count = len(TEXTS) + len(EVIDENCE)
    monkeypatch.setattr(bundle_reader, "MEMBERS", count)
    assert replayed(tmp_path, exported.first).matched

    monkeypatch.setattr(bundle_reader, "MEMBERS", count - 1)
    assert_refused(tmp_path, exported.first, f"expected 1 to {count - 1} files, got {count}")


@pytest.mark.parametrize("name", TEXTS)
def test_a_huge_text_is_refused_before_it_is_read(
    files: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    longest = max(len(files[text]) for text in TEXTS)
    monkeypatch.setattr(bundle_reader, "RECORD_BYTES", longest)
    assert replayed(tmp_path, packed(files)).matched

    huge = {**files, name: bytes(longest + 1)}
    assert_refused(
        tmp_path, packed(huge), f"{name} must have at most {longest} bytes, got {longest + 1}"
    )


def test_a_folder_that_is_not_the_one_of_the_run_is_refused(
    exported: Exported, files: Files, tmp_path: Path
) -> None:
    entries = entries_of(files)
    entries[-1] = (zipfile.ZipInfo(f"{LATE_RUN}/sources/volumes.csv"), entries[-1][1])
    for content, problem in (
        (archived(entries), "expected the folder of one run, got 2"),
        (packed(files, "2024-09-16-007"), f"the folder of run {RUN}, got 2024-09-16-007"),
        (packed(unpacked(exported.second)), f"the folder of run {LATE_RUN}, got {RUN}"),
    ):
        assert_refused(tmp_path, content, problem)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        pytest.param(b"", "cannot be read as a bundle", id="nothing"),
        pytest.param(b"this is no archive" * 100, "cannot be read as a bundle", id="text"),
        pytest.param(b"PK\x05\x06" + bytes(18), "1 to 1000 files, got 0", id="an empty archive"),
        pytest.param(b"PK\x03\x04", "cannot be read as a bundle", id="a beginning"),
        pytest.param(b"PK\x05\x06", "cannot be read as a bundle", id="an end"),
    ],
)
def test_what_is_no_bundle_is_refused(tmp_path: Path, content: bytes, problem: str) -> None:
    assert_refused(tmp_path, content, problem)


@pytest.mark.parametrize("is_large", [False, True])
def test_a_directory_past_the_limit_is_refused_before_it_is_read(
    *, is_large: bool, tmp_path: Path
) -> None:
    """The end announces it, that of large archives (ZIP64) too."""
    size = 1 << 20
    directory = bytes(size)
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 1, 1, 10 if is_large else size, 0, 0)
    if is_large:
        large = struct.pack("<4sQ2H2L4Q", b"PK\6\6", 44, 45, 45, 0, 0, 1, 1, size, 0)
        end = large + struct.pack("<4sLQL", b"PK\6\7", 0, size, 1) + end

    assert_refused(tmp_path, directory + end, "at most 256,000 bytes, got 1,048,576")


def test_two_ends_that_do_not_agree_are_refused(tmp_path: Path) -> None:
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 1, 1, 10, 0, 0)
    locator = struct.pack("<4sLQL", b"PK\6\7", 0, 7, 1)

    assert_refused(tmp_path, bytes(100) + locator + end, "two ends that do not agree")


def test_a_bundle_that_is_not_there_or_a_folder_is_refused(tmp_path: Path) -> None:
    for path in (tmp_path / "nowhere.zip", tmp_path):
        with pytest.raises(Refused, match="cannot be read as a bundle"):
            operations.replay_bundle(path, ())


def test_a_bundle_cut_anywhere_is_refused(exported: Exported, tmp_path: Path) -> None:
    size = len(exported.first)
    for end in (*range(0, size, 997), *range(size - 30, size)):
        assert_refused(tmp_path, exported.first[:end])


@pytest.mark.parametrize(
    ("front", "end"),
    [(b"#!/bin/sh\n", b"\0\0"), (b"", b"\0\0harm"), (b"", struct.pack("<H", 4) + b"harm")],
    ids=["in front", "at the end", "as a comment"],
)
def test_what_does_not_belong_to_the_archive_is_refused(
    exported: Exported, tmp_path: Path, front: bytes, end: bytes
) -> None:
    """A bundle has one form: one that carries anything else is not what was exported."""
    assert exported.first.endswith(b"\0\0")
    assert_refused(tmp_path, front + exported.first[:-2] + end)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The bundle of the published example."""
    folder = tmp_path_factory.mktemp("small")
    record_in(folder / "ledger", request_of(PUBLISHED, folder / "in"))
    return export(folder / "ledger", RUN)


def contents_of(content: bytes) -> dict[str, range]:
    """Return where the content of each file is in an archive."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        starts = {info: info.header_offset + 30 + len(info.filename) for info in archive.infolist()}
        for info, start in starts.items():
            assert content[start : start + info.file_size] == archive.read(info)
    return {
        info.filename.partition("/")[2]: range(start, start + info.file_size)
        for info, start in starts.items()
    }


def test_a_byte_of_a_file_flipped_in_the_archive_is_found_and_its_file_is_named(
    small: bytes, alone: Path, tmp_path: Path
) -> None:
    """The archive has a checksum of each file: the first byte, the last one, and one in 512."""
    for name, offsets in contents_of(small).items():
        for at in {*offsets[::512], offsets[-1]}:
            wrong = wrong_in(tmp_path, flipped(small, at))
            assert name in wrong or (name, wrong) == ("run.json", {"bundle.zip"}), (name, at)
    assert list(alone.iterdir()) == []


@pytest.mark.parametrize("part", ["local headers", "directory"])
def test_any_byte_of_the_archive_flipped_is_refused_or_found_or_means_nothing(
    small: bytes, alone: Path, tmp_path: Path, part: str
) -> None:
    """Nothing is written but a temporary folder, which is gone afterwards."""
    contents = contents_of(small)
    inside = {at for offsets in contents.values() for at in offsets}
    directory = max(inside) + 1
    span = range(directory) if part == "local headers" else range(directory, len(small))
    before, whole = {alone, tmp_path / "bundle.zip"}, unpacked(small)
    for at in span:
        if at not in inside:
            wrong_in(tmp_path, flipped(small, at), whole=whole)
            assert list(alone.iterdir()) == [], at
            assert set(tmp_path.iterdir()) == before, at


def test_the_proof_in_a_bundle_is_right_by_hand(exported: Exported) -> None:
    """RFC 9162, without `tlog.merkle`: the third leaf, after the charter's and the first run's."""
    files = unpacked(exported.second)
    proof = LogProof.parse(files["run.json.tlog-proof"].decode())
    checkpoint = open_checkpoint(proof.note, [exported.key]).checkpoint
    charter = next(opened(exported.ledger).trail())
    entries = [canonical(charter), unpacked(exported.first)["run.json"], files["run.json"]]
    leaves = [hashlib.sha256(b"\0" + entry).digest() for entry in entries]
    before = hashlib.sha256(b"\1" + leaves[0] + leaves[1]).digest()

    assert (proof.index, checkpoint.size, proof.hashes) == (2, 3, (before,))
    assert checkpoint.root == hashlib.sha256(b"\1" + before + leaves[2]).digest()
    assert files["checkpoint"] == proof.note


@pytest.fixture(params=["first", "second"])
def folder(request: pytest.FixtureRequest, exported: Exported, tmp_path: Path) -> Path:
    """A bundle unpacked as an auditor does it; the first has a break, the second is net of it."""
    with zipfile.ZipFile(io.BytesIO(getattr(exported, request.param))) as archive:
        archive.extractall(tmp_path)
    (unpacked_to,) = tmp_path.iterdir()
    return unpacked_to


def commands_of(folder: Path, beginning: str) -> list[str]:
    """The commands that the README gives, by how they begin."""
    lines = (folder / "README.txt").read_text("utf-8").splitlines()
    return [line.strip() for line in lines if line.strip().startswith(beginning)]


def shell(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    # DuckDB's program is installed beside Python.
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        ["sh", "-c", command],  # noqa: S607 - every system has it.
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PATH": path},
    )


def test_the_readmes_command_for_the_evidence_works(folder: Path) -> None:
    (command,) = commands_of(folder, "sha256sum -c")
    record = read_run((folder / "run.json").read_bytes())

    done = shell(command, folder)

    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [f"{file.name}: OK" for file in record.evidence]
    (folder / "pools.parquet").write_bytes(b"")
    assert shell(command, folder).returncode != 0


def test_the_readmes_command_for_the_leaf_works(folder: Path) -> None:
    (command,) = commands_of(folder, "{ printf")
    lines = (folder / "README.txt").read_text("utf-8").splitlines()
    given = lines[lines.index(f"     {command}") + 2].strip()

    done = shell(command, folder)

    assert done.stdout.split()[0] == given
    assert given == merkle.leaf_hash((folder / "run.json").read_bytes()).hex()


def test_the_readmes_key_is_the_logs(folder: Path, exported: Exported) -> None:
    (command,) = commands_of(folder, "lottery replay")

    assert command == f"lottery replay FILE.zip --key '{exported.key}'"


def test_the_statement_runs_in_duckdbs_own_program_as_the_readme_says(folder: Path) -> None:
    (command,) = commands_of(folder, "duckdb")

    done = shell(command, folder)

    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) > pq.read_table(folder / "allocations.parquet").num_rows
