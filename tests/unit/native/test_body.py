"""A body of lines is as long as it says, whatever the lines are, and its source is always closed."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Sequence
from email import message_from_bytes
from typing import Any

import pytest
from aiohttp.abc import AbstractStreamWriter
from hypothesis import given
from hypothesis import strategies as st

from batchrouter.adapters.native.body import PIECE_BYTES, LinesBody, bare_form, form, listed, plain
from batchrouter.adapters.native.payload import LinesPayload, body_of
from batchrouter.errors import NativeUnknown
from batchrouter.ports.native import JobDraft

line_lists = st.lists(st.dictionaries(st.text(max_size=3), st.text(max_size=9), max_size=2), min_size=1, max_size=9)


def draft(lines: Sequence[bytes], /, **members: int) -> JobDraft:
    size = sum(map(len, lines)) + len(lines)
    told: dict[str, Any] = {"lines": len(lines), "bytes": size, **members}
    return JobDraft(tag="job_1", endpoint="/v1/x", model="m", sent_ms=0, window_s=86_400, **told)


async def stream(lines: Sequence[bytes]) -> AsyncIterator[bytes]:
    for line in lines:
        yield line


def whole(body: LinesBody) -> bytes:
    async def read() -> bytes:
        return b"".join([piece async for piece in body.pieces()])

    return asyncio.run(read())


@given(line_lists)
def test_each_form_holds_the_lines_and_knows_its_length(values: list[dict[str, str]]) -> None:
    """A file, an array, a part of a form."""
    lines = [json.dumps(value).encode() for value in values]
    content = b"".join(line + b"\n" for line in lines)
    for make, check in (
        (plain, lambda data: data == content),
        (listed, lambda data: json.loads(data) == {"requests": values}),
    ):
        body = make(draft(lines), stream(lines))
        data = whole(body)
        assert len(data) == body.size
        assert check(data)
    kind, body = form(draft(lines), stream(lines), {"purpose": "batch"})
    data = whole(body)
    assert len(data) == body.size
    assert parts(kind, data) == [("purpose", None, b"batch"), ("file", "job_1.jsonl", content)]


def test_a_form_may_have_no_file() -> None:
    """Together's first step."""
    kind, data = bare_form({"purpose": "batch-api", "file_type": "jsonl"})
    assert parts(kind, data) == [("purpose", None, b"batch-api"), ("file_type", None, b"jsonl")]


def parts(kind: str, data: bytes) -> list[tuple[Any, Any, Any]]:
    """As the standard library reads a form."""
    message = message_from_bytes(b"Content-Type: " + kind.encode() + b"\r\n\r\n" + data)
    return [
        (
            part.get_param("name", header="content-disposition"),
            part.get_filename(),
            part.get_payload(decode=True),
        )
        for part in message.get_payload()
        if not isinstance(part, str)
    ]


def test_lines_travel_together_and_never_all() -> None:
    """Small ones are joined, large ones go as they are."""

    async def sizes(lines: Sequence[bytes]) -> list[int]:
        return [len(piece) async for piece in plain(draft(lines), stream(lines)).pieces()]

    small = asyncio.run(sizes([b"x" * 999] * 1000))
    assert len(small) == 4
    assert max(small) < PIECE_BYTES + 1000
    large = asyncio.run(sizes([b"x" * PIECE_BYTES] * 3))
    assert large == [PIECE_BYTES + 1] * 3 + [0]


@pytest.mark.parametrize("wrong", [{"lines": 1}, {"lines": 3}, {"bytes": 5}, {"bytes": 7}])
def test_lines_that_were_not_announced_are_a_failure(wrong: dict[str, int]) -> None:
    """Fewer, more, longer or shorter than the draft says."""
    body = plain(draft([b"ab", b"cd"], **wrong), stream([b"ab", b"cd"]))
    with pytest.raises(NativeUnknown) as raised:
        whole(body)
    assert not raised.value.sent
    assert body.failure is raised.value


@pytest.mark.parametrize("actual", [[400_000] * 3, [400_000, 400_001], [900_000], [400_000, 1, 1], [100_000] * 9])
def test_a_body_that_is_not_what_was_announced_is_never_whole(actual: list[int]) -> None:
    """However large the lines: the other side must not take the first of them for all."""

    async def sent(body: LinesBody) -> int:
        size = 0
        with contextlib.suppress(NativeUnknown):
            async for piece in body.pieces():
                size += len(piece)
        assert body.failure is not None
        return size

    announced = draft([b"x" * 400_000] * 2)
    lines = [b"x" * size for size in actual]
    for body in (listed(announced, stream(lines)), form(announced, stream(lines), {"purpose": "batch"})[1]):
        assert asyncio.run(sent(body)) < body.size


class Writer(AbstractStreamWriter):
    """Takes pieces until it is told to stand still."""

    def __init__(self, most: int) -> None:
        self.taken: list[bytes] = []
        self.still = asyncio.Event()
        self._most = most

    async def write(self, chunk: Any) -> None:
        self.taken.append(bytes(chunk))
        if len(self.taken) == self._most:
            self.still.set()
            await asyncio.Event().wait()

    async def write_eof(self, chunk: bytes = b"") -> None: ...
    async def drain(self) -> None: ...
    def enable_compression(self, *args: Any) -> None: ...
    def enable_chunking(self) -> None: ...
    async def write_headers(self, *args: Any) -> None: ...


async def test_every_piece_that_is_taken_is_a_sign_of_life() -> None:
    """So that only an upload that stands still runs out of patience."""
    lines = [b"x" * PIECE_BYTES] * 4
    signs: list[int] = []
    writer = Writer(99)
    async with body_of(plain(draft(lines), stream(lines)), lambda: signs.append(len(writer.taken))) as payload:
        assert payload.size == 4 * (PIECE_BYTES + 1)
        await asyncio.create_task(payload.write(writer))  # as aiohttp does
    assert signs == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("where", ["source", "socket"])
async def test_an_upload_that_ends_early_lets_its_source_go(where: str) -> None:
    """Wherever it stood still: nothing reads on behind the caller's back."""
    closed, asked = asyncio.Event(), asyncio.Event()

    async def source() -> AsyncIterator[bytes]:
        try:
            yield b"x" * PIECE_BYTES
            asked.set()
            if where == "source":
                await asyncio.Event().wait()
            yield b"x" * PIECE_BYTES
        finally:
            closed.set()

    writer = Writer(2 if where == "socket" else 99)
    async with asyncio.timeout(5), body_of(plain(draft([b"x" * PIECE_BYTES] * 2), source()), lambda: None) as payload:
        writing = asyncio.create_task(payload.write(writer))
        await (asked if where == "source" else writer.still).wait()
    assert closed.is_set()
    assert writing.cancelled()


def test_a_payload_is_never_taken_as_a_whole() -> None:
    """Not by accident either."""
    with pytest.raises(TypeError):
        LinesPayload(plain(draft([b"a"]), stream([b"a"])), lambda: None).decode()
