"""Batches as people see them: create, look, list, cancel."""

from __future__ import annotations

import pytest

from batchrouter.domain.lifecycle import BatchState
from batchrouter.domain.tokens import NO_TOKENS
from tests.conformance.scene import TENANT, WINDOW_MS, Scene


def test_a_batch_is_born_validating(scene: Scene) -> None:
    """What was asked for is kept, nothing is counted yet, and the metadata is as it was given."""
    made = scene.create("b1", metadata={"team": "søk", "": "x"}, output_expires_after_s=7200)
    assert made == scene.batch("b1")
    assert made.state is BatchState.VALIDATING
    assert made.metadata == {"team": "søk", "": "x"}
    assert (made.created_ms, made.expires_ms) == (scene.now, scene.now + WINDOW_MS)
    assert made.output_expires_after_s == 7200
    assert (made.total, made.completed, made.failed, made.tokens, made.errors) == (0, 0, 0, NO_TOKENS, ())
    assert (made.closing, made.output_file_id, made.error_file_id, made.in_progress_ms) == (None, None, None, None)


@pytest.mark.parametrize("metadata", [None, {}])
def test_no_metadata_and_empty_metadata_are_two_things(scene: Scene, metadata: dict[str, str] | None) -> None:
    """Both come back as they were given."""
    assert scene.create("b1", metadata=metadata).metadata == metadata


def test_what_a_caller_does_to_its_copy_changes_nothing(scene: Scene) -> None:
    """A batch's metadata belongs to whoever was given it."""
    given = {"a": "1"}
    told = scene.create("b1", metadata=given)
    given["b"] = "2"
    assert isinstance(told.metadata, dict)
    told.metadata["c"] = "3"
    assert scene.batch("b1").metadata == {"a": "1"}


def test_a_batch_over_a_missing_file_is_made_all_the_same(scene: Scene) -> None:
    """Validation will refuse it: its duty has no input."""
    scene.catalog.create_batch(scene.new_batch("b1", input_file_id="nothing"), now_ms=scene.now)
    duty = scene.duty(scene.worker(), "b1")
    assert (duty.input_blob_key, duty.input_index_key) == (None, None)


def test_a_batch_cannot_read_another_tenants_file(scene: Scene) -> None:
    """Its duty has no input, as if the file were not there."""
    scene.tenant("tenant_b")
    scene.file("f1", "tenant_b")
    scene.catalog.create_batch(scene.new_batch("b1", input_file_id="f1"), now_ms=scene.now)
    assert scene.duty(scene.worker(), "b1").input_blob_key is None


def test_a_batch_keeps_its_input_though_the_file_is_deleted(scene: Scene) -> None:
    """The input's bytes were noted at creation."""
    scene.create("b1")
    scene.catalog.delete_file(TENANT, "b1.in", scene.now)
    duty = scene.duty(scene.worker(), "b1")
    assert (duty.input_blob_key, duty.input_index_key) == ("files/b1.in", "files/b1.in.index")
    assert duty.input_bytes == 100


def test_another_tenants_batch_is_not_there(scene: Scene) -> None:
    """Neither to look at, nor to cancel, nor to page after."""
    scene.tenant("tenant_b")
    scene.create("b1")
    assert scene.catalog.batch("tenant_b", "b1") is None
    assert scene.catalog.cancel_batch("tenant_b", "b1", scene.now) is None
    assert scene.catalog.batches("tenant_b", after="b1", limit=10) is None
    page = scene.catalog.batches("tenant_b", after=None, limit=10)
    assert page is not None
    assert page.rows == ()
    assert scene.state("b1") is BatchState.VALIDATING


@pytest.mark.parametrize("limit", [1, 2, 5, 6])
def test_batches_are_listed_newest_first_page_by_page(scene: Scene, limit: int) -> None:
    """Each once; `more` until the last page; an unknown `after` is refused."""
    made = [scene.create(f"b{number}").id for number in range(5)]
    seen: list[str] = []
    after = None
    while True:
        page = scene.catalog.batches(TENANT, after=after, limit=limit)
        assert page is not None
        seen += [batch.id for batch in page.rows]
        assert page.more == (len(seen) < len(made))
        if not page.more:
            break
        after = seen[-1]
    assert seen == made[::-1]
    assert scene.catalog.batches(TENANT, after="nothing", limit=limit) is None


def test_cancelling_a_batch_that_does_not_exist_tells_so(scene: Scene) -> None:
    """None, as for a look."""
    assert scene.catalog.cancel_batch(TENANT, "nothing", scene.now) is None
