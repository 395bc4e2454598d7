"""What a tenant may have at once, and that another tenant's has no part in it."""

from __future__ import annotations

import pytest

from batchrouter.domain.file import File
from batchrouter.domain.lifecycle import UploadEvent
from batchrouter.domain.quota import Quota, Usage
from batchrouter.domain.tenant import Quotas, Tenant
from batchrouter.errors import QuotaExceeded
from tests.conformance.scene import REFUSAL, START_MS, TENANT, Scene
from tests.conformance.store.test_uploads import a_part, begin

OTHER = "tenant_b"
MINUTE = START_MS // 60_000


def bound(scene: Scene, tenant_id: str = TENANT, **quotas: int) -> None:
    home = Tenant(id=tenant_id, name=tenant_id, weight=1, created_ms=START_MS, quotas=Quotas(**quotas))
    scene.catalog.add_tenant(home)


def a_file(name: str, *, lines: int | None = 10, size: int = 1000, tenant_id: str = TENANT) -> File:
    return File(
        id=f"file-{name}",
        tenant_id=tenant_id,
        purpose="batch",
        filename=name,
        bytes=size,
        lines=lines,
        created_ms=START_MS,
        blob_key=f"files/{tenant_id}-{name}",
        index_key=f"files/{tenant_id}-{name}.idx",
    )


def test_a_tenant_without_quotas_is_unbound(scene: Scene) -> None:
    """So is one that does not exist."""
    assert scene.catalog.quotas(TENANT) == Quotas()
    assert scene.catalog.quotas("nobody") == Quotas()
    assert scene.catalog.usage("nobody") == Usage()


def test_the_quotas_are_those_of_the_tenant(scene: Scene) -> None:
    """Each by itself."""
    bound(scene, max_lines=3, max_requests=9)
    bound(scene, OTHER, max_bytes=4)
    assert scene.catalog.quotas(TENANT) == Quotas(max_lines=3, max_requests=9)
    assert scene.catalog.quotas(OTHER) == Quotas(max_bytes=4)


@pytest.mark.parametrize(("quota", "limit"), [(Quota.LINES, 25), (Quota.BYTES, 2500)])
def test_a_batch_beyond_the_quota_is_not_made(scene: Scene, quota: Quota, limit: int) -> None:
    """Two fit, the third does not, and nothing of it is there; another tenant's batches do not count."""
    bound(scene, **{"max_lines" if quota is Quota.LINES else "max_bytes": limit})
    scene.tenant(OTHER)
    scene.catalog.add_file(a_file("f"))
    scene.catalog.add_file(a_file("g", tenant_id=OTHER))
    for number in range(3):
        scene.create(f"batch_b{number}", tenant_id=OTHER, input_file_id="file-g")
    for number in range(2):
        scene.create(f"batch_a{number}", input_file_id="file-f")
    with pytest.raises(QuotaExceeded) as refused:
        scene.create("batch_a2", input_file_id="file-f")
    unit = 10 if quota is Quota.LINES else 1000
    excess = refused.value.excess
    assert (excess.quota, excess.limit, excess.used, excess.wanted) == (quota, limit, 2 * unit, unit)
    assert scene.catalog.batch(TENANT, "batch_a2") is None
    assert scene.catalog.usage(TENANT) == Usage(lines=20, bytes=2000, storage_bytes=1000)


def test_a_batch_that_ended_makes_room(scene: Scene) -> None:
    """Only batches that are not final count; a repeat of one that fitted is no new batch."""
    bound(scene, max_lines=10)
    scene.catalog.add_file(a_file("f"))
    scene.create("batch_1", input_file_id="file-f", idempotency_key="k", body_hash="h")
    again = scene.create("batch_2", input_file_id="file-f", idempotency_key="k", body_hash="h")
    assert again.id == "batch_1"
    scene.catalog.delete_file(TENANT, "file-f", START_MS)
    assert scene.catalog.usage(TENANT).lines == 10
    worker = scene.worker()
    assert scene.ledger.plan(worker, scene.duty(worker, "batch_1"), REFUSAL, scene.now)
    assert scene.catalog.usage(TENANT) == Usage()


def test_a_file_beyond_the_quota_is_not_kept(scene: Scene) -> None:
    """By whichever way it comes; deleting one makes room."""
    bound(scene, max_storage_bytes=2500)
    scene.catalog.add_file(a_file("a"))
    scene.catalog.add_file(a_file("b"))
    with pytest.raises(QuotaExceeded) as refused:
        scene.catalog.add_file(a_file("c"))
    assert (refused.value.excess.quota, refused.value.excess.used) == (Quota.STORAGE, 2000)
    assert scene.catalog.file(TENANT, "file-c", START_MS) is None
    begin(scene, "upload_1")
    with pytest.raises(QuotaExceeded):
        scene.catalog.end_upload(TENANT, "upload_1", UploadEvent.COMPLETE, a_file("c"), START_MS)
    scene.catalog.delete_file(TENANT, "file-a", START_MS)
    done = scene.catalog.end_upload(TENANT, "upload_1", UploadEvent.COMPLETE, a_file("c"), START_MS)
    assert done is not None
    assert done.file is not None


def test_parts_of_uploads_take_room_too(scene: Scene) -> None:
    """Whichever upload they are of, until it ends; those that become a file are not counted beside it."""
    bound(scene, max_storage_bytes=1030)
    scene.catalog.add_file(a_file("a", size=1000))
    for upload_id in ("u1", "u2"):
        begin(scene, upload_id)
    for number, upload_id in enumerate(("u1", "u1", "u2")):
        assert scene.catalog.add_part(TENANT, a_part(scene, number, upload_id), scene.now) is not None
    assert scene.catalog.usage(TENANT) == Usage(storage_bytes=1030)
    with pytest.raises(QuotaExceeded):
        scene.catalog.add_part(TENANT, a_part(scene, 4), scene.now)
    assert len(scene.catalog.parts("u1")) == 2
    with pytest.raises(QuotaExceeded):
        scene.catalog.add_file(a_file("b", size=1))
    scene.catalog.end_upload(TENANT, "u2", UploadEvent.CANCEL, None, scene.now)
    assert scene.catalog.usage(TENANT) == Usage(storage_bytes=1020)
    done = scene.catalog.end_upload(TENANT, "u1", UploadEvent.COMPLETE, a_file("u1", size=30), scene.now)
    assert done is not None
    assert done.file is not None
    assert scene.catalog.usage(TENANT) == Usage(storage_bytes=1030)


def test_the_requests_of_a_minute_are_given_out_once(scene: Scene) -> None:
    """In blocks, to whoever asks first; each tenant and minute has its own, and nothing is given twice."""
    take = scene.catalog.take_requests
    assert [take(TENANT, MINUTE, 4, 10) for _ in range(4)] == [4, 4, 2, 0]
    assert take(OTHER, MINUTE, 4, 10) == 4
    assert take(TENANT, MINUTE + 1, 4, 10) == 4
    assert take(TENANT, MINUTE, 4, 10) == 0, "the minute before is still known: clocks differ a little"
    assert take(TENANT, MINUTE + 5, 20, 10) == 10
    assert take(TENANT, MINUTE + 5, 1, 5) == 0, "a quota that was lowered"
