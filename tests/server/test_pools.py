"""Calls about one pool, which record nothing: a seed, an allocation, odds."""

from __future__ import annotations

import random
from concurrent import futures
from pathlib import Path
from typing import Any, Final

import grpc
import pytest

from lottery.v1 import lottery_pb2
from lottery.v1 import lottery_service_pb2 as pb
from server import requests
from tests import reference
from tests.builders import AAPL, ASKS, OTHER_ASKS
from tests.server.calls import Stubs, asks_of, called, odds_request, series_request

ACCOUNT_ORDERS: Final = {
    "numeric": lottery_pb2.ACCOUNT_ORDER_NUMERIC,
    "code-point": lottery_pb2.ACCOUNT_ORDER_CODE_POINT,
}
ZERO_HITS: Final = {"wrap": lottery_pb2.ZERO_HIT_WRAP, "first": lottery_pb2.ZERO_HIT_FIRST}

FRACTION = reference.seed_of(ASKS).fraction


def test_the_published_asks_give_the_published_seed_with_every_step(empty: Stubs) -> None:
    seed = empty.lottery.DeriveSeed(pb.DeriveSeedRequest(exchange_asks=asks_of(ASKS))).seed

    assert [(row.security_number, row.ask_price, row.volume) for row in seed.volumes] == [
        ("Z901803", "862.45713", 86_245_713),
        ("Z901439", "118.20946", 11_820_946),
        ("Z901466", "407.93388", 40_793_388),
        ("Z901448", "1435.71263", 143_571_263),
    ]
    assert (seed.composite, seed.length, seed.cut_position) == ("282431310", 9, 4)
    assert (seed.digits, seed.fraction) == ("4313", "0.4314")


def test_an_ask_of_zero_is_allowed_with_a_warning(empty: Stubs) -> None:
    asks = asks_of({**ASKS, "Z901439": "0"})

    warnings = empty.lottery.DeriveSeed(pb.DeriveSeedRequest(exchange_asks=asks)).warnings

    assert [(warning.code, warning.rule) for warning in warnings] == [("ZERO_ASK", "S2")]


def test_the_published_pool_is_assigned_3_7_and_0_from_28_on(empty: Stubs) -> None:
    response = empty.lottery.AllocateSeries(series_request())

    assert (response.seed.composite, response.seed.digits) == ("282431310", "4313")
    assert response.seed.fraction == "0.4314"
    assert response.pool == lottery_pb2.Pool(
        series=AAPL,
        notice_count=1,
        assigned_quantity=10,
        total_short=65,
        first_hit=28,
        account_count=3,
        hit_account_count=2,
    )
    assert [
        (row.account, row.short_quantity, row.first_number, row.last_number, row.assigned_quantity)
        for row in response.allocations
    ] == [("1046", 30, 1, 30, 3), ("1047", 30, 31, 60, 7), ("1048", 5, 61, 65, 0)]
    assert {(row.occ_account, row.series) for row in response.allocations} == {("", AAPL)}


def test_where_a_pool_is_a_series_it_has_no_occ_account_whatever_comes_along(
    empty: Stubs,
) -> None:
    decisions = lottery_pb2.Decisions(pool=lottery_pb2.POOLING_SERIES)

    response = empty.lottery.AllocateSeries(series_request(occ_account="C", decisions=decisions))
    odds = empty.lottery.GetOdds(odds_request(occ_account="C", decisions=decisions))

    assert (response.pool.occ_account, response.pool.total_short) == ("", 65)
    assert {row.occ_account for row in response.allocations} == {""}
    assert (odds.occ_account, odds.total_short) == ("", 65)


def test_a_compact_series_is_answered_padded_and_with_its_occ_account(empty: Stubs) -> None:
    request = series_request(series="AAPL240920C00220000", occ_account="C/ZZZ")

    pool = empty.lottery.AllocateSeries(request).pool

    assert (pool.series, pool.occ_account) == (AAPL, "C/ZZZ")


def test_every_pool_is_answered_with_the_seed_of_its_own_asks(empty: Stubs) -> None:
    for asks in (ASKS, OTHER_ASKS, ASKS):
        derived = empty.lottery.DeriveSeed(pb.DeriveSeedRequest(exchange_asks=asks_of(asks)))

        assert empty.lottery.AllocateSeries(series_request(asks=asks)).seed == derived.seed


def test_of_a_million_asks_a_hundred_are_looked_at(empty: Stubs) -> None:
    asks = [lottery_pb2.ExchangeAsk()] * 1_000_000
    calls: tuple[tuple[Any, Any], ...] = (
        (empty.lottery.DeriveSeed, pb.DeriveSeedRequest(exchange_asks=asks)),
        (empty.lottery.AllocateSeries, pb.AllocateSeriesRequest(exchange_asks=asks)),
    )
    for call, request in calls:
        with pytest.raises(grpc.RpcError) as refused:
            call(request)
        assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT


def test_the_seed_of_asks_with_very_many_digits_is_derived_and_not_remembered() -> None:
    requests._drawn.cache_clear()
    request = series_request()
    usual = requests.to_series_request(request, 10)
    for ask in request.exchange_asks:
        ask.ask_price += "0" * 1_000_000

    longer = requests.to_series_request(request, 10)

    assert usual.seed is not None
    assert longer.seed is not None
    assert longer.seed.composite == usual.seed.composite
    assert requests._drawn.cache_info().currsize == 1


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("zero_hit", ZERO_HITS)
@pytest.mark.parametrize("account_order", ACCOUNT_ORDERS)
def test_any_pool_is_allocated_and_has_odds_as_in_the_reference(
    empty: Stubs, seed: int, zero_hit: Any, account_order: Any
) -> None:
    chance = random.Random(seed)  # noqa: S311 - no lottery is drawn with it.
    digits = chance.choice([2, 7, 18, 29])
    accounts = {chance.randrange(1, 10**digits) for _ in range(chance.randint(1, 60))}
    positions = {str(account): chance.choice([0, 1, 2, 700, 3_000_000]) for account in accounts}
    positions["4711"] = 5
    assigned = chance.randint(1, min(sum(positions.values()), 5_000))
    expected = reference.allocate_pool(
        list(positions.items()),
        assigned,
        FRACTION,
        zero_hit=zero_hit,
        account_order=account_order,
    )
    asked: dict[str, Any] = {
        "assigned_quantity": assigned,
        "positions": positions,
        "decisions": lottery_pb2.Decisions(
            zero_hit=ZERO_HITS[zero_hit], account_order=ACCOUNT_ORDERS[account_order]
        ),
    }

    allocated = empty.lottery.AllocateSeries(series_request(**asked))
    odds = empty.lottery.GetOdds(odds_request(**asked)).accounts

    assert [
        (row.account, row.short_quantity, row.first_number, row.last_number, row.assigned_quantity)
        for row in allocated.allocations
    ] == [
        (row.account, row.short_quantity, row.first_number, row.last_number, row.assigned_quantity)
        for row in expected.accounts
    ]
    pool = allocated.pool
    assert (pool.first_hit, pool.total_short) == (expected.first_hit, expected.total_short)
    assert pool.account_count == expected.account_count
    assert pool.hit_account_count == expected.hit_account_count
    assert [
        (row.account, row.short_quantity, row.first_number, row.last_number) for row in odds
    ] == [
        (row.account, row.short_quantity, row.first_number, row.last_number)
        for row in expected.accounts
    ]
    for account, row in zip(odds, expected.accounts, strict=True):
        counts = {each.assigned_quantity: each.fraction_count for each in account.chances}
        assert sum(counts.values()) == 10_000
        assert row.assigned_quantity in counts


def test_the_published_pools_odds_are_answered_exactly(empty: Stubs) -> None:
    response = empty.lottery.GetOdds(odds_request())

    assert (response.series, response.occ_account) == (AAPL, "")
    assert response.method == "jpms-2024-09-06"
    assert response.account_order == lottery_pb2.ACCOUNT_ORDER_NUMERIC
    assert response.zero_hit == lottery_pb2.ZERO_HIT_WRAP
    assert (response.assigned_quantity, response.total_short) == (10, 65)
    assert (response.account_count, response.never_first) == (3, 0)
    last = response.accounts[2]
    assert (last.account, last.short_quantity) == ("1048", 5)
    assert (last.first_number, last.last_number) == (61, 65)
    assert (last.none_count, last.full_count) == (7_846, 923)
    assert [chance.fraction_count for chance in last.chances] == [7_846, 308, 307, 308, 308, 923]
    assert last.mean == pb.Figure(fraction="7693/10000", decimal="0.7693")
    assert last.share_quantity.fraction == "10/13"
    assert last.mean_less_share.fraction == "9/130000"
    assert last.random_draw.none == pb.Figure(decimal="0.42116321674095338823")
    assert last.occ_wheel.none == pb.Figure(fraction="51/65", decimal="0.78461538461538461538")


def test_8_workers_give_everyone_the_right_pool(tmp_path: Path) -> None:
    def ask(number: int) -> bool:
        chance = random.Random(number)  # noqa: S311 - no lottery is drawn with it.
        positions = {str(1_000 * number + row): chance.randint(1, 90) for row in range(1, 40)}
        assigned = chance.randint(1, sum(positions.values()))
        expected = reference.allocate_pool(list(positions.items()), assigned, FRACTION)
        response = stubs.lottery.AllocateSeries(
            series_request(assigned_quantity=assigned, positions=positions)
        )
        return [(row.account, row.assigned_quantity) for row in response.allocations] == [
            (row.account, row.assigned_quantity) for row in expected.accounts
        ]

    with (
        called(tmp_path / "ledger", call_threads=8) as stubs,
        futures.ThreadPoolExecutor(16) as callers,
    ):
        assert all(callers.map(ask, range(1, 201)))
