"""The life of a native job at every moment of it, and the desk that hands lives out."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchrouter.errors import ConfigError
from batchrouter.simulator.desk import Desk
from batchrouter.simulator.jobs import ENDED, Job, Phase, failure_of, finish_order
from batchrouter.simulator.jobscript import (
    Batches,
    FailJob,
    FailLines,
    JobError,
    JobMatch,
    JobRule,
    Life,
    RefuseCreate,
)
from batchrouter.simulator.script import script_from


def begun(lines: int = 10, window_s: float | None = None, **life: Any) -> Job:
    job = Job(Life(**life), 100.0, window_s)
    job.begin(100.0, lines)
    return job


def test_an_empty_life_is_over_at_once() -> None:
    """Without a script a job completes in the moment in which its input was read."""
    job = begun(3)
    assert (job.phase(100.0), job.done(100.0), job.ended_s()) == (Phase.COMPLETED, 3, 100.0)


def test_a_job_goes_through_its_phases_in_order() -> None:
    """Validating, working line by line, finalizing, completed: each when the life says."""
    job = begun(4, validate_s=2, work_s=8, finalize_s=3)
    assert [job.phase(at) for at in (100, 101.9, 102, 109.9, 110, 112.9, 113)] == [
        Phase.VALIDATING,
        Phase.VALIDATING,
        Phase.IN_PROGRESS,
        Phase.IN_PROGRESS,
        Phase.FINALIZING,
        Phase.FINALIZING,
        Phase.COMPLETED,
    ]
    assert [job.done(at) for at in (101, 102, 103.9, 104, 107, 110, 500)] == [0, 0, 0, 1, 2, 4, 4]


def test_lines_per_second_set_the_pace() -> None:
    assert [begun(10, lines_per_s=2).done(at) for at in (100, 100.5, 101, 105)] == [0, 1, 2, 10]


def test_a_job_stays_validating_until_its_input_was_read() -> None:
    job = Job(Life(validate_s=1), 100.0)
    assert job.phase(105.0) is Phase.VALIDATING
    job.begin(106.0, 1)
    assert (job.validated_s, job.phase(106.0)) == (106.0, Phase.COMPLETED)


def test_a_stalled_job_does_no_more_and_never_ends_by_itself() -> None:
    job = begun(10, lines_per_s=1, stall_after=3)
    assert (job.done(1e9), job.phase(1e9), job.ended_s()) == (3, Phase.IN_PROGRESS, None)


def test_stall_and_finish_from_outside() -> None:
    """A test may stop a job at any moment, and end it when it has seen enough."""
    job = begun(10, lines_per_s=1)
    job.stall(104.5)
    assert (job.done(200.0), job.phase(200.0), job.next_s(105.0)) == (4, Phase.IN_PROGRESS, None)
    job.finish(300.0)
    assert (job.done(299.0), job.done(300.0), job.phase(300.0)) == (4, 10, Phase.COMPLETED)


def test_finish_before_the_input_was_read_ends_the_job_when_it_is() -> None:
    job = Job(Life(validate_s=50, work_s=50), 100.0)
    job.finish(101.0)
    assert job.phase(102.0) is Phase.VALIDATING
    job.begin(103.0, 5)
    assert (job.phase(103.0), job.done(103.0)) == (Phase.COMPLETED, 5)


def test_an_expired_job_keeps_what_was_done() -> None:
    job = begun(10, lines_per_s=1, expire_after_s=4.5)
    assert (job.phase(104.4), job.phase(104.5), job.done(1e9)) == (Phase.IN_PROGRESS, Phase.EXPIRED, 4)


def test_the_scripts_window_wins_over_the_providers() -> None:
    assert begun(1, work_s=9, window_s=5).phase(105.0) is Phase.EXPIRED
    assert begun(1, work_s=9, window_s=5, expire_after_s=20).phase(109.0) is Phase.COMPLETED
    assert begun(1, stall_after=0, window_s=None).ended_s() is None


def test_a_job_that_is_done_in_the_moment_of_its_expiry_completes() -> None:
    assert begun(1, work_s=5, window_s=5).phase(105.0) is Phase.COMPLETED


def test_a_cancel_takes_its_time_and_lines_go_on_finishing() -> None:
    job = begun(10, lines_per_s=1, cancel_s=2.5)
    assert job.cancel(103.0)
    assert job.phase(105.4) is Phase.CANCELLING
    assert (job.phase(105.5), job.done(1e9), job.ended_s()) == (Phase.CANCELLED, 5, 105.5)


def test_cancel_again_changes_nothing_and_after_the_end_is_refused() -> None:
    job = begun(10, lines_per_s=1, cancel_s=2)
    assert job.cancel(103.0)
    assert job.cancel(104.0)
    assert job.ended_s() == 105.0
    assert not job.cancel(106.0)
    assert not begun(1).cancel(100.0)


def test_a_refused_job_fails_with_its_errors_once_validated() -> None:
    error = JobError(code="empty_file", message="nothing in it")
    job = Job(Life(validate_s=2), 100.0)
    job.refuse(100.5, (error,))
    assert (job.phase(101.9), job.phase(102.0)) == (Phase.VALIDATING, Phase.FAILED)
    assert (job.failure(), job.done(500.0)) == ((error,), 0)


def test_a_job_may_fail_as_a_whole_at_once_or_halfway() -> None:
    at_once = begun(10, lines_per_s=1, fail_job=FailJob())
    assert (at_once.phase(100.0), at_once.failure()[0].code) == (Phase.FAILED, "invalid_request")
    halfway = begun(10, lines_per_s=1, fail_job=FailJob(after_lines=5))
    assert (halfway.phase(104.9), halfway.phase(105.0)) == (Phase.IN_PROGRESS, Phase.FAILED)
    assert halfway.failure()[0].code == "invalid_request"


EVENTS = ("begin", "refuse", "cancel", "finish", "stall", "expire")
LIVES = st.builds(
    Life,
    validate_s=st.sampled_from([0.0, 0.5, 3.0]),
    work_s=st.sampled_from([0.0, 0.7, 5.0]),
    finalize_s=st.sampled_from([0.0, 1.0]),
    stall_after=st.none() | st.integers(0, 8),
    expire_after_s=st.none() | st.sampled_from([0.0, 2.0, 6.0]),
    fail_job=st.none() | st.builds(FailJob, after_lines=st.integers(0, 9)),
    cancel_s=st.sampled_from([0.0, 1.5]),
)


@given(
    life=LIVES,
    lines=st.integers(1, 8),
    events=st.lists(st.tuples(st.sampled_from(EVENTS), st.sampled_from([0.0, 0.3, 1.0, 2.5])), max_size=6),
)
def test_what_has_happened_stays(life: Life, lines: int, events: list[tuple[str, float]]) -> None:
    """No event changes the past, lines only ever become more, an ended job ends once, `next_s` misses nothing."""
    job = Job(life, 0.0)
    moment = 0.0
    begun_or_refused = False
    for name, pause_s in events:
        moment += pause_s
        before = [(at / 10, job.phase(at / 10), job.done(at / 10)) for at in range(int(moment * 10))]
        if name in ("begin", "refuse"):
            if begun_or_refused:
                continue
            begun_or_refused = True
            if name == "begin":
                job.begin(moment, lines)
            else:
                job.refuse(moment, (JobError(code="no"),))
        else:
            getattr(job, name)(moment)
        assert before == [(at, job.phase(at), job.done(at)) for at, _, _ in before]
    told, at = [], moment
    while (following := job.next_s(at)) is not None:
        between = at + (following - at) / 2
        assert (job.phase(between), job.done(between)) == (job.phase(at), job.done(at))
        told.append((job.phase(at), job.done(at)))
        at = following
    assert [done for _, done in told] == sorted(done for _, done in told)
    assert (job.phase(at), job.done(at)) == (job.phase(1e9), job.done(1e9))
    assert all(phase not in ENDED for phase, _ in told)
    assert job.done(1e9) <= lines


@given(total=st.integers(0, 3000), seed=st.integers(0, 5))
def test_the_finish_order_names_every_line_once(total: int, seed: int) -> None:
    order = list(finish_order(total, seed))
    assert sorted(order) == list(range(total))
    assert order == list(finish_order(total, seed))


def test_lines_do_not_finish_in_the_order_of_the_file() -> None:
    order = list(finish_order(1000))
    neighbours = sum(second == first + 1 for first, second in itertools.pairwise(order))
    assert neighbours < 10


def test_failing_lines_are_those_of_the_rule() -> None:
    """`every` counts places in the job, `share` draws from the body and is the same in every job."""
    tenth = (FailLines(every=10, status=0),)
    assert [index for index in range(30) if failure_of(tenth, index, b"x")] == [9, 19, 29]
    share = (FailLines(share=0.25),)
    hit = [failure_of(share, 0, b"%d" % number) is not None for number in range(2000)]
    assert 400 < sum(hit) < 600
    assert hit == [failure_of(share, 99, b"%d" % number) is not None for number in range(2000)]
    assert hit != [failure_of(share, 0, b"%d" % number, 1) is not None for number in range(2000)]


def test_the_desk_counts_what_is_refused_and_lost() -> None:
    desk = Desk(Batches(lost_create=2, lost_uploads=1, refuse_create=RefuseCreate(first=1)))
    assert [desk.refusal() is not None for _ in range(3)] == [True, False, False]
    assert [desk.loses_create() for _ in range(3)] == [True, True, False]
    assert [desk.loses_upload() for _ in range(3)] == [True, False, False]
    assert all(Desk(Batches(refuse_create=RefuseCreate())).refusal() for _ in range(5))
    assert Desk().refusal() is None


def test_a_new_jobs_life_is_that_of_the_first_rule_that_matches() -> None:
    stalls, slow = Life(stall_after=0), Life(work_s=9)
    rules = (
        JobRule(match=JobMatch(model="gpt-*", first=1), then=stalls),
        JobRule(match=JobMatch(path="/v1/emb*"), then=slow),
    )
    desk = Desk(Batches(work_s=1, jobs=rules))
    assert desk.life("gpt-4o", "/v1/chat/completions") is stalls
    assert desk.life("gpt-4o", "/v1/chat/completions").work_s == 1
    assert desk.life("e", "/v1/embeddings") is slow
    every = Desk(Batches(jobs=(JobRule(match=JobMatch(every=2), then=slow),)))
    assert [every.life("m", "/p") is slow for _ in range(4)] == [False, True, False, True]


def test_the_section_loads_from_a_script_and_names_the_near_word() -> None:
    script = script_from(
        {"batches": {"lines_per_s": 5, "lost_create": 1, "fail_lines": [{"every": 3, "status": 0}], "jobs": []}}
    )
    assert script.batches is not None
    assert (script.batches.lines_per_s, script.batches.fail_lines[0].status) == (5, 0)
    with pytest.raises(ConfigError, match="did you mean 'stall_after'"):
        script_from({"batches": {"stall_afer": 1}})
    with pytest.raises(ConfigError, match="two ways"):
        script_from({"batches": {"work_s": 1, "lines_per_s": 5}})
    with pytest.raises(ConfigError, match="either `every` or `share`"):
        script_from({"batches": {"fail_lines": [{"status": 500}]}})
    with pytest.raises(ConfigError, match="0 or 400"):
        script_from({"batches": {"fail_lines": [{"every": 1, "status": 200}]}})


@given(
    begin_s=st.floats(min_value=0.0, max_value=1e8, allow_subnormal=False),
    lines_per_s=st.sampled_from([3.0, 7.0, 1000.0, 997.0]),
)
def test_a_line_is_done_in_the_moment_at_which_it_is_due(begin_s: float, lines_per_s: float) -> None:
    """However long the machine has been up: whoever waits from moment to moment sees every line, also of a stalled
    job, after whose last line no other moment comes."""
    job = Job(Life(lines_per_s=lines_per_s, stall_after=5), begin_s)
    job.begin(begin_s, 10)
    now_s: float | None = begin_s
    seen = job.done(begin_s)
    while (now_s := job.next_s(now_s)) is not None:
        assert job.done(now_s) >= seen
        seen = job.done(now_s)
    assert seen == 5
