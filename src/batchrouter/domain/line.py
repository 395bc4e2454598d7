"""What dispatch does to one line: take it apart, and change its model. No other byte of a body ever changes."""

from __future__ import annotations

import re

import msgspec
from msgspec import Raw

from batchrouter.domain.surrogates import mask
from batchrouter.errors import InputError


class _Parts(msgspec.Struct, gc=False):
    custom_id: Raw
    body: Raw


class _Model(msgspec.Struct, gc=False):
    model: Raw = Raw()


_decode_parts = msgspec.json.Decoder(_Parts).decode
_decode_model = msgspec.json.Decoder(_Model).decode
_decode_members = msgspec.json.Decoder(dict[str, Raw]).decode
_encode = msgspec.json.Encoder().encode

_KEY = b'"model"'
_model_first = re.compile(rb"\s*\{\s*\Z").match
_value_after_key = re.compile(rb'\s*:\s*("(?:[^"\\]|\\.)*+"|null)').match

# `str.splitlines` breaks lines at these three, and people read output files with it.
_SEPARATORS = ((b"\xe2\x80\xa8", b"\\u2028"), (b"\xe2\x80\xa9", b"\\u2029"), (b"\xc2\x85", b"\\u0085"))


def decode_line(raw: bytes) -> tuple[bytes, bytes]:
    """(custom_id, body) of a line that its index record found sound.

    `custom_id` is the JSON string token as it stands, quotes included, except that U+2028, U+2029 and U+0085 are
    escaped, so that it may be written into an output file. `body` is the object's bytes as they stand. InputError if
    these bytes are no sound line: then the input is not the one that was indexed.
    """
    masked = None
    try:
        try:
            parts = _decode_parts(raw)
        except msgspec.DecodeError:
            masked = mask(raw)
            if masked is None:
                raise
            parts = _decode_parts(masked.data)
    except (msgspec.DecodeError, RecursionError) as error:
        raise InputError("An input line is not what its index says; the input file has changed.") from error
    custom_id, body = bytes(parts.custom_id), bytes(parts.body)
    if masked is not None:
        custom_id, body = masked.restore(custom_id), masked.restore(body)
    if not custom_id.isascii():
        for separator, escape in _SEPARATORS:
            custom_id = custom_id.replace(separator, escape)
    return custom_id, body


def splice_model(body: bytes, model: str) -> bytes:
    """`body`, a JSON object, with its top-level `model` set to `model`; every other value keeps its bytes.

    When the key's token stands there once, nothing but the model's value changes. Otherwise the members are written
    anew, each value as it stands, and a key that came twice comes once, with its last value.
    """
    token = _encode(model)
    try:
        return _splice(body, token)
    except msgspec.DecodeError:
        masked = mask(body, token)
        if masked is None:
            raise
        return masked.restore(_splice(masked.data, token))


def _splice(body: bytes, token: bytes) -> bytes:
    place = body.find(_KEY)
    after = place + len(_KEY)
    # A \u006… escape could spell a second `model` with other bytes.
    if place >= 0 and body.find(_KEY, after) < 0 and body.find(b"\\u006") < 0:
        value = _value_after_key(body, after)
        if value and (_model_first(body, 0, place) or _decode_model(body).model):
            return b"".join((body[: value.start(1)], token, body[value.end(1) :]))
    members = _decode_members(body)
    members["model"] = Raw(token)
    return _encode(members)
