"""Errors in Anthropic's envelope.

Types by status: contract, section 8. `error.details.error_code` is there only where a cause has a code of its own, such
as a spend limit.
"""

from __future__ import annotations

import msgspec

from batchrouter.errors import ApiError
from batchrouter.simulator.reply import Reply

TYPES = {
    400: ("invalid_request_error", "The request cannot be handled."),
    401: ("authentication_error", "invalid x-api-key"),
    402: ("billing_error", "Your credit balance is too low to access the API."),
    403: ("permission_error", "Your API key does not have permission to use the specified resource."),
    404: ("not_found_error", "Not found."),
    409: ("conflict_error", "The resource was changed by another request."),
    413: ("request_too_large", "Request exceeds the maximum size."),
    429: ("rate_limit_error", "This request would exceed your rate limit."),
    500: ("api_error", "Internal server error."),
    504: ("timeout_error", "The request timed out."),
    529: ("overloaded_error", "Overloaded"),
}
RAMP_LIMIT = "ramp_limit_exceeded"
"""Usage grew too fast (SDK 2.11, `RampLimitExceededErrorDetails`); what people call the acceleration limit."""


def bad(message: str) -> ApiError:
    return ApiError(400, message)


def missing(what: str) -> ApiError:
    return ApiError(404, what, type="not_found_error")


def error_object(status: int, type: str | None, message: str | None, code: str | None, request_id: str) -> bytes:
    """The envelope; what is None is what usually goes with the status."""
    usual = TYPES.get(status, TYPES[500] if status >= 500 else TYPES[400])
    error: dict[str, object] = {"type": type or usual[0], "message": message or usual[1]}
    if code is not None:
        error["details"] = {"error_code": code}
    return msgspec.json.encode({"type": "error", "error": error, "request_id": request_id})


def request_id(number: int) -> str:
    """The same number as in `x-request-id` and in the log."""
    return f"req_{number:024d}"


def refusal(
    status: int,
    number: int,
    *,
    type: str | None = None,
    message: str | None = None,
    code: str | None = None,
    model: str = "",
) -> Reply:
    """The reply to request `number` of the log."""
    named = request_id(number)
    body = error_object(status, type, message, code, named)
    return Reply(status, body, headers=[("request-id", named)], model=model)


def refusal_of(error: ApiError, number: int, model: str = "") -> Reply:
    """As raised; the type is Anthropic's for the status, whatever OpenAI would say."""
    own = error.type if error.type != "invalid_request_error" or error.status == 400 else None
    return refusal(error.status, number, type=own, message=error.message, code=error.code, model=model)
