"""A provider whose every reply a test writes, and that remembers what it was asked."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from aiohttp import BodyPartReader, web

from batchrouter.adapters.clock import RealClock
from batchrouter.adapters.native import native_api
from batchrouter.adapters.native.caller import Patience
from batchrouter.domain.job import NativeFacts
from batchrouter.ports.clock import Clock
from batchrouter.ports.native import JobDraft, NativeApi

TAG = "job_0123456789abcdef01234567"
KEY = "sk-a-secret-that-nobody-may-see"
CHAT = "/v1/chat/completions"
READ_BYTES = 256 * 1024
LINES = [b'{"custom_id":"%s-%d"}' % (TAG.encode(), number) for number in range(3)]
PATIENCE = Patience(connect_s=5, reply_s=5, stall_s=5)

Reply = web.StreamResponse | dict[str, Any] | list[Any] | bytes | int
Handler = Callable[[web.Request], Reply | Awaitable[Reply]]


@dataclass(frozen=True, slots=True)
class Asked:
    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes
    form: Mapping[str, tuple[str | None, bytes]]
    """File name and content of a form's parts."""


class Provider:
    """`replies` by method and path, each a reply or what makes one. A handler with `reads_itself` reads the body by
    itself. `forget_files`: files in forms are not kept."""

    forget_files = False

    def __init__(self, replies: Mapping[str, Reply | Handler], *, context: ssl.SSLContext | None = None) -> None:
        self.replies = dict(replies)
        self.asked: list[Asked] = []
        self._context = context

    async def __aenter__(self) -> Provider:
        app = web.Application(client_max_size=1 << 30)
        app.router.add_route("*", "/{path:.*}", self._serve)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0, ssl_context=self._context)
        await site.start()
        self.port: int = self._runner.addresses[0][1]
        self.url = f"{'https' if self._context else 'http'}://127.0.0.1:{self.port}"
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()

    def calls(self) -> list[str]:
        return [f"{asked.method} {asked.path}" for asked in self.asked]

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        entry = self.replies.get(f"{request.method} {request.path}", 404)
        body, form = b"", {}
        if request.content_type.startswith("multipart/"):
            async for part in await request.multipart():
                assert isinstance(part, BodyPartReader)
                if self.forget_files and part.filename is not None:
                    while await part.read_chunk(READ_BYTES):
                        pass
                form[part.name or ""] = (part.filename, bytes(await part.read()))
        elif not getattr(entry, "reads_itself", False):
            body = await request.read()
        self.asked.append(Asked(request.method, request.path_qs, request.headers.copy(), body, form))
        reply: Any = entry
        if callable(reply):
            reply = reply(request)
            if isinstance(reply, Awaitable):
                reply = await reply
        if isinstance(reply, web.HTTPException):
            raise reply
        if isinstance(reply, web.StreamResponse):
            return reply
        if isinstance(reply, int):
            return web.json_response({"error": {"code": "a_code", "message": KEY}}, status=reply)
        if isinstance(reply, bytes):
            return web.Response(body=reply)
        return web.json_response(reply)


def api_at(
    url: str,
    facts: NativeFacts | None = None,
    *,
    headers: Mapping[str, str] | None = None,
    clock: Clock | None = None,
    env: Mapping[str, str] | None = None,
    patience: Patience = PATIENCE,
    **tls: Any,
) -> NativeApi:
    return native_api(
        facts or NativeFacts(),
        base_url=url,
        headers={"authorization": f"Bearer {KEY}"} if headers is None else headers,
        clock=clock or RealClock(),
        env=env or {},
        patience=patience,
        **tls,
    )


def draft(lines: Sequence[bytes] = LINES, /, **members: Any) -> JobDraft:
    values: dict[str, Any] = {
        "tag": TAG,
        "endpoint": CHAT,
        "model": "m",
        "lines": len(lines),
        "bytes": sum(map(len, lines)) + len(lines),
        "sent_ms": 1_700_000_000_000,
        "window_s": 86_400,
    }
    return JobDraft(**values | members)


async def stream(lines: Sequence[bytes] = LINES) -> AsyncIterator[bytes]:
    for line in lines:
        yield line


def batch(status: str = "validating", **members: object) -> dict[str, object]:
    """A job in OpenAI's words."""
    return {"id": "batch_1", "object": "batch", "status": status, "created_at": 1_700_000_000, **members}
