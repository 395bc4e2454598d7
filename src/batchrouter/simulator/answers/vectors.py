"""Answers of /v1/embeddings and /v1/moderations: numbers that follow from the text alone."""

from __future__ import annotations

import array
import base64
import math
import sys

import msgspec
import xxhash

from batchrouter.errors import ApiError
from batchrouter.simulator.answers.common import Answer, Part, count_tokens, decode, require, tokens

DIMENSIONS = 16
MAX_DIMENSIONS = 4096
FLAGGED_WORD = "violence"
"""An input that holds this word is flagged, in the category of the same name."""

CATEGORIES = (
    "harassment",
    "harassment/threatening",
    "hate",
    "hate/threatening",
    "illicit",
    "illicit/violent",
    "self-harm",
    "self-harm/intent",
    "self-harm/instructions",
    "sexual",
    "sexual/minors",
    "violence",
    "violence/graphic",
)


class EmbeddingRequest(msgspec.Struct, gc=False):
    model: str = ""
    input: str | list[str | int | list[int]] = ""
    dimensions: int | None = None
    encoding_format: str | None = None


class ModerationRequest(msgspec.Struct, gc=False):
    model: str | None = None
    input: str | list[str | Part] = ""


_json = msgspec.json.Encoder().encode
_embedding = msgspec.json.Decoder(EmbeddingRequest)
_moderation = msgspec.json.Decoder(ModerationRequest)


def answer_embedding(key: str, body: bytes) -> Answer:
    """The key stands in the list's `id`, and every vector follows from the key and its own index."""
    request = decode(_embedding, body)
    require(request.model, "model")
    require(request.input, "input")
    size = DIMENSIONS if request.dimensions is None else request.dimensions
    if not 1 <= size <= MAX_DIMENSIONS:
        raise ApiError(
            400, f"'dimensions' must be between 1 and {MAX_DIMENSIONS}.", param="dimensions", code="invalid_value"
        )
    if isinstance(request.input, str):
        inputs, prompt_tokens = 1, tokens(request.input)
    else:
        inputs = 1 if isinstance(request.input[0], int) else len(request.input)
        prompt_tokens = count_tokens(request.input)
    data = []
    for index in range(inputs):
        vector = unit_vector(f"{key}/{index}", size)
        embedding: object = _base64(vector) if request.encoding_format == "base64" else vector
        data.append({"object": "embedding", "index": index, "embedding": embedding})
    usage = {"prompt_tokens": prompt_tokens, "total_tokens": prompt_tokens}
    content = _json({"object": "list", "id": f"embd-{key}", "data": data, "model": request.model, "usage": usage})
    return Answer(200, content, request.model, prompt_tokens)


def answer_moderation(key: str, body: bytes) -> Answer:
    """One result for each text; the parts of a multimodal input are judged together."""
    request = decode(_moderation, body)
    require(request.input, "input")
    if isinstance(request.input, str):
        texts = [request.input]
    elif all(isinstance(item, str) for item in request.input):
        texts = [str(item) for item in request.input]
    else:
        texts = [" ".join([item.text or "" for item in request.input if isinstance(item, Part)])]
    model = request.model or "omni-moderation-latest"
    content = _json({"id": f"modr-{key}", "model": model, "results": [_judge(text) for text in texts]})
    return Answer(200, content, model)


def unit_vector(seed: str, size: int) -> list[float]:
    """A vector of length 1 that follows from the seed."""
    noise = b"".join([xxhash.xxh3_128_digest(f"{seed}/{block}".encode()) for block in range((size + 15) // 16)])
    values = [byte - 127.5 for byte in noise[:size]]
    length = math.sqrt(sum([value * value for value in values]))
    return [round(value / length, 8) for value in values]


def _base64(vector: list[float]) -> str:
    """Little-endian 32-bit floats, as the wire wants them on every machine."""
    floats = array.array("f", vector)
    if sys.byteorder == "big":
        floats.byteswap()
    return base64.b64encode(floats.tobytes()).decode()


def _judge(text: str) -> dict[str, object]:
    flagged = FLAGGED_WORD in text.lower()
    chance = xxhash.xxh3_64_intdigest(text.encode()) % 1000 / 100_000
    hit = FLAGGED_WORD if flagged else ""
    return {
        "flagged": flagged,
        "categories": {name: name == hit for name in CATEGORIES},
        "category_scores": {name: 0.98 if name == hit else chance for name in CATEGORIES},
        "category_applied_input_types": {name: ["text"] for name in CATEGORIES},
    }
