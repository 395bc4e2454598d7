"""From an uploaded file to shards: read the index, decide every line, cut the plan. Repeatable until it is applied."""

from __future__ import annotations

from batchrouter.domain.batch import BatchError
from batchrouter.domain.planning import Planner
from batchrouter.domain.routing import Router
from batchrouter.domain.shard import Duty, Plan, Rejection
from batchrouter.domain.validation import BatchLimits, Validation
from batchrouter.engine.input import Input
from batchrouter.errors import BlobMissing, InputError
from batchrouter.ports.blobs import Blobs


async def decide(duty: Duty, blobs: Blobs, router: Router, limits: BatchLimits) -> Plan | Rejection:
    """What becomes of a batch that is to be planned. A closing one is planned without lanes, to tell its lines."""
    if duty.input_blob_key is None or duty.input_index_key is None:
        return Rejection(errors=(_no_file(duty.input_file_id),))
    try:
        source = await Input.open(blobs, duty.input_blob_key, duty.input_index_key)
    except BlobMissing:
        return Rejection(errors=(_no_file(duty.input_file_id),))
    except InputError as error:  # as it is now, so it will be at any later try
        return Rejection(errors=(BatchError(code="invalid_request", message=str(error), param="file_id"),))
    validation = Validation(source.names, source.totals, duty.endpoint, router, limits)
    planner = Planner(duty.batch_id)
    async for records in source.slices():
        places = validation.feed(records)
        if not validation.error_count:
            lanes = validation.lanes
            closing = duty.closing is not None
            planner.feed(
                [record.length for record in records],
                [None] * len(records) if closing else [lanes[place] for place in places],
            )
    if validation.error_count:
        return Rejection(errors=tuple(validation.errors))
    models = {lane.model for lane in validation.lanes}
    model = models.pop() if len(models) == 1 else ""
    return planner.plan(model or None)


def _no_file(file_id: str) -> BatchError:
    """The newest record of what OpenAI does: the batch is made, then fails (contract 2.5)."""
    return BatchError(
        code="invalid_request",
        message=f"Cannot find file {file_id}, or organization does not have access to it.",
        param="file_id",
    )
