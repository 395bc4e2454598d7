"""Answers that break their schema, as an unmodified OpenAI client sees them."""

from __future__ import annotations

import json

import openai
from pydantic import BaseModel

from tests.lines import CHAT, counts, finished

LINES = 12


class Verdict(BaseModel):
    good: bool


def test_a_client_that_knows_nothing_of_it_gets_every_answer(client: openai.OpenAI) -> None:
    """The upstream answers in words, whatever it is asked; every third line asks for words."""
    schema = {"name": "Verdict", "schema": Verdict.model_json_schema(), "strict": True}
    formats = [{"type": "json_schema", "json_schema": schema}, {"type": "json_object"}, {"type": "text"}]
    bodies = [
        {"model": "m", "messages": [{"role": "user", "content": f"{n}"}], "response_format": formats[n % 3]}
        for n in range(LINES)
    ]
    lines = [{"custom_id": f"{n}", "method": "POST", "url": CHAT, "body": body} for n, body in enumerate(bodies)]
    file = client.files.create(file=("in.jsonl", "\n".join(map(json.dumps, lines)).encode()), purpose="batch")
    made = client.batches.create(input_file_id=file.id, endpoint=CHAT, completion_window="24h")
    batch = finished(client, made.id, 60)
    assert (batch.status, counts(batch), batch.error_file_id) == ("completed", (LINES, LINES, 0), None)
    assert batch.output_file_id is not None
    assert batch.model_extra is not None
    assert batch.model_extra["batchrouter"]["invalid_output"] == LINES * 2 // 3
    output = [json.loads(line) for line in client.files.content(batch.output_file_id).text.splitlines()]
    assert [line["custom_id"] for line in output] == [f"{n}" for n in range(LINES)]
    for number, line in enumerate(output):
        assert line["response"]["status_code"] == 200
        openai.types.chat.ChatCompletion.model_validate(line["response"]["body"])
        fault = {"invalid_output": {"message": "The answer is not JSON.", "path": ""}}
        assert line.get("batchrouter") == (None if number % 3 == 2 else fault)
