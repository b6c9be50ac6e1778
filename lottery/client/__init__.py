"""A typed client of the lottery and its audit over gRPC: frames or rows in, Arrow tables out.

    with LotteryClient("127.0.0.1:50051") as client:
        outcome = client.run_lottery(business_date=..., asks=..., notices=..., positions=...)
        client.allocations(outcome.record.run).to_pylist()

It returns the library's values, and raises the server's errors as the library's own.
"""

from lottery.client.audit import SignedCheckpoint, Verified
from lottery.client.client import LotteryClient, SeriesAnswer
from lottery.client.connection import TlsFiles
from lottery.intake.frames import Asks, Rows
from lottery.operations import DerivedSeed

__all__ = [
    "Asks",
    "DerivedSeed",
    "LotteryClient",
    "Rows",
    "SeriesAnswer",
    "SignedCheckpoint",
    "TlsFiles",
    "Verified",
]
