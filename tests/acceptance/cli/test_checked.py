"""Answers that break their schema, as `batchrouter run` tells them."""

from __future__ import annotations

import json

from batchrouter.simulator import Match, Rule, Script, Then
from batchrouter.simulator.process import running_simulator
from tests.acceptance.cli.rig import Shell, answers_of, request

SCHEMA = {"type": "object", "properties": {"good": {"type": "boolean"}}, "required": ["good"]}


def said(text: str) -> dict[str, object]:
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    return {"object": "chat.completion", "model": "m", "choices": [choice], "usage": {"prompt_tokens": 1}}


def test_what_breaks_its_schema_is_in_the_output_and_in_the_summary(shell: Shell) -> None:
    rules = (
        Rule(match=Match(contains="hello 0"), then=Then(status=200, body=said('{"good": true}'))),
        Rule(match=Match(contains="hello 1"), then=Then(status=200, body=said('{"good": "so so"}'))),
        Rule(match=Match(contains="hello 2"), then=Then(status=400, code="too_bad")),
    )
    lines = [request(number) for number in range(4)]
    for line in lines[:3]:
        format = {"type": "json_schema", "json_schema": {"name": "verdict", "schema": SCHEMA}}
        line["body"]["response_format"] = format
    shell.path("in.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    with running_simulator(Script(rules=rules)) as simulator:
        shell.config(simulator.base_url)
        ended = shell("run", "in.jsonl", "-o", "out.jsonl")
    assert ended.code == 1, ended.err
    assert "4 lines, 3 ok, 1 failed, 1 of the answers not as their schema asks" in ended.out
    output = answers_of(shell.path("out.jsonl"))
    assert [line.get("batchrouter") for line in output] == [
        None,
        {"invalid_output": {"message": 'the value is not of type "boolean"', "path": "/good"}},
        None,
    ]
    assert output[1]["response"]["body"] == said('{"good": "so so"}')
