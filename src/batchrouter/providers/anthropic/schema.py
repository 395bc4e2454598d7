"""JSON Schemas as Anthropic's structured outputs take them: closed objects, few keywords.

What it takes (anthropic 2.11.0, `lib/_parse/_transform.py`, and the vendor's page on structured outputs): the plain
types, enum and const of plain values, anyOf, allOf, local $ref into $defs, required, `additionalProperties: false`,
ten string formats, minItems 0 or 1. Whatever else a schema says is put into its description, where the model reads it.
"""

from __future__ import annotations

from typing import Any

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
_SILENT = frozenset(("$schema", "$id", "$comment", "strict"))


def closed(schema: Any) -> Any:
    """The schema with nothing but what Anthropic takes. Not a schema, it comes back as it is.

    A reference keeps nothing beside it; a type list and oneOf become anyOf; definitions become $defs.
    """
    if not isinstance(schema, dict):
        return {} if schema is True else schema
    given = {key: value for key, value in schema.items() if key not in _SILENT}
    made: dict[str, Any] = {}
    defs = {**_dict(given.pop("definitions", None)), **_dict(given.pop("$defs", None))}
    if defs:
        made["$defs"] = {name: closed(each) for name, each in defs.items()}
    reference = given.pop("$ref", None)
    if isinstance(reference, str):
        made["$ref"] = reference.replace("#/definitions/", "#/$defs/", 1)
        return made
    kind = given.pop("type", None)
    if isinstance(kind, list) and len(kind) == 1:
        kind = kind[0]
    if kind is None:
        kind = "object" if "properties" in given else "array" if "items" in given else None
    if isinstance(kind, list) and not _is_literal(given):
        made["anyOf"] = [closed(_as_type(given, each)) for each in kind]
        given = {key: value for key, value in given.items() if key not in _OF_A_TYPE}
        kind = None
    _put(made, given, kind)
    if given:
        told = ", ".join(f"{key}: {dumps(value).decode()}" for key, value in given.items())
        text = made.get("description")
        made["description"] = f"{text} ({told})" if isinstance(text, str) and text else f"({told})"
    return made


def _put(made: dict[str, Any], given: dict[str, Any], kind: Any) -> None:
    """Move what Anthropic takes from `given` into `made`; what is left there it does not take."""
    literal = _is_literal(given)
    if literal:
        made.update((key, given.pop(key)) for key in ("enum", "const") if key in given)
    elif kind is not None:
        made["type"] = kind
    for source, target in (("anyOf", "anyOf"), ("oneOf", "anyOf"), ("allOf", "allOf")):
        if isinstance(given.get(source), list) and target not in made:
            made[target] = [closed(each) for each in given.pop(source)]
    made.update((key, given.pop(key)) for key in ("title", "description") if isinstance(given.get(key), str))
    if literal:
        return
    if kind == "object":
        made["properties"] = {name: closed(each) for name, each in _dict(given.pop("properties", None)).items()}
        if given.get("additionalProperties") in (True, False, {}):
            del given["additionalProperties"]
        made["additionalProperties"] = False
        if "required" in given:
            made["required"] = given.pop("required")
    elif kind == "array":
        if isinstance(given.get("items"), dict | bool):
            made["items"] = closed(given.pop("items"))
        if given.get("minItems") in (0, 1):
            made["minItems"] = given.pop("minItems")
    elif kind == "string" and given.get("format") in FORMATS:
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
