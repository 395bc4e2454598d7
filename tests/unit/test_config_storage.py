"""Where batches are kept: what goes together, and what would lose data."""

from __future__ import annotations

import pytest

from batchrouter.config import is_shared, parse, require_shared, shown
from batchrouter.errors import ConfigError

POSTGRES = "postgresql://ada:hush-hush@db:5433/batches"


def storage(words: str, **env: str) -> object:
    return parse(f"storage: {{{words}}}\n", env, "x.yaml").storage


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("database: sqlit", "'sqlit' is neither sqlite nor postgresql://…; did you mean 'sqlite'"),
        ("database: 'mysql://ada:hush-hush@db/x'", "'mysql://…' is not supported; known are postgresql"),
        ("database: 'postgresq://ada:hush-hush@db/x'", "did you mean 'postgresql'"),
        ("database: 'sqlite:///x.db'", "write sqlite, and name its folder in x.yaml: storage.blobs"),
        ("database: 'ada:hush-hush@db/x'", "is neither sqlite nor postgresql://…"),
        (f"database: '{POSTGRES.replace('5433', 'hush-hush')}', blobs: 's3://b'", "no address of a database"),
        (f"database: '{POSTGRES}'", "storage.blobs is missing: with PostgreSQL name a bucket"),
        ("blobs: 's3://bucket/prefix'", "storage.blobs is a bucket, and x.yaml: storage.database is sqlite"),
        (f"database: '{POSTGRES}', blobs: 's3a://b'", "'s3a://…' is not supported; did you mean 's3'"),
        (f"database: '{POSTGRES}', blobs: 'file:///b'", "name the folder itself"),
        (f"database: '{POSTGRES}', blobs: 's3://'", "must be a bucket and a prefix"),
        (f"database: '{POSTGRES}', blobs: 's3://key:hush-hush@bucket'", "keys and addresses belong into"),
        (f"database: '{POSTGRES}', blobs: ''", "storage.blobs is empty"),
        (f"database: '{POSTGRES}', blobs: d, options: {{region: hush-hush}}", "options are for a bucket"),
    ],
)
def test_what_cannot_be_used_is_refused_without_a_password(words: str, told: str) -> None:
    with pytest.raises(ConfigError) as refused:
        storage(words)
    assert told in str(refused.value)
    assert "hush" not in str(refused.value)


@pytest.mark.parametrize("blobs", ["s3://bucket/a/prefix", "gs://bucket", "az://bucket/x", "/mnt/shared"])
def test_postgresql_goes_with_buckets_and_with_folders(blobs: str) -> None:
    found = storage(f"database: '{POSTGRES}', blobs: '{blobs}'")
    assert (found.database, found.blobs) == (POSTGRES, blobs)  # type: ignore[attr-defined]


def test_the_environment_names_what_the_file_does_not() -> None:
    env = {"BATCHROUTER_DATABASE_URL": POSTGRES, "BATCHROUTER_BLOBS_URL": "s3://from-env"}
    both = parse("", env, "x.yaml").storage
    assert (both.database, both.blobs) == (POSTGRES, "s3://from-env")
    one = parse("storage: {blobs: 's3://from-file'}\n", env, "x.yaml").storage
    assert (one.database, one.blobs) == (POSTGRES, "s3://from-file")
    own = parse("storage: {database: sqlite, blobs: here}\n", env, "x.yaml").storage
    assert (own.database, own.blobs) == ("sqlite", "here")


def test_a_password_of_the_environment_is_not_told_either() -> None:
    with pytest.raises(ConfigError) as refused:
        parse("", {"BATCHROUTER_DATABASE_URL": "mysql://ada:hush-hush@db/x"}, "x.yaml")
    assert "hush" not in str(refused.value)


@pytest.mark.parametrize(
    ("database", "words"),
    [
        ("sqlite", "sqlite"),
        (POSTGRES, "postgresql://ada@db:5433/batches"),
        ("postgres://db/x?password=hush-hush", "postgresql://db/x"),
        ("postgresql:///x?host=/run/pg", "postgresql:///x"),
    ],
)
def test_a_database_is_shown_without_its_password(database: str, words: str) -> None:
    assert shown(database) == words


def test_several_processes_need_postgresql() -> None:
    """In a sentence that says what to write."""
    one = parse("", {}, "x.yaml")
    assert not is_shared(one.storage)
    with pytest.raises(ConfigError, match=r"`batchrouter api` needs PostgreSQL.*storage\.database is sqlite"):
        require_shared(one, "`batchrouter api`")
    require_shared(parse(f"storage: {{database: '{POSTGRES}', blobs: d}}\n", {}, "x.yaml"), "`batchrouter api`")
