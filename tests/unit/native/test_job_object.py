"""What we see in a provider's job, whatever its words are; every word that the vendors' packages know is known here."""

from __future__ import annotations

import contextlib
from typing import Any, get_args

import mistralai.client.models.batchjobstatus as mistral_words
import pytest
from anthropic.types.messages import MessageBatch
from hypothesis import given
from hypothesis import strategies as st
from openai.types import Batch

from batchrouter.adapters.native import anthropic, job_object, mistral
from batchrouter.adapters.native.job_object import FILES_LATE_MS, seen_of, time_ms
from batchrouter.adapters.native.openai import window
from batchrouter.domain.job import JobPhase, NativeFacts
from batchrouter.errors import NativeUnknown
from batchrouter.providers.hosts import HOSTS

NOW_MS = 1_700_000_000_000
RUNNING, CANCELLING, ENDED = JobPhase.RUNNING, JobPhase.CANCELLING, JobPhase.ENDED


def see(status: str, facts: NativeFacts | None = None, **members: Any) -> Any:
    return seen_of({"id": "b", "status": status, **members}, facts or NativeFacts(), {}, NOW_MS, "the job")


def test_no_word_of_the_vendors_is_unknown() -> None:
    """A word that is not in our tables would be taken for a job that goes on forever."""
    assert set(get_args(Batch.model_fields["status"].annotation)) <= set(job_object.PHASES)
    assert set(get_args(get_args(mistral_words.BatchJobStatus)[0])) == set(mistral.PHASES)
    assert set(get_args(MessageBatch.model_fields["processing_status"].annotation)) == set(anthropic.PHASES)


@pytest.mark.parametrize(
    ("word", "phase"),
    [
        ("validating", RUNNING),
        ("in_progress", RUNNING),
        ("finalizing", RUNNING),
        ("cancelling", CANCELLING),
        ("completed", ENDED),
        ("failed", ENDED),
        ("expired", ENDED),
        ("cancelled", ENDED),
        ("IN_PROGRESS", RUNNING),
        ("COMPLETED", ENDED),
        ("in_queue", RUNNING),
        ("a word of the future", RUNNING),
    ],
)
def test_words_become_phases(word: str, phase: JobPhase) -> None:
    """In capitals or not; an unknown one never ends a job, because its results would be read too early."""
    assert see(word).phase is phase


def test_a_host_may_have_words_of_its_own() -> None:
    """They lead to a phase, or to the word of OpenAI's that means the same."""
    facts = NativeFacts(statuses={"DONE": "ended", "PROGRESS": "in_progress", "STOPPING": "cancelling"})
    assert [see(word, facts).phase for word in ("DONE", "PROGRESS", "STOPPING")] == [ENDED, RUNNING, CANCELLING]


def test_every_hosts_words_lead_somewhere() -> None:
    """A spelling mistake in a row of facts would be a job that never ends."""
    known = {*job_object.PHASES, *JobPhase}
    for host in HOSTS.values():
        if host.batch is not None:
            assert {word.lower() for word in host.batch.statuses.values()} <= known, host.name


def test_a_rejected_job_tells_code_and_line_and_no_more() -> None:
    """Messages may quote the line."""
    errors = [
        {"code": "invalid_json_line", "message": "the secret prompt", "line": 3, "param": None},
        {"code": "x", "message": "y", "line": 4, "param": None},
    ]
    seen = see("failed", errors={"object": "list", "data": errors})
    assert (seen.refused, seen.code) == (True, "invalid_json_line")
    assert seen.reason == "it was rejected: invalid_json_line at line 3 and 1 more"


@pytest.mark.parametrize("errors", [None, [], {}, {"data": None}, {"data": ["x"]}, {"data": [{"code": 7}]}, "text"])
def test_a_rejected_job_may_be_silent_about_why(errors: object) -> None:
    """Some tell a bare list, or nothing."""
    seen = see("failed", errors=errors)
    assert (seen.refused, seen.code) == (True, "failed")


def test_a_failed_job_that_has_results_was_not_rejected() -> None:
    """They are read; what is missing there is unfinished."""
    assert not see("FAILED", error_file_id="err").refused
    assert not see("failed", request_counts={"completed": 2}).refused


def test_mistrals_failed_job_may_have_run_lines() -> None:
    """Then it was not rejected, and what it has is read."""
    job = {"id": "j", "status": "FAILED", "succeeded_requests": 0, "failed_requests": 2}
    assert mistral.seen_of(job, "the job").refused
    assert not mistral.seen_of({**job, "succeeded_requests": 1}, "the job").refused
    assert not mistral.seen_of({**job, "error_file": "err"}, "the job").refused


def test_files_are_remembered_and_empty_names_are_none() -> None:
    """A look that names fewer than an earlier one forgets none."""
    job = {"id": "b", "status": "completed", "output_file_id": "out", "error_file_id": ""}
    seen = seen_of(job, NativeFacts(), {"input_file_id": "in"}, NOW_MS, "the job")
    assert dict(seen.data) == {"input_file_id": "in", "output_file_id": "out"}


@pytest.mark.parametrize(
    ("completed_at", "phase"),
    [(NOW_MS // 1000 - 5, RUNNING), (NOW_MS // 1000 - FILES_LATE_MS // 1000 - 5, ENDED), (None, ENDED)],
)
def test_results_may_be_named_after_the_end(completed_at: int | None, phase: JobPhase) -> None:
    """Read at once they would be none, and every line would be paid for again; but nobody waits for ever."""
    counts = {"total": 3, "completed": 3, "failed": 0}
    assert see("completed", request_counts=counts, completed_at=completed_at).phase is phase
    assert see("completed", request_counts=counts, completed_at=completed_at, output_file_id="o").phase is ENDED
    assert see("completed", request_counts={"total": 3}, completed_at=completed_at).phase is ENDED


@pytest.mark.parametrize("job", [None, [], {}, {"id": "b"}, {"id": 7, "status": "completed"}, {"error": {}}, "b"])
def test_what_is_no_job_says_nothing(job: object) -> None:
    """A reply of 200 with an error in it is no end of a job."""
    with pytest.raises(NativeUnknown):
        seen_of(job, NativeFacts(), {}, NOW_MS, "the job")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.floats(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@given(
    st.fixed_dictionaries(
        {"id": st.just("b"), "status": st.sampled_from(["failed", "completed", "expired"]) | st.text()},
        optional={
            name: json_values
            for name in ("errors", "request_counts", "output_file_id", "error_file_id", "completed_at", "metadata")
        },
    )
)
def test_any_job_is_seen_as_something(job: dict[str, Any]) -> None:
    """Whatever types its members have."""
    seen = seen_of(job, NativeFacts(), {}, NOW_MS, "the job")
    assert min(seen.completed, seen.failed, seen.total) >= 0
    assert all(isinstance(value, str) and value for value in seen.data.values())
    job_object.tag_of(job)


@pytest.mark.parametrize(
    ("value", "ms"),
    [
        (1_700_000_000, NOW_MS),
        (1_700_000_000.25, NOW_MS + 250),
        ("2023-11-14T22:13:20Z", NOW_MS),
        ("2023-11-14T22:13:20.123456789Z", NOW_MS + 123),
        ("2023-11-14T23:13:20+01:00", NOW_MS),
        ("2023-11-14T22:13:20", NOW_MS),
        ("yesterday", None),
        (None, None),
        (True, None),
        (-1, None),
        (float("nan"), None),
        (1e300, None),
    ],
)
def test_times_are_read_in_every_spelling(value: object, ms: int | None) -> None:
    """Unix seconds and RFC 3339, Go's nanoseconds among them."""
    assert time_ms(value) == ms


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(86_400, "24h"), (43_200, "12h"), (172_800, "2d"), (604_800, "7d"), (90_000, "25h"), (60, "1h")],
)
def test_windows_are_spelt_as_providers_do(seconds: int, text: str) -> None:
    """A day is 24 hours everywhere; longer ones are days at Groq, Moonshot and DashScope."""
    assert window(seconds) == text


@given(
    st.dictionaries(
        st.sampled_from(["id", "status", "processing_status", "request_counts", "results_url"]), json_values
    )
)
def test_any_reply_is_a_job_or_none(reply: dict[str, Any]) -> None:
    """In Anthropic's words and Mistral's too: only `NativeUnknown` comes out."""
    for see in (anthropic.seen_of, mistral.seen_of):
        with contextlib.suppress(NativeUnknown):
            assert see({"id": "b", "status": "RUNNING", **reply}, "the job").ext_id
