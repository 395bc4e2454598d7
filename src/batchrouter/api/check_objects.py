"""Checks of files as they are sent; ours, OpenAI has none."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from batchrouter.api.batch_objects import BatchErrorObject, error_object
from batchrouter.service.checks import Check


class CheckedGroup(Struct):
    """Sound lines that go to one model; `model` as the provider knows it."""

    provider: str
    model: str
    lines: int


class CheckObject(Struct):
    """`errors` as a batch of this file would have them: the first thousand of lines, and one that counts the rest.
    `error_count` counts all; a batch runs only where it is 0."""

    object: Literal["file.check"]
    file_id: str
    lines: int
    error_count: int
    errors: list[BatchErrorObject]
    groups: list[CheckedGroup]


def check_object(file_id: str, check: Check) -> CheckObject:
    return CheckObject(
        object="file.check",
        file_id=file_id,
        lines=check.lines,
        error_count=check.error_count,
        errors=[error_object(error) for error in check.errors],
        groups=[CheckedGroup(*group) for group in check.groups],
    )
