"""A call to one of the native APIs, and what handlers share in reading it."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs

import msgspec
from msgspec import Struct

from batchrouter.simulator.native.refusal import Refused
from batchrouter.simulator.reply import Reply
from batchrouter.simulator.request import Request
from batchrouter.simulator.spool import Part

JSON_MAX_BYTES = 8_388_608

_json = msgspec.json.Encoder().encode


class Call(Struct):
    """`path` is what follows the API's prefix, as `/files/file-1/content`; `base` where the simulator was reached."""

    method: str
    path: str
    request: Request
    content: Part
    now_s: float
    now_unix: float
    base: str

    def header(self, name: str) -> str | None:
        return self.request.header(name)

    def asked(self, name: str) -> str | None:
        """A parameter of the query; the last one counts."""
        return parse_qs(self.request.query, keep_blank_values=True).get(name, [None])[-1]

    def asked_all(self, name: str) -> list[str]:
        return parse_qs(self.request.query).get(name, [])

    def number(self, name: str, default: int, least: int, most: int) -> int:
        """A number of the query. Raises Refused when it is none, or out of bounds."""
        text = self.asked(name)
        if text is None:
            return default
        if not (text.isascii() and text.isdecimal() and least <= int(text) <= most):
            message = f"Invalid value for '{name}': expected an integer from {least} to {most}."
            raise Refused(400, message, code="invalid_value", param=name)
        return int(text)

    def json(self) -> dict[str, Any]:
        """The body as an object. Raises Refused."""
        if self.content.length > JSON_MAX_BYTES:
            raise Refused(413, f"The body is larger than {JSON_MAX_BYTES} bytes.")
        try:
            value = msgspec.json.decode(self.content.read() or b"{}")
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise Refused(400, "The body of the request is not valid JSON.") from None
        if not isinstance(value, dict):
            raise Refused(400, "The body of the request is no JSON object.")
        return value


def told(value: object, status: int = 200, headers: tuple[tuple[str, str], ...] = ()) -> Reply:
    return Reply(status, _json(value), headers=list(headers))


def downloaded(content: Part | None) -> Reply:
    return Reply(200, b"", "application/octet-stream", file=content)


def wanted(body: dict[str, Any], name: str, kind: type) -> Any:
    """A member that must be there and of this type. Raises Refused."""
    if body.get(name) is None:
        raise Refused(400, f"Missing required parameter: '{name}'.", code="missing_required_parameter", param=name)
    return of_kind(body[name], name, kind)


def of_kind(value: Any, name: str, kind: type) -> Any:
    """Raises Refused when the value is of another type; a bool is no integer."""
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        message = (
            f"Invalid type for '{name}': expected {KINDS[kind]}, but got {KINDS.get(type(value), 'null')} instead."
        )
        raise Refused(400, message, code="invalid_type", param=name)
    return value


KINDS: dict[type, str] = {
    str: "a string",
    int: "an integer",
    float: "a number",
    bool: "a boolean",
    dict: "an object",
    list: "an array",
}


def metadata_of(body: dict[str, Any]) -> dict[str, str] | None:
    """The metadata as OpenAI takes it: at most 16 pairs of strings. Raises Refused."""
    if body.get("metadata") is None:
        return None
    metadata: dict[str, str] = of_kind(body["metadata"], "metadata", dict)
    if len(metadata) > 16:
        raise Refused(
            400, "Invalid 'metadata': at most 16 pairs.", code="object_above_max_properties", param="metadata"
        )
    for name, value in metadata.items():
        of_kind(value, f"metadata.{name}", str)
        if len(name) > 64 or len(value) > 512:
            message = f"Invalid 'metadata.{name[:64]}': a name has at most 64 characters, a value at most 512."
            raise Refused(400, message, code="string_above_max_length", param=f"metadata.{name[:64]}")
    return metadata
