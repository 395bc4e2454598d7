"""JSON Schemas as Anthropic's structured outputs take them: closed objects, few keywords.

What it takes (anthropic 2.11.0, `lib/_parse/_transform.py`, and the vendor's page on structured outputs): the plain
types, enum and const of plain values, anyOf, allOf, local $ref into $defs, required, `additionalProperties: false`,
ten string formats, minItems 0 or 1. Whatever else a schema says is put into its description, where the model reads it.
"""

from __future__ import annotations

from typing import Any, NoReturn

from batchrouter.providers.anthropic.draft import refuse
from batchrouter.providers.codec import dumps

FORMATS = frozenset(("date-time", "time", "date", "duration", "email", "hostname", "uri", "ipv4", "ipv6", "uuid"))
_OF_TYPE = {
    "object": frozenset(
        (
            "properties", "required", "additionalProperties", "patternProperties", "propertyNames", "minProperties",
            "maxProperties", "unevaluatedProperties", "dependentRequired", "dependentSchemas",
        )
    ),
    "array": frozenset(
        (
            "items", "prefixItems", "contains", "minContains", "maxContains", "minItems", "maxItems", "uniqueItems",
            "unevaluatedItems",
        )
    ),
    "string": frozenset(("format", "pattern", "minLength", "maxLength", "contentEncoding", "contentMediaType")),
    "number": frozenset(("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf")),
}  # fmt: skip
_OF_TYPE["integer"] = _OF_TYPE["number"]
_OF_A_TYPE = frozenset().union(*_OF_TYPE.values())
_TYPES = frozenset(("object", "array", "string", "number", "integer", "boolean", "null"))
_SILENT = frozenset(("$schema", "$id", "$comment", "strict"))


def closed_object(schema: Any, where: str) -> dict[str, Any]:
    """As `closed`, for what must be an object: one that only refers to a definition of its own becomes that one."""
    defs = {**_dict(schema.get("definitions")), **_dict(schema.get("$defs"))}
    reference = schema.get("$ref")
    if isinstance(reference, str):
        schema = defs.get(reference.rpartition("/")[2])
        if not isinstance(schema, dict):
            _refuse(where)
        schema = {**schema, "$defs": defs}
    made = closed({"type": "object", **schema}, where)
    if made.get("type") != "object":
        refuse(f"'{where}' must be the JSON Schema of an object.", where)
    return made


def closed(schema: Any, where: str = "schema") -> dict[str, Any]:
    """The schema with nothing but what Anthropic takes. LineRefused, with `where` for its place, for what is none.

    A reference keeps nothing beside it; a type list and oneOf become anyOf; definitions become $defs.
    """
    if schema is True:
        return {}
    if not isinstance(schema, dict):
        _refuse(where)
    given = {key: value for key, value in schema.items() if key not in _SILENT}
    made: dict[str, Any] = {}
    defs = {**_dict(given.pop("definitions", None)), **_dict(given.pop("$defs", None))}
    if defs:
        made["$defs"] = {name: closed(each, where) for name, each in defs.items()}
    reference = given.pop("$ref", None)
    if isinstance(reference, str):
        made["$ref"] = reference.replace("#/definitions/", "#/$defs/", 1)
        return made
    kind = _kind(given.pop("type", None), where)
    if kind is None:
        kind = "object" if "properties" in given else "array" if "items" in given else None
    if isinstance(kind, list) and not _is_literal(given):
        made["anyOf"] = [closed(_as_type(given, each), where) for each in kind]
        given = {key: value for key, value in given.items() if key not in _OF_A_TYPE}
        kind = None
    _put(made, given, kind, where)
    if given:
        told = ", ".join(f"{key}: {dumps(value).decode()}" for key, value in given.items())
        text = made.get("description")
        made["description"] = f"{text} ({told})" if isinstance(text, str) and text else f"({told})"
    return made


def _kind(kind: Any, where: str) -> Any:
    """A type, or several different ones."""
    kinds = kind if isinstance(kind, list) else [kind]
    if kind is not None and (not kinds or not all(isinstance(each, str) and each in _TYPES for each in kinds)):
        _refuse(where)
    kinds = list(dict.fromkeys(kinds))
    return kinds[0] if len(kinds) == 1 else kinds


def _refuse(where: str) -> NoReturn:
    refuse(f"'{where}' is no JSON Schema.", where)


def _put(made: dict[str, Any], given: dict[str, Any], kind: Any, where: str) -> None:
    """Move what Anthropic takes from `given` into `made`; what is left there it does not take."""
    literal = _is_literal(given)
    if literal:
        made.update((key, given.pop(key)) for key in ("enum", "const") if key in given)
    elif kind is not None:
        made["type"] = kind
    for source, target in (("anyOf", "anyOf"), ("oneOf", "anyOf"), ("allOf", "allOf")):
        if isinstance(given.get(source), list) and target not in made:
            made[target] = [closed(each, where) for each in given.pop(source)]
    made.update((key, given.pop(key)) for key in ("title", "description") if isinstance(given.get(key), str))
    if literal:
        return
    if kind == "object":
        members = given.pop("properties", {})
        if not isinstance(members, dict):
            _refuse(where)
        made["properties"] = {name: closed(each, where) for name, each in members.items()}
        if given.get("additionalProperties") in (True, False, {}):
            del given["additionalProperties"]
        made["additionalProperties"] = False
        if "required" in given:
            made["required"] = required = given.pop("required")
            if not isinstance(required, list) or not all(isinstance(name, str) for name in required):
                _refuse(where)
    elif kind == "array":
        if isinstance(given.get("items"), dict | bool):
            made["items"] = closed(given.pop("items"), where)
        if given.get("minItems") in (0, 1):
            made["minItems"] = given.pop("minItems")
    elif kind == "string" and isinstance(given.get("format"), str) and given["format"] in FORMATS:
        made["format"] = given.pop("format")


def _is_literal(given: dict[str, Any]) -> bool:
    """Whether plain values alone say what is allowed; then a type beside them says nothing more."""
    values = given.get("enum")
    if isinstance(values, list) and values:
        return all(_is_plain(value) for value in values)
    return "const" in given and _is_plain(given["const"])


def _is_plain(value: Any) -> bool:
    return value is None or isinstance(value, str | int | float | bool)


def _as_type(given: dict[str, Any], kind: Any) -> dict[str, Any]:
    """The schema for one type of a list of types: only the keywords that say something about it."""
    mine = _OF_TYPE.get(kind, frozenset()) if isinstance(kind, str) else frozenset()
    return {"type": kind, **{key: value for key, value in given.items() if key in mine}}


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
