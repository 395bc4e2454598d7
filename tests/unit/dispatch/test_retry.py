"""Whose fault an end is, and what the line does next: by code, never by message, and never past the deadline."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchrouter.domain.rate_headers import Signals
from batchrouter.domain.retry import (
    NO_TRIES,
    Again,
    Kind,
    LaneView,
    PauseLane,
    RetrySettings,
    Settle,
    Tries,
    classify,
    next_step,
    reason_of,
    verdict_of,
)
from batchrouter.domain.verdict import Verdict
from batchrouter.errors import (
    ConnectFailed,
    ConnectionLost,
    ReplyBroken,
    ReplyTimeout,
    ReplyTooLarge,
    TransportError,
)

NEVER = float("-inf")
SETTINGS = RetrySettings()
ANSWERING = LaneView(last_answer_s=100.0, others_failing=False)
SILENT = LaneView(last_answer_s=5.0, others_failing=True)
ALONE = LaneView(last_answer_s=5.0, others_failing=False)
UNTRIED = LaneView(last_answer_s=NEVER, others_failing=False)


def step(kind: Kind, lane: LaneView, tries: Tries = NO_TRIES, *, told_s: float | None = None, deadline_s: float = 1e6):
    """A call sent at 10 s that ended at 200 s, with the middle of chance."""
    return next_step(kind, tries, 10.0, 200.0, deadline_s, lane, SETTINGS, 0.5, told_s, "why")


# --- whose fault ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "statuses"),
    [
        (Kind.OK, [200, 201]),
        (Kind.LINE_FAULT, [400, 410, 413, 415, 422, 501]),
        (Kind.TRANSIENT, [0, 408, 409, 425, 499, 500, 502, 504, 520, 521, 522, 523, 524]),
        (Kind.BUSY, [429, 503, 529]),
        (Kind.LANE_DOWN, [401, 402, 301, 302, 308]),
        (Kind.FORBIDDEN, [403, 404, 405]),
    ],
)
def test_every_status_has_its_kind(kind: Kind, statuses: list[int]) -> None:
    """The table of retries, by status alone."""
    assert {classify(status) for status in statuses} == {kind}


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (429, "insufficient_quota", Kind.LANE_DOWN),
        (429, "billing_hard_limit_reached", Kind.LANE_DOWN),
        (429, "credit_balance_exhausted", Kind.LANE_DOWN),
        (429, "rate_limit_exceeded", Kind.BUSY),
        (400, "enforced_spend_limit_reached", Kind.LANE_DOWN),
        (400, "API_KEY_INVALID", Kind.LANE_DOWN),
        (403, "invalid_api_key", Kind.LANE_DOWN),
        (403, "unsupported_country_region_territory", Kind.LANE_DOWN),
        (403, "content_policy_violation", Kind.LINE_FAULT),
        (403, "context_length_exceeded", Kind.LINE_FAULT),
        (403, "permission_error", Kind.FORBIDDEN),
        (404, "model_not_found", Kind.LINE_FAULT),
        (404, "unknown_url", Kind.FORBIDDEN),
        (404, "Not Found", Kind.FORBIDDEN),
        (404, "invalid_request_error", Kind.FORBIDDEN),
        (405, "invalid_request_error", Kind.FORBIDDEN),
        (500, "overloaded_error", Kind.BUSY),
        (500, "insufficient_quota", Kind.TRANSIENT),
    ],
)
def test_a_code_says_more_than_its_status(status: int, code: str, kind: Kind) -> None:
    """A dead account and a busy minute share 429; only the code tells them apart."""
    assert classify(status, code) is kind


@pytest.mark.parametrize(
    ("error", "reused", "kind", "verdict"),
    [
        (ConnectFailed(), False, Kind.UNREACHED, Verdict.DROPPED),
        (ReplyTimeout(), False, Kind.TRANSIENT, Verdict.DROPPED),
        (ReplyBroken(), False, Kind.TRANSIENT, Verdict.IGNORED),
        (ReplyTooLarge(), False, Kind.LINE_FAULT, Verdict.IGNORED),
        (ConnectionLost(), True, Kind.RESEND, Verdict.IGNORED),
        (ConnectionLost(), False, Kind.TRANSIENT, Verdict.IGNORED),
    ],
)
def test_an_error_of_the_transport_wins_over_the_status(
    error: TransportError, reused: bool, kind: Kind, verdict: Verdict
) -> None:
    """A 200 that broke off is no answer; only a connection that had served before may lose a line for nothing."""
    assert classify(200, None, error, reused=reused) is kind
    assert verdict_of(kind, error) is verdict


def test_should_retry_decides_between_final_and_transient_only() -> None:
    """The upstream's advice moves a line's own failure either way, and never a lane's."""
    yes, no = Signals(should_retry=True), Signals(should_retry=False)
    assert classify(400, None, None, yes) is Kind.TRANSIENT
    assert classify(500, None, None, no) is Kind.LINE_FAULT
    assert classify(429, None, None, no) is Kind.BUSY
    assert classify(401, None, None, yes) is Kind.LANE_DOWN


def test_a_reason_holds_no_words_of_the_upstream() -> None:
    """What cannot be a code is left out of what people are told."""
    for status in (*range(100, 600), None):
        assert "secret" not in reason_of(status, "sk-secret key! and a prompt", None)
    assert "insufficient_quota" in reason_of(429, "insufficient_quota", None)


# --- what next ------------------------------------------------------------------------------------------------------


def test_what_is_settled() -> None:
    """Answers and faults of the line are final at once."""
    assert step(Kind.OK, ANSWERING) == step(Kind.LINE_FAULT, SILENT) == Settle()


def test_a_line_that_fails_while_others_are_answered_fails_after_eight_tries() -> None:
    """Seven more tries, each waiting longer; the eighth counted failure is final."""
    tries, waits = NO_TRIES, []
    for _ in range(7):
        again = step(Kind.TRANSIENT, ANSWERING, tries)
        assert isinstance(again, Again)
        waits.append(again.at_s - 200.0)
        tries = again.tries
    assert waits == sorted(waits)
    assert waits[0] == 0.375
    assert tries.counted == 7
    assert step(Kind.TRANSIENT, ANSWERING, tries) == Settle()
    assert step(Kind.TRANSIENT, LaneView(100.0, others_failing=True), tries) == Settle(), "others fail, but not all"


def test_nothing_is_counted_while_the_lane_answers_nobody() -> None:
    """However often: a dead upstream is not its lines' fault."""
    tries = NO_TRIES
    for _ in range(100):
        again = step(Kind.TRANSIENT, SILENT, tries)
        assert isinstance(again, Again)
        assert again.at_s <= 200.0 + SETTINGS.backoff_max_s
        tries = again.tries
    assert tries.counted == 0


def test_the_last_line_of_a_lane_does_not_wait_for_its_deadline() -> None:
    """A line that fails alone is blamed when the lane had answered before, or when it has waited long enough."""
    assert step(Kind.TRANSIENT, ALONE, Tries(counted=7)) == Settle()
    fresh = step(Kind.TRANSIENT, UNTRIED, Tries(counted=7))
    assert isinstance(fresh, Again)
    assert step(Kind.TRANSIENT, UNTRIED, Tries(counted=7, first_sent_s=-200.0)) == Settle()


def test_two_bad_lines_at_the_end_are_not_each_others_excuse_for_ever() -> None:
    """Each says that it is the lane; after five minutes a failure counts, if the lane had ever answered anybody."""
    silent_from_the_start = LaneView(NEVER, others_failing=True)
    assert isinstance(step(Kind.TRANSIENT, SILENT, Tries(counted=7, first_sent_s=-99.0)), Again)
    assert step(Kind.TRANSIENT, SILENT, Tries(counted=7, first_sent_s=-100.0)) == Settle()
    assert isinstance(step(Kind.TRANSIENT, silent_from_the_start, Tries(counted=7, first_sent_s=-1e6)), Again)
    assert isinstance(step(Kind.FORBIDDEN, SILENT, Tries(counted=7, first_sent_s=-1e6)), PauseLane)


def test_busy_and_refused_connections_are_never_counted_and_wait_as_told() -> None:
    """Retry-After is obeyed and barely stretched; without it the wait stays short, because the lane is paced."""
    for kind in (Kind.BUSY, Kind.UNREACHED):
        again = step(kind, ANSWERING, Tries(counted=7, uncounted=50), told_s=40.0)
        assert isinstance(again, Again)
        assert 240.0 <= again.at_s <= 241.0
        assert again.tries.counted == 7
        again = step(kind, ANSWERING, Tries(uncounted=50))
        assert isinstance(again, Again)
        assert again.at_s <= 200.0 + SETTINGS.busy_backoff_max_s


def test_a_refused_key_pauses_the_lane_and_keeps_the_line() -> None:
    """LANE_DOWN settles nothing and counts nothing."""
    paused = step(Kind.LANE_DOWN, ANSWERING, Tries(counted=7))
    assert isinstance(paused, PauseLane)
    assert (paused.reason, paused.until_s, paused.tries.counted) == ("why", None, 7)
    told = step(Kind.LANE_DOWN, ANSWERING, told_s=3600.0)
    assert isinstance(told, PauseLane)
    assert told.until_s == 3800.0


def test_a_403_is_the_lines_only_while_the_lane_answers_others() -> None:
    """One poisoned prompt does not pause a lane; a revoked key does not fail fifty thousand lines."""
    assert step(Kind.FORBIDDEN, ANSWERING, Tries(counted=7)) == Settle()
    paused = step(Kind.FORBIDDEN, SILENT, Tries(counted=7))
    assert isinstance(paused, PauseLane)
    assert not paused.certain
    assert isinstance(step(Kind.FORBIDDEN, UNTRIED, Tries(counted=7, first_sent_s=-1e6)), PauseLane)


def test_a_wrong_base_url_pauses_the_lane_and_says_so() -> None:
    """A path that nobody serves is no fault of the fifty thousand lines that were sent to it."""
    reason = reason_of(404, "unknown_url")
    assert reason == "the path is not served: check base_url (404 unknown_url)"
    assert isinstance(step(classify(404, "unknown_url"), UNTRIED), PauseLane)
    assert isinstance(step(classify(405), SILENT, Tries(counted=7)), PauseLane)
    assert step(classify(404, "unknown_url"), ANSWERING, Tries(counted=7)) == Settle(), "others are answered there"


def test_a_lost_idle_connection_resends_at_once_and_not_for_ever() -> None:
    """Three times for nothing; then it is a failure like others."""
    tries = NO_TRIES
    for _ in range(3):
        again = step(Kind.RESEND, ANSWERING, tries)
        assert isinstance(again, Again)
        assert (again.at_s, again.tries.counted) == (200.0, 0)
        tries = again.tries
    last = step(Kind.RESEND, ANSWERING, tries)
    assert isinstance(last, Again)
    assert last.tries.counted == 1


@given(
    st.sampled_from(list(Kind)),
    st.builds(Tries, st.integers(0, 7), st.integers(0, 10_000), st.integers(0, 5), st.none() | st.floats(0, 10)),
    st.sampled_from([ANSWERING, SILENT, ALONE, UNTRIED]),
    st.floats(0, 1, exclude_max=True),
    st.none() | st.floats(0, 86_400),
    st.floats(200.0, 1e6),
)
def test_no_line_waits_past_its_deadline_or_goes_back_in_time(
    kind: Kind, tries: Tries, lane: LaneView, chance: float, told_s: float | None, deadline_s: float
) -> None:
    """Whatever came before; and no tries are ever lost."""
    after = next_step(kind, tries, 10.0, 200.0, deadline_s, lane, SETTINGS, chance, told_s, "")
    if isinstance(after, Again):
        assert 200.0 <= after.at_s <= deadline_s
        assert 0 <= after.tries.counted - tries.counted <= 1
        assert after.tries.counted < SETTINGS.max_attempts
    if kind in (Kind.BUSY, Kind.UNREACHED, Kind.LANE_DOWN):
        assert not isinstance(after, Settle)
