"""The JSON bodies that people send, for the API's own description. `service.asked` reads them, value by value."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

Purpose = Literal["assistants", "batch", "fine-tune", "vision", "user_data", "evals"]


class Expiry(Struct):
    anchor: Literal["created_at"]
    seconds: Annotated[int, Meta(ge=3600, le=2_592_000)]


class CreateFile(Struct):
    """A form. `expires_after` comes as the fields `expires_after[anchor]` and `expires_after[seconds]`."""

    file: Annotated[str, Meta(extra_json_schema={"format": "binary"})]
    purpose: Purpose = "batch"
    expires_after: Expiry | None = None


class CreateUpload(Struct):
    filename: str
    purpose: Purpose
    bytes: Annotated[int, Meta(ge=1)]
    mime_type: str
    expires_after: Expiry | None = None


class AddPart(Struct):
    """A form."""

    data: Annotated[str, Meta(extra_json_schema={"format": "binary"})]


class CompleteUpload(Struct):
    """`part_ids` gives the order; `md5` is that of the whole file, in hex."""

    part_ids: list[str]
    md5: str | None = None


class CreateBatch(Struct):
    """`endpoint` and `completion_window` must be ones that this server is configured for. `max_cost`: dollars that the
    batch may cost; `dedupe`: identical lines are sent once; `resume_from`: a batch that ended, whose answers to lines
    that did not change are kept. Each may also be a string in `metadata`."""

    input_file_id: str
    endpoint: str
    completion_window: str = "24h"
    metadata: dict[str, Annotated[str, Meta(max_length=512)]] | None = None
    output_expires_after: Expiry | None = None
    max_cost: Annotated[float, Meta(ge=0, le=1_000_000)] | None = None
    priority: Literal["high", "normal", "low"] | None = None
    mode: Literal["auto", "batch", "realtime"] | None = None
    dedupe: bool | None = None
    resume_from: str | None = None


class RetryWhere(Struct):
    """Which lines are sent again: by all that is named, and any of the values of each. `code`: an HTTP status, or the
    code of the line's error; `text`: words in the request or the answer."""

    outcome: list[Literal["succeeded", "failed", "expired", "cancelled", "invalid_output"]] | None = None
    finish_reason: list[Literal["none", "stop", "length", "tool_calls", "content_filter", "other"]] | None = None
    code: list[str] | None = None
    custom_id: list[str] | None = None
    text: Annotated[str, Meta(max_length=1000)] | None = None


class RetryBatch(Struct):
    """Without `where`: every line that failed, expired or was cancelled. `set` goes into the bodies that are sent; null
    takes a member out. What else is not said is as in the batch itself."""

    where: RetryWhere | None = None
    set: dict[str, Any] | None = None
    metadata: dict[str, Annotated[str, Meta(max_length=512)]] | None = None
    completion_window: str | None = None
    output_expires_after: Expiry | None = None
    max_cost: Annotated[float, Meta(ge=0, le=1_000_000)] | None = None
    priority: Literal["high", "normal", "low"] | None = None
    mode: Literal["auto", "batch", "realtime"] | None = None
    dedupe: bool | None = None


class CreateKey(Struct):
    """The tenant is made if there is none of that name."""

    tenant: str = "default"
    role: Literal["user", "admin"] = "user"
    label: str = ""
    weight: Annotated[int, Meta(ge=1, le=1000)] | None = None


Bound = Annotated[int, Meta(ge=0)] | None | UnsetType


class QuotaSettings(Struct):
    """Of each, null takes the bound away, and what is left out stays as it is. Calls in flight; lines and bytes of
    batches that have not ended; bytes of stored files; requests to the API in a minute."""

    max_in_flight: Bound = UNSET
    max_lines: Bound = UNSET
    max_bytes: Bound = UNSET
    max_storage_bytes: Bound = UNSET
    max_requests: Bound = UNSET


class PutTenant(Struct):
    """Made if there is none of that name. `weight`: its share of a lane that several tenants want."""

    name: str
    weight: Annotated[int, Meta(ge=1, le=1000)] | None = None
    quotas: QuotaSettings | None = None
