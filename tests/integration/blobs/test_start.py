"""A process that starts on a bucket."""

from __future__ import annotations

import logging

import pytest

from batchrouter.bootstrap.storage import open_storage
from batchrouter.config import StorageConfig
from batchrouter.errors import ConfigError
from tests.integration.blobs.proxy import Hang, Proxy
from tests.postgres import postgres_url
from tests.s3 import BUCKET, S3Server, options_of

__all__ = ["postgres_url"]


async def test_a_bucket_that_only_a_person_can_mend_ends_the_start(s3: S3Server, postgres_url: str) -> None:
    """In a sentence, instead of answers that cannot be written hours later."""
    config = StorageConfig(database=postgres_url, blobs="s3://absent/x", options=s3.options)
    with pytest.raises(ConfigError, match="there is no such bucket"):
        await open_storage(config, None, {})


async def test_a_bucket_that_is_away_is_told_and_not_waited_for(
    proxy: Proxy, postgres_url: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Refused or hanging: what needs it tries again by itself."""
    monkeypatch.setattr("batchrouter.bootstrap.storage.READY_S", 0.3)
    proxy.always(Hang())
    for endpoint, words in (("http://127.0.0.1:1", "cannot be"), (proxy.url, "did not answer")):
        caplog.clear()
        config = StorageConfig(database=postgres_url, blobs=f"s3://{BUCKET}/x", options=options_of(endpoint))
        with caplog.at_level(logging.WARNING):
            storage = await open_storage(config, None, {})
        await storage.close()
        assert any(words in record.message or "did not answer" in record.message for record in caplog.records)
