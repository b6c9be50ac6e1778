"""Verify the evidence: every file that an entry names, and no other in its folder."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from lottery.audit.fault import Fault, Stray, Tally
from lottery.errors import escape
from lottery.ledger.evidence import what_is_wrong
from lottery.ledger.ports import Objects
from lottery.ledger.publish import EVIDENCE, FOLDER_PARTS, run_file
from lottery.ledger.run_record import RunRecord


def evidence_faults(
    objects: Objects, date: str, runs: Sequence[tuple[RunRecord, bytes]], tally: Tally
) -> Iterator[Fault]:
    """Yield the faults of the evidence of a date's runs.

    Args:
        objects: Where it is.
        date: The date.
        runs: Every run of the date: its record and its entry.
        tally: Counts what is read.
    """
    there = {found.name: found.size for found in objects.list(f"{EVIDENCE}/{date}")}
    named: dict[str, set[str]] = {}
    for record, encoded in runs:
        named.setdefault(record.folder, set()).update(
            {run_file(record), *(f"{record.folder}/{file.name}" for file in record.evidence)}
        )
        yield from _run_faults(objects, record, encoded, there)
        tally.runs += 1
        for name in named[record.folder] & there.keys():
            tally.add(there[name])
    unnamed: set[str] = set()
    for name in sorted(there):
        parts = name.split("/")
        folder = "/".join(parts[:FOLDER_PARTS])
        if len(parts) <= FOLDER_PARTS:
            yield Fault(where=escape(name), problem="expected a folder of evidence, got a file")
        elif folder not in named:
            unnamed.add(folder)
        elif name not in named[folder]:
            yield Stray(where=escape(name), problem="expected no such file: no entry names it")
    tally.unnamed_folders += len(unnamed)


def other_dates(objects: Objects, dates: set[str], tally: Tally) -> Iterator[Fault]:
    """Yield what lies beside the folders of evidence; count the folders of dates without a run."""
    unnamed: set[str] = set()
    for found in objects.list(EVIDENCE):
        parts = found.name.split("/")
        if len(parts) > FOLDER_PARTS and parts[1] not in dates:
            unnamed.add("/".join(parts[:FOLDER_PARTS]))
        elif len(parts) <= FOLDER_PARTS and parts[1] not in dates:
            problem = "expected a folder of evidence, got a file"
            yield Fault(where=escape(found.name), problem=problem)
    tally.unnamed_folders += len(unnamed)


def _run_faults(
    objects: Objects, record: RunRecord, encoded: bytes, there: dict[str, int]
) -> Iterator[Fault]:
    """Yield files of a run that are missing or changed."""
    try:
        with objects.local(record.folder) as folder:
            for file in record.evidence:
                name = f"{record.folder}/{file.name}"
                wrong = what_is_wrong(folder, file) if name in there else "the file is missing"
                if wrong is not None:
                    problem = f"{wrong}; expected sha256 {file.sha256} of {file.size} bytes"
                    yield Fault(where=name, problem=problem)
        if objects.get(run_file(record)) != encoded:
            problem = "expected the entry that the log has, got other bytes"
            yield Fault(where=run_file(record), problem=problem)
    except FileNotFoundError:
        yield Fault(where=run_file(record), problem="the file is missing")
    except OSError as error:
        yield Fault(where=record.folder, problem=error.strerror or escape(str(error)))
