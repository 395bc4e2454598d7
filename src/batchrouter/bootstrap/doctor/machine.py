"""This computer: clocks, limits, disks, the event loop."""

from __future__ import annotations

import os
import resource
import secrets
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from statistics import median

from batchrouter.adapters.clock import RealClock
from batchrouter.adapters.spill import count_segments
from batchrouter.adapters.sql.checkup import sqlite_version
from batchrouter.bootstrap.doctor.finding import Finding, fault, milliseconds, ok, warning
from batchrouter.bootstrap.storage import spill_home
from batchrouter.bootstrap.wiring import connections_max
from batchrouter.config import DATA_FOLDER, Config, is_shared

FILES_LEAST = 1024
FREE_LEAST, FREE_LITTLE = 100 << 20, 1 << 30
SYNCS, SYNC_BYTES = 15, 4096
SYNC_SLOW_S = 0.05
SQLITE_LEAST = (3, 38)
"""Before it, strict parts of SQL that the store speaks are missing."""


def look_at_machine(config: Config, data: Path | None, env: Mapping[str, str]) -> Iterator[Finding]:
    yield _clocks()
    yield _files()
    yield _loop()
    shared = is_shared(config.storage)
    home = data or Path(config.storage.blobs or DATA_FOLDER)
    if not shared:
        yield _sqlite()
        yield from _folder("data folder", home)
    yield from _spill(config, home, data, env)
    yield from _scratch(None if shared else home)


def _clocks() -> Finding:
    if not hasattr(time, "CLOCK_BOOTTIME"):
        return warning(
            "clocks",
            "this system has no clock that runs while the machine sleeps",
            "do not let a machine with workers sleep: one that wakes may send for a moment what others have taken over",
        )
    return ok("clocks", "a clock that neither stops in sleep nor is set is there")


def _files() -> Finding:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = hard if hard != resource.RLIM_INFINITY else max(soft, 1 << 20)
    says = f"{most} files may be open, {connections_max(most)} of them connections to providers"
    if most < FILES_LEAST:
        return fault("open files", says, "raise the hard limit (ulimit -Hn, or LimitNOFILE= in the service) to 65536")
    if most < 4 * FILES_LEAST:
        return warning("open files", says, "raise the hard limit (ulimit -Hn) to 65536 for many lines in flight")
    return ok("open files", says)


def _loop() -> Finding:
    if find_spec("uvloop") is None:
        return fault("event loop", "uvloop is not installed", "install BatchRouter with its dependencies again")
    return ok("event loop", "uvloop")


def _sqlite() -> Finding:
    version = sqlite_version()
    if tuple(map(int, version.split(".")[:2])) < SQLITE_LEAST:
        return fault("SQLite", f"version {version}", "use a Python whose SQLite is 3.38 or newer")
    return ok("SQLite", f"version {version}")


def _folder(what: str, folder: Path) -> Iterator[Finding]:
    """Whether it can be written, how quickly, and how much room is left."""
    try:
        sync_s = _sync_s(folder)
    except OSError as error:
        yield fault(what, f"{folder} cannot be written: {error.strerror}", "mend its owner, its mode or its disk")
        return
    says = f"{folder}: a write reaches the disk in {milliseconds(sync_s)}"
    if sync_s > SYNC_SLOW_S:
        yield warning(what, says, "use a quicker disk: each group of answers and each request waits for it")
    else:
        yield ok(what, says)
    yield _room(what, folder)


def _room(what: str, folder: Path) -> Finding:
    free = shutil.disk_usage(_there(folder)).free
    what, says = f"room for the {what}", f"{free / 2**30:.1f} GiB are free"
    if free < FREE_LEAST:
        return fault(what, says, f"free some space on the disk of {folder}: without any, nothing goes on")
    if free < FREE_LITTLE:
        return warning(what, says, f"free some space on the disk of {folder} soon")
    return ok(what, says)


def _spill(config: Config, home: Path, data: Path | None, env: Mapping[str, str]) -> Iterator[Finding]:
    if not config.storage.spill_bytes:
        yield warning(
            "spill",
            "it is switched off",
            "set storage.spill_bytes: without it, answers that come while the database is away live in memory alone",
        )
        return
    folder = spill_home(config.storage, home, data, env)
    files, size, bad = count_segments(folder)
    if bad:
        yield warning(
            "spill",
            f"{folder} has {bad} files that were set aside because they are damaged (.bad)",
            "look at what happened to that disk; the lines in them were sent again",
        )
    elif files:
        yield warning(
            "spill",
            f"{folder} holds {files} groups of finished lines, {size / 2**20:.1f} MiB, that no database has yet",
            "leave it there and start a worker on this machine: it settles them",
        )
    else:
        try:
            _sync_s(folder, 1)
        except OSError as error:
            yield fault("spill", f"{folder} cannot be written: {error.strerror}", "name another in storage.spill")
        else:
            yield ok("spill", f"{folder} is empty and can be written")


def _scratch(folder: Path | None) -> Iterator[Finding]:
    """Beside a shared database, uploads are compared in the folder for temporary files."""
    if folder is None:
        place = Path(tempfile.gettempdir())
        yield _room("folder for temporary files", place)


def _sync_s(folder: Path, times: int = SYNCS) -> float:
    """A small write that is synced, some times over, in the folder or where it would be made. Raises OSError."""
    path = _there(folder) / f".batchrouter-doctor-{secrets.token_hex(6)}"
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        seconds = []
        for _ in range(times):
            began_s = RealClock.mono_s()
            os.write(fd, bytes(SYNC_BYTES))
            os.fsync(fd)
            seconds.append(RealClock.mono_s() - began_s)
        return median(seconds)
    finally:
        os.close(fd)
        path.unlink(missing_ok=True)


def _there(folder: Path) -> Path:
    """The folder, or the first above it that there is. What is there and is no folder fails at the first use."""
    return next((each for each in (folder, *folder.absolute().parents) if each.exists()), Path("/"))
