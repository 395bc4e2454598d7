"""The cheapest lane that will still make the deadline, by the wish of whoever is nearest to the line."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchrouter.domain.job_end import Why, lane_after, reason, why_of
from batchrouter.domain.lane_choice import LaneOptions, Mode, choose, wish_of
from batchrouter.domain.overtaking import Overtaking, overtake_times
from batchrouter.domain.shard import LaneMode

CHAT = "/v1/chat/completions"
DAY_S = 86_400.0
GOOD = LaneOptions(batch=True, endpoints=(CHAT,), rate=10.0)

options = st.builds(
    LaneOptions,
    mode=st.sampled_from(Mode),
    batch=st.booleans(),
    flex=st.booleans(),
    endpoints=st.sampled_from([(), (CHAT,), ("/v1/responses",)]),
    discount=st.sampled_from([0.0, 0.2, 0.5]),
    min_requests=st.integers(0, 500),
    min_time_s=st.sampled_from([0.0, 60.0, 3600.0]),
    rate=st.sampled_from([0.0, 0.1, 3.0, 100.0]),
)
wishes = st.sampled_from([None, *Mode])


def chosen(wish: Mode | None = None, lane: LaneOptions = GOOD, **facts: float) -> LaneMode:
    known = {"lines": 100, "rest": 100, "left_s": DAY_S, "margin_s": 900.0, **facts}
    return choose(wish, lane, endpoint=CHAT, **known)  # type: ignore[arg-type]


def test_auto_takes_the_batch_api_where_it_is_worth_it_and_the_time_is_enough() -> None:
    """A discount, enough lines, enough time until the rest would have to begin in real time."""
    assert chosen() is LaneMode.BATCH
    assert chosen(lines=99) is LaneMode.REALTIME
    assert chosen(lane=LaneOptions(batch=True, endpoints=(CHAT,), discount=0.0)) is LaneMode.REALTIME
    assert chosen(lane=LaneOptions(endpoints=(CHAT,))) is LaneMode.REALTIME
    assert chosen(lane=LaneOptions(batch=True)) is LaneMode.REALTIME
    just = 3600 + 900 + 10
    assert chosen(left_s=just) is LaneMode.BATCH
    assert chosen(left_s=just - 1) is LaneMode.REALTIME
    assert chosen(left_s=just, rest=110) is LaneMode.REALTIME


def test_who_asks_for_batch_gets_it_for_a_single_line_as_long_as_a_job_has_any_time() -> None:
    """Neither their number nor the least time counts then; where it would be overtaken at once, real time it is."""
    assert chosen(Mode.BATCH, lines=1, rest=1, left_s=901.0) is LaneMode.BATCH
    assert chosen(Mode.BATCH, lines=1, rest=1, left_s=900.0) is LaneMode.REALTIME
    assert chosen(Mode.BATCH, LaneOptions(mode=Mode.REALTIME)) is LaneMode.REALTIME


def test_the_nearer_wish_wins() -> None:
    """A wish of line or batch goes before the configuration's, `auto` among them."""
    assert chosen(None, LaneOptions(mode=Mode.BATCH, batch=True, endpoints=(CHAT,)), lines=1) is LaneMode.BATCH
    assert chosen(Mode.AUTO, LaneOptions(mode=Mode.BATCH, batch=True, endpoints=(CHAT,)), lines=1) is LaneMode.REALTIME
    assert chosen(Mode.AUTO, LaneOptions(mode=Mode.REALTIME, batch=True, endpoints=(CHAT,))) is LaneMode.BATCH
    assert chosen(Mode.REALTIME) is LaneMode.REALTIME


def test_flex_serves_what_no_batch_does_but_not_who_asks_for_real_time() -> None:
    """It may be refused for hours, so that it needs time, too."""
    flex = LaneOptions(flex=True, mode=Mode.REALTIME)
    assert chosen(None, flex) is LaneMode.FLEX
    assert chosen(Mode.REALTIME, flex) is LaneMode.REALTIME
    assert chosen(Mode.BATCH, flex) is LaneMode.FLEX
    assert chosen(None, flex, left_s=900.0) is LaneMode.REALTIME


@given(wishes, options, st.integers(1, 10_000), st.integers(0, 10_000), st.floats(-100, 1e6), st.floats(0, 1e4))
def test_no_lane_is_chosen_that_would_be_overtaken_at_once(
    wish: Mode | None, lane: LaneOptions, lines: int, more: int, left_s: float, margin_s: float
) -> None:
    """Whatever is asked for and known: a discounted lane exists, and has time before real time must begin."""
    rest = lines + more
    mode = choose(wish, lane, endpoint=CHAT, lines=lines, rest=rest, left_s=left_s, margin_s=margin_s)
    if mode is LaneMode.REALTIME:
        return
    assert lane.takes(CHAT) if mode is LaneMode.BATCH else lane.flex
    assert wish is not Mode.REALTIME
    deadline_ms = int(left_s * 1000)
    assert overtake_times(deadline_ms, rest, lane.rate, margin_s).due(-1) is Overtaking.NOT_YET


@given(
    st.integers(0, 10**12),
    st.integers(0, 10**6),
    st.sampled_from([0.0, 0.5, 3.0, 1000.0]),
    st.floats(0, 1e5),
    st.integers(-(10**8), 10**8),
)
def test_cancelling_comes_first_then_forcing_and_both_before_the_deadline(
    deadline_ms: int, pending: int, rate: float, margin_s: float, offset_ms: int
) -> None:
    """Fewer lines are overtaken no sooner than more, and what is due once stays due."""
    times = overtake_times(deadline_ms, pending, rate, margin_s)
    assert times.cancel_ms <= times.force_ms <= deadline_ms
    fewer = overtake_times(deadline_ms, pending // 2, rate, margin_s)
    assert fewer.cancel_ms >= times.cancel_ms
    steps = list(Overtaking)
    now_ms = times.cancel_ms + offset_ms
    assert steps.index(times.due(now_ms)) <= steps.index(times.due(now_ms + 1))


def test_the_margin_is_for_the_cancel_and_a_fifth_of_it_for_real_time() -> None:
    """With 15 minutes a cancel has 12 before lines are sent although it has not ended."""
    times = overtake_times(10_000_000, 300, 3.0, 900.0)
    assert times == (10_000_000 - 1_000_000, 10_000_000 - 280_000)
    due = [times.due(at_ms) for at_ms in (8_999_999, 9_000_000, 9_719_999, 9_720_000)]
    assert due == [Overtaking.NOT_YET, Overtaking.CANCEL, Overtaking.CANCEL, Overtaking.FORCE]


@pytest.mark.parametrize(("text", "wish"), [("auto", Mode.AUTO), ("batch", Mode.BATCH), ("Batch", None), (None, None)])
def test_other_words_in_a_batchs_metadata_are_the_persons_own(text: str | None, wish: Mode | None) -> None:
    """Only the three values mean something."""
    assert wish_of(text) is wish


def after(why: Why, *earlier: Why, lane: LaneOptions = GOOD, **facts: float) -> LaneMode:
    known = {"lines": 100, "rest": 100, "left_s": DAY_S, "margin_s": 900.0, **facts}
    reasons = [None, *(reason(each, "told") for each in earlier)]
    return lane_after(why, reasons, lane, endpoint=CHAT, **known)  # type: ignore[arg-type]


def test_what_a_provider_did_not_finish_gets_one_more_job_if_that_is_worth_it() -> None:
    """Never a second time for the same reason, and not for a handful of lines or in a hurry."""
    for why in (Why.UNFINISHED, Why.GONE):
        assert after(why) is LaneMode.BATCH
        assert after(why, lines=5) is LaneMode.REALTIME
        assert after(why, left_s=3600.0) is LaneMode.REALTIME
        assert after(why, why) is LaneMode.REALTIME
        assert after(why, Why.LIMIT, Why.PAUSED) is LaneMode.BATCH


def test_what_only_waits_stays_in_its_lane_as_often_as_it_takes_while_there_is_time() -> None:
    """Limits and refused keys burn nothing and fail nothing; the deadline is kept."""
    for why in (Why.LIMIT, Why.PAUSED):
        assert after(why, why, why, lines=1, left_s=1000.0) is LaneMode.BATCH
        assert after(why, left_s=900.0) is LaneMode.REALTIME


def test_what_has_to_be_planned_anew_stays_once() -> None:
    """A configuration whose bytes change each time must not make jobs for ever."""
    assert after(Why.CHANGED, lines=1) is LaneMode.BATCH
    assert after(Why.CHANGED, Why.CHANGED) is LaneMode.REALTIME


def test_what_is_no_batch_for_the_provider_never_becomes_one_again() -> None:
    """Once refused, always real time, flex where it is configured; what was overtaken has no time for flex."""
    flex = LaneOptions(batch=True, endpoints=(CHAT,), flex=True)
    assert after(Why.REFUSED) is LaneMode.REALTIME
    assert after(Why.UNFINISHED, Why.REFUSED) is LaneMode.REALTIME
    assert after(Why.REFUSED, lane=flex) is LaneMode.FLEX
    assert after(Why.OVERTAKEN, lane=flex) is LaneMode.REALTIME
    assert after(Why.OVERTAKEN) is LaneMode.REALTIME


@pytest.mark.parametrize("why", Why)
def test_a_reason_is_found_again_in_the_row(why: Why) -> None:
    """With or without words for people."""
    assert why_of(reason(why)) is why_of(reason(why, "a: b")) is why
    assert why_of(None) is why_of("something else") is None
