"""A small typed client: the lottery and its audit over gRPC, rows or Arrow tables in and out.

    with LotteryClient("127.0.0.1:50051") as client:
        outcome = client.run_lottery(business_date=..., asks=..., notices=..., positions=...)
        client.allocations(outcome.record.run).to_pylist()

What comes back are the values of the library; what the server refuses is raised as the library's
own errors, from `ErrorInfo` and `BadRequest`.
"""

from lottery.client.audit import SignedCheckpoint, Verified
from lottery.client.client import LotteryClient, Rows, SeriesAnswer, TlsFiles
from lottery.operations import DerivedSeed

__all__ = [
    "DerivedSeed",
    "LotteryClient",
    "Rows",
    "SeriesAnswer",
    "SignedCheckpoint",
    "TlsFiles",
    "Verified",
]
