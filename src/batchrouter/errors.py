"""Every error of BatchRouter, in one tree.

BatchRouterError
├── ApiError                 an answer to a person's request, in the wire's own words
├── ConfigError              the configuration cannot be used as it stands
├── FolderError              the data folder cannot be used: held by another server, or not writable
├── LineRefused              a line asks for what its provider cannot do; it fails without being sent
├── InputError               the input or the saved state of a `run` does not fit
├── IllegalTransition        a lifecycle was asked for a move that its table does not have
├── QuotaExceeded            a tenant has as much as its quotas allow
├── SourceUnusable           answers of another batch cannot be kept
├── RecordsGone              a batch ended before what reading line by line needs was kept
├── StoreError               the database failed
│   ├── StoreAway            it cannot be reached, or broke off; what was asked may be asked again
│   ├── StaleLease           a worker spoke for a shard or duty that is no longer its own
│   └── StoreFull            no room is left for the database
├── BlobError                the blob store failed
│   ├── BlobMissing          there is no such blob
│   └── BlobFull             no room is left for bytes
├── SpillError               finished answers cannot be kept on this machine until the database takes them
├── NativeError              a provider's batch API did not do what was asked
│   ├── NativeRefused        it answered with an error
│   └── NativeUnknown        no whole answer came: what was asked may have happened
└── TransportError           no whole reply came from an upstream
    ├── ConnectFailed        no connection was made; nothing was sent
    ├── ReplyTimeout         the reply did not come in time
    ├── ReplyTooLarge        the reply was larger than `max_reply_bytes`
    └── ReplyBroken          the reply broke the rules of HTTP/1.1, or the connection ended inside it
        └── ConnectionLost   the connection ended before the first byte of the reply

Foreign errors become ours at exactly one place, the adapter that wraps their library, with `from`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from batchrouter.domain.quota import Excess
    from batchrouter.domain.source import SourceFault


class BatchRouterError(Exception):
    """Root of everything that BatchRouter raises on purpose."""


class ApiError(BatchRouterError):
    """An answer to a person's request: HTTP status and the four members of OpenAI's error object.

    `type` is `invalid_request_error` in every recorded reply for 400, 401, 404 and 409 on these endpoints
    (contract: cross-cutting rules); only rate limits and faults of the server carry another.
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        type: str = "invalid_request_error",
        param: str | None = None,
        code: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.type = type
        self.param = param
        self.code = code
        self.headers: dict[str, str] = dict(headers or {})


class ConfigError(BatchRouterError):
    """The configuration cannot be used; the message names the key and, where there is one, the near word."""


class FolderError(BatchRouterError):
    """The data folder cannot be used; the message names the holder or the cause."""


class LineRefused(BatchRouterError):
    """A line cannot be put into its provider's wire. Becomes the line's outcome, in OpenAI's error shape."""

    def __init__(self, message: str, *, code: str, param: str | None = None, status: int = 400) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.param = param
        self.status = status


class InputError(BatchRouterError):
    """The input file or the state of an earlier run does not fit what was asked."""


class IllegalTransition(BatchRouterError):
    """A lifecycle table has no such move. Nothing was changed."""

    def __init__(self, machine: str, state: str, event: str) -> None:
        super().__init__(f"{machine} in state '{state}' cannot take '{event}'")
        self.machine = machine
        self.state = state
        self.event = event


class QuotaExceeded(BatchRouterError):
    """A tenant has as much as its quotas allow. Nothing was changed. `excess` is a `domain.quota.Excess`."""

    def __init__(self, excess: Excess) -> None:
        super().__init__(
            f"the tenant may have {excess.limit} {excess.quota}: it has {excess.used}, and wants {excess.wanted} more"
        )
        self.excess = excess


class SourceUnusable(BatchRouterError):
    """Answers of that batch cannot be kept by another. Nothing was changed. `fault`: a `domain.source.SourceFault`."""

    def __init__(self, batch_id: str, fault: SourceFault) -> None:
        super().__init__(f"answers of {batch_id} cannot be kept: {fault}")
        self.batch_id = batch_id
        self.fault = fault


class RecordsGone(BatchRouterError):
    """Of a batch that was folded by a former version: its files are there, its records are not."""


class StoreError(BatchRouterError):
    """The database failed; the cause is chained."""


class StoreAway(StoreError):
    """The database cannot be reached, or broke off. What was asked happened or not, as a whole; ask again later."""


class StaleLease(StoreError):
    """The worker's lease or epoch has been overtaken. Nothing was changed; the worker must let go."""


class StoreFull(StoreError):
    """The disk of the database is full. Nothing was changed."""


class BlobError(BatchRouterError):
    """The blob store failed; the cause is chained."""


class BlobMissing(BlobError):
    """There is no blob under this key."""


class BlobFull(BlobError):
    """The disk or the quota is full; what had been written of the blob is gone again."""


class SpillError(BatchRouterError):
    """The spill cannot be written or read; what was in memory still is."""


class NativeError(BatchRouterError):
    """A provider's batch API did not do what was asked. `str()` is safe to show: no key, no prompt."""


class NativeRefused(NativeError):
    """The provider answered with an error: its status, its machine-readable code, and when to come back, if told."""

    def __init__(
        self, message: str, *, status: int, code: str | None = None, retry_after_s: float | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.retry_after_s = retry_after_s


class NativeUnknown(NativeError):
    """No whole answer came. What was asked may have happened, and must be looked for before it is asked again.

    `sent` false: no connection was made, so that nothing can have happened.
    """

    def __init__(self, message: str, *, sent: bool = True) -> None:
        super().__init__(message)
        self.sent = sent


class TransportError(BatchRouterError):
    """No whole reply came. `str()` is safe to show: it holds no body and no header."""


class ConnectFailed(TransportError):
    """No connection was made (refused, no such host, TLS, timeout); nothing was sent."""


class ReplyTimeout(TransportError):
    """The reply was not whole when its time was up; the upstream may still be working on it."""


class ReplyTooLarge(TransportError):
    """The reply grew past the bound and was dropped."""


class ReplyBroken(TransportError):
    """The bytes that came are no reply, or not a whole one."""


class ConnectionLost(ReplyBroken):
    """The connection ended before the first byte of the reply, as an idle one does when the upstream closes it."""
