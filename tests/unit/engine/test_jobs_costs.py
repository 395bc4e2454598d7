"""What jobs and calls of a batch cost together never passes its `max_cost`."""

from __future__ import annotations

import json
from typing import Any

import pytest

from batchrouter.domain.cost import NANO, RateCard, Tier
from batchrouter.domain.lane_choice import LaneOptions
from batchrouter.domain.lifecycle import BatchState
from batchrouter.domain.spend import most_tokens
from tests.unit.engine.bureau import CHAT, Bureau, batch_house, quick
from tests.unit.engine.house import House, chat
from tests.unit.engine.test_costs import at_the_most
from tests.unit.engine.test_jobs_refusals import jobs_of

CARD = RateCard((Tier(input=1_000_000, cached=1_000_000, written=1_000_000, output=2_000_000),))
TOKENS = 10


def dear(n: int, **more: Any) -> list[dict[str, Any]]:
    """Lines that all cost about the same, and at most what they may."""
    return chat(n, max_tokens=TOKENS, **more)


def most_of(line: dict[str, Any]) -> int:
    return CARD.most(*most_tokens(CHAT, json.dumps(line["body"]).encode()))


def at_cost() -> tuple[House, Bureau]:
    house, bureau = batch_house(at_the_most)
    bureau.fate = at_the_most
    house.card = CARD
    return house, bureau


async def test_a_job_has_no_more_lines_than_the_batch_has_money_for() -> None:
    """What a job did not use comes back when it ends, and makes the next one; what is left in the end is refused in
    words that tell why."""
    house, bureau = at_cost()
    await house.new_worker()
    limit = 20 * most_of(dear(1)[0])
    batch_id = await house.create(dear(50), max_cost_nano=limit)
    await house.run(batch_id)
    batch = house.batch(batch_id)
    assert batch.cost_nano <= limit
    assert batch.cost_nano > limit * 0.9
    assert 15 <= batch.completed < 50
    assert {line["response"]["body"]["error"]["code"] for line in await house.errors(batch_id)} == {"max_cost_exceeded"}
    bureau.check()
    await house.check_whole(batch_id)


@pytest.mark.parametrize("restart", [False, True])
async def test_calls_leave_alone_what_jobs_have_reserved(restart: bool) -> None:
    """Lines of another lane of the batch wait for the job, in this life of the program and in the next."""
    house, bureau = at_cost()
    house.options_of = {"other": LaneOptions()}
    bureau.run_s = 30.0
    await house.new_worker()
    limit = 20 * most_of(dear(1)[0])
    batch_id = await house.create(
        dear(18) + dear(18, model="other", start=18), max_cost_nano=limit, window_ms=3_600_000
    )
    await house.run_until(lambda: len(bureau.jobs) == 1)
    if restart:
        house.process.dead = True
        await house.bury()
        await house.new_worker()
    await house.run_for(10.0)
    (job,) = bureau.jobs.values()
    assert len(job.lines) + len(house.sent) <= 21
    await house.run(batch_id)
    batch = house.batch(batch_id)
    assert limit * 0.9 < batch.cost_nano <= limit
    bureau.check()
    await house.check_whole(batch_id)


async def test_money_enough_changes_nothing() -> None:
    """All go as one job."""
    house, bureau = at_cost()
    await house.new_worker()
    batch_id = await house.create(dear(30), max_cost_nano=NANO)
    await house.run(batch_id)
    assert house.batch(batch_id).state is BatchState.COMPLETED
    assert [len(job.lines) for job in bureau.jobs.values()] == [30]
    assert house.log == []


async def test_several_jobs_at_once_share_the_money() -> None:
    """With room for a few lines each, they are as many as there is money for, and no more."""
    house, bureau = at_cost()
    bureau.facts = quick(max_requests=5)
    bureau.run_s = 20.0
    await house.new_worker()
    limit = 10 * most_of(dear(1)[0])
    batch_id = await house.create(dear(30), max_cost_nano=limit)
    await house.run_for(10.0)
    assert sum(job.lines for job in jobs_of(house, batch_id)) <= 10
    assert house.share(batch_id, "m").mode == "batch"
    assert len(house.store.catalog.lane_shares(batch_id)) == 1  # the others wait for what these leave
    await house.run(batch_id)
    assert limit * 0.8 < house.batch(batch_id).cost_nano <= limit
    bureau.check()


async def test_a_lane_without_a_price_runs_no_line_of_a_batch_with_a_limit() -> None:
    """Neither as a job nor in real time."""
    house, bureau = batch_house()
    await house.new_worker()
    batch_id = await house.create(dear(3), max_cost_nano=NANO)
    await house.run(batch_id)
    assert bureau.jobs == {}
    assert {line["response"]["body"]["error"]["code"] for line in await house.errors(batch_id)} == {"price_unknown"}
