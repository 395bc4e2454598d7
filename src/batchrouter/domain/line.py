"""What dispatch does to one line: take it apart, and change its model. No other byte of a body ever changes."""

from __future__ import annotations


def decode_line(raw: bytes) -> tuple[bytes, bytes]:
    """(custom_id, body) of a line that its index record found sound.

    `custom_id` is the JSON string token as it stands, quotes included, except that U+2028, U+2029 and U+0085 are
    escaped, so that it may be written into an output file. `body` is the object's bytes as they stand.
    """
    raise NotImplementedError


def splice_model(body: bytes, model: str) -> bytes:
    """`body` with its top-level `model` set to `model`; every other value keeps its bytes.

    `body` must be a JSON object with a top-level `model` that is a string, as the index has checked.
    """
    raise NotImplementedError
