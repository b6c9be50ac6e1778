"""The audit page's values: what is shown of a run, what is left out, and that it is proven."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from lottery import operations
from lottery.audit.bundle import ProvenRun
from lottery.audit.report import account_page as account_page_module
from lottery.audit.report import pool_section
from lottery.audit.report import run_page as run_page_module
from lottery.audit.report.account_page import AccountPage, account_page
from lottery.audit.report.pool_section import LeftOut
from lottery.audit.report.request import PageRequest, Supersession
from lottery.audit.report.run_page import RunPage, run_page
from lottery.errors import LedgerDamaged, NotInRun, ProofInvalid, Refused
from lottery.ledger.commit import Ledger
from lottery.ledger.entry import as_json
from lottery.method.methodology import ZeroHit
from lottery.method.odds import pool_odds
from lottery.operations.exports import export_run
from lottery.operations.proofs import proven_run
from lottery.tlog.checkpoint import add_signature
from lottery.tlog.keys import SigningKey
from tests.builders import (
    AAPL,
    FULL,
    GE,
    GOOGL,
    META,
    REQUESTER,
    TESTER,
    SmallDay,
    notice,
    opened,
    position,
    record_in,
    request_of,
)

KNOWN = Supersession(is_known=True)


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> Ledger:
    """The full day, recorded."""
    folder = tmp_path_factory.mktemp("reported")
    record_in(folder / "ledger", request_of(FULL, folder / "in"))
    return opened(folder / "ledger")


@pytest.fixture(scope="module")
def run(ledger: Ledger) -> ProvenRun:
    return proven(ledger)


def proven(ledger: Ledger) -> ProvenRun:
    """Return the latest run; its folder is the ledger's own, and stays."""
    with proven_run(ledger, "latest") as run:
        return run


def recorded(day: SmallDay, tmp_path: Path) -> ProvenRun:
    record_in(tmp_path / "ledger", request_of(day, tmp_path / "in"))
    return proven(opened(tmp_path / "ledger"))


def report_of(run: ProvenRun, **asked: object) -> RunPage:
    return run_page(run, PageRequest(**asked), KNOWN)  # type: ignore[arg-type]


def series_shown(report: RunPage) -> list[str]:
    return [pool.working.series for pool in report.shown]


def test_a_small_day_is_shown_whole(run: ProvenRun) -> None:
    report = report_of(run)
    assert series_shown(report) == [AAPL, GE, GOOGL, META]
    assert [pool["series"] for pool in report.pools] == series_shown(report)
    assert report.pool_count == 4
    nothing = LeftOut(count=0, assigned_quantity=0)
    assert report.shown_left_out == report.pools_left_out == report.breaks_left_out == nothing
    published = report.shown[0]
    assert [
        (one.account, one.assigned_quantity, len(one.numbers_hit))
        for one in published.working.accounts
    ] == [("1046", 3, 1), ("1047", 7, 1), ("1048", 0, 0)]
    assert published.hit_left_out == nothing


def test_a_broken_pool_has_its_accounts_and_no_ribbon(run: ProvenRun) -> None:
    broken = report_of(run).shown[1]
    assert broken.ribbon is None
    assert [one.account for one in broken.working.accounts] == ["0815", "904", "9038415"]
    assert [one.reason for one in report_of(run).breaks] == ["EXCEEDS_SHORT"]


def test_a_pool_that_nobody_is_in_is_shown_with_nobody(tmp_path: Path) -> None:
    day = SmallDay(
        notices=[notice("A1", AAPL, 10), notice("A2", GE, 1)], positions=[position(GE, "1", 1)]
    )
    nobody, sound = report_of(recorded(day, tmp_path)).shown
    assert (nobody.working.break_reason, nobody.working.accounts) == ("NO_POSITION", ())
    assert sound.ribbon is not None


def test_the_proof_is_that_of_the_record(ledger: Ledger, run: ProvenRun) -> None:
    proof = report_of(run).proof
    assert (proof.log_index, proof.tree_size) == (1, 2)
    assert proof.key == str(operations.public_keys(ledger).key)
    assert proof.text == run.proof.text()
    assert proof.entry == run.canonical.decode()


def test_the_proof_leaves_out_the_signatures_of_others(run: ProvenRun) -> None:
    other = SigningKey.generate("example.org/witness")
    cosigned = replace(run, proof=replace(run.proof, note=add_signature(run.proof.note, other)))
    assert cosigned.proof.note != run.proof.note
    assert report_of(cosigned).proof == report_of(run).proof


def test_the_entry_is_on_no_page_that_is_masked_or_about_one_account(run: ProvenRun) -> None:
    assert report_of(run, mask_accounts=True).proof.entry is None
    assert page_of_account(run, "1047").proof.entry is None


def test_a_record_that_is_not_in_the_log_gets_no_page(run: ProvenRun) -> None:
    with pytest.raises(ProofInvalid):
        report_of(replace(run, canonical=run.canonical + b" "))


def test_evidence_that_was_changed_gets_no_page(tmp_path: Path) -> None:
    changed = recorded(FULL, tmp_path)
    path = changed.directory / "pools.parquet"
    path.chmod(0o600)
    path.write_bytes(path.read_bytes()[:-1] + b"!")
    with pytest.raises(LedgerDamaged, match=r"pools\.parquet is not what was recorded"):
        report_of(changed)
    with pytest.raises(LedgerDamaged):
        account_page(changed, "1046", PageRequest(account="1046"), KNOWN)


def many_pools(count: int) -> SmallDay:
    """Pool n has n contracts assigned of 2 n; every tenth is a break."""
    names = {size: f"X     240920C{size:08d}" for size in range(1, count + 1)}
    return SmallDay(
        notices=[notice(f"N{size}", name, size) for size, name in names.items()],
        positions=[
            position(name, account, size if size % 10 else 0)
            for size, name in names.items()
            for account in ("1046", "1047")
        ],
    )


def test_of_many_pools_those_asked_for_come_first_then_breaks_then_the_largest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_page_module, "POOLS_SHOWN", 5)
    monkeypatch.setattr(run_page_module, "BROKEN_POOLS_SHOWN", 2)
    monkeypatch.setattr(run_page_module, "POOLS_LISTED", 8)
    monkeypatch.setattr(run_page_module, "BREAKS_LISTED", 3)
    run = recorded(many_pools(60), tmp_path)

    report = report_of(run, series=("X     240920C00000007",))

    def sizes(series: list[str]) -> list[int]:
        return [int(one[-8:]) for one in series]

    assert sizes(series_shown(report)) == [7, 10, 20, 59, 60]
    assert sizes([pool["series"] for pool in report.pools]) == [7, 10, 20, 30, 57, 58, 59, 60]
    assert [pool["anchor"] for pool in report.pools] == [
        *("pool-1", "pool-2", "pool-3"),
        *(None, None, None),
        *("pool-4", "pool-5"),
    ]
    everything = sum(range(1, 61))
    assert report.shown_left_out == LeftOut(count=55, assigned_quantity=everything - 156)
    assert report.pools_left_out == LeftOut(count=52, assigned_quantity=everything - 301)
    assert sizes([one.series for one in report.breaks]) == [10, 20, 30]
    assert report.breaks_left_out == LeftOut(count=3, assigned_quantity=150)


def test_every_pool_asked_for_is_shown_however_many(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_page_module, "POOLS_SHOWN", 2)
    monkeypatch.setattr(run_page_module, "POOLS_LISTED", 2)
    asked = tuple(f"X     240920C{size:08d}" for size in range(1, 6))
    report = report_of(recorded(many_pools(9), tmp_path), series=asked)
    assert series_shown(report) == list(asked)
    assert len(report.pools) == 5


def test_series_without_a_pool_are_all_named(run: ProvenRun) -> None:
    missing = ("ZZZ   240920C00000001", AAPL, "ZZZ   240920C00000002")
    with pytest.raises(NotInRun, match="ZZZ   240920C00000001', 'ZZZ   240920C00000002"):
        report_of(run, series=missing)


@pytest.mark.parametrize(("assigned_quantity", "hit_left_out"), [(4, 0), (90, 83)])
def test_of_a_large_pool_the_accounts_hit_come_first_with_their_neighbors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, assigned_quantity: int, hit_left_out: int
) -> None:
    monkeypatch.setattr(pool_section, "ACCOUNTS_LISTED", 8)
    monkeypatch.setattr(pool_section, "FEWEST_OF_A_POOL", 8)
    day = SmallDay(
        notices=[notice("A1", AAPL, assigned_quantity)],
        positions=[position(AAPL, str(account), 1) for account in range(1, 101)],
    )
    (pool,) = report_of(recorded(day, tmp_path)).shown
    # Fraction 0.4314 of 100 is 43, which is the number of account 43.
    assert pool.working.first_hit == 43
    assert [int(one.account) for one in pool.working.accounts] == [1, *range(42, 48), 100]
    assert pool.working.accounts_left_out == 92
    assert pool.hit_left_out == LeftOut(count=hit_left_out, assigned_quantity=hit_left_out)


def page_of_account(run: ProvenRun, account: str, **asked: object) -> AccountPage:
    request = PageRequest(account=account, **asked)  # type: ignore[arg-type]
    return account_page(run, account, request, KNOWN)


def test_an_account_has_its_positions_its_numbers_and_its_odds(run: ProvenRun) -> None:
    about = page_of_account(run, "1047")
    assert (about.account, about.pool_count, about.assigned_quantity) == ("1047", 1, 7)
    (shown,) = about.shown
    assert [one.account for one in shown.working.accounts] == ["1047"]
    expected = pool_odds([30, 30, 5], assigned_quantity=10, zero_hit=ZeroHit.WRAP).accounts[1]
    assert shown.odds == expected


@pytest.mark.parametrize("account", ["1046", "1048"])
def test_the_odds_of_the_first_and_the_last_account_are_those_of_the_whole_pool(
    run: ProvenRun, account: str
) -> None:
    (shown,) = [one for one in page_of_account(run, account).shown if one.odds is not None]
    whole = pool_odds([30, 30, 5], assigned_quantity=10, zero_hit=ZeroHit.WRAP)
    assert shown.odds == whole.accounts[0 if account == "1046" else 2]


def test_an_account_of_a_break_has_no_numbers_and_no_odds(run: ProvenRun) -> None:
    (shown,) = page_of_account(run, "904").shown
    assert (shown.ribbon, shown.odds, shown.working.break_reason) == (None, None, "EXCEEDS_SHORT")


def test_nothing_that_people_wrote_is_on_an_accounts_page(tmp_path: Path) -> None:
    first = recorded(FULL, tmp_path)
    request = request_of(
        FULL.renamed("B"), tmp_path / "b", supersedes=[first.record.run], reason="account 1046"
    )
    record_in(tmp_path / "ledger", request)
    about = page_of_account(proven(opened(tmp_path / "ledger")), "1047")
    assert about.record.supersedes == (first.record.run,)
    assert (about.record.reason, about.record.sources) == (None, ())


def test_an_account_is_shown_in_the_series_asked_for_alone(tmp_path: Path) -> None:
    run = recorded(many_pools(9), tmp_path)
    asked = ("X     240920C00000003",)
    about = page_of_account(run, "1046", series=asked)
    assert [one.working.series for one in about.shown] == list(asked)
    assert about.pool_count == 9
    with pytest.raises(NotInRun, match=r"account '1046' is in no pool of series 'ZZZ"):
        page_of_account(run, "1046", series=("ZZZ   240920C00000001",))
    with pytest.raises(NotInRun, match=r"account '99' is in no pool"):
        page_of_account(run, "99")


def test_of_many_positions_those_with_the_most_contracts_are_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(account_page_module, "POSITIONS_SHOWN", 3)
    monkeypatch.setattr(account_page_module, "POSITIONS_LISTED", 5)
    about = page_of_account(recorded(many_pools(9), tmp_path), "1046")
    most = sorted((one.accounts[0].assigned_quantity for one in about.listed), reverse=True)
    assert len(about.shown) == 3
    assert len(about.listed) == 5
    assert about.listed_left_out.count == 4
    total = sum(most) + about.listed_left_out.assigned_quantity
    assert total == about.assigned_quantity


def test_a_page_is_in_the_trail_and_names_no_account(tmp_path: Path) -> None:
    record_in(tmp_path / "ledger", request_of(FULL, tmp_path / "in"))
    there = opened(tmp_path / "ledger")
    operations.report(there, "latest", PageRequest(), REQUESTER)
    operations.report(there, "latest", PageRequest(account="1046"), REQUESTER)
    entries = [as_json(entry) for entry in list(there.trail())[-2:]]
    assert [(one["type"], one["subject"], one["outcome"]) for one in entries] == [
        ("report", "2024-09-16-001", "a page about the run"),
        ("report", "2024-09-16-001", "a page about one account"),
    ]


def test_a_bundle_that_does_not_prove_its_run_gets_no_page(ledger: Ledger, tmp_path: Path) -> None:
    path = tmp_path / "run.zip"
    with path.open("w+b") as file:
        export_run(ledger, "latest", file, TESTER)
    page = operations.report_bundle(path, (), PageRequest(), Supersession(is_known=False))
    assert "cannot say whether the run was superseded" in page.html
    content = path.read_bytes()
    offset = content.index(b"PAR1") + 100
    path.write_bytes(content[:offset] + bytes([content[offset] ^ 1]) + content[offset + 1 :])
    with pytest.raises(LedgerDamaged, match=r"run\.zip: "):
        operations.report_bundle(path, (), PageRequest(), KNOWN)
    path.write_bytes(b"no bundle")
    with pytest.raises(Refused):
        operations.report_bundle(path, (), PageRequest(), KNOWN)
