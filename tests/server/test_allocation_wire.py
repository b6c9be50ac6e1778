"""The rows of an answer, written as wire bytes, are what protobuf itself would have written."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from lottery.day.single_pool import AllocatedPool, allocate_pool
from lottery.method.methodology import AccountOrder, ZeroHit
from lottery.v1 import lottery_pb2
from lottery.v1 import lottery_service_pb2 as service_pb2
from server import allocation_wire
from server.allocation_wire import add_allocations, put_varint, varint_size
from tests.loops import versions_of

LARGEST = 2**63 - 1

accounts = st.dictionaries(
    st.integers(0, 10**30 - 1),
    st.one_of(st.integers(0, 300), st.sampled_from([127, 128, 16_383, 16_384, 2**31, 2**56])),
    min_size=1,
    max_size=40,
)


def written_row_by_row(
    pool: AllocatedPool, occ_account: str, series: str
) -> service_pb2.AllocateSeriesResponse:
    response = service_pb2.AllocateSeriesResponse()
    for start, end, short, last, assigned in pool.rows[: pool.account_count].tolist():
        response.allocations.append(
            lottery_pb2.Allocation(
                occ_account=occ_account,
                series=series,
                account=pool.texts[start:end].decode(),
                short_quantity=short,
                first_number=last - short + 1,
                last_number=last,
                assigned_quantity=assigned,
            )
        )
    return response


def allocated(names: list[str], shorts: list[int], assigned: int) -> AllocatedPool:
    pool = allocate_pool(
        names,
        shorts,
        account_order=AccountOrder.NUMERIC,
        assigned_quantity=assigned,
        ten_thousandths=4_314,
        zero_hit=ZeroHit.WRAP,
    )
    assert pool is not None
    return pool


def check(names: list[str], shorts: list[int], assigned: int, occ_account: str) -> None:
    pool = allocated(names, shorts, assigned)
    series = "AAPL  240920C00220000"
    response = service_pb2.AllocateSeriesResponse()

    add_allocations(response, pool, occ_account=occ_account, series=series)

    expected = written_row_by_row(pool, occ_account, series)
    assert response == expected
    assert response.SerializeToString(deterministic=True) == expected.SerializeToString(
        deterministic=True
    )


@settings(deadline=None)  # The first example compiles the loop.
@given(positions=accounts, part=st.integers(1, 100), occ_account=st.sampled_from(["", "C", "M/A"]))
def test_an_answer_is_what_protobuf_would_have_written_row_by_row(
    positions: dict[int, int], part: int, occ_account: str
) -> None:
    """Law: the loop's bytes and protobuf's own are the same message, and the same bytes."""
    total = sum(positions.values())
    if total:
        names = [str(number) for number in positions]
        check(names, list(positions.values()), max(1, total * part // 100), occ_account)


def test_the_largest_numbers_are_written_whole() -> None:
    check(["0" * 29 + "1", "9" * 30], [1, LARGEST - 1], LARGEST, "C" * 32)


def test_an_answer_keeps_its_other_fields() -> None:
    response = service_pb2.AllocateSeriesResponse(pool=lottery_pb2.Pool(total_short=5))
    pool = allocated(["7"], [5], 1)

    add_allocations(response, pool, occ_account="", series="")

    assert response.pool.total_short == 5
    assert [row.account for row in response.allocations] == ["7"]


@given(number=st.integers(0, LARGEST))
def test_a_number_takes_as_many_bytes_as_are_counted_for_it(number: int) -> None:
    """Law: a varint is as long as its size says, and protobuf reads the number from it."""
    wire = bytearray(10)

    end = put_varint(wire, 0, number)

    assert end == varint_size(number)
    field = bytes([allocation_wire._TAGS[2]]) + bytes(wire[:end])
    assert lottery_pb2.Allocation.FromString(field).short_quantity == number


def test_a_warm_server_has_the_loop_of_its_answers() -> None:
    assert set(versions_of(allocation_wire).values()) == {1}
