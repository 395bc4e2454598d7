"""A script at work: decides what each request gets. Time is given, chance follows from the body: no I/O, no clock.

The order of decisions: rules, the list of models, waves and capacity, the published limits, then the answer. A
rule that names a status or a body decides alone; one that only delays, reshapes or breaks leaves the rest to the rest.
"""

from __future__ import annotations

import fnmatch
import math
import re
from collections.abc import Callable
from statistics import NormalDist
from urllib.parse import unquote

import msgspec
import xxhash

from batchrouter.errors import ApiError
from batchrouter.simulator.answers import ENDPOINTS, error_body, model_of, reply_to
from batchrouter.simulator.answers.models import MODELS, answer_models
from batchrouter.simulator.anthropic import messages as anthropic
from batchrouter.simulator.anthropic.cache import PromptCache
from batchrouter.simulator.anthropic.surface import VERSION, answer_lookup, answer_message
from batchrouter.simulator.limits import LimitGate, Spent
from batchrouter.simulator.refusals import Refusals, speaks_anthropic
from batchrouter.simulator.reply import Reply
from batchrouter.simulator.request import Request
from batchrouter.simulator.script import Fixed, LogNormal, Match, Rule, Script, Then, Uniform
from batchrouter.simulator.shapes import shaped

NORMAL = NormalDist()
CUTTING = frozenset({"close", "close_after_head", "half_body", "hang", "reset", "upgrade"})
"""Faults after which no client has a whole reply."""


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
    """`models` are globs, none for any model; `unix_s` is asked only for times that headers tell as such."""

    def __init__(self, script: Script, models: tuple[str, ...], now_s: float, unix_s: Callable[[], float]) -> None:
        self.script = script
        self._started_s = now_s
        self._refusals = Refusals(script.retry_after, unix_s)
        self._prompts = PromptCache()
        self._rules = [RuleAtWork(rule) for rule in script.rules]
        self._model_names = models
        self._models = [one for one in map(glob, models) if one is not None]
        self._limits = LimitGate(script.limits, now_s) if script.limits else None
        latency = script.latency
        self._instant = isinstance(latency, Fixed) and latency.seconds == 0
        self._plain = not (self._rules or self._models or self._limits or script.capacity or script.waves)

    def decide(self, request: Request, in_flight: int, now_s: float) -> Reply:
        """`in_flight` counts this request too."""
        if self._plain:
            return self._answer(request, 1.0)
        model = model_of(request.body)
        return self._ruled(request, model, now_s, lambda: self._ordinary(request, model, in_flight, now_s))

    def around(self, request: Request, now_s: float, ordinary: Callable[[], Reply]) -> Reply:
        """A request that is no call of a model: the rules decide about it, else `ordinary` does.

        They do not see its body: a text that they look for is one of a line, not of a file that holds the line.
        """
        if not self._rules:
            return ordinary()
        return self._ruled(msgspec.structs.replace(request, body=b""), "", now_s, ordinary)

    def run_line(self, request: Request, now_s: float) -> Reply:
        """What a line gets that a batch runs: neither capacity nor limits are in its way, and nobody waits for it.

        Status 0 when a rule's fault would have cut the reply.
        """
        if self._plain:
            reply = self._answer(request, 1.0)
        else:
            model = model_of(request.body)
            reply = self._ruled(
                request,
                model,
                now_s,
                lambda: self._unknown_model(request, model) or self._answer(request, 1.0),
                shape=False,
            )
        if reply.fault in CUTTING:
            return Reply(0, b"", model=reply.model)
        if reply.content_type == "text/event-stream":
            return self._refusals.made(request, 400, reply.model, message="Streaming is not supported in a batch.")
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

    def serves(self, model: str) -> bool:
        """Whether there is a model of this name."""
        return not self._models or any(serves(model) for serves in self._models)

    def retry_after(self, seconds: float) -> list[tuple[str, str]]:
        """The header that tells this time to wait, in the script's own way."""
        return self._refusals.retry_after(seconds)

    def _unknown_model(self, request: Request, model: str) -> Reply | None:
        if self.serves(model):
            return None
        message = f"The model `{model}` does not exist or you do not have access to it."
        if speaks_anthropic(request):
            message = f"model: {model}"
        return self._refusals.made(request, 404, model, message=message)

    def _ordinary(self, request: Request, model: str, in_flight: int, now_s: float) -> Reply:
        if request.method != "POST":
            return self._looked_up(request)
        unknown = self._unknown_model(request, model)
        if unknown is not None:
            return unknown
        refused, slowness = self._crowded(request, model, in_flight, now_s)
        if refused is not None:
            return refused
        reply = self._answer(request, slowness)
        gate = self._limits
        if gate is None or reply.status != 200:
            return reply
        refused_by, wait_s = gate.take(Spent(reply.prompt_tokens, reply.completion_tokens, reply.cached_tokens), now_s)
        if refused_by:
            reply = self._refusals.limited(request, model, gate, refused_by, wait_s)
        reply.headers = reply.headers + self._refusals.told(request, gate)
        return reply

    def _crowded(self, request: Request, model: str, in_flight: int, now_s: float) -> tuple[Reply | None, float]:
        """What waves and capacity say: a refusal, or by how much an answer takes longer."""
        capacity, waves = self.script.capacity, self.script.waves
        fraction = 1.0
        if waves is not None and waves.at(now_s - self._started_s):
            fraction = waves.fraction
            most = (capacity.reject_above or capacity.in_flight) if capacity is not None else 0
            if in_flight > most * fraction:
                return self._refusals.made(request, waves.status, model, wait_s=waves.retry_after_s), 1.0
        if capacity is None:
            return None, 1.0
        if capacity.reject_above is not None and in_flight > capacity.reject_above:
            status, wait_s = capacity.reject_status, capacity.retry_after_s
            return self._refusals.made(request, status, model, wait_s=wait_s), 1.0
        return None, max(1.0, in_flight / (capacity.in_flight * fraction))

    def _looked_up(self, request: Request) -> Reply:
        """What is no POST costs nothing: the models, or a refusal."""
        if speaks_anthropic(request):
            return self._looked_up_at_anthropic(request)
        try:
            if request.method == "GET" and (request.path == MODELS or request.path.startswith(f"{MODELS}/")):
                found = answer_models(self._model_names, unquote(request.path))
                return Reply(found.status, found.body, model=found.model)
            raise ApiError(405, f"Not allowed to {request.method} on {request.path}.", code="method_not_supported")
        except ApiError as error:
            return Reply(error.status, error_body(error.message, error.type, error.param, error.code))

    def _looked_up_at_anthropic(self, request: Request) -> Reply:
        if request.method == "GET" and request.path.startswith(MODELS):
            version = request.header(VERSION)
            return answer_lookup(request.number, self._model_names, request.path, request.query, version)
        status = 405 if request.path == anthropic.PATH else 404
        type = "invalid_request_error" if status == 405 else None
        message = f"{request.method} {request.path}: there is nothing of this kind."
        return self._refusals.made(request, status, "", type=type, message=message)

    def _answer(self, request: Request, slowness: float) -> Reply:
        if request.method != "POST":
            return self._looked_up(request)
        if request.path not in ENDPOINTS and speaks_anthropic(request):
            return self._said_by_claude(request, slowness)
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

    def _said_by_claude(self, request: Request, slowness: float) -> Reply:
        if request.path != anthropic.PATH:
            return self._looked_up_at_anthropic(request)
        version = request.header(VERSION)
        reply = answer_message(
            request.number, request.key, request.body, version, self._prompts, batched=request.native
        )
        if not self._instant and reply.status == 200:
            reply.delay_s = self.latency_s(request.key) * slowness
        return reply

    def _scripted(self, then: Then, request: Request, model: str) -> Reply:
        status = then.status or 200
        if then.body is None and status == 200:
            return self._answer(request, 1.0)
        if then.body is None:
            return self._refusals.made(request, status, model, type=then.type, code=then.code, message=then.message)
        body = then.body.encode() if isinstance(then.body, str) else msgspec.json.encode(then.body)
        return Reply(status, body, model=model)

    def _dressed(self, reply: Reply, then: Then, shape: bool = True) -> Reply:
        if then.retry_after_s is not None:
            reply.headers = reply.headers + self._refusals.retry_after(then.retry_after_s)
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
