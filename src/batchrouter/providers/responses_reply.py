"""A chat.completion → a response, with every member that OpenAI's schema requires (openai 3.52.0,
`types/responses/response.py` and `response_usage.py`)."""

from __future__ import annotations

from typing import Any

from batchrouter.providers.codec import dumps
from batchrouter.providers.responses import ENCRYPTED, Dict, minted

_REASONS = {"length": "max_output_tokens", "content_filter": "content_filter"}


def response_of(chat: Dict, echo: Dict) -> Dict:
    """`chat` is a chat.completion, however little it tells; `echo` came with its request (`responses.Asked`). Of
    several choices the first is taken, for a response has one."""
    choices = _dicts(chat.get("choices"))
    choice = choices[0] if choices else {}
    reason = _REASONS.get(str(choice.get("finish_reason")))
    status = "completed" if reason is None else "incomplete"
    stem = str(chat.get("id") or "unknown").removeprefix("chatcmpl-").removeprefix("msg_")
    include = echo.get("include", ())
    text = {"format": {"type": "text"}, **echo.get("text", {})}
    made: Dict = {
        "id": f"resp_{stem}",
        "object": "response",
        "created_at": chat.get("created") or 0,
        "status": status,
        "background": False,
        "error": None,
        "incomplete_details": None if reason is None else {"reason": reason},
        "instructions": echo.get("instructions"),
        "max_output_tokens": echo.get("max_output_tokens"),
        "metadata": echo.get("metadata", {}),
        "model": chat.get("model") or "",
        "output": _items(choice, stem, status, ENCRYPTED in include),
        "parallel_tool_calls": echo.get("parallel_tool_calls", True),
        "previous_response_id": None,
        "reasoning": {"effort": None, "summary": None, **echo.get("reasoning", {})},
        "store": False,
        "temperature": echo.get("temperature", 1.0),
        "text": text,
        "tool_choice": echo.get("tool_choice", "auto"),
        "tools": [_tool(tool) for tool in echo.get("tools", [])],
        "top_p": echo.get("top_p", 1.0),
        "truncation": "disabled",
        "usage": _usage(chat.get("usage")),
        "user": echo.get("user"),
    }
    for name in ("safety_identifier", "prompt_cache_key"):
        if name in echo:
            made[name] = echo[name]
    if chat.get("service_tier") is not None:
        made["service_tier"] = chat["service_tier"]
    return made


def _items(choice: Dict, stem: str, status: str, encrypted: bool) -> list[Dict]:
    said = _dict(choice.get("message"))
    items: list[Dict] = []
    thought = said.get("reasoning_content")
    blocks = minted(said.get("thinking_blocks"))
    if thought or blocks:
        summary = [{"type": "summary_text", "text": thought}] if thought else []
        item: Dict = {"type": "reasoning", "id": f"rs_{stem}", "summary": summary}
        if encrypted:
            item["encrypted_content"] = blocks
        items.append(item)
    content: list[Dict] = []
    if text := _words(said.get("content")):
        content.append(_text(text, said, choice))
    if refusal := _words(said.get("refusal")):
        content.append({"type": "refusal", "refusal": refusal})
    calls = _dicts(said.get("tool_calls"))
    if content or not calls:
        message = content or [_text("", {}, {})]
        items.append(
            {"type": "message", "id": f"msg_{stem}", "status": status, "role": "assistant", "content": message}
        )
    for number, call in enumerate(calls):
        function = _dict(call.get("function"))
        items.append(
            {
                "type": "function_call",
                "id": f"fc_{stem}_{number}",
                "call_id": call.get("id") or f"call_{stem}_{number}",
                "name": _words(function.get("name")),
                "arguments": _arguments(function.get("arguments")),
                "status": "completed",
            }
        )
    return items


def _words(content: Any) -> str:
    """A text, or those of its parts (Mistral's models that think answer in parts)."""
    if isinstance(content, list):
        return "".join(_words(part.get("text")) for part in _dicts(content) if part.get("type") == "text")
    return content if isinstance(content, str) else ""


def _arguments(given: Any) -> str:
    """JSON as text; some servers write the object itself."""
    return given if isinstance(given, str) and given else dumps(given or {}).decode()


def _text(text: str, said: Dict, choice: Dict) -> Dict:
    return {
        "type": "output_text",
        "text": text,
        "annotations": [
            {"type": "url_citation", **note["url_citation"]}
            for note in _dicts(said.get("annotations"))
            if isinstance(note.get("url_citation"), dict)
        ],
        "logprobs": _dict(choice.get("logprobs")).get("content") or [],
    }


def _tool(tool: Any) -> Any:
    """`strict` and `parameters` are required of a tool in a response."""
    return {"strict": None, "parameters": None, **tool} if isinstance(tool, dict) else tool


def _usage(usage: Any) -> Dict | None:
    if not isinstance(usage, dict):
        return None
    before, after = usage.get("prompt_tokens_details"), usage.get("completion_tokens_details")
    tokens_in, tokens_out = _count(usage, "prompt_tokens"), _count(usage, "completion_tokens")
    return {
        "input_tokens": tokens_in,
        "input_tokens_details": {
            "cached_tokens": _count(before, "cached_tokens"),
            "cache_write_tokens": _count(before, "cache_write_tokens"),
        },
        "output_tokens": tokens_out,
        "output_tokens_details": {"reasoning_tokens": _count(after, "reasoning_tokens")},
        "total_tokens": tokens_in + tokens_out,
    }


def _dict(value: Any) -> Dict:
    return value if isinstance(value, dict) else {}


def _dicts(value: Any) -> list[Dict]:
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


def _count(usage: Any, name: str) -> int:
    value = usage.get(name) if isinstance(usage, dict) else None
    return value if isinstance(value, int) else 0
