"""The audit's calls: replays, verification, bundles, and proofs that are verified as they come.

Invariants:
- A checkpoint is believed once it is signed by a key that the caller knows, or by the one that the
  server named first; and once it is consistent with the one that this client saw before.
- A proof is given back once it proves what was asked.
"""

from __future__ import annotations

import datetime as dt
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from lottery.audit.bundle_reader import OpenedBundle, opened_bundle
from lottery.audit.replay import Engine, Replayed
from lottery.audit.verify_log import Fault
from lottery.client.errors import translated
from lottery.client.values import date_of, replayed_of
from lottery.errors import ProofInvalid
from lottery.ledger import evidence
from lottery.operations import PublicKeys
from lottery.tlog import merkle
from lottery.tlog.checkpoint import Checkpoint, open_checkpoint
from lottery.tlog.keys import VerifierKey
from lottery.tlog.proof import LogProof, verify_entry
from lottery.v1 import audit_service_pb2, audit_service_pb2_grpc

_ENGINES: Final = {
    Engine.COMPILED: audit_service_pb2.REPLAY_ENGINE_COMPILED,
    Engine.SQL: audit_service_pb2.REPLAY_ENGINE_SQL,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """A ledger verified by its server."""

    faults: tuple[Fault, ...]

    @property
    def sound(self) -> bool:
        """Whether there is no fault."""
        return not self.faults


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedCheckpoint:
    """A head whose signature was verified.

    Attributes:
        checkpoint: The head.
        note: The signed note's bytes, to be kept.
        key: The log's public key.
    """

    checkpoint: Checkpoint
    note: bytes
    key: VerifierKey


class AuditCalls:
    """The calls of `lottery.v1.AuditService`; `LotteryClient` has them.

    Args:
        stub: The service's stub.
        timeout: Seconds that a call may take; None waits for ever.
    """

    def __init__(
        self, stub: audit_service_pb2_grpc.AuditServiceStub, timeout: float | None
    ) -> None:
        self._audit = stub
        self._timeout = timeout
        self._seen: SignedCheckpoint | None = None

    def replay_run(self, run: str, *, engine: Engine = Engine.COMPILED) -> Replayed:
        """Has the server compute a run again and compare every value.

        Raises:
            RunNotFound: There is no such run.
            EngineMissing: The server has not the engine.
        """
        request = audit_service_pb2.ReplayRunRequest(run=run, engine=_ENGINES[engine])
        with translated():
            return replayed_of(self._audit.ReplayRun(request, timeout=self._timeout).result)

    def replay_dates(
        self,
        *,
        first: dt.date | None = None,
        last: dt.date | None = None,
        engine: Engine = Engine.COMPILED,
    ) -> Iterator[Replayed]:
        """Has the server compute the runs between two dates again, one result a run.

        Raises:
            EngineMissing: The server has not the engine.
        """
        request = audit_service_pb2.ReplayDayRequest(
            business_date=date_of(first),
            last_date=date_of(last if last is not None or first is None else dt.date.max),
            engine=_ENGINES[engine],
        )
        with translated():
            for response in self._audit.ReplayDay(request, timeout=self._timeout):
                yield replayed_of(response.result)

    def verify_ledger(self, keys: Sequence[VerifierKey] = ()) -> Verified:
        """Has the server verify its ledger.

        Args:
            keys: The log's public key as it is known from elsewhere, and other signers'.

        Raises:
            LedgerBusy: A writer kept its lock for too long.
        """
        request = audit_service_pb2.VerifyLedgerRequest(keys=map(str, keys))
        with translated():
            response = self._audit.VerifyLedger(request, timeout=self._timeout)
        return Verified(
            faults=tuple(
                Fault(where=fault.where, problem=fault.problem) for fault in response.faults
            )
        )

    def export_run(self, run: str, file: BinaryIO, keys: Sequence[VerifierKey] = ()) -> str:
        """Gets a run's bundle; it is written once its proof is verified.

        Args:
            run: The run, or `latest`.
            file: Written to.
            keys: The log's public key as it is known from elsewhere.

        Returns:
            The run.

        Raises:
            RunNotFound: There is no such run.
            ProofInvalid: The bundle is of another run, does not prove its record, or holds other
                evidence.
        """
        request = audit_service_pb2.ExportRunRequest(run=run)
        with tempfile.TemporaryDirectory(prefix="lottery-export-") as folder:
            path = Path(folder) / "bundle.zip"
            exported = ""
            with translated(), path.open("wb") as part:
                for response in self._audit.ExportRun(request, timeout=self._timeout):
                    exported = exported or response.run
                    part.write(response.data)
            known = list(keys) or ([self._seen.key] if self._seen else [])
            with opened_bundle(path, known) as bundle:
                _refuse_unsound(bundle, exported if run == "latest" else run)
            with path.open("rb") as whole:
                while data := whole.read(1 << 20):
                    file.write(data)
        return exported

    def public_keys(self) -> PublicKeys:
        """The log's origin and the public key that the server names."""
        seen = self.checkpoint()
        return PublicKeys(origin=seen.checkpoint.origin, key=seen.key)

    def checkpoint(self, key: VerifierKey | None = None) -> SignedCheckpoint:
        """The latest signed head, verified, and consistent with the one seen before.

        Args:
            key: The log's public key as it is known from elsewhere.

        Raises:
            RunNotFound: Nothing is recorded yet.
            CheckpointInvalid: It is not signed by the key.
            ProofInvalid: It does not extend the head that was seen before.
        """
        with translated():
            response = self._audit.GetCheckpoint(
                audit_service_pb2.GetCheckpointRequest(), timeout=self._timeout
            )
        known = key or (self._seen.key if self._seen else VerifierKey.parse(response.public_key))
        # The log signs the heads of its trail too, under another origin.
        opened = open_checkpoint(response.checkpoint, [known], origin=known.name)
        head = SignedCheckpoint(checkpoint=opened.checkpoint, note=response.checkpoint, key=known)
        if self._seen is not None:
            self.verify_consistency(self._seen.checkpoint, head.checkpoint)
        self._seen = head
        return head

    def inclusion_proof(
        self, run: str, canonical: bytes, *, key: VerifierKey | None = None
    ) -> LogProof:
        """The proof that a record is in the log, verified.

        Args:
            run: The run.
            canonical: Its record's bytes, as `RunRecord.canonical` gives them.
            key: The log's public key as it is known from elsewhere.

        Raises:
            RunNotFound: There is no such run.
            CheckpointInvalid: Its head is not signed by the key.
            ProofInvalid: It does not prove the record.
        """
        head = self.checkpoint(key)
        request = audit_service_pb2.GetInclusionProofRequest(
            run=run, tree_size=head.checkpoint.size
        )
        with translated():
            response = self._audit.GetInclusionProof(request, timeout=self._timeout)
        verify_entry(
            canonical,
            index=response.log_index,
            hashes=response.hashes,
            note=head.note,
            keys=[head.key],
            origin=head.key.name,
        )
        return LogProof(index=response.log_index, hashes=tuple(response.hashes), note=head.note)

    def verify_consistency(self, first: Checkpoint, second: Checkpoint) -> None:
        """Checks that the log of one head is the beginning of the log of another.

        Raises:
            ProofInvalid: It is not, or the server's proof is none.
        """
        if first.origin != second.origin or first.size > second.size:
            raise ProofInvalid(
                f"a head of {second.origin} with {second.size} leaves cannot follow one of "
                f"{first.origin} with {first.size}"
            )
        request = audit_service_pb2.GetConsistencyProofRequest(
            first_size=first.size, second_size=second.size
        )
        with translated():
            response = self._audit.GetConsistencyProof(request, timeout=self._timeout)
        merkle.verify_consistency(
            first_size=first.size,
            second_size=second.size,
            first_root=first.root,
            second_root=second.root,
            proof=response.hashes,
        )


def _refuse_unsound(bundle: OpenedBundle, run: str) -> None:
    """Refuses a bundle that is not of the run, or does not hold.

    Raises:
        ProofInvalid: It is so; what was expected and what was got is told.
    """
    if bundle.record.run != run:
        raise ProofInvalid(f"a bundle of run {run} is expected, got one of {bundle.record.run}")
    for mismatch in bundle.mismatches:
        raise ProofInvalid(
            f"{mismatch.where}: {mismatch.recorded} is expected, got {mismatch.computed}"
        )
    for file in bundle.record.evidence:
        wrong = evidence.what_is_wrong(bundle.directory, file)
        if wrong is not None:
            raise ProofInvalid(f"{file.name}: sha256 {file.sha256} is expected, got {wrong}")
