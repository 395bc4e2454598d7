"""What validation would say of a file, before a batch is made of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from batchrouter.domain.batch import BatchError
from batchrouter.domain.file import File
from batchrouter.domain.lane_choice import LaneOptions
from batchrouter.domain.routing import Router
from batchrouter.domain.validation import BatchLimits, Validation
from batchrouter.errors import BlobMissing, InputError
from batchrouter.input import Input
from batchrouter.ports.blobs import Blobs


@dataclass(frozen=True, slots=True)
class Check:
    """`errors` as a batch of this file would have them, at most a thousand of lines and one that counts the rest;
    `groups`: sound lines by (provider, model as the provider knows it), in order of appearance."""

    lines: int
    errors: tuple[BatchError, ...]
    error_count: int
    groups: tuple[tuple[str, str, int], ...]


class Checks:
    """`router`, `options` and `limits` are those by which a worker validates."""

    def __init__(
        self, blobs: Blobs, router: Router, options: Callable[[str, str], LaneOptions], limits: BatchLimits
    ) -> None:
        self._blobs = blobs
        self._router = router
        self._options = options
        self._limits = limits

    async def check(self, file: File, endpoint: str | None) -> Check | None:
        """None for a file that is no batch input, or whose bytes are gone. Without an endpoint, that of the first line
        counts."""
        if file.blob_key is None or file.index_key is None:
            return None
        try:
            source = await Input.open(self._blobs, file.blob_key, file.index_key)
        except (BlobMissing, InputError):
            return None
        validation = Validation(source.names, source.totals, endpoint, self._router, self._limits, self._options)
        counts: Counter[int] = Counter()
        async for records in source.slices():
            counts.update(validation.feed(records))
        lanes: Counter[tuple[str, str]] = Counter()
        for place, group in enumerate(validation.groups):
            lanes[group.provider, group.model] += counts[place]
        return Check(
            source.totals.lines,
            tuple(validation.errors),
            validation.error_count,
            tuple((provider, model, lines) for (provider, model), lines in lanes.items()),
        )
