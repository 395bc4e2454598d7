"""`batchrouter cancel`, `pause`, `resume`: one line for each batch says what happened. Repeats are harmless."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec

from batchrouter.cli.place import ServerOptions
from batchrouter.cli.server import Server
from batchrouter.cli.told import BatchTold
from batchrouter.cli.words import OK, REFUSED, emit, lines, say, tell
from batchrouter.errors import ApiError, InputError

CONFLICT = 409


@dataclass(frozen=True, slots=True, kw_only=True)
class SteerOptions:
    """`verb`: cancel, pause or resume."""

    server: ServerOptions
    verb: str
    ids: tuple[str, ...]
    json: bool = False


def steer(options: SteerOptions) -> int:
    """Each batch is asked, also after one that refused. Raises for a server that does not answer."""
    server = Server.of(options.server)
    code, told = OK, []
    for batch_id in list(dict.fromkeys(server.find(each) for each in options.ids)):
        try:
            sentence, batch = _one(server, options.verb, batch_id)
        except (ApiError, InputError) as error:
            if isinstance(error, ApiError) and error.status in (401, 403):
                raise
            code = REFUSED
            say(f"error: {batch_id}: {error}")
            told.append({"id": batch_id, "ok": False, "error": {"message": str(error)}})
            continue
        told.append({"ok": True, "did": sentence, "batch": batch, "id": batch_id})
        if not options.json:
            tell(f"{batch_id} {sentence}")
    if options.json:
        emit({"ok": code == OK, "exit_code": code, "batches": told})
    return code


def _one(server: Server, verb: str, batch_id: str) -> tuple[str, dict[str, Any]]:
    """What happened, in words, and the batch. Nothing happens to what is as it is wanted."""
    before = server.batch(batch_id)
    settled = _settled(before, verb)
    if settled is not None:
        return settled, server.raw_batch(batch_id)
    try:
        raw = server.act(batch_id, verb)
    except ApiError as error:
        if error.status != CONFLICT:
            raise
        raw = server.raw_batch(batch_id)  # it ended in between
        settled = _settled(msgspec.convert(raw, BatchTold), verb)
        if settled is None:
            raise
        return settled, raw
    return _done(msgspec.convert(raw, BatchTold), verb), raw


def _settled(batch: BatchTold, verb: str) -> str | None:
    """What to say where nothing is to be done."""
    if batch.final:
        if verb == "cancel" and batch.status == "cancelled":
            return "is cancelled already"
        return f"is {batch.status} already: there is nothing to {verb}" if verb == "cancel" else None
    if verb == "cancel" and batch.status == "cancelling":
        return "is being cancelled already"
    if verb == "pause" and batch.batchrouter.paused_at:
        return "is paused already"
    if verb == "resume" and not batch.batchrouter.paused_at:
        return f"is not paused: {batch.status}"
    return None


def _done(batch: BatchTold, verb: str) -> str:
    counts = batch.request_counts
    if verb == "cancel":
        kept = f"{lines(counts.done)} of {counts.total} are done and kept"
        return f"is {batch.status}; {kept}, `batchrouter fetch {batch.id}` when it is over"
    if verb == "pause":
        return f"is paused at {counts.done}/{counts.total}; calls under way end, and the deadline does not move"
    return f"goes on at {counts.done}/{counts.total}"
