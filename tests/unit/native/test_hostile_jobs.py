"""What a provider says of a job when it lies or raves: nothing that a store could not keep or people should see."""

from __future__ import annotations

from typing import Any

import pytest

from batchrouter.adapters.native import anthropic, mistral
from batchrouter.adapters.native.files import file_of
from batchrouter.adapters.native.job_object import FILES, seen_of
from batchrouter.domain.job import JobPhase, NativeFacts, Seen
from batchrouter.errors import NativeUnknown

MANY = 2**31
BAD_IDS = ["", " ", "a b", "a\nb", "a\0b", "ü", "x" * 513]


def openai(job: dict[str, Any]) -> Seen:
    return seen_of({"id": "b", "status": "completed", **job}, NativeFacts(), {}, 0, "the job")


def claude(job: dict[str, Any]) -> Seen:
    return anthropic.seen_of({"id": "b", "processing_status": "ended", "request_counts": {}, **job}, "the job")


def mistrals(job: dict[str, Any]) -> Seen:
    return mistral.seen_of({"id": "b", "status": "SUCCESS", **job}, "the job")


@pytest.mark.parametrize("count", [2**70, 10**300, -5, True, 1.5, "7", None, [1]])
def test_counts_that_lie_can_be_kept(count: object) -> None:
    """No store has room for a number of seventy bits, and a step that cannot be written down never ends."""
    for seen in (
        openai({"request_counts": {"completed": count, "failed": count, "total": count}, "output_file_id": "o"}),
        claude({"request_counts": {"succeeded": count, "errored": count, "processing": count}}),
        mistrals({"succeeded_requests": count, "failed_requests": count, "total_requests": count}),
    ):
        assert min(seen.completed, seen.failed, seen.total) >= 0
        assert max(seen.completed, seen.failed) < MANY
        assert seen.total < 2 * MANY


@pytest.mark.parametrize("name", BAD_IDS)
def test_a_name_that_nobody_could_ask_for_is_none(name: str) -> None:
    """With a line break, without an end, with a NUL that PostgreSQL does not keep."""
    for see in (openai, claude, mistrals):
        with pytest.raises(NativeUnknown):
            see({"id": name})
    with pytest.raises(NativeUnknown):
        file_of({"id": name}, "the file")
    assert not openai({file: name for file in FILES}).data
    assert not mistrals({"output_file": name, "error_file": name, "input_files": [name]}).data


def test_an_address_of_results_may_be_long() -> None:
    """SiliconFlow's are presigned; one without an end is none."""
    address = "https://store.example/a?signature=" + "x" * 1000
    assert openai({"output_file_id": address}).data == {"output_file_id": address}
    assert not openai({"output_file_id": address * 9}).data


@pytest.mark.parametrize("code", ["my secret prompt", "a\nb", "x" * 101, 7, {"a": 1}, ""])
def test_a_code_that_is_a_sentence_is_not_told(code: object) -> None:
    """Whoever puts the line into its code would put it into our logs."""
    seen = openai({"status": "failed", "errors": {"data": [{"code": code, "message": "my secret prompt"}]}})
    assert (seen.phase, seen.refused, seen.code) == (JobPhase.ENDED, True, "failed")
    assert "secret" not in (seen.reason or "")


@pytest.mark.parametrize("word", ["", "x" * 10_000, "done\n", "IN_PROGRESS ", "ended", "0"])
def test_unknown_words_never_end_a_job(word: str) -> None:
    """Its results would be read too early; the window is kept by overtaking it."""
    assert openai({"status": word}).phase in (JobPhase.RUNNING, JobPhase.ENDED if word == "ended" else JobPhase.RUNNING)
    assert claude({"processing_status": word or "?"}).phase is (JobPhase.ENDED if word == "ended" else JobPhase.RUNNING)
    assert mistrals({"status": word}).phase is JobPhase.RUNNING
