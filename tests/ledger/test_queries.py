"""What the rules rest on is proved: a chain that is broken is damage, and never an answer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import sqlalchemy as sa

from lottery.errors import (
    REQUEST_ID_REUSED,
    Conflict,
    LedgerDamaged,
    LotteryError,
    ProofInvalid,
    RunNotFound,
)
from lottery.ledger import log, queries
from lottery.ledger.draft import RunKey
from lottery.ledger.entry import Charter, Entry, canonical, digest_of
from lottery.ledger.run_record import RunRecord, Superseding
from lottery.ledger.schema import ENTRIES, REQUESTS, RUNS
from tests.builders import DATE, NEXT_DATE
from tests.ledger.test_log import KEY, LOG, tables
from tests.vectors.make import ENTRIES as GOLDEN
from tests.vectors.make import RECORD

NOW = "2024-09-16T23:00:00.000000Z"
A, B, C = (f"2024-09-16-00{number}" for number in range(1, 4))
CHARTER = GOLDEN["charter"]
assert isinstance(CHARTER, Charter)
FIRST = replace(CHARTER, holds_from=None, previous=None, public_key=str(KEY.verifier))
LATER = replace(
    CHARTER, holds_from=NEXT_DATE, previous=digest_of(canonical(FIRST)), public_key=None
)


def chained() -> list[Entry]:
    """Return a charter, and three runs of a date, of which the second supersedes the first."""
    entries: list[Entry] = [FIRST, LATER]
    previous = None
    for number, run in enumerate((A, B, C)):
        entries.append(
            replace(
                RECORD,
                run=run,
                previous=previous,
                request_id=f"request-{number}",
                content_sha256=f"{number}" * 64,
                supersedes=(A,) if run == B else (),
            )
        )
        previous = digest_of(canonical(entries[-1]))
    return entries


def head_of(connection: sa.Connection, entries: list[Entry]) -> log.Head:
    head = log.EMPTY
    for entry in entries:
        head = log.append(connection, LOG, head, entry, canonical(entry), KEY)
    return head


def test_the_runs_of_a_date_are_walked_along_their_chain() -> None:
    with tables() as connection:
        entries = chained()
        head = head_of(connection, entries)

        found = queries.proved_runs_of_date(connection, LOG, head, "2024-09-16")

        assert list(found.records) == entries[2:]
        assert found.last_digest == digest_of(canonical(entries[-1]))
        assert [one.run for one in found.standing(Superseding())] == [B, C]
        assert [one.run for one in found.standing(Superseding(runs=(C,), reason="x"))] == [B]
        assert (found.superseded_by(), found.counts(C), found.counts("x")) == ({A: B}, True, False)
        until_a, until_c = found.until(A), found.until(C)
        assert ([one.run for one in until_a.records], until_a.superseded_by()) == ([A], {})
        assert until_a.last_digest == digest_of(canonical(entries[2]))
        assert until_c == found
        assert queries.stored_leaf(connection, "latest") == (4, canonical(entries[4]))
        other = queries.proved_runs_of_date(connection, LOG, head, "2024-09-17")
        assert (other.entries, other.last_digest) == ((), None)
        with pytest.raises(RunNotFound):
            queries.stored_leaf(connection, "2024-09-17-001")


def changed(number: int, **given: object) -> Callable[[sa.Connection], None]:
    """Return what replaces an entry by one of other values."""

    def change(connection: sa.Connection) -> None:
        entry = chained()[number]
        assert isinstance(entry, RunRecord)
        encoded = canonical(replace(entry, **given))  # type: ignore[arg-type]
        connection.execute(
            sa.update(ENTRIES).where(ENTRIES.c.log_index == number).values(entry=encoded)
        )

    return change


def done(statement: sa.Executable) -> Callable[[sa.Connection], None]:
    def change(connection: sa.Connection) -> None:
        connection.execute(statement)

    return change


BROKEN: dict[str, Callable[[sa.Connection], None]] = {
    "a run is missing": done(sa.delete(RUNS).where(RUNS.c.run == B)),
    "another entry is named": done(sa.update(RUNS).where(RUNS.c.run == B).values(log_index=99)),
    "an entry that is no run": done(sa.update(RUNS).where(RUNS.c.run == B).values(log_index=0)),
    "another order": done(sa.update(RUNS).where(RUNS.c.run == A).values(sequence=9)),
    "another date": done(sa.update(RUNS).where(RUNS.c.run == C).values(business_date="2024-09-17")),
    "another id": done(sa.update(RUNS).where(RUNS.c.run == C).values(run="2024-09-17-001")),
    "an id more": done(
        sa.insert(RUNS).values(
            run="2024-09-16-009",
            log_index=1,
            business_date="2024-09-17",
            sequence=9,
            content_sha256="",
            composite="",
        )
    ),
    "no previous one": changed(3, previous=None),
    "another previous one": changed(3, previous="00" * 32),
    "another run": changed(3, run=C),
    "another reason": changed(3, reason="another"),
    "the last one has another reason": changed(4, reason="another"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_chain_that_is_broken_is_damage(name: str) -> None:
    with tables() as connection:
        head = head_of(connection, chained())
        BROKEN[name](connection)

        with pytest.raises((LedgerDamaged, ProofInvalid)):
            queries.proved_runs_of_date(connection, LOG, head, "2024-09-16")


def test_a_run_after_the_end_of_the_signed_tree_is_damage() -> None:
    with tables() as connection:
        entries = chained()
        head_of(connection, entries)

        for size in range(1, 5):
            signed = log.Head(tree_size=size, note=log.note_of(connection, size), compact_range=())
            with pytest.raises(LedgerDamaged, match=f"among {size} signed entries, got index 4"):
                queries.proved_runs_of_date(connection, LOG, signed, "2024-09-16")


def test_a_known_request_is_found_by_its_id_and_by_its_content() -> None:
    with tables() as connection:
        head_of(connection, chained())

        def found(request_id: str, content: str) -> object:
            key = RunKey(request_id=request_id, content_sha256=content * 64)
            one = queries.recorded_run(connection, key, NOW)
            return one and (one.record.run, one.is_named, one.superseded_by, one.already_recorded)

        assert found("request-0", "0") == (A, True, B, True)
        assert found("another", "0") == (A, False, B, True)
        assert found("another", "2") == (C, False, None, True)
        assert found("another", "9") is None
        with pytest.raises(Conflict, match="has already recorded run 2024-09-16-001") as caught:
            found("request-0", "9")
        assert caught.value.reason == REQUEST_ID_REUSED
        connection.execute(sa.update(REQUESTS).values(run="2024-09-16-777"))
        with pytest.raises(LotteryError):
            found("request-0", "0")


def test_charters_are_a_chain_and_the_last_one_that_holds_is_in_force() -> None:
    with tables() as connection:
        with pytest.raises(LedgerDamaged, match="expected a charter as the first entry, got none"):
            queries.charters(connection)
        head_of(connection, chained())

        found = queries.charters(connection)

        assert [charter for _, charter in found] == [FIRST, LATER]
        assert queries.charter_in_force(found, DATE)[1] == FIRST
        assert queries.charter_in_force(found, NEXT_DATE)[1] == LATER
        for number, entry in ((1, replace(LATER, previous="00" * 32)), (1, FIRST), (0, LATER)):
            connection.execute(
                sa.update(ENTRIES)
                .where(ENTRIES.c.log_index == number)
                .values(entry=canonical(entry))
            )
            with pytest.raises(LedgerDamaged, match="expected a charter after"):
                queries.charters(connection)
        connection.execute(
            sa.update(ENTRIES).where(ENTRIES.c.log_index == 0).values(entry=canonical(RECORD))
        )
        with pytest.raises(LedgerDamaged, match="got another entry"):
            queries.charters(connection)
