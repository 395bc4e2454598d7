"""Bounds of what people may ask for. Sizes are bytes, times are seconds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

MIB = 1024 * 1024
DAY_S = 86_400


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceLimits:
    """`max_cost_nano`, in billionths of a dollar, holds for batches whose metadata name no `max_cost` of their own.

    `batch_max_bytes` is 200 MiB, not 200 MB: clients in use count in MiB."""

    max_upload_bytes: int = 512 * MIB
    batch_max_bytes: int = 209_715_200
    max_line_bytes: int = 32 * MIB
    upload_part_bytes: int = 64 * MIB
    upload_total_bytes: int = 8 * 1024 * MIB
    upload_parts_max: int = 10_000
    upload_lifetime_s: int = 3_600
    batch_file_lifetime_s: int = 30 * DAY_S
    expiry_min_s: int = 3_600
    expiry_max_s: int = 30 * DAY_S
    completion_windows: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({"24h": DAY_S}))
    default_window: str = "24h"
    max_cost_nano: int | None = None
    endpoints: tuple[str, ...] = (
        "/v1/responses",
        "/v1/chat/completions",
        "/v1/embeddings",
        "/v1/completions",
        "/v1/moderations",
        "/v1/images/generations",
        "/v1/images/edits",
    )
