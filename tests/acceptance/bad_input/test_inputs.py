"""Input files that are not there, or not for this: the batch is made, then fails with `invalid_request`, `file_id`."""

from __future__ import annotations

import openai
import pytest

from batchrouter.simulator.process import SimulatorProcess
from tests.acceptance.bad_input.stored import bytes_kept, more_rows, rows
from tests.acceptance.bad_input.test_lines import check_failed, told
from tests.lines import CHAT, chats, check_output, finished, jsonl, output_of, upload
from tests.serving import ServerProcess


@pytest.mark.parametrize("kind", ["unknown", "deleted before", "another tenant's", "another purpose's", "no id at all"])
def test_a_file_that_cannot_be_the_input(
    server: ServerProcess, simulator: SimulatorProcess, client: openai.OpenAI, kind: str
) -> None:
    """All are told alike, so that nobody learns whether another tenant's id exists; nothing is read or sent."""
    content = jsonl(chats(2, f"not for this: {kind}"))
    file_id = "file-" + "0" * 24
    if kind == "deleted before":
        file_id = client.files.create(file=content, purpose="batch").id
        client.files.delete(file_id)
    elif kind == "another tenant's":
        with server.client(server.key_of("somebody-else")) as other:
            file_id = other.files.create(file=content, purpose="batch").id
    elif kind == "another purpose's":
        file_id = client.files.create(file=content, purpose="user_data").id
    elif kind == "no id at all":
        file_id = "../../etc/passwd"
    kept, before, sent = bytes_kept(server), rows(server), simulator.stats()["requests"]
    batch = client.batches.create(input_file_id=file_id, endpoint=CHAT, completion_window="24h")
    assert (batch.status, batch.input_file_id) == ("validating", file_id)
    batch = finished(client, batch.id)
    check_failed(batch)
    words = f"Cannot find file {file_id}, or organization does not have access to it."
    assert told(batch) == [(None, "invalid_request", "file_id", words)]
    assert more_rows(server, before).keys() == {"batches", "events", "idempotency"}
    assert {name for name in bytes_kept(server) - kept if not name.startswith("blobs/runs/")} == set()
    assert simulator.stats()["requests"] == sent


def test_a_file_deleted_right_after_create_is_run_all_the_same(client: openai.OpenAI) -> None:
    """The batch keeps the bytes it needs; the file itself is gone for everybody else."""
    asked = chats(300, "deleted-after")
    batch = upload(client, jsonl(asked))
    assert client.files.delete(batch.input_file_id).deleted
    with pytest.raises(openai.NotFoundError):
        client.files.content(batch.input_file_id)
    batch = finished(client, batch.id)
    assert batch.status == "completed"
    check_output(asked, output_of(client, batch))


def test_a_batch_output_is_no_input(client: openai.OpenAI) -> None:
    """It is JSONL and it is the tenant's own, but it was not made for this."""
    done = finished(client, upload(client, jsonl(chats(1, "first"))).id)
    assert done.output_file_id is not None
    batch = client.batches.create(input_file_id=done.output_file_id, endpoint=CHAT, completion_window="24h")
    batch = finished(client, batch.id)
    check_failed(batch)
    assert [each[1:3] for each in told(batch)] == [("invalid_request", "file_id")]
