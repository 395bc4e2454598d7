"""A script at work: decides what each request gets. Time is given, chance follows from the body: no I/O, no clock.

The order of decisions: rules, then the list of models, then capacity, then the published limits, then the answer. A
rule that names a status or a body decides alone; one that only delays, reshapes or breaks leaves the rest to the rest.
"""

from __future__ import annotations

import fnmatch
import math
import re
from collections.abc import Callable
from email.utils import formatdate
from statistics import NormalDist
from urllib.parse import unquote

import msgspec
import xxhash

from batchrouter.errors import ApiError
from batchrouter.simulator.answers import error_body, model_of, reply_to
from batchrouter.simulator.answers.models import MODELS, answer_models
from batchrouter.simulator.limits import LimitGate
from batchrouter.simulator.reply import Reply
from batchrouter.simulator.script import Fixed, LogNormal, Match, Rule, Script, Then, Uniform
from batchrouter.simulator.shapes import shaped

NORMAL = NormalDist()
ERRORS: dict[int, tuple[str, str | None, str]] = {
    400: ("invalid_request_error", None, "The request cannot be handled."),
    401: ("invalid_request_error", "invalid_api_key", "Incorrect API key provided."),
    403: ("invalid_request_error", "permission_denied", "This key may not use this model."),
    404: ("invalid_request_error", "model_not_found", "The model does not exist."),
    408: ("server_error", "request_timeout", "The request took too long to arrive."),
    409: ("invalid_request_error", "conflict", "The resource was changed by another request."),
    413: ("invalid_request_error", "request_too_large", "The request is too large."),
    429: ("requests", "rate_limit_exceeded", "Rate limit reached."),
    500: ("server_error", None, "The server had an error while processing the request."),
    503: ("server_error", "overloaded", "The engine is overloaded."),
}
CUTTING = frozenset({"close", "close_after_head", "half_body", "hang", "reset", "upgrade"})
"""Faults after which no client has a whole reply."""


class Request(msgspec.Struct):
    """What the decisions look at. `key` is the body's `expected_key`, `query` what followed the `?`."""

    method: str
    path: str
    key: str
    body: bytes
    query: str = ""
    headers: list[tuple[bytes, bytes]] = []
    native: bool = False
    """A line that a batch runs; nobody waits for its reply."""

    def header(self, name: str) -> str | None:
        """The first header of this name (lower case)."""
        wanted = name.encode()
        return next((value.decode("latin-1") for name, value in self.headers if name.lower() == wanted), None)


class RuleAtWork:
    """A rule with its counters."""

    def __init__(self, rule: Rule) -> None:
        self.then = rule.then
        self._match: Match = rule.match
        self._path = glob(rule.match.path)
        self._model = glob(rule.match.model)
        self._contains = rule.match.contains.encode() if rule.match.contains is not None else None
        self._tries: dict[str, int] = {}
        self._seen = 0

    def matches(self, request: Request, model: str, age_s: float) -> bool:
        """Counts the request when it fits all that is not counted."""
        match = self._match
        if match.after_s is not None and age_s < match.after_s:
            return False
        if match.until_s is not None and age_s >= match.until_s:
            return False
        if match.native is not None and match.native is not request.native:
            return False
        if self._path is not None and not self._path(request.path):
            return False
        if self._model is not None and not self._model(model):
            return False
        if self._contains is not None and self._contains not in request.body:
            return False
        if match.first_tries is not None:
            tries = self._tries[request.key] = self._tries.get(request.key, 0) + 1
            if tries > match.first_tries:
                return False
        self._seen += 1
        if match.first is not None and self._seen > match.first:
            return False
        return match.every is None or self._seen % match.every == 0


class Behaviour:
    """`models` are globs, none for any model; `unix_s` is asked only for a Retry-After that is a date."""

    def __init__(self, script: Script, models: tuple[str, ...], now_s: float, unix_s: Callable[[], float]) -> None:
        self.script = script
        self._started_s = now_s
        self._unix_s = unix_s
        self._rules = [RuleAtWork(rule) for rule in script.rules]
        self._model_names = models
        self._models = [one for one in map(glob, models) if one is not None]
        self._limits = LimitGate(script.limits, now_s) if script.limits else None
        latency = script.latency
        self._instant = isinstance(latency, Fixed) and latency.seconds == 0
        self._plain = not (self._rules or self._models or self._limits or script.capacity)

    def decide(self, request: Request, in_flight: int, now_s: float) -> Reply:
        """`in_flight` counts this request too."""
        if self._plain:
            return self._answer(request, 1.0)
        model = model_of(request.body)
        return self._ruled(request, model, now_s, lambda: self._ordinary(request, model, in_flight, now_s))

    def around(self, request: Request, now_s: float, ordinary: Callable[[], Reply]) -> Reply:
        """A request that is no call of a model: the rules decide about it, else `ordinary` does."""
        return self._ruled(request, "", now_s, ordinary) if self._rules else ordinary()

    def run_line(self, request: Request, now_s: float) -> Reply:
        """What a line gets that a batch runs: neither capacity nor limits are in its way, and nobody waits for it.

        Status 0 when a rule's fault would have cut the reply.
        """
        if self._plain:
            reply = self._answer(request, 1.0)
        else:
            model = model_of(request.body)
            reply = self._ruled(
                request, model, now_s, lambda: self._unknown_model(model) or self._answer(request, 1.0), shape=False
            )
        if reply.fault in CUTTING:
            return Reply(0, b"", model=reply.model)
        if reply.content_type == "text/event-stream":
            return self._refusal(400, reply.model, message="Streaming is not supported in a batch.")
        return reply

    def _ruled(
        self, request: Request, model: str, now_s: float, ordinary: Callable[[], Reply], *, shape: bool = True
    ) -> Reply:
        rule = next((rule for rule in self._rules if rule.matches(request, model, now_s - self._started_s)), None)
        if rule is None:
            return ordinary()
        scripted = rule.then.status is not None or rule.then.body is not None
        reply = self._scripted(rule.then, request, model) if scripted else ordinary()
        return self._dressed(reply, rule.then, shape)

    def _unknown_model(self, model: str) -> Reply | None:
        if not self._models or any(serves(model) for serves in self._models):
            return None
        message = f"The model `{model}` does not exist or you do not have access to it."
        return self._refusal(404, model, message=message)

    def _ordinary(self, request: Request, model: str, in_flight: int, now_s: float) -> Reply:
        if request.method != "POST":
            return self._looked_up(request)
        unknown = self._unknown_model(model)
        if unknown is not None:
            return unknown
        capacity = self.script.capacity
        if capacity and capacity.reject_above is not None and in_flight > capacity.reject_above:
            return self._refusal(capacity.reject_status, model, wait_s=capacity.retry_after_s)
        slowness = max(1.0, in_flight / capacity.in_flight) if capacity else 1.0
        reply = self._answer(request, slowness)
        if self._limits is None or reply.status != 200:
            return reply
        refused_by, wait_s = self._limits.take(reply.prompt_tokens + reply.completion_tokens, now_s)
        if refused_by:
            fits = math.isfinite(wait_s)
            message = (
                f"Rate limit reached on {refused_by}." if fits else f"Request too large for the {refused_by} limit."
            )
            reply = self._refusal(429, model, type=refused_by, message=message, wait_s=wait_s if fits else None)
        reply.headers = reply.headers + self._limits.headers()
        return reply

    def _looked_up(self, request: Request) -> Reply:
        """What is no POST costs nothing: the models, or a refusal."""
        try:
            if request.method == "GET" and (request.path == MODELS or request.path.startswith(f"{MODELS}/")):
                found = answer_models(self._model_names, unquote(request.path))
                return Reply(found.status, found.body, model=found.model)
            raise ApiError(405, f"Not allowed to {request.method} on {request.path}.", code="method_not_supported")
        except ApiError as error:
            return Reply(error.status, error_body(error.message, error.type, error.param, error.code))

    def _answer(self, request: Request, slowness: float) -> Reply:
        if request.method != "POST":
            return self._looked_up(request)
        answer = reply_to(request.path, request.key, request.body)
        reply = Reply(
            answer.status,
            answer.body,
            model=answer.model,
            prompt_tokens=answer.prompt_tokens,
            completion_tokens=answer.completion_tokens,
        )
        if answer.stream:
            reply.content_type, reply.fault = "text/event-stream", "chunked"
        if not self._instant and answer.status == 200:
            reply.delay_s = self.latency_s(request.key) * slowness
        return reply

    def _scripted(self, then: Then, request: Request, model: str) -> Reply:
        status = then.status or 200
        if then.body is None and status == 200:
            return self._answer(request, 1.0)
        if then.body is None:
            return self._refusal(status, model, type=then.type, code=then.code, message=then.message)
        body = then.body.encode() if isinstance(then.body, str) else msgspec.json.encode(then.body)
        return Reply(status, body, model=model)

    def _dressed(self, reply: Reply, then: Then, shape: bool = True) -> Reply:
        if then.retry_after_s is not None:
            reply.headers = reply.headers + self._retry_after(then.retry_after_s)
        if then.shape is not None or then.fault is not None:
            reply.load()
        if then.shape is not None and shape:
            reply.body, headers = shaped(reply.body, then.shape, then.size)
            reply.headers = reply.headers + headers
        if then.headers:
            reply.headers = reply.headers + list(then.headers.items())
        if then.delay_s is not None:
            reply.delay_s = then.delay_s
        if then.fault is not None:
            reply.fault, reply.over_s = then.fault, then.over_s
        return reply

    def _refusal(
        self,
        status: int,
        model: str,
        *,
        type: str | None = None,
        code: str | None = None,
        message: str | None = None,
        wait_s: float | None = None,
    ) -> Reply:
        """An error in OpenAI's shape; what is not given is what usually goes with the status."""
        usual = ERRORS.get(status, ERRORS[500] if status >= 500 else ERRORS[400])
        body = error_body(message or usual[2], type or usual[0], None, code if code is not None else usual[1])
        headers = self._retry_after(wait_s) if wait_s is not None else []
        return Reply(status, body, headers=headers, model=model)

    def _retry_after(self, seconds: float) -> list[tuple[str, str]]:
        match self.script.retry_after:
            case "ms":
                return [("retry-after-ms", str(math.ceil(seconds * 1000)))]
            case "http-date":
                return [("retry-after", formatdate(math.ceil(self._unix_s() + seconds), usegmt=True))]
            case _:
                return [("retry-after", str(math.ceil(seconds)))]

    def latency_s(self, key: str) -> float:
        """The time that the body with this key takes: the same in every run with the same seed."""
        latency = self.script.latency
        if isinstance(latency, Fixed):
            return latency.seconds
        chance = (xxhash.xxh3_64_intdigest(key.encode(), self.script.seed & (2**64 - 1)) + 0.5) / 2**64
        if isinstance(latency, Uniform):
            return latency.low + (latency.high - latency.low) * chance
        return _log_normal(latency, chance)


def _log_normal(latency: LogNormal, chance: float) -> float:
    chance = min(max(chance, 1e-12), 1 - 1e-12)
    return min(latency.max, latency.median * math.exp(latency.sigma * NORMAL.inv_cdf(chance)))


def glob(pattern: str | None) -> Callable[[str], object] | None:
    """A test for the pattern, case included; none for no pattern."""
    return re.compile(fnmatch.translate(pattern)).match if pattern is not None else None
