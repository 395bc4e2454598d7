"""Answers of GET /v1/models and GET /v1/models/{model}."""

from __future__ import annotations

import fnmatch

import msgspec

from batchrouter.errors import ApiError
from batchrouter.simulator.answers.common import CREATED, Answer

MODELS = "/v1/models"
DEFAULT_MODELS = ("sim-large", "sim-small")

_json = msgspec.json.Encoder().encode


def answer_models(globs: tuple[str, ...], path: str) -> Answer:
    """The list, or the one that the path names (ApiError 404 when no glob fits). A glob itself cannot be listed."""
    name = path.removeprefix(MODELS).removeprefix("/")
    if not name:
        listed = [one for one in globs or DEFAULT_MODELS if not any(mark in one for mark in "*?[")]
        return Answer(200, _json({"object": "list", "data": [_model(one) for one in listed]}), "")
    if globs and not any(fnmatch.fnmatchcase(name, one) for one in globs):
        raise ApiError(404, f"The model `{name}` does not exist.", param="model", code="model_not_found")
    return Answer(200, _json(_model(name)), name)


def _model(name: str) -> dict[str, object]:
    return {"id": name, "object": "model", "created": CREATED, "owned_by": "simulator"}
