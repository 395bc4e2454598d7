"""What makes two submissions the same: the same lines, asked for in the same way, within a day.

The batch carries the mark of its submission in its metadata, so that whoever submits the same again finds it, on any
machine; and the server's Idempotency-Key keeps two that come at the same moment from making two."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import msgspec

from batchrouter.bootstrap.local import new_key, now_s
from batchrouter.cli.server import Server
from batchrouter.cli.told import BatchTold

MARK = "submit_key"
MARKED_S = 86_400
METADATA_PAIRS = 16
OVER_FOR_NOTHING = ("failed", "cancelled")
"""After these the same submission makes a new batch: a person has mended something, or wants it after all."""


def mark_of(digest: str, asked: Mapping[str, Any]) -> str:
    """`digest` of the input; `asked` is the rest of the request."""
    text = msgspec.json.encode({"input": digest, "asked": dict(asked)}, order="deterministic")
    return hashlib.sha256(text).hexdigest()[:32]


class Submission:
    """`given`: a key that a person chose: whatever has it is the batch meant. `again`: none that there is is meant."""

    def __init__(self, server: Server, mark: str, *, given: bool, again: bool) -> None:
        self._server = server
        self._given = given
        self._again = again
        self._ended: str | None = None
        self.mark = mark

    def made(self) -> BatchTold | None:
        """The batch of an earlier submission that was the same."""
        if self._again:
            return None
        for raw in self._server.page({f"metadata[{MARK}]": self.mark, "limit": 20}).data:
            batch = msgspec.convert(raw, BatchTold)
            if (batch.metadata or {}).get(MARK) != self.mark or now_s() - batch.created_at > MARKED_S:
                continue  # an older server leaves the filter aside
            if batch.batchrouter.retry_of is not None:
                continue  # it has the metadata of the one that it retries
            if self._given or batch.status not in OVER_FOR_NOTHING:
                return batch
            self._ended = self._ended or batch.id
        return None

    def key(self) -> str:
        """The Idempotency-Key. Two of the same who both know of the same ended one have the same key."""
        if self._again:
            return new_key()
        if self._given or self._ended is None:
            return self.mark
        return hashlib.sha256(f"{self.mark} {self._ended}".encode()).hexdigest()[:32]

    def metadata(self, told: Mapping[str, str]) -> dict[str, str]:
        """With the mark, where there is room for it."""
        return dict(told) if len(told) >= METADATA_PAIRS else {**told, MARK: self.mark}
