"""The real questions, whole: 8,792 lines as somebody would write them, spaces and all."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import openai

from batchrouter.simulator.process import SimulatorProcess
from tests.lines import CHAT, Asked, check_output, counts, finished, output_of

QUESTIONS = 8_792


def test_all_questions_are_answered_once_in_order_and_each_with_its_own_answer(
    shared: Path, simulator: SimulatorProcess, client: openai.OpenAI, file: Path
) -> None:
    command = [sys.executable, str(shared / "bench" / "make_requests.py"), str(QUESTIONS), str(file)]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL, timeout=60)
    asked = [asked_in(line) for line in file.read_bytes().splitlines(keepends=True)]
    assert len(asked) == QUESTIONS
    before = simulator.stats()["requests"]
    with file.open("rb") as opened:
        uploaded = client.files.create(file=opened, purpose="batch")
    made = client.batches.create(input_file_id=uploaded.id, endpoint=CHAT, completion_window="24h")
    batch = finished(client, made.id, 60)
    assert (batch.status, counts(batch), batch.error_file_id) == ("completed", (QUESTIONS, QUESTIONS, 0), None)
    check_output(asked, output_of(client, batch))
    log = simulator.log(before)
    assert sorted(entry.key for entry in log) == sorted(each.key for each in asked)
    assert {(entry.status, entry.end) for entry in log} == {(200, "sent")}
    assert batch.usage is not None
    assert batch.usage.input_tokens == sum(entry.prompt_tokens for entry in log)
    assert batch.usage.output_tokens == sum(entry.completion_tokens for entry in log)
    assert batch.usage.input_tokens_details.cached_tokens > 0


def asked_in(line: bytes) -> Asked:
    """The bytes of the body as they stand in the line: the upstream must get exactly these."""
    head, _, rest = line.partition(b'"body": ')
    return Asked(head.split(b'"')[3].decode(), rest.rstrip(b"\n").removesuffix(b"}"))
