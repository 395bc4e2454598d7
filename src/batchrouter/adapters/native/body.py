"""Request bodies made of lines as they come: their length is known beforehand, the whole is never in memory."""

from __future__ import annotations

import secrets
from collections.abc import AsyncGenerator, AsyncIterable, Mapping

from batchrouter.errors import NativeUnknown
from batchrouter.ports.native import JobDraft

PIECE_BYTES = 256 * 1024
"""Lines are joined up to this much for each write to the socket."""


class LinesBody:
    """The draft's lines, each followed by `end` but the last one by `last`, between `before` and `after`.

    `pieces` may be read once. `failure` is what the source of the lines raised while they were read.
    """

    def __init__(
        self, draft: JobDraft, lines: AsyncIterable[bytes], before: bytes, end: bytes, last: bytes, after: bytes
    ) -> None:
        self._draft = draft
        self._lines = lines
        self._before, self._end, self._last, self._after = before, end, last, after
        self.size = len(before) + draft.bytes - draft.lines + len(end) * (draft.lines - 1) + len(last) + len(after)
        self.failure: Exception | None = None

    async def pieces(self) -> AsyncGenerator[bytes, None]:
        """The body in pieces that sum up to `size`: lines that are not what the draft says are a failure, because the
        other side would wait for what is missing, or take a part for the whole. Closes the source."""
        draft = self._draft
        parts, held = [self._before], len(self._before)
        count = size = 0
        lines = aiter(self._lines)
        try:
            async for line in lines:
                count += 1
                size += len(line) + 1
                if count > draft.lines or size > draft.bytes:
                    raise self._unlike()
                end = self._last if count == draft.lines else self._end
                parts += (line, end)
                held += len(line) + len(end)
                if held >= PIECE_BYTES:
                    yield b"".join(parts)
                    parts, held = [], 0
            if count != draft.lines or size != draft.bytes:
                raise self._unlike()
            parts.append(self._after)
            yield b"".join(parts)
        except Exception as error:
            self.failure = error
            raise
        finally:
            if isinstance(lines, AsyncGenerator):
                await lines.aclose()

    def _unlike(self) -> NativeUnknown:
        draft = self._draft
        return NativeUnknown(
            f"the lines of {draft.tag} are not the {draft.lines} lines of {draft.bytes} bytes that were announced; "
            "nothing was submitted",
            sent=False,
        )


def plain(draft: JobDraft, lines: AsyncIterable[bytes]) -> LinesBody:
    """The JSONL file itself."""
    return LinesBody(draft, lines, b"", b"\n", b"\n", b"")


def listed(draft: JobDraft, lines: AsyncIterable[bytes]) -> LinesBody:
    """Anthropic's body: the lines as elements of `requests`."""
    return LinesBody(draft, lines, b'{"requests":[', b",\n", b"", b"]}")


def form(draft: JobDraft, lines: AsyncIterable[bytes], fields: Mapping[str, str]) -> tuple[str, LinesBody]:
    """Content type and body of a multipart form with these fields and the JSONL file after them, named by the tag."""
    boundary = _boundary()
    head = (
        f"{_fields(boundary, fields)}--{boundary}\r\n"
        f'Content-Disposition: form-data; name="file"; filename="{file_name(draft)}"\r\n'
        "Content-Type: application/octet-stream\r\n\r\n"  # what curl sends, and so what every vendor takes
    )
    tail = f"\r\n--{boundary}--\r\n"
    return _kind(boundary), LinesBody(draft, lines, head.encode(), b"\n", b"\n", tail.encode())


def bare_form(fields: Mapping[str, str]) -> tuple[str, bytes]:
    """Content type and body of a multipart form with these fields alone."""
    boundary = _boundary()
    return _kind(boundary), f"{_fields(boundary, fields)}--{boundary}--\r\n".encode()


def file_name(draft: JobDraft) -> str:
    """By which a job can be found whose provider keeps no tag."""
    return f"{draft.tag}.jsonl"


def _boundary() -> str:
    return f"batchrouter-{secrets.token_hex(16)}"


def _kind(boundary: str) -> str:
    return f"multipart/form-data; boundary={boundary}"


def _fields(boundary: str, fields: Mapping[str, str]) -> str:
    return "".join(
        f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
        for name, value in fields.items()
    )
