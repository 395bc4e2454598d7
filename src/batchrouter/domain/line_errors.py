"""What can be wrong with a line or an input file, and the words that say so."""

from __future__ import annotations

from enum import IntEnum

import msgspec


class LineFault(IntEnum):
    """Why a line cannot run. The numbers stand in index files: add, never renumber."""

    NONE = 0
    INVALID_JSON = 1
    LINE_TOO_LONG = 2
    CUSTOM_ID_MISSING = 3
    CUSTOM_ID_TYPE = 4
    CUSTOM_ID_EMPTY = 5
    CUSTOM_ID_TOO_LONG = 6
    METHOD_MISSING = 7
    METHOD_TYPE = 8
    METHOD_NOT_POST = 9
    URL_MISSING = 10
    URL_TYPE = 11
    URL_MISMATCH = 12
    PROVIDER_TYPE = 13
    PROVIDER_TOO_LONG = 14
    BODY_MISSING = 15
    BODY_TYPE = 16
    MODEL_TYPE = 17
    MODEL_TOO_LONG = 18
    STREAM_TYPE = 19
    TOO_MANY_NAMES = 20
    DUPLICATE_CUSTOM_ID = 21
    # Decided at validation, where endpoint and configuration are known.
    STREAMING = 32
    MODEL_MISSING = 33
    MESSAGES_MISSING = 34
    INPUT_MISSING = 35
    MODEL_NOT_FOUND = 36
    PROVIDER_NOT_FOUND = 37
    PROVIDER_MODEL_MISMATCH = 38


class BatchError(msgspec.Struct, frozen=True):
    """One entry of a batch's `errors.data`, in the wire's words."""

    code: str
    message: str
    param: str | None
    line: int | None
