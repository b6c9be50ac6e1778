"""`lottery replay`, `verify`, `export`, `keys`, `trail`: what proves the record."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.console import Console

from lottery import operations
from lottery.cli import exits, text
from lottery.cli.backend import Backend, open_backend, open_local_backend
from lottery.cli.options import (
    BUNDLE_SUFFIX,
    FromOption,
    KeyOption,
    MakeOption,
    NameOption,
    RunArgument,
    ToOption,
    complete_run,
    read_dates,
    read_keys,
    read_new_key,
)
from lottery.cli.session import Session, command
from lottery.cli.variables import memory_limit
from lottery.errors import RunNotFound, quote
from lottery.operations.proofs import (
    Entry,
    VerifierKey,
    as_json,
    create_key_file,
)
from lottery.operations.replay import Engine, Replayed
from lottery.operations.requester import system_identity
from lottery.operations.verification import Fault, Tally
from lottery.operations.workings import wording

_ROOT_CHARACTERS: Final = 12
"""Characters of a root hash that people compare; --json has all of them."""


@command
def replay(
    session: Session,
    run: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="RUN…",
            help="Runs, or latest, or bundles (.zip).",
            autocompletion=complete_run,
        ),
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="Replay every recorded run.")] = False,
    first: FromOption = None,
    last: ToOption = None,
    engine: Annotated[
        Engine, typer.Option(help="What computes: the compiled loop, or one SQL statement.")
    ] = Engine.COMPILED,
    key: KeyOption = None,
) -> None:
    """Compute recorded runs again from their evidence and compare every value.

    A bundle needs no ledger; with --key its proof must be by that key.

    What a run or a bundle holds may need no more than LOTTERY_MEMORY_LIMIT_BYTES.

    Exit codes: 0 all match, 3 not a bundle or more than that, 6 something differs.
    """
    if sum((bool(run), every, first is not None or last is not None)) != 1:
        raise typer.BadParameter("expected runs or bundles, or --all, or --from and --to")
    dates, keys, names = read_dates(first, last), read_keys(key), run or []
    if keys and not any(map(_is_bundle, names)):
        raise typer.BadParameter("--key goes with a bundle; for a ledger use lottery verify --key")
    results: list[Replayed] = []
    replays: Iterable[Replayed]
    with open_backend(session) as backend:
        if names:
            count = len(names)
            replays = (_replay(backend, name, keys, engine) for name in names)
        else:
            count = sum(1 for _ in backend.list_runs(first=dates[0], last=dates[1]))
            if not count and any(dates):
                raise RunNotFound("", "no run is recorded between those dates")
            replays = backend.replay_dates(first=dates[0], last=dates[1], engine=engine)
        with session.progress(count) as step:
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
        "approvals": [
            as_json(replayed.approval) for replayed in results if replayed.approval is not None
        ],
    }
    session.show(document, lambda console: _show_replays(console, results))
    raise typer.Exit(exits.MISMATCH if differing else exits.DONE)


@command
def verify(
    session: Session,
    key: KeyOption = None,
    checkpoint: Annotated[
        list[Path] | None,
        typer.Option(
            "--checkpoint", metavar="FILE", help="A head that somebody else kept; may be repeated."
        ),
    ] = None,
) -> None:
    """Verify the ledger itself: its log, its heads, its evidence, the rules, its database.

    With --key, as an auditor does: the log must be that key's, and no private key is expected
    here. A second --key is another signer's, who must have signed a head. With --checkpoint, the
    log must have that head: an older copy of the ledger has not.

    Exit codes: 0 sound, 6 not sound.
    """
    keys, kept = read_keys(key), _read_heads(checkpoint)
    with open_backend(session) as backend, session.progress() as step:
        verified = backend.verify(keys, kept, lambda run, _, of: step(f"verified {run}", of))
        faults, tally = list(verified.faults), verified.tally
    document = {
        "sound": not faults,
        "faults": [dataclasses.asdict(fault) for fault in faults],
        **dataclasses.asdict(tally),
    }
    document["key_given"] = bool(keys)
    trusted = keys or ([VerifierKey.parse(tally.public_key)] if tally.public_key else [])
    document["trusted"] = [
        {"name": each.name, "id": each.key_id.hex(), "public_key": str(each)} for each in trusted
    ]

    def as_text(console: Console) -> None:
        _show_faults(console, faults, tally)
        _show_trusted(console, trusted, has_given=bool(keys), has_kept=bool(kept))
        _show_verdict(console, faults)

    session.show(document, as_text)
    raise typer.Exit(exits.MISMATCH if faults else exits.DONE)


@command
def export(
    session: Session,
    run: RunArgument,
    file: Annotated[Path, typer.Argument(metavar="FILE.zip", help="The bundle to write.")],
) -> None:
    """Write a run's bundle: its evidence, record and proof, which replay anywhere."""
    if file.suffix != BUNDLE_SUFFIX:
        raise typer.BadParameter(f"the bundle must be named FILE{BUNDLE_SUFFIX}, got {quote(file)}")
    with open_backend(session) as backend, session.progress(1) as step:
        step("writing the bundle")
        exported = backend.export(run, file)
    size = file.stat().st_size
    session.show(
        {"run": exported, "file": str(file), "bytes": size},
        lambda console: console.print(
            f"Wrote the bundle of run {exported} to {file}: {size:,} bytes", soft_wrap=True
        ),
    )


keys_app = typer.Typer(
    name="keys", add_completion=False, invoke_without_command=True, rich_markup_mode=None
)


@keys_app.callback()
@command
def keys(
    session: Session,
    make: MakeOption = None,
    name: NameOption = None,
) -> None:
    """Print the log's public key, or make a key for another signer or another ledger."""
    to_make = read_new_key(make, name)
    if to_make is not None:
        key = create_key_file(*to_make).verifier
        origin = key.name
    else:
        with open_backend(session) as backend:
            log = backend.public_keys()
        key, origin = log.key, log.origin
    session.show(
        {"origin": origin, "public_key": str(key)},
        lambda console: console.print(str(key), soft_wrap=True),
    )


@keys_app.command()
@command
def rotate(session: Session) -> None:
    """Give the log its next key; the present one signs the entry that names it.

    The next key takes the place of the present one in the key file. Whoever verifies the log needs
    the first key or the latest, as lottery keys prints it.
    """
    entry = operations.rotate_key(open_local_backend(session).settings, system_identity())
    session.show(
        {"public_key": entry.public_key, "signs_from": entry.signs_from},
        lambda console: console.print(
            f"Heads of {entry.signs_from:,} entries and more are signed by\n{entry.public_key}",
            soft_wrap=True,
        ),
    )


@command
def trail(session: Session) -> None:
    """List who did what to the ledger, and when."""
    with open_backend(session) as backend:
        entries = list(backend.trail())
    session.show(
        {"entries": [as_json(entry) for entry in entries]},
        lambda console: _show_trail(console, entries),
    )


def _is_bundle(name: str) -> bool:
    return name.endswith(BUNDLE_SUFFIX)


def _replay(backend: Backend, name: str, keys: list[VerifierKey], engine: Engine) -> Replayed:
    if _is_bundle(name):
        return operations.replay_bundle(Path(name), keys, engine=engine, memory=memory_limit())
    return backend.replay_run(name, engine=engine)


def _show_replays(console: Console, results: list[Replayed]) -> None:
    for replayed in results:
        text.show_replayed(console, replayed)
    matched = sum(replayed.matched for replayed in results)
    console.print(f"{len(results)} replayed, {matched} matched", style="bold")


def _read_heads(paths: list[Path] | None) -> dict[str, bytes]:
    """Read the heads of --checkpoint.

    Raises:
        typer.BadParameter: A file cannot be read.
    """
    try:
        return {str(path): path.read_bytes() for path in paths or ()}
    except OSError as error:
        raise typer.BadParameter(f"--checkpoint: {error.filename}: {error.strerror}") from None


def _show_trusted(
    console: Console, trusted: list[VerifierKey], *, has_given: bool, has_kept: bool
) -> None:
    """Print whose key was trusted, and that the ledger's own word is not enough."""
    label = "Trusted, as given:" if has_given else "Trusted:"
    for key in trusted:
        console.print(f"{label} key {key.name}, id {key.key_id.hex()}", soft_wrap=True)
        console.print(f"  {key}", soft_wrap=True)  # One word, to be compared.
    if not trusted:
        console.print(f"{label} no key")
    if not has_given and not has_kept:
        console.print(
            "warning: that key is what the ledger says of itself. Whoever makes another\n"
            "ledger in its place has a key for it too: give the one you know, with --key",
            style="yellow",
        )


def _show_faults(console: Console, faults: list[Fault], tally: Tally) -> None:
    for fault in faults:
        console.print(f"{fault.where}: {fault.problem}", style="red", soft_wrap=True)
    text.show_unnamed(console, tally.unnamed_folders)
    console.print(
        f"Read {wording.count(tally.runs, 'run')}, {wording.count(tally.files, 'file')} of "
        f"{tally.bytes:,} bytes, and the head of {tally.tree_size:,} entries"
    )
    root = "none" if tally.root_hash is None else f"{tally.root_hash[:_ROOT_CHARACTERS]}..."
    console.print(f"Log: {tally.origin or 'unknown'}, root hash {root}", soft_wrap=True)


def _show_verdict(console: Console, faults: list[Fault]) -> None:
    verdict = f"Not sound: {wording.count(len(faults), 'fault')}"
    console.print(verdict if faults else "The ledger is sound", style="bold")


def _show_trail(console: Console, entries: list[Entry]) -> None:
    made = text.table("when (UTC)", "what", "of", "outcome", "who", "software")
    for entry in entries:
        document = as_json(entry)
        made.add_row(
            text.recorded_time(entry.recorded_at),
            entry.type,
            wording.subject_of(document),
            document.get("outcome") or document.get("reason") or "",
            text.person(entry.requested_by),
            entry.software.version,
        )
    console.print(made)
