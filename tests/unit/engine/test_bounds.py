"""Bytes in flight are bounded, and no lane starves another of them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from batchrouter.domain.pacing import Pacing
from batchrouter.engine.budget import Budget
from tests.unit.engine.house import Answer, House, chat, echo, model_of


async def test_a_tiny_budget_is_kept_and_all_lines_still_pass() -> None:
    """Room for about ten lines: never more is taken than the budget and one item, and nobody spins while he waits."""
    used: list[int] = []

    def upstream(body: bytes) -> Answer:
        used.append(house.living.dispatcher._budget.used)
        return echo(body, delay_s=0.1)

    house = House(upstream, budget_bytes=50_000, flush_s=1.0)
    await house.new_worker()
    batch_id = await house.create(chat(300, user="x" * 3000))
    await house.run(batch_id)
    assert max(used) <= 50_000 + 6000
    assert house.batch(batch_id).completed == 300
    await house.check_whole(batch_id)


async def test_a_line_larger_than_the_budget_passes_alone() -> None:
    house = House(lambda body: echo(body, delay_s=0.1), budget_bytes=4000)
    await house.new_worker()
    batch_id = await house.create(chat(5, user="x" * 9000))
    await house.run(batch_id)
    assert house.batch(batch_id).completed == 5


async def test_a_silent_lane_with_large_lines_does_not_starve_the_other() -> None:
    """It holds two thirds of the budget for ever; the other lane's lines pass all the same."""
    house = House(
        lambda body: Answer(silent=True) if model_of(body) == "silent" else echo(body, delay_s=0.1), budget_bytes=60_000
    )
    await house.new_worker()
    lines = [line for i in range(200) for line in chat(1, model=("silent", "good")[i % 2], start=i, user="x" * 2000)]
    batch_id = await house.create(lines)
    at_s = house.clock.mono_s()
    await house.run_until(lambda: house.share(batch_id, "good").done == 100 if house.log else False)
    assert house.clock.mono_s() - at_s < 30
    house.cancel(batch_id)
    await house.run(batch_id)
    assert house.batch(batch_id).completed == 100


async def test_large_answers_that_wait_for_their_flush_count() -> None:
    """Answers of 20 KB under a budget of 200 KB: what is answered and not flushed holds back what is sent."""
    used: list[int] = []
    large = b'{"choices":[{"message":{"content":"' + b"x" * 20_000 + b'"}}]}'

    def upstream(body: bytes) -> Answer:
        used.append(house.living.dispatcher._budget.used)
        return Answer(body=large, delay_s=0.05)

    house = House(upstream, budget_bytes=200_000, flush_s=2.0, flush_bytes=100_000)
    await house.new_worker()
    batch_id = await house.create(chat(400))
    await house.run(batch_id)
    assert house.batch(batch_id).completed == 400
    # The first answers teach how large they are: until then the 32 of the start are under way.
    assert max(used) <= 34 * 21_000
    assert max(used[64:]) <= 300_000


async def test_lines_at_hand_wait_while_answers_take_more_than_there_is() -> None:
    """They were loaded when nobody knew how large the answers are: none goes out before the flush."""
    large = b'{"choices":[{"message":{"content":"' + b"x" * 100_000 + b'"}}]}'
    house = House(
        lambda body: Answer(body=large, delay_s=0.5),
        budget_bytes=300_000,
        flush_s=5.0,
        flush_bytes=10_000_000,
        pacing=Pacing(fixed_in_flight=8),
    )
    await house.new_worker()
    batch_id = await house.create(chat(100))
    await house.run_for(4.0)
    assert len(house.log) == 8
    await house.run(batch_id)
    assert house.batch(batch_id).completed == 100


async def test_lines_at_hand_are_sent_by_what_is_known_now_of_answers() -> None:
    """A hundred lines were made ready for small answers. The first answers are large, and the next lines go out as if
    theirs were too: what is under way never outgrows the budget by more than those that went out unknowing."""
    large = b'{"choices":[{"message":{"content":"' + b"x" * 10_000 + b'"}}]}'
    house = House(lambda body: Answer(body=large, delay_s=0.5 + 0.01 * len(house.log)), budget_bytes=400_000)
    await house.new_worker()
    batch_id = await house.create(chat(500))
    most = 0
    for _ in range(5000):
        most = max(most, len(house.flying) * 10_000)
        if house.batch(batch_id).completed == 500:
            break
        await house.step()
    assert house.batch(batch_id).completed == 500
    assert most <= 400_000


@given(st.integers(0, 200_000), st.integers(0, 50_000), st.lists(st.integers(1, 20_000), min_size=1, max_size=8))
def test_lines_that_take_their_room_together_take_what_each_would_have_got(
    mine: int, others: int, sizes: list[int]
) -> None:
    together, alone = Budget(200_000), Budget(200_000)
    together.take(mine + others)
    alone.take(mine + others)
    taken = together.reserve_all(mine, sizes)
    if taken is None:
        assert together.used == mine + others
        return
    for size, reserved in zip(sizes, taken, strict=True):
        assert alone.room(mine, size)
        assert alone.reserve(size) == reserved
        mine += reserved
    assert alone.used == together.used
