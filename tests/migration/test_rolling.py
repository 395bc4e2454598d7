"""A schema that several versions share: who may use it, how it is brought up to date, and what a migration may do."""

from __future__ import annotations

import ast
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from batchrouter.adapters.sql import SqlStore, rolling
from batchrouter.adapters.sql.migrate import MIGRATIONS
from batchrouter.adapters.sql.postgres import PostgresDatabase
from batchrouter.adapters.sql.rolling import Schema, upgrade_postgres
from batchrouter.adapters.sql.schema import HEAD, OLDEST, metadata
from batchrouter.domain.lifecycle import BatchEvent, BatchState, JobEvent
from batchrouter.errors import StoreError
from tests.conformance.scene import CHEAP, FAST, TENANT, Scene, records_of
from tests.postgres import empty_database, fresh_database

NEXT = f"{int(HEAD) + 1:04}"
INVENTED = f'''
import sqlalchemy as sa
from alembic import op

revision = "{NEXT}"
down_revision = "{HEAD}"


def upgrade() -> None:
    op.add_column("batches", sa.Column("colour", sa.String(), server_default="blue", nullable=False))
    op.add_column("shards", sa.Column("shape", sa.String()))
    op.create_table("moods", sa.Column("batch_seq", sa.BigInteger(), primary_key=True))
    op.create_index("batches_of_colour", "batches", ["colour"])
'''


@pytest.fixture
def database() -> Iterator[PostgresDatabase]:
    """At the schema of this version."""
    made = PostgresDatabase(fresh_database())
    yield made
    made.close()


@pytest.fixture
def next_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """The code of the next version, as far as the schema goes; undo it to be this version again."""
    folder = tmp_path / "migrations"
    shutil.copytree(MIGRATIONS, folder, ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "versions" / f"{NEXT}_invented.py").write_text(INVENTED)
    with monkeypatch.context() as patch:
        patch.setattr("batchrouter.adapters.sql.migrate.MIGRATIONS", folder)
        patch.setattr("batchrouter.adapters.sql.rolling.HEAD", NEXT)
        yield patch


# --- an empty one ---------------------------------------------------------------------------------------------------


def test_an_empty_database_is_refused_with_the_command_that_makes_it() -> None:
    """A worker that starts before the upgrade makes no tables of its own."""
    url = empty_database()
    with pytest.raises(StoreError, match=r"is empty: run batchrouter db upgrade"):
        SqlStore.open_postgres(url)
    with psycopg.connect(url) as connection:
        assert connection.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'").fetchone() == (0,)


def test_of_several_that_make_it_one_does() -> None:
    """All of them find a database that they can use."""
    url = empty_database()
    together = threading.Barrier(4, timeout=20)
    told: list[tuple[Schema, Schema]] = []

    def make() -> None:
        database = PostgresDatabase(url)
        together.wait()
        told.append(upgrade_postgres(database))
        database.close()

    threads = [threading.Thread(target=make, daemon=True) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(before.version or "" for before, _ in told) == ["", HEAD, HEAD, HEAD]
    assert {after.version for _, after in told} == {HEAD}


def test_the_tables_are_those_that_the_code_names(database: PostgresDatabase) -> None:
    """Alembic finds nothing to add."""
    with database.write() as tx:
        assert compare_metadata(MigrationContext.configure(tx), metadata) == []


# --- the next version -----------------------------------------------------------------------------------------------


def test_this_version_works_on_the_schema_of_the_next(
    database: PostgresDatabase, next_version: pytest.MonkeyPatch
) -> None:
    """Upgraded under its hands, in the middle of a batch, it goes on to the end; and a process of it starts anew."""
    scene = Scene(SqlStore(database))
    worker = scene.worker()
    scene.running("b1", (4, 4), (FAST, CHEAP), worker)
    first, second = scene.claim(worker)
    scene.settle(worker, "b1", records_of(first))

    before, after = upgrade_postgres(database)
    assert (before.version, after.version, after.oldest) == (HEAD, NEXT, OLDEST)
    next_version.undo()

    scene.settle(worker, "b1", records_of(second))
    scene.intend(worker, scene.claim(worker, lane=CHEAP))
    duty = scene.job_duty(worker)
    for shard in scene.jobs.job_shards("job_1"):
        scene.settle(worker, "b1", scene.results(shard, duty))
    scene.jobs.end_job(worker, duty, JobEvent.ABANDON, FAST, None, scene.now)
    assert scene.end(worker, "b1", BatchEvent.COMPLETE).state is BatchState.COMPLETED

    with psycopg.connect(_dsn(database), autocommit=True) as connection:
        assert connection.execute("SELECT colour FROM batches").fetchall() == [("blue",)]
    again = SqlStore.open_postgres(_dsn(database))
    scene = Scene(again)
    scene.running("b2", (4,), worker=worker)
    scene.answer_all(worker, "b2")
    assert scene.catalog.cancel_batch(TENANT, "b2", scene.now)
    again.close()


def test_the_next_version_refuses_the_schema_of_this_one(
    database: PostgresDatabase, next_version: pytest.MonkeyPatch
) -> None:
    """With the command that brings it up to date; afterwards it starts, and a repeat finds nothing to do."""
    with pytest.raises(
        StoreError, match=f"is {HEAD}, and this version of BatchRouter needs {NEXT}: run batchrouter db"
    ):
        SqlStore.open_postgres(_dsn(database))
    upgrade_postgres(database)
    SqlStore.open_postgres(_dsn(database)).close()
    before, after = upgrade_postgres(database)
    assert before == after


def test_a_schema_that_this_version_cannot_use_is_too_new(database: PostgresDatabase) -> None:
    """A later migration took something away, and said so."""
    with psycopg.connect(_dsn(database), autocommit=True) as connection:
        connection.execute("UPDATE compatibility SET oldest = '0009'; UPDATE alembic_version SET version_num = '0012'")
    with pytest.raises(StoreError, match=r"0012\) is too new.* know 0009"):
        SqlStore.open_postgres(_dsn(database))
    with pytest.raises(StoreError, match="too new"):
        upgrade_postgres(database)


def test_an_upgrade_that_dies_changes_nothing(database: PostgresDatabase, next_version: pytest.MonkeyPatch) -> None:
    """Half of it is never there."""

    def die(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("alembic.operations.Operations.create_index", die)
        with pytest.raises(KeyboardInterrupt):
            upgrade_postgres(database)
    assert rolling.schema_of(database).version == HEAD
    with database.read() as tx:
        assert "colour" not in {column["name"] for column in sa.inspect(tx).get_columns("batches")}


def test_an_upgrade_does_not_wait_long_for_a_table(
    database: PostgresDatabase, next_version: pytest.MonkeyPatch
) -> None:
    """Everybody else would wait behind it. It says so, and can be run again."""
    next_version.setattr("batchrouter.adapters.sql.rolling._PATIENCE", sa.text("SET LOCAL lock_timeout = '20ms'"))
    with psycopg.connect(_dsn(database)) as holding:
        holding.execute("SELECT 1 FROM batches")
        with pytest.raises(StoreError, match="nothing was changed: run it again"):
            upgrade_postgres(database)
    assert upgrade_postgres(database)[1].version == NEXT


def _dsn(database: PostgresDatabase) -> str:
    words = database._link._words
    secret = f":{words['password']}" if "password" in words else ""
    return f"postgresql://{words['user']}{secret}@{words['host']}:{words['port']}/{words['dbname']}"


# --- what a migration may do ----------------------------------------------------------------------------------------


def takes_away(source: str) -> list[str]:
    """What of a migration the code of the version before could stumble over: whatever does not only add."""
    found = []
    for call in ast.walk(ast.parse(source)):
        if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Attribute):
            continue
        if not (isinstance(call.func.value, ast.Name) and call.func.value.id == "op"):
            continue
        name = call.func.attr
        if name == "add_column" and not _leaves_old_inserts_alone(call.args[1]):
            found.append("add_column: neither nullable nor with a server_default")
        elif name not in ("add_column", "create_table", "create_index", "bulk_insert"):
            found.append(name)
    return found


def _leaves_old_inserts_alone(column: ast.expr) -> bool:
    assert isinstance(column, ast.Call)
    words = {word.arg: word.value for word in column.keywords}
    nullable = words.get("nullable")
    return (
        "server_default" in words or nullable is None or (isinstance(nullable, ast.Constant) and bool(nullable.value))
    )


@pytest.mark.parametrize(
    "path",
    [path for path in sorted((MIGRATIONS / "versions").glob("0*.py")) if path.name >= "0004"],
    ids=lambda path: path.name,
)
def test_a_migration_only_adds(path: Path) -> None:
    """Since 0004 workers of the version before go on while the schema is upgraded."""
    assert takes_away(path.read_text()) == []


@pytest.mark.parametrize(
    "line",
    [
        'op.drop_column("batches", "model")',
        'op.alter_column("batches", "model", nullable=False)',
        'op.execute("UPDATE batches SET model = 1")',
        'op.add_column("batches", sa.Column("x", sa.String(), nullable=False))',
        'op.drop_index("shards_owned")',
    ],
)
def test_a_migration_that_takes_away_is_found(line: str) -> None:
    """The rule above has teeth."""
    assert takes_away(line)
    assert not takes_away(INVENTED)
