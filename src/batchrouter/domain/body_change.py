"""Bodies that are sent otherwise than they stand in the input: with some members set, and others left out."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
from msgspec import Raw

from batchrouter.domain.surrogates import mask

_decode = msgspec.json.Decoder(dict[str, Raw]).decode
_encode = msgspec.json.Encoder().encode


def changed(body: bytes, changes: Mapping[str, object]) -> bytes:
    """`body`, a JSON object, with these top-level members; None leaves a member out. Every other value keeps its bytes;
    a key that came twice comes once, with its last value."""
    tokens = {name: None if value is None else Raw(_encode(value)) for name, value in changes.items()}
    try:
        return _changed(body, tokens)
    except msgspec.DecodeError:
        masked = mask(body, b"".join(token for token in tokens.values() if token is not None))
        if masked is None:
            raise
        return masked.restore(_changed(masked.data, tokens))


def _changed(body: bytes, tokens: Mapping[str, Raw | None]) -> bytes:
    members: dict[str, Raw | None] = {**_decode(body), **tokens}
    return _encode({name: value for name, value in members.items() if value is not None})
