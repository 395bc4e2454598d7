"""What can be wrong with a line or an input file, and the words that say so.

Codes and words are OpenAI's where they were recorded (contract: validation codes); where nothing is known they are
ours, in the same manner. A message is made from the index record and the interned names alone, so that the errors of
a file of any size can be printed while streaming over its index.
"""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

from batchrouter.domain.batch import BatchError

MAX_CUSTOM_ID_BYTES = 4096
MAX_NAME_BYTES = 256  # of a model, url or provider
MAX_NESTING = 500


class LineFault(IntEnum):
    """Why a line cannot run. The numbers stand in index files: add, never renumber."""

    NONE = 0
    INVALID_JSON = 1
    TOO_DEEP = 2
    LINE_TOO_LONG = 3
    CUSTOM_ID_MISSING = 4
    CUSTOM_ID_TYPE = 5
    CUSTOM_ID_EMPTY = 6
    CUSTOM_ID_TOO_LONG = 7
    METHOD_MISSING = 8
    METHOD_TYPE = 9
    METHOD_NOT_POST = 10
    URL_MISSING = 11
    URL_TYPE = 12
    URL_MISMATCH = 13
    PROVIDER_TYPE = 14
    PROVIDER_TOO_LONG = 15
    BODY_MISSING = 16
    BODY_TYPE = 17
    MODEL_TYPE = 18
    MODEL_TOO_LONG = 19
    STREAM_TYPE = 20
    TOO_MANY_NAMES = 21
    DUPLICATE_CUSTOM_ID = 22
    NOT_AN_OBJECT = 23
    MODE_TYPE = 24
    MODE_UNKNOWN = 25
    # Decided at validation, where endpoint and configuration are known; never in an index.
    STREAMING = 64
    MODEL_MISSING = 65
    MESSAGES_MISSING = 66
    INPUT_MISSING = 67
    MODEL_NOT_FOUND = 68
    PROVIDER_NOT_FOUND = 69
    PROVIDER_MODEL_MISMATCH = 70
    MODE_UNSUPPORTED = 71


class JsonType(IntEnum):
    """What stood where another type was wanted, for the words of a type error."""

    NONE = 0
    NULL = 1
    BOOLEAN = 2
    INTEGER = 3
    DECIMAL = 4
    STRING = 5
    ARRAY = 6
    OBJECT = 7


class _Words(NamedTuple):
    code: str
    param: str | None
    message: str


def _missing(param: str) -> _Words:
    return _Words("missing_required_parameter", param, f"Missing required parameter: '{param}'.")


def _wrong_type(param: str, wanted: str) -> _Words:
    return _Words("invalid_type", param, f"Invalid type for '{param}': expected {wanted}, but got {{got}} instead.")


def _too_long(param: str, limit: int) -> _Words:
    return _Words(
        "string_above_max_length",
        param,
        f"Invalid '{param}': string too long. Expected a string of at most {limit} bytes.",
    )


_WORDS: dict[LineFault, _Words] = {
    LineFault.INVALID_JSON: _Words("invalid_json_line", None, "This line is not parseable as valid JSON."),
    LineFault.TOO_DEEP: _Words(
        "invalid_json_line", None, f"This line is nested more than {MAX_NESTING} levels deep and cannot be read."
    ),
    LineFault.NOT_AN_OBJECT: _Words("invalid_type", None, "This line is valid JSON, but it is not an object."),
    LineFault.LINE_TOO_LONG: _Words(
        "line_too_long", None, "This line is {length} bytes long, which is more than a line may have."
    ),
    LineFault.CUSTOM_ID_MISSING: _missing("custom_id"),
    LineFault.CUSTOM_ID_TYPE: _wrong_type("custom_id", "a string"),
    LineFault.CUSTOM_ID_EMPTY: _Words(
        "invalid_custom_id", "custom_id", "Invalid 'custom_id': expected a string that is not empty."
    ),
    LineFault.CUSTOM_ID_TOO_LONG: _too_long("custom_id", MAX_CUSTOM_ID_BYTES),
    LineFault.METHOD_MISSING: _missing("method"),
    LineFault.METHOD_TYPE: _wrong_type("method", "a string"),
    LineFault.METHOD_NOT_POST: _Words(
        "invalid_method", "method", "Invalid value for 'method'. Supported values are: 'POST'."
    ),
    LineFault.URL_MISSING: _missing("url"),
    LineFault.URL_TYPE: _wrong_type("url", "a string"),
    LineFault.URL_MISMATCH: _Words(
        "invalid_url", "url", "The URL provided for this request does not match the batch endpoint."
    ),
    LineFault.PROVIDER_TYPE: _wrong_type("provider", "a string"),
    LineFault.PROVIDER_TOO_LONG: _too_long("provider", MAX_NAME_BYTES),
    LineFault.MODE_TYPE: _wrong_type("mode", "a string"),
    LineFault.MODE_UNKNOWN: _Words(
        "invalid_mode", "mode", "Invalid value for 'mode'. Supported values are: 'auto', 'batch', and 'realtime'."
    ),
    LineFault.BODY_MISSING: _missing("body"),
    LineFault.BODY_TYPE: _wrong_type("body", "an object"),
    LineFault.MODEL_TYPE: _wrong_type("body.model", "a string"),
    LineFault.MODEL_TOO_LONG: _too_long("body.model", MAX_NAME_BYTES),
    LineFault.STREAM_TYPE: _wrong_type("body.stream", "a boolean"),
    LineFault.TOO_MANY_NAMES: _Words(
        "too_many_names",
        None,
        "The lines of this file name too many different models, URLs or providers; split the file.",
    ),
    LineFault.DUPLICATE_CUSTOM_ID: _Words(
        "duplicate_custom_id",
        "custom_id",
        "The custom_id for this request is a duplicate of another request. "
        "The custom_id parameter must be unique for each request in a batch.",
    ),
    LineFault.STREAMING: _Words(
        "streaming_unsupported", "body.stream", "{api}: Streaming is not supported in the Batch API."
    ),
    LineFault.MODEL_MISSING: _Words("invalid_request", "body.model", "Model parameter is required."),
    LineFault.MESSAGES_MISSING: _Words("invalid_request", "body.messages", "Messages parameter is required."),
    LineFault.INPUT_MISSING: _Words("invalid_request", "body.input", "Input parameter is required."),
    LineFault.MODEL_NOT_FOUND: _Words(
        "model_not_found", "body.model", "The provided model '{model}' is not supported by the Batch API."
    ),
    LineFault.PROVIDER_NOT_FOUND: _Words(
        "provider_not_found", "provider", "The provider '{provider}' of this request is not configured."
    ),
    LineFault.PROVIDER_MODEL_MISMATCH: _Words(
        "provider_model_mismatch",
        "body.model",
        "The provider '{provider}' of this request and the prefix of its model '{model}' name two different providers.",
    ),
    LineFault.MODE_UNSUPPORTED: _Words(
        "mode_unsupported",
        "mode",
        "This request asks for mode 'batch', but the provider of its model '{model}' has no batch API for this "
        "endpoint; use 'auto' or 'realtime'.",
    ),
}

_GOT = {
    JsonType.NONE: "nothing",
    JsonType.NULL: "null",
    JsonType.BOOLEAN: "a boolean",
    JsonType.INTEGER: "an integer",
    JsonType.DECIMAL: "a decimal number",
    JsonType.STRING: "a string",
    JsonType.ARRAY: "an array",
    JsonType.OBJECT: "an object",
}


def line_error(
    fault: LineFault,
    line: int,
    *,
    got: JsonType = JsonType.NONE,
    length: int = 0,
    api: str = "",
    model: str = "",
    provider: str = "",
) -> BatchError:
    """The fault in the wire's words; `line` is the physical line number. Values that a message does not use are
    ignored."""
    words = _WORDS[fault]
    message = words.message.format(got=_GOT[got], length=length, api=api, model=model, provider=provider)
    return BatchError(code=words.code, message=message, param=words.param, line=line)


# --- faults of the file as a whole ----------------------------------------------------------------------------------


def empty_file() -> BatchError:
    return BatchError(
        code="empty_file", message="The input file is empty. Please ensure that the file has at least one request."
    )


def too_many_requests(lines: int, limit: int) -> BatchError:
    return BatchError(
        code="too_many_requests",
        message=f"The input file has {lines} requests. A batch may have at most {limit}; split the file.",
    )


def file_too_large(size: int, limit: int) -> BatchError:
    return BatchError(
        code="file_too_large",
        message=f"The input file is {size} bytes large. A batch's input may have at most {limit}; split the file.",
    )


def too_many_embedding_inputs(inputs: int, limit: int) -> BatchError:
    return BatchError(
        code="too_many_embedding_inputs",
        message=f"The requests have {inputs} embedding inputs. A batch may have at most {limit}; split the file.",
    )


def too_many_lanes(limit: int) -> BatchError:
    return BatchError(
        code="too_many_models",
        message=f"The requests name more than {limit} different models. A batch may have at most {limit}; "
        "split the file.",
    )


def more_errors(count: int) -> BatchError:
    """The entry that ends a list which was cut."""
    lines = "line has" if count == 1 else "lines have"
    return BatchError(
        code="more_errors", message=f"{count} more {lines} errors; `batchrouter check` on the file lists all of them."
    )
