"""Errors that the script asks for or the limits bring about, in the words of the API that was asked."""

from __future__ import annotations

import math
from collections.abc import Callable
from email.utils import formatdate

from batchrouter.simulator import dialects
from batchrouter.simulator.answers import error_body
from batchrouter.simulator.anthropic import errors as anthropic
from batchrouter.simulator.anthropic.messages import PATH
from batchrouter.simulator.anthropic.models import MODELS
from batchrouter.simulator.anthropic.surface import VERSION
from batchrouter.simulator.dialects import Headers
from batchrouter.simulator.limits import RAMP, LimitGate
from batchrouter.simulator.reply import Reply
from batchrouter.simulator.request import Request
from batchrouter.simulator.script import RetryAfterDialect

ERRORS: dict[int, tuple[str, str | None, str]] = {
    400: ("invalid_request_error", None, "The request cannot be handled."),
    401: ("invalid_request_error", "invalid_api_key", "Incorrect API key provided."),
    402: ("insufficient_quota", "insufficient_quota", "There is no credit left."),
    403: ("invalid_request_error", "permission_denied", "This key may not use this model."),
    404: ("invalid_request_error", "model_not_found", "The model does not exist."),
    408: ("server_error", "request_timeout", "The request took too long to arrive."),
    409: ("invalid_request_error", "conflict", "The resource was changed by another request."),
    413: ("invalid_request_error", "request_too_large", "The request is too large."),
    429: ("requests", "rate_limit_exceeded", "Rate limit reached."),
    500: ("server_error", None, "The server had an error while processing the request."),
    503: ("server_error", "overloaded", "The engine is overloaded."),
    529: ("server_error", "overloaded", "The engine is overloaded."),
}


def speaks_anthropic(request: Request) -> bool:
    """Whether a request is one to Anthropic's API: by its path, or by its version where the path is OpenAI's too."""
    path = request.path
    if path.startswith(MODELS):
        return request.header(VERSION) is not None
    return path.startswith(PATH) and (len(path) == len(PATH) or path[len(PATH)] == "/")


class Refusals:
    """`unix_s` is asked only for times that are told as such."""

    def __init__(self, retry_after: RetryAfterDialect, unix_s: Callable[[], float]) -> None:
        self._retry_after = retry_after
        self._unix_s = unix_s

    def made(
        self,
        request: Request,
        status: int,
        model: str,
        *,
        type: str | None = None,
        code: str | None = None,
        message: str | None = None,
        wait_s: float | None = None,
    ) -> Reply:
        """An error in the shape of the API that was asked; what is not given is what usually goes with the status.

        To Anthropic's `code` is the `error_code` of the details.
        """
        if speaks_anthropic(request):
            reply = anthropic.refusal(status, request.number, type=type, message=message, code=code, model=model)
        else:
            usual = ERRORS.get(status, ERRORS[500] if status >= 500 else ERRORS[400])
            body = error_body(message or usual[2], type or usual[0], None, code if code is not None else usual[1])
            reply = Reply(status, body, model=model)
        if wait_s is not None:
            reply.headers = reply.headers + self.retry_after(wait_s)
        return reply

    def limited(self, request: Request, model: str, gate: LimitGate, refused_by: str, wait_s: float) -> Reply:
        """The 429 of a published limit. One that can never fit is told no time to wait."""
        dialect = self.dialect(request, gate)
        wait = wait_s if math.isfinite(wait_s) else None
        bucket = gate.buckets.get(refused_by)
        message = f"Rate limit reached on {refused_by}."
        if wait is None:
            message = f"Request too large for the {refused_by} limit."
        if dialect == "gemini" and not speaks_anthropic(request):
            wrapped = not request.path.startswith("/v1beta/models/")
            body = dialects.gemini_refusal(refused_by, bucket.limit if bucket else 0, wait, model, wrapped=wrapped)
            reply = Reply(429, body, model=model)
        elif speaks_anthropic(request):
            code = anthropic.RAMP_LIMIT if refused_by == RAMP else None
            reply = anthropic.refusal(429, request.number, message=message, code=code, model=model)
        else:
            type, code = dialects.error_type(dialect, refused_by)
            reply = Reply(429, error_body(message, type or "", None, code), model=model)
        reply.headers = reply.headers + dialects.waiting(dialect, wait, self.retry_after)
        return reply

    def told(self, request: Request, gate: LimitGate) -> Headers:
        """What any answer, refused or not, says about the limits."""
        return dialects.told(gate, self.dialect(request, gate), self._unix_s)

    def dialect(self, request: Request, gate: LimitGate) -> str:
        if gate.dialect != "auto":
            return gate.dialect
        return "anthropic" if speaks_anthropic(request) else "openai"

    def retry_after(self, seconds: float) -> Headers:
        match self._retry_after:
            case "ms":
                return [("retry-after-ms", str(math.ceil(seconds * 1000)))]
            case "http-date":
                return [("retry-after", formatdate(math.ceil(self._unix_s() + seconds), usegmt=True))]
            case _:
                return [("retry-after", str(math.ceil(seconds)))]
