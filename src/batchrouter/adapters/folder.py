"""A data folder and who holds it.

The lock is `flock` on a file that is closed when the process ends, however it ends: so holding it proves that the
former owner is dead. While a server runs, `server.json` tells commands on the same machine how to reach it.
"""

from __future__ import annotations

import fcntl
import json
import os
from pathlib import Path
from typing import NamedTuple

from batchrouter.errors import FolderError

LOCK_NAME = "lock"
SERVER_NAME = "server.json"
MOVED_NAME = "moved-to"
"""Names where the folder's data went; a server that went on here would do the same work twice."""


class ServerNote(NamedTuple):
    """Who serves a folder. `token` is a random key of role admin that lives as long as the server."""

    url: str
    pid: int
    token: str


class DataFolder:
    """An open, locked folder. Only one process at a time has it."""

    def __init__(self, path: Path, lock_fd: int) -> None:
        self.path = path
        self._lock_fd: int | None = lock_fd

    @classmethod
    def open(cls, path: Path, *, even_moved: bool = False) -> DataFolder:
        """Make the folder if needed and take its lock. Raises `FolderError`, which names the holder, or where the data
        went unless `even_moved`."""
        try:
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
            fd = os.open(path / LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise FolderError(f"the data folder {path} cannot be used: {error.strerror or error}") from error
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(fd)
            note = read_server(path)
            holder = f"the server at {note.url} (process {note.pid})" if note else "another process"
            raise FolderError(
                f"the data folder {path} is held by {holder}. One folder has one server; "
                "several servers need PostgreSQL as their database"
            ) from None
        moved_to = read_moved(path)
        if moved_to is not None and not even_moved:
            os.close(fd)
            raise FolderError(
                f"the data of {path} was moved to {moved_to}: configure that. To go on here instead, delete the file "
                f"{path / MOVED_NAME}; never work on both, or batches are paid for twice"
            )
        (path / SERVER_NAME).unlink(missing_ok=True)
        return cls(path, fd)

    def moved(self, to: str) -> None:
        """From now on nobody works on it. A repeat is harmless."""
        temporary = self.path / f"{MOVED_NAME}.new"
        temporary.write_text(to + "\n", encoding="utf-8")
        temporary.rename(self.path / MOVED_NAME)

    def announce(self, note: ServerNote) -> None:
        """Write `server.json`, readable by the owner alone."""
        temporary = self.path / f"{SERVER_NAME}.new"
        temporary.unlink(missing_ok=True)
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(fd, "w", encoding="utf-8") as file:
            json.dump(note._asdict(), file)
        temporary.rename(self.path / SERVER_NAME)

    def close(self) -> None:
        """Let go. A repeat is harmless."""
        if self._lock_fd is None:
            return
        (self.path / SERVER_NAME).unlink(missing_ok=True)
        os.close(self._lock_fd)
        self._lock_fd = None


def read_moved(path: Path) -> str | None:
    """Where the folder's data went; None where it did not."""
    try:
        return (path / MOVED_NAME).read_text(encoding="utf-8").strip()
    except OSError:
        return None


def read_server(path: Path) -> ServerNote | None:
    """Who serves the folder, as far as its note says; None without a readable one."""
    try:
        data = json.loads((path / SERVER_NAME).read_text(encoding="utf-8"))
        return ServerNote(str(data["url"]), int(data["pid"]), str(data["token"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None
