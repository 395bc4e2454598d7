"""Lines of batches whose answers are known beforehand, and the check that each line got its own.

The simulator's answer is a function of the bytes that it was sent, so comparing whole answers proves whose they are.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import openai
from openai.types import Batch

from batchrouter.simulator import answer, expected_key

CHAT: Final = "/v1/chat/completions"
FINAL = {"completed", "failed", "cancelled", "expired"}


@dataclass(frozen=True, slots=True)
class Asked:
    """One line. `sent` is what the upstream should get where that is not `body`, because the model is spliced."""

    custom_id: str
    body: bytes
    url: str = CHAT
    provider: str | None = None
    sent: bytes | None = None

    @property
    def line(self) -> bytes:
        provider = b"" if self.provider is None else b'"provider":%b,' % _json(self.provider)
        return b'{"custom_id":%b,%b"method":"POST","url":%b,"body":%b}\n' % (
            _json(self.custom_id),
            provider,
            _json(self.url),
            self.body,
        )

    @property
    def upstream_body(self) -> bytes:
        return self.body if self.sent is None else self.sent

    @property
    def key(self) -> str:
        """What the simulator's log calls this body."""
        key: str = expected_key(self.upstream_body)
        return key

    @property
    def answer(self) -> dict[str, Any]:
        reply: dict[str, Any] = json.loads(answer(self.url, self.upstream_body))
        return reply


def chat(custom_id: str, text: str, model: str = "test-model", **more: Any) -> Asked:
    """A chat completion whose body is like no other's, if its text is."""
    return Asked(custom_id, _json({"model": model, "messages": [{"role": "user", "content": text}], **more}))


def chats(count: int, name: str, model: str = "test-model") -> list[Asked]:
    """`count` lines, each with a text of its own; `name` keeps their bodies apart from those of other tests."""
    return [chat(f"{name}-{i:05d}", f"{name} asks number {i}", model) for i in range(count)]


def jsonl(asked: Iterable[Asked]) -> bytes:
    return b"".join([each.line for each in asked])


def records(content: bytes) -> list[dict[str, Any]]:
    """The lines of an output or error file; each must end with a newline and hold no other line break."""
    assert content.endswith(b"\n") or not content
    lines = content.split(b"\n")[:-1]
    assert len(content.decode().splitlines()) == len(lines)
    return [json.loads(line) for line in lines]


def check_output(asked: Sequence[Asked], content: bytes) -> None:
    """`content` answers exactly these lines, once each, in order, each with its own answer."""
    found = records(content)
    assert [record["custom_id"] for record in found] == [each.custom_id for each in asked]
    ids = set()
    for record, each in zip(found, asked, strict=True):
        assert set(record) == {"id", "custom_id", "response", "error"}
        assert record["error"] is None
        assert record["response"]["status_code"] == 200
        assert record["response"]["request_id"]
        assert record["response"]["body"] == each.answer, f"{each.custom_id} has another answer"
        assert record["id"].startswith("batch_req_")
        ids.add(record["id"])
    assert len(ids) == len(asked)


def upload(client: openai.OpenAI, content: bytes, endpoint: Any = CHAT, window: Any = "24h") -> Batch:
    """Upload and create."""
    file = client.files.create(file=content, purpose="batch")
    return client.batches.create(input_file_id=file.id, endpoint=endpoint, completion_window=window)


def finished(client: openai.OpenAI, batch_id: str, within_s: float = 30.0) -> Batch:
    """Poll until the batch has ended."""
    return until(client, batch_id, lambda batch: batch.status in FINAL, within_s)


def until(client: openai.OpenAI, batch_id: str, ready: Callable[[Batch], bool], within_s: float = 30.0) -> Batch:
    """Poll until `ready`; fails with the batch as it was last seen."""
    deadline = time.monotonic() + within_s
    while not ready(batch := client.batches.retrieve(batch_id)):
        assert time.monotonic() < deadline, f"not within {within_s} s: {batch.to_json()}"
        time.sleep(0.05)
    return batch


def output_of(client: openai.OpenAI, batch: Batch) -> bytes:
    return client.files.content(batch.output_file_id).read() if batch.output_file_id else b""


def errors_of(client: openai.OpenAI, batch: Batch) -> bytes:
    return client.files.content(batch.error_file_id).read() if batch.error_file_id else b""


def counts(batch: Batch) -> tuple[int, int, int]:
    """Total, completed, failed."""
    assert batch.request_counts is not None
    return batch.request_counts.total, batch.request_counts.completed, batch.request_counts.failed


def lanes(batch: Batch) -> dict[str, dict[str, Any]]:
    """The lanes of the batch by `provider/model`, as our extension tells them."""
    extension = (batch.model_extra or {})["batchrouter"]
    return {f"{lane['provider']}/{lane['model']}": lane for lane in extension["lanes"]}


def _json(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
