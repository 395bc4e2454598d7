"""Every blob store, under one fixture."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from batchrouter.adapters.blobs import LocalBlobs, MemoryBlobs
from batchrouter.adapters.clock import RealClock
from batchrouter.ports.blobs import Blobs


@pytest.fixture(params=["memory", "folder"])
def blobs(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Blobs]:
    if request.param == "memory":
        yield MemoryBlobs(RealClock())
        return
    local = LocalBlobs(tmp_path / "blobs", sync=False)
    yield local
    local.close()
