"""Golden files of translation: a line's body, what is sent for it, what comes back, and what people get.

A file is the whole case, to be read by people: `request` and `reply` are given, `sent`, `dropped`, `refused` and
`answer` are what the wire makes of them. `scripts/review_goldens.py` shows where they differ.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from batchrouter.errors import LineRefused
from batchrouter.providers.anthropic import AnthropicWire, Policy
from batchrouter.providers.base import Encoded, Reply
from batchrouter.providers.rules import Unsupported

FOLDER = Path(__file__).parent / "translation"
NOW_S = 1_760_000_000
MADE = ("sent", "dropped", "refused", "answer")

Golden = dict[str, Any]


def names() -> list[str]:
    return sorted(path.stem for path in FOLDER.glob("*.json"))


def load(name: str) -> Golden:
    golden: Golden = json.loads((FOLDER / f"{name}.json").read_text())
    return golden


def text(golden: Golden) -> str:
    """As it stands in its file. Half an emoji can only be written as an escape."""
    written = json.dumps(golden, indent=2, ensure_ascii=False)
    try:
        written.encode()
    except UnicodeEncodeError:
        written = json.dumps(golden, indent=2)
    return written + "\n"


def wire_of(golden: Golden) -> AnthropicWire:
    return AnthropicWire(
        "https://api.anthropic.com/v1",
        golden["model"],
        api_key="sk-ant",
        policy=_policy(golden.get("policy", {})),
        now_s=lambda: NOW_S,
    )


def _policy(given: dict[str, Any]) -> Policy:
    unsupported = given.get("unsupported")
    return Policy(**{**given, "unsupported": None if unsupported is None else Unsupported(unsupported)})


def made(golden: Golden) -> Golden:
    """The case with everything that is made anew."""
    result = {key: value for key, value in golden.items() if key not in MADE}
    reply = result.pop("reply", None)
    wire = wire_of(golden)
    encoded = Encoded(b"")
    if "request" in golden:
        body = json.dumps(golden["request"]).encode()
        encode = wire.encode_batch if golden.get("batch") else wire.encode
        try:
            encoded = encode(golden["endpoint"], body)
        except LineRefused as error:
            result["refused"] = {
                "status": error.status, "code": error.code, "param": error.param, "message": error.message
            }  # fmt: skip
            return result
        result["sent"] = json.loads(encoded.body)
        if encoded.dropped:
            result["dropped"] = list(encoded.dropped)
    if reply is not None:
        result["reply"] = reply
        result["answer"] = _answer(wire.decode(golden["endpoint"], reply["status"], _bytes(reply), encoded.note))
    return result


def _bytes(reply: dict[str, Any]) -> bytes:
    if "body" in reply:
        return json.dumps(reply["body"]).encode()
    told: str = reply["stream"] if "stream" in reply else reply["text"]
    return told.encode()


def _answer(reply: Reply) -> dict[str, Any]:
    told: dict[str, Any] = {"body": json.loads(reply.body)}
    if not reply.usable:
        told["usable"] = False
    if any(reply.tokens):
        told["tokens"] = reply.tokens._asdict()
    if reply.cache_writes:
        told["cache_writes"] = reply.cache_writes
    if reply.finish:
        told["finish"] = reply.finish.name
    if reply.model is not None:
        told["model"] = reply.model
    if reply.code is not None:
        told["code"] = reply.code
    return told
