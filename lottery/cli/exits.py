"""Exit codes, and the one table from errors to them."""

from __future__ import annotations

import errno
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
    TlsMismatch,
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

WRONG_USAGE: Final = "WRONG_USAGE"
"""The reason of wrong usage."""

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
    TlsMismatch: USAGE,
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
_LASTING: Final = frozenset(
    {
        *(errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG, errno.ELOOP),
        *(errno.EACCES, errno.EPERM, errno.EROFS),
    }
)
"""What the system says of a file or folder that is not there, or that may not be written."""


def exit_code(error: LotteryError) -> int:
    """Return the exit code of an error: to try again is for what may heal by itself."""
    if isinstance(error, LedgerUnwritable | OutputUnwritable) and (
        isinstance(error.__cause__, OSError)
    ):
        return exit_code_of_system(error.__cause__)
    return _CODES.get(type(error), FAILED)


def exit_code_of_system(error: OSError) -> int:
    """Return the exit code of what the system refuses."""
    return USAGE if error.errno in _LASTING else TRY_AGAIN
