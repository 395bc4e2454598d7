"""Copies a data folder to PostgreSQL and a place for bytes that several processes share.

Bytes first, then the rows, in one transaction: whatever interrupts it, running it again ends right. A blob never
changes under its key, so that one of the right size is the right one and is not copied again; a database that has rows
has all of them.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from batchrouter.adapters.blobs import LocalBlobs, ObjectBlobs
from batchrouter.adapters.blobs.own import elsewhere, mark_in
from batchrouter.adapters.folder import DataFolder
from batchrouter.adapters.sql.copying import Copying, Target, has_database
from batchrouter.adapters.threads import Threads
from batchrouter.config import StorageConfig, is_bucket, is_shared, shown
from batchrouter.errors import BlobError, BlobMissing, ConfigError, FolderError, StoreError
from batchrouter.ports.blobs import Blobs

_KEYS = 2_000
_AT_ONCE = 8
_SMALL_BYTES = 4 * 1024 * 1024
"""Blobs up to this are copied several at a time, larger ones one after the other: 40 MiB in memory at most."""
_MISSING_TOLD = 20


class Listener(Protocol):
    """What is heard meanwhile."""

    def blobs(self, looked_at: int, copied: int, bytes: int) -> None: ...
    def rows(self, table: str, count: int) -> None: ...


@dataclass(slots=True)
class Report:
    """What was done, or would be (`dry`). `tables`: rows; `blobs` is of those that rows need. `missing`: keys of blobs
    that are not in the folder, the first of them. `already`: an earlier run had copied the rows."""

    source: str
    database: str
    blobs: str
    dry: bool = False
    already: bool = False
    tables: dict[str, int] = field(default_factory=dict)
    live_batches: int = 0
    blobs_copied: int = 0
    blobs_present: int = 0
    bytes_copied: int = 0
    blobs_missing: int = 0
    missing: list[str] = field(default_factory=list)


async def migrate(folder: Path, storage: StorageConfig, listener: Listener, *, dry: bool) -> Report:
    """Copy what is in `folder` to what `storage` names; with `dry` only look.

    Raises `FolderError` for a folder that is held, moved elsewhere or none, `ConfigError` for a storage that is no
    target, `StoreError` and `BlobError` when either side fails: run it again then.
    """
    if not is_shared(storage) or storage.blobs is None:
        raise ConfigError(
            "migrate copies to PostgreSQL and a bucket, and the configuration names none: set storage.database to "
            "postgresql://user:password@host/name and storage.blobs to s3://bucket/prefix"
        )
    if not has_database(folder):
        raise FolderError(f"{folder} is no data folder: there is no database in it; name the folder with --data")
    report = Report(str(folder), shown(storage.database), storage.blobs, dry=dry)
    async with AsyncExitStack() as opened:
        held = DataFolder.open(folder, even_moved=True)
        opened.callback(held.close)
        _refuse_spilled(folder, storage.spill)
        calls = Threads()
        opened.callback(calls.close)
        copying = await calls.write(Copying.open, folder, storage.database, touch=not dry)
        opened.callback(copying.close)
        report.tables, report.live_batches = await calls.read(copying.counts), await calls.read(copying.live_batches)
        target, found = await calls.read(copying.look)
        if target is Target.OTHER:
            raise ConfigError(_occupied(copying.name, found))
        report.already = target is Target.SAME
        if not report.already:
            source = LocalBlobs(folder / "blobs")
            opened.callback(source.close)
            blobs = await _open_blobs(storage, folder, opened, dry)
            if blobs is not None and await mark_in(blobs) not in (None, await calls.read(copying.installation)):
                raise ConfigError(elsewhere(report.blobs))
            await _Copier(copying, calls, source, blobs, report, listener).run()
            if not dry:
                await _copy_rows(copying, calls, listener)
        if not dry:
            held.moved(f"{report.database} and {report.blobs}")
    return report


async def _copy_rows(copying: Copying, calls: Threads, listener: Listener) -> None:
    """Whoever interrupts it waits for one statement, and nothing was copied."""
    stopped = threading.Event()

    def told(table: str, count: int) -> None:
        if stopped.is_set():
            raise StoreError("interrupted; nothing was copied to the database")
        listener.rows(table, count)

    try:
        await calls.write(copying.copy, told)
    except asyncio.CancelledError:
        stopped.set()
        raise


def _refuse_spilled(folder: Path, spill: str | None) -> None:
    for place in (folder / "spill", *([] if spill is None else [Path(spill)])):
        if any(place.glob("*.seg")):
            raise FolderError(
                f"finished answers wait in {place} to be written to the folder's database: start a server on {folder} "
                "once, let it write them, stop it, and migrate then"
            )


def _occupied(name: str, found: dict[str, int]) -> str:
    rows = ", ".join(f"{count} {table}" for table, count in found.items())
    return (
        f"the database {name} has other data already ({rows}), or an older copy of this folder: name an empty "
        "database; nothing was changed"
    )


async def _open_blobs(
    storage: StorageConfig, folder: Path, opened: AsyncExitStack, dry: bool
) -> LocalBlobs | ObjectBlobs | None:
    """None: the bytes stay where they are."""
    assert storage.blobs is not None
    if is_bucket(storage.blobs):
        bucket = ObjectBlobs.open(storage.blobs, storage.options)
        opened.callback(bucket.close)
        if not dry:
            await bucket.check()
        return bucket
    if _same(Path(storage.blobs), folder):
        return None
    local = LocalBlobs(Path(storage.blobs) / "blobs")
    opened.callback(local.close)
    return local


def _same(one: Path, other: Path) -> bool:
    return one.resolve() == other.resolve()


class _Copier:
    """Every blob that a row needs, some at a time."""

    def __init__(
        self, copying: Copying, calls: Threads, source: Blobs, target: Blobs | None, report: Report, listener: Listener
    ) -> None:
        self._copying = copying
        self._calls = calls
        self._source = source
        self._target = target
        self._report = report
        self._listener = listener
        self._large = asyncio.Lock()
        self._looked_at = 0

    async def run(self) -> None:
        keys: list[str] = []
        while keys := await self._calls.read(self._copying.blob_keys, keys[-1] if keys else "", _KEYS):
            left = iter(keys)

            tasks = [asyncio.create_task(self._work(left)) for _ in range(_AT_ONCE)]
            try:
                await asyncio.gather(*tasks)
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)

    async def _work(self, left: Iterator[str]) -> None:
        for key in left:
            await self._one(key)
            self._looked_at += 1
            self._listener.blobs(self._looked_at, self._report.blobs_copied, self._report.bytes_copied)

    async def _one(self, key: str) -> None:
        report = self._report
        try:
            size = await self._source.size(key)
        except BlobMissing:
            report.blobs_missing += 1
            report.missing = [*report.missing, key][:_MISSING_TOLD]
            return
        if self._target is None or await _size_in(self._target, key) == size:
            report.blobs_present += 1
            return
        if not report.dry:
            await self._copy(self._target, key, size)
            if await _size_in(self._target, key) != size:
                raise BlobError(f"blob {key} did not arrive in {report.blobs} with its {size} bytes: run it again")
        report.blobs_copied += 1
        report.bytes_copied += size

    async def _copy(self, target: Blobs, key: str, size: int) -> None:
        if size <= _SMALL_BYTES:
            await target.put(key, [await self._source.read(key, 0, size)])
            return
        async with self._large:
            writer = await target.create(key)
            try:
                async for piece in self._source.stream(key, 0, size):
                    await writer.write(piece)
                await writer.commit()
            except BaseException:
                await writer.abort()
                raise


async def _size_in(blobs: Blobs, key: str) -> int | None:
    try:
        return await blobs.size(key)
    except BlobMissing:
        return None
