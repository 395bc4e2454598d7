"""An estimate costs no more than a batch could: whatever is uploaded, little is asked and little is read for it."""

from __future__ import annotations

import json
from collections.abc import Sequence

from batchrouter.adapters.blobs import MemoryBlobs
from batchrouter.adapters.memory.clock import StepClock
from batchrouter.domain.cost import RateCard
from batchrouter.domain.duplicates import MemorySpill
from batchrouter.domain.file import File
from batchrouter.domain.indexer import Indexer
from batchrouter.domain.lane_choice import LaneOptions
from batchrouter.domain.routing import RouteProvider, Router
from batchrouter.domain.shard import LaneKey
from batchrouter.service.quotes import Quotes


class Asked:
    """`Prices` that are known of nothing, and count what they are asked."""

    def __init__(self) -> None:
        self.keys: set[LaneKey] = set()
        self.times = 0

    async def cards(self, keys: Sequence[LaneKey]) -> list[RateCard | None]:
        self.times += 1
        self.keys.update(keys)
        return [None] * len(keys)


async def quotes_of(models: Sequence[str], prices: Asked, lanes_max: int) -> tuple[Quotes, File]:
    lines = [
        {
            "custom_id": f"line-{number}",
            "method": "POST",
            "url": "/v1/chat/completions",
            "body": {"model": model, "messages": [{"role": "user", "content": "x" * 1000}]},
        }
        for number, model in enumerate(models)
    ]
    data = b"".join(json.dumps(line).encode() + b"\n" for line in lines)
    blobs = MemoryBlobs(StepClock())
    indexer = Indexer(MemorySpill())
    await blobs.put("file", [data])
    await blobs.put("file.idx", [indexer.feed(data) + indexer.finish()])
    router = Router([RouteProvider("sim", "openai")], {}, "sim")
    quotes = Quotes(blobs, router, lambda provider, model: LaneOptions(), prices, lanes_max=lanes_max)
    file = File(
        id="file-1",
        tenant_id="default",
        purpose="batch",
        filename="in.jsonl",
        bytes=len(data),
        lines=len(lines),
        created_ms=0,
        blob_key="file",
        index_key="file.idx",
    )
    return quotes, file


async def test_models_beyond_those_that_a_batch_may_have_are_told_as_faulty() -> None:
    """As a batch of this file would fail; no price is asked for them, neither by an estimate nor before a create."""
    prices = Asked()
    quotes, file = await quotes_of([f"m{number // 2}" for number in range(2000)], prices, 8)
    quote = await quotes.quote(file)
    assert quote is not None
    assert prices.times == 1
    assert [lane.size.lines for lane in quote.lanes] == [2] * 8
    assert (quote.lines, quote.faulty) == (2000, 2000 - 16)
    assert len(await quotes.unpriced(file)) == 8
    assert len(prices.keys) == 8
