"""Uploads: parts, and the upload table cell by cell."""

from __future__ import annotations

from dataclasses import replace

import pytest

from batchrouter.domain.file import File, Upload, UploadPart
from batchrouter.domain.lifecycle import UPLOAD, UploadEvent, UploadState
from tests.conformance.scene import TENANT, Scene

HOUR_MS = 3600 * 1000


def begin(scene: Scene, upload_id: str = "u1") -> Upload:
    upload = Upload(
        id=upload_id, tenant_id=TENANT, state=UploadState.PENDING, filename="in.jsonl", purpose="batch",
        mime_type="application/jsonl", bytes=30, created_ms=scene.now, expires_ms=scene.now + HOUR_MS,
        file_expires_after_s=7200,
    )  # fmt: skip
    scene.catalog.add_upload(upload)
    return upload


def a_part(scene: Scene, number: int, upload_id: str = "u1") -> UploadPart:
    return UploadPart(
        id=f"p{number}", upload_id=upload_id, bytes=10, blob_key=f"parts/{upload_id}/{number}", created_ms=scene.now
    )


def a_file(scene: Scene) -> File:
    return File(
        id="f1", tenant_id=TENANT, purpose="batch", filename="in.jsonl", bytes=30, created_ms=scene.now,
        blob_key="files/f1", index_key="files/f1.index",
    )  # fmt: skip


def drive(scene: Scene, state: UploadState) -> Upload:
    """An upload in that state."""
    upload = begin(scene)
    match state:
        case UploadState.COMPLETED:
            file = replace(a_file(scene), id="f0", blob_key="files/f0", index_key=None)
            scene.catalog.end_upload(TENANT, "u1", UploadEvent.COMPLETE, file, scene.now)
        case UploadState.CANCELLED:
            scene.catalog.end_upload(TENANT, "u1", UploadEvent.CANCEL, None, scene.now)
        case UploadState.EXPIRED:
            scene.now += HOUR_MS + 1
    now = scene.catalog.upload(TENANT, "u1", scene.now)
    assert now is not None
    assert now.state is state
    assert replace(now, state=upload.state, file_id=None) == upload
    return now


def test_parts_are_told_in_order_of_arrival(scene: Scene) -> None:
    """Whatever their names: the order in which they came is kept."""
    begin(scene)
    for number in (3, 1, 2):
        taken = scene.catalog.add_part(TENANT, a_part(scene, number), scene.now)
        assert taken is not None
        assert taken.state is UploadState.PENDING
    assert [part.id for part in scene.catalog.parts("u1")] == ["p3", "p1", "p2"]
    assert scene.catalog.parts("u1")[0] == a_part(scene, 3)


def test_another_tenants_upload_is_not_there(scene: Scene) -> None:
    """Neither to look at, nor to add to, nor to end."""
    begin(scene)
    scene.tenant("tenant_b")
    assert scene.catalog.upload("tenant_b", "u1", scene.now) is None
    assert scene.catalog.add_part("tenant_b", a_part(scene, 1), scene.now) is None
    assert scene.catalog.end_upload("tenant_b", "u1", UploadEvent.CANCEL, None, scene.now) is None
    assert scene.catalog.parts("u1") == []
    still = scene.catalog.upload(TENANT, "u1", scene.now)
    assert still is not None
    assert still.state is UploadState.PENDING


def test_completing_makes_the_file_in_the_same_step(scene: Scene) -> None:
    """The upload names its file, the file is there, and the parts' bytes are garbage."""
    begin(scene)
    scene.catalog.add_part(TENANT, a_part(scene, 1), scene.now)
    done = scene.catalog.end_upload(TENANT, "u1", UploadEvent.COMPLETE, a_file(scene), scene.now)
    assert done is not None
    assert done.upload.state is UploadState.COMPLETED
    assert done.upload.file_id == "f1"
    assert done.file == scene.catalog.file(TENANT, "f1", scene.now)
    assert done.file is not None
    assert done.file.seq > 0
    assert scene.ledger.sweep(scene.now + 1, 0) == ["parts/u1/1"]


@pytest.mark.parametrize("state", UploadState)
@pytest.mark.parametrize("event", [UploadEvent.COMPLETE, UploadEvent.CANCEL])
def test_an_upload_ends_by_its_table(scene: Scene, state: UploadState, event: UploadEvent) -> None:
    """Every cell: a legal event leads where the table says, any other changes nothing and makes no file."""
    before = drive(scene, state)
    file = a_file(scene) if event is UploadEvent.COMPLETE else None
    told = scene.catalog.end_upload(TENANT, "u1", event, file, scene.now)
    after = scene.catalog.upload(TENANT, "u1", scene.now)
    assert told is not None
    assert told.upload == after
    if event in UPLOAD[state]:
        assert after is not None
        assert after.state is UPLOAD[state][event]
    else:
        assert after == before
        assert told.file is None
        assert scene.catalog.file(TENANT, "f1", scene.now) is None


@pytest.mark.parametrize("state", UploadState)
def test_parts_are_taken_only_while_pending(scene: Scene, state: UploadState) -> None:
    """The answer tells the state, and the state tells whether the part was taken."""
    before = drive(scene, state)
    assert scene.catalog.add_part(TENANT, a_part(scene, 1), scene.now) == before
    assert len(scene.catalog.parts("u1")) == (1 if state is UploadState.PENDING else 0)


def test_an_upload_past_its_time_loses_its_parts_to_the_sweeper(scene: Scene) -> None:
    """The sweeper writes down what reading had told before, and the bytes become garbage."""
    begin(scene)
    scene.catalog.add_part(TENANT, a_part(scene, 1), scene.now)
    assert scene.ledger.sweep(scene.now, 0) == []
    scene.now += HOUR_MS + 1
    scene.ledger.sweep(scene.now, 0)
    assert scene.ledger.sweep(scene.now + 1, 0) == ["parts/u1/1"]
    expired = scene.catalog.upload(TENANT, "u1", scene.now)
    assert expired is not None
    assert expired.state is UploadState.EXPIRED
