"""What the simulator answers, without a simulator."""

from __future__ import annotations

from batchrouter.simulator import answers
from batchrouter.simulator.answers import expected_key
from batchrouter.simulator.anthropic.cache import PromptCache
from batchrouter.simulator.anthropic.messages import PATH
from batchrouter.simulator.anthropic.surface import answer_message


def answer(path: str, body: bytes) -> bytes:
    """The body that the simulator sends for this request when nothing is scripted; an error object for a bad one.

    Of Messages it is the first answer of a new simulator: no prompt cache has been written, and no request counted.
    """
    if path == PATH:
        return answer_message(0, expected_key(body), body, "2023-06-01", PromptCache()).body
    return answers.answer(path, body)
