"""Answers of GET /v1/models and /v1/models/{id} in Anthropic's shape, capabilities included."""

from __future__ import annotations

import fnmatch
import re
from urllib.parse import parse_qs

import msgspec

from batchrouter.errors import ApiError
from batchrouter.simulator.anthropic.errors import bad, missing
from batchrouter.simulator.anthropic.facts import EFFORTS, facts_of, known_models

MODELS = "/v1/models"
PAGE_DEFAULT = 20
PAGE_MAX = 1000
RELEASED = "2026-01-01T00:00:00Z"

_json = msgspec.json.Encoder().encode


def answer_models(globs: tuple[str, ...], path: str, query: str) -> bytes:
    """The page of the list, or the one model that the path names. Raises ApiError 404 or 400.

    With no globs, every model that the simulator has facts of is listed, and any is found by its name.
    """
    name = path.removeprefix(MODELS).removeprefix("/")
    if name:
        if globs and not any(fnmatch.fnmatchcase(name, one) for one in globs):
            raise missing(f"model: {name}")
        return _json(_model(name))
    names = [one for one in globs if not any(mark in one for mark in "*?[")] if globs else list(known_models())
    return _json(page_of([_model(one) for one in names], query))


def page_of(objects: list[dict[str, object]], query: str) -> dict[str, object]:
    """The part of a list that `limit`, `after_id` and `before_id` ask for, with what tells the next. ApiError 400."""
    asked = {name: values[-1] for name, values in parse_qs(query).items()}
    try:
        limit = int(asked.get("limit", PAGE_DEFAULT))
    except ValueError:
        limit = 0
    if not 1 <= limit <= PAGE_MAX:
        raise bad(f"limit: Input should be a valid integer from 1 to {PAGE_MAX}")
    if "after_id" in asked and "before_id" in asked:
        raise bad("Only one of `after_id` and `before_id` may be given.")
    places = {str(one["id"]): place for place, one in enumerate(objects)}
    if "after_id" in asked:
        start = _place(places, asked["after_id"]) + 1
        page, has_more = objects[start : start + limit], start + limit < len(objects)
    elif "before_id" in asked:
        end = _place(places, asked["before_id"])
        page, has_more = objects[max(0, end - limit) : end], end > limit
    else:
        page, has_more = objects[:limit], limit < len(objects)
    ids = [one["id"] for one in page]
    return {
        "data": page,
        "has_more": has_more,
        "first_id": ids[0] if ids else None,
        "last_id": ids[-1] if ids else None,
    }


def _place(places: dict[str, int], cursor: str) -> int:
    place = places.get(cursor)
    if place is None:
        raise ApiError(400, f"Invalid cursor: {cursor}")
    return place


def _model(name: str) -> dict[str, object]:
    facts = facts_of(name)
    thinking = facts.adaptive or facts.budget
    line = re.match(r"claude-(haiku|sonnet|opus|fable|mythos)-", name)
    return {
        "type": "model",
        "id": name,
        "display_name": name.replace("-", " ").title(),
        "created_at": RELEASED,
        "lifecycle": "active",
        "deprecated_at": None,
        "retires_at": None,
        "line": line[1] if line else None,
        "max_input_tokens": facts.max_input_tokens,
        "max_tokens": facts.max_tokens,
        "capabilities": {
            "batch": _can(True),
            "citations": _can(True),
            "code_execution": _can(False),
            "context_management": _can(False),
            "effort": {**_can(bool(facts.efforts)), **{one: _can(one in facts.efforts) for one in EFFORTS}},
            "image_input": _can(True),
            "pdf_input": _can(True),
            "server_tools": {**_can(False), "code_execution": _can(False), "web_search": _can(False)},
            "structured_outputs": _can(facts.structured),
            "thinking": {
                **_can(thinking),
                "types": {
                    "adaptive": _can(facts.adaptive),
                    "between_tools": _can(facts.adaptive and not facts.always_thinks),
                    "disabled": _can(not facts.always_thinks),
                    "enabled": _can(facts.budget),
                },
            },
        },
    }


def _can(supported: bool) -> dict[str, bool]:
    return {"supported": supported}
