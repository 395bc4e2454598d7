"""A folder of blobs, synchronously: names, durable directories, open files. `local` puts threads around it.

How a write becomes durable and atomic: a temporary name in the blob's own directory, fdatasync of the file (its size is
part of that), rename, fsync of the directory. A directory's own name is durable only once its parent was synced, so
that each directory is vouched for once per process before the first blob in it counts. fsync is not repeated after a
failure: Linux may drop the dirty pages and report success the second time.
"""

from __future__ import annotations

import errno
import os
import stat
import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path

from batchrouter.errors import BlobError, BlobFull, BlobMissing

TEMP_MARK = "~"  # in no key, so that an unfinished write can never be taken for a blob
OPEN_FILES_MAX = 128
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_ABSENT = frozenset({errno.ENOENT, errno.ENOTDIR, errno.EISDIR})
_FLAGS = os.O_CLOEXEC | getattr(os, "O_BINARY", 0)
_ATTEMPTS = 8  # at a directory that deletes keep taking away while it is empty
_IOV_MAX = 1024  # POSIX allows fewer, but Linux and macOS take this many
_fdatasync = getattr(os, "fdatasync", os.fsync)


@contextmanager
def mapped(doing: str, key: str) -> Iterator[None]:
    """The one place where the system's errors become ours."""
    try:
        yield
    except OSError as cause:
        if doing == "reading" and cause.errno in _ABSENT:
            raise BlobMissing(f"there is no blob {key}") from cause
        if cause.errno in _FULL:
            raise BlobFull(f"{doing} blob {key}: no room is left; free some space, then try again") from cause
        raise BlobError(f"{doing} blob {key} failed: {cause.strerror}") from cause


class _OpenFile:
    """A descriptor that several threads read from; closed when it is out of the cache and its last user is done."""

    __slots__ = ("cached", "fd", "size", "users")

    def __init__(self, fd: int, size: int) -> None:
        self.fd = fd
        self.size = size
        self.users = 1
        self.cached = False


class Hold:
    """One user of an open file. One that is forgotten, because who asked for it was cancelled, closes itself."""

    __slots__ = ("_file", "_folder", "fd", "size")

    def __init__(self, folder: Folder, file: _OpenFile) -> None:
        self._folder = folder
        self._file: _OpenFile | None = file
        self.fd = file.fd
        self.size = file.size

    def close(self) -> None:
        if self._file is not None:
            file, self._file = self._file, None
            self._folder.let_go(file)

    __del__ = close


class Unfinished:
    """A blob being written under a temporary name."""

    __slots__ = ("_writing", "fd", "key", "temp")

    def __init__(self, key: str, temp: str, fd: int, writing: set[str]) -> None:
        self.key = key
        self.temp = temp
        self.fd = fd
        self._writing = writing
        writing.add(temp)

    def close(self) -> None:
        """At most once: a number that was closed may be another file's by now."""
        if self.fd >= 0:
            fd, self.fd = self.fd, -1
            os.close(fd)

    def discard(self) -> None:
        """Harmless after the rename: nothing has the temporary name any more."""
        with suppress(OSError):
            self.close()
        with suppress(OSError):
            os.unlink(self.temp)
        self._writing.discard(self.temp)


class Folder:
    """Every method blocks, and may be called from any thread."""

    def __init__(self, root: Path, *, sync: bool) -> None:
        self.root = str(root)
        self._sync = sync
        self._lock = threading.RLock()  # a forgotten hold may close itself while this thread has it
        self._durable: set[str] = set()
        self._open: OrderedDict[str, _OpenFile] = OrderedDict()
        self._evictions = 0
        # Of this process alone: a name left over by a crash is never met again.
        self._incarnation = os.urandom(6).hex()
        self._counter = count()
        self.writing: set[str] = set()

    # --- writing --------------------------------------------------------------------------------------------------

    def path(self, key: str) -> str:
        return f"{self.root}/{key}"

    def begin(self, key: str) -> Unfinished:
        """Open a temporary file beside the blob."""
        temp = f"{self.path(key)}{TEMP_MARK}{self._incarnation}{next(self._counter):x}"
        directory = os.path.dirname(temp)
        for attempt in range(_ATTEMPTS):
            try:
                self._vouch(directory)
                fd = os.open(temp, os.O_RDWR | os.O_CREAT | os.O_EXCL | _FLAGS, 0o600)
            except FileNotFoundError:
                if attempt == _ATTEMPTS - 1:
                    raise
                self._doubt(directory)
                continue
            return Unfinished(key, temp, fd, self.writing)
        raise AssertionError("the last attempt returns or raises")

    def seal(self, written: Unfinished) -> None:
        """Sync, close, rename, sync: the blob is visible and durable, or its name is gone and the error raised."""
        path = self.path(written.key)
        try:
            if self._sync:
                _fdatasync(written.fd)
            written.close()
            os.rename(written.temp, path)
        except BaseException:
            written.discard()
            raise
        self.writing.discard(written.temp)
        self.evict((written.key,))
        if self._sync:
            try:
                self._sync_directory(os.path.dirname(path))
            except BaseException:
                with suppress(OSError):
                    os.unlink(path)
                raise

    def put(self, key: str, parts: Sequence[bytes]) -> None:
        written = self.begin(key)
        try:
            write_all(written.fd, parts)
        except BaseException:
            written.discard()
            raise
        self.seal(written)

    # --- reading --------------------------------------------------------------------------------------------------

    def hold(self, key: str) -> Hold:
        """Open the blob for one reader, who closes the hold. Raises `OSError` where there is none."""
        with self._lock:
            file = self._open.get(key)
            if file is not None:
                file.users += 1
                self._open.move_to_end(key)
                return Hold(self, file)
            evictions = self._evictions
        file = self._open_file(key)
        with self._lock:
            # Deleted or replaced while it was being opened: good for this reader, and for nobody after.
            if evictions == self._evictions and key not in self._open:
                file.cached = True
                self._open[key] = file
                while len(self._open) > OPEN_FILES_MAX:
                    self._drop(self._open.popitem(last=False)[1])
        return Hold(self, file)

    def _open_file(self, key: str) -> _OpenFile:
        fd = os.open(self.path(key), os.O_RDONLY | _FLAGS)
        about = os.fstat(fd)
        if not stat.S_ISREG(about.st_mode):
            os.close(fd)
            raise IsADirectoryError(errno.EISDIR, "is a directory", key)
        return _OpenFile(fd, about.st_size)

    def let_go(self, file: _OpenFile) -> None:
        with self._lock:
            file.users -= 1
            if not file.users and not file.cached:
                os.close(file.fd)

    def evict(self, keys: Sequence[str]) -> None:
        with self._lock:
            self._evictions += 1
            for key in keys:
                file = self._open.pop(key, None)
                if file is not None:
                    self._drop(file)

    def close(self) -> None:
        with self._lock:
            while self._open:
                self._drop(self._open.popitem()[1])

    def _drop(self, file: _OpenFile) -> None:
        file.cached = False
        if not file.users:
            os.close(file.fd)

    # --- deleting and listing -------------------------------------------------------------------------------------

    def delete(self, keys: Sequence[str]) -> None:
        """Not synced: a name that a crash brings back is an orphan, and found as such."""
        self.evict(keys)
        emptied = set()
        for key in keys:
            path = self.path(key)
            try:
                os.unlink(path)
            except (FileNotFoundError, NotADirectoryError):
                continue
            emptied.add(os.path.dirname(path))
        for directory in emptied:
            self._remove_empty(directory)

    def aged(self, older_than_ms: int, after: str, limit: int) -> list[str]:
        """Keys after `after`, in the order of `_walk`; unfinished writes under their temporary names."""
        found = []
        for key, path in self._walk("", after):
            if path in self.writing:
                continue
            try:
                touched_ms = os.stat(path).st_mtime_ns // 1_000_000
            except FileNotFoundError:
                continue
            if touched_ms < older_than_ms:
                found.append(key)
                if len(found) == limit:
                    break
        return found

    def clear_abandoned(self) -> int:
        """Delete the unfinished writes of other processes, which must be known to be dead; returns how many."""
        keys = []
        for key, _ in self._walk("", ""):
            _, mark, name = key.rpartition(TEMP_MARK)
            if mark and not name.startswith(self._incarnation):
                keys.append(key)
        self.delete(keys)
        return len(keys)

    def _walk(self, prefix: str, after: str) -> Iterator[tuple[str, str]]:
        """Files as (key, path), ordered by their words, beginning after the key `after`."""
        try:
            with os.scandir(f"{self.root}/{prefix}") as entries:
                names = sorted((entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries)
        except (FileNotFoundError, NotADirectoryError):
            return
        head, _, rest = after.partition("/")
        for name, is_directory in names:
            if name < head:
                continue
            if is_directory:
                yield from self._walk(f"{prefix}{name}/", rest if name == head else "")
            elif name != head or rest:
                yield f"{prefix}{name}", f"{self.root}/{prefix}{name}"

    # --- directories ----------------------------------------------------------------------------------------------

    def _vouch(self, directory: str) -> None:
        """Make the directory and all above it that are missing, and their names durable."""
        if directory in self._durable:
            return
        parent = os.path.dirname(directory)
        if directory.startswith(f"{self.root}/") or not os.path.isdir(parent):
            self._vouch(parent)
        with suppress(FileExistsError):
            os.mkdir(directory, 0o700)
        if self._sync:
            self._sync_directory(parent)
        self._durable.add(directory)

    def _doubt(self, directory: str) -> None:
        """The directory is gone, taken away empty by a delete or by a person: vouch for none above it either."""
        while directory != os.path.dirname(directory):
            self._durable.discard(directory)
            directory = os.path.dirname(directory)

    def _remove_empty(self, directory: str) -> None:
        while directory != self.root:
            self._durable.discard(directory)
            try:
                os.rmdir(directory)
            except OSError:
                return  # not empty, or gone already
            directory = os.path.dirname(directory)

    def _sync_directory(self, directory: str) -> None:
        fd = os.open(directory, os.O_RDONLY | _FLAGS)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)


def write_all(fd: int, parts: Sequence[bytes]) -> None:
    """Append all parts: one call for as many as the system takes at once."""
    for start in range(0, len(parts), _IOV_MAX):
        some = parts[start : start + _IOV_MAX]
        left = sum(map(len, some)) - os.writev(fd, some)
        if left:
            rest = memoryview(b"".join(some))
            while left:
                left -= os.write(fd, rest[-left:])


def read_all(fd: int, offset: int, length: int) -> bytes:
    """Up to `length` bytes; fewer only at the end of the file."""
    data = os.pread(fd, length, offset)
    if len(data) == length or not data:
        return data
    pieces, got = [data], len(data)
    while got < length:
        data = os.pread(fd, length - got, offset + got)
        if not data:
            break
        pieces.append(data)
        got += len(data)
    return b"".join(pieces)
