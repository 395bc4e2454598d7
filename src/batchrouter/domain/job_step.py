"""The next step of a native job, by its row and by what its batch still wants of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from batchrouter.domain.job import Job
from batchrouter.domain.lifecycle import JobState


class Do(Enum):
    SUBMIT = "submit"
    FIND = "find"
    """Its creation was tried with an unknown outcome: ask the provider's list."""
    ABANDON = "abandon"
    """It was never made, and nobody wants it any more."""
    LOOK = "look"
    CANCEL = "cancel"
    """Write down that it is to be cancelled."""
    END = "end"
    """Ask the provider to cancel it, and look whether it has ended."""


_PREFIX = "our."
_UNSENT, _MISSING, _FOUND, _READ, _MOST, _APART = (
    _PREFIX + name for name in ("unsent", "missing_ms", "found", "read", "most_nano", "apart")
)


@dataclass(frozen=True, slots=True)
class JobMemo:
    """What we keep in a job's `data` beside the adapter's own handles.

    `unsent`: the last try to create it certainly made nothing. `missing_ms`: since when the provider's list shows none
    of its tag. `found`: it was adopted from that list. `read`: how many of its lines the provider had done when its
    results were last read before its end. `most_nano`: what it may cost at most, for a batch with a limit. `apart`:
    jobs of the provider that turned out to be another's.
    """

    unsent: bool = False
    missing_ms: int | None = None
    found: bool = False
    read: int = 0
    most_nano: int = 0
    apart: tuple[str, ...] = ()

    @classmethod
    def of(cls, job: Job) -> JobMemo:
        data = job.data
        missing = data.get(_MISSING)
        apart = data.get(_APART)
        return cls(
            unsent=_UNSENT in data,
            missing_ms=None if missing is None else int(missing),
            found=_FOUND in data,
            read=int(data.get(_READ, "0")),
            most_nano=int(data.get(_MOST, "0")),
            apart=tuple(apart.split()) if apart else (),
        )

    def data(self, *handles: Mapping[str, str]) -> dict[str, str]:
        """A job's `data`: the adapter's handles, later ones first, and these."""
        data: dict[str, str] = {}
        for each in handles:
            data.update((key, value) for key, value in each.items() if not key.startswith(_PREFIX))
        if self.unsent:
            data[_UNSENT] = "1"
        if self.missing_ms is not None:
            data[_MISSING] = str(self.missing_ms)
        if self.found:
            data[_FOUND] = "1"
        if self.read:
            data[_READ] = str(self.read)
        if self.most_nano:
            data[_MOST] = str(self.most_nano)
        if self.apart:
            data[_APART] = " ".join(self.apart)
        return data

    def without(self, ext_id: str) -> JobMemo:
        """That job of the provider is another's."""
        return JobMemo(most_nano=self.most_nano, apart=(*self.apart, ext_id))


def next_do(job: Job, wanted: bool) -> Do:
    """`wanted`: the batch is in progress and real time need not take over yet."""
    memo = JobMemo.of(job)
    match job.state:
        case JobState.INTENDED if job.sent_ms is not None and not memo.unsent:
            return Do.FIND
        case JobState.INTENDED:
            return Do.SUBMIT if wanted else Do.ABANDON
        case JobState.CREATED | JobState.CANCELLING if job.ext_id in memo.apart:
            return Do.FIND
        case JobState.CREATED:
            return Do.LOOK if wanted else Do.CANCEL
        case _:
            return Do.END
