"""Decide, from the index alone, whether a batch can run and in which lane each line does."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from batchrouter.domain.line_errors import BatchError
from batchrouter.domain.line_index import IndexNames, IndexRecord, IndexTotals
from batchrouter.domain.routing import Router

MAX_LISTED_ERRORS = 1_000


class LaneKey(NamedTuple):
    """Provider and the model's name there. A line whose own model differs has it spliced at dispatch."""

    provider: str
    model: str


@dataclass(frozen=True, slots=True)
class BatchLimits:
    """Bounds of one batch."""

    lines: int = 50_000
    bytes: int = 209_715_200
    embedding_inputs: int = 50_000
    lanes: int = 64


class Validation:
    """One pass over the records of an input, in slices of any size; memory does not grow with their number.

    `endpoint` is the batch's, or None to take that of each line (offline checks): then lines must agree with the
    first sound line's url.
    """

    lanes: list[LaneKey]

    def __init__(
        self, names: IndexNames, totals: IndexTotals, endpoint: str | None, router: Router, limits: BatchLimits
    ) -> None:
        raise NotImplementedError

    def feed(self, records: Iterable[IndexRecord]) -> list[int]:
        """For each record the place of its lane in `lanes`, or -1 for a line with an error."""
        raise NotImplementedError

    def all_errors(self, records: Iterable[IndexRecord]) -> list[BatchError]:
        """Every line error of these records, rendered: for printing all of them while streaming over the index."""
        raise NotImplementedError

    @property
    def error_count(self) -> int:
        """Errors found so far, those of the file as a whole included. The batch runs only if it stays 0."""
        raise NotImplementedError

    @property
    def errors(self) -> list[BatchError]:
        """The batch's `errors.data`: those of the file, then the first 1,000 of lines, then how many more."""
        raise NotImplementedError
