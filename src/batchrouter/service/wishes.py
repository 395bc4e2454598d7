"""What a person wishes of a batch beside OpenAI's members: as members of the body, or as strings in its metadata.

Clients that know only OpenAI's members can still send metadata. Neither wins: both, and different, is a mistake.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import TypeVar

from batchrouter.domain.cost import nano_of
from batchrouter.domain.lane_choice import Mode
from batchrouter.domain.priority import BY_WORD, Priority
from batchrouter.errors import ApiError
from batchrouter.service import asked

T = TypeVar("T")

MODES = tuple(mode.value for mode in Mode)
_FLAGS = {"true": True, "false": False}


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """`metadata` as it is kept: a `mode` that came as a member stands in it, where the engine reads it. None: nothing
    was said."""

    metadata: dict[str, str] | None
    max_cost_nano: int | None = None
    max_cost_param: str = "metadata.max_cost"
    """Where it was said."""
    priority: Priority | None = None
    dedupe: bool | None = None
    resume_from: str | None = None

    @classmethod
    def of(cls, body: asked.Body, metadata: dict[str, str] | None) -> Wishes:
        """`metadata` is the body's, or what stands for it."""
        told = metadata or {}
        mode = _either(body, told, "mode", _mode, lambda text, path: text)
        if body.get("mode") is not None and mode is not None:
            metadata = {**told, "mode": mode}
        max_cost = _either(body, told, "max_cost", _dollars, _dollars_of)
        return cls(
            metadata=metadata,
            max_cost_nano=max_cost,
            max_cost_param="metadata.max_cost" if body.get("max_cost") is None else "max_cost",
            priority=_either(body, told, "priority", _priority, _priority),
            dedupe=_either(body, told, "dedupe", _flag, _flag_of),
            resume_from=_either(body, told, "resume_from", _id, _id),
        )


def _either(
    body: asked.Body,
    metadata: Mapping[str, str],
    name: str,
    of_member: Callable[[object, str], T],
    of_text: Callable[[str, str], T],
) -> T | None:
    value, text = body.get(name), metadata.get(name)
    member = None if value is None else of_member(value, name)
    told = None if text is None else of_text(text, f"metadata.{name}")
    if member is not None and told is not None and member != told:
        raise ApiError(
            400,
            f"'{name}' and 'metadata.{name}' say different things. Say it once.",
            param=name,
            code="contradictory_values",
        )
    return told if member is None else member


def _string(value: object, path: str) -> str:
    if not isinstance(value, str):
        raise asked.wrong_type(path, "a string", value)
    return value


def _mode(value: object, path: str) -> str:
    return asked.one_of(_string(value, path), MODES, path)


def _priority(value: object, path: str) -> Priority:
    word = _string(value, path)
    if word not in BY_WORD:
        raise ApiError(
            400,
            f"Invalid '{path}': '{word[:200]}'. Supported values are: 'high', 'normal' and 'low'.",
            param=path,
            code="invalid_priority",
        )
    return BY_WORD[word]


def _flag(value: object, path: str) -> bool:
    if not isinstance(value, bool):
        raise asked.wrong_type(path, "a boolean", value)
    return value


def _flag_of(text: str, path: str) -> bool:
    return _FLAGS[asked.one_of(text, _FLAGS, path)]


def _id(value: object, path: str) -> str:
    return _string(value, path)


def _dollars(value: object, path: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise asked.wrong_type(path, "a number", value)
    return _dollars_of(format(Decimal(repr(value)), "f"), path)


def _dollars_of(text: str, path: str) -> int:
    nano = nano_of(text)
    if nano is None:
        raise ApiError(
            400,
            f"Invalid '{path}': '{text[:200]}' is no sum of dollars between 0 and 1,000,000, such as 12.50.",
            param=path,
            code="invalid_max_cost",
        )
    return nano
