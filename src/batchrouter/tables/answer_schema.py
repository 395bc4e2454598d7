"""The JSON schema that answers are asked to keep: what is sent of it, and the columns that it gives."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from batchrouter.errors import InputError
from batchrouter.tables.table import Kind

NAME_MAX = 64
_KINDS = {"string": Kind.TEXT, "integer": Kind.WHOLE, "number": Kind.NUMBER, "boolean": Kind.TRUTH}


@dataclass(frozen=True, slots=True)
class AnswerSchema:
    """`columns`: top-level properties and what they hold. `strict`: whether it keeps the rules that OpenAI's strict
    mode has for schemas: all properties required, no others allowed ("Structured model outputs", supported schemas)."""

    name: str
    schema: dict[str, Any]
    columns: dict[str, Kind]
    strict: bool


def read_schema(path: Path) -> AnswerSchema:
    """Raises `InputError`."""
    try:
        value = msgspec.json.decode(path.read_bytes())
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}") from error
    except (msgspec.DecodeError, RecursionError, ValueError) as error:
        raise InputError(f"{path} is no JSON: {error}") from error
    if not isinstance(value, dict):
        raise InputError(f"{path} is no JSON schema of an object")
    return schema_of(value, path.stem)


def schema_of(schema: dict[str, Any], name: str) -> AnswerSchema:
    title = schema.get("title")
    word = re.sub(r"[^A-Za-z0-9_-]+", "_", title if isinstance(title, str) and title else name).strip("_")
    properties = _root(schema).get("properties")
    columns = {key: _kind(value) for key, value in (properties.items() if isinstance(properties, dict) else ())}
    strict = all(_closed(part) for part in _objects(schema))
    return AnswerSchema(word[:NAME_MAX] or "answer", schema, columns, strict)


def _root(schema: dict[str, Any]) -> dict[str, Any]:
    """Where a schema of a model of pydantic's that contains itself has its properties."""
    reference = schema.get("$ref")
    if not isinstance(reference, str) or "properties" in schema:
        return schema
    for place in ("$defs", "definitions"):
        found = schema.get(place)
        target = found.get(reference.removeprefix(f"#/{place}/")) if isinstance(found, dict) else None
        if isinstance(target, dict):
            return target
    return schema


def _kind(property: object) -> Kind:
    kind = property.get("type") if isinstance(property, dict) else None
    if isinstance(kind, list):
        others = [each for each in kind if each != "null"]
        kind = others[0] if len(others) == 1 else None
    return _KINDS.get(kind, Kind.JSON) if isinstance(kind, str) else Kind.JSON


def _objects(value: Any) -> Iterator[dict[str, Any]]:
    """Every part of the schema that has properties."""
    waiting = [value]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            if isinstance(value.get("properties"), dict):
                yield value
            waiting += value.values()
        elif isinstance(value, list):
            waiting += value


def _closed(part: dict[str, Any]) -> bool:
    required = part.get("required")
    named = {each for each in required if isinstance(each, str)} if isinstance(required, list) else set()
    return part.get("additionalProperties") is False and named == set(part["properties"])
