"""Tokens over sockets: whose count, and every way not to."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import grpc
import jwt
import prometheus_client
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

from lottery.ledger.entry import read_run
from lottery.operations.roles import ROLES
from lottery.v1 import lottery_service_pb2 as pb
from server.app import LotteryServer, create_server
from server.tokens import read_keys
from tests.builders import ASKS, PUBLISHED, made
from tests.server.calls import (
    Failure,
    Stubs,
    asks_of,
    connected,
    failure_of,
    messages_of,
    serving,
    settings_of,
)
from tests.server.certificates import Authority

ISSUER: Final = "https://id.bank.example"
AUDIENCE: Final = "lottery"
KEY: Final = ec.generate_private_key(ec.SECP256R1())
OTHER_KEY: Final = ec.generate_private_key(ec.SECP256R1())
DERIVE: Final = pb.DeriveSeedRequest(exchange_asks=asks_of(ASKS))


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A server that takes tokens, and the file of the issuer's keys."""

    server: LotteryServer
    keys: Path
    stubs: Stubs

    def list_runs(self, token: str) -> Any:
        """List the runs with a token."""
        return self.stubs.lottery.ListRuns(pb.ListRunsRequest(), metadata=bearer(token))

    def refused(self, token: str) -> Failure:
        """Return how a call fails that needs no role, with a token."""
        return failure_of(lambda: self.stubs.lottery.DeriveSeed(DERIVE, metadata=bearer(token)))


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    roles, keys = tmp_path / "roles.toml", tmp_path / "keys.json"
    roles.write_text("[names.token]\n" + "".join(f'{role} = ["{role}"]\n' for role in ROLES))
    write_keys(keys, one=KEY)
    with (
        serving(tmp_path / "ledger", trust_local=None, roles=roles, **settings(keys)) as server,
        connected(server.port) as stubs,
    ):
        yield Place(server=server, keys=keys, stubs=stubs)


def settings(keys: Path) -> dict[str, Any]:
    return {"token_keys": keys, "token_issuer": ISSUER, "token_audience": AUDIENCE}


def public(key: ec.EllipticCurvePrivateKey, **more: str) -> dict[str, Any]:
    return {**ECAlgorithm.to_jwk(key.public_key(), as_dict=True), **more}


def write_keys(file: Path, **keys: ec.EllipticCurvePrivateKey) -> None:
    """Put a set of keys in the place of a file."""
    new = file.with_suffix(".new")
    new.write_text(json.dumps({"keys": [public(key, kid=kid) for kid, key in keys.items()]}))
    new.replace(file)


def claims(**other: Any) -> dict[str, Any]:
    usual = {"iss": ISSUER, "aud": AUDIENCE, "exp": int(time.time()) + 600, "sub": "operator"}
    return {name: value for name, value in (usual | other).items() if value is not None}


def signed(said: dict[str, Any] | None = None, *, key: Any = KEY, kid: str | None = "one") -> str:
    headers = None if kid is None else {"kid": kid}
    return jwt.encode(said or claims(), key, algorithm="ES256", headers=headers)


def bearer(token: str) -> tuple[tuple[str, str], ...]:
    return (("authorization", f"Bearer {token}"),)


def part(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()


def confused() -> str:
    """Return a token whose signature is an HMAC with the issuer's public key as the secret."""
    head = part(json.dumps({"alg": "HS256", "typ": "JWT", "kid": "one"}).encode())
    text = f"{head}.{part(json.dumps(claims()).encode())}"
    secret = KEY.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return f"{text}.{part(hmac.digest(secret, text.encode(), hashlib.sha256))}"


def changed() -> str:
    """Return a token whose subject was changed after it was signed."""
    head, _, signature = signed(claims(sub="service")).split(".")
    return f"{head}.{part(json.dumps(claims()).encode())}.{signature}"


def unsigned() -> str:
    head = part(json.dumps({"alg": "none", "kid": "one"}).encode())
    return f"{head}.{part(json.dumps(claims()).encode())}."


def test_the_record_names_the_subject_of_a_token(place: Place) -> None:
    messages = messages_of(PUBLISHED)
    response = place.stubs.lottery.RunLottery(iter(messages), metadata=bearer(signed()))

    by = read_run(response.run.record).requested_by
    assert (by.kind, by.name) == ("token", "operator")


def test_a_token_has_the_roles_of_its_subject_and_no_others(place: Place) -> None:
    for role in ROLES:
        token = signed(claims(sub=role))
        if role == "administrator":
            failure = failure_of(lambda token=token: place.list_runs(token))  # type: ignore[misc]
            assert failure.status == (grpc.StatusCode.PERMISSION_DENIED, "ROLE_MISSING")
        else:
            assert list(place.list_runs(token).runs) == []
    stranger = failure_of(lambda: place.list_runs(signed(claims(sub="stranger"))))
    assert stranger.status == (grpc.StatusCode.PERMISSION_DENIED, "ROLE_MISSING")
    assert "token 'stranger' has none" in stranger.message


@pytest.mark.parametrize(
    ("token", "problem"),
    [
        (lambda: signed(claims(exp=int(time.time()) - 60)), "expired"),
        (lambda: signed(claims(nbf=int(time.time()) + 600)), "not yet valid"),
        (lambda: signed(claims(iss="https://elsewhere.example")), "Invalid issuer"),
        (lambda: signed(claims(aud="payments")), "Audience doesn't match"),
        (lambda: signed(claims(exp=None)), '"exp"'),
        (lambda: signed(claims(iss=None)), '"iss"'),
        (lambda: signed(claims(aud=None)), '"aud"'),
        (lambda: signed(claims(sub=None)), '"sub"'),
        (lambda: signed(claims(sub="\x1b[2J")), "printable `sub`"),
        (lambda: signed(key=OTHER_KEY), "Signature verification failed"),
        (lambda: signed(key=OTHER_KEY, kid="two"), "`kid`"),
        (lambda: signed(kid=None), "`kid`"),
        (changed, "Signature verification failed"),
        (confused, "alg"),
        (unsigned, "alg"),
        (lambda: "a.b", "Not enough segments"),
        (lambda: "", "Not enough segments"),
    ],
    ids=[
        *("expired", "early", "foreign issuer", "other audience", "no exp", "no iss", "no aud"),
        *("no sub", "odd sub", "foreign key", "unknown kid", "no kid", "changed", "HMAC"),
        *("no signature", "no token", "nothing"),
    ],
)
def test_a_token_that_does_not_count_is_refused_whatever_is_called(
    place: Place, token: Callable[[], str], problem: str
) -> None:
    refused = place.refused(token())

    assert refused.status == (grpc.StatusCode.UNAUTHENTICATED, "UNAUTHENTICATED")
    assert problem in refused.message
    assert refused.domain == "lottery.v1"


@pytest.mark.parametrize(
    ("metadata", "problem"),
    [
        ((("authorization", "Basic b3BlcmF0b3I6"),), "expected `Bearer` and a token, got 'Basic'"),
        (bearer(signed()) * 2, "expected one `authorization`, got 2"),
    ],
)
def test_other_authorizations_are_refused(
    place: Place, metadata: tuple[tuple[str, str], ...], problem: str
) -> None:
    refused = failure_of(lambda: place.stubs.lottery.DeriveSeed(DERIVE, metadata=metadata))

    assert refused.status == (grpc.StatusCode.UNAUTHENTICATED, "UNAUTHENTICATED")
    assert problem in refused.message


def test_keys_that_change_hold_from_the_next_call_on(place: Place) -> None:
    former, newer = signed(), signed(key=OTHER_KEY, kid="two")
    place.list_runs(former)
    write_keys(place.keys, one=KEY, two=OTHER_KEY)
    place.list_runs(former)
    place.list_runs(newer)
    write_keys(place.keys, two=OTHER_KEY)

    assert place.refused(former).code is grpc.StatusCode.UNAUTHENTICATED
    place.list_runs(newer)


def test_broken_new_keys_leave_the_former_ones_in_use_and_alarm(place: Place) -> None:
    place.keys.write_text('{"keys": []}', "utf-8")

    place.list_runs(signed())
    labels = {"what": "token keys"}
    assert prometheus_client.REGISTRY.get_sample_value("lottery_stale_files", labels) == 1


def test_a_server_without_keys_takes_no_tokens(tmp_path: Path) -> None:
    with serving(tmp_path / "ledger") as server, connected(server.port) as stubs:
        refused = failure_of(lambda: stubs.lottery.DeriveSeed(DERIVE, metadata=bearer(signed())))

    assert refused.status == (grpc.StatusCode.UNAUTHENTICATED, "UNAUTHENTICATED")
    assert "LOTTERY_TOKEN_KEYS" in refused.message


def test_over_tls_a_token_needs_no_certificate(tmp_path: Path) -> None:
    authority = Authority(tmp_path / "ours")
    roles, keys = tmp_path / "roles.toml", tmp_path / "keys.json"
    roles.write_text('[names.token]\noperator = ["operator"]\n', "utf-8")
    write_keys(keys, one=KEY)
    with (
        serving(
            tmp_path / "ledger", **authority.server().of_server, roles=roles, **settings(keys)
        ) as server,
        connected(server.port, authority.of_client()) as stubs,
    ):
        answer = stubs.lottery.ListRuns(pb.ListRunsRequest(), metadata=bearer(signed()))

    assert list(answer.runs) == []


def test_every_kind_of_key_that_may_sign_signs(tmp_path: Path) -> None:
    keys = {
        "ES384": public(ec.generate_private_key(ec.SECP384R1()), kid="ES384"),
        "EdDSA": {
            **OKPAlgorithm.to_jwk(ed25519.Ed25519PrivateKey.generate().public_key(), as_dict=True),
            "kid": "EdDSA",
        },
        "PS256": {**rsa_key(2_048), "kid": "PS256", "alg": "PS256"},
        "RS256": {**rsa_key(2_048), "kid": "RS256"},
    }
    encryption = {**rsa_key(2_048), "kid": "for something else", "use": "enc"}
    file = tmp_path / "keys.json"
    file.write_text(json.dumps({"keys": [*keys.values(), encryption]}), "utf-8")

    read = {kid: key.algorithm_name for kid, key in read_keys(file).items()}
    assert read == {kid: kid for kid in keys}


def rsa_key(bits: int) -> dict[str, Any]:
    key = rsa.generate_private_key(65_537, bits)
    return RSAAlgorithm.to_jwk(key.public_key(), as_dict=True)


@pytest.mark.parametrize(
    ("keys", "problem"),
    [
        ("keys", "Expecting value"),
        ("[]", "no JSON Web Key Set"),
        ('{"keys": 1}', "no JSON Web Key Set"),
        ('{"keys": ["a"]}', "no JSON Web Key Set"),
        ([], "expected keys, each with a `kid` of its own"),
        ([public(KEY)], "a key has no `kid`"),
        ([public(KEY, kid="a"), public(OTHER_KEY, kid="a")], "each with a `kid` of its own"),
        ([{"kty": "oct", "k": "c2VjcmV0", "kid": "a"}], "key 'a' is private or symmetric"),
        (
            [{**ECAlgorithm.to_jwk(KEY, as_dict=True), "kid": "a"}],
            "key 'a' is private or symmetric",
        ),
        ([{**rsa_key(1_024), "kid": "a"}], "key 'a': must have 2048 bits or more"),
        ([public(KEY, kid="a", alg="HS256")], "key 'a': "),
        ([public(ec.generate_private_key(ec.SECP256K1()), kid="a")], "`alg` must be one of RS256"),
        ([{"kty": "lattice", "kid": "a"}], "key 'a': Unsupported kty"),
    ],
)
def test_a_set_of_keys_that_cannot_be_used_is_refused(
    tmp_path: Path, keys: object, problem: str
) -> None:
    file = tmp_path / "keys.json"
    file.write_text(keys if isinstance(keys, str) else json.dumps({"keys": keys}), "utf-8")

    with pytest.raises(ValueError, match=problem) as refused:
        read_keys(file)

    assert str(refused.value).startswith(f"{file}: expected ")


@pytest.mark.parametrize("left_out", ["token_keys", "token_issuer", "token_audience"])
def test_the_settings_of_tokens_go_together(tmp_path: Path, left_out: str) -> None:
    write_keys(tmp_path / "keys.json", one=KEY)
    given = {**settings(tmp_path / "keys.json"), left_out: None}
    made(tmp_path / "ledger")

    with pytest.raises(ValueError, match="set all three or none"):
        create_server(settings_of(tmp_path / "ledger", **given))
