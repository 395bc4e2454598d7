"""One writer, one reader: who waits for whom, what they see, and whose words an error speaks."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from batchrouter.adapters.sql import SqlStore
from batchrouter.adapters.sql.schema import files
from batchrouter.adapters.sql.store import DATABASE
from batchrouter.domain.tenant import Tenant
from batchrouter.errors import StoreError
from tests.conformance.scene import TENANT, Scene, draft_of, records_of


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqlStore]:
    opened = SqlStore.open_sqlite(tmp_path, sync=False)
    yield opened
    opened.close()


def many_files(store: SqlStore, count: int) -> None:
    rows = [
        {"id": f"file-{n}", "tenant_id": TENANT, "role": "uploaded", "purpose": "batch", "filename": "f", "bytes": 1,
         "created_ms": n}
        for n in range(count)
    ]  # fmt: skip
    with store._database.write() as tx:
        tx.execute(files.insert(), rows)


def test_a_read_in_progress_does_not_hold_up_a_write(store: SqlStore) -> None:
    """A settle commits while a list is being read, and the list does not see it; the next read does."""
    scene = Scene(store)
    worker = scene.worker()
    scene.running()
    claim = scene.claim_one(worker)
    batch_done = sa.text("SELECT done FROM batches")
    with store._database.read() as reading:
        assert reading.execute(batch_done).scalar() == 0
        settled = store.ledger.settle(worker, draft_of("b1", records_of(claim)), scene.now)
        assert settled.drained
        assert reading.execute(batch_done).scalar() == 0
    assert scene.batch("b1").completed == 4


def test_a_write_in_progress_does_not_hold_up_a_read(store: SqlStore) -> None:
    """People look while the engine writes; they see what was committed before."""
    scene = Scene(store)
    scene.create("b1")
    with store._database.write() as writing:
        writing.execute(sa.text("UPDATE batches SET model = 'half done'"))
        assert scene.batch("b1").model is None
    assert scene.batch("b1").model == "half done"


def test_a_long_list_is_read_in_short_transactions(store: SqlStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """10,000 files: every one, in order, never more than 1,000 in one transaction, and whoever waits for the reader
    gets it between two pages."""
    many_files(store, 10_000)
    pages: list[int] = []
    real = store._database.read

    def counted() -> object:
        pages.append(1)
        return real()

    monkeypatch.setattr(store._database, "read", counted)
    page = store.catalog.files(TENANT, after=None, limit=10_000, descending=True, purpose=None, now_ms=0)
    assert page is not None
    assert [file.created_ms for file in page.rows] == list(range(10_000))[::-1]
    assert not page.more
    assert len(pages) >= 10


def test_no_read_stays_open(store: SqlStore) -> None:
    """After every verb the reader lets go of its snapshot: a checkpoint can empty the log."""
    scene = Scene(store)
    scene.running("b1", worker=scene.worker())
    scene.batch("b1")
    store.ledger.waiting(scene.now)
    store.catalog.files(TENANT, after=None, limit=10, descending=True, purpose=None, now_ms=0)
    raw = store._database._writer.connection.driver_connection
    assert isinstance(raw, sqlite3.Connection)
    busy, _, _ = raw.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    assert busy == 0


def test_the_reader_cannot_write(store: SqlStore) -> None:
    """A verb that reads by mistake through the wrong door changes nothing, and says so."""
    with pytest.raises(StoreError, match="cannot be written"), store._database.read() as reading:
        reading.execute(sa.text("DELETE FROM batches"))


def test_both_sides_may_be_used_from_several_threads(store: SqlStore) -> None:
    """Each connection has one user at a time: verbs of several threads come one after the other, none is lost."""
    scene = Scene(store)
    failed: list[BaseException] = []

    def work(name: str) -> None:
        try:
            for number in range(20):
                scene.catalog.add_tenant(Tenant(id=f"{name}{number}", name=f"{name}{number}", weight=1, created_ms=0))
                scene.catalog.tenants()
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=work, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert len(scene.catalog.tenants()) == 81


def test_a_full_disk_is_told_in_plain_words_and_changes_nothing(store: SqlStore) -> None:
    """The verb fails as a StoreError that says what to do; when there is room again it works."""
    scene = Scene(store)
    worker = scene.worker()
    scene.running(lines=(400,))
    claim = scene.claim_one(worker)
    raw = store._database._writer.connection.driver_connection
    assert isinstance(raw, sqlite3.Connection)
    pages = raw.execute("PRAGMA page_count").fetchone()[0]
    raw.execute(f"PRAGMA max_page_count = {pages + 1}")
    draft = draft_of("b1", records_of(claim), data=b"x" * 100_000)
    with pytest.raises(StoreError, match=r"no room is left on the disk.*free some space"):
        store.ledger.settle(worker, draft, scene.now)
    assert scene.done() == 0
    raw.execute("PRAGMA max_page_count = 1073741823")
    assert store.ledger.settle(worker, draft, scene.now).drained


def test_an_error_tells_no_value(store: SqlStore) -> None:
    """What people and models wrote stays out of tracebacks, the chained cause's words included."""
    scene = Scene(store)
    scene.file("f1")
    with pytest.raises(StoreError, match="such a row exists") as told:
        scene.file("f1", filename="secret.jsonl")
    assert "secret" not in f"{told.value} {told.value.__cause__}"


def test_a_database_that_another_process_writes_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two writers never wait for ever: the second says who is in the way."""
    monkeypatch.setattr("batchrouter.adapters.sql.sqlite._BUSY_MS", 10)
    store = SqlStore.open_sqlite(tmp_path, sync=False)
    other = sqlite3.connect(tmp_path / DATABASE, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreError, match="held by another process"):
        store.catalog.add_tenant(Tenant(id="t", name="t", weight=1, created_ms=0))
    other.execute("COMMIT")
    store.catalog.add_tenant(Tenant(id="t", name="t", weight=1, created_ms=0))
    other.close()
    store.close()


def test_a_folder_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    """Not a traceback of SQLite's, but the path and the reason."""
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StoreError, match=r"batchrouter\.db cannot be opened"):
        SqlStore.open_sqlite(tmp_path / "file")
