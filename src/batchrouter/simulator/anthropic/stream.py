"""A message as the row of server-sent events that `stream: true` asks for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from batchrouter.simulator.anthropic.messages import Said

PIECE_CHARS = 24

_json = msgspec.json.Encoder().encode


def events_of(said: Said) -> bytes:
    """message_start, ping, each block with its pieces, message_delta with the sums, message_stop."""
    return b"".join([b"event: %b\ndata: %b\n\n" % (str(one["type"]).encode(), _json(one)) for one in _events(said)])


def _events(said: Said) -> Iterator[dict[str, object]]:
    message = said.message()
    message.update(content=[], stop_reason=None, stop_sequence=None)
    message["usage"] = {**said.usage(), "output_tokens": 1}
    yield {"type": "message_start", "message": message}
    yield {"type": "ping"}
    for index, block in enumerate(said.blocks):
        start, deltas = _pieces(block)
        yield {"type": "content_block_start", "index": index, "content_block": start}
        for delta in deltas:
            yield {"type": "content_block_delta", "index": index, "delta": delta}
        yield {"type": "content_block_stop", "index": index}
    yield {
        "type": "message_delta",
        "delta": {"stop_reason": said.stop_reason, "stop_sequence": said.stop_sequence, "stop_details": None},
        "usage": {
            name: count for name, count in said.usage().items() if name not in ("cache_creation", "service_tier")
        },
    }
    yield {"type": "message_stop"}


def _pieces(block: dict[str, Any]) -> tuple[dict[str, Any], list[dict[str, str]]]:
    """A block as it starts, and what is added to it after."""
    match block["type"]:
        case "thinking":
            thought = [{"type": "thinking_delta", "thinking": piece} for piece in _cut(block["thinking"])]
            signed = {"type": "signature_delta", "signature": block["signature"]}
            return {**block, "thinking": "", "signature": ""}, [*thought, signed]
        case "tool_use":
            pieces = ["", *_cut(_json(block["input"]).decode())]
            return {**block, "input": {}}, [{"type": "input_json_delta", "partial_json": piece} for piece in pieces]
        case _:
            return {**block, "text": ""}, [{"type": "text_delta", "text": piece} for piece in _cut(block["text"])]


def _cut(text: str) -> list[str]:
    return [text[start : start + PIECE_CHARS] for start in range(0, len(text), PIECE_CHARS)]
