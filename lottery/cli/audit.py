"""`lottery replay`, `verify`, `export`, `keys`, `cosign`, `trail`: whether it holds."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.console import Console

from lottery import operations
from lottery.audit.replay import Engine, Replayed
from lottery.audit.verify_log import Fault
from lottery.cli import exits, text
from lottery.cli.backend import Backend
from lottery.cli.opening import open_backend, open_local_backend
from lottery.cli.shell import (
    FromOption,
    JsonOption,
    KeyOption,
    LedgerOption,
    ServerOption,
    ToOption,
    read_dates,
    read_keys,
    reporting,
    shell_of,
)
from lottery.errors import RunNotFound
from lottery.ledger.trail import TrailEntry, system_identity
from lottery.tlog.keys import VerifierKey, create_key_file, read_key_file

BUNDLE_SUFFIX: Final = ".zip"


@reporting
def replay(
    context: typer.Context,
    run: Annotated[
        list[str] | None, typer.Argument(metavar="RUN…", help="Runs, latest, or bundles (.zip).")
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="Every recorded run.")] = False,
    first: FromOption = None,
    last: ToOption = None,
    engine: Annotated[
        Engine, typer.Option(help="What computes: the compiled loop, or one SQL statement.")
    ] = Engine.COMPILED,
    key: KeyOption = None,
    ledger: LedgerOption = None,
    server: ServerOption = None,
    as_json: JsonOption = False,
) -> None:
    """Compute recorded runs again from their evidence and compare every value.

    A bundle needs no ledger; with --key its proof must be by that key.

    Exit codes: 0 all match, 3 no bundle, 6 something differs.
    """
    shell = shell_of(context, ledger, server, as_json=as_json)
    if sum((bool(run), every, first is not None or last is not None)) != 1:
        raise typer.BadParameter("name runs or bundles, or --all, or --from and --to")
    dates = read_dates(first, last)
    keys = read_keys(key)
    bundles = [name for name in run or () if name.endswith(BUNDLE_SUFFIX)]
    if keys and not bundles:
        raise typer.BadParameter("--key goes with a bundle; verify takes it for a ledger")
    results = []
    if run and len(bundles) == len(run):
        with shell.progress(len(bundles)) as step:
            for replayed in (_replay_bundle(name, keys, engine) for name in bundles):
                step(f"replayed {replayed.run}")
                results.append(replayed)
    else:
        with open_backend(shell.common) as backend:
            count = len(run) if run else sum(1 for _ in backend.runs(*dates))
            if not count and any(dates):
                raise RunNotFound("", "no run is recorded between those dates")
            replays = (
                _replay_named(backend, run, keys, engine)
                if run
                else backend.replay_dates(*dates, engine)
            )
            with shell.progress(count) as step:
                for replayed in replays:
                    step(f"replayed {replayed.run}")
                    results.append(replayed)
    differing = [replayed for replayed in results if not replayed.matched]
    document = {
        "replayed": len(results),
        "matched": len(results) - len(differing),
        "mismatches": [
            dataclasses.asdict(mismatch)
            for replayed in differing
            for mismatch in replayed.mismatches
        ],
    }
    shell.say(document, text.printer(_show_replays, results))
    raise typer.Exit(exits.MISMATCH if differing else exits.DONE)


@reporting
def verify(
    context: typer.Context,
    key: KeyOption = None,
    ledger: LedgerOption = None,
    server: ServerOption = None,
    as_json: JsonOption = False,
) -> None:
    """Check the ledger itself: its log, its signed heads, every file of its evidence.

    With --key, as an auditor: the log must be that key's, and no private key is expected here. A
    second --key is another signer's, who must have signed a head.

    Exit codes: 0 sound, 6 not.
    """
    shell = shell_of(context, ledger, server, as_json=as_json)
    keys = read_keys(key)
    with open_backend(shell.common) as backend, shell.progress() as step:
        faults = list(backend.verify(keys, lambda run, _, of: step(f"looked at {run}", of)))
    document = {"sound": not faults, "faults": [dataclasses.asdict(fault) for fault in faults]}
    shell.say(document, text.printer(_show_faults, faults))
    raise typer.Exit(exits.MISMATCH if faults else exits.DONE)


@reporting
def export(
    context: typer.Context,
    run: Annotated[str, typer.Argument(help="The run, as 2024-09-16-001, or latest.")],
    file: Annotated[Path, typer.Argument(metavar="FILE.zip", help="The bundle to write.")],
    ledger: LedgerOption = None,
    server: ServerOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write a run's bundle: its evidence, record and proof, which replay anywhere."""
    shell = shell_of(context, ledger, server, as_json=as_json)
    if file.suffix != BUNDLE_SUFFIX:
        raise typer.BadParameter(f"{file}: a bundle is called FILE{BUNDLE_SUFFIX}")
    with open_backend(shell.common) as backend, shell.progress(1) as step:
        step("writing the bundle")
        exported = backend.export(run, file)
    size = file.stat().st_size
    shell.say(
        {"run": exported, "file": str(file), "bytes": size},
        lambda console: console.print(f"Run {exported} is in {file}: {size:,} bytes"),
    )


@reporting
def keys(
    context: typer.Context,
    make: Annotated[
        Path | None,
        typer.Option("--make", metavar="FILE", help="Make a private key in this new file."),
    ] = None,
    name: Annotated[
        str | None, typer.Option(metavar="NAME", help="The name of the key to make.")
    ] = None,
    ledger: LedgerOption = None,
    server: ServerOption = None,
    as_json: JsonOption = False,
) -> None:
    """Print the log's public key, or make a key for another signer or another ledger."""
    shell = shell_of(context, ledger, server, as_json=as_json)
    if (make is None) != (name is None):
        raise typer.BadParameter("--make and --name go together")
    if make is not None and name is not None:
        made = create_key_file(make, name).verifier
        shell.say({"origin": made.name, "public_key": str(made)}, lambda out: _print_key(out, made))
        return
    with open_backend(shell.common) as backend:
        whose = backend.public_keys()
    shell.say(
        {"origin": whose.origin, "public_key": str(whose.key)},
        lambda out: _print_key(out, whose.key),
    )


@reporting
def cosign(
    context: typer.Context,
    key: Annotated[Path, typer.Option(metavar="FILE", help="The other signer's private key.")],
    ledger: LedgerOption = None,
    server: ServerOption = None,
    as_json: JsonOption = False,
) -> None:
    """Add another signature to the log's latest head, after deriving the log again.

    Exit codes: 0 signed, 6 the log is not what was signed before.
    """
    shell = shell_of(context, ledger, server, as_json=as_json)
    signer = read_key_file(key)
    head = operations.cosign(open_local_backend(shell.common).ledger(), signer, system_identity())
    note = head.note.decode("utf-8")
    shell.say(
        {"tree_size": head.tree_size, "signed_by": signer.name, "checkpoint": note},
        lambda out: out.print(note, end="", soft_wrap=True),
    )


@reporting
def trail(
    context: typer.Context,
    ledger: LedgerOption = None,
    server: ServerOption = None,
    as_json: JsonOption = False,
) -> None:
    """List who did what to the ledger, and when."""
    shell = shell_of(context, ledger, server, as_json=as_json)
    entries = list(operations.trail(open_local_backend(shell.common).ledger()))
    shell.say(
        {"entries": [entry.as_json() for entry in entries]}, text.printer(_show_trail, entries)
    )


def _replay_named(
    backend: Backend, names: list[str], keys: list[VerifierKey], engine: Engine
) -> Iterator[Replayed]:
    for name in names:
        if name.endswith(BUNDLE_SUFFIX):
            yield _replay_bundle(name, keys, engine)
        else:
            yield backend.replay_run(name, engine)


def _replay_bundle(name: str, keys: list[VerifierKey], engine: Engine) -> Replayed:
    return operations.replay_bundle(Path(name), keys, engine=engine)


def _print_key(console: Console, key: VerifierKey) -> None:
    console.print(str(key), soft_wrap=True)


def _show_replays(console: Console, results: list[Replayed]) -> None:
    for replayed in results:
        text.show_replayed(console, replayed)
    matched = sum(replayed.matched for replayed in results)
    console.print(f"{len(results)} replayed, {matched} matched", style="bold")


def _show_faults(console: Console, faults: list[Fault]) -> None:
    for fault in faults:
        console.print(f"{fault.where}: {fault.problem}", style="red", soft_wrap=True)
    told = f"{len(faults)} fault{'s' if len(faults) != 1 else ''}" if faults else "sound"
    console.print(f"The ledger is {told}" if not faults else f"Not sound: {told}", style="bold")


def _show_trail(console: Console, entries: list[TrailEntry]) -> None:
    made = text.table("when (UTC)", "what", "of", "outcome", "who", "software")
    for entry in entries:
        made.add_row(
            entry.at[:19].replace("T", " "),
            entry.operation,
            entry.subject,
            entry.outcome,
            f"{entry.by.name} on {entry.by.host}",
            entry.software.version,
        )
    console.print(made)
