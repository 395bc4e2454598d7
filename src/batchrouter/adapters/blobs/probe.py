"""Whether a bucket can be used, in a sentence: which it is that is wrong, and what to do."""

from __future__ import annotations

from batchrouter.adapters.blobs.bucket import ELSEWHERE, Bucket, Fault
from batchrouter.errors import BatchRouterError, BlobError, BlobFull, ConfigError

_BYTES = b"a blob to see whether blobs can be kept here; it may be deleted"
_BAD_KEY = frozenset({"InvalidAccessKeyId", "InvalidClientTokenId", "AuthenticationFailed", "InvalidToken"})
_BAD_SECRET = frozenset({"SignatureDoesNotMatch"})
_BAD_REGION = frozenset({"AuthorizationHeaderMalformed", "PermanentRedirect", "IllegalLocationConstraintException"})


async def probe(bucket: Bucket, key: str) -> None:
    """Put, get, delete. Raises `ConfigError` where only a person can help, `BlobError` where time may."""
    import obstore
    from obstore.exceptions import BaseError

    verb = "put"
    try:
        await obstore.put_async(bucket.store, key, _BYTES, use_multipart=False)
        verb = "get"
        found = bytes(await (await obstore.get_async(bucket.store, key)).bytes_async())
        verb = "delete"
        await obstore.delete_async(bucket.store, key)
    except (BaseError, OSError, ValueError) as error:
        raise _told(bucket, Fault.of(error), verb) from None  # for the reason that `bucket` gives
    if found != _BYTES:
        raise BlobError(f"{bucket.url} does not give back what was put there: it is no store that can be used")


def _told(bucket: Bucket, fault: Fault, verb: str) -> BatchRouterError:
    url, name = bucket.url, bucket.cloud.name
    if fault.code in _BAD_REGION or fault.why == ELSEWHERE:
        return ConfigError(f"{url}: its {name} is in another region ({fault}): set AWS_REGION to it")
    if fault.code in _BAD_SECRET:
        return ConfigError(
            f"{url}: the secret key does not fit the access key ({fault}): look at {bucket.cloud.credentials}"
        )
    if fault.code in _BAD_KEY or fault.status == 401:
        return ConfigError(f"{url}: the credentials are not known there ({fault}): look at {bucket.cloud.credentials}")
    if fault.status == 403:
        return ConfigError(
            f"{url}: these credentials may not {verb} an object there ({fault}): give them get, put, delete and list"
        )
    if fault.status == 404 and verb == "put":
        return ConfigError(f"{url}: there is no such {name} ({fault}): make it, or name another in storage.blobs")
    if fault.full:
        return BlobFull(f"{url}: no room is left ({fault}); free some space, then try again")
    if fault.status is None:
        return BlobError(f"{url} cannot be used now: {fault}; look at the network, and at {bucket.cloud.credentials}")
    return BlobError(f"{url} cannot be used now: it did not {verb} an object, {fault}")
