"""The seam between the engine and a provider's own batch API."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from batchrouter.domain.job import Seen


@dataclass(frozen=True, slots=True, kw_only=True)
class JobDraft:
    """A job to be made. `tag` is our own id of it, put into the provider's metadata or name where there is one.

    `lines` counts them, `bytes` is the sum of what the lines are, line ends included. `sent_ms`: when its creation was
    first tried, by our clock. `data`: handles that an earlier try left (an uploaded file's id).
    """

    tag: str
    endpoint: str
    model: str
    lines: int
    bytes: int
    sent_ms: int
    window_s: int
    data: Mapping[str, str] = field(default_factory=dict)


class NativeApi(Protocol):
    """One provider's batch API under one key. Nothing here is tried twice: whoever asks decides about that.

    Every call raises `NativeRefused` when the provider answered with an error (status, code, when to come back) and
    `NativeUnknown` when there was no whole answer: then what was asked may have happened. Messages hold no key and
    nothing of a prompt.
    """

    async def submit(self, draft: JobDraft, lines: AsyncIterable[bytes]) -> Seen:
        """Send the lines (each in the provider's own form, without a line end; read once, streamed, never all in
        memory where the provider allows) and make the job. After `NativeUnknown`, and after a crash in between, ask
        `find` first: a second job for the same lines would be paid twice."""
        ...

    async def find(self, draft: JobDraft, apart: frozenset[str]) -> Seen | None:
        """The provider's job with this tag, looked for in its list since `draft.sent_ms`; None: there is none (yet: a
        list may lag). Where jobs carry no tag: the likeliest by time and count among those not named in `apart`; its
        results prove whether it is."""
        ...

    async def look(self, ext_id: str, data: Mapping[str, str]) -> Seen:
        """The job as it is now. `NativeRefused` with 404: it is not there (any more)."""
        ...

    async def cancel(self, ext_id: str, data: Mapping[str, str]) -> Seen:
        """Ask for the end; it may take minutes. Harmless for a job that has ended."""
        ...

    def results(self, seen: Seen) -> AsyncIterator[bytes]:
        """The lines of its results as they are, without line ends, in any order, streamed; those with errors among
        them. Empty where there are none. The caller may stop early (`aclose`)."""
        ...

    async def discard(self, seen: Seen) -> None:
        """Delete what was uploaded for the job, as far as that can be. Never raises."""
        ...

    async def aclose(self) -> None: ...
