"""What a role may do, and who has which: `roles.toml`, and the file that `LOTTERY_ROLES` names.

A firm's file says who has which roles, by typed name, and may decide otherwise about an RPC:

    [names.spiffe]
    "spiffe://bank.example/batch" = ["operator"]
    [names.email]
    "ann@bank.example" = ["auditor", "approver"]
    [rpcs."lottery.v1.AuditService"]
    VerifyLedger = ["auditor", "operator"]

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

from lottery.errors import escape, quote
from lottery.operations.requester import Identity
from server.identity import KINDS, LOCAL, LocalTrust

ROLES: Final = ("operator", "approver", "auditor", "service", "administrator")
"""Every role."""
ANYONE: Final = "anyone"
"""What stands in a row whose RPC needs no identity."""
TABLE: Final = Path(__file__).with_name("roles.toml")
"""The rows that hold unless a firm's file has others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Roles:
    """Who may call what.

    Attributes:
        rpcs: The roles that may call an RPC, by `service/method`.
        names: The roles of a caller, by kind and name of its identity.
    """

    rpcs: Mapping[str, frozenset[str]]
    names: Mapping[tuple[str, str], frozenset[str]]

    def of(self, identity: Identity | None) -> frozenset[str]:
        """Return the roles of a caller."""
        if identity is None:
            return frozenset()
        return self.names.get((identity.kind, identity.name), frozenset())

    def calling(self, rpc: str) -> frozenset[str]:
        """Return the roles that may call an RPC, `service/method`; none if it has no row."""
        return self.rpcs.get(rpc, frozenset())


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
    names: dict[tuple[str, str], frozenset[str]] = {}
    if file is not None:
        try:
            given = tomllib.loads(file.read_text("utf-8"))
            _refuse_unknown_tables(given)
            rows |= _rows(given.get("rpcs", {}))
            names |= _names(given.get("names", {}))
        except ValueError as error:
            raise ValueError(f"{escape(file)}: {error}") from None
    if local is not None:
        names[LOCAL, local.name] = local.roles
    return Roles(rpcs=table() | rows, names=names)


@cache
def table() -> dict[str, frozenset[str]]:
    """Return the rows that hold unless a firm's file has others."""
    services = tomllib.loads(TABLE.read_text("utf-8"))["rpcs"]
    return {
        f"{service}/{method}": frozenset(roles)
        for service, rows in services.items()
        for method, roles in rows.items()
    }


def roles_of(given: object) -> frozenset[str]:
    """Return roles that a file or a setting names.

    Raises:
        ValueError: They are not a list of roles.
    """
    if not isinstance(given, list) or not all(role in ROLES for role in given):
        raise ValueError(f"expected a list of {', '.join(ROLES)}, got {quote(given)}")
    return frozenset(given)


def in_order(roles: Iterable[str]) -> str:
    """Return roles as a message lists them."""
    return ", ".join(role for role in ROLES if role in roles)


def _refuse_unknown_tables(given: Mapping[str, object]) -> None:
    unknown = sorted(set(given) - {"names", "rpcs"})
    if unknown:
        raise ValueError(f"expected the tables names and rpcs, got {quote(unknown[0])}")


def _rows(services: Any) -> Iterator[tuple[str, frozenset[str]]]:
    for service, rows in _table(services, "rpcs"):
        for method, roles in _table(rows, f"rpcs.{service}"):
            rpc = f"{service}/{method}"
            if rpc not in table():
                raise ValueError(f"expected an RPC of this server, got {quote(rpc)}")
            yield rpc, _located(rpc, roles)


def _names(kinds: Any) -> Iterator[tuple[tuple[str, str], frozenset[str]]]:
    for kind, rows in _table(kinds, "names"):
        if kind not in KINDS:
            raise ValueError(f"expected a kind of name ({', '.join(KINDS)}), got {quote(kind)}")
        for name, roles in _table(rows, f"names.{kind}"):
            yield (kind, name), _located(f"names.{kind}.{name}", roles)


def _table(given: Any, where: str) -> Iterable[tuple[str, Any]]:
    if not isinstance(given, dict):
        raise ValueError(f"{where}: expected a table, got {quote(given)}")  # noqa: TRY004 - a file's content.
    return given.items()


def _located(where: str, roles: object) -> frozenset[str]:
    try:
        return roles_of(roles)
    except ValueError as error:
        raise ValueError(f"{quote(where)}: {error}") from None
