"""Streams that were sent before: the same bytes, no more of them than was said, whole ones only."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lottery.intake.arrow import read_arrow_table
from lottery.v1 import lottery_service_pb2 as pb
from server.streams import SentStreams
from tests.builders import PUBLISHED
from tests.server.calls import Stubs, called, run_day


class Maker:
    """Makes streams of messages of ten bytes and counts how often it was asked."""

    def __init__(self, *letters: str) -> None:
        self.letters = letters
        self.asked = 0

    def __call__(self) -> Iterable[pb.StreamAllocationsResponse]:
        self.asked += 1
        for letter in self.letters:
            yield pb.StreamAllocationsResponse(arrow_allocations=letter.encode() * 8)


def sent(streams: SentStreams, key: str, make: Maker) -> str:
    """The letters that a stream's messages came with."""
    wires = list(streams.messages(key, make))
    assert all(len(wire) == 10 for wire in wires)
    messages = [pb.StreamAllocationsResponse.FromString(wire) for wire in wires]
    return "".join(message.arrow_allocations[:1].decode() for message in messages)


def test_what_was_sent_is_sent_again() -> None:
    streams, make = SentStreams(20), Maker("a", "b")

    assert [sent(streams, "one", make) for _ in range(3)] == ["ab"] * 3
    assert make.asked == 1


def test_every_key_has_a_stream_of_its_own() -> None:
    streams = SentStreams(100)

    assert sent(streams, "one", Maker("a")) == "a"
    assert sent(streams, "other", Maker("b")) == "b"
    assert sent(streams, "one", Maker("c")) == "a"


@pytest.mark.parametrize("most_bytes", [0, 19])
def test_a_stream_that_is_too_large_is_not_kept(most_bytes: int) -> None:
    streams, make = SentStreams(most_bytes), Maker("a", "b")

    assert [sent(streams, "one", make) for _ in range(2)] == ["ab"] * 2
    assert make.asked == 2


def test_the_stream_asked_for_least_recently_goes_first() -> None:
    streams, again = SentStreams(20), Maker("x")
    for key in ("old", "new"):
        sent(streams, key, Maker(key[0]))
    sent(streams, "old", again)

    sent(streams, "third", Maker("t"))

    assert sent(streams, "old", again) == "o"
    assert sent(streams, "new", again) == "x"
    assert again.asked == 1


def test_a_stream_that_ended_early_is_not_kept() -> None:
    streams, make = SentStreams(100), Maker("a", "b")
    for _ in streams.messages("one", make):
        break  # The caller went away.

    assert sent(streams, "one", make) == "ab"
    assert make.asked == 2


def test_a_stream_that_failed_is_not_kept() -> None:
    streams = SentStreams(100)

    def fail() -> Iterator[pb.StreamAllocationsResponse]:
        yield pb.StreamAllocationsResponse(arrow_allocations=b"a" * 8)
        raise OSError("the disk went away")

    with pytest.raises(OSError, match="the disk"):
        sent(streams, "one", fail)  # type: ignore[arg-type]

    assert sent(streams, "one", Maker("b")) == "b"


def test_two_callers_at_once_both_get_the_stream_and_it_is_kept_once() -> None:
    streams, make = SentStreams(40), Maker("a", "b")
    first = streams.messages("one", make)
    next(first)
    assert sent(streams, "one", make) == "ab"
    assert len(list(first)) == 1

    sent(streams, "other", Maker("c", "d"))  # Counted twice, the first would have to go.
    assert sent(streams, "one", make) == "ab"
    assert make.asked == 2


def streamed(stubs: Stubs, **asked: Any) -> list[bytes]:
    """The Arrow payloads of a request."""
    request = pb.StreamAllocationsRequest(
        **{"run": "latest", "format": pb.ROW_FORMAT_ARROW, **asked}
    )
    return [
        message.arrow_allocations + message.arrow_pools
        for message in stubs.lottery.StreamAllocations(request)
    ]


def test_a_server_sends_a_run_again_from_memory_and_an_account_from_its_evidence(
    tmp_path: Path,
) -> None:
    with called(tmp_path / "ledger") as stubs:
        run_day(stubs, PUBLISHED)
        first = streamed(stubs)
        pools = streamed(stubs, content=pb.ROW_CONTENT_POOLS)
        for path in (tmp_path / "ledger").rglob("*.parquet"):
            path.chmod(0o600)
            path.write_bytes(b"")

        assert streamed(stubs) == first
        assert streamed(stubs, content=pb.ROW_CONTENT_POOLS) == pools != first
        with pytest.raises(Exception, match="is not what was recorded"):
            streamed(stubs, account="1046")
    rows = [row for payload in first for row in read_arrow_table(payload).to_pylist()]
    assert [row["assigned_quantity"] for row in rows] == [3, 7, 0]


def test_a_server_that_keeps_nothing_reads_the_evidence_every_time(tmp_path: Path) -> None:
    with called(tmp_path / "ledger", kept_stream_bytes=0) as stubs:
        run_day(stubs, PUBLISHED)
        assert streamed(stubs) == streamed(stubs)
        for path in (tmp_path / "ledger").rglob("allocations.parquet"):
            path.chmod(0o600)
            path.write_bytes(b"")

        with pytest.raises(Exception, match="is not what was recorded"):
            streamed(stubs)


def test_the_next_run_is_another_stream(tmp_path: Path) -> None:
    with called(tmp_path / "ledger") as stubs:
        first = run_day(stubs, PUBLISHED)
        before = streamed(stubs)
        one_more = replace(PUBLISHED, notices=[{**PUBLISHED.notices[0], "quantity": 11}])
        run_day(stubs, one_more, supersedes=["latest"], reason="OCC corrected it")

        assert streamed(stubs) != before
        assert streamed(stubs, run=first.run.run) == before
