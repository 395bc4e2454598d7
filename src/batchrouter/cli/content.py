"""Files of a server, read in pieces: each is asked for by itself, and again when the server restarts meanwhile."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from batchrouter.cli.run_files import sync_folder
from batchrouter.cli.server import Server
from batchrouter.cli.told import FileTold
from batchrouter.cli.uploading import progress_of
from batchrouter.cli.words import count, say
from batchrouter.errors import ApiError, InputError, TransportError

PIECE_BYTES = 4 * 1024 * 1024
HEAD_BYTES = 64 * 1024
MIB = 1024 * 1024


def file_of(server: Server, file_id: str) -> FileTold:
    """Raises `InputError` when it is gone."""
    try:
        return msgspec.convert(server.get(f"/v1/files/{file_id}"), FileTold)
    except ApiError as error:
        if error.status == 404:
            raise InputError(
                f"the file {file_id} is no longer at the server: it was deleted, or kept long enough"
            ) from (error)
        raise


def content(server: Server, file: FileTold, begin: int = 0) -> Iterator[bytes]:
    """From that byte on. Its bytes never change, so that pieces of different times fit together."""
    for at in range(begin, file.bytes, PIECE_BYTES):
        yield _piece(server, file, at, min(PIECE_BYTES, file.bytes - at))


def head_of(server: Server, file: FileTold) -> bytes:
    """How it begins."""
    return _piece(server, file, 0, min(HEAD_BYTES, file.bytes)) if file.bytes else b""


def lines_of(server: Server, file: FileTold | None) -> Iterator[bytes]:
    """Its lines, as they come; none of None."""
    held: list[bytes] = []
    for data in content(server, file) if file is not None else ():
        first, *rest = data.split(b"\n")
        held.append(first)
        for each in rest:
            yield b"".join((*held, b"\n"))
            held = [each]
    if any(held):
        yield b"".join(held)


@contextmanager
def loaded(server: Server, file: FileTold | None, beside: Path) -> Iterator[Path | None]:
    """The file in a part beside where it will stand, held against other processes; what is there of it is not asked for
    again. It stays for the next time unless the block ends well or the input is at fault. None of None."""
    if file is None:
        yield None
        return
    part = beside.with_name(f".{beside.name}.{file.id}.part")
    with part.open("ab") as held:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise InputError(f"another fetch writes {beside} at this moment; wait until it ends") from error
        try:
            _load(server, file, part)
            yield part
        except InputError:
            part.unlink(missing_ok=True)
            raise
        part.unlink(missing_ok=True)


def settle(part: Path, path: Path) -> None:
    """Durable, then in its place."""
    with part.open("rb") as file:
        os.fsync(file.fileno())
    part.replace(path)
    sync_folder(path.parent)


def size_of(number: int) -> str:
    return f"{count(number)} bytes" if number < MIB else f"{number / MIB:.1f} MiB"


def _load(server: Server, file: FileTold, part: Path) -> None:
    with part.open("r+b") as out, progress_of("downloading", file.bytes) as advance:
        begun = min(out.seek(0, os.SEEK_END), file.bytes)
        if begun:
            say(f"Going on from {size_of(begun)} of {size_of(file.bytes)}.")
            advance(begun)
        out.seek(begun)
        for data in content(server, file, begun):
            out.write(data)
            out.flush()
            advance(len(data))
        out.truncate(file.bytes)


def _piece(server: Server, file: FileTold, at: int, length: int) -> bytes:
    path = server.path(f"/v1/files/{file.id}/content", {})
    asked = {"range": f"bytes={at}-{at + length - 1}", "if-range": f'"{file.id}"'}
    with server.in_words():
        data = server.client.call("GET", path, b"", asked, again=True)
    if len(data) != length:
        raise TransportError(
            f"the server at {server.url} answers {len(data)} bytes of {file.id} where {length} were due"
        )
    return data
