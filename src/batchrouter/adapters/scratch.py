"""Scratch space in a folder, for comparing the ids of an input too long to hold them all in memory."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

from batchrouter.adapters.blobs.folder import mapped


class FolderScratch:
    """`domain.duplicates.Spill` on files. Nothing here is needed after a crash."""

    def __init__(self, folder: Path) -> None:
        self._parent = folder
        self._folder: Path | None = None

    def append(self, bucket: int, data: bytes) -> None:
        """Raises `BlobFull`: it is a part of taking a blob in."""
        with mapped("writing", "scratch"), open(self._path(bucket), "ab") as file:
            file.write(data)

    def read(self, bucket: int) -> bytes:
        path = self._path(bucket)
        return path.read_bytes() if path.exists() else b""

    def close(self) -> None:
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None

    @staticmethod
    def clear(folder: Path) -> None:
        """Remove what earlier processes left. Only for the holder of the folder's lock."""
        shutil.rmtree(folder, ignore_errors=True)

    def _path(self, bucket: int) -> Path:
        if self._folder is None:
            os.makedirs(self._parent, mode=0o700, exist_ok=True)
            self._folder = Path(tempfile.mkdtemp(dir=self._parent))
        return self._folder / str(bucket)
