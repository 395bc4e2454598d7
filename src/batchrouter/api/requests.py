"""The JSON bodies that people send, for the API's own description. `service.asked` reads them, value by value."""

from __future__ import annotations

from typing import Annotated, Literal

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
    """`endpoint` and `completion_window` must be ones that this server is configured for."""

    input_file_id: str
    endpoint: str
    completion_window: str = "24h"
    metadata: dict[str, Annotated[str, Meta(max_length=512)]] | None = None
    output_expires_after: Expiry | None = None


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
