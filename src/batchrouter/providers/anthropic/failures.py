"""Errors of Anthropic → OpenAI's error object, and the code by which the engine decides.

Types and codes: anthropic 2.11.0, `types/shared/error_type.py` and `error_details.py`; status by type: the vendor's
page on errors. A code decides wherever there is one, because the vendor says of its messages that they can change;
what has no code of its own is told by its message, in `_SAID`.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from batchrouter.providers.anthropic.draft import Dict
from batchrouter.providers.codec import dumps


class _Words(NamedTuple):
    type: str
    code: str | None


_TYPES = {
    "invalid_request_error": _Words("invalid_request_error", None),
    "authentication_error": _Words("invalid_request_error", "invalid_api_key"),
    "billing_error": _Words("insufficient_quota", "insufficient_quota"),
    "permission_error": _Words("invalid_request_error", "permission_denied"),
    "not_found_error": _Words("invalid_request_error", "not_found"),
    "conflict_error": _Words("invalid_request_error", "conflict"),
    "request_too_large": _Words("invalid_request_error", "request_too_large"),
    "rate_limit_error": _Words("rate_limit_error", "rate_limit_exceeded"),
    "api_error": _Words("server_error", "server_error"),
    "timeout_error": _Words("server_error", "timeout"),
    "overloaded_error": _Words("server_error", "server_error"),
}
_SPENT = frozenset(
    (
        "enforced_spend_limit_reached",
        "contract_spend_limit_reached",
        "linked_organization_spend_limit_reached",
        "linked_organization_billing_unavailable",
    )
)
_CLOSED = "organization_on_hold"


class Failure(NamedTuple):
    """`body` is in OpenAI's shape; `code` is what `domain.retry` knows it by."""

    body: bytes
    code: str


def failure_of(value: Any) -> Failure | None:
    """The failure in `{"type": "error", "error": {"type", "message", "details"}}`; None for any other shape."""
    error = value.get("error") if isinstance(value, dict) else None
    if not isinstance(error, dict) or not isinstance(error.get("type"), str):
        return None
    kind = error["type"]
    words = _TYPES.get(kind, _Words("invalid_request_error", kind))
    details = error.get("details")
    code = details.get("error_code") if isinstance(details, dict) else None
    message = error["message"] if isinstance(error.get("message"), str) else "The upstream told no reason."
    param = None
    if not isinstance(code, str) or not code:
        shown, decides, param = _said(kind, message, words.code)
    elif code in _SPENT:
        shown, decides = "insufficient_quota", code
    elif code == _CLOSED:
        shown, decides = code, "account_deactivated"  # a 400 that every line would get
    else:
        shown, decides = code, code
    shape = shown if shown == "insufficient_quota" else words.type  # OpenAI's type and code of it are one word
    return Failure(dumps({"error": {"message": message, "type": shape, "param": param, "code": shown}}), decides)


def _said(kind: str, message: str, shown: str | None) -> tuple[str | None, str, str | None]:
    """What people are shown, what decides and the parameter, where there is no code. Only a message tells that a
    prompt is too long, an account without credit, or a model not there."""
    text = message.lower()
    match kind:
        case "invalid_request_error" if "prompt is too long" in text:
            return "context_length_exceeded", "context_length_exceeded", "messages"
        case "invalid_request_error" if "credit balance is too low" in text:
            return "insufficient_quota", "insufficient_quota", None
        case "not_found_error" if "model" in text:
            return "model_not_found", "model_not_found", "model"
        case "not_found_error":
            # A path that is not served, or a file that one line names: only the lane's other answers can tell.
            return shown, "not_found", None
    return shown, kind, None


def no_json(status: int) -> Dict:
    """OpenAI's error for a reply that tells nothing itself."""
    message = f"The upstream answered with status {status} and no JSON."
    return {"error": {"message": message, "type": "server_error", "param": None, "code": None}}
