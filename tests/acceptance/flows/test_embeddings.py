"""Real embeddings end to end: a small real model behind the server gives the vectors that it gives when asked."""

from __future__ import annotations

import json
from pathlib import Path

import openai
import pytest

from tests.conftest import IN_CI
from tests.lines import counts, finished, output_of, records
from tests.serving import running_server

QUESTIONS = 40
ENDPOINT = "/v1/embeddings"


def test_a_batch_of_real_questions_returns_the_vectors_of_direct_calls(shared: Path, tmp_path: Path) -> None:
    try:
        from tests import embedding_model
    except ImportError as error:
        words = f"needs the wheels of requirements/embeddings.lock ({error.name} is missing): make test installs them"
        pytest.fail(words) if IN_CI else pytest.skip(words)
    questions = [json.loads(line)["question"] for line in _lines(shared / "data")[:QUESTIONS]]
    model = embedding_model.EmbeddingModel()
    with embedding_model.serving(model) as base_url:
        config = {"providers": {"local": {"type": "openai", "base_url": base_url, "max_in_flight": 4}}}
        with running_server(tmp_path, config) as server, server.client() as client:
            batch = finished(client, _begin(client, questions), 60)
            assert (batch.status, counts(batch)) == ("completed", (QUESTIONS, QUESTIONS, 0))
            found = records(output_of(client, batch))
        with openai.OpenAI(base_url=base_url, api_key="any") as direct:
            for question, record in zip(questions, found, strict=True):
                asked = direct.embeddings.create(model="mini", input=question, encoding_format="float")
                assert record["response"]["body"]["data"][0]["embedding"] == asked.data[0].embedding
    assert batch.usage is not None
    assert batch.usage.input_tokens == sum(model.embed(question)[1] for question in questions)
    _knows_what_is_alike(model)


def _knows_what_is_alike(model: object) -> None:
    """It is a model that was asked, and no echo."""
    eats, ate, fell = (model.embed(text)[0] for text in ALIKE)  # type: ignore[attr-defined]
    assert sum(a * b for a, b in zip(eats, ate, strict=True)) > 0.7
    assert abs(sum(a * b for a, b in zip(eats, fell, strict=True))) < 0.1


ALIKE = ("A man is eating food.", "A man eats a piece of bread.", "Stock markets fell sharply.")


def _begin(client: openai.OpenAI, questions: list[str]) -> str:
    lines = [
        {"custom_id": f"q{n}", "method": "POST", "url": ENDPOINT, "body": {"model": "mini", "input": question}}
        for n, question in enumerate(questions)
    ]
    content = "".join(json.dumps(line) + "\n" for line in lines).encode()
    file = client.files.create(file=content, purpose="batch")
    made = client.batches.create(input_file_id=file.id, endpoint=ENDPOINT, completion_window="24h")
    return made.id


def _lines(folder: Path) -> list[str]:
    return [line for path in sorted(folder.glob("*.jsonl")) for line in path.read_text("utf-8").splitlines()]
