"""What lines would take: percentiles from few counts, bounds from the lines' own limits."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchrouter.domain.cost import RateCard, Tier
from batchrouter.domain.estimate import WRAPPING_BYTES, LaneSize, most_output, percentile
from batchrouter.domain.tokens import estimated

CARD = RateCard((Tier(input=1000, cached=500, written=1000, output=4000),))


def size_of(tokens: list[int]) -> LaneSize:
    size = LaneSize("p", "m")
    size.add(WRAPPING_BYTES + 4 * each for each in tokens)
    return size


@given(st.lists(st.integers(1, 3_000_000), min_size=1, max_size=200), st.sampled_from([0.01, 0.5, 0.9, 0.99, 1.0]))
def test_a_percentile_is_right_to_one_part_in_a_hundred(tokens: list[int], share: float) -> None:
    size = size_of(tokens)
    exact = sorted(tokens)[max(0, -(-int(share * 1_000_000) * len(tokens) // 1_000_000) - 1)]
    assert exact <= size.percentile(share) <= exact * 1.01
    assert size.percentile(share) <= size.percentile(1.0) == size.largest
    assert (size.lines, size.tokens, size.largest) == (len(tokens), sum(tokens), max(tokens))


def test_memory_does_not_grow_with_the_file() -> None:
    assert len(size_of(list(range(1, 400_000, 3))).sizes) < 1500


def test_nothing_has_no_percentile() -> None:
    assert percentile(LaneSize("p", "m").sizes, 0.5) == 0


@pytest.mark.parametrize(
    ("body", "most"),
    [
        ({"max_tokens": 5}, 5),
        ({"max_completion_tokens": 7, "max_tokens": 5}, 7),
        ({"max_output_tokens": 9}, 9),
        ({"max_tokens": 5, "n": 3}, 15),
        ({"max_tokens": -5}, 0),
        ({}, None),
        ({"max_tokens": None}, None),
        ({"max_tokens": "many"}, None),
        ({"max_completion_tokens": 5, "max_tokens": 700}, 700),
        ({"max_tokens": 5.0, "n": "x"}, 5),
        ({"max_tokens": 5, "n": 2, "best_of": 4}, 20),
        ({"max_tokens": 5, "prompt": ["a", "b", "c"]}, 15),
        ({"max_tokens": 5, "prompt": [[1, 2], [3]]}, 10),
        ({"max_tokens": 5, "prompt": [1, 2, 3]}, 5),
        ({"max_tokens": 5, "prompt": []}, 5),
        ({"n": 3}, None),
    ],
)
def test_the_bound_that_a_body_sets(body: dict[str, object], most: int | None) -> None:
    assert most_output(json.dumps(body).encode()) == most


def test_costs_of_inputs_and_the_most() -> None:
    size = size_of([100] * 10)
    assert size.cost(CARD) == (10 * 100, None)
    size.sample(b'{"max_tokens":50}')
    size.sample(b'{"max_tokens":150}')
    assert size.output_most == 1000
    assert size.cost(CARD) == (1000, 1000 + 10 * 100 * 4)
    size.sample(b"{}")
    assert size.output_most is None


@given(st.integers(0, 1 << 40))
def test_four_bytes_are_a_token(length: int) -> None:
    assert (estimated(length) - 1) * 4 < max(length, 1) <= max(1, estimated(length) * 4)
