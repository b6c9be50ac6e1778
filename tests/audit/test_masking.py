"""`--mask-accounts`: no account number is anywhere on a page that leaves the firm."""

from __future__ import annotations

import random
import re
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lottery import operations
from lottery.audit.report.masking import AccountNames, masked_record
from lottery.audit.report.request import PageRequest
from lottery.ledger.commit import Ledger
from lottery.ledger.run_record import Identity, RunRecord
from lottery.method.seed import RuleWarning
from tests.audit.pages import read_page
from tests.builders import (
    AAPL,
    GE,
    META,
    PUBLISHED,
    REQUESTER,
    SmallDay,
    notice,
    opened,
    position,
    record_in,
    request_of_files,
    write_files,
)

SERIES = (AAPL, GE, META)


def recorded(day: SmallDay, folder: Path, word: str) -> Ledger:
    """A day whose every text that people choose has a word in it: file names, ids, reasons."""
    paths = {
        role: path.rename(path.with_name(f"{role} of {word}{path.suffix}"))
        for role, path in write_files(day, folder / "in").items()
    }
    request = request_of_files(paths, request_id=f"the-request-of-{word}")
    record_in(folder / "ledger", request)
    again = write_files(day.renamed(f"again-{word}-"), folder / "again")
    later = request_of_files(again, supersedes=["2024-09-16-001"], reason=f"{word} was wrong")
    who = Identity(kind="certificate", name=f"CN={word}", host=f"backend-{word}")
    record_in(folder / "ledger", replace(later, requested_by=who))
    return opened(folder / "ledger")


@st.composite
def days(draw: st.DrawFn) -> SmallDay:
    """A day of long account numbers, which are no quantity's digits by chance; with breaks."""
    numbers = random.Random(draw(st.integers(0, 2**32)))  # noqa: S311 - no lottery is drawn with it.
    accounts = [
        str(numbers.randrange(10**11, 10**12)).zfill(draw(st.integers(12, 16)))
        for _ in range(draw(st.integers(1, 12)))
    ]
    positions = [
        position(series, account, draw(st.integers(1, 40)))
        for series in SERIES
        for account in accounts
        if draw(st.booleans())
    ]
    notices = [
        notice(f"N{index}-{accounts[0]}", series, draw(st.integers(1, 60)))
        for index, series in enumerate(SERIES)
    ]
    return SmallDay(notices=notices, positions=positions or [position(AAPL, accounts[0], 1)])


@given(day=days())
@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_no_account_number_of_the_day_is_on_a_masked_page(day: SmallDay) -> None:
    """Law: whatever a day holds and whatever people wrote, no account's number leaks."""
    accounts = sorted({str(row["account"]) for row in day.positions})
    with TemporaryDirectory() as folder:
        ledger = recorded(day, Path(folder), accounts[0])
        for run in ("2024-09-16-001", "latest"):
            pages = [operations.report(ledger, run, PageRequest(mask_accounts=True), REQUESTER)]
            assigned = [str(row["account"]) for row in day.positions if row["series"] in SERIES]
            request = PageRequest(account=assigned[0], mask_accounts=True)
            pages.append(operations.report(ledger, run, request, REQUESTER))
            for page in pages:
                for account in accounts:
                    assert account not in page.html
                    assert account.lstrip("0") not in page.html
                    assert account[-6:] not in page.html


@given(day=days())
@settings(max_examples=4, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_no_other_account_is_on_an_accounts_page(day: SmallDay) -> None:
    """Law: a page about one account holds no other account's number."""
    accounts = sorted({str(row["account"]) for row in day.positions})
    with TemporaryDirectory() as folder:
        ledger = recorded(day, Path(folder), accounts[-1])
        own = accounts[0]
        page = operations.report(ledger, "2024-09-16-001", PageRequest(account=own), REQUESTER)
        assert own in page.html
        for other in accounts[1:]:
            assert other not in page.html


@pytest.mark.parametrize("account", [None, "1046"])
def test_who_asked_and_on_which_host_is_not_on_a_masked_page(
    tmp_path: Path, account: str | None
) -> None:
    ledger = recorded(PUBLISHED, tmp_path, "Smith")
    shown = operations.report(ledger, "latest", PageRequest(account=account), REQUESTER).html
    masked = operations.report(
        ledger, "latest", PageRequest(account=account, mask_accounts=True), REQUESTER
    ).html
    for text in ("CN=Smith", "backend-Smith"):
        assert text in shown
        assert text not in masked
    assert "Requested by" not in masked


def test_one_label_is_one_account_on_the_whole_page(tmp_path: Path) -> None:
    day = SmallDay(
        notices=[notice("N1", AAPL, 1), notice("N2", META, 1)],
        positions=[
            position(AAPL, "111122223333", 3),
            position(AAPL, "444455556666", 4),
            position(META, "444455556666", 5),
        ],
    )
    ledger = recorded(day, tmp_path, "nobody")
    page = operations.report(ledger, "latest", PageRequest(mask_accounts=True), REQUESTER)
    rows = re.findall(r"(A\d+) (\d) \d to", read_page(page.html).text)
    assert rows == [("A1", "3"), ("A2", "4"), ("A2", "5")]


def test_an_unmasked_page_names_accounts_by_their_numbers() -> None:
    assert AccountNames(masked=False)("1046") == "1046"
    masked = AccountNames(masked=True)
    assert [masked(one) for one in ("1046", "1047", "1046")] == ["A1", "A2", "A1"]


@pytest.fixture
def record(tmp_path: Path) -> RunRecord:
    return recorded(PUBLISHED, tmp_path, "1046").get("latest")


def test_in_what_people_wrote_every_digit_is_masked(record: RunRecord) -> None:
    masked = masked_record(record)
    assert masked.reason == "•••• was wrong"
    assert (masked.requested_by.name, masked.requested_by.host) == ("", "")
    assert masked.supersedes == record.supersedes
    assert [file.sha256 for file in masked.evidence] == [file.sha256 for file in record.evidence]


def test_a_warning_that_is_not_known_to_name_no_account_loses_its_digits(
    record: RunRecord,
) -> None:
    def warning(code: str) -> RuleWarning:
        return RuleWarning(code=code, rule="S2", message="Z901803 and 1046")

    masked = masked_record(replace(record, warnings=(warning("ZERO_ASK"), warning("OTHER"))))
    assert [one.message for one in masked.warnings] == ["Z901803 and 1046", "Z•••••• and ••••"]
