"""Where bytes are kept: a folder, a bucket, or memory for tests."""

from batchrouter.adapters.blobs.local import LocalBlobs
from batchrouter.adapters.blobs.memory import MemoryBlobs
from batchrouter.adapters.blobs.objects import ObjectBlobs

__all__ = ["LocalBlobs", "MemoryBlobs", "ObjectBlobs"]
