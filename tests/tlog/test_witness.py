"""A witness answers as tlog-witness says, and never cosigns two histories, whatever comes."""

from __future__ import annotations

import multiprocessing
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from http import HTTPStatus
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lottery import durable
from lottery.errors import KeyUnusable, LedgerDamaged
from lottery.tlog import witness as module
from lottery.tlog.checkpoint import Checkpoint, add_signature, open_checkpoint, sign_checkpoint
from lottery.tlog.cosignature import Cosignature, cosignatures_of
from lottery.tlog.keys import VerifierKey, encode_base64
from lottery.tlog.merkle import EMPTY_ROOT, verify_consistency
from lottery.tlog.note import SignedNote, sign_text
from lottery.tlog.witness import (
    REQUEST_SIZE_LIMIT,
    TEXT_TYPE,
    Request,
    Response,
    Witness,
    origin_hash,
)
from tests.tlog.signed import COSIGNER, LOG, ROOT, STRANGER, TIME
from tests.tlog.witnessed import SmallLog, advance, witness_in

# The requests of the witness tests of filippo.io/torchwood: a log's checkpoints of 1, 3 and 5.
SIGSUM = "sigsum.org/v1/tree/4d6d8825a6bb689d459628312889dfbb0bcd41b5211d9e1ce768b0ff0309e562"
SIGSUM_KEY = VerifierKey(
    name=SIGSUM,
    public_key=bytes.fromhex("ffdc2d4d98e4124d3feaf788c0c2f9abfd796083d1f0495437f302ec79cf100f"),
)
SIGSUM_1 = f"""\
{SIGSUM}
1
KgAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=

— {SIGSUM} \
UgIom7fPZTqpxWWhyjWduBvTvGVqsokMbqTArsQilegKoFBJQjUFAmQ0+YeSPM3wfUQMFSzVnnNuWRTYrajXpNUbIQY=
"""
SIGSUM_3 = f"""\
KgEAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=
KgIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=

{SIGSUM}
3
RcCI1Nk56ZcSmIEfIn0SleqtV7uvrlXNccFx595Iwl0=

— {SIGSUM} \
UgIom2VbtIcdFbwFAy1n7s6IkAxIY6J/GQOTuZF2ORV39d75cbAj2aQYwyJre36kezNobZs4SUUdrcawfAB8WVrx6go=
"""
SIGSUM_5 = f"""\
KgEAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=
+fUDV+k970B4I3uKrqJM4aP1lloPZP8mvr2Z4wRw2LI=
KgQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=

{SIGSUM}
5
QrtXrQZCCvpIgsSmOsah7HdICzMLLyDfxToMql9WTjY=

— {SIGSUM} \
UgIomw/EOJmWi0i1FQsOj+etB7F8IccFam/jgd6wzRns4QPVmyEZtdvl1U2KEmLOZ/ASRcWJi0tW90dJWAShei7sDww=
"""

A_LOG = SmallLog()
OTHER_HISTORY = SmallLog("another")


def files_in(directory: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(directory)): path.read_bytes()
        for path in directory.rglob("*")
        if path.is_file()
    }


def assert_refused(response: Response, status: int, message: str) -> None:
    assert (response.status, response.content_type) == (status, TEXT_TYPE)
    assert message in response.body.decode()
    assert response.body.endswith(b"\n")


def assert_size(response: Response, size: int) -> None:
    assert response == Response(
        status=HTTPStatus.CONFLICT, content_type="text/x.tlog.size", body=b"%d\n" % size
    )


@pytest.fixture
def witness(tmp_path: Path) -> Witness:
    return witness_in(tmp_path / "state")


def test_the_published_requests_are_answered_as_published(tmp_path: Path) -> None:
    witness = Witness(COSIGNER, [SIGSUM_KEY], tmp_path)
    # Bits after the last byte of base64: other witnesses read over them and find it unsigned.
    spoiled = SIGSUM_3.replace("go=", "gx=")
    unknown = SIGSUM_3.replace("e562", "e563")
    unproved = SIGSUM_3[SIGSUM_3.index("\n\n") + 1 :]
    mixed = SIGSUM_5[: SIGSUM_5.index("\n\n") + 1] + unproved

    def statuses(*bodies: str) -> list[int]:
        return [witness.add_checkpoint(body.encode(), TIME).status for body in bodies]

    assert statuses(f"old 0\n\n{SIGSUM_1}") == [200]
    assert statuses(
        f"old 1\n{unknown}",
        f"old 1\n{SIGSUM_3.replace('7s6IkAxIY6J', '7s6IkAxIY6K')}",
        f"old 1\n{spoiled}",
        f"old 1\n{unproved}",
        f"old 1\n{mixed}",
        f"old 4\n{SIGSUM_3}",
        f"old 0\n\n{SIGSUM_1}",
        f"old 3\n{SIGSUM_3}",
    ) == [404, 403, 400, 422, 422, 400, 409, 409]
    assert statuses(f"old 1\n{SIGSUM_5}", f"old 1\n{SIGSUM_3}") == [200, 409]
    assert_size(witness.add_checkpoint(f"old 1\n{SIGSUM_3}".encode(), TIME), 5)


def test_a_checkpoint_is_answered_with_the_witnesss_cosignature(witness: Witness) -> None:
    response = advance(witness, A_LOG, 0, 3)

    assert (response.status, response.content_type) == (200, TEXT_TYPE)
    note = A_LOG.note(3) + response.body
    assert cosignatures_of(note, [LOG.verifier, witness.verifier]) == (
        Cosignature(key=COSIGNER.verifier, timestamp=TIME),
    )
    assert response.body.count(b"\n") == 1


def test_what_was_cosigned_last_can_be_read(witness: Witness) -> None:
    path = origin_hash(LOG.name)
    assert_refused(witness.latest_checkpoint(path), 404, "was cosigned")

    cosigned = A_LOG.note(3) + advance(witness, A_LOG, 0, 3).body

    assert witness.latest_checkpoint(path) == Response(status=HTTPStatus.OK, body=cosigned)
    for other in ("", "..", path.upper(), path + "/", f"../{path}", origin_hash("other"), "a" * 64):
        assert_refused(witness.latest_checkpoint(other), 404, "was cosigned")


def test_a_log_grows_by_proofs_and_may_be_asked_for_again(witness: Witness) -> None:
    for old, new in [(0, 1), (1, 2), (2, 2), (2, 7), (7, 8), (8, 33), (33, 33)]:
        assert advance(witness, A_LOG, old, new).status == 200
    assert_size(advance(witness, A_LOG, 8, 33), 33)
    assert_size(advance(witness, A_LOG, 0, 34), 33)


def test_an_empty_log_is_cosigned_as_such(witness: Witness) -> None:
    assert advance(witness, A_LOG, 0, 0).status == 200
    assert advance(witness, A_LOG, 0, 0).status == 200
    wrong = sign_checkpoint(Checkpoint(origin=LOG.name, size=0, root=ROOT), LOG)
    refused = witness.add_checkpoint(b"old 0\n\n" + wrong, TIME)
    assert_refused(refused, 422, f"expected the empty tree's root {EMPTY_ROOT.hex()}")
    assert advance(witness, A_LOG, 0, 5).status == 200


NOTE_5 = A_LOG.note(5).decode()
HASH = encode_base64(ROOT)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        pytest.param("", "expected a line old <size>, got ''", id="nothing"),
        pytest.param("old 3", "expected a text, a blank line", id="no note"),
        pytest.param(f"old 3\n{NOTE_5}", "hash of the proof: expected base64", id="no empty line"),
        pytest.param(f"old 3\r\n\r\n{NOTE_5}", "hash of the proof: expected base64", id="CRLF"),
        pytest.param(f"\n\n{NOTE_5}", "expected a line old <size>", id="no old size"),
        pytest.param(f"new 3\n\n{NOTE_5}", "expected a line old <size>", id="another word"),
        pytest.param(f"old\n\n{NOTE_5}", "expected a line old <size>", id="no size"),
        pytest.param(f"old  3\n\n{NOTE_5}", "size: expected a plain decimal", id="two spaces"),
        pytest.param(f"old 03\n\n{NOTE_5}", "size: expected a plain decimal", id="leading zero"),
        pytest.param(f"old -3\n\n{NOTE_5}", "size: expected a plain decimal", id="negative"),
        pytest.param(f"old {chr(0x663)}\n\n{NOTE_5}", "a plain decimal", id="Arabic digit"),
        pytest.param(f"old 6\n\n{NOTE_5}", "an old size of at most 5, got 6", id="old too large"),
        pytest.param(f"old 3\n{HASH[:-1]}\n\n{NOTE_5}", "expected base64", id="base64 cut"),
        pytest.param(f"old 3\nAAAA\n\n{NOTE_5}", "expected 32 bytes, got 3", id="hash too short"),
        pytest.param(f"old 3\n{HASH} \n\n{NOTE_5}", "expected base64", id="space after it"),
        pytest.param(
            f"old 3\n{f'{HASH}{chr(10)}' * 64}\n{NOTE_5}", "at most 63 hashes, got 64", id="64"
        ),
        pytest.param(f"old 3\n\n{NOTE_5[:-1]}", "whole signature lines", id="note cut"),
        pytest.param(f"old 3\n\n\n{NOTE_5}", "expected", id="an empty line too many"),
        pytest.param(f"old 3\n\n{NOTE_5}".replace("\n5\n", "\n+5\n"), "tree size", id="no size"),
        pytest.param("old 3\n\n" + "x" * REQUEST_SIZE_LIMIT, "of at most 131072", id="too large"),
    ],
)
def test_what_is_no_request_is_bad(witness: Witness, body: str, message: str) -> None:
    assert_refused(witness.add_checkpoint(body.encode(), TIME), 400, message)


def test_bytes_that_are_no_text_are_bad(witness: Witness) -> None:
    assert_refused(witness.add_checkpoint(b"old 0\n\xff\n\n" + A_LOG.note(1), TIME), 400, "base64")
    assert_refused(witness.add_checkpoint(b"old 0\n\n\xff", TIME), 400, "expected UTF-8")


def test_63_hashes_and_16_large_signatures_are_a_request(witness: Witness) -> None:
    note = A_LOG.note(5)
    line = "— stranger.example/%d " + encode_base64(b"s" * 5000)
    note += b"".join((line % number).encode() + b"\n" for number in range(15))

    assert Request(old_size=3, proof=(ROOT,) * 63, note=note).encoded()
    long = Request(old_size=0, proof=(ROOT,) * 63, note=note).encoded()
    assert_refused(witness.add_checkpoint(long, TIME), 422, "expected no proof from size 0, got 63")
    assert witness.add_checkpoint(b"old 0\n\n" + note, TIME).status == 200
    kept = SignedNote.parse(witness.latest_checkpoint(origin_hash(LOG.name)).body)
    assert [each.name for each in kept.signatures] == [LOG.name, COSIGNER.name]


def test_an_unknown_log_is_not_found_before_anything_is_verified(witness: Witness) -> None:
    other = SmallLog(key=STRANGER)

    assert_refused(advance(witness, other, 0, 3), 404, "unknown log 'stranger.example'")
    assert_refused(advance(witness, other, 5, 5), 404, "unknown log")


def test_a_checkpoint_that_the_log_has_not_signed_is_forbidden(witness: Witness) -> None:
    text = SignedNote.parse(A_LOG.note(5)).text
    strangers = SignedNote(text=text, signatures=(sign_text(text, STRANGER),))
    forged = replace(SignedNote.parse(A_LOG.note(5)), text=text.replace("\n5\n", "\n6\n"))
    twice = SignedNote(text=text, signatures=(sign_text(text, LOG), sign_text(text, LOG)))
    # The old size exceeds the checkpoint's as well, which is looked at later.
    for note in (strangers, forged, twice):
        body = b"old 9\n\n" + note.encoded()
        assert_refused(witness.add_checkpoint(body, TIME), 403, "signature of")


def test_unknown_signatures_are_ignored_and_one_known_key_is_enough(tmp_path: Path) -> None:
    next_key = replace(LOG, seed=b"n" * 32)
    witness = Witness(COSIGNER, [LOG.verifier, next_key.verifier], tmp_path)

    for old, size, keys in [(0, 1, [LOG]), (1, 2, [LOG, next_key]), (2, 3, [next_key, STRANGER])]:
        note = SmallLog(key=keys[0]).note(size)
        for key in keys[1:]:
            note = add_signature(note, key)
        body = Request(old_size=old, proof=A_LOG.proof(old, size), note=note).encoded()
        assert witness.add_checkpoint(body, TIME).status == 200
    latest = witness.latest_checkpoint(origin_hash(LOG.name)).body
    assert open_checkpoint(latest, [next_key.verifier, STRANGER.verifier]).signed_by == (
        next_key.verifier,
    )


def test_a_wrong_old_size_is_answered_before_a_wrong_proof(witness: Witness) -> None:
    advance(witness, A_LOG, 0, 5)

    assert_size(advance(witness, OTHER_HISTORY, 4, 7), 5)
    assert_size(advance(witness, OTHER_HISTORY, 0, 3), 5)
    assert_refused(advance(witness, OTHER_HISTORY, 5, 7), 422, "expected the first root")


@pytest.mark.parametrize(
    "proof",
    [
        pytest.param((), id="none"),
        pytest.param(A_LOG.proof(5, 8), id="to another size"),
        pytest.param(A_LOG.proof(4, 9), id="from another size"),
        pytest.param((*A_LOG.proof(5, 9), ROOT), id="a hash too many"),
        pytest.param(A_LOG.proof(5, 9)[:-1], id="a hash too few"),
        pytest.param((ROOT, *A_LOG.proof(5, 9)[1:]), id="another hash"),
    ],
)
def test_a_wrong_proof_cannot_be_processed(witness: Witness, proof: tuple[bytes, ...]) -> None:
    advance(witness, A_LOG, 0, 5)

    refused = witness.add_checkpoint(A_LOG.request(5, 9, proof), TIME)

    assert_refused(refused, 422, "expected")
    assert_size(advance(witness, A_LOG, 0, 9), 5)


def test_from_a_size_to_itself_there_is_nothing_to_prove(witness: Witness) -> None:
    advance(witness, A_LOG, 0, 5)

    refused = witness.add_checkpoint(A_LOG.request(5, 5, [ROOT]), TIME)

    assert_refused(refused, 422, "expected a proof of 0 hashes, got 1")


def test_a_contradiction_of_the_log_is_refused_and_kept(tmp_path: Path) -> None:
    witness = witness_in(tmp_path)
    advance(witness, A_LOG, 0, 5)
    before = files_in(tmp_path)

    for history in (OTHER_HISTORY, SmallLog("a third")):
        assert_refused(advance(witness, history, 5, 5), 422, "expected the second root")

    (kept,) = files_in(tmp_path).keys() - before.keys()
    assert kept == f"{origin_hash(LOG.name)}/contradiction"
    proof = (tmp_path / kept).read_bytes()
    assert proof == OTHER_HISTORY.note(5)
    assert open_checkpoint(proof, [LOG.verifier]).checkpoint.size == 5
    assert {name: files_in(tmp_path)[name] for name in before} == before


def test_nothing_that_is_refused_changes_anything(tmp_path: Path) -> None:
    witness = witness_in(tmp_path)
    advance(witness, A_LOG, 0, 5)
    before = files_in(tmp_path)

    for old, new in [(0, 5), (4, 9), (9, 8), (6, 9)]:
        assert advance(witness, A_LOG, old, new).status in {400, 409}
    advance(witness, OTHER_HISTORY, 5, 9)
    advance(witness, SmallLog(key=STRANGER), 0, 9)

    assert files_in(tmp_path) == before


def test_a_restart_keeps_what_was_cosigned(tmp_path: Path) -> None:
    advance(witness_in(tmp_path), A_LOG, 0, 5)

    again = witness_in(tmp_path)

    assert_size(advance(again, OTHER_HISTORY, 0, 3), 5)
    assert advance(again, A_LOG, 5, 6).status == 200


def test_each_log_has_a_state_of_its_own(tmp_path: Path) -> None:
    other = SmallLog(key=STRANGER)
    witness = witness_in(tmp_path, A_LOG, other)

    assert advance(witness, A_LOG, 0, 5).status == 200
    assert advance(witness, other, 0, 3).status == 200
    assert_size(advance(witness, A_LOG, 0, 6), 5)
    assert_size(advance(witness, other, 0, 6), 3)


def test_extension_lines_are_cosigned_as_they_come(witness: Witness) -> None:
    note = A_LOG.note(3, "one", "two")

    response = witness.add_checkpoint(b"old 0\n\n" + note, TIME)

    assert open_checkpoint(note + response.body, [witness.verifier]).checkpoint.extensions == (
        "one",
        "two",
    )


def test_nothing_is_cosigned_that_is_not_on_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    witness = witness_in(tmp_path)
    advance(witness, A_LOG, 0, 5)

    def fail(path: Path, content: bytes, **options: object) -> None:
        del path, content, options
        raise OSError(28, "No space left on device", "/secret/path")

    with monkeypatch.context() as patch:
        patch.setattr(module, "write_file", fail)
        refused = advance(witness, A_LOG, 5, 6)
    assert_refused(refused, 503, "the state cannot be read or written; try again")
    assert "secret" not in refused.body.decode()
    assert refused.cause == "[Errno 28] No space left on device: '/secret/path'"
    assert advance(witness, A_LOG, 5, 6).status == 200


def test_what_was_cosigned_is_written_before_the_cosignature_is_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    witness = witness_in(tmp_path)
    written = []

    def write(path: Path, content: bytes, **options: bool) -> None:
        durable.write_file(path, content, **options)
        written.append(content)

    monkeypatch.setattr(module, "write_file", write)
    response = advance(witness, A_LOG, 0, 5)

    assert written == [A_LOG.note(5) + response.body]


def test_a_state_that_is_locked_elsewhere_is_not_waited_for_without_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    witness = witness_in(tmp_path)
    monkeypatch.setattr(module, "_LOCK_SECONDS", 0.05)

    with durable.lock_directory(tmp_path / origin_hash(LOG.name)):
        refused = advance(witness, A_LOG, 0, 5)

    assert_refused(refused, 503, "try again")
    assert refused.cause.endswith("is locked by another process")


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"", id="empty"),
        pytest.param(A_LOG.note(5)[:-1], id="cut"),
        pytest.param(A_LOG.note(5).replace(b"\n5\n", b"\n4\n"), id="another size"),
        pytest.param(SmallLog(key=STRANGER).note(5), id="another log's"),
    ],
)
def test_a_damaged_state_is_not_taken_for_none(tmp_path: Path, content: bytes) -> None:
    witness = witness_in(tmp_path)
    advance(witness, A_LOG, 0, 5)
    path = tmp_path / origin_hash(LOG.name) / "checkpoint"
    path.write_bytes(content)

    refused = advance(witness, A_LOG, 0, 5)
    assert_refused(refused, 503, "try again")
    assert refused.cause.startswith(f"{path}: expected")
    with pytest.raises(LedgerDamaged, match="checkpoint: expected"):
        witness_in(tmp_path)


def test_a_witness_may_get_another_key_and_keep_its_state(tmp_path: Path) -> None:
    advance(witness_in(tmp_path), A_LOG, 0, 5)

    again = Witness(replace(COSIGNER, seed=b"C" * 32), [LOG.verifier], tmp_path)

    assert advance(again, A_LOG, 5, 6).status == 200


def test_keys_of_the_other_type_and_no_logs_are_refused(tmp_path: Path) -> None:
    with pytest.raises(KeyUnusable, match="expected a key for cosignatures"):
        Witness(LOG, [LOG.verifier], tmp_path)
    with pytest.raises(KeyUnusable, match="expected a key for Ed25519 signatures"):
        Witness(COSIGNER, [COSIGNER.verifier], tmp_path)
    with pytest.raises(KeyUnusable, match="at least one log, got none"):
        Witness(COSIGNER, [], tmp_path)


@given(
    old=st.integers(0, 2**63 - 1),
    proof=st.lists(st.binary(min_size=32, max_size=32), max_size=63),
)
def test_a_request_is_read_as_what_it_was_written_from(old: int, proof: list[bytes]) -> None:
    """Law: Request.parse(request.encoded()) == request."""
    request = Request(old_size=old, proof=tuple(proof), note=A_LOG.note(1))

    assert Request.parse(request.encoded()) == request


@settings(
    max_examples=30,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(st.lists(st.tuples(st.booleans(), st.integers(0, 12), st.integers(0, 12)), max_size=12))
def test_all_that_a_witness_cosigned_is_one_history(
    tmp_path_factory: pytest.TempPathFactory, asked: list[tuple[bool, int, int]]
) -> None:
    """Law: of two cosigned checkpoints the later one begins with the earlier one."""
    witness = witness_in(tmp_path_factory.mktemp("state"))
    sizes: list[int] = []
    history: SmallLog | None = None

    for is_other, old, new in asked:
        log = OTHER_HISTORY if is_other else A_LOG
        if advance(witness, log, old, new).status == 200:
            assert new >= max(sizes, default=0)
            assert new == 0 or history in {None, log}
            history = log if new else history
            sizes.append(new)
    for first, second in pairwise(sizes):
        if first and history:
            verify_consistency(
                first_size=first,
                second_size=second,
                first_root=Checkpoint.parse(SignedNote.parse(history.note(first)).text).root,
                second_root=Checkpoint.parse(SignedNote.parse(history.note(second)).text).root,
                proof=history.proof(first, second),
            )


def test_of_requests_at_once_one_is_cosigned(tmp_path: Path) -> None:
    witness = witness_in(tmp_path)
    advance(witness, A_LOG, 0, 5)
    ready = threading.Barrier(8)

    def ask(number: int) -> int:
        ready.wait()
        log = A_LOG if number % 2 else OTHER_HISTORY
        old = 5 if number % 2 else 0
        return advance(witness, log, old, 6 + number).status

    with ThreadPoolExecutor(8) as pool:
        statuses = list(pool.map(ask, range(8)))

    assert sorted(statuses) == [200] + [409] * 7


def ask_in_a_process(directory: str, number: int) -> int:
    return int(advance(witness_in(Path(directory)), A_LOG, 5, 6 + number).status)


def test_of_processes_at_once_one_is_cosigned(tmp_path: Path) -> None:
    advance(witness_in(tmp_path), A_LOG, 0, 5)

    with multiprocessing.get_context("spawn").Pool(3) as pool:
        asked = [(str(tmp_path), number) for number in range(3)]
        statuses = pool.starmap(ask_in_a_process, asked)

    assert sorted(statuses) == [200, 409, 409]
