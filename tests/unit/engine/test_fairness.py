"""Who gets the slots of a lane: tenants by weight, batches evenly, lines of one prompt prefix together."""

from __future__ import annotations

import json
from collections import Counter
from itertools import groupby
from typing import Any

import pytest

from batchrouter.domain.lifecycle import BATCH_FINAL
from batchrouter.domain.pacing import Pacing
from batchrouter.engine.dispatch import LANE_BATCHES_MAX
from tests.unit.engine.house import Answer, House, chat, cut_ranges, echo, refuse


def marked(n: int, mark: str) -> list[dict[str, Any]]:
    """Lines whose requests tell whose they are."""
    return chat(n, user=mark)


def mark_of(body: bytes) -> str:
    mark: str = json.loads(body)["user"]
    return mark


@pytest.mark.parametrize("tenant", ["other", "default"])
async def test_a_small_batch_does_not_wait_for_a_large_one(tenant: str) -> None:
    """Ten lines beside 5,000 in a slow lane, of another tenant or of the same: they get their half of the slots as
    soon as they are there, though 500 lines are at hand already."""
    house = House(lambda body: echo(body, delay_s=1.0), pacing=Pacing(fixed_in_flight=4))
    house.add_tenant("other")
    await house.new_worker()
    await house.create(marked(5000, "large"))
    await house.run_for(5)
    at_s = house.clock.mono_s()
    small = await house.create(marked(10, "small"), tenant=tenant)
    await house.run_until(lambda: house.batch(small, tenant).state in BATCH_FINAL)
    assert house.clock.mono_s() - at_s < 15
    assert Counter(map(mark_of, house.sent))["large"] < 100


async def test_slots_follow_the_weights_of_tenants_while_both_have_work() -> None:
    """Weight 3 against 1: three times as many lines are sent, whatever number of batches each has."""
    house = House(lambda body: echo(body, delay_s=0.5), pacing=Pacing(fixed_in_flight=16))
    house.add_tenant("heavy", 3)
    house.add_tenant("light", 1)
    for _ in range(3):
        await house.create(marked(1000, "light"), tenant="light")
    await house.create(marked(3000, "heavy"), tenant="heavy")
    await house.new_worker()
    await house.run_until(lambda: len(house.log) >= 100)
    house.polling = False  # who has nothing at hand any more must be seen without it
    await house.run_until(lambda: len(house.log) >= 1600)
    count = Counter(map(mark_of, house.sent[100:]))
    assert 2.7 <= count["heavy"] / count["light"] <= 3.3


async def test_lines_of_one_prompt_prefix_are_sent_together() -> None:
    """Four system prompts, mixed line by line in the input: in what is sent each comes in one stretch."""
    lines = chat(400)
    for number, line in enumerate(lines):
        line["body"]["messages"].insert(0, {"role": "system", "content": f"prefix {number % 4}"})
    house = House(lambda body: echo(body, delay_s=0.2))
    await house.new_worker()
    batch_id = await house.create(lines)
    await house.run(batch_id)
    prefixes = [json.loads(body)["messages"][0]["content"] for body in house.sent]
    assert len(list(groupby(prefixes))) == 4
    await house.check_whole(batch_id)


async def test_a_hundred_batches_share_a_lane_and_all_end() -> None:
    """No more of them than the bound have lines at hand at a time, and none is forgotten."""
    house = House(lambda body: echo(body, delay_s=1.0), pacing=Pacing(fixed_in_flight=2))
    await house.new_worker()
    batch_ids = [await house.create(chat(3)) for _ in range(100)]
    most = 0

    def all_final() -> bool:
        nonlocal most
        most = max([most, *(len(runner.held_lines()) for runner in house.living.dispatcher.lanes.values())])
        return all(house.batch(batch_id).state in BATCH_FINAL for batch_id in batch_ids)

    await house.run_until(all_final)
    assert 32 < most <= LANE_BATCHES_MAX
    assert len(house.log) == 300


async def test_a_slow_lane_asks_the_store_once_in_a_poll_and_not_once_a_line() -> None:
    """With a limit of 1 there is little room at hand: each answer must not cause a look for more."""
    house = House(lambda body: echo(body, delay_s=0.01), pacing=Pacing(fixed_in_flight=1))
    await house.new_worker()
    batch_id = await house.create(chat(2000))
    await house.do(house.living.duties_once())
    house.polling = False
    await house.run_until(lambda: len(house.done(batch_id)) == 2000, limit=5000, step_s=0.01)
    assert house.process.tally["waiting"] <= 12
    assert len(house.log) == 2000


async def test_a_paused_lane_does_not_ask_for_more_at_each_flush_of_another(monkeypatch: pytest.MonkeyPatch) -> None:
    """It has its one line for the next probe; what else waits in the store can wait there."""
    cut_ranges(monkeypatch, 100)

    def upstream(body: bytes) -> Answer:
        return refuse(401, delay_s=0.01) if json.loads(body)["model"] == "locked" else echo(body, delay_s=0.2)

    house = House(upstream, pacing=Pacing(fixed_in_flight=1))
    await house.new_worker()
    lines = [line for i in range(3000) for line in chat(1, model="ok" if i % 100 else "locked", start=i)]
    batch_id = await house.create(lines)
    await house.run_for(2)
    house.polling = False
    looked, flushed = house.process.tally["waiting"], house.living.dispatcher.journal.flushes
    shards = house.process.tally["claim"]
    await house.run_for(8)
    assert house.living.dispatcher.journal.flushes - flushed >= 30
    claimed = house.process.tally["claim"] - shards
    assert house.process.tally["waiting"] - looked <= claimed + 4
    house.cancel(batch_id)
    await house.run(batch_id)


async def test_ten_thousand_lines_take_few_calls_of_the_store() -> None:
    """What a line costs the store is a small part of a call."""
    house = House(lambda body: echo(body, delay_s=0.3), pacing=Pacing(fixed_in_flight=256))
    await house.new_worker()
    batch_id = await house.create(chat(10_000))
    await house.run(batch_id)
    tally = house.process.tally
    assert tally["claim"] <= 30
    assert tally["settle"] <= 200
    assert len(house.log) == 10_000
