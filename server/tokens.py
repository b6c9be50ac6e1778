"""Tokens as the second way to say who calls: signed JSON Web Tokens (RFC 7519) of one issuer.

Invariants:
- A token counts only if it is signed by a key of the file, with that key's own asymmetric
  algorithm, has `kid`, `exp` and `sub`, and `iss` and `aud` as the settings.
- A caller who shows a token that does not count is nobody, whatever else it shows.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa

from lottery.errors import Unauthenticated, escape, quote
from server.certificates import RSA_BITS
from server.watched import Watched

ALGORITHMS: Final = (
    *("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"),
    *("ES256", "ES384", "ES512", "EdDSA"),
)
"""The algorithms that a key may have; all are asymmetric."""
REQUIRED: Final = ("iss", "aud", "exp", "sub")
"""What a token must say."""
LEEWAY_SECONDS: Final = 10
"""How far the clocks of the issuer and of the server may differ."""
SCHEME: Final = "bearer"
"""The scheme of the metadata `authorization` (RFC 6750)."""


class Tokens:
    """The tokens of one issuer.

    Args:
        keys: The issuer's public keys, by their id.
        issuer: What `iss` must be.
        audience: What `aud` must be or have.
    """

    def __init__(
        self, keys: Watched[Mapping[str, jwt.PyJWK]], *, issuer: str, audience: str
    ) -> None:
        self._keys = keys
        self._issuer = issuer
        self._audience = audience

    @property
    def keys(self) -> Watched[Mapping[str, jwt.PyJWK]]:
        """The issuer's keys, which may change."""
        return self._keys

    def subject(self, authorization: str) -> str:
        """Return the subject of a token, which is the caller's name.

        Args:
            authorization: The metadata of a call: `Bearer` and the token.

        Raises:
            Unauthenticated: The token does not count.
        """
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != SCHEME:
            raise Unauthenticated(f"expected `Bearer` and a token, got {quote(scheme)}")
        try:
            claims = self._claims(token)
        except jwt.PyJWTError as error:
            raise Unauthenticated(
                f"expected a valid token of {escape(self._issuer)}: {escape(str(error), 80)}; "
                "ask for a new one"
            ) from None
        subject = str(claims["sub"])
        if not (subject and subject.isprintable()):
            raise Unauthenticated("expected a printable `sub` in the token")
        return subject

    def _claims(self, token: str) -> Mapping[str, Any]:
        identifier = jwt.get_unverified_header(token).get("kid")
        key = self._keys.current().get(str(identifier))
        if identifier is None or key is None:
            raise Unauthenticated(
                f"expected a token whose `kid` is that of a key of {escape(self._issuer)}, got "
                f"{quote(identifier)}; ask for a new one"
            )
        return jwt.decode(
            token,
            key,
            algorithms=[key.algorithm_name],
            audience=self._audience,
            issuer=self._issuer,
            leeway=LEEWAY_SECONDS,
            options={"require": list(REQUIRED)},
        )


def watched_keys(file: Path) -> Watched[Mapping[str, jwt.PyJWK]]:
    """Return an issuer's public keys, which are read again when the file changes.

    Raises:
        OSError: The file cannot be read.
        ValueError: It is not a set of public keys.
    """
    return Watched("token keys", [file], lambda: read_keys(file))


def read_keys(file: Path) -> Mapping[str, jwt.PyJWK]:
    """Read a JSON Web Key Set (RFC 7517) of public keys, and return them by their id.

    Raises:
        OSError: The file cannot be read.
        ValueError: It is no such set, or a key is private, symmetric, short or without an id.
    """
    content = file.read_bytes()
    try:
        given = json.loads(content)["keys"]
        keys = [_key(each) for each in given if each.get("use") != "enc"]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        what = "no JSON Web Key Set" if not isinstance(error, ValueError) else escape(str(error))
        raise ValueError(f"{escape(file)}: expected public keys: {what}") from None
    by_id = {str(key.key_id): key for key in keys}
    if not keys or len(by_id) != len(keys):
        raise ValueError(f"{escape(file)}: expected keys, each with a `kid` of its own")
    return by_id


def _key(given: Mapping[str, Any]) -> jwt.PyJWK:
    """Return a public key.

    Raises:
        ValueError: It is not one that may sign tokens.
    """
    if not isinstance(given.get("kid"), str):
        raise ValueError("a key has no `kid`")  # noqa: TRY004 - a file's content.
    name = f"key {quote(given['kid'])}"
    if {"d", "k"} & set(given):
        raise ValueError(f"{name} is private or symmetric; give the public key")
    try:
        key = jwt.PyJWK(dict(given))
    except jwt.PyJWTError as error:
        raise ValueError(f"{name}: {error}") from None
    if key.algorithm_name not in ALGORITHMS:
        raise ValueError(f"{name}: `alg` must be one of {', '.join(ALGORITHMS)}")
    if isinstance(key.key, rsa.RSAPublicKey) and key.key.key_size < RSA_BITS:
        raise ValueError(f"{name}: must have {RSA_BITS} bits or more")
    return key
