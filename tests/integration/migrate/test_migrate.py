"""Everything arrives, whatever interrupts it; and what ran goes on there."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import sys
import time
from pathlib import Path
from typing import Any

import msgspec
import psycopg
import pytest

from batchrouter.adapters.blobs import LocalBlobs, ObjectBlobs
from batchrouter.adapters.sql.copying import COPIED
from batchrouter.adapters.sql.garbage import BLOB_COLUMNS
from batchrouter.bootstrap import migration
from batchrouter.bootstrap.migration import Report, migrate
from batchrouter.bootstrap.storage import open_storage
from batchrouter.cli.main import main
from batchrouter.config import StorageConfig
from batchrouter.errors import BlobError, ConfigError, FolderError
from tests.integration.migrate.conftest import LINES, Left
from tests.postgres import fresh_database
from tests.serving import ApiProgram, config_for

FREED = {"shards": {"owner", "epoch", "open"}, "batches": {"duty_owner", "duty_epoch"}, "lanes": set()}


class Deaf:
    def blobs(self, looked_at: int, copied: int, bytes: int) -> None: ...
    def rows(self, table: str, count: int) -> None: ...


class Broken(Deaf):
    """Dies at the n-th blob, or at the first rows of a table."""

    def __init__(self, *, blob: int | None = None, table: str | None = None) -> None:
        self._blob = blob
        self._table = table

    def blobs(self, looked_at: int, copied: int, bytes: int) -> None:
        if looked_at == self._blob:
            raise BlobError("told to break")

    def rows(self, table: str, count: int) -> None:
        if table == self._table:
            raise BlobError("told to break")


def run(folder: Path, storage: StorageConfig, listener: Deaf | None = None, *, dry: bool = False) -> Report:
    return asyncio.run(migrate(folder, storage, listener or Deaf(), dry=dry))


def rows_of(connection: Any, table: Any) -> list[dict[str, Any]]:
    """By primary key, without what is freed on the way."""
    names = [column.name for column in table.columns if column.name not in FREED.get(table.name, set())]
    order = ", ".join(f'"{column.name}"' for column in table.primary_key)
    columns = ", ".join(f'"{name}"' for name in names)
    found = connection.execute(f'SELECT {columns} FROM "{table.name}" ORDER BY {order}').fetchall()
    plain = [[bytes(each) if isinstance(each, memoryview) else each for each in row] for row in found]
    return [dict(zip(names, row, strict=True)) for row in plain]


def stored(storage: StorageConfig) -> dict[str, int]:
    async def look() -> dict[str, int]:
        assert storage.blobs is not None
        blobs = ObjectBlobs.open(storage.blobs, storage.options)
        return {key: await blobs.size(key) for key in await blobs.aged(2**60)}

    return asyncio.run(look())


def count(url: str, table: str) -> int:
    with psycopg.connect(url) as connection:
        row = connection.execute(f'SELECT count(*) FROM "{table}"').fetchone()  # type: ignore[arg-type, unused-ignore]
        assert row is not None
        return int(row[0])


def no_rows(url: str) -> bool:
    with psycopg.connect(url) as connection:
        tables = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
    return all(count(url, name) == 0 for (name,) in tables if name not in ("alembic_version", "compatibility"))


def test_every_row_arrives_as_it_is_and_every_blob(folder: Path, storage: StorageConfig) -> None:
    """Ids, numbers and bytes; leases and duties are free; the database numbers on after the last."""
    report = run(folder, storage)
    old = sqlite3.connect(folder / "batchrouter.db")
    with psycopg.connect(storage.database) as new:
        for table in COPIED:
            assert rows_of(new, table) == rows_of(old, table), table.name
            assert report.tables[table.name] == len(rows_of(old, table))
            column = table.autoincrement_column
            if column is not None:
                (last,) = old.execute(f'SELECT max("{column.name}") FROM "{table.name}"').fetchone()
                insert = f"SELECT nextval(pg_get_serial_sequence('{table.name}', '{column.name}'))"
                assert new.execute(insert).fetchone() == ((last or 0) + 1,)
        assert new.execute("SELECT count(*) FROM shards WHERE owner IS NOT NULL").fetchone() == (0,)
        assert new.execute("SELECT count(*) FROM batches WHERE duty_owner IS NOT NULL").fetchone() == (0,)
        assert new.execute("SELECT count(*) FROM workers").fetchone() == (0,)
    epochs = "SELECT sum(epoch) FROM shards WHERE owner IS NOT NULL"
    assert old.execute(epochs).fetchone()[0] is not None  # a server was killed here
    old.close()
    sizes = stored(storage)
    assert report.blobs_copied == len(sizes) > 5
    assert report.bytes_copied == sum(sizes.values())
    for key, size in sizes.items():
        assert (folder / "blobs" / key).stat().st_size == size
    assert report.live_batches == 2
    assert report.blobs_missing == 0


def test_a_dry_run_tells_and_changes_nothing(folder: Path, storage: StorageConfig) -> None:
    told = run(folder, storage, dry=True)
    assert stored(storage) == {}
    with psycopg.connect(storage.database) as new:
        assert new.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'").fetchone() == (0,)
    done = run(folder, storage)
    assert (told.tables, told.blobs_copied, told.bytes_copied) == (done.tables, done.blobs_copied, done.bytes_copied)


def test_interrupted_anywhere_it_ends_right_when_run_again(
    folder: Path, storage: StorageConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Blobs that arrived are not copied again; rows arrive all or none; a third run finds nothing to do."""
    monkeypatch.setattr(migration, "_AT_ONCE", 1)
    with pytest.raises(BlobError, match="told to break"):
        run(folder, storage, Broken(blob=3))
    arrived = len(stored(storage))
    assert arrived == 3
    assert no_rows(storage.database)
    with pytest.raises(BlobError, match="told to break"):
        run(folder, storage, Broken(table="shards"))
    assert no_rows(storage.database)
    assert not (folder / "moved-to").exists()
    report = run(folder, storage)
    assert (report.blobs_copied, report.already) == (0, False)
    assert report.blobs_present == len(stored(storage)) > arrived
    again = run(folder, storage)
    assert again.already
    assert again.blobs_copied == 0


def test_a_blob_of_another_size_is_copied_again(folder: Path, storage: StorageConfig) -> None:
    """Whatever wrote half of it."""
    run(folder, StorageConfig(database=fresh_database(), blobs=storage.blobs, options=storage.options))
    (folder / "moved-to").unlink()
    key, size = next(iter(stored(storage).items()))

    async def spoil() -> None:
        assert storage.blobs is not None
        await ObjectBlobs.open(storage.blobs, storage.options).put(key, [b"x" * (size - 1)])

    asyncio.run(spoil())
    report = run(folder, storage)
    assert report.blobs_copied == 1
    assert stored(storage)[key] == size


def test_a_target_that_somebody_uses_is_refused(folder: Path, storage: StorageConfig) -> None:
    """And left as it is."""
    with psycopg.connect(url := fresh_database()) as new:
        new.execute("INSERT INTO tenants (id, name, weight, created_ms) VALUES ('t', 'somebody', 1, 0)")
    used = msgspec.structs.replace(storage, database=url)
    with pytest.raises(ConfigError, match=r"has other data already \(1 tenants\)"):
        run(folder, used)
    assert stored(storage) == {}
    assert not (folder / "moved-to").exists()


async def start_and_stop(storage: StorageConfig) -> None:
    await (await open_storage(storage, None, {}, make=True)).close()


def test_a_place_that_another_database_has_is_refused(folder: Path, storage: StorageConfig) -> None:
    """Each would delete the other's bytes. One that a process of this database marked already is no other's."""
    asyncio.run(start_and_stop(msgspec.structs.replace(storage, database=fresh_database())))
    for dry in (True, False):
        with pytest.raises(ConfigError, match="belongs to another database"):
            run(folder, storage, dry=dry)
    own = msgspec.structs.replace(storage, blobs=f"{storage.blobs}-own")
    asyncio.run(start_and_stop(own))
    assert run(folder, own).blobs_copied


def test_a_folder_that_went_on_meanwhile_is_not_taken_for_its_copy(folder: Path, storage: StorageConfig) -> None:
    """What came since would be left behind in silence."""
    run(folder, storage)
    with sqlite3.connect(folder / "batchrouter.db") as old:
        old.execute("UPDATE batches SET id = 'batch_another' WHERE seq = 1")
    old.close()
    with pytest.raises(ConfigError, match="or an older copy of this folder"):
        run(folder, storage)


def test_what_can_be_no_source_is_refused(folder: Path, storage: StorageConfig, tmp_path: Path) -> None:
    """A folder that a process holds, none at all, and one with answers that wait to be written."""
    with pytest.raises(FolderError, match="there is no database in it"):
        run(tmp_path / "absent", storage)
    assert not (tmp_path / "absent").exists()
    held = migration.DataFolder.open(folder)
    with pytest.raises(FolderError, match="is held by"):
        run(folder, storage)
    held.close()
    (folder / "spill").mkdir(exist_ok=True)
    (folder / "spill" / "x-00000001.seg").write_bytes(b"answers")
    with pytest.raises(FolderError, match="finished answers wait"):
        run(folder, storage)
    with pytest.raises(ConfigError, match="the configuration names none"):
        run(folder, StorageConfig())


def test_blobs_that_the_folder_lacks_are_named(folder: Path, storage: StorageConfig) -> None:
    """The rest is copied."""
    lost = next(path for path in sorted((folder / "blobs" / "segments").rglob("*")) if path.is_file())
    lost.unlink()
    report = run(folder, storage)
    assert report.missing == [str(lost.relative_to(folder / "blobs"))]
    assert report.blobs_missing == 1
    assert count(storage.database, "batches") == 3


def test_bytes_may_go_to_a_folder_or_stay(folder: Path, storage: StorageConfig, tmp_path: Path) -> None:
    """Database and bytes go their own ways."""
    stays = run(folder, StorageConfig(database=storage.database, blobs=str(folder)))
    assert stays.blobs_copied == 0
    (folder / "moved-to").unlink()
    share = tmp_path / "share"
    report = run(folder, StorageConfig(database=fresh_database(), blobs=str(share)))
    assert report.blobs_copied == stays.blobs_present

    async def same(key: str) -> bool:
        one, other = LocalBlobs(folder / "blobs"), LocalBlobs(share / "blobs")
        size = await one.size(key)
        return await one.read(key, 0, size) == await other.read(key, 0, size + 1)

    files = [path for path in (share / "blobs").rglob("*") if path.is_file()]
    assert all(asyncio.run(same(str(path.relative_to(share / "blobs")))) for path in files)


def test_large_blobs_go_in_pieces(folder: Path, storage: StorageConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    """As small ones do."""
    monkeypatch.setattr(migration, "_SMALL_BYTES", 10)
    assert run(folder, storage).blobs_copied == len(stored(storage))


def test_what_names_a_blob_is_copied_with_it() -> None:
    """Every column of every table that holds a blob's key."""
    named = {
        f"{table.name}.{column.name}"
        for table in COPIED
        for column in table.columns
        if column.name in ("blob_key", "index_key") or column.name.endswith(("_run_key", "_blob_key", "_index_key"))
    }
    assert {f"{column.table.name}.{column.name}" for column, _ in BLOB_COLUMNS} == named


def test_a_server_goes_on_with_what_ran(
    left: Left,
    folder: Path,
    storage: StorageConfig,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """By the command: the same bytes of every file, running batches end, and nobody is asked twice for what was
    answered; on the folder no server starts any more."""
    config = config_for(left.simulator.base_url) | {"storage": msgspec.to_builtins(storage)}
    server = ApiProgram(tmp_path, "batchrouter", config)
    server.write_config()
    command = ["batchrouter", "migrate", "--data", str(folder), "--config", str(server.config_path), "--json"]
    monkeypatch.setattr(sys, "argv", command)
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 0
    report = json.loads(capsys.readouterr().out)
    assert report["ok"]
    assert report["tables"]["batches"] == 3
    asked_before = len(left.simulator.log())
    try:
        server.start()
        with server.client() as client:
            for file_id, content in left.contents.items():
                assert client.files.content(file_id).content == content
            deadline_s = time.monotonic() + 60
            for batch_id in (left.half, left.fresh):
                while (batch := client.batches.retrieve(batch_id)).status != "completed":
                    assert time.monotonic() < deadline_s, batch
                    time.sleep(0.05)
                assert batch.request_counts is not None
                assert batch.request_counts.completed == LINES
                assert batch.output_file_id is not None
                lines = client.files.content(batch.output_file_id).content.splitlines()
                assert sorted(json.loads(line)["custom_id"] for line in lines) == sorted(map(str, range(LINES)))
        server.stop()
    finally:
        server.close()
        print(server.log[-4000:])
    asked = [json.loads(entry.text or "{}")["messages"][0]["content"] for entry in left.simulator.log()[asked_before:]]
    assert len(asked) == LINES // 2 + LINES
    assert left.answered.isdisjoint(asked)
    with pytest.raises(FolderError, match="was moved to"):
        migration.DataFolder.open(folder)
