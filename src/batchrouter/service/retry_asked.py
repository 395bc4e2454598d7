"""Read which lines of a batch are to be sent again, and with what in their bodies."""

from __future__ import annotations

from typing import Any

import msgspec

from batchrouter.domain.line_filter import FINISHES, OUTCOMES, UNFINISHED
from batchrouter.errors import ApiError
from batchrouter.service import asked

TEXT_CHARS = 1_000
VALUES_MAX = 10_000
"""Of a list: ids may be many."""
VALUE_CHARS = 512
SET_BYTES = 64 * 1024
FIXED = ("model", "stream")
MEMBERS = (
    "where",
    "set",
    "metadata",
    "completion_window",
    "output_expires_after",
    "max_cost",
    "priority",
    "mode",
    "dedupe",
)
_ENDED = tuple(outcome for outcome in OUTCOMES if outcome != UNFINISHED)
_LISTS: dict[str, tuple[str, ...] | None] = {
    "outcome": _ENDED,
    "finish_reason": tuple(FINISHES),
    "code": None,
    "custom_id": None,
}


def retry_of(body: asked.Body) -> dict[str, Any]:
    """`where` and `set`, checked, as they are stored (`domain.retry_wish`)."""
    # A `where` with a typing mistake, passed over, would send all that failed.
    for name in body:
        asked.one_of(name, MEMBERS, "body")
    wish: dict[str, Any] = {}
    where, changes = _where(body), _changes(body)
    if where:
        wish["where"] = where
    if changes:
        wish["set"] = changes
    return wish


def _where(body: asked.Body) -> dict[str, Any]:
    told = _object(body, "where")
    # A condition with a typing mistake in its name would send other lines than were meant.
    for name in told:
        if name not in _LISTS and name != "text":
            asked.one_of(name, (*_LISTS, "text"), "where")
    where: dict[str, Any] = {}
    for name, supported in _LISTS.items():
        values = told.get(name)
        if values is not None:
            where[name] = _list(values, f"where.{name}", supported)
    text = told.get("text")
    if text is not None:
        where["text"] = _text(text, "where.text", TEXT_CHARS)
        if not text:
            raise _nothing_named("where.text", "a text")
    return where


def _list(values: object, path: str, supported: tuple[str, ...] | None) -> list[str]:
    if not isinstance(values, list):
        raise asked.wrong_type(path, "an array of strings", values)
    if not values:
        raise _nothing_named(path, "at least one value")
    if len(values) > VALUES_MAX:
        raise ApiError(
            400, f"Invalid '{path}': more than {VALUES_MAX} values.", param=path, code="array_above_max_length"
        )
    texts = [str(value) if path == "where.code" and type(value) is int else value for value in values]
    texts = [_text(value, path, VALUE_CHARS) for value in texts]
    return texts if supported is None else [asked.one_of(text, supported, path) for text in texts]


def _nothing_named(path: str, what: str) -> ApiError:
    """What a program found nothing for: no condition at all would send other lines than were meant."""
    return ApiError(400, f"Invalid '{path}': name {what}, or leave it out.", param=path, code="invalid_value")


def _text(value: object, path: str, most: int) -> str:
    if not isinstance(value, str):
        raise asked.wrong_type(path, "a string", value)
    if "\x00" in value:
        raise ApiError(400, f"Invalid '{path}': it contains a null character.", param=path, code="invalid_value")
    if len(value) > most:
        raise ApiError(
            400,
            f"Invalid '{path}': string too long. Expected a string with maximum length {most}, "
            f"but got a string with length {len(value)} instead.",
            param=path,
            code="string_above_max_length",
        )
    return value


def _changes(body: asked.Body) -> dict[str, Any]:
    changes = _object(body, "set")
    for name in FIXED:
        if name in changes:
            raise ApiError(
                400,
                f"Invalid 'set': '{name}' cannot be changed by a retry. Make a batch of a new file.",
                param=f"set.{name}",
                code="invalid_value",
            )
    if len(msgspec.json.encode(changes)) > SET_BYTES:
        raise asked.too_large("'set'", SET_BYTES, "set")
    return changes


def _object(body: asked.Body, name: str) -> dict[str, Any]:
    value = body.get(name)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise asked.wrong_type(name, "an object", value)
    return value
