"""What a run of the engine moves, to the number."""

from __future__ import annotations

import json
from typing import Any

from batchrouter.domain.cost import RateCard, Tier
from batchrouter.domain.lifecycle import BatchState
from batchrouter.domain.pacing import Pacing
from batchrouter.engine.sight import seen
from batchrouter.errors import BlobError, ReplyTimeout, StoreAway
from tests.unit.engine.house import Answer, House, chat, echo, model_of, question, refuse
from tests.unit.metrics.scrape import Scrape, Sight, scrape

DOLLAR = RateCard((Tier(above=0, input=1_000_000, cached=1_000_000, written=1_000_000, output=2_000_000),))
"""A dollar for a million tokens in, two for a million out."""


def told(house: House) -> Scrape:
    """As a process's scrape."""
    sight = Sight(house.store.backlogs.backlog(house.clock.unix_ms()), house.clock.unix_ms())
    sight.worker = seen(house.living)
    return scrape(house.living.traffic.meters, sight)


async def test_a_batch_moves_lines_tokens_and_costs_by_what_it_has() -> None:
    """Two models, one of which refuses every third line."""

    def upstream(body: bytes) -> Answer:
        refused = model_of(body) == "b" and int(question(body).split()[1]) % 3 == 0
        return refuse(400, "bad_line") if refused else echo(body, delay_s=0.3)

    house = House(upstream)
    house.card = DOLLAR
    await house.new_worker()
    batch_id = await house.create(chat(700, model="a") + chat(300, model="b", start=700))
    await house.run(batch_id)
    scraped = told(house)
    a, b = {"provider": "sim", "model": "a", "mode": "realtime"}, {"model": "b"}
    assert scraped.of("batchrouter_lines_total", outcome="succeeded", **a) == 700
    assert scraped.of("batchrouter_lines_total", outcome="succeeded", **b) == 200
    assert scraped.of("batchrouter_lines_total", outcome="failed", **b) == 100
    assert scraped.of("batchrouter_lines_total") == 1000
    assert scraped.labels("batchrouter_calls_total", "status") == {"2xx": 900, "400": 100}
    assert scraped.of("batchrouter_tokens_total", kind="input", **a) == 2100
    assert scraped.of("batchrouter_tokens_total", kind="output") == 1800
    assert round(scraped.of("batchrouter_cost_dollars_total", **a), 9) == 700 * (3 + 2 * 2) / 1e6
    assert scraped.of("batchrouter_unpriced_lines_total") == 0
    assert scraped.of("batchrouter_answer_seconds_count", **a) == 700
    assert scraped.of("batchrouter_answer_seconds_bucket", le="0.5", **a) == 700
    assert scraped.of("batchrouter_answer_seconds_bucket", le="0.25", **a) == 0
    assert scraped.of("batchrouter_flush_seconds_count") == house.living.dispatcher.journal.flushes > 0
    assert scraped.of("batchrouter_flush_bytes_count") == scraped.of("batchrouter_flush_seconds_count")
    assert scraped.of("batchrouter_waiting_lines") == scraped.of("batchrouter_calls_in_flight") == 0
    assert scraped.of("batchrouter_memory_budget_used_bytes") == 0
    assert scraped.labels("batchrouter_batches_ended_total", "state") == {"completed": 1}


async def test_a_lane_at_work_shows_what_it_has_and_what_waits_in_the_database() -> None:
    house = House(lambda body: Answer(silent=True), pacing=Pacing(fixed_in_flight=8))
    await house.new_worker()
    await house.create(chat(2000))
    await house.run_until(lambda: len(house.flying) == 8)
    scraped = told(house)
    lane = {"provider": "sim", "model": "m", "mode": "realtime"}
    assert scraped.of("batchrouter_calls_in_flight", **lane) == 8
    assert scraped.of("batchrouter_calls_in_flight_limit", **lane) == 8
    assert scraped.labels("batchrouter_lane_state", "state") == {
        "open": 1, "waiting": 0, "unreachable": 0, "paused": 0,
    }  # fmt: skip
    groups = house.store.ledger.waiting(house.clock.unix_ms())
    assert scraped.of("batchrouter_waiting_lines", state="open", **lane) == sum(group.lines for group in groups) > 0
    assert scraped.labels("batchrouter_batches", "state") == {"in_progress": 1}
    assert scraped.of("batchrouter_oldest_batch_age_seconds") == scraped.of("batchrouter_oldest_waiting_age_seconds")
    assert scraped.of("batchrouter_workers") == scraped.of("batchrouter_lease_held") == 1


async def test_refusals_and_silence_show_as_calls_and_not_as_lines() -> None:
    """Each try is a call; a line is counted once, when it is settled."""
    turns: dict[str, int] = {}

    def upstream(body: bytes) -> Answer:
        turn = turns[question(body)] = turns.get(question(body), 0) + 1
        if turn == 1:
            return refuse(429, headers=((b"retry-after", b"1"),))
        return Answer(error=ReplyTimeout("it took too long")) if turn == 2 else echo(body)

    house = House(upstream)
    await house.new_worker()
    batch_id = await house.create(chat(5))
    await house.run(batch_id)
    scraped = told(house)
    assert scraped.labels("batchrouter_calls_total", "status") == {"429": 5, "timeout": 5, "2xx": 5}
    assert scraped.labels("batchrouter_lines_total", "outcome") == {"succeeded": 5}
    assert scraped.of("batchrouter_unpriced_lines_total") == 5


async def test_lines_that_a_cancel_left_are_told_without_a_lane() -> None:
    house = House(lambda body: Answer(silent=True))
    await house.new_worker()
    batch_id = await house.create(chat(40))
    await house.run_until(lambda: bool(house.flying))
    house.cancel(batch_id)
    await house.run(batch_id)
    scraped = told(house)
    assert scraped.of("batchrouter_lines_total", outcome="cancelled", provider="", model="") == 40
    assert scraped.labels("batchrouter_batches_ended_total", "state") == {"cancelled": 1}


async def test_a_store_that_is_away_shows_as_failed_flushes_and_is_settled_once() -> None:
    faults: list[Exception] = [StoreAway("away"), StoreAway("away"), BlobError("a disk")]

    def fault(verb: str, done: bool) -> Any:
        return faults.pop() if verb == "settle" and faults and not done else None

    house = House()
    worker = house.make_worker()
    house.process.fault = fault
    await house.do(worker.enlist())
    batch_id = await house.create(chat(30))
    await house.run(batch_id)
    assert house.batch(batch_id).state is BatchState.COMPLETED
    scraped = told(house)
    assert scraped.labels("batchrouter_flush_failures_total", "cause") == {"database_away": 2, "blobs": 1}
    assert scraped.of("batchrouter_lines_total") == 30


async def test_what_a_dead_worker_left_is_counted_by_who_settles_it() -> None:
    """In the spill, and by another process: the two together count each line once."""
    house = House()
    await house.new_worker()
    batch_id = await house.create(chat(20))
    house.process.fault = lambda verb, done: StoreAway("away") if verb == "settle" else None
    await house.run_until(lambda: house.living.dispatcher.journal.spilled == 20)
    first = told(house)
    assert first.of("batchrouter_spilled_lines") == 20
    assert first.of("batchrouter_flush_stuck") == 1
    house.process.dead = True
    await house.new_worker()
    await house.do(house.living.adopt())
    await house.run(batch_id)
    assert first.of("batchrouter_lines_total") == 0
    assert told(house).of("batchrouter_lines_total") == 20


async def test_a_worker_that_takes_over_tells_so() -> None:
    house = House()
    worker = (await house.new_worker()) or house.living
    meters = worker.traffic.meters
    meters.took_over(3)
    meters.took_over(1)
    scraped = told(house)
    assert scraped.of("batchrouter_takeovers_total") == 2
    assert scraped.of("batchrouter_taken_over_shards_total") == 4


async def test_no_tenant_prompt_id_or_key_is_in_a_scrape() -> None:
    """After a batch in which everything that people choose has a mark; model names, and nothing else, may show."""
    mark = "mark-7Q"

    def upstream(body: bytes) -> Answer:
        if question(body).endswith("1"):
            return Answer(status=418, body=json.dumps({"error": {"code": mark, "message": mark}}).encode())
        return echo(body, headers=((b"x-request-id", mark.encode()), (b"retry-after", mark.encode())))

    house = House(upstream)
    house.keys = (mark,)
    house.add_tenant(mark)
    await house.new_worker()
    lines = [{**line, "custom_id": f"{mark}-{line['custom_id']}"} for line in chat(20)]
    batch_id = await house.create(lines, tenant=mark, metadata={mark: mark})
    await house.run_for(5)
    text = told(house).text
    assert mark not in text
    assert batch_id not in text
    assert house.living.id not in text
