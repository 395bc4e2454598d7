"""Read what a person sent, value by value, and say what is wrong with it in OpenAI's words.

The words, codes and dotted `param`s of a missing parameter, a wrong type and a wrong value were observed on OpenAI's
batch endpoints; those of lengths and ranges follow the form that its other endpoints use.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import TypeAlias

from batchrouter.errors import ApiError

Body: TypeAlias = Mapping[str, object]

METADATA_PAIRS = 16
METADATA_KEY_CHARS = 64
METADATA_VALUE_CHARS = 512
DIGITS = 18
NAME_CHARS = 1_024
"""Longer ids, paths and names are no mistake of typing: they are refused before they reach the store."""

_ID = re.compile(r"[A-Za-z0-9._-]{1,200}")


def text(body: Body, name: str, *, parent: str = "") -> str:
    """A required string."""
    path = _join(parent, name)
    if name not in body:
        raise missing(path)
    value = _string(body[name], path)
    _short_enough(value, NAME_CHARS, path)
    return value


def text_or_none(body: Body, name: str) -> str | None:
    """An optional string; null counts as absent."""
    return None if body.get(name) is None else text(body, name)


def whole_number(body: Body, name: str, low: int, high: int, *, parent: str = "") -> int:
    """A required integer within `low` and `high`."""
    path = _join(parent, name)
    if name not in body:
        raise missing(path)
    value = body[name]
    if isinstance(value, bool) or not isinstance(value, int):
        raise wrong_type(path, "an integer", value)
    return within(value, low, high, path)


def within(value: int, low: int, high: int, path: str) -> int:
    if value < low:
        raise ApiError(
            400,
            f"Invalid '{path}': integer below minimum value. Expected a value >= {low}, but got {value} instead.",
            param=path,
            code="integer_below_min_value",
        )
    if value > high:
        raise ApiError(
            400,
            f"Invalid '{path}': integer above maximum value. Expected a value <= {high}, but got {value} instead.",
            param=path,
            code="integer_above_max_value",
        )
    return value


def digits(value: str, path: str) -> int:
    """A whole number that came as text, in a query or a form field. Of one with very many digits only the first count:
    it lies beyond every bound all the same."""
    if not value.removeprefix("-").isascii() or not value.removeprefix("-").isdigit():
        raise wrong_type(path, "an integer", value)
    return int(value[:DIGITS])


def is_id(value: str) -> bool:
    """Whether this can be the id of anything: so that no odd character reaches a store or a path."""
    return _ID.fullmatch(value) is not None


def one_of(value: str, supported: Iterable[str], path: str) -> str:
    choices = tuple(supported)
    if value not in choices:
        shown = value if len(value) <= 200 else value[:200] + "…"
        raise ApiError(
            400,
            f"Invalid value: '{shown}'. Supported values are: {listed(choices)}.",
            param=path,
            code="invalid_value",
        )
    return value


def listed(choices: Iterable[str]) -> str:
    """`'a'`, `'a' and 'b'`, `'a', 'b', and 'c'`."""
    quoted = [f"'{choice}'" for choice in choices]
    if len(quoted) <= 2:
        return " and ".join(quoted)
    return f"{', '.join(quoted[:-1])}, and {quoted[-1]}"


def metadata(body: Body) -> dict[str, str] | None:
    """Up to 16 pairs of text; null counts as absent, an empty object stays one."""
    value = body.get("metadata")
    if value is None:
        return None
    if not isinstance(value, dict):
        raise wrong_type("metadata", "an object", value)
    if len(value) > METADATA_PAIRS:
        raise ApiError(
            400,
            f"Invalid 'metadata': too many properties. Expected an object with at most {METADATA_PAIRS} properties, "
            f"but got an object with {len(value)} properties instead.",
            param="metadata",
            code="object_above_max_properties",
        )
    for key, item in value.items():
        _short_enough(_string(key, "metadata"), METADATA_KEY_CHARS, "metadata")
        path = f"metadata.{key}"
        _short_enough(_string(item, path), METADATA_VALUE_CHARS, path)
    return value


def expiry(body: Body, name: str, low: int, high: int) -> int | None:
    """Seconds of `{"anchor": "created_at", "seconds": n}`; null counts as absent."""
    value = body.get(name)
    if value is None:
        return None
    if not isinstance(value, dict):
        raise wrong_type(name, "an object", value)
    one_of(text(value, "anchor", parent=name), ("created_at",), f"{name}.anchor")
    return whole_number(value, "seconds", low, high, parent=name)


def missing(path: str) -> ApiError:
    return ApiError(400, f"Missing required parameter: '{path}'.", param=path, code="missing_required_parameter")


def wrong_type(path: str, wanted: str, value: object) -> ApiError:
    return ApiError(
        400,
        f"Invalid type for '{path}': expected {wanted}, but got {_kind(value)} instead.",
        param=path,
        code="invalid_type",
    )


def too_large(what: str, limit: int, param: str | None) -> ApiError:
    return ApiError(413, f"{what} is too large. The maximum is {limit} bytes.", param=param, code="file_too_large")


def _string(value: object, path: str) -> str:
    if not isinstance(value, str):
        raise wrong_type(path, "a string", value)
    if "\x00" in value:
        raise ApiError(400, f"Invalid '{path}': it contains a null character.", param=path, code="invalid_value")
    return value


def _short_enough(value: str, limit: int, path: str) -> None:
    if len(value) > limit:
        raise ApiError(
            400,
            f"Invalid '{path}': string too long. Expected a string with maximum length {limit}, "
            f"but got a string with length {len(value)} instead.",
            param=path,
            code="string_above_max_length",
        )


def _kind(value: object) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "a boolean"
        case int():
            return "an integer"
        case float():
            return "a decimal number"
        case str():
            return "a string"
        case list():
            return "an array"
        case _:
            return "an object"


def _join(parent: str, name: str) -> str:
    return f"{parent}.{name}" if parent else name
