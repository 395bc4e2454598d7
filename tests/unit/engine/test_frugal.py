"""What 10,000 lines cost a shared store: so many verbs and so many objects, and not more from one change to the next.

The worker's own loops run here, against the stepping clock; a lease is renewed as its thread would.
"""

from __future__ import annotations

import asyncio
from collections import Counter

from batchrouter.domain.lifecycle import BatchState
from batchrouter.domain.pacing import Pacing
from tests.unit.engine.house import House, chat, echo

LINES = 20_000
A_SECOND = 500


async def live(house: House, batch_id: str, limit_s: float) -> None:
    """Let the loops run until the batch is final, in steps of a twentieth of a second."""
    worker = house.living
    worker._loop = asyncio.get_running_loop()
    loops = worker._begin_loops()
    until_s = house.clock.mono_s() + limit_s
    try:
        while house.batch(batch_id).state is not BatchState.COMPLETED or house.store.ledger.outlook("", 0, 1).folds:
            assert house.clock.mono_s() < until_s
            house.clock.advance(0.05)
            await house.settle()
            worker._lease.turn()
    finally:
        for task in loops:
            task.cancel()
        await asyncio.gather(*loops, return_exceptions=True)


async def test_ten_thousand_lines_take_few_transactions_and_few_objects() -> None:
    """At 500 lines a second, with flushes each second as on an object store, and hints instead of quick polls: under 60
    transactions and 40 puts, beats included."""
    house = House(
        lambda body: echo(body, delay_s=0.2),
        pacing=Pacing(fixed_in_flight=A_SECOND // 4),
        alone=False,
        flush_s=1.0,
        poll_s=2.0,
    )
    await house.new_worker()
    beats = Counter[str]()
    beat = house.living._lease._ledger.beat

    def counted(*args: object) -> object:
        beats["beat"] += 1
        return beat(*args)  # type: ignore[arg-type]

    house.living._lease._ledger = type("Ledger", (), {"beat": staticmethod(counted)})()  # type: ignore[assignment]
    batch_id = await house.create(chat(LINES))
    start_s = house.clock.mono_s()
    house.process.tally.clear()
    house.wake.hint()
    await live(house, batch_id, 120)
    took_s = house.clock.mono_s() - start_s
    assert LINES / A_SECOND <= took_s < 1.3 * LINES / A_SECOND
    tally = house.process.tally + beats
    puts = tally["put"] + tally["blob.commit"]
    transactions = sum(count for verb, count in tally.items() if verb not in ("put", "blob.write", "blob.commit"))
    print(tally, took_s)
    assert transactions < 60 * LINES / 10_000, tally
    assert puts < 40 * LINES / 10_000, tally
    assert house.batch(batch_id).completed == LINES
    await house.check_whole(batch_id)
