"""Several keys in one lane: each has its own pace and its own fate, and the lane works while any of them does."""

from __future__ import annotations

from collections import Counter

from batchrouter.domain.lifecycle import BatchState
from batchrouter.domain.pacing import Pacing
from batchrouter.errors import ConnectFailed
from tests.unit.engine.house import Answer, House, chat, echo, question, refuse


def by_key(house: House) -> Counter[str]:
    return Counter(call.key for call in house.log)


async def test_lines_go_to_whichever_key_has_room() -> None:
    """Three keys of four calls each: twelve in flight, evenly; the lane's limit is their sum."""
    house = House(lambda body: echo(body, delay_s=1.0), pacing=Pacing(fixed_in_flight=4))
    house.keys = ("a", "b", "c")
    await house.new_worker()
    batch_id = await house.create(chat(60))
    await house.run_until(lambda: len(house.flying) == 12)
    assert Counter(call.key for call in house.flying) == {"a": 4, "b": 4, "c": 4}
    await house.run_for(1)
    assert house.share(batch_id, "m").limit == 12
    await house.run(batch_id)
    assert by_key(house) == {"a": 20, "b": 20, "c": 20}
    await house.check_whole(batch_id)
    few = await house.create(chat(6))
    await house.run_until(lambda: len(house.flying) == 6, step_s=0.1)
    assert Counter(call.key for call in house.flying) == {"a": 2, "b": 2, "c": 2}
    await house.run(few)


async def test_a_dead_key_pauses_alone_and_its_lines_go_on_at_once_with_another() -> None:
    """The lane stays open and tells which key is dead and why; no line waits for its probes, and none is lost."""
    house = House(
        lambda body: refuse(401, "invalid_api_key", delay_s=0.05) if house.key == "b" else echo(body, delay_s=0.05),
        pacing=Pacing(fixed_in_flight=4),
    )
    house.keys = ("a", "b", "c")
    await house.new_worker()
    batch_id = await house.create(chat(300))
    start_s = house.clock.mono_s()
    await house.run_until(lambda: len(house.done(batch_id)) > 150)
    await house.run_for(1)
    share = house.share(batch_id, "m")
    assert share.state == "open"
    assert (share.reason or "").startswith("1 of 3 keys is paused (b): the upstream refuses the key (401")
    assert share.until_ms is None
    await house.run(batch_id)
    assert house.clock.mono_s() - start_s < 6
    assert by_key(house)["b"] == 4
    refused = {call.body for call in house.log if call.key == "b"}
    assert refused <= {call.body for call in house.log[:40] if call.key != "b"}
    assert house.batch(batch_id).completed == 300
    await house.check_whole(batch_id)


async def test_a_mended_key_is_found_by_its_own_probe() -> None:
    """One line at a time asks it again, at the intervals of a paused lane, while the other key works on."""
    mended = False

    def upstream(body: bytes) -> Answer:
        if house.key == "b" and not mended:
            return refuse(402, delay_s=0.05)
        return echo(body, delay_s=5.0)

    house = House(upstream, pacing=Pacing(fixed_in_flight=1))
    house.keys = ("a", "b")
    await house.new_worker()
    batch_id = await house.create(chat(100))
    await house.run_for(100)
    probes = [call.at_s - house.log[0].at_s for call in house.log if call.key == "b"]
    assert [round(at_s) for at_s in probes] == [0, 30, 90]
    mended = True
    await house.run_for(130)
    assert house.share(batch_id, "m").reason is None
    before = by_key(house)["b"]
    await house.run_for(50)
    assert by_key(house)["b"] >= before + 9
    await house.run(batch_id)
    await house.check_whole(batch_id)


async def test_a_lane_whose_every_key_is_dead_pauses_with_the_next_probe_of_any() -> None:
    """And goes on when one of them is well again."""
    mended = False
    house = House(lambda body: echo(body) if mended and house.key == "a" else refuse(401, delay_s=0.05))
    house.keys = ("a", "b")
    await house.new_worker()
    batch_id = await house.create(chat(200))
    await house.run_for(5)
    share = house.share(batch_id, "m")
    assert share.state == "paused"
    assert (share.reason or "").startswith("2 of 2 keys are paused (a, b): the upstream refuses the key (401 x)")
    assert share.until_ms is not None
    assert 20_000 < share.until_ms - house.clock.unix_ms() <= 30_000
    assert len(house.log) <= 64
    mended = True
    await house.run_for(30)
    share = house.share(batch_id, "m")
    assert (share.state, (share.reason or "")[:24]) == ("open", "1 of 2 keys is paused (b")
    await house.run(batch_id)
    assert house.batch(batch_id).completed == 200


async def test_a_full_key_is_waited_for_by_nobody_while_another_has_room() -> None:
    """What one key is told to wait is not what its lines wait."""

    def upstream(body: bytes) -> Answer:
        if house.key == "b":
            return refuse(429, "rate_limit_exceeded", delay_s=0.05, headers=((b"retry-after", b"600"),))
        return echo(body, delay_s=0.05)

    house = House(upstream, pacing=Pacing(fixed_in_flight=8))
    house.keys = ("a", "b")
    await house.new_worker()
    batch_id = await house.create(chat(100))
    start_s = house.clock.mono_s()
    await house.run_until(lambda: len(house.done(batch_id)) > 50)
    assert (house.share(batch_id, "m").state, house.share(batch_id, "m").reason) == ("open", None)
    await house.run(batch_id)
    assert house.clock.mono_s() - start_s < 10
    assert by_key(house)["b"] == 8
    assert house.batch(batch_id).completed == 100


async def test_an_unreachable_region_is_left_to_its_probes() -> None:
    """After a few failures in a row nobody is sent there but one line now and then."""
    house = House(
        lambda body: Answer(error=ConnectFailed("no"), delay_s=0.05) if house.key == "eu" else echo(body, delay_s=0.05)
    )
    house.keys = ("eu", "us")
    await house.new_worker()
    batch_id = await house.create(chat(2000))
    start_s = house.clock.mono_s()
    await house.run(batch_id)
    assert house.clock.mono_s() - start_s < 30
    assert by_key(house)["eu"] < 100
    assert house.batch(batch_id).completed == 2000


async def test_a_cancel_frees_the_slots_of_every_key() -> None:
    house = House(lambda body: Answer(silent=True), pacing=Pacing(fixed_in_flight=3))
    house.keys = ("a", "b")
    await house.new_worker()
    batch_id = await house.create(chat(20))
    await house.run_until(lambda: len(house.flying) == 6)
    house.cancel(batch_id)
    await house.run(batch_id)
    assert house.batch(batch_id).state is BatchState.CANCELLED
    house.upstream = echo
    other = await house.create(chat(20))
    await house.run(other)
    assert house.batch(other).completed == 20


async def test_a_line_that_every_key_is_forbidden_fails_alone() -> None:
    """A 403 may be a key's or a prompt's. Answers to others tell that it is the prompt."""
    house = House(
        lambda body: refuse(403, delay_s=0.05) if question(body) == "question 7" else echo(body, delay_s=0.1),
        pacing=Pacing(fixed_in_flight=4),
    )
    house.keys = ("a", "b")
    await house.new_worker()
    batch_id = await house.create(chat(400))
    await house.run(batch_id)
    assert [error["custom_id"] for error in await house.errors(batch_id)] == ["line-7"]
    assert house.batch(batch_id).completed == 399
    await house.check_whole(batch_id)


async def test_a_restart_begins_with_each_key_at_its_part_of_what_was_learnt() -> None:
    """Half of it, as a lane of one key does."""
    house = House(lambda body: echo(body, delay_s=0.5), pacing=Pacing(max_in_flight=64, start_in_flight=64))
    house.keys = ("a", "b")
    await house.new_worker()
    batch_id = await house.create(chat(1000))
    await house.run_for(3)
    assert house.share(batch_id, "m").limit == 128
    await house.bury()
    await house.new_worker()
    await house.turn()
    (runner,) = house.living.dispatcher.lanes.values()
    assert [member.limiter.limit for member in runner.pool.members] == [32, 32]
    await house.run(batch_id)
