"""The fence: a database that is not the one that others have seen gets no second history."""

from __future__ import annotations

import base64
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from lottery.errors import LedgerDamaged, LotteryError
from lottery.ledger.commit import Ledger
from lottery.ledger.publish import CHECKPOINT, head_name
from lottery.operations.ledgers import LedgerSettings
from lottery.stores.sqlite import FILE as DATABASE
from tests.builders import META, PUBLISHED, TESTER, notice
from tests.ledger.contract.places import (
    Place,
    assert_whole,
    close_all,
    contents_of,
    entries_in,
    heads_in,
    record,
)
from tests.ledger.ledgers import META_ONLY
from tests.services.postgres import PostgresServer, why_not

WITHOUT_POSTGRES = why_not()


def assert_signs_nothing(ledger: Ledger, says: str) -> None:
    """Assert that nothing is signed and nothing published, by any kind of write."""
    before = heads_in(ledger), contents_of(ledger.ports.objects, "log")
    for write in (
        lambda: record(ledger, META_ONLY),
        lambda: ledger.enter("report", "latest", "made", TESTER),
        lambda: ledger.amend(lambda last: replace(last, public_key=None), lambda *_: None),
    ):
        with pytest.raises(LedgerDamaged, match=says):
            write()
    assert (heads_in(ledger), contents_of(ledger.ports.objects, "log")) == before


@pytest.mark.parametrize("commits", [1, 5])
def test_an_older_copy_of_the_database_signs_nothing_and_says_so(
    sqlite_place: Place, commits: int
) -> None:
    ledger = sqlite_place.init()
    record(ledger, PUBLISHED)
    database = Path(sqlite_place.settings.ledger) / DATABASE
    older = shutil.copy(database, database.with_name("older.db"))
    for number in range(commits):
        ledger.enter("report", f"{number}", "made", TESTER)
    newer = shutil.copy(database, database.with_name("newer.db"))
    shutil.copy(older, database)

    reopened = sqlite_place.opened()
    assert_signs_nothing(reopened, f"expected at most 2 published entries, got {2 + commits}")
    with pytest.raises(LedgerDamaged, match="the database is an older copy of itself"):
        reopened.publish()

    shutil.copy(newer, database)
    assert record(sqlite_place.opened(), META_ONLY).record.run == "2024-09-16-002"
    assert_whole(sqlite_place.opened())


def test_a_head_of_ours_with_other_bytes_ends_signing(place: Place, ledger: Ledger) -> None:
    record(ledger, PUBLISHED)
    name = head_name(2)
    ours = ledger.ports.objects.get(name)
    ledger.ports.objects.put(name, ours.replace(b"\n2\n", b"\n3\n"))

    assert_signs_nothing(ledger, "expected our head of 2 entries, got another one")

    ledger.ports.objects.put(name, ours)
    record(ledger, META_ONLY)
    assert_whole(place.opened())


def test_a_later_head_or_a_later_checkpoint_ends_signing(ledger: Ledger) -> None:
    objects = ledger.ports.objects
    ours = objects.get(CHECKPOINT)
    objects.put(head_name(2), ours)
    assert_signs_nothing(ledger, "expected no head after 1 entries, got one")
    objects.delete(head_name(2))

    objects.put(CHECKPOINT, ours.replace(b"\n1\n", b"\n7\n"))
    assert_signs_nothing(ledger, "expected at most 1 published entries, got 7")
    objects.put(CHECKPOINT, b"no checkpoint")
    assert_signs_nothing(ledger, CHECKPOINT)

    objects.put(CHECKPOINT, ours)
    record(ledger, PUBLISHED)
    assert_whole(ledger)


def test_a_checkpoint_of_our_size_and_another_root_ends_publishing(ledger: Ledger) -> None:
    objects = ledger.ports.objects
    ours = objects.get(CHECKPOINT)
    origin, size, _, *rest = ours.split(b"\n")
    objects.put(CHECKPOINT, b"\n".join([origin, size, base64.b64encode(bytes(32)), *rest]))

    with pytest.raises(LedgerDamaged, match="expected our checkpoint of 1 entries"):
        ledger.enter("report", "latest", "made", TESTER)

    objects.put(CHECKPOINT, ours)
    ledger.publish()
    assert_whole(ledger)


def test_the_log_of_another_ledger_ends_signing(
    ledger: Ledger, tmp_path_factory: pytest.TempPathFactory
) -> None:
    elsewhere = LedgerSettings(ledger=str(tmp_path_factory.mktemp("elsewhere")))
    other = Place(settings=elsewhere).init()
    for name, content in contents_of(other.ports.objects, "log").items():
        ledger.ports.objects.put(name, content)

    assert_signs_nothing(ledger, "the database is an older copy of itself, or of another ledger")


def test_no_ledger_is_made_where_another_one_is_published(place: Place) -> None:
    objects_of = place.init().ports.objects
    elsewhere = Path(place.settings.key_file or "").with_name("elsewhere")
    settings = LedgerSettings(
        ledger=str(elsewhere), objects=place.settings.objects or place.settings.ledger
    )

    with pytest.raises(LedgerDamaged, match="the database is an older copy of itself"):
        Place(settings=settings).init()
    assert len(contents_of(objects_of, "log/heads")) == 1
    with pytest.raises(LotteryError, match="no ledger at"):
        Place(settings=settings).opened()


@pytest.fixture(scope="module")
def primary() -> Iterator[PostgresServer]:
    if WITHOUT_POSTGRES is not None:
        pytest.skip(WITHOUT_POSTGRES)
    with PostgresServer(fsync=False) as server:
        yield server


@pytest.mark.parametrize(
    "promotions", [3, pytest.param(100, marks=[pytest.mark.long, pytest.mark.timeout(3_000)])]
)
def test_a_standby_that_lost_commits_signs_nothing_when_it_is_promoted(
    primary: PostgresServer, tmp_path: Path, promotions: int
) -> None:
    for number in range(promotions):
        name = f"ledger_{promotions}_{number}"
        settings = LedgerSettings(
            ledger=primary.create_database(name),
            objects=str(tmp_path / name),
            key_file=tmp_path / f"{name}.key",
        )
        ledger = Place(settings=settings).init()
        with primary.standby() as standby:
            record(ledger, PUBLISHED)
            standby.wait_until_caught_up()
            standby.stop_receiving()
            for lost in range(1 + number % 5):
                record(
                    ledger,
                    replace(META_ONLY, notices=[notice(f"L{lost}", META, 1)]),
                    positions_basis="net",
                )
            standby.promote()

            promoted = Place(settings=replace(settings, ledger=standby.url_of(name))).opened()
            assert len(entries_in(promoted)) == 2
            assert_signs_nothing(promoted, "expected at most 2 published entries")
            promoted.close()
        assert_whole(ledger)
        close_all()
        primary.drop_database(name)
