"""Answers of /v1/images/generations and /v1/images/edits: a picture of one pixel that carries the key."""

from __future__ import annotations

import base64
import re
import struct
import zlib

import msgspec

from batchrouter.errors import ApiError
from batchrouter.simulator.answers.common import CREATED, Answer, choices, decode, echo, require, tokens

TOKENS_PER_IMAGE = 272
"""What one picture of low quality and 1024 x 1024 costs as output."""


class ImageRequest(msgspec.Struct, gc=False):
    model: str | None = None
    prompt: str = ""
    n: int | None = None
    response_format: str | None = None


_json = msgspec.json.Encoder().encode
_request = msgspec.json.Decoder(ImageRequest)
_FIELD = re.compile(rb'name="?([A-Za-z_]+)"?')


def answer_image(key: str, body: bytes) -> Answer:
    """The body is JSON, or the multipart form that clients send with a picture to edit."""
    request = _from_form(body) if body.startswith(b"--") else decode(_request, body)
    require(request.prompt, "prompt")
    count = choices(request.n)
    model = request.model or "gpt-image-1"
    revised = echo(key, request.prompt)
    if request.response_format == "url":
        where = {"url": f"http://images.invalid/{key}.png"}
    else:
        where = {"b64_json": base64.b64encode(one_pixel(key)).decode()}
    input_tokens, output_tokens = tokens(request.prompt), count * TOKENS_PER_IMAGE
    usage = {
        "input_tokens": input_tokens,
        "input_tokens_details": {"image_tokens": 0, "text_tokens": input_tokens},
        "output_tokens": output_tokens,
        "output_tokens_details": {"image_tokens": output_tokens, "text_tokens": 0},
        "total_tokens": input_tokens + output_tokens,
    }
    data = [{**where, "revised_prompt": revised}] * count
    return Answer(200, _json({"created": CREATED, "data": data, "usage": usage}), model, input_tokens, output_tokens)


def one_pixel(comment: str) -> bytes:
    """A valid PNG of one grey pixel with a comment."""
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        [
            _chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0)),
            _chunk(b"tEXt", b"Comment\x00" + comment.encode("latin-1")),
            _chunk(b"IDAT", zlib.compress(b"\x00\x80")),
            _chunk(b"IEND", b""),
        ]
    )


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _from_form(body: bytes) -> ImageRequest:
    """The text fields of a multipart form; files are passed over."""
    boundary = body[: body.find(b"\r\n")]
    members: dict[str, str] = {}
    for part in body.split(boundary)[1:-1]:
        head, _, value = part.partition(b"\r\n\r\n")
        field = _FIELD.search(head)
        if field is not None and b"filename" not in head:
            members[field.group(1).decode()] = value.removesuffix(b"\r\n").decode("utf-8", "replace")
    try:
        return msgspec.convert(members, ImageRequest, strict=False)
    except msgspec.ValidationError as error:
        raise ApiError(400, f"The form does not fit this endpoint: {error}", code="invalid_type") from error
