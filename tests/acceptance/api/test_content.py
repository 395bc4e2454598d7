"""Downloads: any part of any file, the same bytes whether a range is folded or not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast
from urllib.parse import unquote

import openai
import pytest
import requests

from batchrouter.adapters.threads import InlineCalls
from batchrouter.domain.batch import BatchError
from batchrouter.domain.file import File, RangeSpan, SegmentRef
from batchrouter.ports.catalog import Catalog
from batchrouter.service.content import Content
from tests.acceptance.api.batches import Hand, expected
from tests.acceptance.api.rig import Rig

LINE = '{"custom_id":"ü","method":"POST","url":"/v1/embeddings","body":{"model":"m","input":"x"}}\n'.encode()


def make_batch(client: openai.OpenAI) -> str:
    file = client.files.create(file=LINE, purpose="batch")
    return client.batches.create(input_file_id=file.id, endpoint="/v1/embeddings", completion_window="24h").id


@pytest.mark.parametrize("inline", [True, False])
def test_the_bytes_do_not_depend_on_folding(rig: Rig, client: openai.OpenAI, inline: bool) -> None:
    hand = Hand(rig, make_batch(client), lines=23)
    batch = hand.complete(inline=inline)
    ids = (batch.output_file_id, batch.error_file_id)
    headers = {"Authorization": f"Bearer {client.api_key}"}

    def everything() -> list[bytes]:
        found = []
        for id in ids:
            url = f"{rig.url}/v1/files/{id}/content"
            whole = requests.get(url, headers=headers).content
            found.append(whole)
            for start in range(0, len(whole), 17):
                part = requests.get(url, headers={**headers, "Range": f"bytes={start}-{start + 40}"})
                assert part.status_code == 206
                assert part.content == whole[start : start + 41]
        return found

    unfolded = everything()
    assert unfolded == [expected(23, True), expected(23, False)]
    hand.fold()
    assert everything() == unfolded


class FoldedBehindTheBack:
    """A catalog whose ranges are folded right after its manifest was read."""

    def __init__(self, hand: Hand) -> None:
        self._catalog = hand.rig.store.catalog
        self._hand = hand

    def manifest(self, file: File, after: int, limit: int) -> list[RangeSpan]:
        spans = self._catalog.manifest(file, after, limit)
        self._hand.fold()
        return spans

    def segments(self, batch_id: str, seqs: Sequence[int]) -> list[SegmentRef]:
        return self._catalog.segments(batch_id, seqs)


async def test_a_range_that_is_folded_during_the_download_is_followed(rig: Rig, client: openai.OpenAI) -> None:
    hand = Hand(rig, make_batch(client), lines=23)
    batch = hand.complete()
    file = rig.store.catalog.file(batch.tenant_id, batch.output_file_id or "", rig.clock.unix_ms())
    assert file is not None
    content = Content(file, cast(Catalog, FoldedBehindTheBack(hand)), InlineCalls(), rig.blobs)
    assert b"".join([piece async for piece in content.stream(0, file.bytes)]) == expected(23, True)


def test_headers_of_a_download(rig: Rig, client: openai.OpenAI) -> None:
    file = client.files.create(file=('frühling "1".jsonl', LINE), purpose="batch")
    url = f"{rig.url}/v1/files/{file.id}/content"
    headers = {"Authorization": f"Bearer {client.api_key}"}
    whole = requests.get(url, headers=headers)
    assert whole.text == LINE.decode()
    assert whole.headers["content-type"] == "application/x-ndjson; charset=utf-8"
    assert whole.headers["content-length"] == str(len(LINE))
    assert whole.headers["accept-ranges"] == "bytes"
    plain, _, extended = whole.headers["content-disposition"].partition("; filename*=UTF-8''")
    assert plain == 'attachment; filename="fr_hling _1_.jsonl"'
    assert unquote(extended) == 'frühling "1".jsonl'
    head = requests.head(url, headers=headers)
    assert (head.status_code, head.content, head.headers["content-length"]) == (200, b"", str(len(LINE)))
    part = requests.get(url, headers={**headers, "Range": "bytes=-5", "If-Range": whole.headers["etag"]})
    assert (part.status_code, part.content) == (206, LINE[-5:])
    assert part.headers["content-range"] == f"bytes {len(LINE) - 5}-{len(LINE) - 1}/{len(LINE)}"
    assert requests.get(url, headers={**headers, "Range": "bytes=-5", "If-Range": '"other"'}).status_code == 200
    beyond = requests.get(url, headers={**headers, "Range": f"bytes={len(LINE)}-"})
    assert (beyond.status_code, beyond.headers["content-range"]) == (416, f"bytes */{len(LINE)}")
    assert beyond.json()["error"]["status"] == 416


def test_a_file_that_is_no_jsonl_is_sent_as_bytes(rig: Rig, client: openai.OpenAI) -> None:
    file = client.files.create(file=b"", purpose="user_data")
    reply = requests.get(f"{rig.url}/v1/files/{file.id}/content", headers={"Authorization": f"Bearer {client.api_key}"})
    assert (reply.status_code, reply.content) == (200, b"")
    assert reply.headers["content-type"] == "application/octet-stream"


def test_fastrouters_name_for_the_output_works(rig: Rig, client: openai.OpenAI) -> None:
    batch_id = make_batch(client)
    with pytest.raises(openai.NotFoundError):
        client.files.content(f"batch-output-{batch_id}.jsonl")
    Hand(rig, batch_id).complete()
    assert client.files.content(f"batch-output-{batch_id}.jsonl").read() == expected(10, True)


def test_every_state_reads_as_it_should(rig: Rig, client: openai.OpenAI) -> None:
    made = {name: make_batch(client) for name in ("failed", "in_progress", "cancelled", "cancelling", "completed")}
    Hand(rig, made["failed"]).reject(
        BatchError(code="invalid_json_line", message="This line is not parseable as valid JSON.", line=4)
    )
    Hand(rig, made["in_progress"]).plan()
    client.batches.cancel(made["cancelling"])
    hand = Hand(rig, made["cancelled"])
    hand.plan()
    hand.answer()
    client.batches.cancel(made["cancelled"])
    hand.end(None)
    Hand(rig, made["completed"]).complete()
    set_times = {
        "failed": {"failed_at"},
        "in_progress": {"in_progress_at"},
        "cancelling": {"cancelling_at"},
        "cancelled": {"in_progress_at", "cancelling_at", "cancelled_at"},
        "completed": {"in_progress_at", "finalizing_at", "completed_at"},
    }
    optional = {
        f"{name}_at"
        for name in ("in_progress", "finalizing", "completed", "failed", "expired", "cancelling", "cancelled")
    }
    for state, batch_id in made.items():
        reply = requests.get(
            f"{rig.url}/v1/batches/{batch_id}", headers={"Authorization": f"Bearer {client.api_key}"}
        ).json()
        assert reply["status"] == state
        assert {name for name in optional if reply[name] is not None} == set_times[state]
        assert client.batches.retrieve(batch_id).status == state
    failed = client.batches.retrieve(made["failed"])
    assert failed.errors is not None
    assert failed.errors.to_dict() == {
        "object": "list",
        "data": [
            {
                "code": "invalid_json_line",
                "message": "This line is not parseable as valid JSON.",
                "param": None,
                "line": 4,
            }
        ],
    }
    running = requests.get(
        f"{rig.url}/v1/batches/{made['in_progress']}", headers={"Authorization": f"Bearer {client.api_key}"}
    ).json()
    assert running["request_counts"] == {"total": 10, "completed": 0, "failed": 0}
    assert [(lane["provider"], lane["model"], lane["waiting"]) for lane in running["batchrouter"]["lanes"]] == [
        ("sim", "m", 10)
    ]
    listed = client.batches.list(limit=100).data
    assert {batch.id: batch.status for batch in listed} == {id: state for state, id in made.items()}


@pytest.mark.usefixtures("no_blocking")
def test_no_call_blocks_the_loop(rig: Rig, client: openai.OpenAI) -> None:
    """In the memory store verbs run on the loop, but wait for nothing; in the folder they must not run there."""
    hand = Hand(rig, make_batch(client))
    batch = hand.complete(inline=False)
    assert client.files.content(batch.output_file_id or "").read() == expected(10, True)
    hand.fold()
    assert client.files.content(batch.output_file_id or "").read() == expected(10, True)
    assert client.files.list().data
    assert client.batches.list().data
    upload = client.uploads.create(filename="a", purpose="batch", bytes=len(LINE), mime_type="text/jsonl")
    part = client.uploads.parts.create(upload.id, data=LINE)
    assert client.uploads.complete(upload.id, part_ids=[part.id]).file is not None
    with pytest.raises(openai.BadRequestError):
        client.files.create(file=b"no jsonl", purpose="batch")
    client.files.delete(batch.output_file_id or "")
