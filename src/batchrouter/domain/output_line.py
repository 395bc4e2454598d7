"""The lines of output and error files, byte by byte (contract section 3).

One join per line: what the upstream said is spliced in as it stands. Ids need no chance per line: the batch's own
32 characters give the prefix and the line's number the rest, so that a line that is written twice is written alike.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from batchrouter.domain.outcome import Outcome

_EXPIRED = (
    b'{"code":"batch_expired","message":"This request could not be executed before the completion window expired."}'
)
_CANCELLED = b'{"code":"batch_cancelled","message":"This request was not executed because the batch was cancelled."}'


def _status(status: int) -> bytes:
    return b',"response":{"status_code":%d,"request_id":"' % status


def _attempt(attempts: int) -> bytes:
    return b"%04x" % (attempts & 0xFFFF)


_OK, _FIRST = _status(200), _attempt(1)  # as nearly all are: formatting costs more than all the rest of a line


def id_prefix(batch_id: str) -> bytes:
    """24 hex characters that the ids of a batch's lines share; `batch_id` is `batch_` and 32 hex characters."""
    return batch_id[-32:-8].encode()


def response_line(
    prefix: bytes,
    line: int,
    attempts: int,
    custom_id: bytes,
    status: int,
    body: bytes,
    request_id: bytes | None,
    told: bytes | None = None,
) -> bytes:
    """A line that got an HTTP reply. `custom_id` is a JSON string token, `body` JSON without a raw line break.

    `request_id` is the upstream's own where it gave one (plain ASCII, checked by the caller), else made up. `told` is
    the value of a further member `batchrouter` (`extension`), which most lines do not have.
    """
    number = b"%08x" % line
    if request_id is None:
        request_id = prefix[:20] + number + (_FIRST if attempts == 1 else _attempt(attempts))
    return b"".join(
        (
            b'{"id":"batch_req_',
            prefix,
            number,
            b'","custom_id":',
            custom_id,
            _OK if status == 200 else _status(status),
            request_id,
            b'","body":',
            body,
            b'},"error":null}\n' if told is None else b'},"error":null,"batchrouter":%b}\n' % told,
        )
    )


def error_line(prefix: bytes, line: int, custom_id: bytes, error: bytes, told: bytes | None = None) -> bytes:
    """A line without an HTTP reply; `error` is a JSON object with `code` and `message`, `told` as above."""
    more = b"" if told is None else b',"batchrouter":' + told
    return b'{"id":"batch_req_%b%08x","custom_id":%b,"response":null,"error":%b%b}\n' % (
        prefix,
        line,
        custom_id,
        error,
        more,
    )


def extension(dropped: Sequence[str] = (), model: str | None = None, fallback: str | None = None) -> bytes | None:
    """What people are told of a line beyond OpenAI's members, as a JSON object: the parameters that were left out
    because the upstream does not know them; the model that was asked for and who answered in its stead
    (`provider/model`). None: there is nothing to tell."""
    members: dict[str, object] = {}
    if dropped:
        members["dropped"] = dropped
    if fallback is not None:
        members |= {"model": model, "fallback": fallback}
    # In ASCII: a model's name may have characters at which `str.splitlines` breaks.
    return json.dumps(members, separators=(",", ":")).encode() if members else None


def with_fault(told: bytes | None, message: str, path: str) -> bytes:
    """`told`, an extension or none, and what is wrong with the answer: it is not what its request's schema asks for.
    `path` is a JSON pointer into the answer."""
    fault = json.dumps({"invalid_output": {"message": message, "path": path}}, separators=(",", ":")).encode()
    return fault if told is None else told[:-1] + b"," + fault[1:]


def gap_line(prefix: bytes, line: int, custom_id: bytes, outcome: Outcome) -> bytes:
    """A line that was never finished: EXPIRED in the words that every client tests for, or CANCELLED."""
    return error_line(prefix, line, custom_id, _EXPIRED if outcome is Outcome.EXPIRED else _CANCELLED)
