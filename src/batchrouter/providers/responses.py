"""A Responses request → a chat.completions request, for every provider that has no /v1/responses.

The way back is `responses_reply`. Fields: openai 3.52.0, `types/responses/response_create_params.py` and
`response_input_item_param.py`. Nothing is stored between requests, so whatever refers to an earlier one is refused.
"""

from __future__ import annotations

import base64
import binascii
from typing import Any, NamedTuple, NoReturn

from batchrouter.errors import LineRefused
from batchrouter.providers.codec import dumps, loads

Dict = dict[str, Any]


class Asked(NamedTuple):
    """`echo` is what a response repeats of its request; `dropped` what chat.completions cannot say."""

    chat: Dict
    echo: Dict
    dropped: tuple[str, ...]


_REFUSED = {
    "previous_response_id": "no response is kept between requests: send the earlier items in 'input'",
    "conversation": "no conversation is kept between requests: send the earlier items in 'input'",
    "background": "a batch runs in the background as a whole",
    "prompt": "no prompt is kept here: send its text in 'instructions'",
}
# Said by other words in a chat; the rest of the members is the same.
_TRANSLATED = frozenset(
    (
        "input", "instructions", "max_output_tokens", "reasoning", "text", "tools", "tool_choice", "include",
        "top_logprobs", "metadata", "store", "truncation", "stream", "stream_options",
    )
)  # fmt: skip
_LEFT_OUT = frozenset(("max_tool_calls", "context_management", "moderation", "access_programs", "image"))
_ECHOED = (
    "instructions", "max_output_tokens", "metadata", "parallel_tool_calls", "reasoning", "safety_identifier",
    "temperature", "text", "tool_choice", "tools", "top_p", "user", "prompt_cache_key",
)  # fmt: skip
ENCRYPTED = "reasoning.encrypted_content"
_LOGPROBS = "message.output_text.logprobs"
_MINTED = "batchrouter.1."
"""What our own encrypted reasoning begins with: signed thinking blocks as JSON in base64, which only their maker
takes back."""


def chat_of(body: Dict) -> Asked:
    """The chat request. Raises LineRefused for what a chat cannot do or what is malformed."""
    dropped: list[str] = []
    for name, why in _REFUSED.items():
        if body.get(name) not in (None, False):
            _refuse(f"'{name}' is not supported: {why}.", name, "unsupported_parameter")
    include = _list(body.get("include"), "include")
    messages: list[Dict] = []
    if body.get("instructions") is not None:
        messages.append({"role": "system", "content": _string(body["instructions"], "instructions")})
    messages += _messages(body.get("input"))
    chat: Dict = {"model": body.get("model"), "messages": messages}
    if body.get("max_output_tokens") is not None:
        chat["max_completion_tokens"] = body["max_output_tokens"]
    _put_reasoning(chat, body.get("reasoning"), dropped)
    _put_text(chat, body.get("text"))
    if tools := _list(body.get("tools"), "tools"):
        chat["tools"] = [_tool(tool, f"tools[{n}]") for n, tool in enumerate(tools)]
    if body.get("tool_choice") is not None:
        chat["tool_choice"] = _choice(body["tool_choice"])
    if _LOGPROBS in include or body.get("top_logprobs"):
        chat["logprobs"] = True
        if body.get("top_logprobs") is not None:
            chat["top_logprobs"] = body["top_logprobs"]
    if any(each not in (ENCRYPTED, _LOGPROBS) for each in include):
        dropped.append("include")
    if body.get("truncation") not in (None, "disabled"):
        dropped.append("truncation")
    for name, value in body.items():
        if value is None or name in _TRANSLATED or name in _REFUSED:
            continue
        if name in _LEFT_OUT:
            dropped.append(name)
        else:
            chat[name] = value
    echo = {name: body[name] for name in _ECHOED if body.get(name) is not None}
    if ENCRYPTED in include:
        echo["include"] = [ENCRYPTED]
    return Asked(chat, echo, tuple(dropped))


def minted(thinking_blocks: Any) -> str | None:
    """Signed thinking as `encrypted_content`, which `chat_of` takes back in a later request's input."""
    if not isinstance(thinking_blocks, list) or not thinking_blocks:
        return None
    return _MINTED + base64.b64encode(dumps(thinking_blocks)).decode()


def _unminted(content: Any) -> list[Any]:
    if not isinstance(content, str) or not content.startswith(_MINTED):
        return []
    try:
        blocks = loads(base64.b64decode(content.removeprefix(_MINTED), validate=True))
    except (binascii.Error, ValueError, RecursionError):
        return []
    return blocks if isinstance(blocks, list) else []


def _messages(given: Any) -> list[Dict]:
    """Reasoning, text and calls of one turn are items of their own, but one message of the assistant in a chat."""
    if isinstance(given, str):
        return [{"role": "user", "content": given}]
    messages: list[Dict] = []
    thoughts: list[Any] = []
    if given is None:
        _refuse("Missing required parameter: 'input'.", "input", "missing_required_parameter")
    for number, item in enumerate(_list(given, "input")):
        where = f"input[{number}]"
        item = _dict(item, where)
        kind = item.get("type", "message")
        if kind == "reasoning":
            thoughts += _unminted(item.get("encrypted_content"))
        elif kind == "function_call_output":
            messages.append(_output(item, where))
        elif kind == "function_call":
            message = _assistant(messages, thoughts, open_to_calls=True)
            message.setdefault("tool_calls", []).append(_call(item, where))
        elif kind == "message" and item.get("role") == "assistant":
            _assistant(messages, thoughts)["content"] = _content(item.get("content"), f"{where}.content")
        elif kind == "message":
            content = _content(item.get("content"), f"{where}.content")
            messages.append({"role": item.get("role"), "content": content})
        else:
            _refuse(f"'{where}' is of a type that this model's provider does not take.", where, "unsupported_value")
    return messages


def _assistant(messages: list[Dict], thoughts: list[Any], *, open_to_calls: bool = False) -> Dict:
    """The message of the assistant that the next item belongs to; `thoughts` go into a new one."""
    if open_to_calls and not thoughts and messages and messages[-1]["role"] == "assistant":
        return messages[-1]
    message: Dict = {"role": "assistant", "content": None}
    if thoughts:
        message["thinking_blocks"] = list(thoughts)
        thoughts.clear()
    messages.append(message)
    return message


def _call(item: Dict, where: str) -> Dict:
    function = {"name": _string(item.get("name"), f"{where}.name"), "arguments": item.get("arguments")}
    return {"id": _string(item.get("call_id"), f"{where}.call_id"), "type": "function", "function": function}


def _output(item: Dict, where: str) -> Dict:
    content = _content(item.get("output"), f"{where}.output")
    return {"role": "tool", "tool_call_id": _string(item.get("call_id"), f"{where}.call_id"), "content": content}


def _content(content: Any, where: str) -> Any:
    if content is None or isinstance(content, str):
        return content
    return [_part(_dict(part, f"{where}[{n}]"), f"{where}[{n}]") for n, part in enumerate(_list(content, where))]


def _part(part: Dict, where: str) -> Dict:
    made: Dict
    match part:
        case {"type": "input_text" | "output_text" | "text", "text": str(text)}:
            made = {"type": "text", "text": text}
        case {"type": "input_image", "image_url": str(url)}:
            made = {"type": "image_url", "image_url": {"url": url}}
            if part.get("detail") is not None:
                made["image_url"]["detail"] = part["detail"]
        case {"type": "input_file"}:
            names = ("file_data", "file_id", "file_url", "filename")
            made = {"type": "file", "file": {name: part[name] for name in names if part.get(name) is not None}}
        case {"type": "refusal", "refusal": str(refusal)}:
            made = {"type": "refusal", "refusal": refusal}
        case {"type": "input_audio", "input_audio": dict(audio)}:
            made = {"type": "input_audio", "input_audio": audio}
        case _:
            _refuse(f"'{where}' is of a type that this model's provider does not take.", where, "unsupported_value")
    if isinstance(part.get("cache_control"), dict):
        made["cache_control"] = part["cache_control"]
    return made


def _put_reasoning(chat: Dict, reasoning: Any, dropped: list[str]) -> None:
    for name, value in (_dict(reasoning, "reasoning") if reasoning is not None else {}).items():
        if name == "effort" and value is not None:
            chat["reasoning_effort"] = value
        elif value is not None:
            dropped.append(f"reasoning.{name}")


def _put_text(chat: Dict, text: Any) -> None:
    text = _dict(text, "text") if text is not None else {}
    if text.get("verbosity") is not None:
        chat["verbosity"] = text["verbosity"]
    if text.get("format") is None:
        return
    wanted = _dict(text["format"], "text.format")
    if wanted.get("type") == "json_schema":
        members = {name: value for name, value in wanted.items() if name != "type"}
        chat["response_format"] = {"type": "json_schema", "json_schema": members}
    elif wanted.get("type") != "text":
        chat["response_format"] = wanted


def _tool(tool: Any, where: str) -> Dict:
    """Flat in Responses, nested in a chat."""
    tool = _dict(tool, where)
    if tool.get("type") != "function":
        _refuse(f"'{where}' is no function; this model's provider has no other tools.", where, "unsupported_value")
    function = {
        name: tool[name] for name in ("name", "description", "parameters", "strict") if tool.get(name) is not None
    }
    made: Dict = {"type": "function", "function": function}
    if isinstance(tool.get("cache_control"), dict):
        made["cache_control"] = tool["cache_control"]
    return made


def _choice(choice: Any) -> Any:
    match choice:
        case str():
            return choice
        case {"type": "function", "name": str(name)}:
            return {"type": "function", "function": {"name": name}}
        case {"type": "allowed_tools", "mode": str(mode), "tools": list(tools)}:
            return {
                "type": "allowed_tools",
                "allowed_tools": {"mode": mode, "tools": [_choice(each) for each in tools]},
            }
    _refuse("'tool_choice' may name nothing but functions.", "tool_choice", "unsupported_value")


def _refuse(message: str, param: str, code: str) -> NoReturn:
    raise LineRefused(message, code=code, param=param)


def _string(value: Any, where: str) -> str:
    if not isinstance(value, str):
        _refuse(f"Invalid type for '{where}': expected a string.", where, "invalid_type")
    return value


def _dict(value: Any, where: str) -> Dict:
    if not isinstance(value, dict):
        _refuse(f"Invalid type for '{where}': expected an object.", where, "invalid_type")
    return value


def _list(value: Any, where: str) -> list[Any]:
    if value is None:
        return []
    if not isinstance(value, list):
        _refuse(f"Invalid type for '{where}': expected an array.", where, "invalid_type")
    return value
