"""What is said of a bucket that cannot be used: which it is, and what to do."""

from __future__ import annotations

import re
import sys

import pytest

from batchrouter.adapters.blobs import ObjectBlobs
from batchrouter.adapters.blobs import objects as module
from batchrouter.errors import BatchRouterError, BlobError, ConfigError
from tests.integration.blobs.proxy import Answer, Proxy
from tests.s3 import BUCKET, S3Server


async def test_a_bucket_that_works_is_told_so_and_left_as_it_was(blobs: ObjectBlobs) -> None:
    await blobs.check()
    assert await blobs.aged(2**60) == []


async def test_what_others_keep_in_the_bucket_is_never_taken_for_garbage(s3: S3Server) -> None:
    """Only what lies below the prefix is ours, and there is one where none is named."""
    s3.make_bucket("shared")
    for prefix in ("/theirs", "/batchrouter2", "/ours2"):
        await ObjectBlobs.open(f"s3://shared{prefix}", s3.options).put("k", [b"x"])
    for prefix in ("", "/", "/ours"):
        blobs = ObjectBlobs.open(f"s3://shared{prefix}", s3.options)
        assert await blobs.aged(2**60) == []
        await blobs.put("k", [b"x"])
        assert await blobs.aged(2**60) == ["k"]
        await blobs.delete(["k"])


async def test_a_bucket_that_there_is_not(s3: S3Server) -> None:
    with pytest.raises(
        ConfigError, match=r"s3://absent/x: there is no such bucket \(it answered 404 NoSuchBucket\): make it, or"
    ):
        await ObjectBlobs.open("s3://absent/x", s3.options).check()


@pytest.mark.parametrize(
    ("fault", "kind", "words"),
    [
        (Answer(403, "InvalidAccessKeyId"), ConfigError, "the credentials are not known there .* AWS_ACCESS_KEY_ID"),
        (Answer(403, "SignatureDoesNotMatch"), ConfigError, "the secret key does not fit the access key"),
        (Answer(403, "AccessDenied"), ConfigError, "these credentials may not put an object there"),
        (Answer(301, "PermanentRedirect"), ConfigError, "is in another region .* set AWS_REGION"),
        (Answer(507), BatchRouterError, "no room is left"),
        (Answer(503, "SlowDown"), BlobError, "cannot be used now: it did not put an object, it answered 503 SlowDown"),
    ],
    ids=str,
)
async def test_what_a_person_must_do_is_said(
    proxy: Proxy, blobs: ObjectBlobs, fault: Answer, kind: type[Exception], words: str
) -> None:
    """And nothing of what the server wrote."""
    proxy.always(fault)
    with pytest.raises(kind, match=words) as raised:
        await blobs.check()
    assert "said the proxy" not in str(raised.value)


async def test_a_store_that_gives_back_other_bytes_is_none(proxy: Proxy, blobs: ObjectBlobs) -> None:
    proxy.always(Answer(200, body=b"something else"), "GET")
    with pytest.raises(BlobError, match="it is no store that can be used"):
        await blobs.check()


async def test_a_store_that_nobody_answers_for(s3: S3Server) -> None:
    options = {**s3.options, "endpoint": "http://127.0.0.1:1", "max_retries": "0"}
    with pytest.raises(BlobError, match="it cannot be reached"):
        await ObjectBlobs.open(f"s3://{BUCKET}", options).check()


@pytest.mark.parametrize(
    ("url", "options", "words"),
    [
        ("ftp://bucket/x", {}, "is no place for blobs"),
        ("s3://", {}, "is no place for blobs"),
        ("s3://key:secret@bucket/x", {}, "holds more than a bucket and a prefix"),
        ("s3://bucket/x?secret=1", {}, "holds more than a bucket and a prefix"),
        ("s3://bucket", {"regoin": "x"}, "is no option of its store: regoin"),
    ],
)
def test_a_url_that_is_none_is_refused(url: str, options: dict[str, str], words: str) -> None:
    """Without telling what may be a secret."""
    with pytest.raises(ConfigError, match=words) as raised:
        ObjectBlobs.open(url, options)
    assert not re.search("secret", str(raised.value))


def test_the_extra_is_named_where_it_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "obstore", None)
    with pytest.raises(ConfigError, match=r"needs the extra 'objects': pip install 'batchrouter\[objects\]'"):
        ObjectBlobs.open("s3://bucket/x", {})


async def test_the_environment_is_read(s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """Endpoint and credentials under their usual names; an endpoint that says http:// is asked so."""
    for name, text in s3.env.items():
        monkeypatch.setenv(name, text)
    blobs = ObjectBlobs.open(f"s3://{BUCKET}/environment", {})
    await blobs.check()


async def test_garbage_behind_a_look_is_found_by_the_next(blobs: ObjectBlobs, monkeypatch: pytest.MonkeyPatch) -> None:
    """A look is bounded, the next goes on from there, and together they see all."""
    monkeypatch.setattr(module, "AGED_MAX", 3)
    monkeypatch.setattr(module, "LOOKED_AT_MAX", 4)
    keys = {f"{top}/x_{number:02x}/{number}" for top in ("runs", "segments") for number in range(0, 256, 32)}
    for key in keys:
        await blobs.put(key, [])
    looks = [await blobs.aged(2**60) for _ in range(8)]
    assert set().union(*looks) == keys
    assert all(len(look) <= 3 for look in looks)
    assert [await blobs.aged(0) for _ in range(8)] == [[]] * 8
