"""What a role may do, and who has which: `roles.toml`, and the file that `LOTTERY_ROLES` names.

The same rows hold at both doors: a server asks for the row of an RPC, and the command line, where
it reaches a ledger itself, for that of a command, which names an RPC or has roles of its own.

A firm's file says who has which roles, by typed name, and may decide otherwise about a row:

    [names.spiffe]
    "spiffe://bank.example/batch" = ["operator"]
    [names.email]
    "ann@bank.example" = ["auditor", "approver"]
    [names.user]
    "batch" = ["operator"]
    [rpcs."lottery.v1.AuditService"]
    VerifyLedger = ["auditor", "operator"]
    [commands]
    sweep = ["administrator", "operator"]

Invariants:
- What is not in the table is denied.
- Without an identity nobody reads the ledger or writes to it, whatever a firm's file says.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

from lottery.errors import RoleMissing, escape, quote
from lottery.operations.requester import Identity
from lottery.stores.system import SYSTEM_USER

ROLES: Final = ("operator", "approver", "auditor", "service", "administrator")
"""Every role."""
ANYONE: Final = "anyone"
"""What stands in a row that needs no identity."""
LOCAL: Final = "local"
"""The kind of a local caller's identity, which `LOTTERY_TRUST_LOCAL` gives."""
TOKEN: Final = "token"  # noqa: S105 - a word, and no secret.
"""The kind of an identity that a token gives."""
KINDS: Final = {
    **{kind: kind for kind in ("spiffe", "uri", "email", "dns", TOKEN)},
    "user": SYSTEM_USER,
}
"""Every kind of name to which a firm's file gives roles, and the kind of the identity."""
TABLE: Final = Path(__file__).with_name("roles.toml")
"""The rows that hold unless a firm's file has others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalTrust:
    """Who a local caller is, where there is no TLS that could show it.

    Attributes:
        name: The name that is recorded.
        roles: What it may do.
    """

    name: str
    roles: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Roles:
    """Who may do what.

    Attributes:
        rpcs: The roles that may call an RPC, by `service/method`.
        commands: The roles that may give a command, or the RPC whose row holds, by its words.
        names: The roles of a caller, by kind and name of its identity.
    """

    rpcs: Mapping[str, frozenset[str]]
    commands: Mapping[str, frozenset[str] | str]
    names: Mapping[tuple[str, str], frozenset[str]]

    def of(self, identity: Identity | None) -> frozenset[str]:
        """Return the roles of a caller."""
        if identity is None:
            return frozenset()
        return self.names.get((identity.kind, identity.name), frozenset())

    def calling(self, rpc: str) -> frozenset[str]:
        """Return the roles that may call an RPC, `service/method`; none if it has no row."""
        return self.rpcs.get(rpc, frozenset())

    def giving(self, command: str) -> frozenset[str]:
        """Return the roles that may give a command, such as `keys rotate`; none without a row."""
        row = self.commands.get(command, frozenset())
        return self.calling(row) if isinstance(row, str) else row

    def let_in(self, identity: Identity, what: str, needed: frozenset[str]) -> None:
        """Let somebody do what needs one of these roles.

        Raises:
            RoleMissing: It has none of them.
        """
        held = self.of(identity)
        if ANYONE in needed or held & needed:
            return
        raise RoleMissing(
            f"{what} needs one of these roles: {in_order(needed) or 'none that exists'}; "
            f"{identity.kind} {quote(identity.name)} has {in_order(held) or 'none'}; "
            "ask for a role in LOTTERY_ROLES",
            roles=in_order(needed),
        )


def read_roles(file: Path | None, local: LocalTrust | None = None) -> Roles:
    """Read who may call what.

    Args:
        file: The firm's file; None if there is none, and nobody but a local caller has a role.
        local: Who a local caller is.

    Raises:
        OSError: The file cannot be read.
        ValueError: It is not TOML, or names a kind, a role or an RPC that does not exist.
    """
    rows: dict[str, frozenset[str]] = {}
    commands: dict[str, frozenset[str] | str] = {}
    names: dict[tuple[str, str], frozenset[str]] = {}
    if file is not None:
        try:
            given = tomllib.loads(file.read_text("utf-8"))
            _refuse_unknown_tables(given)
            rows |= _rows(given.get("rpcs", {}))
            commands |= _commands(given.get("commands", {}))
            names |= _names(given.get("names", {}))
        except ValueError as error:
            raise ValueError(f"{escape(file)}: {error}") from None
    if local is not None:
        names[LOCAL, local.name] = local.roles
    return Roles(rpcs=table() | rows, commands=command_table() | commands, names=names)


@cache
def _kept() -> dict[str, Any]:
    return tomllib.loads(TABLE.read_text("utf-8"))


def table() -> dict[str, frozenset[str]]:
    """Return the rows of the RPCs that hold unless a firm's file has others."""
    return {
        f"{service}/{method}": frozenset(roles)
        for service, rows in _kept()["rpcs"].items()
        for method, roles in rows.items()
    }


def command_table() -> dict[str, frozenset[str] | str]:
    """Return the rows of the commands, likewise: roles, or the RPC whose row holds."""
    return {
        command: row if isinstance(row, str) else frozenset(row)
        for command, row in _kept()["commands"].items()
    }


def roles_of(given: object) -> frozenset[str]:
    """Return roles that a file or a setting names.

    Raises:
        ValueError: They are not a list of roles.
    """
    if not isinstance(given, list) or not all(role in ROLES for role in given):
        raise ValueError(f"expected a list of {', '.join(ROLES)}, got {quote(given)}")
    return frozenset(given)


@cache
def in_order(roles: frozenset[str]) -> str:
    """Return roles as a message lists them."""
    return ", ".join(role for role in ROLES if role in roles)


def _refuse_unknown_tables(given: Mapping[str, object]) -> None:
    unknown = sorted(set(given) - {"names", "rpcs", "commands"})
    if unknown:
        raise ValueError(f"expected the tables names, rpcs and commands, got {quote(unknown[0])}")


def _rows(services: Any) -> Iterator[tuple[str, frozenset[str]]]:
    for service, rows in _table(services, "rpcs"):
        for method, roles in _table(rows, f"rpcs.{service}"):
            rpc = f"{service}/{method}"
            if rpc not in table():
                raise ValueError(f"expected an RPC of this server, got {quote(rpc)}")
            yield rpc, _located(rpc, roles)


def _commands(rows: Any) -> Iterator[tuple[str, frozenset[str]]]:
    for command, roles in _table(rows, "commands"):
        if command not in command_table():
            raise ValueError(f"expected a command of lottery, got {quote(command)}")
        yield command, _located(f"commands.{command}", roles)


def _names(kinds: Any) -> Iterator[tuple[tuple[str, str], frozenset[str]]]:
    for kind, rows in _table(kinds, "names"):
        if kind not in KINDS:
            raise ValueError(f"expected a kind of name ({', '.join(KINDS)}), got {quote(kind)}")
        for name, roles in _table(rows, f"names.{kind}"):
            yield (KINDS[kind], name), _located(f"names.{kind}.{name}", roles)


def _table(given: Any, where: str) -> Iterable[tuple[str, Any]]:
    if not isinstance(given, dict):
        raise ValueError(f"{where}: expected a table, got {quote(given)}")  # noqa: TRY004 - a file's content.
    return given.items()


def _located(where: str, roles: object) -> frozenset[str]:
    try:
        return roles_of(roles)
    except ValueError as error:
        raise ValueError(f"{quote(where)}: {error}") from None
