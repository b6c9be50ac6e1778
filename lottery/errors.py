"""Errors as types, the problems of an input, and how values from outside are shown in messages.

Status codes and exit codes are not here: `server/status.py` and `lottery/cli/exits.py` map these
types to their own.

Invariants:
- Every error has a stable `reason` for programs.
- No control character of an input reaches a terminal through a message.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

INVALID_INPUT: Final = "INVALID_INPUT"
INVALID_SEED: Final = "INVALID_SEED"
METHOD_NOT_IN_FORCE: Final = "METHOD_NOT_IN_FORCE"
HELD: Final = "HELD"

NOTICE_ALREADY_ALLOCATED: Final = "NOTICE_ALREADY_ALLOCATED"
POPULATION_DIFFERS: Final = "POPULATION_DIFFERS"
RUN_HAS_DEPENDENTS: Final = "RUN_HAS_DEPENDENTS"
SEED_CONFLICT: Final = "SEED_CONFLICT"
REQUEST_ID_REUSED: Final = "REQUEST_ID_REUSED"
RUN_SUPERSEDED: Final = "RUN_SUPERSEDED"

NOT_APPROVED: Final = "NOT_APPROVED"
NOT_PROPOSED: Final = "NOT_PROPOSED"
PROPOSAL_DECIDED: Final = "PROPOSAL_DECIDED"
PROPOSAL_EXPIRED: Final = "PROPOSAL_EXPIRED"
PROPOSAL_OUTDATED: Final = "PROPOSAL_OUTDATED"
RECORD_DIFFERS: Final = "RECORD_DIFFERS"
SAME_PERSON: Final = "SAME_PERSON"

CONFLICTS: Final = frozenset(
    {
        NOTICE_ALREADY_ALLOCATED,
        POPULATION_DIFFERS,
        RUN_HAS_DEPENDENTS,
        SEED_CONFLICT,
        REQUEST_ID_REUSED,
        RUN_SUPERSEDED,
        NOT_APPROVED,
        NOT_PROPOSED,
        PROPOSAL_DECIDED,
        PROPOSAL_EXPIRED,
        PROPOSAL_OUTDATED,
        RECORD_DIFFERS,
        SAME_PERSON,
    }
)
"""What a `Conflict` can have as its reason; from `NOT_APPROVED` on those of four eyes."""

PROBLEM_LIMIT: Final = 100
"""Maximum number of problems listed for one source; the rest are counted."""

QUOTE_LIMIT: Final = 80
"""Maximum number of characters that a message shows of one value."""
_ELLIPSIS: Final = "..."
_CAME: Final = ", got "
"""What stands in a message between what was expected and what came."""
_ROWS_SHOWN: Final = 5
"""Rows that one line names of equal problems."""


def some(names: Sequence[str], most: int, count: int | None = None) -> str:
    """Return the first names, and how many more there are.

    Args:
        names: At least the names to show.
        most: How many to show.
        count: How many there are; those that are given, unless it says so.
    """
    count = len(names) if count is None else count
    shown = ", ".join(names[:most])
    return shown if count <= most else f"{shown} and {count - most} more"


def quote(value: object, limit: int = QUOTE_LIMIT) -> str:
    """Return a value from outside as a message shows it: on one line, escaped and shortened.

    Control characters, bidirectional overrides, line separators and lone surrogates are escaped.

    Args:
        value: A text, which is quoted; bytes or a path, shown as text; or anything else, shown by
            its representation.
        limit: Maximum length of the result; an ellipsis after the quotes says that text is missing.
    """
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    elif isinstance(value, os.PathLike):
        value = os.fspath(value)
    if not isinstance(value, str):
        return escape(repr(value), limit)
    shown, kept = repr(value[: limit + 1]), limit - len(_ELLIPSIS)
    if len(value) <= limit and len(shown) <= limit:
        return shown
    while len(shown := repr(value[:kept])) > limit - len(_ELLIPSIS):
        kept -= 1
    return shown + _ELLIPSIS


def escape(text: str | os.PathLike[str], limit: int | None = None) -> str:
    """Return a text without quotes, its unprintable characters escaped as `quote` does.

    Args:
        text: A name, a path, or a message of another library.
        limit: Maximum length of the result; None does not shorten it.
    """
    text = os.fspath(text)
    too_long = limit is not None and len(text) > limit
    if text.isprintable() and not too_long:
        return text
    pieces = [char if char.isprintable() else repr(char)[1:-1] for char in text[:limit]]
    if limit is None or not (too_long or sum(map(len, pieces)) > limit):
        return "".join(pieces)
    while sum(map(len, pieces)) > limit - len(_ELLIPSIS):
        pieces.pop()
    return "".join(pieces) + _ELLIPSIS


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One thing that is wrong with an input, and its location.

    Attributes:
        source: The file or request field, such as `positions.csv` or `arrow_notices`.
        message: What was expected and what came, without the location.
        row: The data row, from 1; None if the problem does not belong to a row.
        line: The line of a text file, the header being 1; None for other formats.
        column: The column or field; None if the problem does not belong to one.
        rule: The method's rule that refuses it, such as `P4`; None if no rule does.
        reason: `INVALID_INPUT`, `INVALID_SEED` or `METHOD_NOT_IN_FORCE`.
    """

    source: str
    message: str
    row: int | None = None
    line: int | None = None
    column: str | None = None
    rule: str | None = None
    reason: str = INVALID_INPUT

    def __str__(self) -> str:
        return self.shown_with(())

    @property
    def kind(self) -> tuple[str | None, ...]:
        """What equal problems of several rows have in common: all but the row and what came."""
        expected, came, _ = self.message.rpartition(_CAME)
        return self.source, self.column, self.rule, expected if came else self.message

    def shown_with(self, others: Sequence[Problem]) -> str:
        """Return this problem as one line, which names the rows of others of its kind as well."""
        location = escape(self.source)
        if others:
            rows = some([f"{one.row}" for one in (self, *others)], _ROWS_SHOWN)
            location += f", {len(others) + 1} rows ({rows})"
        elif self.row is not None:
            location += f", row {self.row}"
        if self.line is not None and not others:
            location += f" (line {self.line})"
        if self.column is not None:
            location += f", {escape(self.column, QUOTE_LIMIT)}"
        rule = f" [{self.rule}]" if self.rule else ""
        first = " in the first" if others and _CAME in self.message else ""
        return f"{location}: {escape(self.message)}{first}{rule}"


@dataclass(frozen=True, slots=True)
class Problems:
    """What is wrong with an input: the first problems of each source, and how many more there are.

    Attributes:
        listed: At most `PROBLEM_LIMIT` problems of each source, in the order they were found.
        unlisted: The number of further problems.
    """

    listed: tuple[Problem, ...] = ()
    unlisted: int = 0

    @classmethod
    def of(cls, *problems: Problem | None) -> Problems:
        """Return these problems; None stands for no problem."""
        collector = ProblemCollector()
        collector.add(*(problem for problem in problems if problem is not None))
        return collector.problems()

    def __bool__(self) -> bool:
        return bool(self.listed)

    def __iter__(self) -> Iterator[Problem]:
        return iter(self.listed)

    def __add__(self, other: Problems) -> Problems:
        if not (self and other):
            return self or other
        collector = ProblemCollector()
        collector.add_all(self)
        collector.add_all(other)
        return collector.problems()

    @property
    def total(self) -> int:
        """The number of problems, listed or not."""
        return len(self.listed) + self.unlisted

    def refuse_if_any(self) -> None:
        """Raise all of them as one error, if there are any.

        Raises:
            Refused: There is at least one problem.
        """
        if self:
            raise Refused(self.listed, total=self.total)


NO_PROBLEMS: Final = Problems()


class ProblemCollector:
    """Collects problems within one reader, which returns them as `Problems`."""

    def __init__(self) -> None:
        self._listed: list[Problem] = []
        self._unlisted = 0
        self._counts: Counter[str] = Counter()

    def add(self, *problems: Problem) -> None:
        """Add problems: each is listed unless its source has reached the limit."""
        for problem in problems:
            self._counts[problem.source] += 1
            if self._counts[problem.source] <= PROBLEM_LIMIT:
                self._listed.append(problem)
            else:
                self._unlisted += 1

    def add_all(self, problems: Problems) -> None:
        """Add the problems that another function returned."""
        self.add(*problems.listed)
        self._unlisted += problems.unlisted

    @property
    def is_full(self) -> bool:
        """Whether a source has as many problems as are listed, so that no more are looked for."""
        return max(self._counts.values(), default=0) >= PROBLEM_LIMIT

    def problems(self) -> Problems:
        """Return what was collected."""
        return Problems(tuple(self._listed), self._unlisted)


class LotteryError(Exception):
    """Base class of all errors that the project raises on purpose.

    Attributes:
        reason: A stable upper-case identifier for programs.
    """

    reason: str = "LOTTERY_ERROR"

    def details(self) -> Mapping[str, str]:
        """Return the typed attributes as text, for `ErrorInfo.metadata` and `--json`."""
        return {}


class Refused(LotteryError):
    """The input was rejected as a whole; nothing was recorded.

    Attributes:
        problems: The listed problems, by source and row.
        total: The number of problems, listed or not.
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
        """The one reason that covers all problems."""
        if self._reason is not None:  # From a server, which also knows the unlisted problems.
            return self._reason
        reasons = {problem.reason for problem in self.problems}
        if METHOD_NOT_IN_FORCE in reasons:
            return METHOD_NOT_IN_FORCE
        return INVALID_SEED if reasons == {INVALID_SEED} else INVALID_INPUT

    @property
    def unlisted(self) -> int:
        """The number of problems that were counted but not listed."""
        return self.total - len(self.problems)

    def _message(self) -> str:
        of_kind: dict[object, list[Problem]] = {}
        for problem in self.problems:
            # Those that name no row are not repeated, and each is said.
            kind: object = problem if problem.row is None else problem.kind
            of_kind.setdefault(kind, []).append(problem)
        lines = [first.shown_with(others) for first, *others in of_kind.values()]
        if self.unlisted:
            lines.append(f"and {self.unlisted} more")
        return "\n".join(lines)


class PoolBroken(LotteryError):
    """A single pool cannot be allocated (rule D5).

    Attributes:
        reason: `EXCEEDS_SHORT` or `NO_POSITION`.
        assigned_quantity: Contracts assigned by OCC.
        total_short: Contracts short in the pool.
        assigned_before: Contracts of them that earlier cycles assigned (P6).
    """

    def __init__(
        self, reason: str, *, assigned_quantity: int, total_short: int, assigned_before: int = 0
    ) -> None:
        self.reason = reason
        self.assigned_quantity = assigned_quantity
        self.total_short = total_short
        self.assigned_before = assigned_before
        before = f", of which {assigned_before} are assigned already" if assigned_before else ""
        super().__init__(
            f"assigned quantity {assigned_quantity} exceeds the pool's total short "
            f"{total_short}{before}"
            if total_short
            else f"assigned quantity is {assigned_quantity}, but the pool has no open position"
        )

    def details(self) -> Mapping[str, str]:
        """Return the figures of the break."""
        figures = {
            "assigned_quantity": str(self.assigned_quantity),
            "total_short": str(self.total_short),
        }
        if self.assigned_before:
            figures["assigned_before"] = str(self.assigned_before)
        return figures


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """What is possible and nearly always a mistake, and so holds a run (H1).

    Attributes:
        code: A stable upper-case identifier, by which it is acknowledged.
        message: What was found, and what to check.
    """

    code: str
    message: str

    @property
    def acknowledge(self) -> str:
        """The options that acknowledge it."""
        return f"--acknowledge {self.code} --reason TEXT"


class Held(LotteryError):
    """The run is held until each hold is acknowledged, with a reason; nothing was recorded (H1).

    Attributes:
        holds: What holds it, without what was acknowledged.
    """

    reason = HELD

    def __init__(self, holds: Iterable[Hold]) -> None:
        self.holds = tuple(holds)
        super().__init__("\n".join(f"{hold.code}: {hold.message}" for hold in self.holds))


class Conflict(LotteryError):
    """The request contradicts what is recorded; nothing was recorded.

    Attributes:
        reason: One of `CONFLICTS`.
        run: The recorded run that the request contradicts.
        holds: What would hold the run too, as far as that was looked at.
    """

    def __init__(self, reason: str, message: str, *, run: str) -> None:
        self.reason = reason
        self.run = run
        self.holds: tuple[Hold, ...] = ()
        super().__init__(message)

    def details(self) -> Mapping[str, str]:
        """Return the recorded run."""
        return {"run": self.run}


class RunNotFound(LotteryError):
    """The run is not recorded."""

    reason = "RUN_NOT_FOUND"

    def __init__(self, run: str, message: str | None = None) -> None:
        self.run = run
        default = (
            "no run is recorded yet" if run == "latest" else f"run {escape(run)} is not recorded"
        )
        super().__init__(message or default)

    def details(self) -> Mapping[str, str]:
        """Return the requested run."""
        return {"run": self.run}


class NotInRun(LotteryError):
    """The run has no such pool or account, or the request matches several pools."""

    reason = "NOT_IN_RUN"


class AllocationWrong(LotteryError):
    """An allocation does not hold the rules when other code looks at it; nothing is recorded."""

    reason = "ALLOCATION_WRONG"


class LedgerNotFound(LotteryError):
    """The path holds no ledger; reading never creates one."""

    reason = "LEDGER_NOT_FOUND"


class LedgerBusy(LotteryError):
    """Another process holds the ledger's write lock; the call can be repeated."""

    reason = "LEDGER_BUSY"


class StandingChanged(LedgerBusy):
    """Another run of the date has drawn or superseded what a draft rests on; compute it again."""


class LedgerUnwritable(LotteryError):
    """The ledger cannot be written: the disk is full, or a permission is missing."""

    reason = "LEDGER_UNWRITABLE"


class ConnectionLost(LotteryError):
    """The database's connection was lost; the same call finds what was committed."""

    reason = "CONNECTION_LOST"


class LedgerUnfinished(LotteryError):
    """The entry is committed, but the files that publish it could not be written.

    The same command finds it recorded and publishes it; so does the next write.
    """

    reason = "LEDGER_UNFINISHED"


class OutputUnwritable(LotteryError):
    """The output of a recorded run cannot be written; the same command writes it again."""

    reason = "OUTPUT_UNWRITABLE"


class LedgerDamaged(LotteryError):
    """The ledger's content differs from what was recorded."""

    reason = "LEDGER_DAMAGED"


class ProofInvalid(LotteryError):
    """A Merkle proof does not prove its claim."""

    reason = "PROOF_INVALID"


class CheckpointInvalid(LotteryError):
    """A checkpoint is malformed, or has no valid signature by a trusted key."""

    reason = "CHECKPOINT_INVALID"


class WitnessAhead(LotteryError):
    """A witness has cosigned a checkpoint of this log that the log itself does not know.

    The log's database is an older copy of itself, or the log has two histories: it must sign
    nothing more before people have found out which.

    Attributes:
        witness: The witness's name in the policy.
        witness_size: The size that the witness cosigned.
        log_size: The size that the log knows; if it is not the smaller one, the roots differ.
    """

    reason = "WITNESS_AHEAD"

    def __init__(self, message: str, *, witness: str, witness_size: int, log_size: int) -> None:
        self.witness = witness
        self.witness_size = witness_size
        self.log_size = log_size
        super().__init__(message)

    def details(self) -> Mapping[str, str]:
        """Return the witness and both sizes."""
        return {
            "witness": escape(self.witness),
            "witness_size": str(self.witness_size),
            "log_size": str(self.log_size),
        }


class KeyUnusable(LotteryError):
    """A signing key or public key is missing, malformed, or not the log's."""

    reason = "KEY_UNUSABLE"


class EngineMissing(LotteryError):
    """A requested command needs an optional package that is not installed."""

    reason = "ENGINE_MISSING"


class LimitExceeded(LotteryError):
    """The input exceeds a stated limit.

    Attributes:
        limit: The limit's setting and value, such as `max_rows=1000`.
    """

    reason = "LIMIT_EXCEEDED"

    def __init__(self, message: str, *, limit: str) -> None:
        self.limit = limit
        super().__init__(message)

    def details(self) -> Mapping[str, str]:
        """Return the limit that was exceeded."""
        return {"limit": self.limit}


class Unauthenticated(LotteryError):
    """Nobody vouches for the caller, or what the caller shows is wrong."""

    reason = "UNAUTHENTICATED"


class RoleMissing(LotteryError):
    """The caller is known, and has no role for the call.

    Attributes:
        roles: The roles of which one is needed.
    """

    reason = "ROLE_MISSING"

    def __init__(self, message: str, *, roles: str) -> None:
        self.roles = roles
        super().__init__(message)

    def details(self) -> Mapping[str, str]:
        """Return the roles of which one is needed."""
        return {"roles": self.roles}


class Abandoned(LotteryError):
    """The caller disconnected or its deadline passed; nothing was recorded."""

    reason = "ABANDONED"


class TooLate(LotteryError):
    """The call's deadline passed before it was begun; nothing was done."""

    reason = "TOO_LATE"


class Silent(LotteryError):
    """The caller sent nothing or took nothing for too long, or too little; the call was ended."""

    reason = "SILENT"


class Overloaded(LotteryError):
    """The server has as many calls as it takes; the call was not begun and can be repeated."""

    reason = "OVERLOADED"


class ServerAway(LotteryError):
    """The server cannot be reached or is shutting down; the call can be repeated."""

    reason = "SERVER_AWAY"


class TlsMismatch(LotteryError):
    """The server and this client's files do not make a TLS connection; the same call will not."""

    reason = "TLS_MISMATCH"


class ServerFailed(LotteryError):
    """The server failed because of a fault of its own; its log has the cause."""

    reason = "SERVER_FAILED"
