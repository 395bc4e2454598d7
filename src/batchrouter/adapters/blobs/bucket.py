"""A bucket by its URL, and the one place where an object store's errors become ours.

The library `obstore` is an extra and is imported when the first bucket is opened. It reads credentials and endpoints
from the environment under their usual names, each cloud's own.

An error of an object store is not chained: its text holds the URL asked, which may carry a signature, and what the
server wrote, which repeats the key's name. What is needed of it, status and code, is in our sentence.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from batchrouter.errors import BlobError, BlobFull, BlobMissing, ConfigError

if TYPE_CHECKING:
    from obstore.store import ObjectStore

# A request moves 5 MiB at most, so that 20 s are a bad line and not a slow one. Together with the retries a store that
# hangs costs about 40 s; whoever must go on, as the journal must, asks again by itself.
TIMEOUTS = {"connect_timeout": "5s", "timeout": "20s"}
RETRIES_MAX = 2
RETRY_S = 20.0
DEFAULT_PREFIX = "batchrouter"
"""Of a bucket that is named without one. Whatever lies below the prefix and no row names is garbage, and deleted: never
the whole of a bucket, in which others may keep things too."""
_BACKOFF = {"init_backoff": timedelta(milliseconds=100), "max_backoff": timedelta(seconds=2), "base": 2}

_CLIENT_OPTIONS = frozenset(
    {"allow_http", "allow_invalid_certificates", "connect_timeout", "proxy_url", "root_certificate", "timeout"}
)
_FLAGS = frozenset({"allow_http", "allow_invalid_certificates"})
_RETRY_OPTIONS = frozenset({"max_retries", "retry_timeout_s"})
_STATUS = re.compile(r"status code: (\d{3})")
_CODE = re.compile(r"<Code>(\w{1,64})</Code>")
_FULL_CODES = frozenset({"QuotaExceeded", "InsufficientStorage", "XMinioStorageFull", "InsufficientCapacity"})
_NO_BUCKET = frozenset({"NoSuchBucket", "ContainerNotFound"})


class PastTheEnd(Exception):
    """The blob is there, and the span begins at its end or later."""


@dataclass(frozen=True, slots=True)
class Cloud:
    store: str
    endpoints: tuple[str, ...]
    """Variables that name the endpoint, the one that wins first; options have the same names in small letters."""
    credentials: str
    name: str


CLOUDS = {
    "s3": Cloud(
        "S3Store",
        ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT", "ENDPOINT"),
        "AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_REGION, and AWS_ENDPOINT_URL where it is not Amazon's",
        "bucket",
    ),
    "gs": Cloud("GCSStore", ("GOOGLE_BASE_URL", "BASE_URL"), "GOOGLE_APPLICATION_CREDENTIALS", "bucket"),
    "az": Cloud(
        "AzureStore",
        ("AZURE_STORAGE_ENDPOINT", "AZURE_ENDPOINT", "ENDPOINT"),
        "AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY",
        "container",
    ),
}


def is_bucket_url(text: str) -> bool:
    return text.partition("://")[0] in CLOUDS and "://" in text


@dataclass(frozen=True, slots=True)
class Bucket:
    """`url` as it was given; it holds no secret. `store` sees keys below the URL's prefix."""

    url: str
    store: ObjectStore
    cloud: Cloud

    @classmethod
    def open(cls, url: str, options: Mapping[str, str]) -> Bucket:
        """Asks nothing of the network. `options` win over the environment; they are the library's (`endpoint`,
        `region`, `timeout`, ...) and `max_retries` and `retry_timeout_s`. Raises `ConfigError`."""
        scheme, name, prefix = _parts(url)
        cloud = CLOUDS[scheme]
        try:
            from obstore import exceptions, store
        except ImportError as error:
            raise ConfigError(
                f"storage.blobs is {url}, which needs the extra 'objects': pip install 'batchrouter[objects]'"
            ) from error
        client: dict[str, Any] = {"allow_http": _speaks_plain_http(cloud, options), **TIMEOUTS}
        client |= {key: _client_option(key, text) for key, text in options.items() if key in _CLIENT_OPTIONS}
        rest = {key: text for key, text in options.items() if key not in _CLIENT_OPTIONS | _RETRY_OPTIONS}
        try:
            made = getattr(store, cloud.store)(
                name,
                prefix=prefix or DEFAULT_PREFIX,
                config=rest,
                client_options=client,
                retry_config={
                    "max_retries": int(options.get("max_retries", RETRIES_MAX)),
                    "retry_timeout": timedelta(seconds=float(options.get("retry_timeout_s", RETRY_S))),
                    "backoff": _BACKOFF,
                },
            )
        except exceptions.UnknownConfigurationKeyError:
            raise ConfigError(f"{url}: one of these is no option of its store: {', '.join(sorted(rest))}") from None
        except (exceptions.BaseError, ValueError):
            raise ConfigError(f"{url} cannot be opened; it needs {cloud.credentials} in the environment") from None
        return cls(url, made, cloud)

    @contextmanager
    def mapped(self, doing: str, key: str) -> Iterator[None]:
        """The one place where the library's errors become ours."""
        from obstore.exceptions import BaseError

        try:
            yield
        except (BaseError, OSError, ValueError) as error:
            fault = Fault.of(error)
            if fault.status == 416:
                raise PastTheEnd from None
            raise self._ours(fault, doing, key) from None

    def _ours(self, fault: Fault, doing: str, key: str) -> BlobError:
        name = f"{doing} blob {key} in {self.url}"
        if fault.code in _NO_BUCKET:
            return BlobError(f"{name} failed: there is no such {self.cloud.name}; make it, or name another")
        if fault.status == 404 and doing in ("reading", "deleting"):
            return BlobMissing(f"there is no blob {key} in {self.url}")
        if fault.full:
            return BlobFull(f"{name}: no room is left ({fault}); free some space, then try again")
        return BlobError(f"{name} failed: {fault}")


@dataclass(frozen=True, slots=True)
class Fault:
    """What an object store's error tells; all of it may be shown and logged."""

    status: int | None
    code: str | None
    why: str

    @classmethod
    def of(cls, error: BaseException) -> Fault:
        text = str(error)
        if any(host in text for host in _CREDENTIAL_HOSTS):
            return cls(None, None, "no credentials are in the environment, and this machine has none of its own")
        status, code = _STATUS.search(text), _CODE.search(text)
        if status is not None:
            return cls(int(status[1]), code[1] if code else None, "")
        if isinstance(error, FileNotFoundError):
            return cls(404, code[1] if code else None, "")
        for sign, why in _SIGNS.items():
            if sign in text:
                return cls(None, None, why)
        return cls(None, None, f"{type(error).__name__}, with no status")

    @property
    def full(self) -> bool:
        return self.status == 507 or self.code in _FULL_CODES

    def __str__(self) -> str:
        if self.status is None:
            return self.why
        return f"it answered {self.status}" + (f" {self.code}" if self.code else "")


ELSEWHERE = "it sends away without saying where to, as Amazon does for a bucket of another region"
# Where the machines of a cloud ask for credentials of their own.
_CREDENTIAL_HOSTS = ("169.254.169.254", "metadata.google.internal", "metadata/computeMetadata")
# In the order in which they tell most: a timeout is also a failed request.
_SIGNS = {
    "BareRedirect": ELSEWHERE,
    "TimedOut": "it did not answer in time",
    "kind: Timeout": "it did not answer in time",
    "kind: Connect": "it cannot be reached",
    "IncompleteMessage": "the connection broke",
    "kind: Interrupted": "the connection broke",
    "kind: Request": "the connection broke",
    "kind: Decode": "its answer was cut off",
    "BadScheme": "its address is no https:// one, and http:// was not allowed",
}


def _parts(url: str) -> tuple[str, str, str]:
    parts = urlsplit(url)
    if parts.scheme not in CLOUDS or not parts.netloc:
        raise ConfigError(f"{url} is no place for blobs: it is a folder, s3://bucket/prefix, gs://… or az://…")
    if parts.query or parts.fragment or "@" in parts.netloc:
        raise ConfigError(
            f"{parts.scheme}://… holds more than a bucket and a prefix: credentials and options come from elsewhere"
        )
    return parts.scheme, parts.netloc, parts.path.strip("/")


def _client_option(key: str, text: str) -> object:
    return text.lower() in ("1", "true", "yes") if key in _FLAGS else text


def _speaks_plain_http(cloud: Cloud, options: Mapping[str, str]) -> bool:
    """Whether the endpoint that was named says so itself, or AWS_ALLOW_HTTP does."""
    for name in cloud.endpoints:
        endpoint = options.get(name.lower()) or os.environ.get(name if name.count("_") else "")
        if endpoint:
            return endpoint.startswith("http://")
    told = os.environ.get("AWS_ALLOW_HTTP", os.environ.get("AZURE_ALLOW_HTTP", ""))
    emulated = os.environ.get("AZURE_STORAGE_USE_EMULATOR", "")
    return "true" in (told.lower(), emulated.lower())
