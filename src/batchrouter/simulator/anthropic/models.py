"""Answers of GET /v1/models and /v1/models/{id} in Anthropic's shape, capabilities included."""

from __future__ import annotations

import fnmatch
import re

import msgspec

from batchrouter.simulator.anthropic.errors import missing
from batchrouter.simulator.anthropic.facts import EFFORTS, facts_of, known_models
from batchrouter.simulator.anthropic.paging import page_of

MODELS = "/v1/models"
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
