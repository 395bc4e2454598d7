"""Bytes in memory that can be read as often as a file."""

from __future__ import annotations

import io
from typing import BinaryIO


class Memory:
    name = "rows"

    def __init__(self, data: bytes) -> None:
        self._data = data

    def open(self) -> BinaryIO:
        return io.BytesIO(self._data)
