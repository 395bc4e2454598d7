"""`docs/reference/api.md`, and the list of calls in `docs/api.md`: the description that a server gives at
`/openapi.json`."""

from __future__ import annotations

import re
from functools import cache
from typing import Any

from batchrouter.api.openapi import document
from scripts.reference.places import escaped, table

_HEAD = """# Calls and objects

<!-- Made by `make reference` from the API's own description: change it there. -->

Every call with its parameters, bodies and replies, as a server describes them at `/openapi.json` and, for people, at
`/docs`. What they do beyond OpenAI stands in [the API](../api.md), what can go wrong in [errors](../errors.md). Every
call under `/v1` is also under `/api/v1`."""

Call = tuple[str, str, dict[str, Any]]


def calls() -> list[Call]:
    """(method, path, operation) of each, without those that are there a second time."""
    return [
        (method.upper(), path, operation)
        for path, methods in _document()["paths"].items()
        if not path.startswith("/api/")
        for method, operation in methods.items()
    ]


@cache
def _document() -> dict[str, Any]:
    return document("")


def overview() -> str:
    """The table of calls; each leads to what it takes and gives."""
    rows = [
        [f"[`{method} {path}`](reference/api.md#{_anchor(method, path)})", escaped(operation["summary"])]
        for method, path, operation in calls()
    ]
    return table(("call", "what"), rows)


def page() -> str:
    groups: dict[str, list[str]] = {}
    for method, path, operation in calls():
        groups.setdefault(operation["tags"][0], []).append(_call(method, path, operation))
    parts = [_HEAD]
    for group, told in groups.items():
        parts += [f"## {group.capitalize()}", *told]
    parts.append("## Objects")
    parts += [_object(name, schema) for name, schema in sorted(_document()["components"]["schemas"].items())]
    return "\n\n".join(parts) + "\n"


def _anchor(method: str, path: str) -> str:
    return re.sub(r"[^\w\- ]", "", f"{method} {path}".lower()).replace(" ", "-")


def _call(method: str, path: str, operation: dict[str, Any]) -> str:
    parts = [f"### `{method} {path}`", escaped(operation["summary"])]
    rows = [
        [f"`{each['name']}`", each["in"], _type(each["schema"]), escaped(each.get("description", ""))]
        for each in operation.get("parameters", ())
    ]
    if rows:
        parts.append(table(("parameter", "in", "type", "meaning"), rows))
    told = []
    if "requestBody" in operation:
        told.append(f"Body: {_content(operation['requestBody'])}.")
    good = {status: reply for status, reply in operation["responses"].items() if status < "400"}
    told += [f"Reply: {_content(reply)}." for reply in good.values()]
    bad = [status for status in operation["responses"] if status not in good]
    if bad:
        told.append(f"Errors: {', '.join(bad)}.")
    return "\n\n".join([*parts, " ".join(told)])


def _content(part: dict[str, Any]) -> str:
    return " or ".join(
        f"{_type(content['schema'])} as `{media}`" if "$ref" in content["schema"] else f"`{media}`"
        for media, content in part["content"].items()
    )


def _object(name: str, schema: dict[str, Any]) -> str:
    needed = schema.get("required", ())
    rows = [
        [f"`{member}`", _type(kind), "" if member in needed else _default(kind)]
        for member, kind in schema.get("properties", {}).items()
    ]
    parts = [f"### {name}", escaped(schema.get("description", ""))]
    parts.append(table(("member", "type", "default"), rows) if rows else _type(schema))
    return "\n\n".join(part for part in parts if part)


def _default(kind: dict[str, Any]) -> str:
    if "default" not in kind:
        return "left out"
    return f"`{kind['default']}`" if isinstance(kind["default"], (str, int, float)) and kind["default"] != "" else ""


def _type(kind: dict[str, Any]) -> str:
    """A type in a few words, with links to the objects in it."""
    if "$ref" in kind:
        name = kind["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    if "anyOf" in kind:
        types = dict.fromkeys(_type(each) for each in kind["anyOf"])
        return (", or " if any(", " in each for each in types) else " or ").join(types)
    if "enum" in kind:
        return ", ".join(f"`{word}`" for word in kind["enum"])
    if "const" in kind:
        return f"`{kind['const']}`"
    if kind.get("type") == "array":
        return f"list of {_type(kind['items'])}" if kind.get("items") else "list"
    if kind.get("type") == "object" and isinstance(kind.get("additionalProperties"), dict):
        return f"map to {_type(kind['additionalProperties'])}"
    return f"{kind.get('type', 'anything')}{_bounds(kind)}"


def _bounds(kind: dict[str, Any]) -> str:
    least, most = kind.get("minimum"), kind.get("maximum")
    if least is not None and most is not None:
        return f", {least:,} to {most:,}"
    if least is not None:
        return f", at least {least:,}"
    return f", at most {kind['maxLength']:,} characters" if "maxLength" in kind else ""
