"""Policies: which logs and witnesses are known, and how many cosignatures are enough.

Implements C2SP tlog-policy (c2sp.org/tlog-policy).

Not here: asking the witnesses (`witness_client`), and keys of other signature types than `keys`
has: a policy that names one is rejected.

Invariants:
- A policy's names are its own, and octets: two names are one if their bytes are.
- A name is defined before it is used, once, and is a member of one group at most, so that a witness
  counts once.
- A checkpoint is judged by verified signatures alone, and a known key's wrong signature spoils it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from lottery.errors import KeyUnusable, Problem, Refused, quote
from lottery.tlog.checkpoint import Checkpoint, open_checkpoint
from lottery.tlog.keys import SignatureType, VerifierKey, check_signature_type

NO_QUORUM: Final = "none"
"""The name of the quorum that needs no witness."""

_SOURCE: Final = "policy"
_OTHER_OCTET: Final = re.compile(rb"[^\x09\x0a\x20-\x7e\x80-\xff]")
_SPACE: Final = re.compile(r"[ \t]+")
_DECIMAL: Final = re.compile(r"[1-9][0-9]{0,8}")


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyLog:
    """A log that is known.

    Attributes:
        key: Its public key, whose name is its origin.
        url: Where it is read, as the policy has it; None if it does not say.
    """

    key: VerifierKey
    url: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyWitness:
    """A witness that is known.

    Attributes:
        name: Its name in the policy, which need not be its key's.
        key: Its public key, for cosignatures.
        url: Its submission prefix (tlog-witness); None if the policy does not say.
    """

    name: str
    key: VerifierKey
    url: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Witnesses and groups of which so many must have witnessed a checkpoint.

    Attributes:
        name: Its name in the policy.
        threshold: How many of the members must, at least 1.
        members: Their names.
    """

    name: str
    threshold: int
    members: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """What a policy says of a checkpoint.

    Attributes:
        checkpoint: The checkpoint.
        logs: The known keys that signed it for its log, at least one.
        witnesses: The witnesses that cosigned it, in the order of the policy.
        quorum_met: Whether they are enough.
    """

    checkpoint: Checkpoint
    logs: tuple[VerifierKey, ...]
    witnesses: tuple[PolicyWitness, ...]
    quorum_met: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """Known logs and witnesses, and the quorum.

    Attributes:
        logs: The logs, in the order of their lines.
        witnesses: The witnesses, in the order of their lines.
        groups: The groups, each after its members.
        quorum: The name of the witness or group that must have witnessed, or `NO_QUORUM`.
    """

    logs: tuple[PolicyLog, ...] = ()
    witnesses: tuple[PolicyWitness, ...] = ()
    groups: tuple[Group, ...] = ()
    quorum: str

    @classmethod
    def parse(cls, data: bytes) -> Policy:
        """Parse a policy file.

        Raises:
            Refused: It is not a policy; the problem names the line.
        """
        reader = _Reader()
        for number, items in _lines(data):
            try:
                reader.read(items)
            except (ValueError, KeyUnusable) as error:
                raise _refused(f"line {number}: {error}", number) from error
        if reader.quorum is None:
            raise _refused("expected a line quorum <name>, got none")
        return cls(
            logs=tuple(reader.logs),
            witnesses=tuple(reader.witnesses),
            groups=tuple(reader.groups),
            quorum=reader.quorum,
        )

    def judge(self, note: bytes, log_keys: Sequence[VerifierKey] = ()) -> Judgement:
        """Verify a checkpoint's signatures and say whether the quorum is met.

        Args:
            note: The signed note.
            log_keys: Keys of logs that are known otherwise; the policy's own are known too.

        Raises:
            CheckpointInvalid: The note is not a checkpoint's, no known log whose origin it has has
                signed it, or a known key's signature is wrong.
            KeyUnusable: Two different known keys have one name and one key id.
        """
        logs = (*(log.key for log in self.logs), *log_keys)
        opened = open_checkpoint(note, (*logs, *(witness.key for witness in self.witnesses)))
        own = [key for key in logs if key.name == opened.checkpoint.origin]
        signed_by = open_checkpoint(note, own).signed_by
        witnesses = tuple(one for one in self.witnesses if one.key in opened.signed_by)
        return Judgement(
            checkpoint=opened.checkpoint,
            logs=signed_by,
            witnesses=witnesses,
            quorum_met=self.is_met_by(one.name for one in witnesses),
        )

    def is_met_by(self, names: Iterable[str]) -> bool:
        """Return whether these witnesses are enough."""
        witnessed = {NO_QUORUM, *names}
        for group in self.groups:  # Each stands after its members.
            if len(witnessed.intersection(group.members)) >= group.threshold:
                witnessed.add(group.name)
        return self.quorum in witnessed


class _Reader:
    """What the lines so far have defined; a line that breaks a rule raises `ValueError`."""

    def __init__(self) -> None:
        self.logs: list[PolicyLog] = []
        self.witnesses: list[PolicyWitness] = []
        self.groups: list[Group] = []
        self.quorum: str | None = None
        self._names: set[str] = set()
        self._members: set[str] = set()

    def read(self, items: Sequence[str]) -> None:
        """Read the items of a line."""
        match items:
            case ["log", key, *url] if len(url) <= 1:
                self._log(key, *url)
            case ["witness", name, key, *url] if len(url) <= 1:
                self._witness(name, key, *url)
            case ["group", name, threshold, _, *_]:
                self._group(name, threshold, tuple(items[3:]))
            case ["quorum", name]:
                self._quorum(name)
            case _:
                form = _FORMS.get(items[0])
                raise ValueError(
                    f"expected {form or ' or '.join(_FORMS.values())}, got {quote(' '.join(items))}"
                )

    def _log(self, text: str, url: str | None = None) -> None:
        key = _key(text, SignatureType.ED25519)
        if key.public_key in {log.key.public_key for log in self.logs}:
            raise ValueError(f"expected another log's public key, got {quote(text)} again")
        self.logs.append(PolicyLog(key=key, url=url))

    def _witness(self, name: str, text: str, url: str | None = None) -> None:
        key = _key(text, SignatureType.COSIGNATURE)
        if key.public_key in {witness.key.public_key for witness in self.witnesses}:
            raise ValueError(f"expected another witness's public key, got {quote(text)} again")
        self._define(name)
        self.witnesses.append(PolicyWitness(name=name, key=key, url=url))

    def _group(self, name: str, threshold: str, members: tuple[str, ...]) -> None:
        for member in members:
            if member not in self._names:
                raise ValueError(
                    f"expected a witness or group that an earlier line defines, got {quote(member)}"
                )
            if member in self._members:
                raise ValueError(f"expected a member of no other group, got {quote(member)} again")
            self._members.add(member)
        self._define(name)
        self.groups.append(
            Group(name=name, threshold=_threshold(threshold, len(members)), members=members)
        )

    def _quorum(self, name: str) -> None:
        if self.quorum is not None:
            raise ValueError(f"expected one quorum, got {quote(name)} after {quote(self.quorum)}")
        if name not in {*self._names, NO_QUORUM}:
            raise ValueError(
                f"expected {NO_QUORUM}, or a witness or group that an earlier line defines, "
                f"got {quote(name)}"
            )
        self.quorum = name

    def _define(self, name: str) -> None:
        if name in {*self._names, NO_QUORUM}:
            raise ValueError(f"expected a name that is not taken, got {quote(name)}")
        self._names.add(name)


_FORMS: Final[Mapping[str, str]] = {
    "log": "log <vkey> [<url>]",
    "witness": "witness <name> <vkey> [<url>]",
    "group": "group <name> all|any|<k> <name>...",
    "quorum": "quorum <name>",
}


def _lines(data: bytes) -> Iterator[tuple[int, list[str]]]:
    """Yield number and items of the lines that are neither blank nor a comment."""
    other = _OTHER_OCTET.search(data)
    if other is not None:
        number = data.count(b"\n", 0, other.start()) + 1
        raise _refused(
            f"line {number}: expected no control characters but tab and newline, "
            f"got 0x{other[0].hex()}",
            number,
        )
    # Other octets than ASCII are opaque: a name need not be UTF-8.
    *lines, end = data.decode("utf-8", "surrogateescape").split("\n")
    if end:
        raise _refused(
            f"line {len(lines) + 1}: expected a newline at its end, got none: it may be cut short",
            len(lines) + 1,
        )
    for number, line in enumerate(lines, start=1):
        items = [item for item in _SPACE.split(line) if item]
        if items and not items[0].startswith("#"):
            yield number, items


def _key(text: str, signature_type: SignatureType) -> VerifierKey:
    key = VerifierKey.parse(text)
    check_signature_type(key, signature_type)
    return key


def _threshold(text: str, count: int) -> int:
    """Return how many of a group's members are enough."""
    if text in {"all", "any"}:
        return count if text == "all" else 1
    if not _DECIMAL.fullmatch(text) or int(text) > count:
        raise ValueError(f"expected all, any or a number from 1 to {count}, got {quote(text)}")
    return int(text)


def _refused(message: str, line: int | None = None) -> Refused:
    return Refused([Problem(source=_SOURCE, message=message, line=line)])
