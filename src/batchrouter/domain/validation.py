"""Decide, from the index alone, whether a batch can run and in which lane each line does."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from batchrouter.domain.batch import BatchError
from batchrouter.domain.line_errors import (
    JsonType,
    LineFault,
    empty_file,
    file_too_large,
    line_error,
    more_errors,
    too_many_embedding_inputs,
    too_many_lanes,
    too_many_requests,
)
from batchrouter.domain.line_index import IndexFlag, IndexNames, IndexRecord, IndexTotals
from batchrouter.domain.routing import Router, RoutingError
from batchrouter.domain.shard import LaneKey

MAX_LISTED_ERRORS = 1_000

DECIDED_MAX = 65_536

NO_LANE = -1


class EndpointRules(NamedTuple):
    """What OpenAI refuses before a line runs. Anything else that is wrong with a body the upstream says."""

    api: str  # the endpoint's name in messages
    needs_model: bool = True
    needs_messages: bool = False
    needs_input: bool = False


# Moderations and images have a default model upstream, so a line without one is routed by provider or default alone.
ENDPOINTS: dict[str, EndpointRules] = {
    "/v1/chat/completions": EndpointRules("Chat Completions", needs_messages=True),
    "/v1/responses": EndpointRules("Responses"),
    "/v1/embeddings": EndpointRules("Embeddings", needs_input=True),
    "/v1/completions": EndpointRules("Completions"),
    "/v1/moderations": EndpointRules("Moderations", needs_model=False, needs_input=True),
    "/v1/images/generations": EndpointRules("Images", needs_model=False),
    "/v1/images/edits": EndpointRules("Images", needs_model=False),
}


@dataclass(frozen=True, slots=True)
class BatchLimits:
    """Bounds of one batch."""

    lines: int = 50_000
    bytes: int = 209_715_200
    embedding_inputs: int = 50_000
    lanes: int = 64


class Validation:
    """One pass over the records of an input, in slices of any size and in bounded memory.

    `endpoint` is the batch's; None takes the url of the first line that has one, for checks outside of a batch. Which
    endpoints a batch may have is decided when it is created.
    """

    def __init__(
        self, names: IndexNames, totals: IndexTotals, endpoint: str | None, router: Router, limits: BatchLimits
    ) -> None:
        self._names = names
        self._totals = totals
        self._limits = limits
        self._router = router
        # Place 0, for an endpoint that no line names, is no sound line's url.
        places = {url: place for place, url in enumerate(names.urls)}
        self._url = None if endpoint is None else places.get(endpoint, 0)
        self._rules = EndpointRules("") if endpoint is None else _rules(endpoint)
        self._decided: dict[tuple[int, int, int, int], int] = {}
        self._places: dict[LaneKey, int] = {}
        self._too_many_lanes = False
        self.lanes: list[LaneKey] = []
        self._file_errors = list(_file_errors(totals, limits))
        self._line_errors: list[BatchError] = []
        self._line_error_count = 0

    def feed(self, records: Iterable[IndexRecord]) -> list[int]:
        """For each record the place of its lane in `lanes`, or `NO_LANE` for a line with an error."""
        places: list[int] = []
        add = places.append
        decided = self._decided
        for record in records:
            outcome = -record.error or decided.get((record.url, record.provider, record.model, record.flags))
            if outcome is None:
                outcome = self._decide(record)
            if outcome < 0:
                self._note(record, LineFault(-outcome))
                outcome = NO_LANE
            add(outcome)
        return places

    def errors_of(self, records: Iterable[IndexRecord]) -> Iterator[BatchError]:
        """Every line error of these records, which were fed before: to print all of them, however many."""
        for record in records:
            outcome = -record.error or self._decide(record)
            if outcome < 0:
                yield self._render(record, LineFault(-outcome))

    @property
    def error_count(self) -> int:
        """Errors found so far, those of the file as a whole included. The batch runs only if it stays 0."""
        return len(self._file_errors) + self._line_error_count

    @property
    def errors(self) -> list[BatchError]:
        """The batch's `errors.data`: those of the file, then the first 1,000 of lines, then how many more."""
        more = self._line_error_count - len(self._line_errors)
        return [*self._file_errors, *self._line_errors, *([more_errors(more)] if more else [])]

    def _decide(self, record: IndexRecord) -> int:
        """The lane's place, or minus the fault. Lines alike in url, provider, model and flags are decided once."""
        kind = (record.url, record.provider, record.model, record.flags)
        outcome = self._decided.get(kind)
        if outcome is None:
            if self._url is None and record.url:
                self._url = record.url
                self._rules = _rules(self._names.urls[record.url])
            if len(self._decided) >= DECIDED_MAX:
                self._decided.clear()
            outcome = self._decided[kind] = self._judge(record)
        return outcome

    def _judge(self, record: IndexRecord) -> int:
        if record.url != self._url:
            return -LineFault.URL_MISMATCH
        rules, flags = self._rules, record.flags
        if rules.needs_model and not record.model:
            return -LineFault.MODEL_MISSING
        if rules.needs_messages and not flags & IndexFlag.MESSAGES:
            return -LineFault.MESSAGES_MISSING
        if rules.needs_input and not flags & IndexFlag.INPUT:
            return -LineFault.INPUT_MISSING
        if flags & IndexFlag.STREAM:
            return -LineFault.STREAMING
        found = self._router.resolve(self._names.providers[record.provider], self._names.models[record.model])
        if isinstance(found, RoutingError):
            nameless = found.fault is LineFault.MODEL_NOT_FOUND and not record.model
            return -(LineFault.MODEL_MISSING if nameless else found.fault)
        return self._place(LaneKey(found.provider, found.model))

    def _place(self, lane: LaneKey) -> int:
        place = self._places.get(lane)
        if place is None:
            place = len(self.lanes)
            if place == self._limits.lanes:
                if not self._too_many_lanes:
                    self._too_many_lanes = True
                    self._file_errors.append(too_many_lanes(self._limits.lanes))
                return place - 1  # the batch fails: it matters no more in which lane this line would be
            self._places[lane] = place
            self.lanes.append(lane)
        return place

    def _note(self, record: IndexRecord, fault: LineFault) -> None:
        self._line_error_count += 1
        if len(self._line_errors) < MAX_LISTED_ERRORS:
            self._line_errors.append(self._render(record, fault))

    def _render(self, record: IndexRecord, fault: LineFault) -> BatchError:
        return line_error(
            fault,
            record.line,
            got=JsonType(record.got),
            length=record.length,
            api=self._rules.api,
            model=self._names.models[record.model],
            provider=self._names.providers[record.provider],
        )


def _rules(endpoint: str) -> EndpointRules:
    """Paths that the configuration adds have OpenAI's general rules."""
    return ENDPOINTS.get(endpoint) or EndpointRules(endpoint)


def _file_errors(totals: IndexTotals, limits: BatchLimits) -> Iterator[BatchError]:
    if not totals.lines:
        yield empty_file()
    if totals.lines > limits.lines:
        yield too_many_requests(totals.lines, limits.lines)
    if totals.bytes > limits.bytes:
        yield file_too_large(totals.bytes, limits.bytes)
    if totals.embedding_inputs > limits.embedding_inputs:
        yield too_many_embedding_inputs(totals.embedding_inputs, limits.embedding_inputs)
