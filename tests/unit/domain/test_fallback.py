"""Which failures move a line on, and along which chain."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchrouter.domain.fallback import moves_on, next_lane, stands_in
from batchrouter.domain.retry import Kind
from batchrouter.domain.routing import Resolved
from batchrouter.domain.shard import LaneKey, LaneMode


def chain(*models: str) -> tuple[Resolved, ...]:
    return tuple(Resolved("p", model, True) for model in models)


@pytest.mark.parametrize(
    "code", ["model_not_found", "NotFoundError", "not_found_error", "context_length_exceeded", "unsupported_parameter"]
)
def test_what_another_model_may_do_moves_on(code: str) -> None:
    assert moves_on(Kind.LINE_FAULT, 400, code)


@pytest.mark.parametrize(
    "code",
    [None, "", "content_filter", "content_policy_violation", "invalid_value", "string_above_max_length", "unsupported"],
)
def test_what_is_wrong_with_the_line_stays(code: str | None) -> None:
    assert not moves_on(Kind.LINE_FAULT, 400, code)


def test_a_reply_that_was_too_large_stays() -> None:
    """It would be as large from another, and has been paid for."""
    assert not moves_on(Kind.LINE_FAULT, None, None)


@pytest.mark.parametrize("kind", [Kind.TRANSIENT, Kind.FORBIDDEN, Kind.RESEND])
def test_tries_used_up_move_on(kind: Kind) -> None:
    assert moves_on(kind, None, None)
    assert moves_on(kind, 500, "content_filter")


def test_a_server_that_will_never_do_better_is_left() -> None:
    assert moves_on(Kind.LINE_FAULT, 501, None)


@given(st.lists(st.sampled_from("abcde"), max_size=8), st.sampled_from("abcdef"))
def test_a_chain_ends_and_asks_nobody_twice(models: list[str], first: str) -> None:
    """Whatever is written in it, from whatever lane of it or outside of it a line begins."""
    lane: LaneKey | None = LaneKey("p", first)
    seen = []
    while lane is not None:
        assert lane not in seen
        seen.append(lane)
        lane = next_lane(chain(*models), lane)
    if first not in models:
        assert [lane.model for lane in seen[1:]] == list(dict.fromkeys(models))


def test_the_next_lane_is_one_of_real_time() -> None:
    """From whatever kind of lane; the same model at another provider is another lane."""
    targets = (Resolved("q", "m", False), Resolved("p", "n", True))
    flex = LaneKey("p", "m", "pool", LaneMode.FLEX)
    assert next_lane(targets, flex) == LaneKey("q", "m")
    assert next_lane(targets, LaneKey("q", "m", mode=LaneMode.BATCH)) == LaneKey("p", "n")


def test_a_lane_of_the_chain_stands_in_and_the_first_does_not() -> None:
    assert stands_in(chain("b", "c"), LaneKey("p", "c", mode=LaneMode.FLEX))
    assert not stands_in(chain("b", "c"), LaneKey("p", "a"))
    assert not stands_in((), LaneKey("p", "a"))
