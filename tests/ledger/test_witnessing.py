"""Witnesses of the ledger's log: they cosign what is published, and find an older copy out.

The witnesses are real ones over HTTP on loopback.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from lottery import operations
from lottery.errors import WitnessAhead
from lottery.ledger import witnessing
from lottery.ledger.commit import Ledger
from lottery.ledger.publish import CHECKPOINT, witnessed_name
from lottery.operations.ledgers import open_ledger
from lottery.tlog.cosignature import cosignatures_of
from lottery.tlog.policy import Policy
from lottery.tlog.witness import Witness
from lottery.tlog.witness_client import Collected, collect_cosignatures
from tests.builders import PUBLISHED, made, opened, settings_of
from tests.ledger.contract.places import entries_in, heads_in, record, runs_in
from tests.ledger.ledgers import META_ONLY
from tests.tlog.witnessed import key_of, serving

NOBODY = "http://127.0.0.1:1"


@dataclass
class Witnessed:
    """A ledger with a policy: the witness W answers, and nobody else."""

    ledger: Path
    policy: Path
    urls: dict[str, str]
    warnings: list[str] = field(default_factory=list)

    def ask_all(self, *names: str) -> None:
        keys = {name: key_of(name).verifier for name in names}
        lines = [f"witness {name} {keys[name]} {self.urls.get(name, NOBODY)}" for name in names]
        lines += [f"group all all {' '.join(names)}", "quorum all", ""]
        self.policy.write_text("\n".join(lines), "utf-8")

    def opened(self, ledger: Path | None = None) -> Ledger:
        settings = settings_of(ledger or self.ledger, witness_policy=self.policy)
        return open_ledger(settings, warn=self.warnings.append)


@pytest.fixture
def witnessed(tmp_path: Path) -> Iterator[Witnessed]:
    ledger = tmp_path / "ledger"
    key = operations.public_keys(made(ledger)).key
    with serving(Witness(key_of("W"), [key], tmp_path / "witness")) as url:
        place = Witnessed(ledger, tmp_path / "policy", {"W": url})
        place.ask_all("W")
        yield place


def is_cosigned(ledger: Ledger, note: bytes) -> bool:
    """Return whether the log signed a note, and W cosigned it."""
    keys = [operations.public_keys(ledger).key, key_of("W").verifier]
    return [one.key.name for one in cosignatures_of(note, keys)] == [key_of("W").name]


def test_what_is_recorded_is_published_with_cosignatures(witnessed: Witnessed) -> None:
    ledger = witnessed.opened()

    record(ledger, PUBLISHED)

    checkpoint = ledger.ports.objects.get(CHECKPOINT)
    assert is_cosigned(ledger, checkpoint)
    assert ledger.ports.objects.get(witnessed_name(2)) == checkpoint
    # The head of the charter was cosigned too, before the run's was signed.
    assert is_cosigned(ledger, ledger.ports.objects.get(witnessed_name(1)))
    # What the log itself signed stays as it was.
    assert checkpoint.startswith(heads_in(ledger)[-1])
    assert witnessed.warnings == []


def test_a_witness_that_is_away_stops_no_run_and_is_told(witnessed: Witnessed) -> None:
    witnessed.ask_all("W", "away")
    ledger = witnessed.opened()

    record(ledger, PUBLISHED)

    assert ledger.ports.objects.get(CHECKPOINT) == heads_in(ledger)[-1]
    before, after = witnessed.warnings
    assert before.startswith("the head of 1 entries has too few cosignatures: W: cosigned; away: ")
    assert after.startswith("the head of 2 entries has too few cosignatures: W: cosigned; away: ")


def test_a_copy_that_is_older_than_what_a_witness_saw_signs_nothing(
    witnessed: Witnessed, tmp_path: Path
) -> None:
    shutil.copytree(witnessed.ledger, tmp_path / "older")
    record(witnessed.opened(), PUBLISHED)
    older = witnessed.opened(tmp_path / "older")
    entries = entries_in(older)

    with pytest.raises(WitnessAhead, match="it has cosigned size 2, the log knows 1") as caught:
        record(older, META_ONLY)

    assert (caught.value.witness_size, caught.value.log_size) == (2, 1)
    assert (entries_in(older), runs_in(older)) == (entries, [])


def test_another_history_of_the_same_size_is_found_by_the_witness(
    witnessed: Witnessed, tmp_path: Path
) -> None:
    shutil.copytree(witnessed.ledger, tmp_path / "other")
    record(witnessed.opened(), PUBLISHED)
    record(opened(tmp_path / "other"), META_ONLY)
    other = witnessed.opened(tmp_path / "other")

    with pytest.raises(WitnessAhead):
        record(other, PUBLISHED)

    assert len(entries_in(other)) == 2


def test_a_cosigned_head_that_cannot_be_written_is_told_and_written_later(
    witnessed: Witnessed, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = witnessed.opened()

    def full(name: str, content: bytes) -> None:
        if name.startswith("log/witnessed/"):
            raise OSError(28, "No space left on device")
        create(name, content)

    create = ledger.ports.objects.create
    monkeypatch.setattr(type(ledger.ports.objects), "create", lambda _, *given: full(*given))
    record(ledger, PUBLISHED)
    monkeypatch.undo()

    assert runs_in(ledger) != []
    assert [warning.partition(":")[0] for warning in witnessed.warnings] == [
        "the cosigned head is not published"
    ] * 2
    record(ledger, META_ONLY, cycle=2)
    assert is_cosigned(ledger, ledger.ports.objects.get(CHECKPOINT))


def test_a_head_that_is_the_latest_no_more_is_cosigned_and_not_put_first(
    witnessed: Witnessed, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = witnessed.opened()

    def overtaken(*given: Any, **named: Any) -> Collected:
        record(opened(witnessed.ledger), PUBLISHED)
        return collect_cosignatures(*given, **named)

    monkeypatch.setattr(witnessing, "collect_cosignatures", overtaken)
    policy = Policy.parse(witnessed.policy.read_bytes())
    witnessing.cosign_head(ledger.ports, policy, witnessed.warnings.append)

    assert is_cosigned(ledger, ledger.ports.objects.get(witnessed_name(1)))
    assert ledger.ports.objects.get(CHECKPOINT) == heads_in(ledger)[1]
