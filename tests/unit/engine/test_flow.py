"""A batch from its row to its files."""

from __future__ import annotations

from batchrouter.domain.lifecycle import BatchState
from tests.unit.engine.house import House, chat, repeats


async def test_every_line_is_answered_once_in_input_order() -> None:
    """1,200 lines over three ranges come out whole, in order, each with its own answer, and each was sent once."""
    house = House()
    await house.new_worker()
    batch_id = await house.create(chat(1200))
    await house.run(batch_id)
    batch = house.batch(batch_id)
    assert batch.state is BatchState.COMPLETED
    assert (batch.total, batch.completed, batch.failed) == (1200, 1200, 0)
    assert batch.error_file_id is None
    output = await house.output(batch_id)
    assert [line["custom_id"] for line in output] == [f"line-{i}" for i in range(1200)]
    assert all(
        line["response"]["body"]["choices"][0]["message"]["content"] == f"question {i}" for i, line in enumerate(output)
    )
    assert len({line["id"] for line in output}) == 1200
    assert (batch.tokens.input, batch.tokens.output) == (3600, 2400)
    assert len(house.sent) == 1200
    assert repeats(house.sent) == 0
