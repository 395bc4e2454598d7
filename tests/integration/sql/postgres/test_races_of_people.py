"""Two processes at once, on people's side of the store: each race is replayed at the statement where it would hurt."""

from __future__ import annotations

import pytest

from batchrouter.domain.batch import NewBatch
from batchrouter.domain.file import File, Upload
from batchrouter.domain.lifecycle import BatchEvent, UploadEvent, UploadState
from batchrouter.domain.tenant import ApiKey, Role, Tenant
from tests.conformance.scene import TENANT, Scene
from tests.integration.sql.postgres.interloper import Pair


@pytest.fixture
def scene(pair: Pair) -> Scene:
    return pair.first


@pytest.fixture
def other(pair: Pair) -> Scene:
    return pair.other


def fresh(scene: Scene, batch_id: str, **changes: object) -> NewBatch:
    return scene.new_batch(batch_id, input_file_id="b1.in", body_hash="same", **changes)


def test_one_key_makes_one_batch(pair: Pair, scene: Scene, other: Scene) -> None:
    """Two requests with the same idempotency key at the same moment."""
    scene.file("b1.in")
    ask = {"idempotency_key": "k"}
    with pair.at(
        "INSERT INTO idempotency", lambda: other.catalog.create_batch(fresh(other, "b2", **ask), now_ms=other.now)
    ) as heard:
        mine = scene.catalog.create_batch(fresh(scene, "b1", **ask), now_ms=scene.now)
    theirs = heard.answer
    assert mine.batch == theirs.batch is not None
    assert sorted((mine.fresh, theirs.fresh)) == [False, True]


def test_a_request_that_is_sent_again_too_soon_makes_one_batch(pair: Pair, scene: Scene, other: Scene) -> None:
    """The first has not been answered when the client sends it again, without a key."""
    scene.file("b1.in")
    key = ApiKey(id="key_1", tenant_id=TENANT, role=Role.USER, label="", tail="x", created_ms=scene.now)
    scene.catalog.add_key(key, "digest")
    with pair.at(
        "INSERT INTO batches",
        lambda: other.catalog.create_batch(fresh(other, "b2", resent=True), now_ms=other.now),
    ) as heard:
        mine = scene.catalog.create_batch(fresh(scene, "b1"), now_ms=scene.now)
    assert (mine.fresh, heard.answer.fresh, heard.waited) == (True, False, True)
    assert mine.batch == heard.answer.batch


def test_an_input_that_is_deleted_at_that_moment_stays_for_its_batch(pair: Pair, scene: Scene, other: Scene) -> None:
    """The file goes, its bytes do not: the batch reads them."""
    scene.file("b1.in")

    def delete_and_sweep() -> list[str]:
        assert other.catalog.delete_file(TENANT, "b1.in", other.now)
        return other.ledger.sweep(other.now, 0)

    with pair.at("INSERT INTO batches", delete_and_sweep) as heard:
        scene.create("b1")
    assert heard.waited
    assert heard.answer == []
    assert scene.ledger.sweep(scene.now + 1, 0) == []


def test_an_upload_completes_or_expires(pair: Pair, scene: Scene, other: Scene) -> None:
    """The sweeper leaves one alone that is being completed at that moment."""
    upload = Upload(
        id="u1", tenant_id=TENANT, state=UploadState.PENDING, filename="f", purpose="batch", mime_type="m", bytes=1,
        created_ms=scene.now, expires_ms=scene.now + 10, file_expires_after_s=None,
    )  # fmt: skip
    scene.catalog.add_upload(upload)
    file = File(id="f1", tenant_id=TENANT, purpose="batch", filename="f", bytes=1, created_ms=0, blob_key="files/f1")
    with pair.at("INSERT INTO files", lambda: other.ledger.sweep(other.now + 10, 0)) as heard:
        ended = scene.catalog.end_upload(TENANT, "u1", UploadEvent.COMPLETE, file, scene.now)
    assert heard.answer == []
    assert ended is not None
    assert ended.file is not None
    now = scene.catalog.upload(TENANT, "u1", scene.now + 10)
    assert now is not None
    assert now.state is UploadState.COMPLETED
    assert scene.ledger.known(["files/f1"])


def test_a_tenant_that_two_add_is_one(pair: Pair, scene: Scene, other: Scene) -> None:
    """Both hear the same id."""

    def add(where: Scene, id_: str) -> str:
        return where.catalog.add_tenant(Tenant(id=id_, name="new", weight=2, created_ms=0)).id

    with pair.at("INSERT INTO tenants", lambda: add(other, "t2")) as heard:
        mine = add(scene, "t1")
    assert mine == heard.answer


def test_a_batch_ends_once(pair: Pair, scene: Scene, other: Scene) -> None:
    """Of two that finish it, because one lost its duty's answer, one hears that it had ended."""
    worker = scene.worker("w1")
    scene.running("b1", (4,), worker=worker)
    scene.answer_all(worker)
    duty = scene.closed(worker, "b1", BatchEvent.COMPLETE)
    scene.ledger.seal(worker, duty)
    with pair.at("INSERT INTO files", lambda: other.finish(worker, duty)) as heard:
        assert scene.finish(worker, duty)
    assert (heard.answer, heard.waited) == (False, True)


def test_sweepers_at_once_tell_the_same(pair: Pair, scene: Scene, other: Scene) -> None:
    """Nothing is lost, nothing deadlocks."""
    for number in range(3):
        scene.file(f"f{number}", expires_ms=scene.now)
    with pair.at("INSERT INTO garbage", lambda: other.ledger.sweep(other.now, 0)) as heard:
        mine = scene.ledger.sweep(scene.now, 0)
    assert len(mine) == 6
    assert sorted(heard.answer) in ([], sorted(mine))
