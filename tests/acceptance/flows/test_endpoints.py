"""Each of OpenAI's line endpoints goes through a batch, in OpenAI's dialect and in FastRouter's."""

from __future__ import annotations

import json
from typing import Any

import openai
import pytest
import requests

from batchrouter.simulator.process import SimulatorProcess
from tests.lines import CHAT, Asked, chat, check_output, counts, finished, jsonl, output_of, records, upload
from tests.serving import ServerProcess

BODIES: dict[str, list[dict[str, Any]]] = {
    CHAT: [
        {"messages": [{"role": "user", "content": "plain"}]},
        {"messages": [{"role": "user", "content": [{"type": "text", "text": "in parts"}]}], "n": 3},
    ],
    "/v1/responses": [
        {"input": "plain", "instructions": "be brief"},
        {"input": [{"role": "user", "content": "as items"}], "reasoning": {"effort": "low"}},
    ],
    "/v1/embeddings": [
        {"input": "one"},
        {"input": ["two", "three"], "encoding_format": "base64"},
        {"input": [[1, 2, 3], [4, 5]], "dimensions": 32},
    ],
    "/v1/completions": [{"prompt": "once upon"}, {"prompt": ["a", "b"], "max_tokens": 3}],
    "/v1/moderations": [{"input": "gentle"}, {"input": [{"type": "text", "text": "violence"}]}],
    "/v1/images/generations": [{"prompt": "a pixel"}, {"prompt": "a pixel", "response_format": "url"}],
    "/v1/images/edits": [{"prompt": "another pixel", "images": [{"image_url": "https://images.invalid/a.png"}]}],
}


@pytest.mark.parametrize("url", BODIES)
def test_every_line_endpoint(simulator: SimulatorProcess, client: openai.OpenAI, url: str) -> None:
    asked = [
        Asked(f"{number}", json.dumps({"model": "m", **body}, indent=None).encode(), url)
        for number, body in enumerate(BODIES[url])
    ]
    batch = finished(client, upload(client, jsonl(asked), url).id)
    assert (batch.status, batch.endpoint, counts(batch)) == ("completed", url, (len(asked), len(asked), 0))
    check_output(asked, output_of(client, batch))
    keys = {each.key for each in asked}
    log = [entry for entry in simulator.log() if entry.key in keys]
    assert sorted(entry.path for entry in log) == [url] * len(asked)
    assert batch.usage is not None
    assert batch.usage.input_tokens == sum(entry.prompt_tokens for entry in log)
    assert batch.usage.output_tokens == sum(entry.completion_tokens for entry in log)


def test_fastrouters_dialect(simulator: SimulatorProcess, server: ServerProcess, key: str) -> None:
    def line(number: int, provider: str | None, model: str, sent: str) -> Asked:
        told = chat(str(number), f"fastrouter {number}", model)
        return Asked(told.custom_id, told.body, CHAT, provider, chat(str(number), f"fastrouter {number}", sent).body)

    asked = [
        line(0, "openai", "openai/gpt-4.1-nano", "gpt-4.1-nano"),
        line(1, "anthropic", "anthropic/claude-4.5-sonnet", "claude-4.5-sonnet"),
        line(2, None, "openai/gpt-4.1-nano", "gpt-4.1-nano"),
        line(3, "openai", "gpt-4.1-mini", "gpt-4.1-mini"),
        line(4, None, "Qwen/Qwen2.5-7B", "Qwen/Qwen2.5-7B"),
        line(5, "anthropic", "claude-4.5-sonnet", "claude-4.5-sonnet"),
    ]
    base = f"{server.url}/api/v1"
    headers = {"Authorization": f"Bearer {key}"}
    file = requests.post(f"{base}/files", headers=headers, files={"file": ("fr.jsonl", jsonl(asked))}).json()
    assert (file["file_id"], file["num_rows"], file["purpose"]) == (file["id"], len(asked), "batch")
    assert file["url"] == f"{base}/files/{file['id']}/content"
    assert requests.get(file["url"], headers=headers).content == jsonl(asked)
    made = requests.post(
        f"{base}/batches", headers=headers, json={"input_file_id": file["file_id"], "endpoint": CHAT}
    ).json()
    assert (made["batch_id"], made["completion_window"]) == (made["id"], "24h")
    with server.client(key) as client:
        finished(client, made["batch_id"])
    batch = requests.get(f"{base}/batches/{made['batch_id']}", headers=headers).json()
    assert (batch["status"], batch["request_counts"]) == ("completed", {"total": 6, "completed": 6, "failed": 0})
    assert batch["usage"]["total_tokens"] > 0
    assert batch["usage"]["cost"] is None
    named = requests.get(f"{base}/files/batch-output-{batch['id']}.jsonl/content", headers=headers)
    assert named.headers["content-type"].startswith("application/x-ndjson")
    check_output(asked, named.content)
    assert [record["custom_id"] for record in records(named.content)] == [each.custom_id for each in asked]
    keys = {each.key for each in asked}
    models = sorted(entry.model for entry in simulator.log() if entry.key in keys)
    assert models == sorted(["gpt-4.1-nano"] * 2 + ["claude-4.5-sonnet"] * 2 + ["gpt-4.1-mini", "Qwen/Qwen2.5-7B"])
    lanes = {(lane["provider"], lane["model"]): lane["done"] for lane in batch["batchrouter"]["lanes"]}
    assert lanes == {
        ("openai", "gpt-4.1-nano"): 2,
        ("openai", "gpt-4.1-mini"): 1,
        ("anthropic", "claude-4.5-sonnet"): 2,
        ("sim", "Qwen/Qwen2.5-7B"): 1,
    }
    unknown = requests.get(f"{base}/files/none", headers=headers)
    assert (unknown.status_code, unknown.json()["error"]["status"]) == (404, 404)
