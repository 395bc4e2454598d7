"""Files as people see them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from batchrouter.domain.file import File
from batchrouter.ports.catalog import Page
from tests.conformance.scene import TENANT, Scene

OTHER = "tenant_b"


def ids(page: Page[File] | None) -> list[str]:
    assert page is not None
    return [file.id for file in page.rows]


def listed(scene: Scene, **changes: object) -> Page[File] | None:
    options: dict[str, object] = {"after": None, "limit": 100, "descending": True, "purpose": None}
    options.update(changes)
    return scene.catalog.files(TENANT, now_ms=scene.now, **options)  # type: ignore[arg-type]


def test_a_file_comes_back_as_it_was_put_in(scene: Scene) -> None:
    """Every field is kept; the store adds only `seq`, which rises."""
    first, second = scene.file("f1", expires_ms=scene.now + 5), scene.file("f2", index_key=None, lines=None)
    assert second.seq > first.seq
    assert scene.catalog.file(TENANT, "f1", scene.now) == first
    assert scene.catalog.file(TENANT, "f2", scene.now) == second
    assert replace(first, seq=0) == File(
        id="f1", tenant_id=TENANT, purpose="batch", filename="in.jsonl", bytes=100, lines=4, created_ms=scene.now,
        expires_ms=scene.now + 5, blob_key="files/f1", index_key="files/f1.index",
    )  # fmt: skip


def test_another_tenants_file_is_not_there(scene: Scene) -> None:
    """Looking, listing, paging after and deleting all find nothing of another tenant's."""
    scene.tenant(OTHER)
    scene.file("f1", OTHER)
    assert scene.catalog.file(TENANT, "f1", scene.now) is None
    assert ids(listed(scene)) == []
    assert listed(scene, after="f1") is None
    assert not scene.catalog.delete_file(TENANT, "f1", scene.now)
    assert scene.catalog.file(OTHER, "f1", scene.now) is not None


def test_a_deleted_file_is_gone_and_deleted_once(scene: Scene) -> None:
    """After the first delete the file is not there, for the second delete either."""
    scene.file("f1")
    assert scene.catalog.delete_file(TENANT, "f1", scene.now)
    assert scene.catalog.file(TENANT, "f1", scene.now) is None
    assert not scene.catalog.delete_file(TENANT, "f1", scene.now)
    assert ids(listed(scene)) == []


def test_a_file_past_its_time_is_not_there_though_nobody_swept(scene: Scene) -> None:
    """Time alone hides it, from a look, from the list and from a delete."""
    scene.file("f1", expires_ms=scene.now + 10)
    assert scene.catalog.file(TENANT, "f1", scene.now + 9) is not None
    scene.now += 11
    assert scene.catalog.file(TENANT, "f1", scene.now) is None
    assert ids(listed(scene)) == []
    assert not scene.catalog.delete_file(TENANT, "f1", scene.now)


@pytest.mark.parametrize("descending", [True, False])
@pytest.mark.parametrize("limit", [1, 2, 3, 7, 8])
def test_pages_tell_every_file_once_in_order(scene: Scene, descending: bool, limit: int) -> None:
    """Following `after` tells each file once, by creation; `more` is true until the last page."""
    made = [scene.file(f"f{number}").id for number in range(7)]
    seen: list[str] = []
    after = None
    while True:
        page = listed(scene, after=after, limit=limit, descending=descending)
        assert page is not None
        seen += ids(page)
        assert page.more == (len(seen) < len(made))
        if not page.more:
            break
        after = seen[-1]
    assert seen == (made[::-1] if descending else made)


def test_a_deleted_file_still_holds_its_place(scene: Scene) -> None:
    """A client that pages while it deletes goes on where it was."""
    for number in range(4):
        scene.file(f"f{number}")
    scene.catalog.delete_file(TENANT, "f2", scene.now)
    assert ids(listed(scene, after="f2")) == ["f1", "f0"]


def test_paging_after_an_unknown_file_is_refused(scene: Scene) -> None:
    """`after` must name a file of the tenant."""
    assert listed(scene, after="nothing") is None


def test_a_purpose_filters_the_list(scene: Scene) -> None:
    """Only files of that purpose, and `more` counts only those."""
    scene.file("f1")
    scene.file("f2", purpose="assistants")
    scene.file("f3")
    assert ids(listed(scene, purpose="batch")) == ["f3", "f1"]
    page = listed(scene, purpose="assistants", limit=1)
    assert ids(page) == ["f2"]
    assert page is not None
    assert not page.more
