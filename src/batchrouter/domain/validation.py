"""Decide, from the index alone, whether a batch can run, and which of its lines go the same way."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import NamedTuple

from batchrouter.domain.batch import BatchError
from batchrouter.domain.lane_choice import LaneOptions, Mode
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
from batchrouter.domain.planning import NO_GROUP
from batchrouter.domain.routing import Router, RoutingError

MAX_LISTED_ERRORS = 1_000

DECIDED_MAX = 65_536

_MODES = {
    0: None,
    int(IndexFlag.MODE_BATCH): Mode.BATCH,
    int(IndexFlag.MODE_REALTIME): Mode.REALTIME,
    int(IndexFlag.MODE_BATCH | IndexFlag.MODE_REALTIME): Mode.AUTO,
}
_MODE_BITS = int(IndexFlag.MODE_BATCH | IndexFlag.MODE_REALTIME)
_kind_of: Callable[[IndexRecord], tuple[int, ...]] = itemgetter(
    *map(IndexRecord._fields.index, ("url", "provider", "model", "flags", "error"))
)
"""What lines that are decided alike have in common."""


class Group(NamedTuple):
    """Lines that go the same way: to one provider, under the name that it knows the model by, with one wish of their
    own about how (None: they have none)."""

    provider: str
    model: str
    wish: Mode | None


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
    "/v1/messages": EndpointRules("Messages", needs_messages=True),
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
    endpoints a batch may have is decided when it is created. `options` tells whether a provider has a batch API;
    without it, no line that insists on one is refused.
    """

    def __init__(
        self,
        names: IndexNames,
        totals: IndexTotals,
        endpoint: str | None,
        router: Router,
        limits: BatchLimits,
        options: Callable[[str, str], LaneOptions] | None = None,
    ) -> None:
        self._names = names
        self._totals = totals
        self._limits = limits
        self._router = router
        self._options = options
        # Place 0, for an endpoint that no line names, is no sound line's url.
        places = {url: place for place, url in enumerate(names.urls)}
        self._url = None if endpoint is None else places.get(endpoint, 0)
        self._rules = EndpointRules("") if endpoint is None else _rules(endpoint)
        self._decided: dict[tuple[int, ...], int] = {}
        self._places: dict[Group, int] = {}
        self._lanes: set[tuple[str, str]] = set()
        self._too_many_lanes = False
        self.groups: list[Group] = []
        self._file_errors = list(_file_errors(totals, limits))
        self._line_errors: list[BatchError] = []
        self._line_error_count = 0

    def feed(self, records: Sequence[IndexRecord]) -> list[int]:
        """For each record the place of its group in `groups`, or `NO_GROUP` for a line with an error."""
        known = list(map(self._decided.get, map(_kind_of, records)))
        places = [place for place in known if place is not None and place >= 0]
        if len(places) == len(known):  # no line is of a kind that is new
            return places
        places = []
        add = places.append
        for record in records:
            outcome = self._decide(record)
            if outcome < 0:
                self._note(record, LineFault(-outcome))
                outcome = NO_GROUP
            add(outcome)
        return places

    def errors_of(self, records: Iterable[IndexRecord]) -> Iterator[BatchError]:
        """Every line error of these records, which were fed before: to print all of them, however many."""
        for record in records:
            outcome = self._decide(record)
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
        """The group's place, or minus the fault. Lines of a kind are decided once."""
        kind = _kind_of(record)
        outcome = -record.error or self._decided.get(kind)
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
        wish = _MODES[flags & _MODE_BITS]
        if wish is Mode.BATCH and self._options is not None:
            options = self._options(found.provider, found.model)
            if not options.takes(self._names.urls[record.url]):
                return -LineFault.MODE_UNSUPPORTED
        return self._place(Group(found.provider, found.model, wish))

    def _place(self, group: Group) -> int:
        place = self._places.get(group)
        if place is None:
            lane = (group.provider, group.model)
            if lane not in self._lanes and len(self._lanes) == self._limits.lanes:
                if not self._too_many_lanes:
                    self._too_many_lanes = True
                    self._file_errors.append(too_many_lanes(self._limits.lanes))
                return 0  # the batch fails: it matters no more in which group this line would be
            self._lanes.add(lane)
            place = self._places[group] = len(self.groups)
            self.groups.append(group)
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
