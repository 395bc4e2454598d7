"""Why lines of a batch failed: from its summary where the server has one, else from its error file."""

from __future__ import annotations

from batchrouter.cli.facts import failure_of
from batchrouter.cli.failures import Failure, FailureDigest
from batchrouter.cli.server import Server
from batchrouter.cli.told import BatchTold
from batchrouter.errors import ApiError

READ_MOST_BYTES = 64 * 1024 * 1024
LINE_BYTES = 128 * 1024 * 1024


def failures_of(server: Server, batch: BatchTold) -> list[Failure]:
    """The most frequent first; nothing where nothing failed. Of a large error file its beginning."""
    counts = batch.request_counts
    if counts.total == counts.completed or (not batch.final and not counts.failed):
        return []
    summary = server.summary(batch.id)
    if summary is not None:
        return sorted(map(failure_of, summary.errors), key=lambda failure: -failure.count)
    if batch.error_file_id is None:
        return []
    digest, read = FailureDigest(LINE_BYTES), 0
    try:
        with server.client.stream(server.path(f"/v1/files/{batch.error_file_id}/content", {}), {}) as (_, _, data):
            for piece in data:
                digest.feed(piece)
                read += len(piece)
                if read > READ_MOST_BYTES:
                    break
    except ApiError as error:
        if error.status != 404:  # the file may have been deleted
            raise
    return digest.failures
