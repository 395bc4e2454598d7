"""A new batch of the lines of one that ended: those that have no answer, or that a person chose, are sent again."""

from __future__ import annotations

import hashlib
from dataclasses import replace

from batchrouter.domain.batch import Batch
from batchrouter.domain.lifecycle import BATCH_FINAL
from batchrouter.domain.retry_wish import UNANSWERED, RetryWish
from batchrouter.errors import ApiError, BlobMissing
from batchrouter.input import Input
from batchrouter.keeping import Keeping
from batchrouter.ports.blobs import Blobs
from batchrouter.ports.calls import Calls
from batchrouter.ports.clock import Clock
from batchrouter.ports.results import Results, Subject
from batchrouter.service import asked
from batchrouter.service.batches import NO_RETRY, Batches, BatchView, Repeat, no_such_batch
from batchrouter.service.caller import Caller
from batchrouter.service.retry_asked import retry_of
from batchrouter.service.wishes import Wishes

OWN = ("max_cost", "dedupe", "resume_from")
"""What the metadata of the batch that is retried said for itself alone."""


class Retrying:
    def __init__(self, results: Results, calls: Calls, blobs: Blobs, clock: Clock, batches: Batches) -> None:
        self._results = results
        self._calls = calls
        self._blobs = blobs
        self._clock = clock
        self._batches = batches
        self._keeping = Keeping(results, calls, blobs)

    async def retry(self, caller: Caller, batch_id: str, body: asked.Body, raw: bytes, repeat: Repeat) -> BatchView:
        """What is not said is as in the batch itself: window, priority, dedupe, and the metadata apart from `OWN`. 409
        while the batch is not final, or once a file that is needed is gone; 400 `nothing_to_retry`."""
        wish = retry_of(body)
        subject = None
        if asked.is_id(batch_id):
            now_ms = self._clock.unix_ms()
            subject = await self._calls.read(self._results.subject, caller.tenant_id, batch_id, now_ms)
        if subject is None:
            raise no_such_batch(batch_id)
        source = subject.batch
        if source.state not in BATCH_FINAL:
            raise ApiError(
                409,
                f"Cannot retry a batch with status '{source.state}': wait for its end, or cancel it.",
                code="batch_not_final",
                headers=NO_RETRY,
            )
        metadata = asked.metadata(body) if body.get("metadata") is not None else _metadata_of(source, body)
        told = {name: value for name, value in body.items() if value is not None}
        if source.completion_window in self._batches.windows:
            told.setdefault("completion_window", source.completion_window)
        wishes = Wishes.of(body, metadata)
        new = await self._batches.draft(
            caller,
            told,
            raw=hashlib.sha256(raw).hexdigest(),
            repeat=repeat,
            wishes=wishes,
            input_file_id=source.input_file_id,
            endpoint=source.endpoint,
        )
        new = replace(
            new,
            route=f"/v1/batches/{batch_id}/retry",
            output_expires_after_s=new.output_expires_after_s or source.output_expires_after_s,
            priority=source.priority if wishes.priority is None else wishes.priority,
            dedupe=source.dedupe if wishes.dedupe is None else wishes.dedupe,
            resume_from=None,
            retry_of=batch_id,
            retry=wish,
        )
        if not await self._any(subject, RetryWish.of(wish)):
            raise ApiError(
                400,
                "No line of the batch matches: there is nothing to retry.",
                param="where" if "where" in wish else None,
                code="nothing_to_retry",
            )
        return await self._batches.make(caller, new)

    async def _any(self, subject: Subject, wish: RetryWish) -> bool:
        """Whether a line would be sent again. True also where that cannot be seen, because files are gone: the store
        knows whether this is a repeat of what was done before, and refuses it in words otherwise."""
        batch = subject.batch
        if wish.again.outcomes == UNANSWERED and wish.again.by_record and batch.completed == batch.total:
            return False
        blob_key, index_key = subject.input_blob_key, subject.input_index_key
        if not (subject.output and subject.error) or blob_key is None or index_key is None:
            return True
        try:
            source = await Input.open(self._blobs, blob_key, index_key)
            async for told in self._keeping.retried(batch.id, wish, source):
                if any(again for _, again in told):
                    return True
        except BlobMissing:
            return True
        return False


def _metadata_of(source: Batch, body: asked.Body) -> dict[str, str] | None:
    """What is said anew is not taken over."""
    if source.metadata is None:
        return None
    return {key: value for key, value in source.metadata.items() if key not in OWN and body.get(key) is None}
