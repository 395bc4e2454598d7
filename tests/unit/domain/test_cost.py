"""Prices and sums of money: whole numbers, right to the last one."""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchrouter.domain.cost import NANO, RateCard, Tier, nano_of
from batchrouter.domain.tokens import Tokens

LOW = Tier(input=75_000, cached=37_500, written=93_750, output=300_000)
HIGH = Tier(above=200_000, input=150_000, cached=75_000, written=187_500, output=450_000)
CARD = RateCard((LOW, HIGH))
COUNT = st.integers(0, 5_000_000)


@given(COUNT, COUNT, COUNT, COUNT)
def test_a_line_costs_what_decimals_say(plain: int, cached: int, written: int, output: int) -> None:
    tokens = Tokens(plain + cached + written, cached, output, 0)
    tier = HIGH if tokens.input > 200_000 else LOW
    pico = Decimal(plain * tier.input + cached * tier.cached + written * tier.written + output * tier.output)
    assert CARD.cost(tokens, written) == int((pico / 1000).quantize(Decimal(1), ROUND_HALF_UP))


@given(COUNT, st.integers(0, 100), st.integers(0, 100), COUNT)
def test_no_line_costs_more_than_the_most(input_tokens: int, cached: int, written: int, output: int) -> None:
    cached, written = input_tokens * cached // 200, input_tokens * written // 200
    assert CARD.cost(Tokens(input_tokens, cached, output, 0), written) <= CARD.most(input_tokens, output)


def test_more_cached_than_there_is_costs_no_negative_sum() -> None:
    assert CARD.cost(Tokens(10, 50, 0, 0)) == (50 * 37_500 + 500) // 1000


@pytest.mark.parametrize(
    ("told", "nano"),
    [
        ("5", 5 * NANO),
        ("0", 0),
        ("$12.50", 12_500_000_000),
        ("0.000000001", 1),
        (" 3.1 ", 3_100_000_000),
        ("1000000", 1_000_000 * NANO),
        ("1000000.01", None),
        ("", None),
        (".5", None),
        ("5.", None),
        ("-5", None),
        ("1e3", None),
        ("٣", None),
        ("1_000", None),
        ("0.0000000001", None),
    ],
)
def test_sums_as_people_write_them(told: str, nano: int | None) -> None:
    assert nano_of(told) == nano
