"""An input on its way to the server: in one body where it is small, in parts that are repeated one by one where it is
not. What an interrupted upload has left at the server is taken away again."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

from batchrouter.bootstrap.local import new_key
from batchrouter.cli.reading import InputRead
from batchrouter.cli.server import Server
from batchrouter.cli.source import Source
from batchrouter.cli.told import FileTold
from batchrouter.errors import BatchRouterError, InputError

PART_BYTES = 8 * 1024 * 1024
"""Kept in memory, to be sent again when the server restarts meanwhile."""
CLEAR_S = 3.0

Advance = Callable[[int], None]


def upload(server: Server, source: Source, read: InputRead) -> FileTold:
    """The file, once it is at the server as it was read. Raises `InputError` when it is another one by now."""
    name = f"{Path(source.name).stem or 'input'}.jsonl"
    with progress_of("uploading", read.bytes) as advance:
        if read.bytes <= PART_BYTES:
            file = _in_one(server, name, b"".join(source.chunks()))
            advance(read.bytes)
        else:
            file = _in_parts(server, name, source, read, advance)
    if file.bytes != read.bytes:
        delete_file(server, file.id)
        raise InputError(f"{source.name} was changed while it was uploaded; nothing was started")
    return file


def delete_file(server: Server, file_id: str) -> None:
    """As far as possible."""
    with clearing_up(server):
        server.client.call("DELETE", server.path(f"/v1/files/{file_id}", {}))


@contextmanager
def clearing_up(server: Server) -> Iterator[None]:
    """Somebody waits for the command to end: what cannot be cleared quickly is left to expire."""
    timeout_s, server.client.timeout_s = server.client.timeout_s, CLEAR_S
    try:
        with contextlib.suppress(BatchRouterError):
            yield
    finally:
        server.client.timeout_s = timeout_s


@contextmanager
def progress_of(what: str, total: int) -> Iterator[Advance]:
    """A bar on a terminal, for what takes long enough to look at."""
    console = Console(stderr=True)
    shown = total > PART_BYTES and sys.stderr.isatty() and not console.is_dumb_terminal
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=console, transient=True, disable=not shown) as progress:
        task = progress.add_task(what, total=total)
        yield lambda count: progress.update(task, advance=count)


def _in_one(server: Server, name: str, data: bytes) -> FileTold:
    return msgspec.convert(_form(server, "/v1/files", {"purpose": "batch"}, "file", name, data), FileTold)


def _in_parts(server: Server, name: str, source: Source, read: InputRead, advance: Advance) -> FileTold:
    body = {"filename": name, "purpose": "batch", "bytes": read.bytes, "mime_type": "application/jsonl"}
    upload_id = server.post("/v1/uploads", body)["id"]
    try:
        parts = []
        for data in pieces(source.chunks(), PART_BYTES):
            parts.append(_form(server, f"/v1/uploads/{upload_id}/parts", {}, "data", name, data)["id"])
            advance(len(data))
        return _complete(server, upload_id, parts)
    except BaseException:
        with clearing_up(server):
            server.client.call("POST", server.path(f"/v1/uploads/{upload_id}/cancel", {}))
        raise


def _complete(server: Server, upload_id: str, parts: list[str]) -> FileTold:
    """Told as a repeat from the first, so that one gets the file that was made."""
    path, body = f"/v1/uploads/{upload_id}/complete", msgspec.json.encode({"part_ids": parts})
    headers = {"content-type": "application/json", "x-stainless-retry-count": "1"}
    with server.in_words():
        done = msgspec.json.decode(server.client.call("POST", server.path(path, {}), body, headers, again=True))
    return msgspec.convert(done["file"], FileTold)


def pieces(chunks: Iterable[bytes], size: int) -> Iterator[bytes]:
    """The same bytes, cut anew: all but the last have this size."""
    held = bytearray()
    for data in chunks:
        held += data
        while len(held) >= size:
            yield bytes(held[:size])
            del held[:size]
    if held:
        yield bytes(held)


def _form(server: Server, path: str, fields: dict[str, str], member: str, name: str, data: bytes) -> Any:
    """A form with a file in it. A repeat leaves at most a part or a file that nobody refers to."""
    boundary = f"batchrouter-{new_key()}"
    quoted = name.replace('"', "_").replace("\r", "_").replace("\n", "_")
    head = [
        f'--{boundary}\r\nContent-Disposition: form-data; name="{field}"\r\n\r\n{value}\r\n'
        for field, value in fields.items()
    ]
    head.append(
        f'--{boundary}\r\nContent-Disposition: form-data; name="{member}"; filename="{quoted}"\r\n'
        "Content-Type: application/jsonl\r\n\r\n"
    )
    body = b"".join(("".join(head).encode(errors="replace"), data, f"\r\n--{boundary}--\r\n".encode()))
    headers = {"content-type": f"multipart/form-data; boundary={boundary}"}
    with server.in_words():
        return msgspec.json.decode(server.client.call("POST", server.path(path, {}), body, headers, again=True))
