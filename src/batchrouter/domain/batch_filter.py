"""Which batches of a list are wanted."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from batchrouter.domain.batch import Batch
from batchrouter.domain.lifecycle import BatchState


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchFilter:
    """All that is given must hold. Texts are compared without regard to the case of ASCII letters, metadata as they
    are.

    `model`: of the batch or of one of its lanes, `*` stands for any characters. `search`: a part of the id, the
    model, the input file's id, or a key or value of the metadata. Times are unix milliseconds: `created_from_ms` is
    still wanted, `created_until_ms` no more.
    """

    states: frozenset[BatchState] = frozenset()
    endpoint: str | None = None
    model: str | None = None
    search: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    created_from_ms: int | None = None
    created_until_ms: int | None = None
    retry_of: str | None = None

    def wants(self, batch: Batch, lane_models: Iterable[str]) -> bool:
        """What every store decides, however it asks its tables."""
        told = batch.metadata or {}
        return (
            (not self.states or batch.state in self.states)
            and self.endpoint in (None, batch.endpoint)
            and self.retry_of in (None, batch.retry_of)
            and (self.created_from_ms is None or batch.created_ms >= self.created_from_ms)
            and (self.created_until_ms is None or batch.created_ms < self.created_until_ms)
            and all(told.get(key) == value for key, value in self.metadata.items())
            and (self.model is None or any(map(_globbed(self.model), (batch.model or "", *lane_models))))
            and (self.search is None or self._found(batch, told))
        )

    def _found(self, batch: Batch, told: Mapping[str, str]) -> bool:
        wanted = lowered(self.search or "")
        texts = (batch.id, batch.model or "", batch.input_file_id, *told.keys(), *told.values())
        return any(wanted in lowered(text) for text in texts)


EVERY = BatchFilter()
_LOWER = str.maketrans({chr(code): chr(code + 32) for code in range(ord("A"), ord("Z") + 1)})


def lowered(text: str) -> str:
    """ASCII letters only: that is what every database agrees upon."""
    return text.translate(_LOWER)


def _globbed(pattern: str) -> Callable[[str], bool]:
    parts = (re.escape(part) for part in lowered(pattern).split("*"))
    matching = re.compile(".*".join(parts), re.DOTALL)
    return lambda text: matching.fullmatch(lowered(text)) is not None
