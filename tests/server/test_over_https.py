"""JSON over HTTP with TLS and tokens: who calls, who may, and certificates that change."""

from __future__ import annotations

import shutil
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from google.protobuf.message import Message

from lottery import operations
from lottery.ledger.entry import read_run
from lottery.v1 import audit_service_pb2 as audit
from lottery.v1 import lottery_service_pb2 as pb
from tests.builders import ASKS, PUBLISHED, TESTER
from tests.builders import settings_of as ledger_settings
from tests.ledger.contract.places import FOUR_EYES
from tests.server.calls import PATIENCE, asks_of, connected, messages_of, wait_until
from tests.server.certificates import Authority, Certificate
from tests.server.over_http import answered, ask, client_of, reason
from tests.server.processes import ServerProcess, server_process
from tests.server.test_tokens import (
    AUDIENCE,
    ISSUER,
    KEY,
    OTHER_KEY,
    bearer,
    claims,
    signed,
    write_keys,
)

RUN = "2024-09-16-001"
DERIVE = pb.DeriveSeedRequest(exchange_asks=asks_of(ASKS))
LIST = pb.ListRunsRequest()
ROLES = '[names.token]\nann = ["operator"]\nbob = ["approver"]\ncarl = ["auditor"]\n'


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A server with mutual TLS and tokens, whose ledger has a proposal of Ann's."""

    server: ServerProcess
    authority: Authority
    files: Certificate
    http: httpx.Client
    proposed: bytes

    def ask(self, message: Message, shown: str | None = None) -> httpx.Response:
        """Send a message, with a token or without, to the path of its RPC."""
        return ask(self.http, message, **({"Authorization": f"Bearer {shown}"} if shown else {}))


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("https")
    authority = Authority(folder / "ours")
    files = Certificate(certificate=folder / "tls.crt", key=folder / "tls.key")
    put(authority.server(), files)
    write_keys(folder / "keys.json", one=KEY)
    (folder / "roles.toml").write_text(ROLES)
    operations.init_ledger(ledger_settings(folder / "ledger"), FOUR_EYES, TESTER).close()
    given: dict[str, Any] = {
        "trust_local": "",
        "http_listen": "127.0.0.1:0",
        "tls_certificate": str(files.certificate),
        "tls_key": str(files.key),
        "tls_client_ca": str(authority.certificate),
        "token_keys": str(folder / "keys.json"),
        "token_issuer": ISSUER,
        "token_audience": AUDIENCE,
        "roles": str(folder / "roles.toml"),
    }
    with server_process(folder, processes="1", **given) as server:
        credentials = authority.of_client(authority.sign("client"))
        with connected(server.port, credentials) as stubs:
            run = stubs.lottery.RunLottery(
                iter(messages_of(PUBLISHED)),
                timeout=PATIENCE,
                metadata=bearer(token("ann")),
            ).run
        with client_of(server, verify=trusting(authority)) as client:
            yield Place(
                server=server,
                authority=authority,
                files=files,
                http=client,
                proposed=run.record,
            )


def token(name: str) -> str:
    return signed(claims(sub=name))


def trusting(authority: Authority) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(authority.certificate))


def put(new: Certificate, files: Certificate) -> None:
    """Put another certificate, and then its key, in the place of the server's."""
    for source, target in ((new.certificate, files.certificate), (new.key, files.key)):
        shutil.copy(source, target.with_suffix(".new"))
        target.with_suffix(".new").replace(target)


def test_a_token_says_who_calls_and_its_roles_what_may_be_asked(place: Place) -> None:
    listed = answered(LIST, place.ask(LIST, token("ann")))
    assert isinstance(listed, pb.ListRunsResponse)
    assert [run.run for run in listed.runs] == [RUN]

    withdraw = pb.WithdrawRunRequest(run=RUN, reason="it is a test")
    assert reason(place.ask(withdraw, token("bob"))) == (403, "PERMISSION_DENIED", "ROLE_MISSING")
    assert reason(place.ask(LIST, token("eve"))) == (403, "PERMISSION_DENIED", "ROLE_MISSING")


def test_an_auditor_verifies_over_http_and_an_operator_does_not(place: Place) -> None:
    verify = audit.VerifyLedgerRequest()

    found = answered(verify, place.ask(verify, token("carl")))

    assert isinstance(found, audit.VerifyLedgerResponse)
    assert found.sound
    assert reason(place.ask(verify, token("ann"))) == (403, "PERMISSION_DENIED", "ROLE_MISSING")


def test_without_a_token_a_caller_is_nobody_who_computes_and_reads_nothing(place: Place) -> None:
    assert place.ask(DERIVE).status_code == httpx.codes.OK

    refused = place.ask(LIST)

    assert reason(refused) == (401, "UNAUTHENTICATED", "UNAUTHENTICATED")
    assert refused.headers["www-authenticate"] == "Bearer"


def test_a_certificate_of_a_client_says_over_http_nothing(place: Place) -> None:
    client = place.authority.sign("batch")
    context = trusting(place.authority)
    context.load_cert_chain(client.certificate, client.key)

    with client_of(place.server, verify=context) as http:
        assert ask(http, DERIVE).status_code == httpx.codes.OK
        assert reason(ask(http, LIST)) == (401, "UNAUTHENTICATED", "UNAUTHENTICATED")


@pytest.mark.parametrize("wrong", ["signed by another", "expired", "no token", "two"])
def test_a_token_that_does_not_count_is_refused_even_where_none_is_needed(
    place: Place, wrong: str
) -> None:
    shown = {
        "signed by another": [signed(claims(sub="ann"), key=OTHER_KEY)],
        "expired": [signed(claims(sub="ann", exp=1))],
        "no token": ["abc"],
        "two": [token("ann"), token("ann")],
    }[wrong]
    headers = [("Authorization", f"Bearer {each}") for each in shown]

    refused = place.http.post(
        "/v1:deriveSeed", content=b"{}", headers=[*headers, ("Content-Type", "application/json")]
    )

    assert reason(refused) == (401, "UNAUTHENTICATED", "UNAUTHENTICATED")
    assert refused.headers["www-authenticate"] == "Bearer"


def test_a_proposal_is_approved_over_http_by_another_person(place: Place) -> None:
    shown = answered(pb.GetRunRequest(run=RUN), place.ask(pb.GetRunRequest(run=RUN), token("bob")))
    assert isinstance(shown, pb.GetRunResponse)
    request = pb.ApproveRunRequest(run=RUN, record_sha256=shown.run.record_sha256)

    assert place.ask(request, token("ann")).status_code == httpx.codes.FORBIDDEN
    approved = answered(request, place.ask(request, token("bob")))

    assert isinstance(approved, pb.ApproveRunResponse)
    assert approved.run.record == place.proposed
    assert read_run(approved.run.record).requested_by.name == "ann"
    assert approved.run.verdict.person == "bob"
    assert b'"host":"ipv4:127.0.0.1:' in approved.run.verdict.entry


def test_the_console_shows_each_caller_what_the_token_may_see(place: Place) -> None:
    pages = {
        name: place.http.get("/runs", headers={"Authorization": f"Bearer {token(name)}"})
        for name in ("ann", "eve")
    }
    nobody = place.http.get("/runs")

    assert (nobody.status_code, pages["eve"].status_code) == (401, 403)
    assert "Nobody vouches for you" in nobody.text
    assert pages["ann"].status_code == httpx.codes.OK
    assert f'href="/runs/{RUN}"' in pages["ann"].text
    assert RUN not in nobody.text + pages["eve"].text


def test_a_form_of_the_console_is_the_callers_and_comes_from_its_own_page(place: Place) -> None:
    credentials = place.authority.of_client(place.authority.sign("client"))
    with connected(place.server.port, credentials) as stubs:
        proposed = stubs.lottery.RunLottery(
            iter(messages_of(PUBLISHED.later(1))), timeout=PATIENCE, metadata=bearer(token("ann"))
        ).run
    path = f"/proposals/{proposed.run}/reject"
    form = {"record_sha256": proposed.record_sha256, "reason": "it is a test"}
    by_bob = {"Authorization": f"Bearer {token('bob')}"}

    foreign = place.http.post(path, data=form, headers={**by_bob, "Origin": "https://evil.example"})
    silent = place.http.post(path, data=form, headers=by_bob)
    own = {"Origin": str(place.http.base_url).rstrip("/")}
    by_ann = {**own, "Authorization": f"Bearer {token('ann')}"}
    refused = place.http.post(path, data=form, headers=by_ann)
    done = place.http.post(path, data=form, headers={**own, **by_bob})

    assert [foreign.status_code, silent.status_code, refused.status_code] == [403, 403, 403]
    assert (done.status_code, done.headers["location"]) == (303, f"/runs/{proposed.run}")
    shown = place.ask(pb.GetRunRequest(run=proposed.run), token("bob"))
    rejected = answered(pb.GetRunRequest(run=proposed.run), shown)
    assert isinstance(rejected, pb.GetRunResponse)
    assert rejected.run.verdict.person == "bob"
    assert b'"host":"ipv4:127.0.0.1:' in rejected.run.verdict.entry


def test_the_next_handshake_has_a_certificate_that_was_exchanged(
    place: Place, tmp_path: Path
) -> None:
    other = Authority(tmp_path / "other")
    try:
        put(other.server(), place.files)
        with client_of(place.server, verify=trusting(other)) as http:
            assert ask(http, DERIVE).status_code == httpx.codes.OK
        with (
            client_of(place.server, verify=trusting(place.authority)) as http,
            pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"),
        ):
            ask(http, DERIVE)

        place.files.key.write_text("not PEM")
        with client_of(place.server, verify=trusting(other)) as http:
            assert ask(http, DERIVE).status_code == httpx.codes.OK
        wait_until(lambda: place.server.has_logged("kept the former"))
    finally:
        put(place.authority.server(), place.files)
    with client_of(place.server, verify=trusting(place.authority)) as http:
        assert ask(http, DERIVE).status_code == httpx.codes.OK


def test_plain_text_is_not_answered_where_there_is_tls(place: Place) -> None:
    with client_of(place.server) as http, pytest.raises(httpx.TransportError):
        ask(http, DERIVE)
