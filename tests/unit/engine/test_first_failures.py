"""A batch whose first lines all fail alike waits, instead of failing to its end."""

from __future__ import annotations

import logging
from itertools import pairwise

import pytest

from batchrouter.domain.lifecycle import BatchState
from batchrouter.domain.pacing import Pacing
from tests.unit.engine.house import Answer, House, chat, cut_ranges, echo, model_of, question, refuse


async def test_the_rest_of_a_batch_that_only_fails_waits_and_is_tried_now_and_then(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """One line every 30 s, doubling; the log says why. The first answer lets all go at once."""
    caplog.set_level(logging.INFO)
    mended = False
    house = House(
        lambda body: echo(body, delay_s=0.1) if mended else refuse(400, "bad_model", delay_s=0.1),
        pacing=Pacing(fixed_in_flight=10),
        pause_after_failures=20,
    )
    await house.new_worker()
    batch_id = await house.create(chat(500))
    await house.run_for(10)
    failed = len(house.done(batch_id))
    assert 20 <= failed < 35
    assert f"{batch_id} pauses in lane sim/m: the first 20 lines of this batch all failed here (400 bad_model)" in (
        caplog.text
    )
    share = house.share(batch_id, "m")
    assert (share.state, share.reason) == (
        "paused",
        f"the first {failed} lines of this batch all failed here (400 bad_model); the rest waits",
    )
    assert share.until_ms is not None
    assert 15_000 < share.until_ms - house.clock.unix_ms() < 25_000
    sent = len(house.log)
    await house.run_for(205)
    tried = [round(call.at_s - house.log[sent - 1].at_s) for call in house.log[sent:]]
    assert tried == [30, 90, 210]
    assert len(house.done(batch_id)) == failed + 3
    mended = True
    await house.run_until(lambda: len(house.done(batch_id)) > failed + 50, limit=400)
    await house.run_for(1)
    share = house.share(batch_id, "m")
    assert (share.state, share.reason) == ("open", None)
    await house.run(batch_id, limit=400)
    batch = house.batch(batch_id)
    assert (batch.completed, batch.failed) == (500 - failed - 3, failed + 3)
    assert "goes on in lane sim/m" in caplog.text
    await house.check_whole(batch_id)


async def test_one_answer_among_the_first_lets_a_batch_run_to_its_end() -> None:
    """Even if every other line fails."""
    house = House(
        lambda body: echo(body) if question(body) == "question 5" else refuse(400, "bad"),
        pause_after_failures=20,
        pacing=Pacing(fixed_in_flight=4),
    )
    await house.new_worker()
    batch_id = await house.create(chat(300))
    start_s = house.clock.mono_s()
    await house.run(batch_id)
    assert house.clock.mono_s() - start_s < 30
    assert (house.batch(batch_id).completed, house.batch(batch_id).failed) == (1, 299)


async def test_lines_of_a_retry_may_all_fail_again() -> None:
    """They failed before, most others are kept: nothing would ever be answered that let the rest go."""
    house = House(lambda body: refuse(400, "bad"), pause_after_failures=20)
    await house.new_worker()
    first = await house.create(chat(19))
    await house.run(first)
    second = await house.create(chat(300), resume_from=first)
    await house.run(second, limit=60)
    assert house.batch(second).failed == 300
    third = await house.retry(second)
    await house.run(third, limit=60)
    assert house.batch(third).failed == 300


async def test_failures_of_two_kinds_are_no_reason_to_wait() -> None:
    house = House(lambda body: refuse(400, "a" if int(question(body).split()[1]) % 2 else "b"), pause_after_failures=20)
    await house.new_worker()
    batch_id = await house.create(chat(300))
    await house.run(batch_id, limit=60)
    assert house.batch(batch_id).failed == 300


async def test_other_batches_and_other_lanes_go_on() -> None:
    """In the paused lane, before and after; and the same batch elsewhere."""

    def upstream(body: bytes) -> Answer:
        bad = model_of(body) == "m" and int(question(body).split()[1]) < 1000
        return refuse(400, "bad", delay_s=0.1) if bad else echo(body, delay_s=0.1)

    house = House(upstream, pause_after_failures=10)
    await house.new_worker()
    mixed = [line for i in range(400) for line in chat(1, model="m" if i % 2 else "other", start=i)]
    bad = await house.create(mixed)
    await house.run_for(10)
    assert house.share(bad, "other").done == 200
    assert house.share(bad, "m").done < 50
    good = await house.create(chat(400, start=1000))
    assert house.share(bad, "m").state == "paused"
    start_s = house.clock.mono_s()
    await house.run_until(lambda: len(house.done(good)) == 400)
    assert house.clock.mono_s() - start_s < 10
    assert house.share(good, "m").state == "open"
    house.cancel(bad)
    await house.run(bad, good)


async def test_a_paused_batch_claims_no_more_than_it_has(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its lines at hand stay bounded, however long it waits."""
    cut_ranges(monkeypatch, 10)
    house = House(lambda body: refuse(400, "bad"), pause_after_failures=20, pacing=Pacing(fixed_in_flight=10))
    await house.new_worker()
    batch_id = await house.create(chat(2000))
    await house.run_for(3600)
    (runner,) = house.living.dispatcher.lanes.values()
    assert len(runner._shares[batch_id].aside) <= 300
    assert len(house.log) < 60


async def test_lines_that_are_claimed_for_a_paused_batch_wait_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """When those at hand have all been tried, one by one, the next are, and no quicker."""
    cut_ranges(monkeypatch, 2)
    house = House(lambda body: refuse(400, "bad"), pause_after_failures=4, pacing=Pacing(fixed_in_flight=1))
    await house.new_worker()
    batch_id = await house.create(chat(100))
    await house.run_for(4 * 3600)
    tried = [later.at_s - earlier.at_s for earlier, later in pairwise(house.log[4:])]
    assert len(tried) > 15
    assert min(tried) >= 30
    house.cancel(batch_id)
    await house.run(batch_id)


async def test_a_paused_batch_ends_when_it_is_cancelled_or_expires() -> None:
    house = House(lambda body: refuse(400, "bad", delay_s=0.05), pause_after_failures=20)
    await house.new_worker()
    cancelled, expired = await house.create(chat(300)), await house.create(chat(300), window_ms=600_000)
    await house.run_for(30)
    house.cancel(cancelled)
    await house.run(cancelled, expired, limit=3000)
    assert house.batch(cancelled).state is BatchState.CANCELLED
    assert house.batch(expired).state is BatchState.EXPIRED
    await house.check_whole(cancelled)
    await house.check_whole(expired)


async def test_lines_that_were_to_be_tried_again_wait_with_the_others() -> None:
    """Those that were told to come back later come back to a paused batch."""

    def upstream(body: bytes) -> Answer:
        if int(question(body).split()[1]) < 20:
            return refuse(400, "bad", delay_s=0.1)
        return refuse(503, delay_s=0.1, headers=((b"retry-after", b"5"),))

    house = House(upstream, pause_after_failures=20, pacing=Pacing(fixed_in_flight=40))
    await house.new_worker()
    batch_id = await house.create(chat(100))
    await house.run_for(25)
    assert len(house.done(batch_id)) == 20
    assert len(house.log) <= 60
    house.cancel(batch_id)
    await house.run(batch_id)


async def test_it_can_be_switched_off() -> None:
    house = House(lambda body: refuse(400, "bad"), pause_after_failures=0)
    await house.new_worker()
    batch_id = await house.create(chat(500))
    await house.run(batch_id, limit=60)
    assert house.batch(batch_id).failed == 500
