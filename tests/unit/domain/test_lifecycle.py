"""Every cell of every lifecycle table."""

from __future__ import annotations

import itertools

import pytest

from batchrouter.domain.lifecycle import (
    BATCH,
    BATCH_FINAL,
    FINISH,
    UPLOAD,
    BatchEvent,
    BatchState,
    UploadEvent,
    UploadState,
    batch_step,
    upload_step,
)
from batchrouter.errors import IllegalTransition


@pytest.mark.parametrize(("state", "event"), list(itertools.product(BatchState, BatchEvent)))
def test_a_batch_moves_by_its_table_alone(state: BatchState, event: BatchEvent) -> None:
    """A move that the table has is made; every other raises and names state and event."""
    if event in BATCH[state]:
        assert batch_step(state, event) is BATCH[state][event]
    else:
        with pytest.raises(IllegalTransition, match=f"{state}.*{event}"):
            batch_step(state, event)


@pytest.mark.parametrize(("state", "event"), list(itertools.product(UploadState, UploadEvent)))
def test_an_upload_moves_by_its_table_alone(state: UploadState, event: UploadEvent) -> None:
    """As for batches."""
    if event in UPLOAD[state]:
        assert upload_step(state, event) is UPLOAD[state][event]
    else:
        with pytest.raises(IllegalTransition):
            upload_step(state, event)


def test_the_states_are_openais_eight() -> None:
    """Clients raise on any other (contract section 9, 4)."""
    assert {str(state) for state in BATCH} == {
        "validating", "failed", "in_progress", "finalizing", "completed", "expired", "cancelling", "cancelled",
    }  # fmt: skip
    assert {str(state) for state in BATCH_FINAL} == {"failed", "completed", "expired", "cancelled"}


@pytest.mark.parametrize("way", list(FINISH))
def test_every_way_of_closing_has_one_end(way: BatchEvent) -> None:
    """What a batch ends as is known when it begins to close."""
    closing = batch_step(BatchState.IN_PROGRESS, way)
    assert BATCH[closing][FINISH[way]] in BATCH_FINAL
