"""A call that is refused, before it is put into the words of a dialect."""

from __future__ import annotations


class Refused(Exception):
    """`code`, `param` and `type` as OpenAI knows them; other dialects take of them what they have."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        code: str | None = None,
        param: str | None = None,
        type: str = "invalid_request_error",
        retry_after_s: float | None = None,
        headers: tuple[tuple[str, str], ...] = (),
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.code = code
        self.param = param
        self.type = type
        self.retry_after_s = retry_after_s
        self.headers = headers
