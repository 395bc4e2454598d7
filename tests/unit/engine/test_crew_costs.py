"""A batch's max_cost, with several workers that spend it."""

from __future__ import annotations

import pytest

from batchrouter.domain.lifecycle import BatchState
from tests.unit.engine.crew import Crew
from tests.unit.engine.house import Answer, chat, cut_ranges, echo, refuse
from tests.unit.engine.test_costs import CARD, EACH, codes, dear, worst


@pytest.mark.parametrize("count", [2, 3])
async def test_several_workers_together_never_spend_more_than_the_limit(
    count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nearly all of it is used: to the end it goes round, when a part each would do for nobody."""
    cut_ranges(monkeypatch, 50)
    crew = Crew(lambda body: echo(body, delay_s=0.2))
    crew.card = CARD
    await crew.start(count)
    limit = 300 * EACH
    batch_id = await crew.create(dear(600, tokens=100), max_cost_nano=limit)
    await crew.run(batch_id, limit=20_000)
    batch = crew.batch(batch_id)
    assert batch.state is BatchState.COMPLETED
    assert worst(crew, 800_000) <= limit
    assert 240 < batch.completed < 300
    assert codes(await crew.errors(batch_id)) == {"max_cost_exceeded": 600 - batch.completed}
    assert len({id(call._link) for call in crew.log}) == count
    await crew.check_whole(batch_id)


async def test_a_rest_that_does_for_one_line_only_goes_round(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of forty lines in eight shards each may cost more than half of the limit: one at a time goes out, and all end."""
    cut_ranges(monkeypatch, 5)
    crew = Crew(lambda body: echo(body, delay_s=0.2))
    crew.card = CARD
    await crew.start(3)
    batch_id = await crew.create(dear(40), max_cost_nano=12_000_000)
    await crew.run(batch_id, limit=20_000)
    assert crew.batch(batch_id).completed == 40
    assert max(sum(c.at_s <= call.at_s < (c.ended_s or 1e9) for c in crew.log) for call in crew.log) == 1
    await crew.check_whole(batch_id)


async def test_what_a_dead_worker_had_of_the_money_is_free_when_its_lease_ends(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cut_ranges(monkeypatch, 50)
    crew = Crew(lambda body: echo(body, delay_s=0.2))
    crew.card = CARD
    await crew.start(2)
    batch_id = await crew.create(dear(300), max_cost_nano=100_000_000)
    await crew.run_for(5)
    crew.kill(crew.workers[0])
    await crew.run(batch_id, limit=20_000)
    assert crew.batch(batch_id).completed == 300
    await crew.check_whole(batch_id)


async def test_nothing_is_remembered_of_a_batch_that_another_finished() -> None:
    """Whoever finishes it: neither the sum, nor a part of it."""
    crew = Crew(lambda body: echo(body, delay_s=0.1))
    crew.card = CARD
    await crew.start(3)
    batches = [await crew.create(dear(20), max_cost_nano=10**9) for _ in range(6)]
    await crew.run(*batches, limit=5000)
    await crew.run_for(3)
    for worker in crew.workers:
        assert worker.spendings._known == {}
        assert worker.spendings.tell() == {}


async def test_refused_calls_give_back_what_was_reserved_for_them() -> None:
    """429 to every second try: what comes back is used by whoever has lines."""
    turn = 0

    def upstream(body: bytes) -> Answer:
        nonlocal turn
        turn += 1
        return refuse(429, delay_s=0.05) if turn % 2 else echo(body, delay_s=0.1)

    crew = Crew(upstream)
    crew.card = CARD
    await crew.start(2)
    batch_id = await crew.create(chat(60, max_tokens=1000), max_cost_nano=60_000_000)
    await crew.run(batch_id, limit=20_000)
    assert crew.batch(batch_id).completed == 60
