"""From an uploaded file to shards: read the index, decide every line, cut the plan. Repeatable until it is applied."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from batchrouter.domain.batch import BatchError
from batchrouter.domain.lane_choice import LaneOptions, choose, wish_of
from batchrouter.domain.planning import NO_GROUP, Planner
from batchrouter.domain.routing import Router
from batchrouter.domain.shard import Duty, LaneKey, Plan, Rejection
from batchrouter.domain.validation import Group, Validation
from batchrouter.engine.settings import EngineSettings
from batchrouter.errors import BlobMissing, InputError
from batchrouter.input import Input
from batchrouter.ports.blobs import Blobs

Options = Callable[[str, str], LaneOptions]


async def decide(
    duty: Duty, blobs: Blobs, router: Router, options: Options, settings: EngineSettings, now_ms: int
) -> Plan | Rejection:
    """What becomes of a batch that is to be planned. A closing one is planned without lanes, to tell its lines."""
    if duty.input_blob_key is None or duty.input_index_key is None:
        return Rejection(errors=(_no_file(duty.input_file_id),))
    try:
        source = await Input.open(blobs, duty.input_blob_key, duty.input_index_key)
    except BlobMissing:
        return Rejection(errors=(_no_file(duty.input_file_id),))
    except InputError as error:  # as it is now, so it will be at any later try
        return Rejection(errors=(BatchError(code="invalid_request", message=str(error), param="file_id"),))
    validation = Validation(source.names, source.totals, duty.endpoint, router, settings.limits, options)
    planner = Planner(duty.batch_id)
    closing = duty.closing is not None
    counts: Counter[int] = Counter()
    async for records in source.slices():
        places = validation.feed(records)
        if not validation.error_count:
            counts.update(places)
            planner.feed([record.length for record in records], [NO_GROUP] * len(records) if closing else places)
    if validation.error_count:
        return Rejection(errors=tuple(validation.errors))
    models = {group.model for group in validation.groups}
    model = models.pop() if len(models) == 1 else ""
    lanes = [
        _lane(group, counts[place], duty, source.totals.lines, options, settings, now_ms)
        for place, group in enumerate(validation.groups)
    ]
    return planner.plan(model or None, lanes)


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
