"""What every provider's batch API does for us, whatever it calls it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import cast

import pytest

from batchrouter.domain.job import JobPhase, ResultKind
from batchrouter.errors import NativeRefused, NativeUnknown
from tests.conformance.native.places import DIALECTS, KEY, Dialect, Place, open_api, stream, unfinished

TAG, OTHER = "job_0123456789abcdef01234567", "job_89abcdef0123456789abcdef"


def all_but(*names: str) -> list[str]:
    """The dialects that have what a test is about."""
    return sorted(DIALECTS.keys() - names)


async def test_a_job_is_made_watched_and_read(place: Place) -> None:
    """Each line comes back once, with its own answer, under our key."""
    place.live(lines_per_s=400)
    draft, seen = await place.submit(40)
    assert (seen.phase, seen.refused) == (JobPhase.RUNNING, False)
    seen = await place.ended(seen)
    assert (seen.refused, seen.code, seen.reason) == (False, None, None)
    if place.dialect.name != "together":  # it tells no counts
        assert (seen.completed, seen.failed, seen.total) == (40, 0, 40)
    results = await place.results(seen, draft.tag)
    assert place.answers(results) == list(range(40))
    assert place.native_lines() == 40


async def test_a_line_that_failed_keeps_its_own_error(place: Place) -> None:
    """Among the results, with the status that the call had."""
    place.live(fail_lines=[{"every": 4, "status": 400}])
    draft, seen = await place.submit(8)
    results = await place.results(await place.ended(seen), draft.tag)
    assert place.answers(results) == [0, 1, 2, 4, 5, 6]
    assert {number: results[number].status for number in (3, 7)} == {3: 400, 7: 400}
    assert all(b'"error"' in results[number].body for number in (3, 7))


async def test_a_job_of_which_every_line_failed_has_ended_well(place: Place) -> None:
    """It was not refused: its errors are the lines' own."""
    place.live(fail_lines=[{"every": 1, "status": 400}])
    draft, seen = await place.submit(3)
    seen = await place.ended(seen)
    assert not seen.refused
    assert {result.status for result in (await place.results(seen, draft.tag)).values()} == {400}


async def test_a_cancelled_job_delivers_what_was_finished(place: Place) -> None:
    """The cancel takes its time, and asking again is harmless, also once it has ended."""
    place.live(stall_after=3, lines_per_s=1000, cancel_s=0.3)
    draft, seen = await place.submit(10)
    async with asyncio.timeout(10):
        while place.native_lines() < 3:  # noqa: ASYNC110 - another process, that has no event to wait for
            await asyncio.sleep(0.005)
    seen = await place.api.cancel(seen.ext_id, seen.data)
    assert seen.phase is not JobPhase.ENDED
    assert (await place.api.cancel(seen.ext_id, seen.data)).phase is not JobPhase.RUNNING
    seen = await place.ended(seen)
    again = await place.api.cancel(seen.ext_id, seen.data)
    assert (again.phase, again.ext_id) == (JobPhase.ENDED, seen.ext_id)
    results = await place.results(seen, draft.tag)
    assert len(place.answers(results)) == 3
    assert all(result.kind is ResultKind.UNFINISHED for result in results.values() if result.status != 200)


async def test_a_cancel_of_a_job_that_is_done_is_harmless(place: Place) -> None:
    """It came too late, and changes nothing."""
    _, seen = await place.submit(2)
    seen = await place.ended(seen)
    assert (await place.api.cancel(seen.ext_id, seen.data)).phase is JobPhase.ENDED


async def test_an_expired_job_delivers_what_was_finished(place: Place) -> None:
    """The rest is UNFINISHED, or not among the results at all. Gemini delivers nothing."""
    place.live(stall_after=3, expire_after_s=0.4)
    draft, seen = await place.submit(10)
    seen = await place.ended(seen)
    assert not seen.refused
    results = await place.results(seen, draft.tag)
    assert len(place.answers(results)) == (0 if place.dialect.expires_empty else 3)
    assert len(place.answers(results)) + len(unfinished(results)) in (len(results), 10)


@pytest.mark.parametrize("dialect", all_but("anthropic"), indirect=True)
async def test_a_job_that_is_rejected_whole_tells_the_code(place: Place) -> None:
    """Nothing of it ran; `token_limit_exceeded` is how providers say: later. Anthropic rejects no job as a whole."""
    place.live(fail_job={"errors": [{"code": "token_limit_exceeded", "message": "the text of somebody"}]})
    draft, seen = await place.submit(3)
    seen = await place.ended(seen)
    assert seen.refused
    assert "somebody" not in (seen.reason or "")
    assert await place.results(seen, draft.tag) == {}
    # Together and Mistral give no code, but sentences.
    assert seen.code == ("failed" if place.dialect.name in ("together", "mistral") else "token_limit_exceeded")


# --- jobs that nobody told us of --------------------------------------------------------------------------------------


async def test_a_job_whose_creation_was_lost_is_found(place: Place) -> None:
    """By its tag, among others; it is the same job, and no second one was made."""
    place.live(lost_create=1, stall_after=1)
    draft, lines = place.job(5, TAG)
    with pytest.raises(NativeUnknown) as lost:
        await place.api.submit(draft, stream(lines))
    assert lost.value.sent
    other, seen = await place.submit(5, OTHER)
    apart = frozenset() if place.dialect.tagged else frozenset({seen.ext_id})
    found = await place.api.find(draft, apart)
    assert found is not None
    assert found.ext_id != seen.ext_id
    assert len(place.simulator.jobs()) == 2
    found_other = await place.api.find(other, frozenset({found.ext_id}))
    assert found_other is not None
    assert found_other.ext_id == seen.ext_id
    place.simulator.steer(found.ext_id, "finish")
    results = await place.results(await place.ended(found), TAG)
    assert place.answers(results) == list(range(5))


async def test_what_was_never_made_is_not_found(place: Place) -> None:
    """Neither an older job nor one of another size is taken for it."""
    older, seen = await place.submit(4, OTHER)
    missing, _ = place.job(5, TAG)
    assert await place.api.find(missing, frozenset()) is None
    assert await place.api.find(older, frozenset({seen.ext_id})) is None


@pytest.mark.parametrize("dialect", all_but("anthropic", "together"), indirect=True)
async def test_a_lost_upload_made_no_job(place: Place) -> None:
    """So nothing can have happened that is paid for. Anthropic has no upload; Together's has steps
    of its own (`tests/integration/native/test_files.py`)."""
    place.live(lost_uploads=1)
    draft, lines = place.job(2)
    with pytest.raises(NativeUnknown) as lost:
        await place.api.submit(draft, stream(lines))
    assert not lost.value.sent
    assert place.simulator.jobs() == []
    assert await place.api.find(draft, frozenset()) is None


# --- refusals ---------------------------------------------------------------------------------------------------------


async def test_a_refused_creation_says_when_to_come_back(place: Place) -> None:
    """Status, code and time; what was uploaded for it is deleted again, and the next try succeeds."""
    place.live(refuse_create={"status": 429, "first": 1, "retry_after_s": 7})
    draft, lines = place.job(2)
    with pytest.raises(NativeRefused) as refused:
        await place.api.submit(draft, stream(lines))
    assert (refused.value.status, refused.value.retry_after_s) == (429, 7.0)
    assert refused.value.code
    if place.dialect.name != "anthropic":
        last = place.simulator.log()[-1]
        assert (last.status, "/files/" in last.path) == (200, True)
    await place.ended(await place.api.submit(draft, stream(lines)))


async def test_a_job_that_is_not_there_is_a_404(place: Place) -> None:
    """For a look and for a cancel."""
    for ask in (place.api.look, place.api.cancel):
        with pytest.raises(NativeRefused) as refused:
            await ask("batch_0123456789abcdef0123456789abcdef", {})
        assert refused.value.status == 404


async def test_a_wrong_key_is_refused_and_told_to_nobody(place: Place, dialect: Dialect) -> None:
    """401 for every call."""
    wrong = "sk-wrong-and-still-secret"
    headers = {name: value.replace(KEY, wrong) for name, value in dialect.auth.items()}
    api = open_api(dialect, place.simulator.url, headers)
    draft, lines = place.job(1)
    for call in (lambda: api.submit(draft, stream(lines)), lambda: api.find(draft, frozenset())):
        with pytest.raises(NativeRefused) as refused:
            await call()
        assert refused.value.status in (400, 401, 403)
        assert wrong not in str(refused.value)
    await api.aclose()


# --- afterwards -------------------------------------------------------------------------------------------------------


async def test_what_was_uploaded_can_be_deleted(place: Place) -> None:
    """The results are gone then; doing it twice raises nothing."""
    draft, seen = await place.submit(2)
    seen = await place.ended(seen)
    await place.api.discard(seen)
    await place.api.discard(seen)
    with pytest.raises(NativeRefused):
        await place.results(seen, draft.tag)


async def test_a_reader_may_stop_early(place: Place) -> None:
    """And begin again."""
    draft, seen = await place.submit(30)
    seen = await place.ended(seen)
    async with aclosing(cast("AsyncGenerator[bytes, None]", place.api.results(seen))) as results:
        assert place.lines.read(await anext(results)).kind is ResultKind.ANSWERED
    assert len(await place.results(seen, draft.tag)) == 30
