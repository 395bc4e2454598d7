"""Take one line of an input file apart, and tell what is wrong with it.

A sound line takes the quick way: typed decoding of the line, then of its body. What that refuses is looked at again,
without the halves of surrogate pairs and without types, to say which member is wrong and what stood there. Whatever
the bytes are, the only exception that leaves this module is `Condemned`; and RecursionError when the caller has all but
used up the stack.
"""

from __future__ import annotations

import re
from array import array
from itertools import accumulate

import msgspec
from msgspec import Raw
from xxhash import xxh3_64_intdigest

from batchrouter.domain.line_errors import MAX_NESTING, JsonType, LineFault
from batchrouter.domain.line_index import IndexFlag
from batchrouter.domain.surrogates import Masked, mask


class Condemned(Exception):
    """A fault was found; nothing more of the line is looked at. Never leaves the indexer."""

    def __init__(self, fault: LineFault, got: JsonType = JsonType.NONE) -> None:
        super().__init__(fault, got)
        self.fault = fault
        self.got = got


class ParsedLine(msgspec.Struct, gc=False):
    """A line's members, of the right types; their values are not judged. `body` may be any JSON value."""

    custom_id: str
    method: str
    url: str
    body: Raw
    provider: str | None = None
    mode: str | None = None


class ParsedBody(msgspec.Struct, gc=False):
    """The members of a body that matter here. What is absent is None or empty; a Raw may still hold null."""

    model: str | None = None
    stream: bool | None = None
    messages: list[Raw] | None = None
    input: Raw = Raw()
    prompt: Raw = Raw()
    tools: Raw = Raw()
    instructions: Raw = Raw()


class _LooseLine(msgspec.Struct, gc=False):
    custom_id: Raw = Raw()
    method: Raw = Raw()
    url: Raw = Raw()
    body: Raw = Raw()
    provider: Raw = Raw()
    mode: Raw = Raw()


class _LooseBody(msgspec.Struct, gc=False):
    model: Raw = Raw()
    stream: Raw = Raw()
    messages: Raw = Raw()
    input: Raw = Raw()
    prompt: Raw = Raw()
    tools: Raw = Raw()
    instructions: Raw = Raw()


class _Message(msgspec.Struct, gc=False):
    role: Raw = Raw()


_decode_line = msgspec.json.Decoder(ParsedLine).decode
_decode_loose_line = msgspec.json.Decoder(_LooseLine).decode
_decode_body = msgspec.json.Decoder(ParsedBody).decode
_decode_loose_body = msgspec.json.Decoder(_LooseBody).decode
_decode_message = msgspec.json.Decoder(_Message).decode
_decode_list = msgspec.json.Decoder(list[Raw]).decode
_decode_str = msgspec.json.Decoder(str).decode

# Matches any message that begins with its role; has a group only if that is a leading role.
_role_first = re.compile(rb'\{\s*"role"\s*:\s*"(?:(system"|developer")|)').match
_LEADING_ROLES = frozenset((b'"system"', b'"developer"'))
_numbers_first = re.compile(rb"\[\s*[-0-9]").match
_decimal_sign = re.compile(rb"[.eE]").search
_strings = re.compile(rb'"(?:[^"\\]++|\\.)*+"', re.DOTALL)

_NOT_BRACKETS = bytes(byte for byte in range(256) if byte not in b"[]{}")
_BRACKET_STEPS = bytes.maketrans(b"[{]}", b"\x01\x01\xff\xff")  # +1 and -1 as signed bytes
# _UNSEEN_HEAD + 2 * _PROBES * _PROBE_BYTES is less than MAX_NESTING.
_UNSEEN_HEAD = 96
_PROBES = 12
_PROBE_BYTES = 16
_JSON_TYPES = {
    b"": JsonType.NONE,
    b"n": JsonType.NULL,
    b"t": JsonType.BOOLEAN,
    b"f": JsonType.BOOLEAN,
    b'"': JsonType.STRING,
    b"[": JsonType.ARRAY,
    b"{": JsonType.OBJECT,
}
_STREAM, _MESSAGES, _INPUT, _PROMPT, _MODE_BATCH, _MODE_REALTIME = (int(flag) for flag in IndexFlag)
_MODES = {"auto": _MODE_BATCH | _MODE_REALTIME, "batch": _MODE_BATCH, "realtime": _MODE_REALTIME}


def json_type(value: Raw) -> JsonType:
    """Of one JSON value; NONE for an absent one."""
    kind = _JSON_TYPES.get(bytes(memoryview(value)[:1]))
    if kind is None:
        return JsonType.DECIMAL if _decimal_sign(value) else JsonType.INTEGER
    return kind


def parse_line(data: bytes) -> ParsedLine:
    """Raises `Condemned`."""
    try:
        if not data.isascii():
            data.decode()  # msgspec accepts invalid UTF-8 in what it skips
        # Decoding recurses. Without a bound of our own it would depend on the caller's stack which lines are sound.
        if len(data) > 2 * MAX_NESTING and _has_many_brackets(data) and _nesting(data) > MAX_NESTING:
            raise Condemned(LineFault.TOO_DEEP)
        try:
            return _decode_line(data)
        except msgspec.ValidationError:
            loose = _decode_loose_line(data)
    except msgspec.ValidationError:
        raise Condemned(LineFault.NOT_AN_OBJECT) from None
    except UnicodeDecodeError:
        raise Condemned(LineFault.INVALID_JSON) from None
    except msgspec.DecodeError:
        masked = mask(data)
        if masked is None:
            raise Condemned(LineFault.INVALID_JSON) from None
        return _parse_masked(masked)
    return _type_line(loose)


def _parse_masked(masked: Masked) -> ParsedLine:
    """A line in which half a surrogate pair stands alone: sound where it is text for the upstream, but no part of a
    name, because names are kept and compared as UTF-8."""
    line = parse_line(masked.data)
    loose = _decode_loose_line(masked.data)
    if any(map(masked.touches, (loose.custom_id, loose.method, loose.url, loose.provider, loose.mode))):
        raise Condemned(LineFault.INVALID_JSON)
    line.body = Raw(masked.restore(bytes(line.body)))
    return line


def _type_line(loose: _LooseLine) -> ParsedLine:
    """What is wrong is told of the first wrong member, in the order in which people write them."""
    custom_id = _require_str(loose.custom_id, LineFault.CUSTOM_ID_MISSING, LineFault.CUSTOM_ID_TYPE)
    method = _require_str(loose.method, LineFault.METHOD_MISSING, LineFault.METHOD_TYPE)
    url = _require_str(loose.url, LineFault.URL_MISSING, LineFault.URL_TYPE)
    provider = None
    if json_type(loose.provider) not in (JsonType.NONE, JsonType.NULL):
        provider = _require_str(loose.provider, LineFault.PROVIDER_TYPE, LineFault.PROVIDER_TYPE)
    mode = None
    if json_type(loose.mode) not in (JsonType.NONE, JsonType.NULL):
        mode = _require_str(loose.mode, LineFault.MODE_TYPE, LineFault.MODE_TYPE)
    if not loose.body:
        raise Condemned(LineFault.BODY_MISSING)
    return ParsedLine(custom_id, method, url, loose.body, provider, mode)


def _require_str(value: Raw, missing: LineFault, wrong_type: LineFault) -> str:
    kind = json_type(value)
    if kind is JsonType.STRING:
        return _decode_str(value)
    if kind is JsonType.NONE:
        raise Condemned(missing)
    raise Condemned(wrong_type, kind)


def parse_body(body: Raw) -> ParsedBody:
    """`body` as it stands in a line that `parse_line` accepted. Raises `Condemned`."""
    try:
        return _decode_body(body)
    except msgspec.ValidationError:
        kind = json_type(body)
    except msgspec.DecodeError:
        masked = mask(bytes(body))
        if masked is None:  # `parse_line` would have refused it
            raise Condemned(LineFault.INVALID_JSON) from None
        parsed = parse_body(Raw(masked.data))
        if masked.touches(_decode_loose_body(masked.data).model):
            raise Condemned(LineFault.INVALID_JSON) from None
        return parsed
    if kind is not JsonType.OBJECT:
        raise Condemned(LineFault.BODY_TYPE, kind)
    loose = _decode_loose_body(body)
    model, stream, messages = json_type(loose.model), json_type(loose.stream), json_type(loose.messages)
    if model not in (JsonType.NONE, JsonType.NULL, JsonType.STRING):
        raise Condemned(LineFault.MODEL_TYPE, model)
    if stream not in (JsonType.NONE, JsonType.NULL, JsonType.BOOLEAN):
        raise Condemned(LineFault.STREAM_TYPE, stream)
    # Messages that are no list are there all the same: the upstream says what is wrong with them.
    there = messages not in (JsonType.NONE, JsonType.NULL)
    return ParsedBody(
        model=_decode_str(loose.model) if model is JsonType.STRING else None,
        stream=bytes(loose.stream) == b"true",
        messages=_decode_list(loose.messages) if messages is JsonType.ARRAY else [] if there else None,
        input=loose.input,
        prompt=loose.prompt,
        tools=loose.tools,
        instructions=loose.instructions,
    )


def mode_flags_of(mode: str) -> int:
    """The `IndexFlag` bits of a line's `mode`. Raises `Condemned` for a word that is none."""
    flags = _MODES.get(mode)
    if flags is None:
        raise Condemned(LineFault.MODE_UNKNOWN)
    return flags


def flags_of(body: ParsedBody) -> int:
    """The body's `IndexFlag` bits."""
    flags = 0 if body.messages is None else _MESSAGES
    if body.stream:
        flags |= _STREAM
    if body.input and json_type(body.input) is not JsonType.NULL:
        flags |= _INPUT
    if body.prompt and json_type(body.prompt) is not JsonType.NULL:
        flags |= _PROMPT
    return flags


def embedding_inputs_of(body: ParsedBody) -> int:
    """A list of numbers is one input, given as tokens; any other list is one input for each element."""
    kind = json_type(body.input)
    if kind is JsonType.ARRAY:
        return 1 if _numbers_first(body.input) else len(_decode_list(body.input))
    return int(kind is JsonType.STRING)


def prefix_hash_of(body: ParsedBody) -> int:
    """Equal for bodies that begin alike for the upstream's prompt cache: by tools, then the leading system and
    developer messages or the instructions. 0 if there is nothing of these."""
    parts = [body.tools] if body.tools else []
    if body.messages:
        for message in body.messages:
            match = _role_first(message)
            if not (match.lastindex if match else _role_of(message) in _LEADING_ROLES):
                break
            parts.append(message)
    if body.instructions:
        parts.append(body.instructions)
    if not parts:
        return 0
    return xxh3_64_intdigest(parts[0] if len(parts) == 1 else b"\n".join(parts))


def _role_of(message: Raw) -> bytes:
    try:
        return bytes(_decode_message(message).role)
    except msgspec.ValidationError:
        return b""


def _has_many_brackets(data: bytes) -> bool:
    """Whether opening brackets are so many that they may nest too deeply; False proves that they are not.

    `find` runs many times quicker than `count`, and most lines have few brackets: so look for them one by one at
    first, and take every byte that is passed over for one.
    """
    for bracket in (b"{", b"["):
        start = _UNSEEN_HEAD
        for _ in range(_PROBES):
            place = data.find(bracket, start)
            if place < 0:
                break
            start = place + _PROBE_BYTES
        else:
            return data.count(b"{") + data.count(b"[") > MAX_NESTING
    return False


def _nesting(data: bytes) -> int:
    """How many levels deep the line goes; for broken JSON a guess."""
    steps = array("b", _strings.sub(b"", data).translate(_BRACKET_STEPS, _NOT_BRACKETS))
    return max(accumulate(steps), default=0)
