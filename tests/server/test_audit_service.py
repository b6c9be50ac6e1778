"""The audit's calls: proofs, bundles, verification, refusals."""

from __future__ import annotations

import datetime as dt
import hashlib
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from concurrent import futures
from pathlib import Path
from typing import Any, Final

import grpc
import pytest

from lottery.audit.bundle_reader import opened_bundle
from lottery.ledger.entry import read_entry
from lottery.tlog import merkle
from lottery.tlog.checkpoint import Checkpoint, open_checkpoint
from lottery.tlog.keys import SigningKey, VerifierKey
from lottery.tlog.proof import LogProof
from lottery.v1 import audit_service_pb2 as pb
from lottery.v1 import lottery_pb2, lottery_service_pb2
from server import audit_service, responses
from server.app import LotteryServer
from tests.builders import (
    AAPL,
    FULL,
    META,
    PUBLISHED,
    SmallDay,
    assert_sound,
    evidence_in,
    notice,
    position,
)
from tests.cli.calls import write_lock
from tests.server.calls import (
    Failure,
    Stubs,
    called,
    connected,
    date_of,
    failure_in,
    failure_of,
    failure_to,
    folder_of,
    run_count,
    run_day,
    trail_of,
)
from tests.services.waiting import wait_until

RUN: Final = "2024-09-16-001"
SOMEBODYS_KEY: Final = str(SigningKey(name="example.org/other", seed=b"o" * 32).verifier)
NOT_FOUND: Final = (grpc.StatusCode.NOT_FOUND, "RUN_NOT_FOUND")
INVALID: Final = (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_INPUT")
SIZES: Final = 10
"""Entries of the log: a charter and nine runs."""


def days() -> Iterator[SmallDay]:
    """Days of one date that contradict none of each other."""
    for number in range(1, SIZES):
        series = f"AAPL  240920C{number:08d}"
        yield SmallDay(
            notices=[notice(f"A{number}", series, 1)], positions=[position(series, "1", 1)]
        )


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stubs]:
    """Connect to a server over a ledger of nine runs, in which nothing more is entered."""
    with called(tmp_path_factory.mktemp("log") / "ledger") as stubs:
        for day in days():
            run_day(stubs, day)
        yield stubs


@pytest.fixture(scope="module")
def replayed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stubs]:
    """Connect to a server over a ledger of nine runs, whose replays are entries of its log."""
    with called(tmp_path_factory.mktemp("replayed") / "ledger") as stubs:
        for day in days():
            run_day(stubs, day)
        yield stubs


def key_of(stubs: Stubs) -> VerifierKey:
    return VerifierKey.parse(stubs.audit.GetCheckpoint(pb.GetCheckpointRequest()).public_key)


def checkpoint_of(stubs: Stubs, note: bytes) -> Checkpoint:
    """Return a checkpoint that the log's key and no other has signed."""
    opened = open_checkpoint(note, [key_of(stubs)])
    assert opened.checkpoint.origin == key_of(stubs).name
    return opened.checkpoint


def inclusion_of(stubs: Stubs, run: str, size: int | None = None) -> pb.GetInclusionProofResponse:
    return stubs.audit.GetInclusionProof(pb.GetInclusionProofRequest(run=run, tree_size=size))


def bundle_of(stubs: Stubs, run: str = "latest") -> bytes:
    parts = stubs.audit.ExportRun(pb.ExportRunRequest(run=run))
    return b"".join(part.data for part in parts)


def record_of(stubs: Stubs, run: str) -> bytes:
    request = lottery_service_pb2.GetRunRequest(run=run)
    return stubs.lottery.GetRun(request).run.record


def tamper_with(ledger: Path, name: str) -> None:
    """Changes a bit of a file of the first run's evidence."""
    path = evidence_in(ledger, RUN) / name
    path.chmod(0o600)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


# What is answered by every method once.


def test_a_sound_ledger_is_verified(log: Stubs, empty: Stubs) -> None:
    for stubs in (log, empty):
        response = stubs.audit.VerifyLedger(pb.VerifyLedgerRequest())
        assert (response.sound, list(response.faults)) == (True, [])
        assert response.public_key == str(key_of(stubs))


def test_a_fault_is_a_result_with_its_file(stubs: Stubs, tmp_path: Path) -> None:
    run_day(stubs, FULL)
    tamper_with(tmp_path / "ledger", "pools.parquet")

    response = stubs.audit.VerifyLedger(pb.VerifyLedgerRequest())

    assert not response.sound
    (fault,) = response.faults
    assert fault.where.endswith("/pools.parquet")
    assert "expected sha256" in fault.problem


def test_the_latest_checkpoint_covers_every_entry(stubs: Stubs) -> None:
    for size, day in enumerate((PUBLISHED, PUBLISHED.later()), 2):
        run_day(stubs, day)

        response = stubs.audit.GetCheckpoint(pb.GetCheckpointRequest())

        assert response.tree_size == size
        assert checkpoint_of(stubs, response.checkpoint).size == size


def test_the_first_run_is_proved_by_its_leaf_and_the_charters(stubs: Stubs) -> None:
    run = run_day(stubs, PUBLISHED).run
    asked = lottery_service_pb2.GetCharterRequest(business_date=date_of(PUBLISHED.date))
    charter = stubs.lottery.GetCharter(asked)

    proof = inclusion_of(stubs, "latest")

    assert (proof.run, proof.log_index, proof.tree_size) == (RUN, 1, 2)
    assert proof.leaf_hash == hashlib.sha256(b"\0" + run.record).digest()
    assert list(proof.hashes) == [hashlib.sha256(b"\0" + charter.entry).digest()]
    assert run.charter == hashlib.sha256(charter.entry).hexdigest()


@pytest.mark.parametrize(
    "engine", [pb.REPLAY_ENGINE_UNSPECIFIED, pb.REPLAY_ENGINE_COMPILED, pb.REPLAY_ENGINE_SQL]
)
def test_a_run_is_replayed_by_the_engine_that_was_asked_for(
    replayed: Stubs, monkeypatch: pytest.MonkeyPatch, engine: pb.ReplayEngine.ValueType
) -> None:
    request = pb.ReplayRunRequest(run=RUN, engine=engine)
    matched = lottery_pb2.ReplayResult(run=RUN, matched=True)
    assert replayed.audit.ReplayRun(request).result == matched

    # Only one of them needs DuckDB.
    monkeypatch.setitem(sys.modules, "duckdb", None)
    if engine != pb.REPLAY_ENGINE_SQL:
        assert replayed.audit.ReplayRun(request).result == matched
        return
    for failure in (
        failure_to(replayed, request),
        failure_to(replayed, pb.ReplayRunsRequest(engine=engine)),
    ):
        assert failure.status == (grpc.StatusCode.FAILED_PRECONDITION, "ENGINE_MISSING")
        assert "duckdb>=1.4" in failure.message


# What is refused, and how it says so.


@pytest.mark.parametrize(
    "request_type", [pb.ReplayRunRequest, pb.ExportRunRequest, pb.GetInclusionProofRequest]
)
@pytest.mark.parametrize("run", ["2024-09-16-999", "yesterday"])
def test_a_run_that_is_not_recorded_is_not_found(log: Stubs, request_type: Any, run: str) -> None:
    failure = failure_to(log, request_type(run=run))

    assert failure.status == NOT_FOUND
    assert failure.domain == "lottery.v1"
    assert failure.metadata == {"run": run}


@pytest.mark.parametrize(
    "request_of_it",
    [
        pb.GetInclusionProofRequest(run="latest"),
        pb.ExportRunRequest(run="latest"),
    ],
    ids=lambda request: request.DESCRIPTOR.name,
)
def test_of_a_log_without_runs_there_is_none_to_prove(empty: Stubs, request_of_it: Any) -> None:
    failure = failure_to(empty, request_of_it)

    assert failure.status == NOT_FOUND
    assert failure.metadata == {"run": "latest"}


def invalid_fields(failure: Failure) -> list[str]:
    """Return the fields of an invalid argument."""
    assert failure.status == INVALID
    assert all(description for _, description, _ in failure.violations)
    assert failure.metadata == {"problem_count": str(len(failure.violations))}
    return failure.fields


@pytest.mark.parametrize(
    ("keys", "fields"),
    [
        ([""], ["keys[0]"]),
        (["none"], ["keys[0]"]),
        ([SOMEBODYS_KEY, SOMEBODYS_KEY[:-4]], ["keys[1]"]),
        (["none", SOMEBODYS_KEY, "none"], ["keys[0]", "keys[2]"]),
        ([SigningKey(name="example.org/other", seed=b"o" * 32).text()], ["keys[0]"]),
    ],
    ids=["nothing", "no key", "a key cut short", "two that are none", "a private key"],
)
def test_every_key_that_is_none_is_named(log: Stubs, keys: list[str], fields: list[str]) -> None:
    failure = failure_to(log, pb.VerifyLedgerRequest(keys=keys))

    assert invalid_fields(failure) == fields
    assert "PRIVATE" not in failure.message
    assert "PRIVATE" not in str(failure.violations)


@pytest.mark.parametrize("size", [-1, 0, 4, SIZES + 1, 2**63 - 1])
def test_a_tree_that_does_not_hold_the_run_is_an_invalid_argument(log: Stubs, size: int) -> None:
    failure = failure_of(lambda: inclusion_of(log, "2024-09-16-004", size))

    assert invalid_fields(failure) == ["tree_size"]


@pytest.mark.parametrize(
    ("first", "second", "field"),
    [
        (0, None, "first_size"),
        (-1, None, "first_size"),
        (0, 0, "second_size"),
        (0, 5, "first_size"),
        (5, 4, "first_size"),
        (5, 0, "second_size"),
        (5, -1, "second_size"),
        (1, SIZES + 1, "second_size"),
        (SIZES + 1, None, "first_size"),
        (SIZES + 1, SIZES + 1, "second_size"),
        (1, 2**63 - 1, "second_size"),
    ],
)
def test_sizes_out_of_order_or_beyond_the_log_are_an_invalid_argument(
    log: Stubs, first: int, second: int | None, field: str
) -> None:
    request = pb.GetConsistencyProofRequest(first_size=first, second_size=second)

    failure = failure_to(log, request)

    assert invalid_fields(failure) == [field]


def test_an_engine_that_is_none_is_an_invalid_argument(log: Stubs) -> None:
    unknown: Any = 99
    run = pb.ReplayRunRequest(run="latest", engine=unknown)
    day = pb.ReplayRunsRequest(engine=unknown)

    for failure in (
        failure_to(log, run),
        failure_to(log, day),
    ):
        assert invalid_fields(failure) == ["engine"]


def test_every_run_of_the_dates_is_replayed_by_the_statement(replayed: Stubs) -> None:
    request = pb.ReplayRunsRequest(engine=pb.REPLAY_ENGINE_SQL)

    results = [response.result for response in replayed.audit.ReplayRuns(request)]

    assert [(result.run, result.matched) for result in results] == [
        (f"2024-09-16-{number:03d}", True) for number in range(1, SIZES)
    ]


@pytest.mark.parametrize("name", ["allocations.parquet", "sources/volumes.json"])
def test_a_bundle_of_damaged_evidence_is_data_loss(tmp_path: Path, name: str) -> None:
    with called(tmp_path / "ledger") as stubs:
        run_day(stubs, PUBLISHED)
        tamper_with(tmp_path / "ledger", name)

        failure = failure_to(stubs, pb.ExportRunRequest(run=RUN))

    assert failure.status == (grpc.StatusCode.DATA_LOSS, "LEDGER_DAMAGED")
    assert f"{RUN}/{name} is not what was recorded" in failure.message


def test_while_another_process_writes_the_ledger_is_busy(tmp_path: Path) -> None:
    with called(tmp_path / "ledger", lock_seconds=0.1) as stubs:
        run_day(stubs, PUBLISHED)
        with write_lock(tmp_path / "ledger"):
            failure = failure_to(stubs, pb.ExportRunRequest(run=RUN))
            # What only reads goes on.
            assert stubs.audit.GetCheckpoint(pb.GetCheckpointRequest()).tree_size == 2
            assert inclusion_of(stubs, RUN).log_index == 1

        assert failure.status == (grpc.StatusCode.UNAVAILABLE, "LEDGER_BUSY")
        assert failure.retry_seconds == 1


def test_a_bundle_whose_export_cannot_be_entered_in_the_trail_is_not_sent(tmp_path: Path) -> None:
    with called(tmp_path / "ledger") as stubs:
        run_day(stubs, PUBLISHED)
        (tmp_path / "ledger/signing.key").unlink()

        failure = failure_to(stubs, pb.ExportRunRequest(run=RUN))

        assert failure.status == (grpc.StatusCode.FAILED_PRECONDITION, "KEY_UNUSABLE")
        assert stubs.audit.ReplayRun(pb.ReplayRunRequest(run=RUN)).result.matched


# What is answered.


def test_every_run_is_proved_in_every_tree_that_holds_it(log: Stubs) -> None:
    for index in range(1, SIZES):
        run = f"2024-09-16-{index:03d}"
        record = record_of(log, run)
        for size in range(index + 1, SIZES + 1):
            proof = inclusion_of(log, run, size)
            assert (proof.run, proof.log_index, proof.tree_size) == (run, index, size)
            assert proof.leaf_hash == merkle.leaf_hash(record)
            checkpoint = checkpoint_of(log, proof.checkpoint)
            assert checkpoint.size == size
            merkle.verify_inclusion(
                index=index,
                size=size,
                leaf_hash=proof.leaf_hash,
                proof=proof.hashes,
                root=checkpoint.root,
            )
            assert LogProof.parse(proof.proof) == LogProof(
                index=index, hashes=tuple(proof.hashes), note=proof.checkpoint
            )


def test_a_proof_without_a_size_is_in_the_latest_tree(log: Stubs) -> None:
    latest = log.audit.GetCheckpoint(pb.GetCheckpointRequest())

    proof = inclusion_of(log, "latest")

    assert (proof.run, proof.log_index) == (f"2024-09-16-{SIZES - 1:03d}", SIZES - 1)
    assert (proof.tree_size, proof.checkpoint) == (latest.tree_size, latest.checkpoint)


def test_every_tree_is_the_beginning_of_every_later_one(log: Stubs) -> None:
    roots = {
        size: checkpoint_of(log, inclusion_of(log, RUN, size).checkpoint).root
        for size in range(2, SIZES + 1)
    }
    for first, first_root in roots.items():
        for second in range(first, SIZES + 1):
            request = pb.GetConsistencyProofRequest(first_size=first, second_size=second)
            response = log.audit.GetConsistencyProof(request)
            assert (response.first_size, response.second_size) == (first, second)
            merkle.verify_consistency(
                first_size=first,
                second_size=second,
                first_root=first_root,
                second_root=roots[second],
                proof=response.hashes,
            )
        latest = log.audit.GetConsistencyProof(pb.GetConsistencyProofRequest(first_size=first))
        assert latest.second_size == SIZES


def test_the_keys_that_are_given_must_be_the_logs_and_the_signers(log: Stubs) -> None:
    own = str(key_of(log))

    assert log.audit.VerifyLedger(pb.VerifyLedgerRequest(keys=[own])).sound
    faults = log.audit.VerifyLedger(pb.VerifyLedgerRequest(keys=[own, SOMEBODYS_KEY])).faults
    (fault,) = faults
    assert "example.org/other" in f"{fault.where}: {fault.problem}"


def test_the_parts_of_a_bundle_are_the_file_that_the_command_line_writes(
    tmp_path: Path,
) -> None:
    with called(tmp_path / "ledger") as stubs:
        run_day(stubs, FULL)
        command = [sys.executable, "-m", "lottery", "--ledger", str(tmp_path / "ledger")]
        written = tmp_path / "run.zip"
        subprocess.run(
            [*command, "export", RUN, str(written)], check=True, stdout=subprocess.DEVNULL
        )

        assert bundle_of(stubs) == bundle_of(stubs, RUN) == written.read_bytes()


def test_a_bundle_larger_than_a_part_comes_in_several(
    stubs: Stubs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_day(stubs, FULL)
    whole = bundle_of(stubs)
    monkeypatch.setattr(audit_service, "BUNDLE_PART_BYTES", 1_000)

    first, *parts = stubs.audit.ExportRun(pb.ExportRunRequest(run="latest"))

    assert (first.run, first.data) == (RUN, b"")
    assert {part.run for part in parts} == {""}
    assert [len(part.data) for part in parts[:-1]] == [1_000] * (len(whole) // 1_000)
    assert b"".join(part.data for part in parts) == whole
    (tmp_path / "run.zip").write_bytes(whole)
    with zipfile.ZipFile(tmp_path / "run.zip") as archive:
        assert archive.testzip() is None
        assert f"{RUN}/run.json" in archive.namelist()
    with opened_bundle(tmp_path / "run.zip", [key_of(stubs)]) as bundle:
        assert (bundle.record.run, bundle.mismatches) == (RUN, ())


def test_a_caller_that_stops_reading_a_bundle_leaves_nothing_staged(
    server: LotteryServer, stubs: Stubs, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_day(stubs, FULL)
    before = set(folder_of(server).iterdir())
    monkeypatch.setattr(audit_service, "BUNDLE_PART_BYTES", 10)
    with connected(server.port) as other:
        stream = other.audit.ExportRun(pb.ExportRunRequest(run="latest"))
        next(stream)
        stream.cancel()

    # The entry of the export is committed before it is published.
    wait_until(lambda: stubs.audit.VerifyLedger(pb.VerifyLedgerRequest()).sound, "its entry")
    assert set(folder_of(server).iterdir()) == before


def test_a_replay_of_days_is_one_entry_of_the_trail(server: LotteryServer, stubs: Stubs) -> None:
    run_day(stubs, PUBLISHED)
    run_day(stubs, PUBLISHED.later())

    list(stubs.audit.ReplayRuns(pb.ReplayRunsRequest(business_date=date_of(PUBLISHED.date))))
    list(stubs.audit.ReplayRuns(pb.ReplayRunsRequest()))

    assert [(entry["type"], entry["subject"], entry["outcome"]) for entry in trail_of(server)] == [
        ("replay", "2024-09-16 to 2024-09-16", "1 of 1 match (compiled)"),
        ("replay", "the first date to the last date", "2 of 2 match (compiled)"),
    ]


def test_without_a_certificate_the_trail_knows_nobodys_name(
    server: LotteryServer, stubs: Stubs
) -> None:
    run_day(stubs, PUBLISHED)
    stubs.audit.ReplayRun(pb.ReplayRunRequest(run="latest"))
    bundle_of(stubs)

    entries = trail_of(server)

    assert [entry["type"] for entry in entries] == ["replay", "export"]
    for by in (entry["requested_by"] for entry in entries):
        assert (by["kind"], by["name"]) == ("local", "tester")
        assert by["host"].startswith("ipv4:127.0.0.1:")


def test_16_clients_race_to_record_the_same_notices_and_one_wins(
    server: LotteryServer, stubs: Stubs
) -> None:
    contents = [
        SmallDay(
            notices=PUBLISHED.notices,
            # Other positions, so that none is another one's repeat.
            positions=[*PUBLISHED.positions, position(AAPL, "2000", short)],
        )
        for short in range(1, 17)
    ]

    def race(day: SmallDay) -> str:
        with connected(server.port) as own:
            try:
                answer = run_day(own, day)
            except grpc.RpcError as error:
                failure = failure_in(error)
                assert failure.code is grpc.StatusCode.ALREADY_EXISTS
                assert failure.metadata == {"run": RUN}
                return failure.reason
        assert not answer.already_recorded
        return answer.run.run

    with futures.ThreadPoolExecutor(16) as clients:
        outcomes = list(clients.map(race, contents))

    assert sorted(outcomes) == [RUN] + ["NOTICE_ALREADY_ALLOCATED"] * 15
    assert run_count(stubs) == 1
    assert stubs.audit.VerifyLedger(pb.VerifyLedgerRequest()).sound
    assert stubs.audit.ReplayRun(pb.ReplayRunRequest(run="latest")).result.matched
    assert_sound(folder_of(server))


def test_16_clients_record_16_pools_and_the_log_has_each_once(stubs: Stubs) -> None:
    pools = [
        SmallDay(
            notices=[notice(f"N{number}", f"{META[:15]}{number:06d}", 1)],
            positions=[position(f"{META[:15]}{number:06d}", "1", 1)],
        )
        for number in range(1, 17)
    ]

    with futures.ThreadPoolExecutor(16) as clients:
        answers = list(clients.map(lambda day: run_day(stubs, day), pools))

    assert sorted(answer.run.run for answer in answers) == [
        f"2024-09-16-{number:03d}" for number in range(1, 17)
    ]
    assert stubs.audit.GetCheckpoint(pb.GetCheckpointRequest()).tree_size == 17
    assert stubs.audit.VerifyLedger(pb.VerifyLedgerRequest()).sound


def test_a_trail_past_one_message_comes_whole_and_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(responses, "ENTRIES_PER_MESSAGE", 2)
    with called(tmp_path / "ledger") as stubs:
        run_day(stubs, PUBLISHED)
        for _ in range(4):
            stubs.audit.ReplayRun(pb.ReplayRunRequest(run="latest"))
        messages = list(stubs.audit.StreamEntries(pb.StreamEntriesRequest()))

    assert [len(message.entries) for message in messages] == [2, 2, 1]
    entries = [entry for message in messages for entry in message.entries]
    assert [entry.type for entry in entries] == ["charter", *["replay"] * 4]
    for entry in entries[1:]:
        read = read_entry(entry.entry)
        assert entry.recorded_at.ToDatetime(dt.UTC) == dt.datetime.fromisoformat(read.recorded_at)
        assert (entry.requested_by.kind, entry.requested_by.name) == ("local", "tester")
        assert entry.requested_by.host == read.requested_by.host
