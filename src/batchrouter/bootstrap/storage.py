"""Opens what the configuration names: a locked folder for one process, or PostgreSQL and a place for bytes for many.

Everything else is built on a `Storage` and does not know which of the two it is.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import shutil
import tempfile
import threading
from collections.abc import Awaitable, Callable, Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TypeVar, cast

from batchrouter.adapters.blobs import LocalBlobs
from batchrouter.adapters.blobs.objects import ObjectBlobs
from batchrouter.adapters.blobs.own import OwnBlobs
from batchrouter.adapters.clock import RealChance, RealClock
from batchrouter.adapters.database_clock import DatabaseClock
from batchrouter.adapters.folder import DataFolder
from batchrouter.adapters.impatient import ImpatientCalls
from batchrouter.adapters.metered import MeteredBlobs, MeteredCalls
from batchrouter.adapters.scratch import FolderScratch
from batchrouter.adapters.spill import FolderSpill
from batchrouter.adapters.sql.store import SqlStore
from batchrouter.adapters.sql.wake import PostgresWake
from batchrouter.adapters.threads import Threads
from batchrouter.adapters.wake import LocalWake
from batchrouter.config import DATA_FOLDER, StorageConfig, is_bucket, is_shared, shown
from batchrouter.errors import BlobError, StoreAway, StoreError
from batchrouter.ports.blobs import Blobs
from batchrouter.ports.calls import Calls
from batchrouter.ports.clock import Clock
from batchrouter.ports.meters import Meters
from batchrouter.ports.spill import Spill
from batchrouter.ports.wake import Wake

log = logging.getLogger(__name__)
T = TypeVar("T")

READERS = 4
"""Threads that read PostgreSQL, each with a connection: a long list holds up no poll."""
SYNC_S = 15.0
"""How often the database's time is asked for."""
ASK_S = 5.0
"""How long a person waits for a database that does not answer."""
READY_S, READY_KEPT_S = 3.0, 0.5
AWAY_WAIT_S, AWAY_TOLD_S = 1.0, 30.0


class Storage:
    """What is kept, and how it is reached. `folder`: locked for this process; None where others share the storage.
    `bucket`: bytes are in an object store. `name` is for people, without a password.

    `calls` waits for the store as long as it takes. `people_calls` are for those who wait for an answer: beside a
    shared database they give up, and have threads of their own, so that nobody waits behind a long plan.
    """

    def __init__(
        self,
        *,
        store: SqlStore,
        calls: Threads,
        people_calls: Calls,
        blobs: LocalBlobs | ObjectBlobs,
        wake: LocalWake | PostgresWake,
        clock: RealClock | DatabaseClock,
        scratch: Path,
        name: str,
        spill: FolderSpill | None,
        folder: DataFolder | None = None,
        closing: ExitStack,
        meters: Meters,
        installation: tuple[str, bool] | None = None,
    ) -> None:
        self.catalog = store.catalog
        self.ledger = store.ledger
        self.results = store.results
        self.jobs = store.jobs
        self.backlogs = store.backlogs
        self.webhooks = store.webhooks
        self.webhook_ledger = store.webhook_ledger
        self.calls: Calls = MeteredCalls(calls, meters, clock)
        self.people_calls: Calls = MeteredCalls(people_calls, meters, clock)
        self._own = None if installation is None else OwnBlobs(blobs, name.split(", ")[-1], *installation, self._marked)
        self.blobs: Blobs = MeteredBlobs(self._own or blobs, meters, clock)
        self.meters = meters
        self.wake: Wake = wake
        self.clock: Clock = clock
        self.name = name
        self.spill: Spill | None = spill
        self.spill_used = None if spill is None else spill.used
        self.folder = folder
        self.bucket = isinstance(blobs, ObjectBlobs)
        self._store = store
        self._local_blobs = blobs if isinstance(blobs, LocalBlobs) else None
        self._bucket = blobs if isinstance(blobs, ObjectBlobs) else None
        self._shared_clock = clock if isinstance(clock, DatabaseClock) else None
        self._scratch = scratch
        self._closing = closing
        self._tasks: list[asyncio.Task[None]] = []
        self._asking = asyncio.Lock()
        self._answered_s = -READY_KEPT_S
        self._answer: str | None = None

    @classmethod
    def on_folder(
        cls, path: Path, env: Mapping[str, str], config: StorageConfig, meters: Meters | None = None
    ) -> Storage:
        """SQLite and blobs; of `config` only what is said of the spill.

        Raises `FolderError` when another process holds the folder, `StoreError`."""
        # Durability switched off, only to measure what it costs.
        sync = env.get("BATCHROUTER_UNSAFE_NO_SYNC") != "1"
        with ExitStack() as opened:
            folder = DataFolder.open(path)
            opened.callback(folder.close)
            store = SqlStore.open_sqlite(path, sync=sync)
            opened.callback(store.close)
            blobs = LocalBlobs(path / "blobs", sync=sync)
            opened.callback(blobs.close)
            calls = Threads()
            opened.callback(calls.close)
            spill = open_spill(config, Path(config.spill or path / "spill"), opened)
            return cls(
                store=store,
                calls=calls,
                people_calls=calls,
                blobs=blobs,
                wake=LocalWake(),
                clock=RealClock(),
                scratch=path / "scratch",
                name=str(path.resolve()),
                spill=spill,
                folder=folder,
                closing=opened.pop_all(),
                meters=meters or Meters(),
            )

    @classmethod
    def on_postgres(
        cls,
        config: StorageConfig,
        blobs_folder: Path | None,
        env: Mapping[str, str],
        *,
        make: bool,
        meters: Meters | None = None,
    ) -> Storage:
        """PostgreSQL, and the bucket or the folder that all processes share. With `make` an empty database gets its
        tables. Waits for the network: to be called in a thread. Raises `StoreAway`, `StoreError`, `ConfigError`."""
        with ExitStack() as opened:
            store = SqlStore.open_postgres(config.database, make=make)
            opened.callback(store.close)
            clock = DatabaseClock(store.now_ms, RealClock())
            clock.sync()
            blobs = blobs_of(config, blobs_folder)
            opened.callback(blobs.close)
            wake = PostgresWake(config.database)
            opened.callback(wake.close)
            calls, people = Threads(readers=READERS), Threads(readers=READERS)
            opened.callback(calls.close)
            opened.callback(people.close)
            name = _name_of(config, blobs_folder)
            spill = open_spill(config, spill_folder(config.spill, name, env), opened)
            # Made when it is needed: a process that is killed mostly leaves none.
            scratch = Path(tempfile.gettempdir()) / f"batchrouter-{RealChance().hex(32)}"
            opened.callback(shutil.rmtree, scratch, ignore_errors=True)
            return cls(
                store=store,
                calls=calls,
                people_calls=ImpatientCalls(people, ASK_S),
                blobs=blobs,
                wake=wake,
                clock=clock,
                scratch=scratch,
                name=name,
                spill=spill,
                closing=opened.pop_all(),
                meters=meters or Meters(),
                installation=store.installation.look(RealChance().hex(32)),
            )

    @property
    def alone(self) -> bool:
        """Whether no other process works on it."""
        return self.folder is not None

    def scratch(self) -> FolderScratch:
        """Room for comparing the ids of a long input; close it."""
        return FolderScratch(self._scratch)

    def start(self) -> None:
        """Begin what goes on beside the work, on the running loop."""
        if self.folder is not None:
            FolderScratch.clear(self._scratch)
            self._tasks.append(asyncio.create_task(self._clear(), name="clear"))
        if self._shared_clock is not None:
            self._tasks.append(asyncio.create_task(self._keep_time(self._shared_clock), name="time"))

    async def check_place(self) -> None:
        """Raises `ConfigError` when only a person can make the place for bytes usable, or when it is another
        installation's. One that cannot be reached now is told in the log and not waited for: what needs it tries again
        by itself."""
        try:
            async with asyncio.timeout(READY_S):
                if self._bucket is not None:
                    await self._bucket.check()
                if self._own is not None:
                    await self._own.claim()
        except (BlobError, StoreAway) as error:
            log.warning("%s; going on", error)
        except TimeoutError:
            log.warning("the place for bytes did not answer in %.0f s; going on", READY_S)

    async def _marked(self) -> None:
        await self.calls.write(self._store.installation.marked, self.clock.unix_ms())

    async def why_not_ready(self) -> str | None:
        """None: the database answers, or did a moment ago: whoever asks needs no key, and may ask often."""
        if self.alone:
            return None
        async with self._asking:
            if self.clock.mono_s() - self._answered_s >= READY_KEPT_S:
                self._answer = await self._ask_database()
                self._answered_s = self.clock.mono_s()
            return self._answer

    async def _ask_database(self) -> str | None:
        try:
            await ImpatientCalls(self.people_calls, READY_S).read(self._store.now_ms)
        except StoreError as error:
            log.warning("not ready: %s", error)
            return "the database cannot be reached"
        return None

    async def close(self) -> None:
        """Let go of everything; nothing may be asked any more. A repeat changes nothing."""
        for task in self._tasks:
            if task.get_name() == "time":
                task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []
        await in_thread(self._closing.close)  # it waits for what was asked of the database

    async def _clear(self) -> None:
        """The folder's lock proves that whoever left a write unfinished is dead."""
        assert self._local_blobs is not None
        try:
            cleared = await self._local_blobs.clear_abandoned()
        except BlobError as error:
            log.warning("unfinished writes of an earlier process could not be cleared: %s", error)
        else:
            if cleared:
                log.info("cleared %d unfinished writes of an earlier process", cleared)

    async def _keep_time(self, clock: DatabaseClock) -> None:
        """Its time runs on while the database is away."""
        while True:
            await clock.sleep(SYNC_S)
            try:
                await self.calls.read(clock.sync)
            except StoreError as error:
                log.info("the database did not tell the time: %s", error)


async def open_storage(
    config: StorageConfig,
    given: Path | None,
    env: Mapping[str, str],
    *,
    make: bool = False,
    meters: Meters | None = None,
) -> Storage:
    """What the configuration names; `given` is the folder of the command line, which wins. An empty database on
    PostgreSQL gets its tables with `make`, and is refused without; a folder's always does. Waits for a database that
    cannot be reached, and says so now and then. Raises `ConfigError` (also for a bucket that there is not),
    `FolderError`, and `StoreError` for a database that cannot be used, such as one of another schema."""
    if not is_shared(config):
        return Storage.on_folder(given or Path(config.blobs or DATA_FOLDER), env, config, meters)
    storage = await patiently(
        lambda: in_thread(lambda: Storage.on_postgres(config, given, env, make=make, meters=meters))
    )
    try:
        await storage.check_place()
    except BaseException:
        await storage.close()
        raise
    return storage


async def patiently(ask: Callable[[], Awaitable[T]]) -> T:
    """Ask again until the database is there, and say so now and then. Other errors are the caller's."""
    told_s = -AWAY_TOLD_S
    clock = RealClock()
    while True:
        try:
            return await ask()
        except StoreAway as error:
            if clock.mono_s() - told_s >= AWAY_TOLD_S:
                told_s = clock.mono_s()
                log.warning("%s; trying again until it can", error)
        await clock.sleep(AWAY_WAIT_S)


async def in_thread(work: Callable[[], T]) -> T:
    """In a daemon, unlike asyncio's own threads: a process that is told to stop does not wait for it."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[T] = loop.create_future()

    def tell(result: T | None, error: Exception | None) -> None:
        if done.cancelled():
            return
        if error is not None:
            done.set_exception(error)
        else:
            done.set_result(cast("T", result))

    def run() -> None:
        result, failed = None, None
        try:
            result = work()
        except Exception as error:
            failed = error
        with suppress(RuntimeError):  # the loop is closed: nobody is left to hear
            loop.call_soon_threadsafe(tell, result, failed)

    threading.Thread(target=run, name="storage", daemon=True).start()
    return await done


def open_spill(config: StorageConfig, folder: Path, opened: ExitStack) -> FolderSpill | None:
    if not config.spill_bytes:
        return None
    spill = FolderSpill(folder, config.spill_bytes, RealChance().hex(16))
    opened.callback(spill.close)
    return spill


def spill_home(config: StorageConfig, home: Path, given: Path | None, env: Mapping[str, str]) -> Path:
    """Where a process on this configuration spills; `home` is the data folder of one that is alone."""
    if is_shared(config):
        return spill_folder(config.spill, _name_of(config, given), env)
    return Path(config.spill or home / "spill")


def _name_of(config: StorageConfig, given: Path | None) -> str:
    return f"{shown(config.database)}, {given or config.blobs}"


def spill_folder(given: str | None, name: str, env: Mapping[str, str]) -> Path:
    """One for each database and bucket: what was finished for one must not be offered to another."""
    home = Path(env.get("XDG_STATE_HOME") or Path(env.get("HOME") or tempfile.gettempdir()) / ".local" / "state")
    apart = hashlib.sha256(name.encode()).hexdigest()[:12]
    return (Path(given) if given else home / "batchrouter" / "spill") / apart


def blobs_of(config: StorageConfig, given: Path | None) -> LocalBlobs | ObjectBlobs:
    """The place for bytes that the configuration names, or that of the folder that was given. Raises `ConfigError`."""
    if given is None and is_bucket(config.blobs):
        assert config.blobs is not None
        return ObjectBlobs.open(config.blobs, config.options)
    return LocalBlobs((given or Path(config.blobs or DATA_FOLDER)) / "blobs")
