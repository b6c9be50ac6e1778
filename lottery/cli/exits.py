"""Exit codes, and the one table from errors to them."""

from __future__ import annotations

from typing import Final

from lottery.errors import (
    AllocationWrong,
    CheckpointInvalid,
    Conflict,
    ConnectionLost,
    EngineMissing,
    Held,
    KeyUnusable,
    LedgerBusy,
    LedgerDamaged,
    LedgerNotFound,
    LedgerUnfinished,
    LedgerUnwritable,
    LimitExceeded,
    LotteryError,
    NotInRun,
    OutputUnwritable,
    Overloaded,
    PoolBroken,
    ProofInvalid,
    Refused,
    RoleMissing,
    RunNotFound,
    ServerAway,
    Unauthenticated,
    WitnessAhead,
)

DONE: Final = 0
FAILED: Final = 1
USAGE: Final = 2
REFUSED: Final = 3
BREAKS: Final = 4
CONFLICT: Final = 5
MISMATCH: Final = 6
HELD: Final = 7
TRY_AGAIN: Final = 75

_CODES: Final[dict[type[LotteryError], int]] = {
    Refused: REFUSED,
    LimitExceeded: REFUSED,
    PoolBroken: BREAKS,
    Conflict: CONFLICT,
    Held: HELD,
    RunNotFound: USAGE,
    NotInRun: USAGE,
    LedgerNotFound: USAGE,
    EngineMissing: USAGE,
    KeyUnusable: USAGE,
    Unauthenticated: USAGE,
    RoleMissing: USAGE,
    CheckpointInvalid: MISMATCH,
    ProofInvalid: MISMATCH,
    LedgerDamaged: MISMATCH,
    AllocationWrong: MISMATCH,
    ConnectionLost: TRY_AGAIN,
    WitnessAhead: MISMATCH,
    LedgerBusy: TRY_AGAIN,
    LedgerUnfinished: TRY_AGAIN,
    LedgerUnwritable: TRY_AGAIN,
    OutputUnwritable: TRY_AGAIN,
    Overloaded: TRY_AGAIN,
    ServerAway: TRY_AGAIN,
}


def exit_code(error: LotteryError) -> int:
    """Return the exit code of an error."""
    return _CODES.get(type(error), FAILED)
