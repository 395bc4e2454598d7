"""A Message → a chat.completion, and what it cost."""

from __future__ import annotations

from typing import Any

from batchrouter.domain.outcome import Finish
from batchrouter.domain.tokens import Tokens
from batchrouter.providers.anthropic.draft import Dict
from batchrouter.providers.codec import dumps, loads

_FINISHES = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "pause_turn": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
}
"""By `stop_reason` (anthropic 2.11.0, `types/stop_reason.py`); one that is new is a stop."""
_RECORDED = {
    "stop": Finish.STOP,
    "length": Finish.LENGTH,
    "tool_calls": Finish.TOOL_CALLS,
    "content_filter": Finish.CONTENT_FILTER,
}
_TIERS = {"standard": "default", "batch": "default", "priority": "priority"}
_COUNT_MAX = 0xFFFFFFFF  # a record keeps 32 bits


def is_message(value: Any) -> bool:
    return isinstance(value, dict) and value.get("type") == "message" and isinstance(value.get("content"), list)


def chat_completion(
    message: Dict,
    created: int,
    *,
    tools: dict[str, str] | None = None,
    legacy: bool = False,
    json_object: bool = False,
) -> Dict:
    """The chat.completion for a Message (`is_message`). `created` in unix seconds: a Message has no time of its own.
    The last three are as in `request.Translated`."""
    texts: list[str] = []
    calls: list[Dict] = []
    thoughts: list[Dict] = []
    for block in message["content"]:
        match block:
            case {"type": "text", "text": str(text)}:
                texts.append(text)
            case {"type": "tool_use", "id": str(call_id), "name": str(name)}:
                given = block.get("input")
                function = {"name": (tools or {}).get(name, name), "arguments": dumps(given or {}).decode()}
                calls.append({"id": call_id, "type": "function", "function": function})
            case {"type": "thinking" | "redacted_thinking"}:
                thoughts.append(block)
    text = "".join(texts)
    finish = finish_of(message)
    said: Dict = {"role": "assistant", "content": text, "refusal": None}
    if not texts and (calls or finish == "content_filter"):
        said["content"] = None
    if finish == "content_filter":
        details = message.get("stop_details")
        said["refusal"] = _string(details.get("explanation")) if isinstance(details, dict) else None
    if json_object:
        said["content"] = _without_fence(text)
    if thoughts:
        said["reasoning_content"] = "".join(_text_of(block) for block in thoughts)
        said["thinking_blocks"] = thoughts
    if calls and legacy:
        said["function_call"] = calls[0]["function"]
        finish = "function_call" if finish == "tool_calls" else finish
    elif calls:
        said["tool_calls"] = calls
    usage = message.get("usage")
    made: Dict = {
        "id": _string(message.get("id")) or "chatcmpl-unknown",
        "object": "chat.completion",
        "created": created,
        "model": _string(message.get("model")) or "",
        "choices": [{"index": 0, "message": said, "logprobs": None, "finish_reason": finish}],
        "usage": _usage(message),
    }
    tier = _TIERS.get(str(usage.get("service_tier"))) if isinstance(usage, dict) else None
    if tier is not None:
        made["service_tier"] = tier
    return made


def finish_of(message: Dict) -> str:
    return _FINISHES.get(str(message.get("stop_reason")), "stop")


def recorded_finish(message: Dict) -> Finish:
    return _RECORDED[finish_of(message)]


def tokens_of(message: Dict) -> tuple[Tokens, int]:
    """What a Message used, and how much of its input was written to the prompt cache.

    Anthropic counts cached input apart from `input_tokens` (anthropic 2.11.0, `types/message.py`); ours holds it all.
    """
    usage = message.get("usage")
    if not isinstance(usage, dict):
        return Tokens(), 0
    read, written = _count(usage, "cache_read_input_tokens"), _count(usage, "cache_creation_input_tokens")
    total = min(_count(usage, "input_tokens") + read + written, _COUNT_MAX)
    thinking = _count(usage.get("output_tokens_details"), "thinking_tokens")
    return Tokens(total, read, _count(usage, "output_tokens"), thinking), written


def _usage(message: Dict) -> Dict:
    tokens, written = tokens_of(message)
    return {
        "prompt_tokens": tokens.input,
        "completion_tokens": tokens.output,
        "total_tokens": tokens.input + tokens.output,
        "prompt_tokens_details": {"cached_tokens": tokens.cached, "cache_write_tokens": written},
        "completion_tokens_details": {"reasoning_tokens": tokens.reasoning},
    }


def _count(usage: Any, name: str) -> int:
    value = usage.get(name) if isinstance(usage, dict) else None
    return min(max(value, 0), _COUNT_MAX) if isinstance(value, int) and not isinstance(value, bool) else 0


def _text_of(block: Dict) -> str:
    return _string(block.get("thinking")) or ""


def _string(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _without_fence(text: str) -> str:
    """JSON that was put into a code fence although it was not to be; anything else as it is."""
    outer = text.strip()
    head, line_end, inner = outer.partition("\n")
    if not line_end or head.strip().lower() not in ("```", "```json") or not inner.endswith("```"):
        return text
    inner = inner.removesuffix("```").strip()
    try:
        loads(inner)
    except (ValueError, RecursionError):
        return text
    return inner
