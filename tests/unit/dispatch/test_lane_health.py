"""A lane that does not answer is asked with one line at a time, says why, and goes on when its cause is gone."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchrouter.domain.lane_health import LANE, UNLIMITED, UNREACHABLE_AFTER, LaneEvent, LaneHealth, LaneState
from batchrouter.domain.retry import Kind


def silence(health: LaneHealth, at_s: float, failures: int = UNREACHABLE_AFTER) -> None:
    for line in range(failures):
        health.on_failure(Kind.UNREACHED, line, 0, at_s, at_s, "no connection could be made")


def probe(health: LaneHealth, at_s: float) -> None:
    assert health.may_send(at_s) == 1
    health.on_probe_sent(at_s)
    assert health.may_send(at_s + 1000) == 0, "one probe at a time"


def test_every_cell_of_the_table_is_there() -> None:
    """No end of a call can find the lane in a state that does not know what to do."""
    for state in LaneState:
        assert set(LANE[state]) == set(LaneEvent)


def test_a_new_lane_is_open() -> None:
    """Nothing but the limiter bounds it."""
    health = LaneHealth()
    assert (health.open, health.may_send(0.0), health.reason, health.waiting_until_s) == (True, UNLIMITED, None, None)


def test_a_refused_lane_is_probed_from_half_a_minute_to_ten() -> None:
    """30 s, then doubling to 10 min; it needs a person and says why."""
    health = LaneHealth()
    health.on_lane_down("key refused", 0.0, 1.0)
    assert (health.state, health.needs_person, health.reason) == (LaneState.PAUSED, True, "key refused")
    waits, now_s = [], 1.0
    for _ in range(8):
        until_s = health.waiting_until_s
        assert until_s is not None
        waits.append(until_s - now_s)
        assert health.may_send(until_s - 0.1) == 0
        now_s = until_s
        probe(health, now_s)
        health.on_lane_down("key refused", now_s, now_s)
    assert waits == [30, 60, 120, 240, 480, 600, 600, 600]


def test_the_rest_of_a_burst_of_refusals_changes_nothing() -> None:
    """A thousand calls in flight are refused together: one pause, one interval."""
    health = LaneHealth()
    for number in range(1000):
        health.on_lane_down("key refused", 0.0, 1.0 + number / 1000)
    assert health.waiting_until_s == 31.0


def test_a_paused_lane_opens_by_its_probe_and_not_by_an_old_answer() -> None:
    """An answer to a call from before the pause proves nothing about the key of now."""
    health = LaneHealth()
    health.on_lane_down("no credit", 5.0, 6.0)
    health.on_answer(4.0, 7.0)
    assert health.state is LaneState.PAUSED
    probe(health, 36.0)
    health.on_answer(36.0, 37.0)
    assert (health.state, health.reason, health.may_send(37.0)) == (LaneState.OPEN, None, UNLIMITED)
    health.on_lane_down("no credit", 5.5, 38.0)
    assert health.open, "a refusal from before it opened"


def test_a_doubtful_pause_ends_with_any_answer() -> None:
    """One forbidden prompt, refused before the others are answered, does not hold up its lane."""
    health = LaneHealth()
    health.on_failure(Kind.FORBIDDEN, 1, 0, 0.0, 0.1, "not permitted")
    health.on_lane_down("not permitted", 0.0, 0.1, certain=False)
    assert health.may_send(0.2) == 0
    health.on_answer(0.0, 5.0)
    assert health.open
    health.on_lane_down("not permitted", 6.0, 6.1, certain=False)
    health.on_lane_down("key refused", 6.0, 6.2)
    health.on_answer(6.0, 7.0)
    assert health.needs_person, "a certain refusal came on top"


def test_after_a_restart_the_probe_is_due_at_once() -> None:
    """And if it fails, the next one comes after 30 s again."""
    health = LaneHealth(LaneState.PAUSED, "key refused")
    assert (health.may_send(0.0), health.reason) == (1, "key refused")
    probe(health, 0.0)
    health.on_lane_down("key refused", 0.0, 1.0)
    assert health.waiting_until_s == 31.0
    assert LaneHealth(health.state, health.reason).may_send(5.0) == 1


def test_a_dead_upstream_is_asked_with_one_line_and_noticed_when_it_is_back() -> None:
    """Probes from 1 s to 30 s; the first answer opens the lane."""
    health = LaneHealth()
    silence(health, 10.0)
    assert (health.state, health.needs_person) == (LaneState.UNREACHABLE, False)
    waits, now_s = [], 10.0
    for _ in range(7):
        until_s = health.waiting_until_s
        assert until_s is not None
        waits.append(until_s - now_s)
        now_s = until_s
        probe(health, now_s)
        health.on_failure(Kind.UNREACHED, 1, 0, now_s, now_s, "no connection could be made")
    assert waits == [1, 2, 4, 8, 16, 30, 30]
    probe(health, now_s + 30)
    health.on_answer(now_s + 30, now_s + 31)
    assert health.open


def test_an_upstream_that_answers_somebody_is_not_unreachable() -> None:
    """Failures in between answers, busy replies, and lines that are suspected themselves do not add up."""
    health = LaneHealth()
    for number in range(100):
        silence(health, number + 0.5, UNREACHABLE_AFTER - 1)
        health.on_answer(float(number), number + 1.0)
    for line in range(100):
        health.on_failure(Kind.BUSY, line, 0, 200.0, 201.0, "busy")
        health.on_failure(Kind.TRANSIENT, line, 3, 200.0, 201.0, "fails")
        health.on_failure(Kind.TRANSIENT, line, 0, 99.0, 201.0, "sent before the last answer")
    assert health.open


def test_a_busy_reply_to_a_probe_shows_that_the_upstream_can_be_reached() -> None:
    """From there on the limiter paces; but a paused lane stays paused."""
    health = LaneHealth()
    silence(health, 0.0)
    probe(health, 1.0)
    health.on_failure(Kind.BUSY, 1, 0, 1.0, 1.1, "busy")
    assert health.open
    paused = LaneHealth(LaneState.PAUSED, "key refused")
    probe(paused, 1.0)
    paused.on_failure(Kind.BUSY, 1, 0, 1.0, 1.1, "busy")
    assert (paused.state, paused.waiting_until_s) == (LaneState.PAUSED, 31.1)


def test_a_wait_that_was_told_ends_by_itself() -> None:
    """Meanwhile the lane says until when; a shorter wait does not cut a longer one."""
    health = LaneHealth()
    health.on_wait(10.0, 1.0, "busy")
    health.on_wait(5.0, 2.0, "busy")
    health.on_answer(0.0, 3.0)
    assert (health.state, health.waiting_until_s, health.may_send(9.0)) == (LaneState.WAITING, 10.0, 0)
    assert (health.may_send(10.0), health.state) == (UNLIMITED, LaneState.OPEN)


def test_a_probe_that_told_nothing_frees_its_place() -> None:
    """Its batch was cancelled, say."""
    health = LaneHealth(LaneState.PAUSED)
    probe(health, 0.0)
    health.on_probe_gone()
    assert health.may_send(0.0) == 1


def test_a_line_sees_whether_others_fail() -> None:
    """Its own failures are no evidence for it, and an answer wipes out all of them."""
    health = LaneHealth()
    health.on_failure(Kind.TRANSIENT, 7, 0, 1.0, 2.0, "fails")
    health.on_failure(Kind.TRANSIENT, 7, 0, 3.0, 4.0, "fails")
    assert (health.view(7).others_failing, health.view(8).others_failing) == (False, True)
    health.on_failure(Kind.TRANSIENT, 8, 0, 3.0, 4.0, "fails")
    assert health.view(7).others_failing
    health.on_answer(4.0, 5.0)
    assert not health.view(7).others_failing
    assert health.view(7).last_answer_s == 5.0


@given(st.lists(st.tuples(st.integers(0, 6), st.floats(0, 40), st.booleans()), max_size=80))
def test_a_sick_lane_never_sends_two_probes_at_once_and_always_sends_again(
    moves: list[tuple[int, float, bool]],
) -> None:
    """Whatever happens, a lane that is not open says why and when, and after that time a line may go."""
    health, now_s = LaneHealth(), 0.0
    for what, wait_s, old in moves:
        now_s += wait_s
        sent_s = max(0.0, now_s - 100.0) if old else now_s
        may = health.may_send(now_s)
        assert may in ((UNLIMITED,) if health.open else (0, 1))
        if may == 1:
            health.on_probe_sent(now_s)
            assert health.may_send(now_s) == 0
        if what == 0:
            health.on_answer(sent_s, now_s)
        elif what == 1:
            health.on_lane_down("refused", sent_s, now_s, now_s + 5 if old else None)
        elif what == 2:
            health.on_wait(now_s + 3, now_s, "told")
        elif what == 3:
            health = LaneHealth(health.state, health.reason)
        else:
            kind = (Kind.UNREACHED, Kind.BUSY, Kind.TRANSIENT)[what - 4]
            for line in range(20):
                health.on_failure(kind, line, 0, sent_s, now_s, "fails")
        if not health.open:
            until_s = health.waiting_until_s
            assert health.reason
            assert until_s is not None
            assert until_s <= now_s + 600
            health.on_probe_gone()
            assert health.may_send(max(until_s, now_s)) >= 1


@pytest.mark.parametrize("state", list(LaneState))
def test_a_stored_lane_starts_as_it_was_except_for_a_wait(state: LaneState) -> None:
    """A wait's end was told in another process's time; the upstream will tell it again."""
    health = LaneHealth(state, "because")
    expected = LANE[state][LaneEvent.REVIVE]
    assert expected is (LaneState.OPEN if state is LaneState.WAITING else state)
    assert (health.state, health.reason) == (expected, None if health.open else "because")
