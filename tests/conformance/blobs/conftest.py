"""Every blob store, under one fixture."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from batchrouter.adapters.blobs import LocalBlobs, MemoryBlobs, ObjectBlobs
from batchrouter.adapters.clock import RealClock
from batchrouter.ports.blobs import Blobs
from tests.s3 import blob_place, s3

__all__ = ["blob_place", "s3"]


@pytest.fixture(params=["memory", "folder", "bucket"])
def blobs(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Blobs]:
    if request.param == "memory":
        yield MemoryBlobs(RealClock())
        return
    if request.param == "bucket":
        bucket = ObjectBlobs.open(*request.getfixturevalue("blob_place"))
        yield bucket
        bucket.close()
        return
    local = LocalBlobs(tmp_path / "blobs", sync=False)
    yield local
    local.close()
