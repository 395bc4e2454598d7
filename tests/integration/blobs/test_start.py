"""A process that starts on a bucket."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from batchrouter.adapters.blobs.objects import ObjectBlobs
from batchrouter.bootstrap.storage import open_storage
from batchrouter.config import StorageConfig
from batchrouter.errors import BlobError, ConfigError
from tests.integration.blobs.proxy import Hang, Proxy
from tests.postgres import fresh_database, postgres_url
from tests.s3 import BUCKET, S3Server, options_of

__all__ = ["postgres_url"]


async def test_a_bucket_that_only_a_person_can_mend_ends_the_start(s3: S3Server, postgres_url: str) -> None:
    """In a sentence, instead of answers that cannot be written hours later."""
    config = StorageConfig(database=postgres_url, blobs="s3://absent/x", options=s3.options)
    with pytest.raises(ConfigError, match="there is no such bucket"):
        await open_storage(config, None, {})


async def refused(config: StorageConfig) -> str:
    with pytest.raises(ConfigError) as error:
        await open_storage(config, None, {})
    return str(error.value)


@pytest.mark.parametrize("kind", ["bucket", "folder"])
async def test_a_place_belongs_to_one_database(
    kind: str, s3: S3Server, postgres_url: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Another one would delete what the first keeps there, and is refused; so is a process whose place is not the one
    that the others write to."""
    places = [str(tmp_path / word) if kind == "folder" else f"s3://{BUCKET}/{tmp_path.name}-{word}" for word in "ab"]
    ours, moved = (StorageConfig(database=postgres_url, blobs=place, options=s3.options) for place in places)
    theirs = StorageConfig(database=fresh_database(), blobs=places[0], options=s3.options)
    for _ in range(2):  # the first process, and one more
        await (await open_storage(ours, None, {})).close()
    assert not caplog.records
    assert f"{places[0]} belongs to another database" in await refused(theirs)
    assert f"{places[1]} is not where the other processes" in await refused(moved)
    away = StorageConfig(database=theirs.database, blobs=places[1], options=s3.options)
    await (await open_storage(away, None, {})).close()
    assert f"{places[1]} belongs to another database" in await refused(moved)


async def test_nobody_sweeps_what_is_not_his(s3: S3Server, postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even a process that could not see at its start whose place it is; and the mark is no garbage."""
    place, late = f"s3://{BUCKET}/{postgres_url[-12:]}", 10**15
    first = await open_storage(StorageConfig(database=postgres_url, blobs=place, options=s3.options), None, {})
    await first.blobs.put("files/file-1", [b"needed"])
    assert await first.blobs.aged(late) == ["files/file-1"]
    config = StorageConfig(database=fresh_database(), blobs=place, options=s3.options)
    with monkeypatch.context() as patch:
        patch.setattr(ObjectBlobs, "check", out_of_reach)
        second = await open_storage(config, None, {})
    with pytest.raises(ConfigError, match="belongs to another database"):
        await second.blobs.aged(late)
    for storage in (first, second):
        await storage.close()


async def out_of_reach(blobs: ObjectBlobs) -> None:
    raise BlobError("the network is gone")


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
