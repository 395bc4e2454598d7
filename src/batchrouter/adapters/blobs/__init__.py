"""Where bytes are kept: a folder, or memory for tests."""

from batchrouter.adapters.blobs.local import LocalBlobs
from batchrouter.adapters.blobs.memory import MemoryBlobs

__all__ = ["LocalBlobs", "MemoryBlobs"]
