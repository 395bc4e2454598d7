"""What a batch may still cost, and the most that a request can."""

from __future__ import annotations

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchrouter.domain.spend import ASSUMED_OUTPUT, PICTURE_TOKENS, Spend, dollars, most_tokens

CHAT = "/v1/chat/completions"


@given(st.integers(0, 1000), st.lists(st.tuples(st.integers(0, 400), st.floats(0, 1), st.booleans())))
def test_the_limit_is_never_passed(limit: int, calls: list[tuple[int, float, bool]]) -> None:
    """Whatever the order of calls, as long as none costs more than was reserved for it."""
    spend = Spend(limit, 0)
    flying: list[tuple[int, float]] = []
    for most, share, ends in calls:
        before = spend.spent_nano + spend.reserved_nano
        if spend.reserve(most):
            flying.append((most, share))
        else:
            assert before + most > limit
            assert spend.spent_nano + spend.reserved_nano == before
        assert spend.spent_nano + spend.reserved_nano <= limit
        if ends and flying:
            reserved, part = flying.pop(0)
            spend.give_back(reserved)
            spend.spend(int(reserved * part))
    assert spend.reserved_nano == sum(most for most, _ in flying)


def test_what_others_spent_counts_and_nothing_is_forgotten() -> None:
    spend = Spend(100, 10)
    spend.spend(30)
    spend.hear(20)
    assert spend.spent_nano == 40
    spend.hear(90)
    assert not spend.reserve(11)
    assert spend.reserve(10)


def test_an_unknown_cost_takes_nothing_away() -> None:
    spend = Spend(100, 0)
    spend.spend(-1)
    assert spend.spent_nano == 0


@pytest.mark.parametrize(
    ("more", "output"),
    [
        ({}, ASSUMED_OUTPUT),
        ({"max_tokens": 100}, 100),
        ({"max_completion_tokens": 50, "max_tokens": 100}, 100),
        ({"n": 50}, 50 * ASSUMED_OUTPUT),
        ({"prompt": ["a"] * 7}, 7 * ASSUMED_OUTPUT),
        ({"max_output_tokens": 70}, 70),
        ({"max_tokens": 100, "n": 3}, 300),
        ({"max_tokens": None}, ASSUMED_OUTPUT),
        ({"max_tokens": "many"}, ASSUMED_OUTPUT),
    ],
)
def test_the_answer_is_bounded_by_what_the_request_says(more: dict[str, object], output: int) -> None:
    assert most_tokens(CHAT, json.dumps({"model": "m", **more}).encode())[1] == output


@pytest.mark.parametrize("endpoint", ["/v1/embeddings", "/v1/moderations"])
def test_vectors_have_no_answer_tokens(endpoint: str) -> None:
    assert most_tokens(endpoint, b'{"input":"a"}') == (5, 0)


def test_text_counts_three_bytes_a_token() -> None:
    """In any alphabet; one more than has room."""
    assert most_tokens(CHAT, b"x" * 3001)[0] == 1001
    assert most_tokens(CHAT, "語".encode() * 1000)[0] == 1000


@pytest.mark.parametrize("escaped", [False, True])
def test_a_picture_is_not_counted_by_its_bytes(escaped: bool) -> None:
    """Two of them, with their slashes escaped or not; a PDF has the tokens of its text, and counts whole."""
    picture = base64.b64encode(b"\xff\xd8" + bytes(range(256)) * 400).decode()
    body = json.dumps({"a": f"data:image/jpeg;base64,{picture}", "b": {"data": picture}})
    if escaped:
        body = body.replace("/", "\\/")
    tokens = most_tokens(CHAT, body.encode())[0]
    assert 2 * PICTURE_TOKENS <= tokens < 2 * PICTURE_TOKENS + 100
    paper = base64.b64encode(b"%PDF-1.7" + bytes(range(256)) * 400).decode()
    assert most_tokens(CHAT, json.dumps({"a": paper}).encode())[0] > len(paper) / 3


@pytest.mark.parametrize("word", ["ACGT" * 10_000, "0f" * 20_000, base64.b64encode(b"secret text" * 3000).decode()])
@pytest.mark.parametrize("place", ["{}", "data:image/png;base64,{}", 'see "data": "{}', "data:text/plain;base64,{}"])
def test_a_text_of_one_long_word_counts_whole(word: str, place: str) -> None:
    """A gene, a dump, a text in base64: only where a picture stands is it one."""
    said = place.replace("{}", word)
    body = {"messages": [{"role": "user", "content": f"Look: {said}"}]}
    assert most_tokens(CHAT, json.dumps(body).encode())[0] > len(word) / 3


@pytest.mark.parametrize(
    ("nano", "text"),
    [(0, "$0.00"), (12_500_000_000, "$12.50"), (45_000, "$0.000045"), (1, "$0.000000001"), (2_000_000_000, "$2.00")],
)
def test_sums_are_told_in_dollars_without_losing_a_digit(nano: int, text: str) -> None:
    assert dollars(nano) == text
