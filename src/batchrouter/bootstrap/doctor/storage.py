"""Database and bytes as a server would find them, and the workers that are seen there."""

from __future__ import annotations

import asyncio
import os
import secrets
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from pathlib import Path
from typing import TypeVar

from batchrouter.adapters.blobs import LocalBlobs, ObjectBlobs
from batchrouter.adapters.clock import RealClock
from batchrouter.adapters.folder import read_moved, read_server
from batchrouter.adapters.sql.checkup import Checkup, check_file, check_server
from batchrouter.adapters.sql.store import DATABASE
from batchrouter.bootstrap.doctor.finding import Finding, fault, milliseconds, ok, warning
from batchrouter.bootstrap.storage import blobs_of, in_thread
from batchrouter.config import DATA_FOLDER, Config, is_bucket, is_shared, shown
from batchrouter.domain.backlog import Backlog
from batchrouter.errors import BatchRouterError, BlobError, ConfigError, StoreAway

T = TypeVar("T")

PATIENCE_S = 10.0
COMMIT_SLOW_S = 0.05
BLOB_SLOW_S = 2.0
AHEAD_MS = 2_000
POSTGRES_LEAST = 13
_PROBE = b"a blob to see whether blobs can be kept here; it may be deleted"


async def look_at_storage(config: Config, data: Path | None, env: Mapping[str, str]) -> AsyncIterator[Finding]:
    shared = is_shared(config.storage)
    home = data or Path(config.storage.blobs or DATA_FOLDER)
    if not shared:
        for finding in _holder(home):
            yield finding
    try:
        if shared:
            found = await _within(lambda: check_server(config.storage.database))
        else:
            found = await _within(lambda: check_file(home / DATABASE))
    except (BatchRouterError, TimeoutError) as error:
        yield _no_database(config, error)
    else:
        for finding in (*_database(found, shared), *_under_way(found.backlog, shared)):
            yield finding
    async for finding in _blobs(config, data, home):
        yield finding


def _holder(home: Path) -> Iterator[Finding]:
    moved, note = read_moved(home), read_server(home)
    if moved is not None:
        yield fault("data", f"the data of {home} was moved to {moved}", "configure that; see `batchrouter migrate`")
    elif note is not None:
        yield ok("data", f"{home} is held by the server at {note.url} (process {note.pid})")


def _no_database(config: Config, error: Exception) -> Finding:
    name = shown(config.storage.database)
    if isinstance(error, TimeoutError):
        return fault("database", f"{name} did not answer in {PATIENCE_S:.0f} s", "look at the network and the server")
    if isinstance(error, StoreAway):
        return fault("database", f"{name} cannot be reached: {error}", "start it, or mend storage.database")
    return fault("database", str(error), "mend storage.database, or what it names")


def _database(found: Checkup, shared: bool) -> Iterator[Finding]:
    kind = f"PostgreSQL {found.version}" if shared else f"SQLite {found.version}"
    if found.why_not is not None:
        yield fault("database", found.why_not, "then ask again")
    elif found.schema is None:
        yield ok("database", f"{found.name} is not there yet; the first start makes it")
    else:
        yield ok("database", f"{found.name}, {kind}, schema {found.schema}")
    if not shared:
        return
    if int(found.version.partition(".")[0]) < POSTGRES_LEAST:
        yield warning("database version", kind, f"use PostgreSQL {POSTGRES_LEAST} or newer; nothing older is tested")
    if found.commit_s is not None:
        says = f"a commit takes {milliseconds(found.commit_s)}"
        if found.commit_s > COMMIT_SLOW_S:
            yield warning("commits", says, "bring database and workers nearer together, or give it a quicker disk")
        else:
            yield ok("commits", says)
    ahead_s = abs(found.ahead_ms) / 1000
    where = "ahead of" if found.ahead_ms > 0 else "behind"
    says = f"the database's clock is {ahead_s:.1f} s {where} this machine's"
    if abs(found.ahead_ms) > AHEAD_MS:
        yield warning(
            "time", f"{says}; its time is the one that counts", "set both by NTP, so that logs can be compared"
        )
    else:
        yield ok("time", says)


def _under_way(backlog: Backlog | None, shared: bool) -> Iterator[Finding]:
    if backlog is None:
        return
    lines = sum(count for _, count in backlog.waiting)
    batches = sum(backlog.batches.values())
    says = f"{backlog.workers} run; {batches} batches are under way, {lines} lines wait"
    if batches and not backlog.workers:
        todo = "start `batchrouter worker`" if shared else "start `batchrouter serve`"
        yield warning("workers", says, f"{todo}: nobody works on them")
    else:
        yield ok("workers", says)
    hooks = backlog.webhooks
    if hooks.failing or hooks.disabled:
        says = f"{hooks.failing} endpoints fail, {hooks.disabled} are disabled by their receivers, {hooks.waiting} wait"
        todo = "see `batchrouter webhooks ls`, and `batchrouter webhooks log ID` for what they answer"
        yield warning("webhooks", says, todo)
    for lane, count in backlog.waiting:
        if count and lane.state in ("paused", "unreachable"):
            name = f"{lane.key.provider}/{lane.key.model}"
            why = f": {lane.reason}" if lane.reason else ""
            yield warning(f"lane {name}", f"{lane.state} with {count} lines waiting{why}", "mend what it says")


async def _blobs(config: Config, data: Path | None, home: Path) -> AsyncIterator[Finding]:
    bucket = data is None and is_bucket(config.storage.blobs)
    name = config.storage.blobs if bucket else str(home / "blobs")
    if not bucket and not os.path.isdir(home):  # noqa: ASYNC240 - nobody else waits here
        yield ok("blobs", f"{name} is not there yet; the first start makes it")
        return
    blobs: LocalBlobs | ObjectBlobs | None = None
    try:
        blobs = blobs_of(config.storage, data)
        began_s = RealClock.mono_s()
        async with asyncio.timeout(PATIENCE_S):
            await _put_get_delete(blobs)
        took_s = RealClock.mono_s() - began_s
    except TimeoutError:
        yield fault("blobs", f"{name} did not answer in {PATIENCE_S:.0f} s", "look at the network and at storage.blobs")
    except ConfigError as error:
        yield fault("blobs", str(error), "then ask again")
    except (BlobError, OSError) as error:
        yield fault("blobs", str(error), "mend storage.blobs, or what it names")
    else:
        says = f"{name}: a blob was put, read and deleted in {milliseconds(took_s)}"
        if took_s > BLOB_SLOW_S:
            yield warning("blobs", says, "use a bucket that is nearer: every group of answers waits for it")
        else:
            yield ok("blobs", says)
    finally:
        if blobs is not None:
            blobs.close()


async def _put_get_delete(blobs: LocalBlobs | ObjectBlobs) -> None:
    if isinstance(blobs, ObjectBlobs):
        await blobs.check()
        return
    key = f"probe/{secrets.token_hex(8)}"
    await blobs.put(key, [_PROBE])
    try:
        if await blobs.read(key, 0, len(_PROBE)) != _PROBE:
            raise BlobError("what was read is not what was written: the disk cannot be trusted")
    finally:
        await blobs.delete([key])


async def _within(work: Callable[[], T]) -> T:
    async with asyncio.timeout(PATIENCE_S):
        return await in_thread(work)
