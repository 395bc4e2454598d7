"""From an uploaded file to shards: read the index, decide every line, cut the plan. Repeatable until it is applied."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace

from batchrouter.domain.batch import BatchError
from batchrouter.domain.lane_choice import LaneOptions, choose, wish_of
from batchrouter.domain.line_index import IndexRecord
from batchrouter.domain.line_set import LineSet
from batchrouter.domain.planning import NO_GROUP, Planner
from batchrouter.domain.routing import Router
from batchrouter.domain.shard import Duty, LaneKey, Plan, Rejection
from batchrouter.domain.validation import Group, Validation
from batchrouter.engine.reuse import Reuse
from batchrouter.engine.settings import EngineSettings
from batchrouter.errors import BlobMissing, InputError, RecordsGone
from batchrouter.input import Input
from batchrouter.ports.blobs import Blobs

Options = Callable[[str, str], LaneOptions]
_SOURCE_GONE = "Answers of the batch that this one goes on from cannot be read: {}"


async def decide(
    duty: Duty, blobs: Blobs, reuse: Reuse, router: Router, options: Options, settings: EngineSettings, now_ms: int
) -> Plan | Rejection:
    """What becomes of a batch that is to be planned. A closing one is planned without lanes, to tell its lines. Lines
    that are not sent are in no shard; what a retry keeps is not looked at: the configuration may know its model no
    more."""
    if duty.input_blob_key is None or duty.input_index_key is None:
        return Rejection(errors=(_no_file(duty.input_file_id),))
    try:
        source = await Input.open(blobs, duty.input_blob_key, duty.input_index_key)
    except BlobMissing:
        return Rejection(errors=(_no_file(duty.input_file_id),))
    except InputError as error:  # as it is now, so it will be at any later try
        return Rejection(errors=(BatchError(code="invalid_request", message=str(error), param="file_id"),))
    try:
        unsent = await reuse.unsent(duty, source)
    except (BlobMissing, RecordsGone) as error:
        return Rejection(errors=(BatchError(code="source_gone", message=_SOURCE_GONE.format(error)),))
    passed_by = unsent.kept if duty.retry_of is not None else None
    validation = Validation(source.names, source.totals, duty.endpoint, router, settings.limits, options)
    planner = Planner(duty.batch_id)
    closing = duty.closing is not None
    counts: Counter[int] = Counter()
    line = 0
    async for records in source.slices():
        places = _feed(validation, records, line, passed_by)
        if not validation.error_count:
            if unsent.kept is not None or unsent.followers is not None:
                places = [NO_GROUP if unsent.has(number) else place for number, place in enumerate(places, line)]
            counts.update(places)
            planner.feed([record.length for record in records], [NO_GROUP] * len(records) if closing else places)
        line += len(records)
    if validation.error_count:
        return Rejection(errors=tuple(validation.errors))
    models = {group.model for group in validation.groups}
    model = models.pop() if len(models) == 1 else ""
    lanes = [
        _lane(group, counts[place], duty, line - counts[NO_GROUP], options, settings, now_ms)
        for place, group in enumerate(validation.groups)
    ]
    plan = planner.plan(model or None, lanes)
    followers = 0 if unsent.followers is None else unsent.followers.count
    return replace(plan, copying=unsent.kept is not None, followers=followers)


def _feed(validation: Validation, records: list[IndexRecord], line: int, passed_by: LineSet | None) -> list[int]:
    """As `Validation.feed`, of records from `line` on; lines that are passed by have no group."""
    if passed_by is None:
        return validation.feed(records)
    places = iter(validation.feed([r for number, r in enumerate(records, line) if number not in passed_by]))
    return [NO_GROUP if number in passed_by else next(places) for number in range(line, line + len(records))]


def _lane(
    group: Group, lines: int, duty: Duty, total: int, options: Options, settings: EngineSettings, now_ms: int
) -> LaneKey:
    """The line's own wish goes before the batch's, and that before the configuration's."""
    mode = choose(
        wish_of(duty.metadata.get("mode")) if group.wish is None else group.wish,
        options(group.provider, group.model),
        endpoint=duty.endpoint,
        lines=lines,
        rest=total,
        left_s=(duty.expires_ms - now_ms) / 1000,
        margin_s=settings.overtake_margin_s,
    )
    return LaneKey(group.provider, group.model, mode=mode)


def _no_file(file_id: str) -> BatchError:
    """The newest record of what OpenAI does: the batch is made, then fails (contract 2.5)."""
    return BatchError(
        code="invalid_request",
        message=f"Cannot find file {file_id}, or organization does not have access to it.",
        param="file_id",
    )
