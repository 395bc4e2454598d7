"""The section `batches` of a script: what native batch jobs live through, and what happens to the calls about them.

Times are seconds (float), sizes bytes. A job keeps the life that the script held when it was made.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

Seconds = Annotated[float, Meta(ge=0)]
Count = Annotated[int, Meta(ge=1)]
Number = Annotated[int, Meta(ge=0)]
ErrorStatus = Annotated[int, Meta(ge=400, le=599)]


class FailLines(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Lines that fail in the job, whatever their real-time answer: every so many-th of the job, or a share of all.

    The share is drawn from each line's body, so that the same lines fail in every job. `status` 0 is a line that ends
    without any reply of the model.
    """

    every: Count | None = None
    share: Annotated[float, Meta(ge=0, le=1)] | None = None
    status: Annotated[int, Meta(ge=0, le=599)] = 500
    code: str | None = None
    type: str | None = None
    message: str | None = None

    def __post_init__(self) -> None:
        if (self.every is None) == (self.share is None):
            raise ValueError("`fail_lines` wants either `every` or `share`")
        if 0 < self.status < 400:
            raise ValueError(f"`status` of failed lines is 0 or 400 to 599, not {self.status}")


class JobError(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One reason why a whole job was rejected. `line` counts from 1."""

    code: str
    message: str = ""
    line: Count | None = None
    param: str | None = None


class FailJob(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The whole job fails, without results: when it is validated, or once `after_lines` lines were done."""

    errors: tuple[JobError, ...] = (JobError(code="invalid_request", message="The batch was rejected."),)
    after_lines: Number = 0


class Life(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a job lives through. Its lines finish evenly over `work_s`, or at `lines_per_s`."""

    validate_s: Seconds = 0.0
    work_s: Seconds = 0.0
    lines_per_s: Annotated[float, Meta(gt=0)] | None = None
    finalize_s: Seconds = 0.0
    stall_after: Number | None = None
    fail_lines: tuple[FailLines, ...] = ()
    fail_job: FailJob | None = None
    expire_after_s: Seconds | None = None
    expire_keeps: bool | None = None
    """Whether finished lines are delivered when a job expires; None: as this provider does."""
    cancel_s: Seconds = 0.0

    def __post_init__(self) -> None:
        if self.lines_per_s is not None and self.work_s:
            raise ValueError("`work_s` and `lines_per_s` are two ways to say the same: give one")


class JobMatch(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Which jobs: globs of their model and endpoint path; of those the first so many, or every so many-th."""

    model: str | None = None
    path: str | None = None
    first: Count | None = None
    every: Count | None = None


class JobRule(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The first rule that matches a new job gives it its life, in place of the section's own."""

    match: JobMatch = JobMatch()
    then: Life


class RefuseCreate(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Calls that would make a job are refused: the first so many, or all."""

    status: ErrorStatus = 429
    code: str | None = None
    type: str | None = None
    message: str | None = None
    retry_after_s: Seconds | None = None
    first: Count | None = None


class Batches(Life, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The section: the life of every job that no rule of `jobs` gives another, and what befalls the calls."""

    jobs: tuple[JobRule, ...] = ()
    lost_create: Number = 0
    """So many calls make their job, and are then cut off without a reply."""
    lost_uploads: Number = 0
    refuse_create: RefuseCreate | None = None
    enqueued_tokens: Count | None = None
    """Of all jobs of a model that have not ended; a job that goes beyond fails as a whole."""
    max_requests: Count | None = None
    max_bytes: Count | None = None
    list_delay_s: Seconds = 0.0
    """A new job stands in no listing before."""


BATCH_STRUCTS: tuple[type[Struct], ...] = (Batches, JobRule, JobMatch, FailLines, FailJob, JobError, RefuseCreate)
