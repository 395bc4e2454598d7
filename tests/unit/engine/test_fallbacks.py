"""Lines that their lane cannot serve go on to the next of their chain, and nothing that was paid for is lost by it."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import pytest

from batchrouter.domain.lifecycle import BatchState
from batchrouter.domain.pacing import Pacing
from batchrouter.errors import BatchRouterError, LineRefused, ReplyTimeout, StoreError
from batchrouter.providers.base import Encoded
from batchrouter.providers.openai import OpenAIWire
from tests.unit.engine.house import (
    Answer,
    Died,
    House,
    Process,
    chat,
    cut_ranges,
    echo,
    model_of,
    question,
    refuse,
    repeats,
)


def by_model(house: House) -> Counter[str]:
    return Counter(model_of(body) for body in house.sent)


def told(lines: list[dict[str, Any]]) -> Counter[str | None]:
    return Counter(line.get("batchrouter", {}).get("fallback") for line in lines)


@pytest.mark.parametrize(
    "refusal", [(404, "model_not_found"), (400, "unsupported_value"), (400, "context_length_exceeded")]
)
async def test_a_line_that_the_model_cannot_serve_goes_on_alone(refusal: tuple[int, str]) -> None:
    """To the next model, once; the output says what was asked for and who answered. The others stay."""

    def upstream(body: bytes) -> Answer:
        if model_of(body) == "m" and question(body).endswith("7"):
            return refuse(*refusal, delay_s=0.1)
        return echo(body, delay_s=0.1)

    house = House(upstream)
    house.fallbacks = {"m": ("b", "c")}
    await house.new_worker()
    batch_id = await house.create(chat(100))
    await house.run(batch_id)
    assert by_model(house) == {"m": 100, "b": 10}
    output = await house.output(batch_id)
    assert len(output) == 100
    for line in output:
        moved = line["custom_id"].endswith("7")
        assert line.get("batchrouter") == ({"model": "m", "fallback": "sim/b"} if moved else None)
        assert line["response"]["body"]["model"] == ("b" if moved else "m")
    assert house.share(batch_id, "b").done == 10
    await house.check_whole(batch_id)


@pytest.mark.parametrize("refusal", [(400, "content_policy_violation"), (400, "invalid_value"), (422, None)])
async def test_a_fault_of_the_line_itself_stays_where_it_is(refusal: tuple[int, str | None]) -> None:
    house = House(lambda body: refuse(*refusal) if question(body) == "question 3" else echo(body))
    house.fallbacks = {"m": ("b",)}
    await house.new_worker()
    batch_id = await house.create(chat(10))
    await house.run(batch_id)
    assert by_model(house) == {"m": 10}
    (error,) = await house.errors(batch_id)
    assert error["response"]["status_code"] == refusal[0]
    assert "batchrouter" not in error


async def test_the_last_of_a_chain_has_the_last_word() -> None:
    """Each is asked once, in order; the error is the last one's, and says whose it is."""
    house = House(lambda body: refuse(404, "model_not_found"))
    house.fallbacks = {"m": ("b", "c", "b", "m")}
    await house.new_worker()
    batch_id = await house.create(chat(5))
    await house.run(batch_id)
    # `m` in its own chain stands behind all others, and is where this line began: its chain has ended.
    assert by_model(house) == {"m": 5}
    house.fallbacks = {"x": ("b", "c", "b")}
    other = await house.create(chat(5, model="x"))
    await house.run(other)
    assert by_model(house) == {"m": 5, "x": 5, "b": 5, "c": 5}
    errors = await house.errors(other)
    assert told(errors) == {"sim/c": 5}
    assert {line["batchrouter"]["model"] for line in errors} == {"x"}
    await house.check_whole(other)


async def test_tries_used_up_move_a_line_on_with_none_of_them() -> None:
    """A line that always gets a 500 here is asked of the next model as if it were new."""

    def upstream(body: bytes) -> Answer:
        if question(body) == "question 7" and (model_of(body) == "m" or by_model(house)["b"] < 6):
            return refuse(500, delay_s=0.1)
        return echo(body, delay_s=0.1)

    house = House(upstream)
    house.fallbacks = {"m": ("b",)}
    await house.new_worker()
    batch_id = await house.create([*chat(300), *chat(300, model="b", start=300)])
    await house.run(batch_id)
    assert house.batch(batch_id).completed == 600
    assert sum(question(body) == "question 7" and model_of(body) == "m" for body in house.sent) == 8
    assert told(await house.output(batch_id)) == {None: 599, "sim/b": 1}
    await house.check_whole(batch_id)


async def test_a_dead_key_moves_the_whole_batch_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """All that is not under way, claimed or not, in a few transactions; no probe is waited for."""
    cut_ranges(monkeypatch, 50)
    house = House(lambda body: refuse(401, delay_s=0.05) if model_of(body) == "m" else echo(body, delay_s=0.05))
    house.fallbacks = {"m": ("b",)}
    await house.new_worker()
    batch_id = await house.create(chat(5000))
    start_s = house.clock.mono_s()
    await house.run(batch_id)
    assert house.clock.mono_s() - start_s < 2
    assert house.batch(batch_id).completed == 5000
    assert by_model(house)["m"] <= 40
    assert house.process.tally["move"] < 20
    assert house.process.tally["claim"] < 50
    assert told(await house.output(batch_id)) == {"sim/b": 5000}
    await house.check_whole(batch_id)


async def test_lines_that_were_told_to_wait_leave_with_the_others() -> None:
    """An hour's wait is not waited for in a lane that is left."""

    def upstream(body: bytes) -> Answer:
        if model_of(body) == "b":
            return echo(body)
        if int(question(body).split()[1]) < 10:
            return refuse(503, delay_s=0.1, headers=((b"retry-after", b"3600"),))
        return refuse(401, delay_s=0.05)

    house = House(upstream)
    house.fallbacks = {"m": ("b",)}
    await house.new_worker()
    batch_id = await house.create(chat(40))
    await house.run(batch_id)
    assert house.clock.mono_s() - 1000 < 60
    assert told(await house.output(batch_id)) == {"sim/b": 40}


async def test_lines_stay_while_another_key_of_their_lane_only_waits() -> None:
    """One is dead, the other was told to come back in half a minute: nobody leaves."""

    def upstream(body: bytes) -> Answer:
        if house.key == "dead":
            return refuse(401, delay_s=0.05)
        if house.clock.mono_s() < 1030:
            return refuse(429, delay_s=0.05, headers=((b"retry-after", b"30"),))
        return echo(body, delay_s=0.05)

    house = House(upstream)
    house.keys = ("dead", "full")
    house.fallbacks = {"m": ("b",)}
    await house.new_worker()
    batch_id = await house.create(chat(100))
    await house.run_for(20)
    assert house.share(batch_id, "m").state == "waiting"
    await house.run(batch_id)
    assert by_model(house)["b"] == 0


async def test_a_chain_of_dead_keys_ends_in_the_last_lane_which_waits_for_a_person() -> None:
    dead = {"m", "b", "c"}
    house = House(lambda body: refuse(401) if model_of(body) in dead else echo(body))
    house.fallbacks = {"m": ("b", "c")}
    await house.new_worker()
    batch_id = await house.create(chat(500))
    await house.run_for(20)
    shares = {model: house.share(batch_id, model) for model in ("m", "b", "c")}
    assert [shares[model].waiting + shares[model].retrying for model in ("m", "b", "c")] == [0, 0, 500]
    assert shares["c"].state == "paused"
    dead.clear()
    await house.run(batch_id)
    assert told(await house.output(batch_id)) == {"sim/c": 500}


async def test_a_lane_that_lines_leave_is_still_probed_and_used_again() -> None:
    """The next batch sends one line to ask whether the key works again, and waits for that one answer."""
    dead = True
    house = House(lambda body: refuse(401) if dead and model_of(body) == "m" else echo(body))
    house.fallbacks = {"m": ("b",)}
    await house.new_worker()
    await house.run(await house.create(chat(100)))
    asked = by_model(house)["m"]
    await house.run(await house.create(chat(100)))
    assert by_model(house)["m"] == asked  # too early for a probe
    await house.run_for(60)
    await house.run(await house.create(chat(100)))
    assert by_model(house)["m"] == asked + 1
    await house.run_for(120)
    dead = False
    batch_id = await house.create(chat(100))
    await house.run(batch_id)
    assert told(await house.output(batch_id)) == {None: 100}


async def test_lines_without_a_fallback_stay_and_those_of_others_pass_by(monkeypatch: pytest.MonkeyPatch) -> None:
    """In one lane, though the first hold the lane's place for a probe."""
    cut_ranges(monkeypatch, 10)
    dead = True
    house = House(lambda body: refuse(401) if dead and model_of(body) == "m" else echo(body))
    house.fallbacks = {"sim/m": ("b",)}
    await house.new_worker()
    stays = await house.create(chat(100))
    await house.run_for(5)
    leaves = await house.create(chat(200, model="sim/m"))
    await house.run(leaves, limit=60)
    assert told(await house.output(leaves)) == {"sim/b": 200}
    assert {line["batchrouter"]["model"] for line in await house.output(leaves)} == {"sim/m"}
    assert house.done(stays) == set()
    dead = False
    await house.run(stays)
    assert told(await house.output(stays)) == {None: 100}


async def test_an_outage_is_waited_for_a_minute_before_lines_leave() -> None:
    house = House(lambda body: Answer(error=ReplyTimeout("no")) if model_of(body) == "m" else echo(body))
    house.fallbacks = {"m": ("b",)}
    await house.new_worker()
    batch_id = await house.create(chat(300))
    await house.run_for(55)
    assert by_model(house)["b"] == 0
    await house.run(batch_id)
    assert house.clock.mono_s() - 1000 < 100
    assert house.batch(batch_id).completed == 300


async def test_a_line_that_the_wire_refuses_goes_on_unsent() -> None:
    """What this model cannot do the next one may."""

    class Narrow(OpenAIWire):
        def passes(self, endpoint: str) -> bool:
            return self._model != "m"

        def encode(self, endpoint: str, body: bytes) -> Encoded:
            if self._model == "m":
                raise LineRefused("no pictures", code="unsupported_content")
            return super().encode(endpoint, body)

    house = House()
    house.wire = lambda key: Narrow("http://upstream.invalid/v1", key.model)
    house.fallbacks = {"m": ("b",)}
    await house.new_worker()
    batch_id = await house.create(chat(30))
    await house.run(batch_id)
    assert by_model(house) == {"b": 30}
    assert told(await house.output(batch_id)) == {"sim/b": 30}


# --- answers that are under way while lines of their shard leave ------------------------------------------------------


def slow_and_leaving(house: House, slow_s: float) -> Any:
    """Odd lines go on to `b`; even ones are answered by `m`, `slow_s` later."""

    def upstream(body: bytes) -> Answer:
        if model_of(body) == "b" or int(question(body).rpartition(" ")[2]) % 2 == 0:
            return echo(body, delay_s=slow_s)
        return refuse(404, "model_not_found", delay_s=0.01)

    return upstream


@pytest.mark.parametrize("slow_s", [0.0, 0.02, 0.1, 0.11, 0.15, 0.2, 0.3, 1.0])
async def test_answers_that_come_while_others_of_their_shard_leave_all_count(slow_s: float) -> None:
    """Before, during and after the move: none is refused for its epoch, so none is asked for twice."""
    house = House(pacing=Pacing(fixed_in_flight=40))
    house.upstream = slow_and_leaving(house, slow_s)
    house.fallbacks = {"m": ("b",)}
    await house.new_worker()
    batch_id = await house.create(chat(200))
    await house.run(batch_id)
    assert house.batch(batch_id).completed == 200
    assert repeats(house.sent) == 0
    assert by_model(house) == {"m": 200, "b": 100}
    await house.check_whole(batch_id)


class Slow:
    """The store takes its time over a verb, while calls end."""

    def __init__(self, house: House, verb: str, seconds: float) -> None:
        self._verb = verb
        self._seconds = seconds
        self._house = house
        self.seen = 0

    async def __call__(self, verb: str) -> None:
        if verb == self._verb:
            self.seen += 1
            await self._house.clock.sleep(self._seconds)


@pytest.mark.parametrize("after", [False, True])
async def test_answers_that_come_inside_the_move_are_written_under_the_new_epoch(
    after: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The transaction takes a second, before or after it is done, while a hundred answers come."""
    house = House(pacing=Pacing(fixed_in_flight=150))
    house.upstream = slow_and_leaving(house, 0.6)
    house.fallbacks = {"m": ("b",)}
    worker = await house.new_worker()
    calls: Any = worker.dispatcher._mover._calls
    slow = Slow(house, "move", 1.0)
    write = calls.write

    async def slowly(verb: Any, *args: Any, **kwargs: Any) -> Any:
        if not after:
            await slow(verb.__name__)
        result = await write(verb, *args, **kwargs)
        if after:
            await slow(verb.__name__)
        return result

    monkeypatch.setattr(calls, "write", slowly)
    batch_id = await house.create(chat(150))
    await house.run(batch_id)
    assert slow.seen >= 1
    assert house.batch(batch_id).completed == 150
    assert repeats(house.sent) == 0
    await house.check_whole(batch_id)


async def test_a_stop_waits_for_the_move_that_is_under_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """The store has done it, and nobody has been told yet, when the worker is stopped: what was answered meanwhile
    counts, and is not asked for again after the next start."""
    house = House(pacing=Pacing(fixed_in_flight=60))
    house.upstream = slow_and_leaving(house, 0.6)
    house.fallbacks = {"m": ("b",)}
    worker = await house.new_worker()
    calls: Any = worker.dispatcher._mover._calls
    slow = Slow(house, "move", 3.0)
    write = calls.write

    async def slowly(verb: Any, *args: Any, **kwargs: Any) -> Any:
        result = await write(verb, *args, **kwargs)
        await slow(verb.__name__)
        return result

    monkeypatch.setattr(calls, "write", slowly)
    batch_id = await house.create(chat(60))
    await house.run_until(lambda: slow.seen > 0, step_s=0.02)
    await house.stop(10)
    await house.new_worker()
    await house.run(batch_id)
    assert house.batch(batch_id).completed == 60
    assert repeats(house.sent) == 0


async def test_a_batch_whose_lines_have_all_left_is_not_ours_any_more() -> None:
    """Where another worker has their lane: nothing of it is held here, nor in the way of a stop."""
    house = House(lambda body: refuse(404, "model_not_found"))
    house.fallbacks = {"m": ("b",)}
    house.unconfigured = {"b"}
    await house.new_worker()
    batch_id = await house.create(chat(50))
    await house.run_until(lambda: house.process.tally["move"] > 0)
    await house.run_for(1)
    assert not house.living.dispatcher.busy
    assert house.living.dispatcher._budget.used == 0
    assert house.share(batch_id, "b").waiting == 50


@pytest.mark.parametrize("done", [False, True])
async def test_a_move_that_fails_is_tried_again_even_if_it_had_happened(done: bool) -> None:
    """A store that is away for a while, before or after it did what was asked: no line is lost, doubled or stranded."""
    house = House(pacing=Pacing(fixed_in_flight=60))
    house.upstream = slow_and_leaving(house, 0.4)
    house.fallbacks = {"m": ("b",)}
    await house.new_worker()
    left = 3

    def fault(verb: str, after: bool) -> BatchRouterError | None:
        nonlocal left
        if verb != "move" or after is not done or not left:
            return None
        left -= 1
        return StoreError("away")

    house.process.fault = fault
    batch_id = await house.create(chat(60))
    await house.run(batch_id)
    assert left < 3
    assert house.batch(batch_id).completed == 60
    assert repeats(house.sent) == 0
    await house.check_whole(batch_id)


async def test_a_batch_that_closes_while_its_lines_leave_ends_as_usual() -> None:
    house = House(lambda body: refuse(404, "model_not_found") if model_of(body) == "m" else Answer(silent=True))
    house.fallbacks = {"m": ("b",)}
    await house.new_worker()
    batch_id = await house.create(chat(100))
    for _ in range(3):
        await house.step(0.03)
    assert house.living.dispatcher._mover._leaving
    house.cancel(batch_id)
    await house.run(batch_id)
    assert house.batch(batch_id).state is BatchState.CANCELLED
    await house.check_whole(batch_id)


async def test_a_stop_in_the_middle_of_leaving_strands_nothing() -> None:
    """The next start carries on where the store says."""
    house = House(pacing=Pacing(fixed_in_flight=40))
    house.upstream = slow_and_leaving(house, 0.05)
    house.fallbacks = {"m": ("b",)}
    await house.new_worker()
    batch_id = await house.create(chat(400))
    for _ in range(6):
        await house.step(0.03)
    await house.stop(5)
    await house.new_worker()
    await house.run(batch_id)
    assert house.batch(batch_id).completed == 400
    await house.check_whole(batch_id)


@pytest.mark.parametrize("after", [False, True])
async def test_a_death_at_any_call_while_lines_leave_loses_and_doubles_nothing(after: bool) -> None:
    """Every line ends once, whatever call of the store the process dies at."""
    for die_at in range(1, 200):
        house = House(pacing=Pacing(fixed_in_flight=10))
        house.upstream = slow_and_leaving(house, 0.05)
        house.fallbacks = {"m": ("b",)}
        batch_id = await house.create(chat(24))
        process = Process(die_at=die_at, after=after)
        died = await _live(house, process, batch_id)
        await house.bury()
        if died:
            await house.new_worker()
            await house.run(batch_id)
        assert house.batch(batch_id).completed == 24
        await house.check_whole(batch_id)
        if not died:
            assert die_at > 20
            return
    raise AssertionError("it never got through")


async def _live(house: House, process: Process, batch_id: str) -> bool:
    """Whether it died."""
    try:
        await house.new_worker(process)
        await house.run(batch_id)
    except (Died, asyncio.CancelledError):
        return True
    return process.dead
