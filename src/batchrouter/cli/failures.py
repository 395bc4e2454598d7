"""What went wrong in an error file: how often each kind, and one line of each to look at."""

from __future__ import annotations

import msgspec

from batchrouter.domain.jsonl import LineReader

KINDS_MAX = 200
OTHER = "other"
WORD_CHARS = 80


class Failure(msgspec.Struct):
    """`kind` is the status and the code of the upstream's error, or our own code where there was no reply."""

    kind: str
    count: int
    sample: str


class _Error(msgspec.Struct):
    code: msgspec.Raw = msgspec.Raw()
    type: msgspec.Raw = msgspec.Raw()


class _Body(msgspec.Struct):
    error: _Error | None = None


class _Response(msgspec.Struct):
    status_code: int
    body: msgspec.Raw


class _Line(msgspec.Struct):
    custom_id: str
    response: _Response | None = None
    error: _Error | None = None


_decode_line = msgspec.json.Decoder(_Line).decode
_decode_body = msgspec.json.Decoder(_Body).decode
_decode_word = msgspec.json.Decoder(str | int).decode


class FailureDigest:
    """Fed with an error file's bytes as they come."""

    def __init__(self, max_line_bytes: int) -> None:
        self._reader = LineReader(max_line_bytes)
        self._kinds: dict[str, Failure] = {}

    def feed(self, data: bytes) -> None:
        for line in self._reader.feed(data):
            if line.data is not None:
                self._note(line.data)

    @property
    def failures(self) -> list[Failure]:
        """The most frequent first."""
        return sorted(self._kinds.values(), key=lambda failure: (-failure.count, failure.kind))

    def _note(self, data: bytes) -> None:
        line = _decode_line(data)
        kind = _kind_of(line)
        if kind not in self._kinds and len(self._kinds) >= KINDS_MAX:
            kind = OTHER
        known = self._kinds.get(kind)
        if known is None:
            self._kinds[kind] = Failure(kind, 1, line.custom_id)
        else:
            known.count += 1


def _kind_of(line: _Line) -> str:
    if line.response is None:
        return _word(line.error) or OTHER
    status = str(line.response.status_code)
    try:
        error = _decode_body(line.response.body).error
    except msgspec.DecodeError:  # an upstream's error may have any shape
        return status
    word = _word(error)
    return f"{status} {word}" if word else status


def _word(error: _Error | None) -> str:
    """The code, or the type where there is no code."""
    for raw in (error.code, error.type) if error is not None else ():
        try:
            word = str(_decode_word(raw))
        except msgspec.DecodeError:  # absent, null, or anything else that is no word
            continue
        if word:
            return word[:WORD_CHARS]
    return ""
