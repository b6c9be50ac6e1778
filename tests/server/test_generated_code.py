"""The generated code: it is what proto/ gives, and its messages are those of the contract."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import pytest

from lottery.v1 import audit_service_pb2, lottery_pb2
from lottery.v1 import lottery_service_pb2 as pb

ROOT: Final = Path(__file__).parents[2]
COMMITTED: Final = ROOT / "lottery" / "v1"


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the directory that the command of `make proto` writes to."""
    pytest.importorskip("grpc_tools", reason="grpcio-tools is not installed: make test")
    directory = tmp_path_factory.mktemp("generated")
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    finished = subprocess.run(
        [
            *(sys.executable, "-m", "grpc_tools.protoc", "-Iproto"),
            *(f"--python_out={directory}", f"--mypy_out=quiet:{directory}"),
            *(f"--grpc_python_out={directory}", f"--mypy_grpc_out=quiet:{directory}"),
            *(
                str(file.relative_to(ROOT))
                for file in sorted(ROOT.glob("proto/lottery/v1/*.proto"))
            ),
        ],
        cwd=ROOT,
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    return directory / "lottery" / "v1"


def test_the_committed_code_is_what_proto_gives(generated: Path) -> None:
    fresh = {file.name: file.read_text("utf-8") for file in generated.iterdir()}
    committed = {
        file.name: file.read_text("utf-8")
        for file in COMMITTED.iterdir()
        if file.is_file() and file.name != "__init__.py"
    }

    assert sorted(committed) == sorted(fresh), "run `make proto`"
    drifted = [name for name, text in fresh.items() if committed[name] != text]
    assert drifted == [], "run `make proto`"


@pytest.mark.parametrize(
    ("message", "fields"),
    [
        (
            pb.AllocateSeriesRequest,
            "business_date exchange_asks series occ_account assigned_quantity positions decisions",
        ),
        (pb.AccountPosition, "account short_quantity"),
        (lottery_pb2.ExchangeAsk, "security_number ask_price"),
        (pb.AllocateSeriesResponse, "seed pool allocations"),
        (lottery_pb2.Seed, "volumes composite length cut_position digits fraction"),
        (lottery_pb2.ExchangeVolume, "security_number ask_price volume"),
        (
            lottery_pb2.Pool,
            (
                "occ_account series notice_count assigned_quantity total_short first_hit "
                "account_count hit_account_count break_reason assigned_before"
            ),
        ),
        (
            lottery_pb2.Allocation,
            "occ_account series account short_quantity first_number last_number assigned_quantity",
        ),
        (lottery_pb2.Notice, "notice_id series quantity occ_account"),
        (lottery_pb2.Position, "series account short_quantity occ_account"),
        (
            pb.RunLotteryRequest,
            "spec notices positions arrow_notices arrow_positions arrow_occ_positions",
        ),
    ],
    ids=lambda value: value.DESCRIPTOR.name if hasattr(value, "DESCRIPTOR") else "",
)
def test_a_message_has_the_fields_of_the_contract(message: Any, fields: str) -> None:
    assert [field.name for field in message.DESCRIPTOR.fields] == fields.split()


def test_quantities_are_signed_and_64_bits_wide() -> None:
    for message, names in (
        (lottery_pb2.Pool, ["assigned_quantity", "total_short", "first_hit"]),
        (lottery_pb2.Allocation, ["short_quantity", "last_number", "assigned_quantity"]),
        (pb.AllocateSeriesRequest, ["assigned_quantity"]),
    ):
        for name in names:
            field = message.DESCRIPTOR.fields_by_name[name]
            assert field.type == field.TYPE_INT64


def test_the_business_date_is_googles() -> None:
    descriptor: Any = pb.AllocateSeriesRequest.DESCRIPTOR
    field = descriptor.fields_by_name["business_date"]

    assert field.message_type.full_name == "google.type.Date"


@pytest.mark.parametrize(
    ("service", "calls"),
    [
        (
            pb.DESCRIPTOR.services_by_name["LotteryService"],
            (
                "DeriveSeed AllocateSeries RunLottery GetRun ListRuns StreamAllocations "
                "ExplainPool GetOdds"
            ),
        ),
        (
            audit_service_pb2.DESCRIPTOR.services_by_name["AuditService"],
            (
                "ReplayRun ReplayRuns VerifyLedger ExportRun GetCheckpoint GetInclusionProof "
                "GetConsistencyProof"
            ),
        ),
    ],
    ids=["LotteryService", "AuditService"],
)
def test_a_service_has_the_calls_of_the_contract(service: Any, calls: str) -> None:
    assert service.full_name.startswith("lottery.v1.")
    assert set(calls.split()) <= set(service.methods_by_name)
