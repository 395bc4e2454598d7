"""Messages: OpenAI's list of roles → Anthropic's system blocks and turns of user and assistant."""

from __future__ import annotations

from typing import Any

from batchrouter.providers.anthropic.calls import Calls
from batchrouter.providers.anthropic.draft import Dict, Draft, as_dict, as_list, as_string, refuse
from batchrouter.providers.anthropic.parts import blocks_of, with_cache
from batchrouter.providers.codec import loads
from batchrouter.providers.rules import Unsupported

FILLER = "."
"""Said for a user who has said nothing: Anthropic's first turn must be the user's, and no text may be empty."""


def put_messages(messages: Any, draft: Draft) -> None:
    """Fill `draft.system` and `draft.turns`. Turns of one role are merged, as Anthropic itself would do; in a user's
    turn the results of tools come first, because Anthropic wants them right behind their calls."""
    if not as_list(messages, "messages"):
        refuse("'messages' must hold at least one message.", "messages")
    calls = Calls(draft.ids)
    for number, message in enumerate(messages):
        where = f"messages[{number}]"
        message = as_dict(message, where)
        role = message.get("role")
        if role == "user":
            _say(draft, "user", _spoken(message, where, draft))
        elif role == "system" or role == "developer":
            draft.system += _spoken(message, where, draft)
        elif role == "assistant":
            if draft.turns and draft.turns[-1]["role"] == "user":
                calls.close()
            _say(draft, "assistant", _answered(message, where, number, calls, draft))
        elif role == "tool" or role == "function":
            _say(draft, "user", [_result(message, where, calls, draft)])
        else:
            refuse(f"'{where}.role' must be system, developer, user, assistant, tool or function.", f"{where}.role")
    calls.close()
    _first_is_the_user(draft)
    _last_is_the_user(draft)


def _say(draft: Draft, role: str, blocks: list[Dict]) -> None:
    if not blocks:
        return
    if not draft.turns or draft.turns[-1]["role"] != role:
        draft.turns.append({"role": role, "content": blocks})
        draft.results = 0 if blocks[0]["type"] != "tool_result" else 1
        return
    content = draft.turns[-1]["content"]
    if role == "user" and blocks[0]["type"] == "tool_result":
        content[draft.results : draft.results] = blocks
        draft.results += 1
    else:
        content += blocks


def _spoken(message: Dict, where: str, draft: Draft) -> list[Dict]:
    """What a user or the system says."""
    if message.get("name") is not None:
        draft.leave_out("messages[].name")
    blocks = blocks_of(message.get("content"), f"{where}.content", draft)
    if message["role"] != "user" and any(block["type"] != "text" for block in blocks):
        refuse(f"'{where}.content' may hold nothing but text.", f"{where}.content", "unsupported_value")
    if blocks:
        with_cache(blocks[-1], message)
    return blocks


def _answered(message: Dict, where: str, number: int, calls: Calls, draft: Draft) -> list[Dict]:
    """What the model said earlier: its thinking, its text, its calls."""
    if message.get("audio") is not None:
        refuse(f"'{where}.audio': this model's provider has no audio.", f"{where}.audio", "unsupported_value")
    blocks = _thoughts(message.get("thinking_blocks"))
    blocks += blocks_of(message.get("content"), f"{where}.content", draft)
    blocks += blocks_of(message.get("refusal"), f"{where}.refusal", draft)
    for place, call in enumerate(as_list(message.get("tool_calls") or [], f"{where}.tool_calls")):
        at = f"{where}.tool_calls[{place}]"
        call = as_dict(call, at)
        if call.get("type", "function") != "function":
            refuse(f"'{at}' is no call of a function.", at, "unsupported_value")
        call_id = as_string(call.get("id"), f"{at}.id")
        made = calls.call("tool", call_id, call_id, at)
        blocks.append(with_cache(_call(call.get("function"), made, at, draft), call))
    if message.get("function_call") is not None:  # has no id of its own
        at = f"{where}.function_call"
        name = as_string(as_dict(message["function_call"], at).get("name"), f"{at}.name")
        made = calls.call("function", name, f"function_{number}", at)
        blocks.append(_call(message["function_call"], made, at, draft))
    if blocks and blocks[-1]["type"] in ("text", "tool_use"):
        with_cache(blocks[-1], message)
    return blocks


def _thoughts(value: Any) -> list[Dict]:
    """Thinking that the vendor has signed; it takes back no other."""
    blocks: list[Dict] = []
    for each in value if isinstance(value, list) else []:
        match each:
            case {"type": "thinking", "thinking": str(text), "signature": str(signature)} if signature:
                blocks.append({"type": "thinking", "thinking": text, "signature": signature})
            case {"type": "redacted_thinking", "data": str(data)} if data:
                blocks.append({"type": "redacted_thinking", "data": data})
    return blocks


def _call(function: Any, call_id: str, where: str, draft: Draft) -> Dict:
    function = as_dict(function, where)
    name = as_string(function.get("name"), f"{where}.name")
    text = function.get("arguments")
    try:
        given = loads(text) if isinstance(text, str) and text.strip() else {}
    except (ValueError, RecursionError):
        given = None
    if not isinstance(given, dict):
        refuse(f"'{where}.arguments' must be a JSON object, as text.", f"{where}.arguments")
    return {"type": "tool_use", "id": call_id, "name": draft.tools.fit(name), "input": given}


def _result(message: Dict, where: str, calls: Calls, draft: Draft) -> Dict:
    kind: str = message["role"]
    at = f"{where}.tool_call_id" if kind == "tool" else f"{where}.name"
    named = as_string(message.get("tool_call_id" if kind == "tool" else "name"), at)
    block: Dict = {"type": "tool_result", "tool_use_id": calls.result(kind, named, at)}
    content = message.get("content")
    if isinstance(content, str):
        if content.strip():
            block["content"] = content
    elif blocks := blocks_of(content, f"{where}.content", draft):
        block["content"] = blocks
    return with_cache(block, message)


def _first_is_the_user(draft: Draft) -> None:
    if draft.turns and draft.turns[0]["role"] == "user":
        return
    if draft.policy.unsupported is Unsupported.FAIL:
        refuse("The first message that is not of the system must be of the user.", "messages", "unsupported_value")
    draft.turns.insert(0, {"role": "user", "content": [{"type": "text", "text": FILLER}]})


def _last_is_the_user(draft: Draft) -> None:
    last = draft.turns[-1]
    if last["role"] == "user":
        return
    if not draft.facts.prefill:
        message = "This model does not continue a message of the assistant: the last message must be of the user."
        refuse(message, "messages", "unsupported_value")
    end = last["content"][-1]
    if end["type"] == "text":  # Anthropic refuses a prefill that ends in whitespace
        end["text"] = end["text"].rstrip()
