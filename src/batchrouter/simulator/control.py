"""The control plane under /sim/ and the health check. Neither meets the script or leaves a trace in the log."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import parse_qs, unquote

import msgspec

from batchrouter.errors import ConfigError
from batchrouter.simulator.answers import error_body
from batchrouter.simulator.reply import Reply
from batchrouter.simulator.script import script_from

if TYPE_CHECKING:
    from batchrouter.simulator.server import Simulator

STEERING = ("finish", "stall", "expire", "cancel")

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
        case "GET", "/sim/jobs":
            told = simulator.jobs.told(simulator.loop.time(), simulator.log.begun_s)
            return Reply(200, b"".join([_json(one) + b"\n" for one in told]), "application/x-ndjson")
        case "POST", _ if path.startswith("/sim/jobs/"):
            return _steer(simulator, path)
        case _:
            message = f"The simulator has no {method} {path}."
            return Reply(404, error_body(message, "invalid_request_error", None, "unknown_url"))


def _steer(simulator: Simulator, path: str) -> Reply:
    """POST /sim/jobs/{id}/{finish|stall|expire|cancel}: it happens to the job now; the reply is the job after it."""
    job_id, _, verb = path.removeprefix("/sim/jobs/").rpartition("/")
    native = simulator.jobs.get(unquote(job_id))
    if native is None or verb not in STEERING:
        message = f"The simulator has no job '{job_id}', or jobs have no '{verb}': {', '.join(STEERING)}."
        return Reply(404, error_body(message, "invalid_request_error", None, "unknown_url"))
    now_s = simulator.loop.time()
    getattr(native.job, verb)(now_s)
    native.poke()
    return Reply(200, _json(simulator.jobs.told_of(native, now_s, simulator.log.begun_s)))


def _bad(message: str) -> Reply:
    return Reply(400, error_body(message, "invalid_request_error", None, "invalid_value"))
