"""The control plane under /sim/, the health check and the list of models. Only the last is in the log."""

from __future__ import annotations

import fnmatch
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

import msgspec

from batchrouter.errors import ConfigError
from batchrouter.simulator.answers import error_body
from batchrouter.simulator.answers.common import CREATED
from batchrouter.simulator.reply import Reply
from batchrouter.simulator.script import script_from

if TYPE_CHECKING:
    from batchrouter.simulator.server import Simulator

DEFAULT_MODELS = ("sim-large", "sim-small")

_json = msgspec.json.Encoder().encode


def handle(simulator: Simulator, method: str, url: str, body: bytes) -> Reply:
    path, _, query = url.partition("?")
    match method, path:
        case "GET", "/healthz":
            return Reply(200, b'{"status":"ok"}')
        case "GET", "/sim/log":
            since = parse_qs(query).get("since", ["0"])[-1]
            if not (since.isascii() and since.isdecimal()):
                return _bad("`since` is the number of a request: 0 or more.")
            return Reply(200, simulator.log.jsonl(int(since)), "application/x-ndjson")
        case "GET", "/sim/stats":
            return Reply(200, _json(simulator.stats()))
        case "GET", "/sim/script":
            return Reply(200, _json(simulator.script))
        case "POST", "/sim/script":
            try:
                simulator.script = script_from(msgspec.json.decode(body or b"{}"))
            except (ConfigError, msgspec.DecodeError, RecursionError) as error:
                return _bad(str(error))
            return Reply(200, _json(simulator.script))
        case "POST", "/sim/reset":
            simulator.reset()
            return Reply(200, b'{"status":"reset"}')
        case _:
            message = f"The simulator has no {method} {path}."
            return Reply(404, error_body(message, "invalid_request_error", None, "unknown_url"))


def models(globs: tuple[str, ...], path: str) -> Reply:
    """The list of models, or the one that the path names. A glob stands for models but cannot be listed."""
    name = path.removeprefix("/v1/models").removeprefix("/")
    if name:
        if globs and not any(fnmatch.fnmatchcase(name, one) for one in globs):
            message = f"The model `{name}` does not exist."
            return Reply(404, error_body(message, "invalid_request_error", "model", "model_not_found"))
        return Reply(200, _json(_model(name)), model=name)
    listed = [one for one in globs or DEFAULT_MODELS if not any(mark in one for mark in "*?[")]
    return Reply(200, _json({"object": "list", "data": [_model(one) for one in listed]}))


def _model(name: str) -> dict[str, object]:
    return {"id": name, "object": "model", "created": CREATED, "owned_by": "simulator"}


def _bad(message: str) -> Reply:
    return Reply(400, error_body(message, "invalid_request_error", None, "invalid_value"))
