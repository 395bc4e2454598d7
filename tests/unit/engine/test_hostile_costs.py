"""Upstreams that do not tell what they took, and requests that ask for more than they seem to: the limit holds."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest

from batchrouter.domain.cost import RateCard, Tier
from batchrouter.domain.spend import ASSUMED_OUTPUT, most_tokens
from tests.unit.engine.bureau import CHAT, batch_house
from tests.unit.engine.house import Answer, House, chat, echo, refuse

CARD = RateCard((Tier(input=1_000_000, cached=1_000_000, written=1_000_000, output=1_000_000),))
FREE = RateCard((Tier(input=0, cached=0, written=0, output=0),))


def silent(body: bytes) -> Answer:
    """An answer without a word of its usage."""
    said: dict[str, Any] = json.loads(echo(body).body)
    del said["usage"]
    return Answer(body=json.dumps(said).encode(), delay_s=0.01)


def most_of(line: dict[str, Any]) -> int:
    return CARD.most(*most_tokens(CHAT, json.dumps(line["body"]).encode()))


async def codes(house: House, batch_id: str) -> Counter[str]:
    return Counter(line["response"]["body"]["error"]["code"] for line in await house.errors(batch_id))


@pytest.mark.parametrize("native", [False, True])
async def test_an_answer_that_tells_no_usage_costs_nobody_knows_what(native: bool) -> None:
    """Not nothing; and of the money it may have taken all that it could."""
    house, bureau = batch_house(silent) if native else (House(silent), None)
    if bureau is not None:
        bureau.fate = silent
    house.card = CARD
    await house.new_worker()
    lines = chat(40, start=100, max_tokens=50)
    batch_id = await house.create(lines, max_cost_nano=10 * most_of(lines[0]))
    await house.run(batch_id)
    batch = house.batch(batch_id)
    assert (batch.completed, batch.unpriced, batch.cost_nano) == (10, 10, 0)
    assert len(house.sent) + sum(len(job.lines) for job in (bureau.jobs.values() if bureau else ())) == 10
    assert await codes(house, batch_id) == {"max_cost_exceeded": 30}


async def test_what_is_free_is_free_whatever_it_tells() -> None:
    """By the configuration's word: nothing is reserved, nothing unknown."""
    house = House(silent)
    house.card = FREE
    await house.new_worker()
    batch_id = await house.create(chat(40), max_cost_nano=0)
    await house.run(batch_id)
    batch = house.batch(batch_id)
    assert (batch.completed, batch.unpriced, batch.cost_nano) == (40, 0, 0)


@pytest.mark.parametrize("native", [False, True])
async def test_an_error_costs_nothing(native: bool) -> None:
    """It is no answer whose usage is missing."""
    house, bureau = batch_house(lambda body: refuse(400, "bad")) if native else (House(lambda _: refuse(400)), None)
    if bureau is not None:
        bureau.fate = lambda body: refuse(400, "bad")
    house.card = CARD
    await house.new_worker()
    batch_id = await house.create(chat(10))
    await house.run(batch_id)
    batch = house.batch(batch_id)
    assert (batch.failed, batch.unpriced, batch.cost_nano) == (10, 0, 0)


@pytest.mark.parametrize("limit", [0, 1])
async def test_no_money_sends_nothing(limit: int) -> None:
    """Neither as a job nor in real time, and every line says why."""
    house, bureau = batch_house()
    house.card = CARD
    await house.new_worker()
    batch_id = await house.create(chat(30), max_cost_nano=limit)
    await house.run(batch_id)
    assert (house.sent, bureau.jobs) == ([], {})
    assert await codes(house, batch_id) == {"max_cost_exceeded": 30}


def _fifty_fold(line: dict[str, Any]) -> dict[str, Any]:
    return {**line, "body": {**line["body"], "n": 50}}


async def test_fifty_answers_to_one_question_are_paid_fifty_times() -> None:
    """Also where nobody says how long each may be."""

    def fifty(body: bytes) -> Answer:
        said = json.loads(echo(body).body) | {"usage": {"prompt_tokens": 20, "completion_tokens": 50 * ASSUMED_OUTPUT}}
        return Answer(body=json.dumps(said).encode(), delay_s=0.01)

    house = House(fifty)
    house.card = CARD
    await house.new_worker()
    limit = 55 * ASSUMED_OUTPUT * 1000
    batch_id = await house.create([_fifty_fold(line) for line in chat(10)], max_cost_nano=limit)
    await house.run(batch_id)
    assert len(house.sent) == 1
    assert house.batch(batch_id).cost_nano <= limit
