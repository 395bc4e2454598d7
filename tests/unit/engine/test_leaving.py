"""The window is kept: lines of a lane that may not serve them in time go where they will be served."""

from __future__ import annotations

import asyncio

import pytest

from batchrouter.domain.cost import RateCard
from batchrouter.domain.lane_choice import LaneOptions
from batchrouter.domain.lifecycle import BatchState
from batchrouter.domain.shard import LaneKey, LaneMode
from batchrouter.errors import StoreError
from batchrouter.providers.openai import OpenAIWire
from tests.unit.engine.house import Answer, House, chat, cut_ranges, echo, model_of, question, refuse

WINDOW_S, MARGIN_S, RATE = 120.0, 40.0, 10.0


def is_flex(body: bytes) -> bool:
    return b'"service_tier"' in body


def flex_house() -> House:
    house = House(overtake_margin_s=MARGIN_S)
    house.options = LaneOptions(flex=True, rate=RATE)
    house.wire = lambda key: OpenAIWire("http://upstream.invalid/v1", key.model, flex=key.mode is LaneMode.FLEX)
    return house


@pytest.mark.parametrize("retry_after", [b"", b"1", b"7200"])
async def test_lines_of_a_flex_lane_that_is_refused_go_to_full_price_in_time(retry_after: bytes) -> None:
    """Those that a worker has at hand too; not sooner than the rest needs."""
    house = flex_house()
    headers = ((b"retry-after", retry_after),) if retry_after else ()
    house.upstream = lambda body: refuse(429, "resource_unavailable", headers=headers) if is_flex(body) else echo(body)
    await house.new_worker()
    began_s = house.clock.mono_s()
    batch_id = await house.create(chat(50), window_ms=int(WINDOW_S * 1000))
    await house.run(batch_id)
    assert house.batch(batch_id).state is BatchState.COMPLETED
    dear = [call.at_s - began_s for call in house.log if not is_flex(call.body)]
    assert len(dear) == 50
    due_s = WINDOW_S - 50 / RATE - MARGIN_S
    assert due_s <= min(dear)
    assert max(dear) <= due_s + 5
    await house.check_whole(batch_id)


async def test_flex_calls_that_hang_are_given_up_when_nothing_else_keeps_the_window() -> None:
    """They may have cost something, so not before."""
    house = flex_house()
    house.upstream = lambda body: Answer(silent=True) if is_flex(body) else echo(body)
    await house.new_worker()
    began_s = house.clock.mono_s()
    batch_id = await house.create(chat(10), window_ms=int(WINDOW_S * 1000))
    await house.run(batch_id)
    assert house.batch(batch_id).state is BatchState.COMPLETED
    assert all(call.aborted for call in house.log if is_flex(call.body))
    dear = [call.at_s - began_s for call in house.log if not is_flex(call.body)]
    assert len(dear) == 10
    assert min(dear) >= WINDOW_S - 10 / RATE - MARGIN_S / 5
    await house.check_whole(batch_id)


async def test_a_flex_lane_that_answers_in_time_keeps_its_lines() -> None:
    house = flex_house()
    house.upstream = lambda body: echo(body, delay_s=20.0)
    await house.new_worker()
    batch_id = await house.create(chat(50), window_ms=int(WINDOW_S * 1000))
    await house.run(batch_id)
    assert all(is_flex(body) for body in house.sent)
    await house.check_whole(batch_id)


@pytest.mark.parametrize(
    "refusal",
    [
        refuse(429, headers=((b"retry-after", b"36000"),)),
        refuse(429, headers=((b"retry-after", b"20"),)),
        refuse(529, "overloaded_error"),
    ],
)
async def test_a_lane_that_only_puts_off_is_left_for_the_next_of_the_chain_in_time(
    refusal: Answer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may say until the end that it will come back; those without another lane wait for that."""
    cut_ranges(monkeypatch, 10)
    house = House(overtake_margin_s=MARGIN_S)
    house.options = LaneOptions(rate=RATE)
    house.fallbacks = {"m": ("b",)}
    house.upstream = lambda body: refusal if model_of(body) == "m" else echo(body)
    await house.new_worker()
    began_s = house.clock.mono_s()
    window_s = 600.0
    batch_id = await house.create(chat(45), window_ms=int(window_s * 1000))
    await house.run(batch_id, limit=5000)
    assert house.batch(batch_id).state is BatchState.COMPLETED
    other = [call.at_s - began_s for call in house.log if model_of(call.body) == "b"]
    due_s = window_s - 45 / RATE - MARGIN_S
    assert len(other) == 45
    assert due_s <= min(other)
    assert max(other) <= due_s + 10
    await house.check_whole(batch_id)


async def test_lines_stay_in_a_lane_that_is_refused_now_and_then_however_near_the_deadline() -> None:
    house = House(overtake_margin_s=500.0)
    house.options = LaneOptions(rate=RATE)
    house.fallbacks = {"m": ("b",)}
    waves = lambda at_s: at_s % 20 < 10  # noqa: E731
    house.upstream = lambda body: refuse(529) if waves(house.clock.mono_s()) else echo(body, delay_s=5.0)
    house.pacing = house.pacing.__class__(fixed_in_flight=2)
    await house.new_worker()
    batch_id = await house.create(chat(30), window_ms=600_000)
    await house.run(batch_id, limit=5000)
    assert {model_of(body) for body in house.sent} == {"m"}
    await house.check_whole(batch_id)


async def test_whoever_tells_prices_slowly_holds_up_no_other_lane(monkeypatch: pytest.MonkeyPatch) -> None:
    """A lane begins when its prices are there; the others are claimed for meanwhile."""
    cut_ranges(monkeypatch, 10)
    house = House()
    told = asyncio.Event()

    async def card(key: LaneKey) -> RateCard | None:
        if key.model != "known":
            await told.wait()
        return None

    monkeypatch.setattr(house, "_card", card)
    await house.new_worker()
    asks = await house.create([line for n in range(5) for line in chat(2, model=f"new{n}", start=1000 + 2 * n)])
    batch_id = await house.create(chat(200, model="known"))
    await house.run_until(lambda: house.batch(batch_id).state is BatchState.COMPLETED)
    assert not [body for body in house.sent if int(question(body).split()[1]) >= 1000]
    told.set()
    await house.run(asks, batch_id)
    await house.check_whole(asks)


async def test_a_lane_whose_prices_cannot_be_asked_works_without(monkeypatch: pytest.MonkeyPatch) -> None:
    house = House()

    async def card(key: LaneKey) -> RateCard | None:
        raise OSError("no memory for another process")

    monkeypatch.setattr(house, "_card", card)
    await house.new_worker()
    batch_id = await house.create(chat(3))
    await house.run(batch_id)
    assert house.batch(batch_id).completed == 3
    assert house.batch(batch_id).cost_nano in (0, None)


async def test_a_store_that_fails_while_a_limit_of_money_is_looked_up_keeps_no_shard() -> None:
    """What was claimed goes back, and is claimed again."""
    house = House()
    await house.new_worker()
    failures = [StoreError("away")] * 2
    house.process.fault = lambda verb, done: failures.pop() if verb == "jobs" and not done and failures else None
    batch_id = await house.create(chat(5), max_cost_nano=10**9)
    await house.run(batch_id)
    assert house.batch(batch_id).state is BatchState.COMPLETED
    assert failures == []
    await house.check_whole(batch_id)


async def test_a_worker_may_stop_while_prices_are_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    house = House()
    gone: list[LaneKey] = []

    async def card(key: LaneKey) -> RateCard | None:
        try:
            await asyncio.Event().wait()
        finally:
            gone.append(key)
        return None

    monkeypatch.setattr(house, "_card", card)
    await house.new_worker()
    await house.create(chat(3))
    await house.run_for(2.0)
    await house.stop(1.0)
    assert len(gone) == 1
