"""Faults of our own, large replies and long outages: nothing is stranded, nothing is held, nothing is told that is not
ours to tell."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Sequence
from typing import Any

import pytest

from batchrouter.domain.folding import Piece
from batchrouter.domain.lifecycle import BatchState
from batchrouter.domain.pacing import Limiter, Pacing
from batchrouter.domain.retry import RetrySettings
from batchrouter.domain.shard import Claim
from batchrouter.engine import loader, member
from batchrouter.engine.fold import GROUP_BYTES, WHOLE_BYTES, _Segments
from batchrouter.engine.held import Share
from batchrouter.errors import BatchRouterError, StoreError, TransportError
from batchrouter.providers.openai import OpenAIWire
from tests.unit.engine import house as houses
from tests.unit.engine.house import DAY_MS, Answer, House, chat, echo, question, refuse

SECRET = "the words of an answer"


class Once:
    """Raises the first `times` times that it is called for `marked` bytes."""

    def __init__(self, times: int, marked: bytes) -> None:
        self.left = times
        self.marked = marked

    def __call__(self, data: bytes) -> None:
        if self.left and self.marked in data:
            self.left -= 1
            raise RuntimeError(SECRET)


@pytest.mark.parametrize("times", [1, 1000])
async def test_a_reply_that_raises_is_tried_again_and_fails_in_the_end(
    times: int, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Only its own line pays for it; the log names the place and no word of the answer."""
    fault, decode = Once(times, b"question 3"), OpenAIWire.decode

    def raising(wire: OpenAIWire, endpoint: str, status: int, body: bytes, note: object = None) -> Any:
        fault(body)
        return decode(wire, endpoint, status, body, note)

    monkeypatch.setattr(OpenAIWire, "decode", raising)
    house = House(lambda body: echo(body, delay_s=0.1), retry=RetrySettings(max_attempts=3))
    await house.new_worker()
    batch_id = await house.create(chat(9))
    await house.run(batch_id)
    assert house.batch(batch_id).completed == (9 if times == 1 else 8)
    await house.check_whole(batch_id)
    assert "RuntimeError at" in caplog.text
    assert SECRET not in caplog.text


async def test_a_failure_that_raises_strands_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    house = House(lambda body: echo(body, delay_s=0.1) if len(house.log) > 3 else Answer(error=TransportError("gone")))
    classify = member.classify
    fault = Once(2, b"")

    def raising(*args: Any, **more: Any) -> Any:
        if args[0] is None:
            fault(b"")
        return classify(*args, **more)

    monkeypatch.setattr(member, "classify", raising)
    await house.new_worker()
    batch_id = await house.create(chat(5))
    await house.run(batch_id)
    assert house.batch(batch_id).completed == 5


@pytest.mark.parametrize("times", [1, 1000])
async def test_a_line_that_cannot_be_made_ready_does_not_take_others_with_it(
    times: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    fault, decode_line = Once(times, b"question 3"), loader.decode_line

    def raising(raw: bytes) -> tuple[bytes, bytes]:
        fault(raw)
        return decode_line(raw)

    monkeypatch.setattr(loader, "decode_line", raising)
    house = House(lambda body: echo(body, delay_s=0.1), retry=RetrySettings(max_attempts=3))
    await house.new_worker()
    batch_id = await house.create(chat(9))
    await house.run(batch_id)
    assert house.batch(batch_id).completed == (9 if times == 1 else 8)
    assert house.batch(batch_id).failed == (0 if times == 1 else 1)


async def test_a_fault_after_a_flush_does_not_end_flushing() -> None:
    house = House(lambda body: echo(body, delay_s=0.1 if question(body) == "question 0" else 1.0))
    await house.new_worker()
    journal = house.living.dispatcher.journal
    told = journal._on_settled
    left = [1]

    def raising(*args: Any) -> None:
        if left:
            left.pop()
            raise RuntimeError(SECRET)
        told(*args)

    journal._on_settled = raising
    batch_id = await house.create(chat(9))
    await house.run(batch_id, limit=200)
    assert house.batch(batch_id).completed == 9


async def test_a_lane_that_trips_over_its_own_pace_holds_up_no_other(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It is made first, and so looked at first; when it goes again, so do its lines."""
    house = House(lambda body: echo(body, delay_s=0.1))
    await house.new_worker()
    first = await house.create(chat(9, model="bad"))
    await house.run_until(lambda: len(house.done(first)) == 9)
    bad = next(iter(house.living.dispatcher.lanes.values())).pool.members[0].limiter
    room, broken = Limiter.room, [True]

    def raising(limiter: Limiter, now_s: float) -> int:
        if limiter is bad and broken[0]:
            raise OverflowError(SECRET)
        return room(limiter, now_s)

    monkeypatch.setattr(Limiter, "room", raising)
    stuck = await house.create(chat(9, model="bad", start=100))
    batch_id = await house.create(chat(9, model="good"))
    await house.run_until(lambda: house.batch(batch_id).state is BatchState.COMPLETED, limit=100)
    assert "sim/bad could not send: OverflowError at" in caplog.text
    assert SECRET not in caplog.text
    broken[0] = False
    await house.run(first, stuck, batch_id)
    await house.check_whole(stuck)


async def test_a_shard_that_is_tripped_over_goes_back_and_is_claimed_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that nobody has in memory would never be sent."""
    left, accept = [3], loader.Loader.accept

    async def raising(self: loader.Loader, claim: Claim, share: Share) -> None:
        if left[0]:
            left[0] -= 1
            raise KeyError(SECRET)
        await accept(self, claim, share)

    monkeypatch.setattr(loader.Loader, "accept", raising)
    house = House()
    await house.new_worker()
    batch_id = await house.create(chat(9))
    await house.run(batch_id, limit=200)
    assert house.batch(batch_id).completed == 9


async def test_a_reply_counts_while_it_comes() -> None:
    """Half a large reply that has come holds back what would be sent, and all is given back in the end."""
    house = House(lambda body: Answer(silent=True), budget_bytes=300_000, pacing=Pacing(fixed_in_flight=4))
    await house.new_worker()
    batch_id = await house.create(chat(20))
    await house.run_for(0.1)
    dispatcher = house.living.dispatcher
    runner = next(iter(dispatcher.lanes.values()))
    lines = list(runner._flying)
    before = dispatcher._budget.used
    lines[0].on_chunk(b"x" * 200_000)
    lines[1].on_chunk(b"x" * 200_000)
    assert dispatcher._budget.over
    assert 390_000 < dispatcher._budget.used - before <= 400_000
    house.cancel(batch_id)
    await house.run(batch_id)


@pytest.mark.parametrize("whole_bytes", [0, 1_500_000, WHOLE_BYTES])
async def test_folding_reads_a_bounded_part_at_once(monkeypatch: pytest.MonkeyPatch, whole_bytes: int) -> None:
    """Answers of 300 KB: never more than a group of them is picked out, nor more than so much read whole; the files
    stay what they are."""
    monkeypatch.setattr("batchrouter.engine.fold.WHOLE_BYTES", whole_bytes)
    sizes, kept = [], []
    read, read_many = houses.DyingBlobs.read, houses.DyingBlobs.read_many
    gather = _Segments.lines

    async def whole(blobs: Any, key: str, offset: int, length: int) -> bytes:
        if key.startswith("segments/") and not offset:
            sizes.append(length)
        return await read(blobs, key, offset, length)

    async def gathering(source: _Segments, group: Sequence[Piece]) -> list[bytes]:
        lines = await gather(source, group)
        kept.append(sum(map(len, source._whole.values())))
        return lines

    async def counting(blobs: Any, key: str, spans: Sequence[tuple[int, int]]) -> list[bytes]:
        if key.startswith("segments/"):
            sizes.append(sum(length for _, length in spans))
        return await read_many(blobs, key, spans)

    monkeypatch.setattr(houses.DyingBlobs, "read_many", counting)
    monkeypatch.setattr(houses.DyingBlobs, "read", whole)
    monkeypatch.setattr(_Segments, "lines", gathering)
    delays_s = itertools.count(1)
    house = House(lambda body: echo(body, delay_s=0.3 * next(delays_s)), inline_bytes=0)
    await house.new_worker()
    lines = chat(12)
    for line in lines:
        line["body"]["messages"][0]["content"] += " " + "x" * 300_000
    batch_id = await house.create(lines)
    await house.run(batch_id)
    assert sizes
    assert max(sizes) <= max(GROUP_BYTES, whole_bytes)
    assert max(kept) <= whole_bytes
    assert (max(kept) > 0) is (whole_bytes > 0)
    assert len(await house.output(batch_id)) == 12


async def test_a_segment_whose_row_fails_for_days_is_not_swept() -> None:
    house = House(lambda body: echo(body, delay_s=0.1), inline_bytes=0)
    worker = await house.new_worker()
    batch_id = await house.create(chat(9), window_ms=10 * DAY_MS)
    failing = [True]

    def fault(verb: str, done: bool) -> BatchRouterError | None:
        return StoreError("away") if verb == "settle" and failing else None

    house.process.fault = fault
    await house.run_for(2)
    for _ in range(30):
        for _ in range(40):
            house.clock.advance(90)
            await house.settle()
        await worker.sweeper.run_once()
    failing.clear()
    house.living._lease.tick([])
    house.living._lease.renew()
    house.clock.advance(20)
    await house.settle()
    await house.run(batch_id)
    assert len(await house.output(batch_id)) == 9


async def test_the_log_says_when_a_lane_stops_and_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "batchrouter.engine")
    house = House(lambda body: refuse(401, "invalid_api_key", delay_s=0.1) if len(house.log) < 7 else echo(body))
    await house.new_worker()
    batch_id = await house.create(chat(5))
    await house.run(batch_id)
    said = [(record.levelname, record.getMessage()) for record in caplog.records]
    assert any(level == "WARNING" and "sim/m is paused until" in text and "key" in text for level, text in said)
    assert ("INFO", "lane sim/m is open again") in said
    assert any(f"{batch_id} is planned: 5 lines" in text for _, text in said)
    assert any(f"{batch_id} is final" in text for _, text in said)
    assert "question" not in caplog.text
