"""The files of all dialects: what was uploaded, and what jobs delivered."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Struct

from batchrouter.simulator.spool import Part

FILES_MAX = 100_000


class StoredFile(Struct):
    """Times are unix seconds. `content` is None while an upload that was begun has not brought its bytes.

    `ready` false: it is there, but not yet for use (Together wants another call). `made` true: a job delivered it.
    """

    id: str
    filename: str
    purpose: str
    created_unix: float
    content: Part | None = None
    expires_unix: float | None = None
    mime_type: str = "application/jsonl"
    ready: bool = True
    made: bool = False
    lines: int | None = None

    @property
    def bytes(self) -> int:
        return self.content.length if self.content is not None else 0


class Shelf:
    """Files by id, oldest first. Beyond `FILES_MAX` the oldest goes."""

    def __init__(self) -> None:
        self._files: dict[str, StoredFile] = {}

    def add(self, file: StoredFile) -> StoredFile:
        if len(self._files) >= FILES_MAX:
            del self._files[next(iter(self._files))]
        self._files[file.id] = file
        return file

    def get(self, file_id: str, now_unix: float) -> StoredFile | None:
        """None when there never was one, or not any more."""
        file = self._files.get(file_id)
        if file is not None and file.expires_unix is not None and file.expires_unix <= now_unix:
            del self._files[file_id]
            return None
        return file

    def remove(self, file_id: str) -> None:
        del self._files[file_id]

    def newest_first(self, now_unix: float) -> Iterator[StoredFile]:
        for file in reversed(list(self._files.values())):
            if file.content is not None and self.get(file.id, now_unix) is not None:
                yield file

    def clear(self) -> None:
        self._files.clear()
