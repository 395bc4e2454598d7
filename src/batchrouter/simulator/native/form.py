"""Multipart bodies, `form-data` and `related`, found in place: a part is a stretch of the body and is never copied."""

from __future__ import annotations

import re

from msgspec import Struct

from batchrouter.simulator.native.refusal import Refused
from batchrouter.simulator.spool import Part

PARTS_MAX = 64
HEAD_MAX_BYTES = 16_384
FIELD_MAX_BYTES = 65_536

_parameter = re.compile(r';\s*([A-Za-z0-9*_-]+)=(?:"((?:[^"\\]|\\.)*)"|([^;\s]*))')


class FormPart(Struct):
    """`name` and `filename` are those of its content-disposition; a part without a filename is a field."""

    name: str
    filename: str | None
    content_type: str
    content: Part

    def text(self) -> str:
        if self.content.length > FIELD_MAX_BYTES:
            raise Refused(400, f"The field '{self.name}' is larger than {FIELD_MAX_BYTES} bytes.", param=self.name)
        return self.content.read().decode("utf-8", "replace")


def parts_of(content: Part, content_type: str) -> list[FormPart]:
    """The parts in their order. Raises Refused for a body that is no whole multipart body."""
    boundary = dict(parameters(content_type)).get("boundary", "")
    if not content_type.lower().startswith("multipart/") or not boundary:
        raise Refused(400, "The body must be multipart with a boundary.")
    delimiter = b"\r\n--" + boundary.encode("latin-1")
    parts: list[FormPart] = []
    if content.read(0, len(delimiter) - 2) != delimiter[2:]:
        raise Refused(400, "The body does not begin with its boundary.")
    at = len(delimiter) - 2
    while (after := content.read(at, 2)) != b"--":
        if after != b"\r\n" or len(parts) >= PARTS_MAX:
            raise Refused(400, f"The body is no multipart body of up to {PARTS_MAX} parts.")
        head = content.read(at, HEAD_MAX_BYTES)
        end = head.find(b"\r\n\r\n")
        close = content.find(delimiter, at + end + 2)
        if end < 0 or close < 0:
            raise Refused(400, "The body ends within a part.")
        parts.append(_part(head[2:end], content.part(at + end + 4, max(0, close - at - end - 4))))
        at = close + len(delimiter)
    return parts


def parameters(header: str) -> list[tuple[str, str]]:
    """The parameters of a header's value, names in lower case."""
    found = []
    for name, quoted, bare in _parameter.findall(header):
        found.append((name.lower(), re.sub(r"\\(.)", r"\1", quoted) if quoted else bare))
    return found


def _part(head: bytes, content: Part) -> FormPart:
    headers: dict[str, str] = {}
    for line in head.decode("utf-8", "replace").split("\r\n"):
        name, _, value = line.partition(":")
        headers[name.strip().lower()] = value.strip()
    told = dict(parameters(headers.get("content-disposition", "")))
    return FormPart(
        name=told.get("name", ""),
        filename=told.get("filename"),
        content_type=headers.get("content-type", ""),
        content=content,
    )
