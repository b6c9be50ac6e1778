"""The client's files, replaced while it is used, over sockets."""

from __future__ import annotations

import gc
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509

from lottery.client import LotteryClient, TlsFiles
from lottery.errors import RoleMissing, ServerAway, Unauthenticated
from server.app import LotteryServer
from tests.builders import ASKS, PUBLISHED, exchange_asks
from tests.server.calls import PATIENCE, Stream, rows_of, serving, spec_of
from tests.server.certificates import Authority, Certificate
from tests.server.test_tokens import KEY, claims, settings, signed, write_keys

ROLES = """
[names.email]
"ann@bank.example" = ["operator"]
[names.token]
ann = ["operator"]
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A server with mutual TLS, and the files of a client."""

    server: LotteryServer
    authority: Authority
    files: TlsFiles

    def client(self) -> LotteryClient:
        return LotteryClient(f"127.0.0.1:{self.server.port}", tls=self.files)

    def put(self, name: str) -> Certificate:
        """Put the certificate of a person, and its key, in the place of the client's."""
        made = self.authority.sign(name, x509.RFC822Name(f"{name}@bank.example"))
        assert self.files.certificate is not None
        assert self.files.key is not None
        replace(made.certificate, self.files.certificate)
        replace(made.key, self.files.key)
        return made


def replace(source: Path, target: Path) -> None:
    new = target.with_suffix(".new")
    shutil.copy(source, new)
    new.replace(target)


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    authority = Authority(tmp_path / "ours")
    roles, keys = tmp_path / "roles.toml", tmp_path / "keys.json"
    roles.write_text(ROLES, "utf-8")
    write_keys(keys, one=KEY)
    files = TlsFiles(
        authorities=tmp_path / "ca.pem", certificate=tmp_path / "tls.crt", key=tmp_path / "tls.key"
    )
    replace(authority.certificate, files.authorities)
    with serving(
        tmp_path / "ledger",
        **authority.server().of_server,
        tls_client_ca=authority.certificate,
        roles=roles,
        **settings(keys),
    ) as server:
        made = Place(server=server, authority=authority, files=files)
        made.put("bob")
        yield made


def test_the_next_call_shows_the_new_certificate(place: Place) -> None:
    with place.client() as client:
        with pytest.raises(RoleMissing, match=r"email 'bob@bank\.example' has none"):
            list(client.list_runs())
        place.put("ann")

        assert list(client.list_runs()) == []


def test_a_call_in_progress_finishes_over_the_former_connection(place: Place) -> None:
    place.put("ann")
    stream = Stream(spec_of(PUBLISHED))
    with place.client() as client:
        call: Any = client._lottery.RunLottery.future(iter(stream), timeout=PATIENCE)
        assert stream.taken.acquire(timeout=PATIENCE)
        place.put("bob")
        with pytest.raises(RoleMissing, match=r"email 'bob@bank\.example' has none"):
            list(client.list_runs())
        gc.collect()
        stream.send(*rows_of(PUBLISHED))
        stream.end()

        assert call.result(PATIENCE).run.run == "2024-09-16-001"


def test_a_certificate_beside_anothers_key_changes_nothing(place: Place) -> None:
    assert place.files.key is not None
    with place.client() as client:
        client.derive_seed(exchange_asks(ASKS))
        place.files.key.write_bytes(place.authority.sign("other").key.read_bytes())
        client.derive_seed(exchange_asks(ASKS))
        place.files.key.unlink()
        client.derive_seed(exchange_asks(ASKS))
        place.put("ann")

        assert list(client.list_runs()) == []


def test_a_client_is_not_made_with_anothers_key(place: Place) -> None:
    assert place.files.key is not None
    place.files.key.write_bytes(place.authority.sign("other").key.read_bytes())

    with pytest.raises(ValueError, match="expected the key of "):
        place.client()


def test_a_token_is_read_for_each_call(place: Place, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text(signed(claims(sub="bob")) + "\n", "ascii")
    files = TlsFiles(
        authorities=place.files.authorities,
        certificate=place.files.certificate,
        key=place.files.key,
        token=token,
    )
    with LotteryClient(f"127.0.0.1:{place.server.port}", tls=files) as client:
        with pytest.raises(RoleMissing, match="token 'bob' has none"):
            list(client.list_runs())
        token.write_text(signed(claims(sub="ann")), "ascii")
        assert list(client.list_runs()) == []
        token.write_text(signed(claims(sub="ann", exp=1)), "ascii")
        with pytest.raises(Unauthenticated, match="expired"):
            list(client.list_runs())
        token.unlink()
        with pytest.raises(ServerAway):
            list(client.list_runs())
