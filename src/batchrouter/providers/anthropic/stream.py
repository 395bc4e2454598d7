"""A streamed Message, put together.

Events: anthropic 2.11.0, `types/raw_message_stream_event.py`; how they add up: its `lib/streaming/_messages.py` (counts
of usage are totals, and one that is missing leaves the earlier one standing). Events and members that are new are
skipped, as the vendor asks.
"""

from __future__ import annotations

import re
from typing import Any

from batchrouter.providers.anthropic.draft import Dict
from batchrouter.providers.codec import loads

_data = re.compile(rb"^data: ?([^\r\n]*)", re.MULTILINE).finditer
_STARTS = (b"event:", b"data:", b":", b"id:", b"retry:")
_GROWING = {"text_delta": "text", "thinking_delta": "thinking"}


def is_stream(body: bytes) -> bool:
    """JSON never begins like this."""
    return body.lstrip().startswith(_STARTS)


def assembled(body: bytes) -> Dict:
    """The Message, or the `error` event as it stands. ValueError for a stream that did not reach its end, or whose
    events do not fit together."""
    building = _Building()
    try:
        for found in _data(body):
            event: Dict = loads(found[1])
            kind = event["type"]
            if kind == "error":
                return event
            if kind == "message_stop":
                return building.finished()
            if kind in _ADD:
                _ADD[kind](building, event)
    except (KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError("the stream's events do not fit together") from error
    raise ValueError("the stream ended without message_stop")


class _Building:
    """A Message that grows. Pieces are joined once, when their block ends."""

    def __init__(self) -> None:
        self.message: Dict = {}
        self.blocks: dict[int, Dict] = {}
        self.pieces: dict[tuple[int, str], list[Any]] = {}

    def start(self, event: Dict) -> None:
        if self.message:
            raise ValueError("the stream has two messages")
        self.message = {**event["message"]}

    def start_block(self, event: Dict) -> None:
        if event["index"] in self.blocks:
            raise ValueError("the stream has two blocks in one place")
        self.blocks[event["index"]] = {**event["content_block"]}

    def add(self, event: Dict) -> None:
        index, delta = event["index"], event["delta"]
        kind = delta["type"]
        if kind in _GROWING:
            self._pieces(index, _GROWING[kind]).append(delta[_GROWING[kind]])
        elif kind == "input_json_delta":
            self._pieces(index, "input").append(delta["partial_json"])
        elif kind == "signature_delta":
            self.blocks[index]["signature"] = delta["signature"]
        elif kind == "citations_delta":
            self._pieces(index, "citations").append(delta["citation"])

    def change(self, event: Dict) -> None:
        self.message.update(event["delta"])
        told = {name: count for name, count in (event.get("usage") or {}).items() if count is not None}
        self.message["usage"] = {**(self.message.get("usage") or {}), **told}

    def finished(self) -> Dict:
        for (index, member), pieces in self.pieces.items():
            block = self.blocks[index]
            if member == "citations":
                block[member] = [*(block.get(member) or []), *pieces]
                continue
            text = "".join(pieces)
            if member != "input":
                block[member] = (block.get(member) or "") + text
            elif text.strip():
                block["input"] = _input(text)
        if self.message.get("type") != "message":
            raise ValueError("the stream has no message_start")
        self.message["content"] = [self.blocks[index] for index in sorted(self.blocks)]
        return self.message

    def _pieces(self, index: int, member: str) -> list[Any]:
        if index not in self.blocks:
            raise KeyError(index)
        return self.pieces.setdefault((index, member), [])


def _input(text: str) -> Any:
    """What a tool is called with. An answer that was cut (`max_tokens`) leaves half an object, which says nothing."""
    try:
        return loads(text)
    except ValueError:
        return {}


_ADD = {
    "message_start": _Building.start,
    "content_block_start": _Building.start_block,
    "content_block_delta": _Building.add,
    "message_delta": _Building.change,
}
