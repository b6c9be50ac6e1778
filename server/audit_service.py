"""`lottery.v1.AuditService`: convert, call operations, convert."""

from __future__ import annotations

from collections.abc import Iterator

import grpc

from lottery import operations
from lottery.ledger.store import Ledger
from lottery.v1 import audit_service_pb2 as pb
from lottery.v1 import audit_service_pb2_grpc as pb_grpc
from server import convert, telemetry
from server.status import aborting, aborting_stream


class AuditService(pb_grpc.AuditServiceServicer):
    """The audit over one ledger."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    @aborting
    def ReplayRun(
        self, request: pb.ReplayRunRequest, context: grpc.ServicerContext
    ) -> pb.ReplayRunResponse:
        replayed = operations.replay_run(self._ledger, request.run)
        telemetry.note(run=replayed.run, matched=replayed.matched)
        return pb.ReplayRunResponse(result=convert.from_replayed(replayed))

    @aborting_stream
    def ReplayDay(
        self, request: pb.ReplayDayRequest, context: grpc.ServicerContext
    ) -> Iterator[pb.ReplayDayResponse]:
        first, last = convert.to_dates(request)
        for replayed in operations.replay_dates(self._ledger, first=first, last=last):
            if not context.is_active():
                return
            yield pb.ReplayDayResponse(result=convert.from_replayed(replayed))
