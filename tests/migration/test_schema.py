"""The schema of a new database, of a migrated one, and of one from the future."""

from __future__ import annotations

import re
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from batchrouter.adapters.sql import SqlStore
from batchrouter.adapters.sql.migrate import MIGRATIONS, bring_to_head, upgrade
from batchrouter.adapters.sql.schema import HEAD, VERSIONS, metadata
from batchrouter.adapters.sql.sqlite import open_writer
from batchrouter.adapters.sql.store import DATABASE
from batchrouter.errors import StoreError


def tables_and_indexes(path: Path) -> dict[str, str]:
    """Each object's SQL as SQLite keeps it, without what is only layout."""
    with sqlite3.connect(path) as connection:
        rows = connection.execute("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL").fetchall()
    connection.close()
    return {name: re.sub(r"[\s\"]+", " ", sql).replace(" ,", ",") for name, sql in rows}


def migrated(folder: Path, target: str = HEAD) -> Path:
    path = folder / "migrated.db"
    writer = open_writer(path, sync=False)
    upgrade(writer, target)
    writer.close()
    return path


def test_a_new_database_has_the_schema_that_the_migrations_make(tmp_path: Path) -> None:
    """Both ways to a database end at the same tables and indexes, word for word."""
    SqlStore.open_sqlite(tmp_path, sync=False).close()
    assert tables_and_indexes(tmp_path / DATABASE) == tables_and_indexes(migrated(tmp_path))


def test_alembic_finds_nothing_to_add_to_the_migrations(tmp_path: Path) -> None:
    """No table or column of the code is missing from the migrations."""
    writer = open_writer(migrated(tmp_path), sync=False)
    with writer.begin():
        assert compare_metadata(MigrationContext.configure(writer), metadata) == []
    writer.close()


def test_the_constant_names_every_migration_in_order() -> None:
    """A start that believes the constant believes the migrations."""
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    script = ScriptDirectory.from_config(config)
    found = [revision.revision for revision in script.walk_revisions()][::-1]
    assert tuple(found) == VERSIONS
    assert script.get_current_head() == HEAD


def test_a_database_at_head_is_opened_without_alembic(tmp_path: Path) -> None:
    """A start with nothing to migrate pays nothing for migrations, on a new folder and on an old one."""
    code = (
        "import sys; from pathlib import Path; from batchrouter.adapters.sql import SqlStore\n"
        "for _ in range(2): SqlStore.open_sqlite(Path(sys.argv[1])).close()\n"
        "sys.exit('alembic was imported' if 'alembic' in sys.modules else 0)"
    )
    ended = subprocess.run([sys.executable, "-c", code, tmp_path], env={"PYTHONPATH": ":".join(sys.path)}, check=False)
    assert ended.returncode == 0


def test_a_database_of_a_newer_version_is_refused_and_left_alone(tmp_path: Path) -> None:
    """An older program does not touch what it cannot read, and says what to do."""
    SqlStore.open_sqlite(tmp_path, sync=False).close()
    with sqlite3.connect(tmp_path / DATABASE) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()
    with pytest.raises(StoreError, match=r"made by a newer version .*9999.* install that version"):
        SqlStore.open_sqlite(tmp_path, sync=False)
    with sqlite3.connect(tmp_path / DATABASE) as connection:
        assert connection.execute("SELECT version_num FROM alembic_version").fetchall() == [("9999",)]
    connection.close()


def test_an_older_database_is_migrated_at_the_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A version that the code knows and is not its last is brought up by Alembic."""
    SqlStore.open_sqlite(tmp_path, sync=False).close()
    asked: list[str] = []
    monkeypatch.setattr("batchrouter.adapters.sql.migrate.HEAD", "later")
    monkeypatch.setattr("batchrouter.adapters.sql.migrate.upgrade", lambda writer: asked.append("upgrade"))
    SqlStore.open_sqlite(tmp_path, sync=False).close()
    assert asked == ["upgrade"]


def test_another_programs_database_is_refused(tmp_path: Path) -> None:
    """A file that merely has our name keeps its tables, and gets none of ours."""
    with sqlite3.connect(tmp_path / DATABASE) as connection:
        connection.execute("CREATE TABLE theirs (x)")
    connection.close()
    with pytest.raises(StoreError, match="not a database of BatchRouter"):
        SqlStore.open_sqlite(tmp_path, sync=False)
    assert set(tables_and_indexes(tmp_path / DATABASE)) == {"theirs"}


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    """Garbage is named as such, not half read."""
    (tmp_path / DATABASE).write_bytes(b"certainly not SQLite" * 100)
    with pytest.raises(StoreError, match="not a database of BatchRouter"):
        SqlStore.open_sqlite(tmp_path, sync=False)


def test_an_interrupted_first_start_leaves_an_empty_database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The tables come all at once: a start that dies among them is simply done again."""

    class Died(Exception):
        pass

    def die(*_: object) -> None:
        raise Died

    monkeypatch.setattr("batchrouter.adapters.sql.migrate.VERSION_TABLE.create", die)
    writer = open_writer(tmp_path / DATABASE, sync=False)
    with pytest.raises(Died):
        bring_to_head(writer, "it")
    assert sa.inspect(writer).get_table_names() == []
    writer.close()
    monkeypatch.undo()
    SqlStore.open_sqlite(tmp_path, sync=False).close()
