"""The audit's calls: replays, verification, bundles, and proofs that are verified as they arrive.

Invariants:
- A checkpoint is returned only if it is signed by a key that the caller knows, or by the key that
  the server named first, and if it is consistent with the one that this client saw before.
- A proof is returned only if it proves what was asked.
"""

from __future__ import annotations

import datetime as dt
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from lottery.audit.bundle_reader import OpenedBundle, opened_bundle
from lottery.audit.fault import Fault, Tally
from lottery.audit.replay import Engine, Replayed
from lottery.client.errors import call, stream
from lottery.client.standing import overview_from
from lottery.client.values import date_of, replayed_of
from lottery.errors import ProofInvalid, quote
from lottery.ledger import evidence
from lottery.ledger.entry import Entry, read_entry
from lottery.operations import Overview, PublicKeys
from lottery.tlog import merkle
from lottery.tlog.checkpoint import Checkpoint, open_checkpoint
from lottery.tlog.keys import VerifierKey
from lottery.tlog.proof import LogProof, verify_entry
from lottery.v1 import audit_service_pb2, audit_service_pb2_grpc, lottery_pb2

COPY_BYTES: Final = 1 << 20

_ENGINES: Final = {
    Engine.COMPILED: audit_service_pb2.REPLAY_ENGINE_COMPILED,
    Engine.SQL: audit_service_pb2.REPLAY_ENGINE_SQL,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """The outcome of a server's verification of its ledger.

    Attributes:
        faults: What is not as it was recorded.
        tally: What the server looked at.
    """

    faults: tuple[Fault, ...]
    tally: Tally

    @property
    def sound(self) -> bool:
        """Whether no fault was found."""
        return not self.faults


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedCheckpoint:
    """A checkpoint whose signature was verified.

    Attributes:
        checkpoint: The checkpoint.
        note: The signed note's bytes, for safekeeping.
        key: The log's public key.
    """

    checkpoint: Checkpoint
    note: bytes
    key: VerifierKey


class AuditCalls:
    """The calls of `lottery.v1.AuditService`; `LotteryClient` has them.

    Args:
        timeout: Seconds that a call may take; None waits without limit.
    """

    def __init__(self, timeout: float | None) -> None:
        self._timeout = timeout
        self._seen: SignedCheckpoint | None = None

    @property
    def _audit(self) -> audit_service_pb2_grpc.AuditServiceStub:
        raise NotImplementedError

    def replay_run(self, run: str, *, engine: Engine = Engine.COMPILED) -> Replayed:
        """Have the server compute a run again and compare every value.

        Raises:
            RunNotFound: There is no such run.
            EngineMissing: The engine is not installed on the server.
        """
        request = audit_service_pb2.ReplayRunRequest(run=run, engine=_ENGINES[engine])
        return replayed_of(call(self._audit.ReplayRun, request, self._timeout).result)

    def replay_dates(
        self,
        *,
        first: dt.date | str | None = None,
        last: dt.date | str | None = None,
        engine: Engine = Engine.COMPILED,
    ) -> Iterator[Replayed]:
        """Have the server compute the runs between two dates again, one result a run.

        Raises:
            EngineMissing: The engine is not installed on the server.
        """
        request = audit_service_pb2.ReplayRunsRequest(
            range=lottery_pb2.DateRange(first_date=date_of(first), last_date=date_of(last)),
            engine=_ENGINES[engine],
        )
        for response in stream(self._audit.ReplayRuns, request, self._timeout):
            yield replayed_of(response.result)

    def verify_ledger(
        self,
        keys: Sequence[VerifierKey] = (),
        checkpoint: Mapping[str, bytes] | None = None,
    ) -> Verified:
        """Have the server verify its ledger.

        Args:
            keys: The log's public key as known from elsewhere, and other signers'.
            checkpoint: Heads that somebody else kept, each by the name that faults give it.

        Raises:
            LedgerBusy: A writer held its lock for too long.
        """
        request = audit_service_pb2.VerifyLedgerRequest(
            keys=map(str, keys), checkpoints=checkpoint or {}
        )
        response = call(self._audit.VerifyLedger, request, self._timeout)
        return Verified(
            faults=tuple(
                Fault(where=fault.where, problem=fault.problem) for fault in response.faults
            ),
            tally=Tally(
                runs=response.run_count,
                files=response.file_count,
                bytes=response.byte_count,
                tree_size=response.tree_size,
                public_key=response.public_key or None,
                unnamed_folders=response.unnamed_folder_count,
                root_hash=response.root_hash or None,
                origin=response.origin or None,
            ),
        )

    def export_run(self, run: str, file: BinaryIO, keys: Sequence[VerifierKey] = ()) -> str:
        """Write a run's bundle to a file, once its proof is verified.

        Args:
            run: The run, or `latest`.
            file: The file, open for writing.
            keys: The log's public key as known from elsewhere.

        Returns:
            The run.

        Raises:
            RunNotFound: There is no such run.
            ProofInvalid: The bundle is of another run, does not prove its record, or holds other
                evidence.
        """
        request = audit_service_pb2.ExportRunRequest(run=run)
        with tempfile.TemporaryDirectory(prefix="lottery-export-") as directory:
            path = Path(directory) / "bundle.zip"
            exported = ""
            with path.open("wb") as received:
                for response in stream(self._audit.ExportRun, request, self._timeout):
                    exported = exported or response.run
                    received.write(response.data)
            known = list(keys) or ([self._seen.key] if self._seen else [])
            with opened_bundle(path, known) as bundle:
                _refuse_unsound(bundle, exported if run == "latest" else run)
            with path.open("rb") as verified:
                shutil.copyfileobj(verified, file, COPY_BYTES)
        return exported

    def status(self) -> Overview:
        """Return how the ledger stands, with the server's own certificate and limits."""
        request = audit_service_pb2.GetStatusRequest()
        return overview_from(call(self._audit.GetStatus, request, self._timeout))

    def trail(self) -> Iterator[Entry]:
        """Yield who did what with the ledger, in order: the entries that are not of a run."""
        request = audit_service_pb2.StreamEntriesRequest()
        for response in stream(self._audit.StreamEntries, request, self._timeout):
            for message in response.entries:
                yield read_entry(message.entry)

    def public_keys(self) -> PublicKeys:
        """Return the log's origin and the public key that the server names."""
        seen = self.checkpoint()
        return PublicKeys(origin=seen.checkpoint.origin, key=seen.key)

    def checkpoint(self, key: VerifierKey | None = None) -> SignedCheckpoint:
        """Return the latest checkpoint, verified, and consistent with the one seen before.

        Args:
            key: The log's public key as known from elsewhere.

        Raises:
            CheckpointInvalid: It is not signed by the key.
            ProofInvalid: It does not extend the checkpoint that was seen before.
        """
        request = audit_service_pb2.GetCheckpointRequest()
        response = call(self._audit.GetCheckpoint, request, self._timeout)
        known = key or (self._seen.key if self._seen else VerifierKey.parse(response.public_key))
        opened = open_checkpoint(response.checkpoint, [known], origin=known.name)
        latest = SignedCheckpoint(checkpoint=opened.checkpoint, note=response.checkpoint, key=known)
        if self._seen is not None:
            self.verify_consistency(self._seen.checkpoint, latest.checkpoint)
        self._seen = latest
        return latest

    def inclusion_proof(
        self, run: str, canonical: bytes, *, key: VerifierKey | None = None
    ) -> LogProof:
        """Return the verified proof that a record is in the log.

        Args:
            run: The run.
            canonical: Its record's bytes, `entry.canonical`.
            key: The log's public key as known from elsewhere.

        Raises:
            RunNotFound: There is no such run.
            CheckpointInvalid: The checkpoint is not signed by the key.
            ProofInvalid: It does not prove the record.
        """
        latest = self.checkpoint(key)
        request = audit_service_pb2.GetInclusionProofRequest(
            run=run, tree_size=latest.checkpoint.size
        )
        response = call(self._audit.GetInclusionProof, request, self._timeout)
        verify_entry(
            canonical,
            index=response.log_index,
            hashes=response.hashes,
            note=latest.note,
            keys=[latest.key],
            origin=latest.key.name,
        )
        return LogProof(index=response.log_index, hashes=tuple(response.hashes), note=latest.note)

    def verify_consistency(self, first: Checkpoint, second: Checkpoint) -> None:
        """Verify that the log of one checkpoint is the beginning of the log of another.

        Raises:
            ProofInvalid: It is not, or the server's proof does not prove it.
        """
        if first.origin != second.origin or first.size > second.size:
            raise ProofInvalid(
                f"expected a checkpoint of {quote(first.origin)} with at least {first.size} "
                f"entries, got one of {quote(second.origin)} with {second.size}"
            )
        request = audit_service_pb2.GetConsistencyProofRequest(
            first_size=first.size, second_size=second.size
        )
        response = call(self._audit.GetConsistencyProof, request, self._timeout)
        merkle.verify_consistency(
            first_size=first.size,
            second_size=second.size,
            first_root=first.root,
            second_root=second.root,
            proof=response.hashes,
        )


def _refuse_unsound(bundle: OpenedBundle, run: str) -> None:
    """Refuse a bundle of another run, or one that does not prove its record.

    Raises:
        ProofInvalid: The bundle is refused.
    """
    if bundle.record.run != run:
        raise ProofInvalid(f"expected a bundle of run {quote(run)}, got one of {bundle.record.run}")
    for mismatch in bundle.mismatches:
        raise ProofInvalid(
            f"{mismatch.where}: expected {mismatch.recorded}, got {mismatch.computed}"
        )
    for file in bundle.record.evidence:
        wrong = evidence.what_is_wrong(bundle.directory, file)
        if wrong is not None:
            raise ProofInvalid(f"{file.name}: expected SHA-256 {file.sha256}, got {wrong}")
