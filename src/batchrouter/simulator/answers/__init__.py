"""What the simulated models answer: a pure function of path and body, so that a test can know it beforehand."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from batchrouter.errors import ApiError
from batchrouter.simulator.answers.chat import answer_chat, answer_completion
from batchrouter.simulator.answers.common import Answer, expected_key
from batchrouter.simulator.answers.images import answer_image
from batchrouter.simulator.answers.responses import answer_response
from batchrouter.simulator.answers.vectors import answer_embedding, answer_moderation

__all__ = ["ENDPOINTS", "Answer", "answer", "error_body", "expected_key", "model_of", "reply_to"]

ENDPOINTS: dict[str, Callable[[str, bytes], Answer]] = {
    "/v1/chat/completions": answer_chat,
    "/v1/responses": answer_response,
    "/v1/embeddings": answer_embedding,
    "/v1/completions": answer_completion,
    "/v1/moderations": answer_moderation,
    "/v1/images/generations": answer_image,
    "/v1/images/edits": answer_image,
}


class _OnlyModel(msgspec.Struct, gc=False):
    model: str = ""


_only_model = msgspec.json.Decoder(_OnlyModel)


def answer(path: str, body: bytes) -> bytes:
    """The body that the simulator sends for this request when nothing is scripted; an error object for a bad one."""
    return reply_to(path, expected_key(body), body).body


def reply_to(path: str, key: str, body: bytes) -> Answer:
    """As `answer`, with the status and what the log notes. `key` is `expected_key(body)`."""
    endpoint = ENDPOINTS.get(path)
    try:
        if endpoint is None:
            raise ApiError(404, f"Invalid URL (POST {path}).", code="unknown_url")
        return endpoint(key, body)
    except ApiError as error:
        content = error_body(error.message, error.type, error.param, error.code)
        return Answer(error.status, content, model_of(body))


def error_body(message: str, type: str, param: str | None = None, code: str | None = None) -> bytes:
    """OpenAI's error object."""
    return msgspec.json.encode({"error": {"message": message, "type": type, "param": param, "code": code}})


def model_of(body: bytes) -> str:
    """The model that a body names; empty when it names none or is no JSON."""
    try:
        return _only_model.decode(body).model
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return ""
