"""JSON schemas: which of them structured outputs take, and a value that fits one, made the same way every time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from batchrouter.simulator.anthropic.errors import bad

DEPTH_MAX = 32
VALUES_MAX = 1000
"""A sample has no more values than this: a schema that holds itself twice would else grow without end."""

BOUNDS = (
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "multipleOf",
    "minLength",
    "maxLength",
    "maxItems",
    "uniqueItems",
    "minProperties",
    "maxProperties",
)
FORMATS = {
    "date-time": "2026-01-01T00:00:00Z",
    "time": "00:00:00Z",
    "date": "2026-01-01",
    "duration": "PT1S",
    "email": "a@example.com",
    "hostname": "example.com",
    "uri": "https://example.com/",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
    "uuid": "00000000-0000-4000-8000-000000000000",
    "text": "",
}
"""The formats that are taken (the official client's `transform_schema` keeps these), each with a value of its kind."""


def check_closed(schema: object, place: str, depth: int = 0) -> None:
    """Raises ApiError 400 for a schema that structured outputs do not take: open objects, bounds, unknown formats."""
    if depth > DEPTH_MAX:
        raise bad(f"{place}: the schema is nested too deeply")
    if not isinstance(schema, dict):
        raise bad(f"{place}: Input should be a valid dictionary")
    kind = schema.get("type")
    if kind == "object" and schema.get("additionalProperties") is not False:
        raise bad(f"{place}: For 'object' type, 'additionalProperties' must be explicitly set to false")
    bound = next((name for name in BOUNDS if name in schema), None)
    if bound is not None:
        raise bad(f"{place}: For '{kind}' type, property '{bound}' is not supported")
    if "format" in schema and schema["format"] not in FORMATS:
        raise bad(f"{place}: format '{schema['format']}' is not supported")
    if "definitions" in schema:
        raise bad(f"{place}: 'definitions' is not supported; use '$defs'")
    for name, inner in _inner(schema):
        check_closed(inner, f"{place}.{name}", depth + 1)


def sample(schema: dict[str, Any], text: str) -> Any:
    """A value that fits the schema. The first free string in it is `text`, the others are empty."""
    return _Sampler(schema, text).value(schema, 0)


class _Sampler:
    def __init__(self, root: dict[str, Any], text: str) -> None:
        self._root = root
        self._text = text
        self._values = 0

    def value(self, schema: Any, depth: int) -> Any:
        self._values += 1
        if not isinstance(schema, dict) or depth > DEPTH_MAX or self._values > VALUES_MAX:
            return None
        if "$ref" in schema:
            return self.value(self._resolved(schema["$ref"]), depth + 1)
        if "const" in schema:
            return schema["const"]
        if isinstance(schema.get("enum"), list) and schema["enum"]:
            return schema["enum"][0]
        for name in ("anyOf", "oneOf", "allOf"):
            if isinstance(schema.get(name), list) and schema[name]:
                return self.value(schema[name][0 if depth < 4 else -1], depth + 1)
        kind = schema.get("type")
        match kind[0] if isinstance(kind, list) and kind else kind:
            case "string":
                return self._string(schema.get("format"))
            case "integer" | "number":
                return 1
            case "boolean":
                return True
            case "array":
                return self._items(schema, depth)
            case "object":
                return self._members(schema, depth)
            case _:
                return None

    def _string(self, format: object) -> str:
        if format is not None and format != "text":
            return FORMATS.get(str(format), "")
        text, self._text = self._text, ""
        return text

    def _items(self, schema: dict[str, Any], depth: int) -> list[Any]:
        least = schema.get("minItems")
        count = least if isinstance(least, int) and 0 <= least <= 16 else 1
        return [self.value(schema.get("items"), depth + 1) for _ in range(count)] if "items" in schema else []

    def _members(self, schema: dict[str, Any], depth: int) -> dict[str, Any]:
        """All that are required; the others only near the root, so that a schema of itself comes to an end."""
        members = schema.get("properties")
        required = schema.get("required") or []
        if not isinstance(members, dict):
            return {}
        return {name: self.value(one, depth + 1) for name, one in members.items() if depth < 4 or name in required}

    def _resolved(self, ref: object) -> Any:
        found: Any = self._root
        for part in str(ref).removeprefix("#").strip("/").split("/"):
            if part:
                found = found.get(part) if isinstance(found, dict) else None
        return found


def _inner(schema: dict[str, Any]) -> Iterator[tuple[str, object]]:
    for name in ("properties", "$defs"):
        members = schema.get(name)
        if isinstance(members, dict):
            yield from members.items()
    if "items" in schema:
        yield "items", schema["items"]
    for name in ("anyOf", "oneOf", "allOf"):
        members = schema.get(name)
        if isinstance(members, list):
            yield from ((f"{name}.{index}", one) for index, one in enumerate(members))
