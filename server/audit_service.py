"""`lottery.v1.AuditService`: each method converts, calls operations and converts back."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

import grpc

from lottery import operations
from lottery.operations import Ledger
from lottery.operations.inputs import UNLIMITED, DayMemory
from lottery.operations.requester import Identity
from lottery.operations.variables import Variables
from lottery.v1 import audit_service_pb2 as pb
from lottery.v1 import audit_service_pb2_grpc as pb_grpc
from server import requests, responses, telemetry
from server.status import aborting, aborting_stream

BUNDLE_PART_BYTES: Final = 1 << 20
"""Maximum size of the data in one response of `ExportRun`, in bytes."""


class AuditService(pb_grpc.AuditServiceServicer):
    """The audit of one ledger."""

    def __init__(
        self,
        ledger: Ledger,
        *,
        settings: Variables,
        identify: Callable[[], Identity],
        memory: DayMemory = UNLIMITED.day,
    ) -> None:
        self._ledger = ledger
        self._settings = settings
        self._identify = identify
        self._memory = memory

    @aborting
    def ReplayRun(
        self, request: pb.ReplayRunRequest, context: grpc.ServicerContext
    ) -> pb.ReplayRunResponse:
        run, engine = requests.to_run(request.run), requests.to_engine(request.engine)
        requester = self._requester()
        replayed = operations.replay_run(
            self._ledger, run, requester, engine=engine, memory=self._memory
        )
        telemetry.note(run=replayed.run, matched=replayed.matched)
        return pb.ReplayRunResponse(result=responses.from_replayed(replayed))

    @aborting_stream
    def ReplayRuns(
        self, request: pb.ReplayRunsRequest, context: grpc.ServicerContext
    ) -> Iterator[pb.ReplayRunsResponse]:
        first, last = requests.to_replayed_dates(request)
        requester, engine = self._requester(), requests.to_engine(request.engine)
        for replayed in operations.replay_dates(
            self._ledger, requester, engine=engine, first=first, last=last, memory=self._memory
        ):
            if not context.is_active():
                return
            yield pb.ReplayRunsResponse(result=responses.from_replayed(replayed))

    @aborting
    def VerifyLedger(
        self, request: pb.VerifyLedgerRequest, context: grpc.ServicerContext
    ) -> pb.VerifyLedgerResponse:
        verification = operations.verify_ledger(
            self._settings.ledger_settings(),
            keys=requests.to_keys(request.keys),
            checkpoint=request.checkpoints,
            memory=self._memory,
        )
        response = responses.from_verification(verification)
        telemetry.note(fault_count=len(response.faults))
        return response

    @aborting_stream
    def ExportRun(
        self, request: pb.ExportRunRequest, context: grpc.ServicerContext
    ) -> Iterator[pb.ExportRunResponse]:
        run = self._ledger.get(requests.to_run(request.run)).run
        telemetry.note(run=run)
        yield pb.ExportRunResponse(run=run)
        by = self._identify()
        for part in operations.exported_parts(self._ledger, run, by, BUNDLE_PART_BYTES):
            yield pb.ExportRunResponse(data=part)

    @aborting
    def GetCheckpoint(
        self, request: pb.GetCheckpointRequest, context: grpc.ServicerContext
    ) -> pb.GetCheckpointResponse:
        checkpoint = operations.checkpoint(self._ledger)
        return pb.GetCheckpointResponse(
            checkpoint=checkpoint.note,
            tree_size=checkpoint.tree_size,
            public_key=str(checkpoint.key),
        )

    @aborting
    def GetInclusionProof(
        self, request: pb.GetInclusionProofRequest, context: grpc.ServicerContext
    ) -> pb.GetInclusionProofResponse:
        size = request.tree_size if request.HasField("tree_size") else None
        run = requests.to_run(request.run)
        return responses.from_inclusion(operations.inclusion(self._ledger, run, size))

    @aborting
    def GetConsistencyProof(
        self, request: pb.GetConsistencyProofRequest, context: grpc.ServicerContext
    ) -> pb.GetConsistencyProofResponse:
        size = request.second_size if request.HasField("second_size") else None
        second_size, hashes = operations.consistency(self._ledger, request.first_size, size)
        return pb.GetConsistencyProofResponse(
            first_size=request.first_size, second_size=second_size, hashes=hashes
        )

    @aborting
    def GetStatus(
        self, request: pb.GetStatusRequest, context: grpc.ServicerContext
    ) -> pb.GetStatusResponse:
        return responses.from_overview(
            operations.overview_of(self._ledger, self._settings.ledger_settings(), self._settings)
        )

    @aborting_stream
    def StreamEntries(
        self, request: pb.StreamEntriesRequest, context: grpc.ServicerContext
    ) -> Iterator[pb.StreamEntriesResponse]:
        return responses.from_entries(operations.trail(self._ledger))

    def _requester(self) -> operations.Requester:
        return operations.Requester(
            by=self._identify(), warn=lambda text: telemetry.note(warning=text)
        )
