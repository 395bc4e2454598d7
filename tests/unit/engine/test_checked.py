"""Answers to lines that ask for JSON: judged as they come, kept as they are, marked and counted."""

from __future__ import annotations

import json
from typing import Any

import pytest

from batchrouter.domain.checked.judge import Judges
from batchrouter.domain.outcome import Flag, Outcome, Record
from tests.unit.engine.bureau import batch_house
from tests.unit.engine.house import Answer, House, chat, echo, question

SCHEMA = {"type": "object", "properties": {"good": {"type": "boolean"}}, "required": ["good"]}
FORMAT = {"type": "json_schema", "json_schema": {"name": "verdict", "schema": SCHEMA}}
ANSWERS = ['{"good":true}', '{"good":"yes"}', '{"good":tr', "", None, '{"good":false,"more":[1]}']
PATHS = [None, "/good", "", "", None, None]
INVALID = 3


def asking(count: int, format: object = FORMAT, start: int = 0) -> list[dict[str, Any]]:
    lines = chat(count, start=start)
    for line in lines:
        line["body"]["response_format"] = format
    return lines


def answer(body: bytes) -> Answer:
    """By the number in the question: one of `ANSWERS`."""
    number = int(question(body).rpartition(" ")[2])
    content = ANSWERS[number % len(ANSWERS)]
    message = {"role": "assistant", "content": content, "refusal": "no" if content is None else None}
    said = {
        "model": json.loads(body)["model"],
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 3, "completion_tokens": 2},
    }
    return Answer(body=json.dumps(said).encode())


def faults(output: list[dict[str, Any]]) -> list[dict[str, str] | None]:
    return [line.get("batchrouter", {}).get("invalid_output") for line in output]


def paths(output: list[dict[str, Any]]) -> list[str | None]:
    return [None if fault is None else fault["path"] for fault in faults(output)]


async def check_judged(house: House, batch_id: str, turns: int) -> None:
    batch, output = house.batch(batch_id), await house.output(batch_id)
    assert (batch.completed, batch.failed, batch.invalid_output) == (6 * turns, 0, INVALID * turns)
    assert paths(output) == PATHS * turns
    contents = [line["response"]["body"]["choices"][0]["message"]["content"] for line in output]
    assert contents == ANSWERS * turns


async def test_what_breaks_its_schema_is_completed_marked_and_counted() -> None:
    house = House(answer)
    worker = await house.new_worker()
    batch_id = await house.create(asking(60))
    await house.run(batch_id)
    await check_judged(house, batch_id, 10)
    assert len(house.sent) == 60
    meters = worker.dispatcher.journal.meters
    assert sum(meter.invalid_output for meter in meters.lanes.values()) == 30


async def test_results_of_a_providers_batch_api_are_judged_alike() -> None:
    house, bureau = batch_house()
    bureau.fate = answer
    await house.new_worker()
    batch_id = await house.create(asking(12))
    await house.run(batch_id)
    assert house.log == []
    await check_judged(house, batch_id, 2)


async def test_the_flag_stands_in_the_record(monkeypatch: pytest.MonkeyPatch) -> None:
    house = House(answer)
    worker = await house.new_worker()
    told: list[Record] = []
    add = worker.dispatcher.journal.add

    def noted(batch_id: str, text: bytes, fields: Any, *args: Any) -> None:
        told.append(Record(*fields, 0, 0))
        add(batch_id, text, fields, *args)

    monkeypatch.setattr(worker.dispatcher.journal, "add", noted)
    batch_id = await house.create(asking(6))
    await house.run(batch_id)
    assert {each.outcome for each in told} == {Outcome.SUCCEEDED}
    assert {each.line for each in told if each.flags == Flag.INVALID_OUTPUT} == {1, 2, 3}
    assert {each.line for each in told if not each.flags} == {0, 4, 5}


async def test_only_those_that_ask_are_judged() -> None:
    """Beside others in one file; `json_object` asks for any object."""
    house = House(lambda body: echo(body))
    await house.new_worker()
    lines = chat(4) + asking(4, start=4) + asking(4, {"type": "json_object"}, 8) + asking(4, {"type": "text"}, 12)
    batch_id = await house.create(lines)
    await house.run(batch_id)
    assert paths(await house.output(batch_id)) == [None] * 4 + [""] * 8 + [None] * 4
    assert house.batch(batch_id).invalid_output == 8
    await house.check_whole(batch_id)


async def test_it_can_be_turned_off(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(self: Judges, endpoint: str, body: bytes) -> None:
        raise AssertionError("nobody asked")

    monkeypatch.setattr(Judges, "of", broken)
    house = House(answer, check_outputs=False)
    await house.new_worker()
    batch_id = await house.create(asking(12))
    await house.run(batch_id)
    assert faults(await house.output(batch_id)) == [None] * 12
    assert house.batch(batch_id).invalid_output == 0


async def test_what_else_is_told_of_a_line_stays() -> None:
    def upstream(body: bytes) -> Answer:
        if json.loads(body)["model"] == "m":
            error = {"message": "no", "type": "x", "param": None, "code": "model_not_found"}
            return Answer(status=404, body=json.dumps({"error": error}).encode())
        return answer(body)

    house = House(upstream)
    house.fallbacks = {"m": ("b",)}
    await house.new_worker()
    batch_id = await house.create(asking(6))
    await house.run(batch_id)
    output = await house.output(batch_id)
    assert {line["batchrouter"]["fallback"] for line in output} == {"sim/b"}
    assert paths(output) == PATHS


async def test_a_fault_of_the_judge_costs_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not asked again: it was paid for."""

    def broken(self: object) -> None:
        raise RuntimeError("a fault of ours")

    monkeypatch.setattr("batchrouter.domain.checked.judge.Judge._compile", broken)
    house = House(answer)
    await house.new_worker()
    batch_id = await house.create(asking(12))
    await house.run(batch_id)
    assert len(house.sent) == 12
    assert house.batch(batch_id).completed == 12
