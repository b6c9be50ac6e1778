"""The same request at one time, or again after a fault: one run, published, with its breaks."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from lottery import operations
from lottery.errors import LedgerUnfinished
from lottery.ledger.commit import Ledger
from lottery.ledger.publish import published_size
from lottery.ledger.run_record import GROSS, RunRecord, Superseding
from tests.builders import FULL, PUBLISHED, made, opened, request_of_wire

SIZE_AFTER_A_RUN = 2


def test_the_same_command_publishes_what_is_committed_and_repeats_its_breaks(
    tmp_path: Path,
) -> None:
    made(tmp_path / "ledger")
    request = request_of_wire(FULL, as_arrow=True)
    ledger = opened(tmp_path / "ledger")

    def refuse(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(ledger.ports.objects), "put", refuse)
        with pytest.raises(LedgerUnfinished, match="committed and not published yet"):
            operations.run_lottery(ledger, request)
    assert published_size(ledger.ports.objects) < SIZE_AFTER_A_RUN

    again = operations.run_lottery(opened(tmp_path / "ledger"), request)

    assert again.already_recorded
    assert [broken.reason for broken in again.breaks] == ["EXCEEDS_SHORT"]
    assert published_size(ledger.ports.objects) == SIZE_AFTER_A_RUN


def test_other_request_ids_of_one_content_are_answered_by_its_run_and_stay_its_own(
    tmp_path: Path,
) -> None:
    ledger = made(tmp_path / "ledger")
    request = request_of_wire(PUBLISHED, as_arrow=True)
    first = operations.run_lottery(ledger, replace(request, request_id="one"))

    second = operations.run_lottery(ledger, replace(request, request_id="two"))

    assert (second.record.run, second.already_recorded) == (first.record.run, True)
    named = [entry.request_id for entry in ledger.trail() if entry.type == "request"]
    assert named == ["two"]


@pytest.mark.parametrize("positions_basis", [None, GROSS])
def test_a_request_that_another_process_records_meanwhile_is_answered_by_that_run(
    tmp_path: Path, positions_basis: str | None
) -> None:
    request = replace(request_of_wire(PUBLISHED, as_arrow=True), positions_basis=positions_basis)
    if positions_basis is not None:
        # Gross positions that suffice once, and not when the run's own assignment is taken off.
        request = replace(
            request_of_wire(
                replace(PUBLISHED, notices=[{**PUBLISHED.notices[0], "quantity": 60}]),
                as_arrow=True,
            ),
            positions_basis=positions_basis,
        )
    made(tmp_path / "ledger")
    elsewhere = opened(tmp_path / "ledger")

    class Raced(Ledger):
        """A ledger in which the run is recorded right before its standing runs are read."""

        raced = False

        def standing(self, business_date: str, superseding: Superseding) -> list[RunRecord]:
            if not self.raced:
                Raced.raced = True
                operations.run_lottery(elsewhere, request)
            return super().standing(business_date, superseding)

    ours = Raced(elsewhere.ports, key_file=elsewhere.key_file)

    answered = operations.run_lottery(ours, request)

    assert (answered.record.run, answered.already_recorded) == ("2024-09-16-001", True)
    assert [record.run for record in elsewhere.iterate()] == ["2024-09-16-001"]
