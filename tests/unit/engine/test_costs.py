"""What lines cost is written down with them, and `max_cost` is never passed."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest

from batchrouter.domain.cost import NANO, RateCard, Tier
from batchrouter.domain.lifecycle import BatchState
from batchrouter.domain.pacing import Pacing
from batchrouter.domain.spend import most_tokens
from batchrouter.domain.tokens import Tokens
from batchrouter.errors import StoreError
from tests.unit.engine.house import Answer, House, chat, cut_ranges, echo, model_of, question, refuse

CARD = RateCard((Tier(input=2_000_000, cached=200_000, written=2_500_000, output=8_000_000),))
"""Dollars for a million tokens; the house's answers have 3 tokens in and 2 out: 22,000 billionths."""
EACH = 22_000
PLAIN = RateCard((Tier(input=2_000_000, cached=2_000_000, written=2_000_000, output=8_000_000),))


def codes(errors: list[dict[str, Any]]) -> Counter[str]:
    return Counter(error["response"]["body"]["error"]["code"] for error in errors)


async def test_a_batch_costs_what_its_lines_do() -> None:
    """Failed ones nothing."""
    house = House(lambda body: refuse(400, "bad") if question(body) == "question 3" else echo(body))
    house.card = CARD
    await house.new_worker()
    batch_id = await house.create(chat(500))
    await house.run(batch_id)
    batch = house.batch(batch_id)
    assert (batch.completed, batch.cost_nano, batch.unpriced) == (499, 499 * EACH, 0)


async def test_without_prices_the_cost_is_unknown_and_not_nothing() -> None:
    house = House()
    await house.new_worker()
    batch_id = await house.create(chat(50))
    await house.run(batch_id)
    batch = house.batch(batch_id)
    assert (batch.cost_nano, batch.unpriced) == (0, 50)


async def test_lanes_with_and_without_prices_share_a_segment() -> None:
    """Each line's cost stands beside its own record, whatever the order in which they end."""
    house = House(lambda body: echo(body, delay_s=0.01 if model_of(body) == "unknown" else 0.02))
    await house.new_worker()
    house.card = None
    first = await house.create(chat(1, model="unknown"))
    await house.run(first)
    house.card = CARD
    lines = [line for i in range(100) for line in chat(1, model="unknown" if i % 3 else "known", start=i)]
    batch_id = await house.create(lines)
    await house.run(batch_id)
    batch = house.batch(batch_id)
    assert (batch.cost_nano, batch.unpriced) == (34 * EACH, 66)


# --- max_cost ---------------------------------------------------------------------------------------------------------


def dear(n: int, *, start: int = 0, tokens: int = 1000) -> list[dict[str, Any]]:
    """Lines whose answers may have so many tokens: about 8 thousandths of a dollar each at a thousand."""
    return chat(n, start=start, max_tokens=tokens)


def worst(house: House, most_nano: int = 8_000_000) -> int:
    """The most that the calls in flight and the answers so far could have cost at any moment, by the log."""
    moments = sorted({call.at_s for call in house.log})
    most = 0
    for moment in moments:
        flying = sum(c.at_s <= moment and (c.ended_s is None or c.ended_s > moment) for c in house.log)
        ended = sum(c.ended_s is not None and c.ended_s <= moment for c in house.log)
        most = max(most, ended * EACH + flying * most_nano)
    return most


async def test_the_limit_is_kept_while_calls_are_in_flight() -> None:
    """A hundredth of what all could cost at once: lines wait for money that others leave, and all are answered."""
    house = House(lambda body: echo(body, delay_s=0.2))
    house.card = CARD
    await house.new_worker()
    limit = 100_000_000
    batch_id = await house.create(dear(400), max_cost_nano=limit)
    await house.run(batch_id)
    assert house.batch(batch_id).completed == 400
    assert worst(house) <= limit
    assert max(Counter(call.at_s for call in house.log).values()) <= 12
    assert house.batch(batch_id).cost_nano == 400 * EACH
    await house.check_whole(batch_id)


async def test_a_batch_that_has_spent_its_money_ends_and_says_so() -> None:
    """The lines that do not fit any more fail with the reason; what was answered is delivered, the limit was kept."""
    house = House(lambda body: echo(body, delay_s=0.2))
    house.card = CARD
    await house.new_worker()
    limit = 100 * EACH
    batch_id = await house.create(dear(2000, tokens=100), max_cost_nano=limit)
    await house.run(batch_id)
    batch = house.batch(batch_id)
    assert batch.state is BatchState.COMPLETED
    assert batch.cost_nano <= limit
    assert 50 < batch.completed < 100
    errors = await house.errors(batch_id)
    assert codes(errors) == {"max_cost_exceeded": 2000 - batch.completed}
    message = errors[0]["response"]["body"]["error"]["message"]
    assert message.startswith("Of the batch's max_cost of $0.0022 there is $0.000")
    assert len(house.log) == batch.completed
    await house.check_whole(batch_id)


async def test_small_lines_still_go_when_large_ones_do_not_fit_any_more() -> None:
    house = House(lambda body: echo(body, delay_s=0.2))
    house.card = CARD
    await house.new_worker()
    lines = [line for i in range(100) for line in dear(1, start=i, tokens=100_000 if i % 2 else 10)]
    batch_id = await house.create(lines, max_cost_nano=10_000_000)
    await house.run(batch_id)
    assert house.batch(batch_id).completed == 50
    errors = await house.errors(batch_id)
    assert codes(errors) == {"max_cost_exceeded": 50}
    assert all(int(error["custom_id"][5:]) % 2 for error in errors)


async def test_a_limit_below_one_line_refuses_them_all_without_a_call() -> None:
    house = House()
    house.card = CARD
    await house.new_worker()
    batch_id = await house.create(chat(3000), max_cost_nano=1)
    await house.run(batch_id)
    assert house.log == []
    assert codes(await house.errors(batch_id)) == {"max_cost_exceeded": 3000}


async def test_an_unknown_price_refuses_lines_of_a_batch_with_a_limit_and_no_others() -> None:
    house = House()
    await house.new_worker()
    batch_id = await house.create(chat(20), max_cost_nano=NANO)
    other = await house.create(chat(20))
    await house.run(batch_id, other)
    assert codes(await house.errors(batch_id)) == {"price_unknown": 20}
    assert house.batch(other).completed == 20
    assert len(house.log) == 20


async def test_a_batch_that_waits_for_money_holds_up_no_other() -> None:
    """In the same lane; its calls are slow, the other's are not."""
    house = House(lambda body: echo(body, delay_s=60 if b"max_tokens" in body else 0.1))
    house.card = CARD
    await house.new_worker()
    poor = await house.create(dear(500), max_cost_nano=20_000_000)
    await house.run_for(1)
    assert len(house.flying) == 2
    rich = await house.create(chat(500, start=1000))
    start_s = house.clock.mono_s()
    await house.run_until(lambda: len(house.done(rich)) == 500)
    assert house.clock.mono_s() - start_s < 5
    assert len(house.flying) == 2
    house.cancel(poor)
    await house.run(poor, rich)


async def test_money_left_over_in_one_lane_serves_the_other() -> None:
    """Lines that wait in a lane hear of it within about a second."""
    house = House(lambda body: echo(body, delay_s=5.0 if model_of(body) == "slow" else 0.1))
    house.card = CARD
    await house.new_worker()
    lines = [*chat(2, model="slow", max_tokens=1000), *chat(20, model="fast", start=2, max_tokens=1000)]
    batch_id = await house.create(lines, max_cost_nano=2 * 8_300_000)
    await house.run(batch_id)
    assert house.batch(batch_id).completed == 22
    assert house.clock.mono_s() - 1000 < 30


async def test_calls_that_fail_give_their_money_back() -> None:
    """Retried ones, lost ones and refused ones: at the end nothing is reserved, and all good lines went."""
    failed: set[str] = set()

    def upstream(body: bytes) -> Answer:
        number = int(question(body).split()[1])
        if number % 3 == 0:
            return refuse(400, "bad", delay_s=0.1)
        if number % 3 == 1 and question(body) not in failed:
            failed.add(question(body))
            return refuse(500, delay_s=0.1)
        return echo(body, delay_s=0.1)

    house = House(upstream)
    house.card = CARD
    await house.new_worker()
    batch_id = await house.create(dear(90), max_cost_nano=30_000_000)
    await house.run(batch_id)
    batch = house.batch(batch_id)
    assert (batch.completed, batch.failed) == (60, 30)
    assert batch.cost_nano == 60 * EACH


async def test_a_restart_goes_on_with_what_was_spent(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the store knows counts; over many claims of a few lines each, and one death."""
    cut_ranges(monkeypatch, 5)
    house = House(lambda body: echo(body, delay_s=0.2), pacing=Pacing(fixed_in_flight=3))
    house.card = CARD
    limit = 120 * EACH
    await house.new_worker()
    batch_id = await house.create(dear(300, tokens=50), max_cost_nano=limit)
    await house.run_until(lambda: len(house.done(batch_id)) > 40)
    await house.bury()
    await house.new_worker()
    await house.run(batch_id)
    batch = house.batch(batch_id)
    assert 90 < batch.completed <= 120
    assert batch.cost_nano <= limit
    assert codes(await house.errors(batch_id)) == {"max_cost_exceeded": 300 - batch.completed}


def at_the_most(body: bytes) -> Answer:
    """An answer that costs exactly what was reserved for it."""
    tokens_in, tokens_out = most_tokens("/v1/chat/completions", body)
    said = json.loads(echo(body).body) | {"usage": {"prompt_tokens": tokens_in, "completion_tokens": tokens_out}}
    return Answer(body=json.dumps(said).encode(), delay_s=0.01)


async def test_the_last_of_the_money_can_be_spent() -> None:
    """To the billionth, and not one more."""
    house = House(at_the_most)
    house.card = PLAIN
    await house.new_worker()
    lines = dear(300, start=100, tokens=50)
    each = PLAIN.cost(Tokens(*most_tokens("/v1/chat/completions", json.dumps(lines[0]["body"]).encode())[:1], 0, 50))
    for limit, completed in ((100 * each, 100), (100 * each - 1, 99)):
        batch_id = await house.create(lines, max_cost_nano=limit)
        await house.run(batch_id)
        batch = house.batch(batch_id)
        assert (batch.completed, batch.cost_nano) == (completed, completed * each)


async def test_what_another_worker_spent_counts_from_the_next_claim_on(monkeypatch: pytest.MonkeyPatch) -> None:
    cut_ranges(monkeypatch, 5)
    house = House(lambda body: echo(body, delay_s=0.5), pacing=Pacing(fixed_in_flight=5))
    house.card = CARD
    await house.new_worker()
    batch_id = await house.create(dear(200), max_cost_nano=NANO)
    await house.run_until(lambda: len(house.done(batch_id)) > 50)
    row = house.store.state.batches[batch_id]
    row.batch = replace(row.batch, cost_nano=NANO - 1)
    await house.run(batch_id)
    assert house.batch(batch_id).completed < 100
    assert len(house.log) == house.batch(batch_id).completed


async def test_one_slow_call_does_not_hold_up_the_money_of_the_others() -> None:
    house = House(lambda body: echo(body, delay_s=60 if question(body) == "question 0" else 0.1))
    house.card = CARD
    await house.new_worker()
    batch_id = await house.create(dear(100), max_cost_nano=40_000_000)
    start_s = house.clock.mono_s()
    await house.run_until(lambda: len(house.done(batch_id)) == 99)
    assert house.clock.mono_s() - start_s < 15
    await house.run(batch_id)


async def test_a_store_that_is_away_for_a_while_makes_nobody_spend_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lines that are paid for and not yet written down are not forgotten between two claims."""
    cut_ranges(monkeypatch, 2)
    house = House(at_the_most, pacing=Pacing(fixed_in_flight=2))
    house.card = PLAIN
    await house.new_worker()
    seen = 0

    def fault(verb: str, done: bool) -> StoreError | None:
        nonlocal seen
        seen += verb == "settle" and not done
        return StoreError("away") if verb == "settle" and not done and seen % 3 else None

    house.process.fault = fault
    limit = 100 * EACH
    batch_id = await house.create(dear(200, tokens=5), max_cost_nano=limit)
    await house.run(batch_id, limit=5000)
    batch = house.batch(batch_id)
    assert 10 < batch.completed < 100
    assert batch.cost_nano <= limit
    assert len(house.log) == batch.completed


async def test_a_batch_is_not_forgotten_before_its_last_line_is_written_down(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever claims more of it meanwhile knows what that line has cost. The store takes its time over the first."""
    house = House(lambda body: echo(body, delay_s=0.05 if question(body) == "question 0" else 0.25))
    house.card = CARD
    worker = await house.new_worker()
    calls: Any = worker.dispatcher.journal._offering._calls
    write = calls.write

    async def slowly(verb: Any, *args: Any, **kwargs: Any) -> Any:
        if verb.__name__ == "settle":
            await house.clock.sleep(0.35)
        return await write(verb, *args, **kwargs)

    monkeypatch.setattr(calls, "write", slowly)
    batch_id = await house.create(dear(2), max_cost_nano=NANO)
    await house.run_until(lambda: house.done(batch_id) == {0}, step_s=0.05)
    batch = worker.dispatcher._batches[batch_id]
    assert (batch.open, batch.spend and batch.spend.spent_nano) == (0, 2 * EACH)
    await house.run(batch_id)
