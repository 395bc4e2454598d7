"""A line of an output or error file that another line gets too: the answer byte for byte, under a name of its own."""

from __future__ import annotations

from batchrouter.domain.settled_line import ID_AT, custom_id_of


def copied_line(text: bytes, prefix: bytes, line: int, custom_id: bytes | None = None) -> bytes:
    """`text`, newline included, as line number `line` of the batch whose ids begin with `prefix`
    (`domain.output_line.id_prefix`). `custom_id` is a JSON string token; None keeps that of `text`. What follows it,
    the response with the upstream's request id and the error, is not touched."""
    own = custom_id_of(text)
    rest = text[ID_AT + len(own) :]
    return b'{"id":"batch_req_%b%08x","custom_id":%b%b' % (prefix, line, own if custom_id is None else custom_id, rest)
