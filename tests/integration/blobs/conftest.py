from __future__ import annotations

import re
import secrets
import urllib.request
from collections.abc import AsyncIterator, Callable

import pytest

from batchrouter.adapters.blobs import ObjectBlobs
from tests.integration.blobs.proxy import Proxy
from tests.s3 import BUCKET, S3Server, options_of, s3

__all__ = ["s3"]

IMPATIENT = {"max_retries": "2", "retry_timeout_s": "5"}


@pytest.fixture
async def proxy(s3: S3Server) -> AsyncIterator[Proxy]:
    async with Proxy(s3.port) as proxy:
        yield proxy


@pytest.fixture
def place() -> str:
    return f"s3://{BUCKET}/{secrets.token_hex(8)}"


@pytest.fixture
def blobs(proxy: Proxy, place: str) -> ObjectBlobs:
    """Through the proxy."""
    return ObjectBlobs.open(place, {**options_of(proxy.url), **IMPATIENT})


@pytest.fixture
def behind(s3: S3Server, place: str) -> ObjectBlobs:
    """The same place, past the proxy: what is really there."""
    return ObjectBlobs.open(place, s3.options)


@pytest.fixture
def unfinished(s3: S3Server, place: str) -> Callable[[], list[str]]:
    """Keys of the multipart uploads that stand open in the place."""

    def look() -> list[str]:
        with urllib.request.urlopen(f"{s3.url}/{BUCKET}?uploads", timeout=30) as reply:
            keys = re.findall(r"<Key>([^<]*)</Key>", reply.read().decode())
        return [key for key in keys if key.startswith(place.rpartition("/")[2])]

    return look
