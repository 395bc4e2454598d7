"""Wire and simulator, written apart from each other from the same documents, understand each other."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given

from batchrouter.simulator.anthropic.cache import PromptCache
from batchrouter.simulator.anthropic.messages import Said, say
from batchrouter.simulator.anthropic.stream import events_of
from tests.golden import goldens
from tests.unit.providers.anthropic.judge import check_answer
from tests.unit.providers.anthropic.test_properties import CHAT, WIRE, conversations

UNLIKE = {
    "chat-thinking-back": "signatures that Anthropic made",
    "responses-reasoning-back": "signatures that Anthropic made",
    "responses-reasoning-between": "signatures that Anthropic made",
}
"""Bodies that only the real Anthropic could take."""
SENT = [name for name in goldens.names() if "sent" in goldens.load(name) and name not in UNLIKE]


def answered(body: bytes, *, batched: bool = False) -> Said:
    return say("key", body, PromptCache(), batched=batched)


@pytest.mark.parametrize("name", SENT)
def test_what_is_sent_is_taken_and_what_comes_back_is_read(name: str) -> None:
    """The simulator refuses what the real API refuses; its answer is the same whole and streamed."""
    golden = goldens.load(name)
    said = answered(json.dumps(golden["sent"]).encode(), batched=golden.get("batch", False))
    wire, endpoint = goldens.wire_of(golden), golden["endpoint"]
    note = wire.encode(endpoint, json.dumps(golden["request"]).encode()).note
    whole = wire.decode(endpoint, 200, json.dumps(said.message()).encode(), note)
    streamed = wire.decode(endpoint, 200, events_of(said), note)
    assert whole.usable
    check_answer(endpoint, json.loads(whole.body))
    assert json.loads(streamed.body) == json.loads(whole.body)
    assert (streamed.tokens, streamed.finish, streamed.cache_writes) == (
        whole.tokens, whole.finish, whole.cache_writes
    )  # fmt: skip


@given(conversations())
def test_every_conversation_is_taken(turns: list[dict[str, Any]]) -> None:
    """Calls and results find each other, roles alternate, no text is empty."""
    answered(WIRE.encode(CHAT, json.dumps({"messages": turns}).encode()).body)
