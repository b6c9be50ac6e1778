"""What can go wrong, as types: every error has a stable `reason` and says its place.

No status codes and no exit codes here: `server/status.py` and `lottery/cli/exits.py` hold the two
tables from these types to their own world.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

INVALID_INPUT: Final = "INVALID_INPUT"
INVALID_SEED: Final = "INVALID_SEED"
METHOD_NOT_IN_FORCE: Final = "METHOD_NOT_IN_FORCE"

NOTICE_ALREADY_ALLOCATED: Final = "NOTICE_ALREADY_ALLOCATED"
POOL_ALREADY_ALLOCATED: Final = "POOL_ALREADY_ALLOCATED"
SEED_CONFLICT: Final = "SEED_CONFLICT"
REQUEST_ID_REUSED: Final = "REQUEST_ID_REUSED"
RUN_SUPERSEDED: Final = "RUN_SUPERSEDED"

CONFLICTS: Final = frozenset(
    {
        NOTICE_ALREADY_ALLOCATED,
        POOL_ALREADY_ALLOCATED,
        SEED_CONFLICT,
        REQUEST_ID_REUSED,
        RUN_SUPERSEDED,
    }
)

PROBLEM_LIMIT: Final = 100
"""Problems listed of one source; the rest are counted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One thing that is wrong with what came in, and its place.

    Attributes:
        source: The file or the request field, as `positions.csv` or `arrow_notices`.
        message: What is wrong, as a sentence without its place.
        row: The data row, the first being 1; None where the problem is no row's.
        line: The line of a text file, the header being 1; None elsewhere.
        column: The column or field; None where the problem is no column's.
        rule: The id of the method's rule that refuses it, as `P4`; None where no rule does.
        reason: One of the three refusals of the contract.
    """

    source: str
    message: str
    row: int | None = None
    line: int | None = None
    column: str | None = None
    rule: str | None = None
    reason: str = INVALID_INPUT

    def __str__(self) -> str:
        place = self.source
        if self.row is not None:
            place += f", row {self.row}"
            if self.line is not None:
                place += f" (line {self.line})"
        if self.column is not None:
            place += f", {self.column}"
        rule = f" [{self.rule}]" if self.rule else ""
        return f"{place}: {self.message}{rule}"


@dataclass(slots=True)
class Problems:
    """A collector: lists the first `limit` problems of each source and counts them all."""

    limit: int = PROBLEM_LIMIT
    listed: list[Problem] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.counts)

    def __iter__(self) -> Iterator[Problem]:
        return iter(self.listed)

    @property
    def total(self) -> int:
        """How many there are, the listed and the merely counted."""
        return sum(self.counts.values())

    def add(self, problem: Problem) -> None:
        """Takes one problem in; it is listed while its source has fewer than the limit."""
        count = self.counts.get(problem.source, 0)
        self.counts[problem.source] = count + 1
        if count < self.limit:
            self.listed.append(problem)

    def count_more(self, source: str, count: int) -> None:
        """Counts problems of a source that are past the limit, without listing them."""
        if count:
            self.counts[source] = self.counts.get(source, 0) + count

    def refuse_if_any(self) -> None:
        """Raises `Refused` with all of them, or does nothing.

        Raises:
            Refused: There is at least one problem.
        """
        if self:
            raise Refused(self.listed, total=self.total)


class LotteryError(Exception):
    """The base of all errors that the project raises on purpose.

    Attributes:
        reason: A stable upper-case word for programs.
    """

    reason: str = "LOTTERY_ERROR"

    def details(self) -> Mapping[str, str]:
        """The typed attributes as text, for `ErrorInfo.metadata` and `--json`."""
        return {}


class Refused(LotteryError):
    """What came in is refused as a whole; nothing was recorded.

    Attributes:
        problems: The listed problems, by source and row.
        total: How many there are in all; past `PROBLEM_LIMIT` of a source they are only counted.
    """

    def __init__(
        self, problems: Iterable[Problem], *, total: int | None = None, reason: str | None = None
    ) -> None:
        self._reason = reason
        self.problems: Sequence[Problem] = tuple(
            sorted(problems, key=lambda problem: (problem.source, problem.row or 0))
        )
        self.total = len(self.problems) if total is None else total
        super().__init__(self._message())

    @property
    def reason(self) -> str:  # type: ignore[override]
        """The refusal of the contract that covers all of the problems."""
        if self._reason is not None:  # A server's word, which knows the unlisted ones too.
            return self._reason
        reasons = {problem.reason for problem in self.problems}
        if METHOD_NOT_IN_FORCE in reasons:
            return METHOD_NOT_IN_FORCE
        return INVALID_SEED if reasons == {INVALID_SEED} else INVALID_INPUT

    @property
    def unlisted(self) -> int:
        """How many problems were counted without being listed."""
        return self.total - len(self.problems)

    def _message(self) -> str:
        lines = [str(problem) for problem in self.problems]
        if self.unlisted:
            lines.append(f"and {self.unlisted} more")
        return "\n".join(lines)


class PoolBroken(LotteryError):
    """One pool asked for by itself cannot be allocated (rule D5).

    Attributes:
        reason: `EXCEEDS_SHORT` or `NO_POSITION`.
        assigned_quantity: Contracts assigned by OCC.
        total_short: Contracts short in the pool.
    """

    def __init__(self, reason: str, *, assigned_quantity: int, total_short: int) -> None:
        self.reason = reason
        self.assigned_quantity = assigned_quantity
        self.total_short = total_short
        super().__init__(
            f"{assigned_quantity} contracts are assigned and the pool is short {total_short}"
            if total_short
            else f"{assigned_quantity} contracts are assigned and the pool has no open position"
        )

    def details(self) -> Mapping[str, str]:
        """Both figures of the break."""
        return {
            "assigned_quantity": str(self.assigned_quantity),
            "total_short": str(self.total_short),
        }


class Conflict(LotteryError):
    """It contradicts what stands recorded; nothing was recorded.

    Attributes:
        reason: One of the contract's conflict reasons.
        run: The recorded run that it contradicts.
    """

    def __init__(self, reason: str, message: str, *, run: str) -> None:
        self.reason = reason
        self.run = run
        super().__init__(message)

    def details(self) -> Mapping[str, str]:
        """The run that stands."""
        return {"run": self.run}


class RunNotFound(LotteryError):
    """No run of that id is recorded."""

    reason = "RUN_NOT_FOUND"

    def __init__(self, run: str, message: str | None = None) -> None:
        self.run = run
        told = "no run is recorded yet" if run == "latest" else f"no run {run} is recorded"
        super().__init__(message or told)

    def details(self) -> Mapping[str, str]:
        """The run that was asked for."""
        return {"run": self.run}


class NotInRun(LotteryError):
    """The run has no such pool or account, or more than one pool fits."""

    reason = "NOT_IN_RUN"


class LedgerNotFound(LotteryError):
    """There is no ledger at the place named; reading never makes one."""

    reason = "LEDGER_NOT_FOUND"


class LedgerBusy(LotteryError):
    """Another process holds the ledger's write lock; the same call may go through later."""

    reason = "LEDGER_BUSY"


class LedgerUnwritable(LotteryError):
    """The ledger's place cannot be written: the disk is full, or the rights are missing."""

    reason = "LEDGER_UNWRITABLE"


class LedgerUnfinished(LotteryError):
    """What was asked is recorded, and not all of the ledger's files could be written after it.

    The same command again finds it recorded; the next write completes the files.
    """

    reason = "LEDGER_UNFINISHED"


class OutputUnwritable(LotteryError):
    """The output of a recorded run cannot be written; the same command again tries it again."""

    reason = "OUTPUT_UNWRITABLE"


class LedgerDamaged(LotteryError):
    """What the ledger keeps is not what it recorded."""

    reason = "LEDGER_DAMAGED"


class ProofInvalid(LotteryError):
    """A Merkle proof does not prove what it is said to."""

    reason = "PROOF_INVALID"


class CheckpointInvalid(LotteryError):
    """A checkpoint is none, or carries no valid signature of a key that is trusted."""

    reason = "CHECKPOINT_INVALID"


class KeyUnusable(LotteryError):
    """A signing key or a public key cannot be used: it is missing, malformed, or not the log's."""

    reason = "KEY_UNUSABLE"


class EngineMissing(LotteryError):
    """An optional package that a command was asked to use is not installed."""

    reason = "ENGINE_MISSING"


class LimitExceeded(LotteryError):
    """More was sent than the stated limit.

    Attributes:
        limit: The limit's setting and figure, as `max_rows=1000`.
    """

    reason = "LIMIT_EXCEEDED"

    def __init__(self, message: str, *, limit: str) -> None:
        self.limit = limit
        super().__init__(message)

    def details(self) -> Mapping[str, str]:
        """The limit that was exceeded."""
        return {"limit": self.limit}


class Abandoned(LotteryError):
    """The caller went away or its deadline passed; nothing was recorded."""

    reason = "ABANDONED"


class ServerAway(LotteryError):
    """The server cannot be reached or is going down; the same call may go through later."""

    reason = "SERVER_AWAY"


class ServerFailed(LotteryError):
    """The server failed in a way that is its own fault; its log has the cause."""

    reason = "SERVER_FAILED"
