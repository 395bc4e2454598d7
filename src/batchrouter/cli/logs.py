"""The log on standard error: a line for people, or a JSON object for machines.

What no log may hold is a prompt, an answer or a key. Our own messages are written so; of an exception that somebody
else logs, the kind and the places are told and not its message, which may hold anything.
"""

from __future__ import annotations

import json
import logging
import re
import sys
import traceback
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TextIO

OURS = "batchrouter"
PLACES_MAX = 8
"""Innermost calls that are told of an exception."""
FIELDS = {
    "batch": re.compile(r"\bbatch_[0-9a-f]{32}\b"),
    "worker": re.compile(r"\bw-[0-9a-f]{16}\b"),
    "job": re.compile(r"\bjob_[0-9a-f]{24}\b"),
    "request_id": re.compile(r"\breq_[0-9a-f]{32}\b"),
    "lane": re.compile(r"\blane ([^\s:]+/[^\s:]+)"),
}
"""As we make them (`service.batches`, `engine`, `api.context`) and name them in messages."""
_CONTROLS = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160))} | {10: "\\n", 13: "\\r", 9: "\\t"}


def log_to_stderr(level: str, form: str | None = None) -> None:
    """`form`: text or json; None leaves it to the configuration. Other people's libraries are heard from `warning` on:
    what they tell below it may be a statement with its values. Raises ValueError for a level that there is not."""
    handler = _Handler()
    handler.chosen = form is not None
    handler.setFormatter(_FORMS[form or "text"]())
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.getLogger(OURS).setLevel(level.upper())


def use_configured(form: str) -> None:
    """The configuration's form, unless the command line chose one, or nothing is logged."""
    for handler in logging.getLogger().handlers:
        if isinstance(handler, _Handler) and not handler.chosen:
            handler.setFormatter(_FORMS[form]())


class TextFormatter(logging.Formatter):
    """One line for each record, whatever is in it."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")

    def format(self, record: logging.LogRecord) -> str:
        return (
            f"{self.formatTime(record)} {record.levelname} {record.name}: {told(record)}{self._error(record)}"
        ).translate(_CONTROLS)

    def _error(self, record: logging.LogRecord) -> str:
        words = error_of(record)
        return "" if words is None else f" ({words})"


class JsonFormatter(logging.Formatter):
    """Members `time` (UTC), `level`, `logger`, `message`; `error` where one is logged; and of `FIELDS` those that the
    message names."""

    def format(self, record: logging.LogRecord) -> str:
        message = told(record)
        line: dict[str, str] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": message,
        }
        for field, form in FIELDS.items():
            found = form.search(message)
            if found is not None:
                line[field] = found[found.re.groups]
        words = error_of(record)
        if words is not None:
            line["error"] = words
        return json.dumps(line)


def told(record: logging.LogRecord) -> str:
    """Of other people's records the first line: behind it asyncio puts what it knows of a task, its exception too."""
    message = record.getMessage()
    return message if record.name.split(".")[0] == OURS else message.partition("\n")[0]


def error_of(record: logging.LogRecord) -> str | None:
    """Kind and places of the exception that was logged."""
    info = record.exc_info
    if not info or info[0] is None:
        return None
    frames = traceback.extract_tb(info[2])[-PLACES_MAX:]
    places = " > ".join(f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames)
    return f"{info[0].__name__} at {places or 'an unknown place'}"


_FORMS: dict[str, Callable[[], logging.Formatter]] = {"text": TextFormatter, "json": JsonFormatter}


class _Handler(logging.StreamHandler[TextIO]):
    """Asks for the stream each time, because a panel on the terminal replaces it while it is drawn. `chosen`: its
    form, by the command line."""

    chosen = False

    @property
    def stream(self) -> TextIO:
        return sys.stderr

    @stream.setter
    def stream(self, _: TextIO) -> None:
        return None
