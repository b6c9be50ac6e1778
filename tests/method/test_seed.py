"""The seed (S1 to S7): four ask prices to a fraction, every step kept and every refusal listed."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from lottery.errors import INVALID_SEED, Problem, Refused, quote
from lottery.method.methodology import JPMS_2024_09_06
from lottery.method.seed import (
    ASK_INTEGER_DIGITS,
    DENOMINATOR,
    ExchangeAsk,
    ExchangeVolume,
    Seed,
    derive_seed,
    read_volume,
)
from tests.builders import ASKS, asks_making, exchange_asks, price_of
from tests.reference import seed_of

SECURITIES = JPMS_2024_09_06.securities
SECURITY_NUMBERS = [security.number for security in SECURITIES]

VOLUMES = st.lists(st.integers(0, 10**18 - 1), min_size=4, max_size=4)


def seed_making(composite: int) -> Seed:
    """Derive the seed of asks that add up to a composite."""
    return derive_seed(exchange_asks(asks_making(composite)), SECURITIES)


def problems_of(asks: list[ExchangeAsk]) -> list[Problem]:
    """List what is refused about asks, in the order in which people read it."""
    with pytest.raises(Refused) as refused:
        derive_seed(asks, SECURITIES, source="volumes.csv")
    return list(refused.value.problems)


def test_the_published_example_keeps_every_step() -> None:
    seed = derive_seed(exchange_asks(ASKS), SECURITIES)

    assert seed == Seed(
        volumes=(
            ExchangeVolume(security_number="Z901803", ask_price="862.45713", volume=86_245_713),
            ExchangeVolume(security_number="Z901439", ask_price="118.20946", volume=11_820_946),
            ExchangeVolume(security_number="Z901466", ask_price="407.93388", volume=40_793_388),
            ExchangeVolume(security_number="Z901448", ask_price="1435.71263", volume=143_571_263),
        ),
        composite=282_431_310,
        length=9,
        cut_position=4,
        digits="4313",
    )
    assert seed.ten_thousandths == 4314
    assert seed.fraction == "0.4314"
    assert seed.composite_with_cut == "282[4313]10"
    assert seed.warnings() == ()


def test_the_volumes_stand_in_the_documents_order_whatever_order_the_asks_came_in() -> None:
    backwards = list(reversed(exchange_asks(ASKS)))

    seed = derive_seed(backwards, SECURITIES)

    assert [volume.security_number for volume in seed.volumes] == SECURITY_NUMBERS
    assert seed == derive_seed(exchange_asks(ASKS), SECURITIES)


@pytest.mark.parametrize("prefix", ["1", "28", "999", "1000000"])
def test_each_of_the_10_000_digit_values_can_be_cut_and_has_a_fraction_of_its_own(
    prefix: str,
) -> None:
    seeds = [seed_making(int(f"{prefix}{digits:04d}37")) for digits in range(10_000)]

    assert [seed.digits for seed in seeds] == [f"{digits:04d}" for digits in range(10_000)]
    assert [seed.ten_thousandths for seed in seeds] == list(range(1, 10_001))
    assert len({seed.fraction for seed in seeds}) == DENOMINATOR == 10_000


@given(volumes=VOLUMES)
def test_the_digits_cut_are_the_composite_without_its_last_two_modulo_10_000(
    volumes: list[int],
) -> None:
    """Law S4: the published cut equals `composite // 100 % 10_000`, for six digits and more."""
    composite = sum(volumes)
    assume(composite >= 100_000)
    prices = [price_of(volume) for volume in volumes]

    seed = derive_seed(exchange_asks(dict(zip(SECURITY_NUMBERS, prices, strict=True))), SECURITIES)

    assert seed.composite == composite
    assert (seed.length, seed.cut_position) == (len(str(composite)), len(str(composite)) - 5)
    assert len(seed.digits) == 4
    assert int(seed.digits) == composite // 100 % 10_000


@given(volumes=VOLUMES, zeros=st.lists(st.integers(0, 3), min_size=4, max_size=4))
def test_the_seed_is_the_references_seed(volumes: list[int], zeros: list[int]) -> None:
    """Law S1 to S6: every step is the one that the reference works out in decimal fractions."""
    assume(sum(volumes) >= 100_000)
    asks = {
        number: price_of(volume) + "0" * count
        for number, volume, count in zip(SECURITY_NUMBERS, volumes, zeros, strict=True)
    }

    seed = derive_seed(exchange_asks(asks), SECURITIES)

    expected = seed_of(asks)
    assert {volume.security_number: volume.volume for volume in seed.volumes} == expected.volumes
    assert [volume.ask_price for volume in seed.volumes] == list(asks.values())
    assert (seed.composite, seed.length, seed.cut_position, seed.digits, seed.fraction) == (
        expected.composite,
        expected.length,
        expected.cut_position,
        expected.digits,
        expected.fraction_text,
    )


@pytest.mark.parametrize(
    ("ask_price", "volume"),
    [
        ("0", 0),
        ("0.00000", 0),
        ("1", 100_000),
        ("1.2", 120_000),
        ("0.00001", 1),
        ("1.23456", 123_456),
        ("1.234560", 123_456),
        ("1.2345600000000000000000000", 123_456),
        ("0000012.50", 1_250_000),
        ("9999999999999.99999", 999_999_999_999_999_999),
    ],
)
def test_an_ask_price_of_at_most_five_decimals_is_a_whole_volume(
    ask_price: str, volume: int
) -> None:
    assert read_volume(ask_price) == volume


@pytest.mark.parametrize("ask_price", ["1.234561", "0.000001", "1.0000000001"])
def test_a_sixth_decimal_that_is_not_zero_is_refused(ask_price: str) -> None:
    with pytest.raises(ValueError, match="up to 5 decimals to be a whole volume"):
        read_volume(ask_price)


@pytest.mark.parametrize(
    "ask_price",
    [
        "",
        " ",
        ".",
        ".5",
        "1.",
        "-1",
        "+1",
        "-0",
        "1e5",
        "1E-2",
        "0x10",
        "1,000.5",
        "1_000",
        "1.2.3",
        "1 2",
        " 1",
        "1 ",
        "1\n",
        "NaN",
        "nan",
        "Infinity",
        "$1",
        "\u0661\u0662",
        "\uff11",
        "\u00b2",
    ],
)
def test_what_is_no_plain_decimal_text_is_refused(ask_price: str) -> None:
    with pytest.raises(ValueError, match="expected an ask price in plain digits"):
        read_volume(ask_price)


def test_a_float_is_refused_before_it_can_round() -> None:
    with pytest.raises(TypeError):
        read_volume(862.45713)  # type: ignore[arg-type]


def test_more_digits_before_the_point_than_add_up_in_64_bits_are_refused() -> None:
    most = "9" * ASK_INTEGER_DIGITS

    assert 4 * read_volume(f"{most}.99999") < 2**63
    with pytest.raises(ValueError, match="up to 13 digits before the point"):
        read_volume(f"1{most}")


def test_a_missing_security_is_refused_by_its_number_and_description() -> None:
    asks = {number: ask for number, ask in ASKS.items() if number != "Z901466"}

    assert problems_of(exchange_asks(asks)) == [
        Problem(
            source="volumes.csv",
            message="security Z901466 (CINCINNATI Volume) is missing",
            rule="S2",
            reason=INVALID_SEED,
        )
    ]


def test_a_doubled_security_is_refused_at_its_second_row() -> None:
    asks = [
        *exchange_asks(ASKS),
        ExchangeAsk(security_number="Z901439", ask_price="118.20946"),
    ]

    assert problems_of(asks) == [
        Problem(
            source="volumes.csv",
            row=5,
            column="security_number",
            message="security Z901439 is repeated",
            rule="S2",
            reason=INVALID_SEED,
        )
    ]


@pytest.mark.parametrize("number", ["Z901447", "z901448", "649990124", "", " Z901448"])
def test_a_foreign_security_is_refused_at_its_row(number: str) -> None:
    asks = [
        ExchangeAsk(security_number=number, ask_price="1"),
        *exchange_asks(ASKS),
    ]

    assert problems_of(asks) == [
        Problem(
            source="volumes.csv",
            row=1,
            column="security_number",
            message="security must be one of Z901803, Z901439, Z901466, Z901448, "
            f"got {quote(number)}",
            rule="S2",
            reason=INVALID_SEED,
        )
    ]


def test_an_ask_that_makes_no_whole_volume_is_refused_at_its_row() -> None:
    [problem] = problems_of(exchange_asks(ASKS | {"Z901466": "407.933881"}))

    assert (problem.source, problem.row, problem.column) == ("volumes.csv", 3, "ask_price")
    assert (problem.rule, problem.reason) == ("S2", INVALID_SEED)
    assert problem.message == (
        "ask price must have up to 5 decimals to be a whole volume, got '407.933881'"
    )


def test_no_asks_at_all_are_four_missing_securities() -> None:
    problems = problems_of([])

    assert [problem.message.split()[1] for problem in problems] == SECURITY_NUMBERS


def test_every_problem_of_the_asks_is_listed_at_once() -> None:
    asks = [
        ExchangeAsk(security_number="Z901803", ask_price="-1"),
        ExchangeAsk(security_number="Z901803", ask_price="1e5"),
        ExchangeAsk(security_number="Q000001", ask_price="0.000001"),
        ExchangeAsk(security_number="Z901439", ask_price="1"),
    ]

    with pytest.raises(Refused) as refused:
        derive_seed(asks, SECURITIES)

    assert refused.value.reason == INVALID_SEED
    assert [(problem.row, problem.column) for problem in refused.value.problems] == [
        (None, None),
        (None, None),
        (1, "ask_price"),
        (2, "security_number"),
        (2, "ask_price"),
        (3, "security_number"),
        (3, "ask_price"),
    ]
    assert {problem.rule for problem in refused.value.problems} == {"S2"}
    assert {problem.source for problem in refused.value.problems} == {"volumes"}


@pytest.mark.parametrize("composite", [0, 1, 9_999, 99_999])
def test_a_composite_of_fewer_than_six_digits_has_no_cut_position(composite: int) -> None:
    [problem] = problems_of(exchange_asks(asks_making(composite)))

    assert (problem.rule, problem.reason, problem.row) == ("S5", INVALID_SEED, None)
    assert problem.source == "volumes.csv"
    assert problem.message == f"the composite must have at least 6 digits, got {composite}"


def test_a_composite_of_six_digits_is_cut_from_its_first() -> None:
    seed = seed_making(100_000)

    assert (seed.length, seed.cut_position, seed.digits) == (6, 1, "1000")
    assert seed.composite_with_cut == "[1000]00"


@pytest.mark.parametrize(
    ("composite", "digits", "ten_thousandths", "fraction"),
    [
        (1_000_037, "0000", 1, "0.0001"),
        (1_000_699, "0006", 7, "0.0007"),
        (28_289_942, "2899", 2900, "0.2900"),
        (1_999_837, "9998", 9999, "0.9999"),
        (1_999_937, "9999", 10_000, "1.0000"),
    ],
)
def test_the_fraction_goes_from_one_ten_thousandth_to_one(
    composite: int, digits: str, ten_thousandths: int, fraction: str
) -> None:
    seed = seed_making(composite)

    assert (seed.digits, seed.ten_thousandths, seed.fraction) == (digits, ten_thousandths, fraction)


@given(composite=st.integers(100_000, 10**18))
def test_the_cut_is_shown_in_brackets(composite: int) -> None:
    """Law S4: the brackets hold the four digits cut, and two digits follow them."""
    seed = seed_making(composite)

    before, _, rest = seed.composite_with_cut.partition("[")
    digits, _, after = rest.partition("]")
    assert digits == seed.digits
    assert len(before) == seed.cut_position - 1
    assert len(after) == 2
    assert f"{before}{digits}{after}" == str(composite)


def test_an_ask_of_zero_is_allowed_and_warned_of_by_its_security() -> None:
    seed = derive_seed(exchange_asks(ASKS | {"Z901439": "0", "Z901448": "0.00"}), SECURITIES)

    assert [(warning.code, warning.rule) for warning in seed.warnings()] == [("ZERO_ASK", "S2")] * 2
    assert ["Z901439" in warning.message for warning in seed.warnings()] == [True, False]
    assert ["Z901448" in warning.message for warning in seed.warnings()] == [False, True]


@pytest.mark.parametrize("composite", [123_000, 282_431_000, 100_000])
def test_a_composite_that_is_a_multiple_of_1_000_is_warned_of(composite: int) -> None:
    [warning] = seed_making(composite).warnings()

    assert (warning.code, warning.rule) == ("LOW_PRECISION_COMPOSITE", "S7")
    assert f"the composite {composite} is a multiple of 1,000" in warning.message


@pytest.mark.parametrize("composite", [123_100, 282_431_310, 282_431_001, 282_430_999])
def test_a_composite_that_is_no_multiple_of_1_000_is_not_warned_of(composite: int) -> None:
    assert seed_making(composite).warnings() == ()


def test_asks_of_two_decimals_leave_1_000_fractions_and_are_always_warned_of() -> None:
    seeds = [seed_making(composite) for composite in range(1_000_000, 11_000_000, 1_000)]

    assert Counter(seed.digits[-1] for seed in seeds) == {"0": 10_000}
    assert len({seed.fraction for seed in seeds}) == 1_000
    assert all(seed.warnings() for seed in seeds)


def test_a_zero_ask_and_a_coarse_composite_are_both_warned_of() -> None:
    asks = dict.fromkeys(ASKS, "0") | {"Z901803": "12.34"}

    codes = [warning.code for warning in derive_seed(exchange_asks(asks), SECURITIES).warnings()]

    assert codes == ["ZERO_ASK", "ZERO_ASK", "ZERO_ASK", "LOW_PRECISION_COMPOSITE"]
