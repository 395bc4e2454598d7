"""The forms of files that are read and written, and the bytes behind them, which may be read more than once."""

from __future__ import annotations

import io
import os
import shutil
import tempfile
import weakref
from enum import StrEnum
from pathlib import Path
from typing import BinaryIO, Protocol

from batchrouter.errors import InputError

BUFFER_BYTES = 1024 * 1024


class Form(StrEnum):
    JSONL = "jsonl"
    CSV = "csv"
    TSV = "tsv"
    PARQUET = "parquet"


_ENDINGS = {".jsonl": Form.JSONL, ".ndjson": Form.JSONL, ".csv": Form.CSV, ".tsv": Form.TSV, ".parquet": Form.PARQUET}


def form_of(path: Path) -> Form | None:
    """By the ending of the name, in any case of letters; None for others."""
    return _ENDINGS.get(path.suffix.lower())


class Bytes(Protocol):
    """What can be read from its beginning as often as wanted, also twice at the same time."""

    @property
    def name(self) -> str: ...

    def open(self) -> BinaryIO:
        """Raises `InputError`."""
        ...


class FileBytes:
    def __init__(self, path: Path) -> None:
        self.path = path
        self.name = str(path)

    def open(self) -> BinaryIO:
        try:
            return self.path.open("rb", buffering=BUFFER_BYTES)
        except OSError as error:
            raise InputError(f"{self.path} cannot be read: {error.strerror or error}") from error


class PipedBytes:
    """All of a pipe, kept in a file without a name: it is gone with the process, however that ends."""

    def __init__(self, pipe: BinaryIO, name: str = "standard input") -> None:
        """Reads the pipe to its end."""
        self.name = name
        self._fd, path = tempfile.mkstemp()
        os.unlink(path)
        weakref.finalize(self, os.close, self._fd)
        with open(self._fd, "wb", closefd=False) as file:
            shutil.copyfileobj(pipe, file, BUFFER_BYTES)

    def open(self) -> BinaryIO:
        return io.BufferedReader(_Window(self._fd), BUFFER_BYTES)


class _Window(io.RawIOBase):
    """A file that is open already, read at a place of this object's own."""

    def __init__(self, fd: int) -> None:
        super().__init__()
        self._fd = fd
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: os.fstat(self._fd).st_size}[whence]
        self._at = base + offset
        return self._at

    def readinto(self, buffer: memoryview | bytearray, /) -> int:  # type: ignore[override]
        data = os.pread(self._fd, len(buffer), self._at)
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)
