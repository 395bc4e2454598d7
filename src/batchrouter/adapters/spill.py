"""A folder as the spill: one file for each segment, synced, with a checksum.

    <token>.lock            held (flock) by the process of that token for as long as it lives
    <token>-<number>.seg    magic, length of the header, header (JSON), costs, the segment, checksum of all before
    <token>-<number>.bad    one that was not whole, set aside

A process takes its lock before its first segment, so that whoever gets the lock of a segment knows that its process is
dead.
"""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import logging
import os
import struct
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import ParamSpec, TypeVar

import msgspec

from batchrouter.domain.outcome import TAIL_SIZE, records_span
from batchrouter.domain.shard import SegmentDraft
from batchrouter.errors import SpillError, StoreError
from batchrouter.ports.spill import Kept

P = ParamSpec("P")
T = TypeVar("T")

log = logging.getLogger(__name__)

_MAGIC = b"BRspill1"
_HEAD = struct.Struct("<8sI")
_SUM_SIZE = 16
_FILE_MAX = 1 << 31
"""No segment is as large: a file beyond it is not ours, and is not read."""
_SEGMENT, _LOCK, _BAD = ".seg", ".lock", ".bad"


class _Header(msgspec.Struct, frozen=True):
    worker: str
    batch_id: str
    costs: int
    length: int
    blob_key: str | None
    model: str | None


class FolderSpill:
    """`ports.spill.Spill`. `limit_bytes` bounds all segments in the folder, whoever kept them; `token` is the process's
    own. Nothing is made before the first segment is kept."""

    def __init__(self, folder: Path, limit_bytes: int, token: str) -> None:
        self._folder = folder
        self._limit_bytes = limit_bytes
        self._token = token
        self._number = 0
        self._locks: dict[str, int] = {}
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="spill")

    async def keep(self, worker: str, draft: SegmentDraft, parts: Sequence[bytes]) -> str:
        return await self._run(self._keep, worker, draft, parts)

    async def load(self, name: str) -> Kept:
        return await self._run(self._load, name)

    async def drop(self, name: str) -> None:
        await self._run(self._drop, name)

    async def left_behind(self) -> list[str]:
        return await self._run(self._left_behind)

    def used(self) -> tuple[int, int]:
        """Segments in the folder and their bytes, whoever kept them. Blocks."""
        sizes = self._sizes()
        return len(sizes), sum(sizes)

    def close(self) -> None:
        """Waits for what is under way, then lets go: what is left is the next process's. A repeat is harmless."""
        self._thread.shutdown()
        for token in list(self._locks):
            self._unlock(token)

    async def _run(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """What has begun is finished though its caller is cancelled."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, lambda: work(*args, **kwargs))

    # --- in the thread ----------------------------------------------------------------------------------------------

    def _keep(self, worker: str, draft: SegmentDraft, parts: Sequence[bytes]) -> str:
        size = sum(map(len, parts))
        header = msgspec.json.encode(
            _Header(worker, draft.batch_id, len(draft.costs), size, draft.blob_key, draft.model)
        )
        head = _HEAD.pack(_MAGIC, len(header))
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            if sum(self._sizes()) + size > self._limit_bytes:
                raise SpillError(
                    f"the spill {self._folder} is full: it may hold {self._limit_bytes} bytes (spill_bytes)"
                )
            if self._token not in self._locks and not self._lock(self._token):
                raise SpillError(
                    f"the spill {self._folder} is being looked through by another process; it is tried again"
                )
            self._number += 1
            name = f"{self._token}-{self._number:08d}"
            self._write(self._folder / f"{name}{_SEGMENT}", [head, header, draft.costs, *parts])
        except OSError as error:
            raise SpillError(f"the spill {self._folder} cannot be written: {error.strerror or error}") from error
        return name

    def _sizes(self) -> list[int]:
        return _sizes_in(self._folder, _SEGMENT)

    def _write(self, path: Path, parts: Sequence[bytes]) -> None:
        checksum = hashlib.blake2b(digest_size=_SUM_SIZE)
        try:
            with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb") as file:
                for part in parts:
                    checksum.update(part)
                    file.write(part)
                file.write(checksum.digest())
                file.flush()
                os.fsync(file.fileno())
            self._sync_folder()
        except BaseException:
            path.unlink(missing_ok=True)
            raise

    def _load(self, name: str) -> Kept:
        path = self._folder / f"{name}{_SEGMENT}"
        try:
            if path.stat().st_size > _FILE_MAX:
                raise ValueError("it is too large")
            return _read(path.read_bytes())
        except OSError as error:
            raise SpillError(f"{path} cannot be read: {error.strerror or error}") from error
        except (ValueError, struct.error, msgspec.MsgspecError, StoreError) as error:
            self._set_aside(path)
            raise SpillError(f"{path} is no whole segment; it is set aside as {path.stem}{_BAD}") from error

    def _drop(self, name: str) -> None:
        token = name.rpartition("-")[0]
        try:
            (self._folder / f"{name}{_SEGMENT}").unlink(missing_ok=True)
            if token != self._token and not list(self._folder.glob(f"{token}-*{_SEGMENT}")):
                self._unlock(token)
        except OSError as error:
            raise SpillError(f"{name} of the spill {self._folder} cannot be removed: {error.strerror}") from error

    def _left_behind(self) -> list[str]:
        try:
            if not self._folder.is_dir():
                return []
            names = sorted(path.stem for path in self._folder.iterdir() if path.suffix == _SEGMENT)
            tokens = {name.rpartition("-")[0] for name in names} - self._locks.keys() - {self._token}
            dead = {token for token in sorted(tokens) if self._lock(token)}
            for path in self._folder.iterdir():  # of those that left nothing
                if path.suffix == _LOCK and path.stem not in self._locks and self._lock(path.stem):
                    dead.add(path.stem)
            names = sorted(path.stem for path in self._folder.iterdir() if path.suffix == _SEGMENT)
        except OSError as error:
            raise SpillError(f"the spill {self._folder} cannot be read: {error.strerror or error}") from error
        found = [name for name in names if name.rpartition("-")[0] in dead]
        for token in dead - {name.rpartition("-")[0] for name in found}:
            self._unlock(token)
        return found

    # --- locks ------------------------------------------------------------------------------------------------------

    def _lock(self, token: str) -> bool:
        """Whether the token is ours now. A lock file that was removed meanwhile proves nothing, and is made again."""
        path = self._folder / f"{token}{_LOCK}"
        while True:
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if os.fstat(fd).st_ino == os.stat(path).st_ino:
                    self._locks[token] = fd
                    return True
            except BlockingIOError:
                os.close(fd)
                return False
            except FileNotFoundError:
                pass
            except OSError:
                os.close(fd)
                raise
            os.close(fd)

    def _unlock(self, token: str) -> None:
        fd = self._locks.pop(token, None)
        if fd is not None:
            try:
                if not list(self._folder.glob(f"{token}-*{_SEGMENT}")):
                    (self._folder / f"{token}{_LOCK}").unlink(missing_ok=True)
            except OSError as error:
                log.warning("a lock of the spill %s could not be removed: %s", self._folder, error.strerror)
            finally:
                os.close(fd)

    def _set_aside(self, path: Path) -> None:
        try:
            path.rename(path.with_suffix(_BAD))
        except OSError as error:
            log.error("%s could not be set aside: %s", path, error.strerror)
        else:
            log.error("%s is no whole segment: it is set aside as %s%s", path, path.stem, _BAD)

    def _sync_folder(self) -> None:
        fd = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)


def count_segments(folder: Path) -> tuple[int, int, int]:
    """How many segments a spill holds, their bytes, and how many were set aside. Takes no lock and changes nothing."""
    sizes = _sizes_in(folder, _SEGMENT)
    return len(sizes), sum(sizes), len(_sizes_in(folder, _BAD))


def _sizes_in(folder: Path, suffix: str) -> list[int]:
    sizes: list[int] = []
    with suppress(FileNotFoundError, NotADirectoryError), os.scandir(folder) as entries:  # nothing was kept yet
        for entry in entries:
            with suppress(FileNotFoundError):  # another process has settled it meanwhile
                if entry.name.endswith(suffix):
                    sizes.append(entry.stat().st_size)
    return sizes


def _read(data: bytes) -> Kept:
    """Raises what tells that this is no file of ours, or not a whole one."""
    content, checksum = data[:-_SUM_SIZE], data[-_SUM_SIZE:]
    if hashlib.blake2b(content, digest_size=_SUM_SIZE).digest() != checksum:
        raise ValueError("the checksum is another")
    magic, size = _HEAD.unpack_from(content)
    if magic != _MAGIC:
        raise ValueError("it is of another version")
    start = _HEAD.size + size
    header = msgspec.json.decode(content[_HEAD.size : start], type=_Header)
    costs = content[start : start + header.costs]
    body = content[start + header.costs :]
    if len(body) != header.length:
        raise ValueError("it is shorter than it says")
    offset, length = records_span(len(body), body[-TAIL_SIZE:])
    draft = SegmentDraft(
        batch_id=header.batch_id,
        length=len(body),
        records=body[offset : offset + length],
        blob_key=header.blob_key,
        model=header.model,
        costs=costs,
    )
    return Kept(header.worker, draft, body)
