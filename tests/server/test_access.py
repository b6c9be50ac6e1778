"""Who gets in, over sockets: every role at every RPC, and every way to be nobody."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from grpc_reflection.v1alpha import reflection_pb2

from lottery.client import LotteryClient, TlsFiles
from lottery.errors import RoleMissing, Unauthenticated
from lottery.ledger.entry import read_run
from lottery.operations.roles import ROLES, table
from lottery.v1 import audit_service_pb2 as audit_pb
from lottery.v1 import lottery_service_pb2 as pb
from server.app import LotteryServer
from tests.builders import ASKS, PUBLISHED, exchange_asks
from tests.server.calls import (
    PATIENCE,
    SERVICES,
    connected,
    failure_in,
    failure_to,
    read,
    run_day,
    send,
    serving,
    trail_of,
)
from tests.server.certificates import DAY, Authority, Certificate

OPEN: Final = {"DeriveSeed", "AllocateSeries", "GetOdds"}
READS: Final = {
    *("GetRun", "ListRuns", "StreamAllocations", "ExplainPool", "GetDay", "DiffRuns"),
    *(
        "ListProposals",
        "StreamHistory",
        "GetCharter",
        "GetCheckpoint",
        "GetInclusionProof",
        "GetConsistencyProof",
        "GetStatus",
    ),
}
MAY: Final = {
    "operator": OPEN | READS | {"RunLottery", "WithdrawRun"},
    "approver": OPEN | READS | {"ApproveRun", "RejectRun"},
    "auditor": OPEN
    | READS
    | {"ReplayRun", "ReplayRuns", "VerifyLedger", "ExportRun", "StreamEntries"},
    "service": OPEN | READS,
    "administrator": OPEN
    | {"GetCharter", "GetCheckpoint", "GetInclusionProof", "GetConsistencyProof"}
    | {"GetStatus", "StreamEntries"},
    "no role": OPEN,
    "no typed name": OPEN,
    "local": OPEN,
}
"""What each caller may call, in the words of the requirement and not of the table."""
METHODS: Final = [method for service in SERVICES for method in service.methods]
REFLECTION: Final = "grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"
DENIED: Final = {grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED}


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A server with mutual TLS, its roles, and a certificate for each of its callers."""

    server: LotteryServer
    roles: Path
    authority: Authority
    callers: dict[str, Certificate]

    @contextmanager
    def caller(self, name: str) -> Iterator[Any]:
        """Connect a caller."""
        shown = self.authority.of_client(self.callers[name])
        with connected(self.server.port, shown) as stubs:
            yield stubs


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("access")
    authority = Authority(folder / "ours")
    callers = {
        role: authority.sign(role, x509.UniformResourceIdentifier(spiffe(role)))
        for role in (*ROLES, "no role")
    }
    callers["no typed name"] = authority.sign("nameless", common_name=spiffe("operator"))
    roles = folder / "roles.toml"
    roles.write_text("[names.spiffe]\n" + "".join(f'"{spiffe(r)}" = ["{r}"]\n' for r in ROLES))
    with serving(
        folder / "ledger",
        **authority.server().of_server,
        tls_client_ca=authority.certificate,
        roles=roles,
    ) as server:
        yield Place(server=server, roles=roles, authority=authority, callers=callers)


def spiffe(name: str) -> str:
    return f"spiffe://bank.example/{name.replace(' ', '-')}"


def answer_to(channel: grpc.Channel, method: Any) -> grpc.RpcError | None:
    """Send a method an empty request, and return how it fails, or None."""
    path = f"/{method.containing_service.full_name}/{method.name}"
    shape = f"{'stream' if method.client_streaming else 'unary'}_"
    shape += "stream" if method.server_streaming else "unary"
    call = getattr(channel, shape)(path)
    try:
        read(call(iter([b""]) if method.client_streaming else b"", timeout=PATIENCE))
    except grpc.RpcError as error:
        return error
    return None


@pytest.mark.parametrize("caller", [name for name in MAY if name != "local"])
def test_a_role_gets_into_its_rpcs_and_into_no_other(place: Place, caller: str) -> None:
    with place.caller(caller) as stubs:
        errors: dict[str, Any] = {
            method.name: answer_to(stubs.channel, method) for method in METHODS
        }

    denied = {name for name, error in errors.items() if error and error.code() in DENIED}
    assert {method.name for method in METHODS} - denied == MAY[caller]
    for name in denied:
        failure = failure_in(errors[name])
        assert failure.domain == "lottery.v1"
        if caller == "no typed name":
            assert failure.status == (grpc.StatusCode.UNAUTHENTICATED, "UNAUTHENTICATED")
        else:
            assert failure.status == (grpc.StatusCode.PERMISSION_DENIED, "ROLE_MISSING")
            allowed = [role for role in ROLES if name in MAY[role]]
            assert failure.metadata["roles"] == ", ".join(allowed)
        assert f"{name} needs " in failure.message


def test_a_local_caller_whom_nobody_vouches_for_derives_allocates_and_asks_for_odds(
    tmp_path: Path,
) -> None:
    with (
        serving(tmp_path / "ledger", trust_local=None) as server,
        connected(server.port) as stubs,
    ):
        errors: dict[str, Any] = {
            method.name: answer_to(stubs.channel, method) for method in METHODS
        }
        codes = {name: error and error.code() for name, error in errors.items()}

        assert {name for name, code in codes.items() if code not in DENIED} == MAY["local"]
        assert "LOTTERY_TRUST_LOCAL" in errors["ListRuns"].details()
        assert trail_of(server) == []


@pytest.mark.parametrize("role", ROLES)
def test_a_local_caller_has_the_roles_of_the_setting(tmp_path: Path, role: str) -> None:
    with (
        serving(tmp_path / "ledger", trust_local=f"ann:{role}") as server,
        connected(server.port) as stubs,
    ):
        errors = {method.name: answer_to(stubs.channel, method) for method in METHODS}

    let_in = {name for name, error in errors.items() if not error or error.code() not in DENIED}
    assert let_in == MAY[role]


def test_every_rpc_has_its_row_and_every_row_its_rpc() -> None:
    rpcs = {f"{method.containing_service.full_name}/{method.name}" for method in METHODS}

    assert set(table()) == {*rpcs, REFLECTION}
    assert all(table().values())


def test_reflection_needs_no_identity(place: Place) -> None:
    with place.caller("no typed name") as stubs:
        call = stubs.channel.stream_stream(
            f"/{REFLECTION}",
            request_serializer=reflection_pb2.ServerReflectionRequest.SerializeToString,
            response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
        )
        asked = reflection_pb2.ServerReflectionRequest(list_services="")
        (answer,) = call(iter([asked]), timeout=PATIENCE)

    names = {service.name for service in answer.list_services_response.service}
    assert {"lottery.v1.LotteryService", "lottery.v1.AuditService"} <= names


def test_an_rpc_without_a_row_lets_nobody_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = dict(table())
    del rows["lottery.v1.LotteryService/ListRuns"]
    monkeypatch.setattr("lottery.operations.roles.table", lambda: rows)
    with serving(tmp_path / "ledger") as server, connected(server.port) as stubs:
        failure = failure_to(stubs, pb.ListRunsRequest())

    assert failure.status == (grpc.StatusCode.PERMISSION_DENIED, "ROLE_MISSING")


def test_the_record_and_the_trail_name_the_caller(place: Place) -> None:
    with place.caller("operator") as stubs:
        record = read_run(run_day(stubs, PUBLISHED).run.record)
    with place.caller("auditor") as stubs:
        for request in (
            audit_pb.ReplayRunRequest(run="latest"),
            audit_pb.ReplayRunsRequest(),
            audit_pb.ExportRunRequest(run="latest"),
        ):
            read(send(stubs, request))

    assert record.requested_by.kind == "spiffe"
    assert record.requested_by.name == spiffe("operator")
    assert record.requested_by.host.startswith("ipv4:127.0.0.1:")
    callers = [entry["requested_by"] for entry in trail_of(place.server)[-3:]]
    assert [(by["kind"], by["name"]) for by in callers] == [("spiffe", spiffe("auditor"))] * 3


def test_a_local_callers_name_is_recorded(tmp_path: Path) -> None:
    with (
        serving(tmp_path / "ledger", trust_local="batch on host 7:operator") as server,
        connected(server.port) as stubs,
    ):
        record = read_run(run_day(stubs, PUBLISHED).run.record)

    assert (record.requested_by.kind, record.requested_by.name) == ("local", "batch on host 7")


def test_who_reaches_a_unix_socket_is_a_local_caller(
    tmp_path: Path,
) -> None:
    target = f"unix:{tmp_path}/socket"
    with (
        serving(tmp_path / "ledger", listen=target, trust_local="ann:operator"),
        LotteryClient(target) as client,
    ):
        assert list(client.list_runs()) == []
        with pytest.raises(RoleMissing, match="local 'ann' has operator"):
            client.verify_ledger()
        assert (tmp_path / "socket").is_socket()


@pytest.mark.parametrize(
    ("names", "kind", "name"),
    [
        ([x509.DNSName("batch.bank.example")], "dns", "batch.bank.example"),
        ([x509.DNSName("a.example"), x509.RFC822Name("ann@bank.example")], "email", None),
        ([x509.DNSName("a.example"), x509.UniformResourceIdentifier("urn:ann")], "uri", "urn:ann"),
        ([x509.DNSName("a.example"), x509.DNSName("b.example")], "dns", "a.example"),
        (
            [
                x509.UniformResourceIdentifier("spiffe://bank.example/operator"),
                x509.UniformResourceIdentifier("spiffe://bank.example/other"),
                x509.DNSName("a.example"),
            ],
            "dns",
            "a.example",
        ),
    ],
    ids=["dns", "e-mail before dns", "uri before dns", "the first dns", "two spiffe ids are none"],
)
def test_a_certificate_is_one_typed_name(
    place: Place, names: list[x509.GeneralName], kind: str, name: str | None
) -> None:
    shown = place.authority.sign("typed", *names, common_name="operator")
    with connected(place.server.port, place.authority.of_client(shown)) as stubs:
        refused = failure_to(stubs, pb.ListRunsRequest())

    assert refused.status == (grpc.StatusCode.PERMISSION_DENIED, "ROLE_MISSING")
    assert f"; {kind} '{name or 'ann@bank.example'}' has none;" in refused.message


def test_roles_that_change_hold_from_the_next_call_on(place: Place) -> None:
    shown = place.authority.sign("clerk", x509.RFC822Name("ann@bank.example"))
    former = place.roles.read_text("utf-8")
    with connected(place.server.port, place.authority.of_client(shown)) as stubs:
        assert failure_to(stubs, pb.ListRunsRequest()).reason == "ROLE_MISSING"
        exchange(place.roles, former + '[names.email]\n"ann@bank.example" = ["auditor"]\n')
        stubs.lottery.ListRuns(pb.ListRunsRequest())
        exchange(place.roles, former)
        assert failure_to(stubs, pb.ListRunsRequest()).reason == "ROLE_MISSING"


def exchange(file: Path, text: str) -> None:
    """Put a new file in the place of another, as a deployment does."""
    new = file.with_suffix(".new")
    new.write_text(text, "utf-8")
    new.replace(file)


def test_the_status_has_the_servers_own_certificate(place: Place) -> None:
    shown = place.callers["administrator"]
    files = TlsFiles(
        authorities=place.authority.certificate, certificate=shown.certificate, key=shown.key
    )
    with LotteryClient(f"127.0.0.1:{place.server.port}", tls=files) as client:
        found = client.status().certificate

    assert found is not None
    (served,) = x509.load_pem_x509_certificates(Path(found.file).read_bytes())
    assert Path(found.file).name == "server.pem"
    assert (found.expires, found.problem) == (served.not_valid_after_utc, None)


def test_the_client_raises_what_is_missing(place: Place) -> None:
    shown = place.callers["service"]
    files = TlsFiles(
        authorities=place.authority.certificate, certificate=shown.certificate, key=shown.key
    )
    target = f"127.0.0.1:{place.server.port}"
    with (
        LotteryClient(target, tls=files) as client,
        pytest.raises(
            RoleMissing, match="WithdrawRun needs one of these roles: operator;"
        ) as caught,
    ):
        client.withdraw_run("latest", "OCC took the notices back")

    assert caught.value.roles == "operator"


def test_the_client_raises_that_nobody_vouches_for_it(tmp_path: Path) -> None:
    with (
        serving(tmp_path / "ledger", trust_local=None) as server,
        LotteryClient(f"127.0.0.1:{server.port}") as client,
    ):
        assert client.derive_seed(exchange_asks(ASKS)).seed.digits == "4313"
        with pytest.raises(Unauthenticated, match="GetRun needs a caller with one of these roles"):
            client.get_run("latest")


def test_an_expired_certificate_does_not_get_in(place: Place) -> None:
    names = [x509.UniformResourceIdentifier(spiffe("operator"))]
    expired = place.authority.sign("expired", *names, valid=(-2 * DAY, -DAY))
    early = place.authority.sign("early", *names, valid=(DAY, 2 * DAY))
    for shown in (expired, early):
        with connected(place.server.port, place.authority.of_client(shown)) as stubs:
            refused = failure_to(stubs, pb.ListRunsRequest())

        assert refused.code is grpc.StatusCode.UNAVAILABLE


def test_a_certificate_of_another_authority_does_not_get_in(place: Place, tmp_path: Path) -> None:
    foreign = Authority(tmp_path / "ours")  # By the same name.
    shown = foreign.sign("operator", x509.UniformResourceIdentifier(spiffe("operator")))
    with connected(place.server.port, place.authority.of_client(shown)) as stubs:
        refused = failure_to(stubs, pb.ListRunsRequest())

    assert refused.code is grpc.StatusCode.UNAVAILABLE


def test_a_changed_certificate_does_not_get_in(place: Place) -> None:
    shown = place.callers["no role"].certificate.read_bytes()
    certificate = x509.load_pem_x509_certificate(shown)
    der = certificate.public_bytes(serialization.Encoding.DER)
    changed = der.replace(b"/no-role", b"/auditor")
    assert changed != der
    forged = x509.load_der_x509_certificate(changed).public_bytes(serialization.Encoding.PEM)
    key = place.callers["no role"].key.read_bytes()
    trusted = place.authority.certificate.read_bytes()
    with connected(place.server.port, grpc.ssl_channel_credentials(trusted, key, forged)) as stubs:
        refused = failure_to(stubs, pb.ListRunsRequest())

    assert refused.code is grpc.StatusCode.UNAVAILABLE
