"""Lanes that do not work: each says why, none holds up another, and each goes on when its cause is gone."""

from __future__ import annotations

import json

import pytest

from batchrouter.domain.lifecycle import BatchState
from batchrouter.domain.pacing import Pacing
from batchrouter.errors import BlobError, ConnectFailed, ConnectionLost, ReplyTimeout, ReplyTooLarge
from tests.unit.engine.house import Answer, House, Process, chat, cut_ranges, echo, model_of, question, refuse


def mixed(n: int, *models: str) -> list[dict[str, object]]:
    return [line for i in range(n) for line in chat(1, model=models[i % len(models)], start=i)]


async def test_three_stuck_lanes_say_why_and_go_on_when_their_causes_are_gone() -> None:
    """One silent, one told to wait a minute, one refused: the fourth finishes meanwhile. Each of the three tells its
    state, the reason and until when; when the causes are gone all lines are answered."""
    start_s = 1000.0
    mended = False

    def upstream(body: bytes) -> Answer:
        match model_of(body):
            case "silent" if not mended:
                return Answer(delay_s=600, error=ReplyTimeout("no reply within 600 s"))
            case "busy" if house.clock.mono_s() < start_s + 60:
                return refuse(429, "rate_limit_exceeded", delay_s=0.05, headers=((b"retry-after", b"60"),))
            case "locked" if not mended:
                return refuse(401, "invalid_api_key", delay_s=0.05)
            case _:
                return echo(body, delay_s=0.05)

    house = House(upstream)
    await house.new_worker()
    batch_id = await house.create(mixed(400, "good", "silent", "busy", "locked"))
    await house.run_for(20)
    assert house.share(batch_id, "good").done == 100
    good, silent, busy, locked = (house.share(batch_id, model) for model in ("good", "silent", "busy", "locked"))
    assert (good.state, good.waiting, good.in_flight, good.retrying) == ("open", 0, 0, 0)
    assert (silent.state, silent.in_flight, silent.waiting) == ("open", 32, 68)
    assert busy.state == "waiting"
    assert "429" in (busy.reason or "")
    assert busy.until_ms is not None
    assert abs(busy.until_ms - house.clock.unix_ms() - 40_000) <= 2000
    assert locked.state == "paused"
    assert "401" in (locked.reason or "")
    assert locked.until_ms is not None
    assert locked.until_ms > house.clock.unix_ms()
    assert sum(model_of(body) == "locked" for body in house.sent) <= 34
    await house.run_for(50)
    assert house.share(batch_id, "busy").done == 100
    await house.run_for(560)
    silent = house.share(batch_id, "silent")
    assert silent.state == "unreachable"
    assert "in time" in (silent.reason or "")
    mended = True
    await house.run(batch_id)
    assert house.clock.mono_s() - start_s < 2000
    batch = house.batch(batch_id)
    assert (batch.state, batch.completed) == (BatchState.COMPLETED, 400)
    await house.check_whole(batch_id)


async def test_a_poison_line_fails_after_eight_tries_with_its_last_reply_and_holds_up_nobody() -> None:
    """A line that always gets a 500, in a lane that answers all others, is tried 8 times."""

    def upstream(body: bytes) -> Answer:
        return refuse(500, "oops", delay_s=0.1) if question(body) == "question 7" else echo(body, delay_s=0.1)

    house = House(upstream)
    await house.new_worker()
    batch_id = await house.create(chat(300))
    start_s = house.clock.mono_s()
    await house.run_until(lambda: len(house.done(batch_id)) == 299)
    assert house.clock.mono_s() - start_s < 3
    await house.run(batch_id)
    (error,) = await house.errors(batch_id)
    assert error["custom_id"] == "line-7"
    assert error["response"]["status_code"] == 500
    assert error["response"]["body"]["error"]["code"] == "oops"
    assert sum(question(body) == "question 7" for body in house.sent) == 8
    assert len(house.log) == 307
    await house.check_whole(batch_id)


async def test_two_bad_lines_at_the_end_of_a_batch_do_not_hold_it_open() -> None:
    """When the healthy lines have run out nobody is left to be answered; the batch still ends within half an hour."""

    def upstream(body: bytes) -> Answer:
        bad = question(body) in ("question 18", "question 19")
        return refuse(500, "oops", delay_s=0.1) if bad else echo(body, delay_s=0.1)

    house = House(upstream, pacing=Pacing(fixed_in_flight=1))
    await house.new_worker()
    batch_id = await house.create(chat(20))
    start_s = house.clock.mono_s()
    await house.run(batch_id, limit=20_000)
    assert house.clock.mono_s() - start_s < 1800
    assert [error["custom_id"] for error in await house.errors(batch_id)] == ["line-18", "line-19"]
    await house.check_whole(batch_id)


async def test_an_outage_of_hours_takes_no_line_of_a_batch_that_has_many_left() -> None:
    """The lane had answered before, so failures count after a while; but each probe asks with another line."""
    broken = False
    house = House(lambda body: refuse(500, delay_s=0.1) if broken else echo(body, delay_s=0.1))
    await house.new_worker()
    batch_id = await house.create(chat(400))
    await house.run_until(lambda: len(house.done(batch_id)) > 30)
    broken = True
    await house.run_for(3 * 3600)
    broken = False
    await house.run(batch_id)
    assert house.batch(batch_id).completed == 400


async def test_a_lane_that_fails_for_everybody_counts_nothing_against_its_lines() -> None:
    """An hour of 500 for all: few requests are spent on it, and afterwards every line is answered."""
    broken = True
    house = House(lambda body: refuse(500, delay_s=0.1) if broken else echo(body, delay_s=0.1))
    await house.new_worker()
    batch_id = await house.create(chat(200))
    await house.run_for(3600)
    assert house.share(batch_id, "m").state == "unreachable"
    assert house.done(batch_id) == set()
    assert len(house.log) < 300
    broken = False
    await house.run(batch_id)
    assert house.batch(batch_id).completed == 200


@pytest.mark.parametrize("error", [ConnectFailed("connection refused"), ConnectionLost("closed")])
async def test_a_lane_that_cannot_be_reached_is_asked_with_single_lines_and_recovers(error: Exception) -> None:
    """Refused connections for ten minutes, or connections that die at once: no line fails for it."""
    down = True
    house = House(lambda body: Answer(delay_s=0.01, error=error) if down else echo(body, delay_s=0.05))  # type: ignore[arg-type]
    await house.new_worker()
    batch_id = await house.create(chat(100))
    await house.run_for(600)
    assert house.share(batch_id, "m").state == "unreachable"
    assert len(house.log) < 400
    down = False
    await house.run(batch_id)
    assert house.batch(batch_id).completed == 100


async def test_an_answer_too_large_fails_its_line_at_the_first_try() -> None:
    """It would be as large the next time."""

    def upstream(body: bytes) -> Answer:
        large = question(body) == "question 2"
        return Answer(delay_s=0.1, error=ReplyTooLarge("more than 64 MiB")) if large else echo(body, delay_s=0.1)

    house = House(upstream)
    await house.new_worker()
    batch_id = await house.create(chat(5))
    await house.run(batch_id)
    (error,) = await house.errors(batch_id)
    assert (error["response"], error["error"]["code"]) == (None, "reply_too_large")
    assert len(house.log) == 5


GOOD = b'{"choices":[{"message":{"content":"question 1"},"finish_reason":"stop"}]'
SOUND = {
    "pretty": GOOD.replace(b",", b",\r\n  ") + b"\n}\n",
    "separators": GOOD + ',"x":"a\u2028b\u2029c\u0085d"}'.encode(),
    "surrogate": GOOD + b',"x":"\\ud83d"}',
    "surrogate, pretty": GOOD + b',\n"x":"\\ud83d"}',
    "no object": b"[1]",
    "deep": GOOD + b',"x":' + b"[" * 400 + b"]" * 400 + b"}",
}
BROKEN = {
    "html": b"<html>502</html>",
    "empty": b"",
    "not UTF-8": GOOD + b',"x":"\xff"}',
    "NaN": GOOD + b',"x":NaN}',
    "half": GOOD,
    "two": GOOD + b"}\n" + GOOD + b"}",
    "too deep": b"[" * 200_000 + b"]" * 200_000,
}


@pytest.mark.parametrize("name", SOUND)
async def test_a_sound_answer_enters_the_output_as_one_line_with_its_values(name: str) -> None:
    """Whatever its white space and characters: `splitlines` sees one line, and JSON the same value."""
    house = House(lambda body: Answer(body=SOUND[name], delay_s=0.1))
    await house.new_worker()
    batch_id = await house.create(chat(2))
    await house.run(batch_id)
    output = await house.output(batch_id)
    assert [line["response"]["body"] for line in output] == [json.loads(SOUND[name])] * 2
    raw = await house.text(house.batch(batch_id).output_file_id)
    assert len(raw.decode().splitlines()) == 2


@pytest.mark.parametrize("name", BROKEN)
async def test_a_broken_answer_fails_its_line_after_its_tries_with_a_code(name: str) -> None:
    """A 2xx that is no JSON is tried again, and then told as `invalid_reply`; the other lines are answered."""

    def upstream(body: bytes) -> Answer:
        broken = question(body) == "question 1"
        return Answer(body=BROKEN[name], delay_s=0.1) if broken else echo(body, delay_s=0.1)

    house = House(upstream)
    await house.new_worker()
    batch_id = await house.create(chat(4))
    await house.run(batch_id)
    (error,) = await house.errors(batch_id)
    assert (error["custom_id"], error["response"], error["error"]["code"]) == ("line-1", None, "invalid_reply")
    assert len(house.log) == 3 + 8
    await house.check_whole(batch_id)


async def test_a_lane_without_a_provider_pauses_and_the_others_finish() -> None:
    """A provider that was taken out of the configuration: its lane says so, once, and goes on after a restart with
    it."""
    house = House()
    house.unconfigured.add("gone")
    await house.new_worker()
    batch_id = await house.create(mixed(40, "good", "gone"))
    await house.run_for(30)
    share = house.share(batch_id, "gone")
    assert share.state == "paused"
    assert "not configured" in (share.reason or "")
    assert house.share(batch_id, "good").done == 20
    assert house.process.tally["note_lanes"] <= 4
    await house.living.stop(0)
    house.unconfigured.clear()
    await house.new_worker()
    await house.run(batch_id)
    assert house.batch(batch_id).completed == 40


@pytest.mark.parametrize("part", ["", ".idx"], ids=["lines", "index"])
async def test_an_input_that_cannot_be_read_holds_up_only_its_own_batch(
    part: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that is unreadable for a minute: the batch waits without storms of reads, others of the same lane go by,
    and then it is finished."""
    cut_ranges(monkeypatch, 20)
    house = House(lambda body: echo(body, delay_s=0.05))
    bad = await house.create(chat(100))
    await house.new_worker()
    await house.do(house.living.duties_once())
    key = house.store.state.batches[bad].input_blob_key
    reads = 0

    def fault(verb: str, done: bool) -> BlobError | None:
        nonlocal reads
        if verb != f"read {key}{part}" or house.clock.mono_s() > 1060:
            return None
        reads += 1
        return BlobError("input/output error")

    house.process.fault = fault
    good = await house.create(chat(100, start=0))
    await house.run(good)
    assert house.clock.mono_s() < 1010
    assert house.batch(bad).state is BatchState.IN_PROGRESS
    await house.run_until(lambda: house.clock.mono_s() > 1059)
    assert house.done(bad) == set()
    assert reads <= 60 * 12
    await house.run(bad)
    assert house.batch(bad).completed == 100


async def test_a_shard_that_could_neither_be_loaded_nor_given_back_is_not_lost() -> None:
    """The store fails just when a shard is returned: its lines are sent all the same, later."""
    house = House(lambda body: echo(body, delay_s=0.05))
    await house.new_worker(Process())
    batch_id = await house.create(chat(1200))
    await house.do(house.living.duties_once())
    until_s = house.clock.mono_s() + 5

    def fault(verb: str, done: bool) -> BlobError | None:
        broken = verb.endswith(".idx") or verb == "release"
        return BlobError("input/output error") if broken and house.clock.mono_s() < until_s else None

    house.process.fault = fault
    for _ in range(30):
        try:
            await house.step()
        except BlobError:
            house.clock.advance(1.0)
    await house.run(batch_id)
    assert house.batch(batch_id).completed == 1200


async def test_lanes_are_noted_only_when_they_change() -> None:
    """A lane that waits for an hour, told anew with each probe or not at all, is not written each second."""
    house = House(lambda body: refuse(429, delay_s=0.0307, headers=((b"retry-after", b"3600"),)))
    await house.new_worker()
    await house.create(chat(50))
    house.clock.advance(0.0004)
    await house.run_for(20)
    noted = house.process.tally["note_lanes"]
    for tick in range(200):
        house.clock.skew_wall((-1) ** tick)  # the two clocks of a machine never agree to the millisecond
        await house.run_for(1)
    assert house.process.tally["note_lanes"] == noted
