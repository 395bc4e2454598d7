"""The schema that a request asks its answer to keep, and the texts of an answer that must keep it.

Facts: openai 3.52.0 (`response_format_json_schema`, `response_format_text_json_schema_config`,
`chat_completion_message`, `response_output_message`) and anthropic 2.11.0 (`output_format`, `output_config`).
"""

from __future__ import annotations

import msgspec

CHAT = "/v1/chat/completions"
RESPONSES = "/v1/responses"
MESSAGES = "/v1/messages"
MEMBERS = {CHAT: b'"response_format"', RESPONSES: b'"format"', MESSAGES: b'"output_'}
"""What a body that asks has in it. Sought from the end: the longer the word, the quicker, and bodies are long."""
OBJECT = b'{"type":"object"}'
"""What a request without a schema asks for with `json_object`."""
_NONE = msgspec.Raw()


class _Schema(msgspec.Struct, gc=False):
    schema: msgspec.Raw = _NONE


class _Format(msgspec.Struct, gc=False):
    type: str = ""
    json_schema: _Schema | None = None
    schema: msgspec.Raw = _NONE


class _Text(msgspec.Struct, gc=False):
    format: _Format | None = None


class _Chat(msgspec.Struct, gc=False):
    response_format: _Format | None = None


class _Response(msgspec.Struct, gc=False):
    text: _Text | None = None


class _Messages(msgspec.Struct, gc=False):
    output_format: _Format | None = None
    output_config: _Text | None = None


_decode_chat = msgspec.json.Decoder(_Chat).decode
_decode_response = msgspec.json.Decoder(_Response).decode
_decode_messages = msgspec.json.Decoder(_Messages).decode


def schema_asked(endpoint: str, body: bytes) -> bytes | None:
    """The schema as it stands in a line's body; None where it asks for none, or in a form that its upstream will
    refuse. Costs one search where there is nothing to find."""
    member = MEMBERS.get(endpoint)
    if member is None or body.rfind(member) < 0:
        return None
    try:
        if endpoint == CHAT:
            return _of(_decode_chat(body).response_format)
        if endpoint == RESPONSES:
            text = _decode_response(body).text
            return None if text is None else _of(text.format)
        if endpoint == MESSAGES:
            asked = _decode_messages(body)
            config = None if asked.output_config is None else asked.output_config.format
            return _of(asked.output_format if config is None else config)
    except (msgspec.DecodeError, RecursionError):
        return None
    return None


def _of(format: _Format | None) -> bytes | None:
    if format is None:
        return None
    if format.type == "json_object":
        return OBJECT
    if format.type != "json_schema":
        return None
    schema = bytes(format.schema if format.json_schema is None else format.json_schema.schema)
    return schema or None


class _Part(msgspec.Struct, gc=False):
    type: str = ""
    text: str | None = None


class _Message(msgspec.Struct, gc=False):
    content: str | list[_Part] | None = None
    refusal: str | None = None


class _Choice(msgspec.Struct, gc=False):
    message: _Message | None = None


class _Completion(msgspec.Struct, gc=False):
    choices: list[_Choice] = []


class _Item(msgspec.Struct, gc=False):
    type: str = ""
    content: list[_Part] | None = None


class _ResponseBody(msgspec.Struct, gc=False):
    output: list[_Item] = []


class _MessageBody(msgspec.Struct, gc=False):
    content: list[_Part] = []
    stop_reason: str | None = None


_decode_completion = msgspec.json.Decoder(_Completion).decode
_decode_output = msgspec.json.Decoder(_ResponseBody).decode
_decode_message = msgspec.json.Decoder(_MessageBody).decode


def texts_of(endpoint: str, body: bytes) -> list[str]:
    """What must keep the schema: one text for each choice. Without those that have none (a refusal, calls of tools),
    and empty for a body of another shape."""
    try:
        if endpoint == CHAT:
            said = [_said(choice.message) for choice in _decode_completion(body).choices]
        elif endpoint == RESPONSES:
            messages = [item for item in _decode_output(body).output if item.type == "message" and item.content]
            said = [_joined(messages[-1].content, "output_text")] if messages else []
        else:
            message = _decode_message(body)
            said = [None if message.stop_reason == "refusal" else _joined(message.content, "text")]
    except (msgspec.DecodeError, RecursionError):
        return []
    return [text for text in said if text is not None]


def _said(message: _Message | None) -> str | None:
    if message is None or message.refusal is not None:
        return None
    if isinstance(message.content, list):
        return _joined(message.content, "text")
    return message.content


def _joined(parts: list[_Part] | None, type: str) -> str | None:
    texts = [part.text for part in parts or () if part.type == type and part.text is not None]
    return "".join(texts) if texts else None
