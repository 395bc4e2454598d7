"""Answers that a batch has without sending: kept by a retry, found again in another file, or told of an identical line.
Each line stands once in the new batch's files, and only what has no answer is sent."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest

from batchrouter.domain.cost import RateCard, Tier
from batchrouter.domain.lifecycle import BatchState
from batchrouter.domain.pacing import Pacing
from batchrouter.domain.routing import RouteProvider, Router
from batchrouter.domain.tokens import Tokens
from tests.unit.engine.bureau import QUICK, Bureau
from tests.unit.engine.crew import Crew
from tests.unit.engine.house import (
    DAY_MS,
    Answer,
    Died,
    House,
    Process,
    chat,
    cut_ranges,
    echo,
    question,
    refuse,
)

CARD = RateCard((Tier(input=1_000_000, cached=1_000_000, written=1_000_000, output=2_000_000),))


class Fussy:
    """Refuses the questions of these numbers for good, and leaves those of others without an answer."""

    def __init__(self, *refused: int, silent: tuple[int, ...] = ()) -> None:
        self.refused = set(refused)
        self.silent = set(silent)

    def __call__(self, body: bytes) -> Answer:
        number = int(question(body).split()[1])
        if number in self.silent:
            return Answer(silent=True)
        return refuse(400, "bad", delay_s=0.02) if number in self.refused else echo(body, delay_s=0.02)


def numbers(house: House, since: int = 0) -> list[int]:
    return sorted(int(question(call.body).split()[1]) for call in house.log[since:])


async def bare(house: House, batch_id: str) -> dict[str, bytes]:
    """The lines of both files by custom_id, without their own ids."""
    batch = house.batch(batch_id)
    data = await house.text(batch.output_file_id) + await house.text(batch.error_file_id)
    return {json.loads(line)["custom_id"]: line[50:] for line in data.splitlines()}


async def ended(house: House, lines: list[dict[str, Any]], **more: Any) -> str:
    batch_id = await house.create(lines, **more)
    await house.run(batch_id)
    return batch_id


# --- retry ------------------------------------------------------------------------------------------------------------


async def test_a_retry_sends_only_what_failed_and_has_every_line_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Kept lines are byte for byte what they were, but for their ids, and cost nothing again."""
    cut_ranges(monkeypatch, 5)
    house = House(Fussy(3, 8, 9))
    house.card = CARD
    await house.new_worker()
    first = await ended(house, chat(20))
    sent, before = len(house.log), await bare(house, first)
    house.upstream = Fussy(9)
    again = await house.retry(first)
    await house.run(again)
    assert numbers(house, sent) == [3, 8, 9]
    batch = house.batch(again)
    assert (batch.state, batch.total, batch.completed, batch.failed) == (BatchState.COMPLETED, 20, 19, 1)
    assert (batch.reused, batch.tokens.input, batch.cost_nano) == (17, 6, 2 * CARD.cost(Tokens(3, 0, 2, 0)))
    await house.check_whole(again)
    after = await bare(house, again)
    assert {custom_id: line for custom_id, line in after.items() if custom_id not in ("line-3", "line-8")} == {
        custom_id: line for custom_id, line in before.items() if custom_id not in ("line-3", "line-8")
    }
    ids = [line["id"] for line in await house.output(again)]
    assert ids == [f"batch_req_{again[-32:-8]}{number:08x}" for number in range(20) if number != 9]


async def test_a_retry_of_a_retry(monkeypatch: pytest.MonkeyPatch) -> None:
    cut_ranges(monkeypatch, 4)
    house = House(Fussy(1, 2, 3))
    await house.new_worker()
    batch_id = await ended(house, chat(10))
    for left in ({1, 2}, {1}, set[int]()):
        house.upstream, sent = Fussy(*left), len(house.log)
        batch_id = await house.retry(batch_id)
        await house.run(batch_id)
        assert numbers(house, sent) == sorted(left | {max(left, default=0) + 1})
        await house.check_whole(batch_id)
    assert (house.batch(batch_id).completed, house.batch(batch_id).reused) == (10, 9)


async def test_cancelled_and_expired_lines_are_sent_again_too() -> None:
    house = House(Fussy(silent=(1, 4)))
    await house.new_worker()
    first = await ended(house, chat(6), window_ms=5_000)
    assert house.batch(first).state is BatchState.EXPIRED
    house.upstream, sent = Fussy(), len(house.log)
    again = await house.retry(first)
    await house.run(again)
    assert numbers(house, sent) == [1, 4]
    await house.check_whole(again)
    assert house.batch(again).completed == 6


@pytest.mark.parametrize(
    ("where", "found"),
    [
        ({"outcome": ["failed"]}, {3, 8}),
        ({"outcome": ["expired"]}, {5}),
        ({"outcome": ["succeeded"], "custom_id": ["line-0", "line-3"]}, {0}),
        ({"finish_reason": ["stop"]}, {0, 1, 2, 4, 6, 7, 9}),
        ({"code": ["400"]}, {3, 8}),
        ({"code": ["bad"]}, {3, 8}),
        ({"code": ["batch_expired"]}, {5}),
        ({"text": "QUESTION 7"}, {7}),
        ({"text": "question 7", "outcome": ["failed"]}, set()),
        ({"custom_id": ["line-9", "line-5"]}, {5, 9}),
    ],
)
async def test_a_filter_says_which_lines_are_sent_again(
    where: dict[str, Any], found: set[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every other line keeps what it has, whether that is an answer or not."""
    cut_ranges(monkeypatch, 3)
    house = House(Fussy(3, 8, silent=(5,)))
    await house.new_worker()
    first = await ended(house, chat(10), window_ms=5_000)
    before = await bare(house, first)
    house.upstream, sent = Fussy(), len(house.log)
    again = await house.retry(first, {"where": where})
    await house.run(again)
    assert numbers(house, sent) == sorted(found)
    await house.check_whole(again)
    after = await bare(house, again)
    kept = {f"line-{number}" for number in range(10)} - {f"line-{number}" for number in found}
    assert {custom_id: after[custom_id] for custom_id in kept} == {custom_id: before[custom_id] for custom_id in kept}
    batch = house.batch(again)
    assert batch.state is BatchState.COMPLETED
    assert batch.reused == len(kept - {"line-5"})


async def test_bodies_are_changed_as_they_are_sent() -> None:
    """Members are set and left out; the lines that are kept know nothing of it."""
    house = House(Fussy(2))
    await house.new_worker()
    first = await ended(house, chat(4, temperature=0.5, top_p=0.1))
    house.upstream, sent = Fussy(), len(house.log)
    again = await house.retry(first, {"set": {"max_tokens": 4096, "temperature": None, "stop": ["\u2028é"]}})
    await house.run(again)
    (body,) = [json.loads(call.body) for call in house.log[sent:]]
    assert body == {
        "model": "m",
        "messages": [{"role": "user", "content": "question 2"}],
        "top_p": 0.1,
        "max_tokens": 4096,
        "stop": ["\u2028é"],
    }
    await house.check_whole(again)


async def test_a_limit_on_cost_sees_the_changed_body() -> None:
    """A larger answer may cost more than there is: the line is refused, and not sent."""
    house = House(Fussy(2))
    house.card = CARD
    await house.new_worker()
    first = await ended(house, chat(4, max_tokens=5))
    sent = len(house.log)
    again = await house.retry(first, {"set": {"max_tokens": 1_000_000}}, max_cost_nano=1_000_000)
    await house.run(again)
    assert len(house.log) == sent
    assert [line["response"]["body"]["error"]["code"] for line in await house.errors(again)] == ["max_cost_exceeded"]


async def test_a_changed_body_goes_into_a_native_job() -> None:
    house = House(**QUICK)
    bureau = Bureau(house, fate=Fussy(2))
    await house.new_worker()
    first = await ended(house, chat(6), metadata={"mode": "batch"}, window_ms=DAY_MS)
    bureau.fate = echo
    again = await house.retry(first, {"set": {"max_tokens": 77}}, metadata={"mode": "batch"}, window_ms=DAY_MS)
    await house.run(again)
    bodies = [json.loads(body) for _, body in list(bureau.jobs.values())[-1].lines]
    assert [(body["max_tokens"], body["messages"][0]["content"]) for body in bodies] == [(77, "question 2")]
    assert (house.batch(again).completed, house.batch(again).reused) == (6, 5)
    await house.check_whole(again)


async def test_a_source_that_is_deleted_right_after_create_is_still_copied() -> None:
    """Its files, and its input: the bytes stay until they are copied, and the new batch ends as if nothing had been."""
    house = House(Fussy(1), inline_bytes=100)
    await house.new_worker()
    first = await ended(house, chat(6))
    old = house.batch(first)
    house.upstream = Fussy()
    again = await house.retry(first)
    for file_id in (old.output_file_id, old.error_file_id, old.input_file_id):
        assert file_id is not None
        assert house.store.catalog.delete_file("default", file_id, house.clock.unix_ms())
    house.clock.advance(1.0)
    house.living.sweeper._linger_ms = 0
    await house.do(house.living.sweeper.run_once(orphans=True))
    await house.run(again)
    await house.check_whole(again)
    house.clock.advance(1.0)
    await house.do(house.living.sweeper.run_once(orphans=True))
    assert not [key for key in house.blobs._blobs if first in key]


# --- resume -----------------------------------------------------------------------------------------------------------


async def test_a_new_file_keeps_answers_to_lines_that_did_not_change(monkeypatch: pytest.MonkeyPatch) -> None:
    """By custom_id and body, wherever the line stands; a changed body, a new id, a failed line are sent."""
    cut_ranges(monkeypatch, 4)
    house = House(Fussy(5))
    await house.new_worker()
    lines = chat(12)
    first = await ended(house, lines)
    before = await bare(house, first)
    changed = chat(12)
    changed[2]["body"]["messages"].insert(0, {"role": "system", "content": "be brief"})
    new = [*reversed(changed[4:]), *chat(3, start=100), *changed[:4]]
    new[-1] = {**new[-1], "custom_id": "line-103"}
    house.upstream, sent = Fussy(), len(house.log)
    again = await house.create(new, resume_from=first)
    await house.run(again)
    assert numbers(house, sent) == [2, 3, 5, 100, 101, 102]
    after = await bare(house, again)
    assert list(after) == [line["custom_id"] for line in new]
    for custom_id in {f"line-{number}" for number in range(12)} - {"line-2", "line-3", "line-5"}:
        assert after[custom_id] == before[custom_id]
    assert (house.batch(again).completed, house.batch(again).reused) == (15, 9)


async def test_a_file_of_which_all_is_known_sends_nothing() -> None:
    house = House(Fussy())
    await house.new_worker()
    first = await ended(house, chat(9))
    sent = len(house.log)
    again = await ended(house, chat(9), resume_from=first)
    assert len(house.log) == sent
    assert (house.batch(again).state, house.batch(again).completed) == (BatchState.COMPLETED, 9)
    assert await bare(house, again) == await bare(house, first)


async def test_another_url_provider_or_model_is_another_question() -> None:
    house = House(Fussy())
    await house.new_worker()
    first = await ended(house, chat(3))
    new = chat(3)
    new[1] = {**new[1], "provider": "sim"}
    new[2]["body"]["model"] = "other"
    sent = len(house.log)
    again = await ended(house, new, resume_from=first)
    assert numbers(house, sent) == [1, 2]
    assert house.batch(again).reused == 1


# --- identical lines --------------------------------------------------------------------------------------------------


def alike(*asked: int) -> list[dict[str, Any]]:
    """Lines in that order that ask these questions."""
    return [{**chat(1, start=question)[0], "custom_id": f"line-{number}"} for number, question in enumerate(asked)]


async def said(house: House, batch_id: str) -> dict[str, str | None]:
    told: dict[str, str | None] = {}
    for line in await house.output(batch_id):
        told[line["custom_id"]] = line["response"]["body"]["choices"][0]["message"]["content"]
    for line in await house.errors(batch_id):
        told[line["custom_id"]] = line["error"]["code"] if line["error"] else line["response"]["body"]["error"]["code"]
    return told


async def test_identical_lines_are_sent_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Over ranges; each gets the answer, or the failure, under its own id."""
    cut_ranges(monkeypatch, 3)
    house = House(Fussy(7))
    house.card = CARD
    await house.new_worker()
    asked = [1, 2, 1, 7, 1, 2, 7, 3, 7, 1]
    batch_id = await ended(house, alike(*asked), dedupe=True)
    assert numbers(house) == [1, 2, 3, 7]
    batch = house.batch(batch_id)
    assert (batch.total, batch.completed, batch.failed, batch.reused) == (10, 7, 3, 6)
    assert (batch.tokens.input, batch.cost_nano) == (9, 3 * CARD.cost(Tokens(3, 0, 2, 0)))
    assert await said(house, batch_id) == {
        f"line-{number}": "bad" if each == 7 else f"question {each}" for number, each in enumerate(asked)
    }
    ids = [line["id"] for line in [*await house.output(batch_id), *await house.errors(batch_id)]]
    assert len(set(ids)) == 10


async def test_without_the_wish_they_are_all_sent() -> None:
    house = House(Fussy())
    await house.new_worker()
    await ended(house, alike(1, 1, 1))
    assert numbers(house) == [1, 1, 1]


async def test_lines_that_follow_one_without_an_end_have_none_either() -> None:
    house = House(Fussy(silent=(2,)))
    await house.new_worker()
    batch_id = await ended(house, alike(1, 2, 1, 2, 2), dedupe=True, window_ms=5_000)
    batch = house.batch(batch_id)
    assert (batch.state, batch.completed, batch.failed) == (BatchState.EXPIRED, 2, 0)
    gone = "batch_expired"
    assert await said(house, batch_id) == {
        "line-0": "question 1", "line-1": gone, "line-2": "question 1", "line-3": gone, "line-4": gone,
    }  # fmt: skip


async def test_identical_lines_of_another_provider_are_not_identical() -> None:
    house = House(Fussy())
    await house.new_worker()
    lines = alike(1, 1, 1)
    lines[1]["provider"] = "sim"
    lines[2]["body"]["model"] = "other"
    await ended(house, lines, dedupe=True)
    assert numbers(house) == [1, 1, 1]


async def test_a_retry_of_identical_lines_sends_each_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that were kept lend their answer to nobody: it is another time's."""
    cut_ranges(monkeypatch, 3)
    house = House(Fussy(2))
    await house.new_worker()
    first = await ended(house, alike(1, 2, 1, 2, 2, 3), dedupe=True)
    house.upstream, sent = Fussy(), len(house.log)
    again = await house.retry(first)
    await house.run(again)
    assert numbers(house, sent) == [2]
    assert (house.batch(again).completed, house.batch(again).reused) == (6, 5)
    assert set((await said(house, again)).values()) == {"question 1", "question 2", "question 3"}
    house.upstream, sent = Fussy(), len(house.log)
    third = await house.retry(again, {"where": {"custom_id": ["line-2", "line-4"]}})
    await house.run(third)
    assert numbers(house, sent) == [1, 2]
    assert house.batch(third).completed == 6


async def test_kept_answers_are_lent_to_identical_lines_of_a_new_file() -> None:
    house = House(Fussy())
    await house.new_worker()
    first = await ended(house, alike(1, 2))
    sent = len(house.log)
    again = await ended(house, alike(1, 2, 1, 3, 3), resume_from=first, dedupe=True)
    assert numbers(house, sent) == [3]
    assert list((await said(house, again)).values()) == [f"question {each}" for each in (1, 2, 1, 3, 3)]
    assert house.batch(again).reused == 4


async def test_a_file_that_is_longer_than_memory_is_walked_through_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is kept and who follows whom does not depend on how many lines are known at a time."""
    monkeypatch.setattr("batchrouter.keeping.KEYS_MAX", 3)
    cut_ranges(monkeypatch, 4)
    house = House(Fussy())
    await house.new_worker()
    first = await ended(house, alike(*range(8)))
    sent = len(house.log)
    asked = [0, 1, 2, 3, 4, 5, 6, 7, 0, 9, 9, 3, 9]
    again = await ended(house, alike(*asked), resume_from=first, dedupe=True)
    assert numbers(house, sent) == [9]
    assert list((await said(house, again)).values()) == [f"question {each}" for each in asked]


async def test_several_workers_copy_once(monkeypatch: pytest.MonkeyPatch) -> None:
    cut_ranges(monkeypatch, 5)
    crew = Crew(Fussy(3), pacing=Pacing(fixed_in_flight=4))
    await crew.start(3)
    first = await crew.create(alike(*range(30), 1, 2, 3), dedupe=True)
    await crew.run(first)
    crew.upstream, sent = Fussy(), len(crew.log)
    again = await crew.retry(first)
    await crew.run(again)
    assert numbers(crew, sent) == [3]
    assert (crew.batch(again).completed, crew.batch(again).reused) == (33, 32)


# --- in the middle ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["cancel", "expire", "cancel at once"])
async def test_what_is_kept_is_delivered_however_the_batch_ends(how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also what was not copied when the end came."""
    cut_ranges(monkeypatch, 4)
    house = House(Fussy(silent=(5, 6)))
    await house.new_worker()
    first = await ended(house, chat(12), window_ms=5_000)
    again = await house.retry(first, window_ms=1 if how == "expire" else 60_000)
    if how == "expire":
        await house.do(house.living.duties_once())
        assert house.batch(again).state is BatchState.IN_PROGRESS
        house.clock.advance(1.0)
    elif how == "cancel at once":
        house.cancel(again)
    else:
        house.later.append((house.clock.mono_s() + 0.5, lambda: house.cancel(again)))
    await house.run(again)
    batch = house.batch(again)
    assert batch.state is (BatchState.EXPIRED if how == "expire" else BatchState.CANCELLED)
    assert (batch.completed, batch.failed, batch.reused) == (10, 0, 10)
    await house.check_whole(again)


@dataclass
class Life:
    house: House
    batch_id: str
    steps: int
    died: bool


async def live(process: Process, scene: str) -> Life:
    """A batch that is retried, with identical lines in it; and whose process may die once while that runs."""
    house = House(Fussy(3, 8), inline_bytes=500)
    await house.new_worker()
    first = await house.create(alike(*range(10), 3, 1, 8, 1), dedupe=True)
    await house.run(first)
    house.process.dead = True
    await house.bury()
    silent = (8,) if scene in ("expired", "cancelled") else ()
    house.upstream, sent = Fussy(silent=silent), len(house.log)
    if scene == "resumed":
        lines = alike(*range(10), 3, 1, 8, 1, 20, 20)
        again = await house.create(lines, resume_from=first, dedupe=True)
    else:
        again = await house.retry(first, window_ms=4_000 if scene == "expired" else 60_000)
    if scene == "cancelled":
        house.later.append((house.clock.mono_s() + 0.3, lambda: house.cancel(again)))
    died = False
    try:
        await house.new_worker(process)
        await house.run(again)
    except Died:
        died = True
        await house.bury()
        await house.new_worker()
        await house.run(again)
    resent = set(numbers(house, sent))
    assert resent == ({3, 8, 20} if scene == "resumed" else {3, 8}) or scene == "cancelled"
    return Life(house, again, process.count, died)


SCENES = {"retried": BatchState.COMPLETED, "resumed": BatchState.COMPLETED, "expired": BatchState.EXPIRED,
          "cancelled": BatchState.CANCELLED}  # fmt: skip


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("scene", SCENES)
async def test_a_death_at_any_call_changes_nothing(scene: str, after: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before or after the n-th call of store or blobs, for every n: every line is told once, with the same words, the
    counts are right, and what was kept is never sent."""
    cut_ranges(monkeypatch, 4)
    monkeypatch.setattr("batchrouter.engine.copying.GROUP_LINES", 3)
    scene_of = partial(live, scene=scene)
    whole = await scene_of(Process())
    told = await said(whole.house, whole.batch_id)
    deaths = 0
    for number in range(1, whole.steps + 1):
        life = await scene_of(Process(die_at=number, after=after))
        deaths += life.died
        batch = life.house.batch(life.batch_id)
        assert batch.state is SCENES[scene]
        words = await said(life.house, life.batch_id)
        output, errors = await life.house.output(life.batch_id), await life.house.errors(life.batch_id)
        assert len(output) + len(errors) == len(words) == batch.total
        gaps = sum((line["error"] or {}).get("code", "").startswith("batch_") for line in errors)
        assert (batch.completed, batch.failed) == (len(output), len(errors) - gaps)
        if scene != "cancelled":
            assert words == told
            assert batch.reused == whole.house.batch(whole.batch_id).reused
    assert deaths == whole.steps


async def test_lines_move_to_their_next_lane_while_others_are_copied(monkeypatch: pytest.MonkeyPatch) -> None:
    """Moves hold the batch's writing; the copies wait for them, and both are whole."""
    cut_ranges(monkeypatch, 4)
    monkeypatch.setattr("batchrouter.engine.copying.GROUP_LINES", 2)
    house = House(Fussy(*range(0, 40, 3)))
    house.fallbacks = {"m": ("other",)}
    await house.new_worker()
    first = await ended(house, chat(40))
    house.upstream = lambda body: refuse(404, "model_not_found") if b'"m"' in body else echo(body)
    again = await house.retry(first)
    await house.run(again)
    await house.check_whole(again)
    assert (house.batch(again).completed, house.batch(again).reused) == (40, 26)


async def test_a_kept_line_has_its_id_as_its_own_file_spells_it() -> None:
    house = House(Fussy())
    await house.new_worker()
    first = await ended(house, chat(2))
    data = b"".join(json.dumps(line).encode() + b"\n" for line in chat(2)).replace(b'"line-1"', b'"line\\u002d1"')
    again = await ended(house, data, resume_from=first)
    assert house.batch(again).reused == 2
    assert b'"custom_id":"line\\u002d1"' in await house.text(house.batch(again).output_file_id)


async def test_a_retry_does_not_ask_the_configuration_for_lines_that_it_keeps() -> None:
    """Their provider may be gone by then."""
    house = House(Fussy(1))
    both = [RouteProvider("sim", "openai"), RouteProvider("old", "openai")]
    house.router = Router(both, {}, "sim")
    await house.new_worker()
    lines = chat(3)
    lines[0]["provider"] = "old"
    first = await ended(house, lines)
    house.router, house.upstream = Router(both[:1], {}, "sim"), Fussy()
    await house.new_worker()
    again = await house.retry(first)
    await house.run(again)
    await house.check_whole(again)
    assert (house.batch(again).state, house.batch(again).completed) == (BatchState.COMPLETED, 3)
