"""How the dialects differ, as data. Sources are named where a fact is not in the provider's own documentation."""

from __future__ import annotations

import re
from typing import Literal, get_args

from msgspec import Struct

BatchDialect = Literal["openai", "azure", "groq", "mistral", "gemini", "together"]
DAY_S = 86_400
HOUR_S = 3_600
MEGABYTE = 1_000_000


class Dialect(Struct, frozen=True, kw_only=True):
    """One provider's native batches.

    `hours` are the shortest and the longest window that may be asked for; `expires` false: a window is only a target.
    `expire_keeps`: an expired job delivers what was finished. `one_file`: lines that failed stand in the output file.
    `sorted`: results are in the order of the input. `tells_unrun`: lines that never ran stand in the error file.
    `empty_error_file`: there is an error file even when nothing failed. `codes` are its own words for reasons why a
    job was rejected.
    """

    name: BatchDialect
    endpoints: tuple[str, ...]
    max_requests: int
    max_bytes: int
    hours: tuple[int, int] = (24, 24)
    expires: bool = True
    purpose: str = "batch"
    whole_lines: bool = True
    """A line names its method and url; else only the body, and the model stands in the job."""
    expire_keeps: bool = True
    one_file: bool = False
    sorted: bool = False
    tells_unrun: bool = True
    empty_error_file: bool = False
    codes: dict[str, str] = {}


CHAT = "/v1/chat/completions"

DIALECTS: dict[str, Dialect] = {
    dialect.name: dialect
    for dialect in (
        Dialect(
            name="openai",
            endpoints=(
                "/v1/responses",
                CHAT,
                "/v1/embeddings",
                "/v1/completions",
                "/v1/moderations",
                "/v1/images/generations",
                "/v1/images/edits",
            ),
            max_requests=50_000,
            max_bytes=200 * 1_048_576,  # what clients take 200 MB to be
        ),
        Dialect(
            name="azure",
            endpoints=("/v1/responses", CHAT, "/v1/embeddings", "/v1/completions"),
            max_requests=100_000,
            max_bytes=200 * 1_048_576,
            expires=False,
            empty_error_file=True,
            codes={
                "invalid_url": "url_mismatch",
                "mismatched_model": "model_mismatch",
                "too_many_requests": "too_many_tasks",
            },
        ),
        Dialect(
            name="groq",
            endpoints=(CHAT,),
            max_requests=50_000,
            max_bytes=100 * MEGABYTE,
            hours=(24, 7 * 24),
        ),
        Dialect(
            name="mistral",
            endpoints=(CHAT, "/v1/embeddings", "/v1/fim/completions", "/v1/moderations", "/v1/chat/moderations"),
            max_requests=100_000,
            max_bytes=512 * MEGABYTE,
            hours=(1, 7 * 24),
            whole_lines=False,
            tells_unrun=False,
        ),
        Dialect(
            name="gemini",
            endpoints=(CHAT, "/v1/embeddings"),
            max_requests=1_000_000,
            max_bytes=2_000 * MEGABYTE,
            expire_keeps=False,
            one_file=True,
            sorted=True,
            tells_unrun=False,
        ),
        Dialect(
            name="together",
            endpoints=(CHAT, "/v1/audio/transcriptions", "/v1/audio/translations"),
            max_requests=50_000,
            max_bytes=100 * MEGABYTE,
            purpose="batch-api",
        ),
    )
}

assert set(DIALECTS) == set(get_args(BatchDialect))

_window = re.compile(r"([1-9][0-9]{0,4})([hd])")


def window_hours(window: object) -> int | None:
    """`24h` and `7d` in hours; None for anything that is no window."""
    match = _window.fullmatch(window) if isinstance(window, str) else None
    if match is None:
        return None
    return int(match.group(1)) * (24 if match.group(2) == "d" else 1)
