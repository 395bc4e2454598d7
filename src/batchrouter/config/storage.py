"""Where batches are kept: one process on a folder, or many on PostgreSQL and an object store.

Database and bucket may come from the environment too, for containers that have no file. A password is told by nobody:
messages and words for people name a database by `shown`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from batchrouter.config.bounds import near
from batchrouter.config.settings import Config, StorageConfig
from batchrouter.errors import ConfigError

SQLITE = "sqlite"
POSTGRES = ("postgresql", "postgres")
OBJECT_STORES = ("s3", "gs", "az")
VARIABLES = {"database": "BATCHROUTER_DATABASE_URL", "blobs": "BATCHROUTER_BLOBS_URL"}


def with_environment(storage: Any, env: Mapping[str, str]) -> Any:
    """The section as it was read, with what it does not say taken from the environment."""
    if storage is not None and not isinstance(storage, dict):
        return storage
    said = storage or {}
    return {**{key: env[name] for key, name in VARIABLES.items() if env.get(name) and key not in said}, **said}


def check_storage(storage: StorageConfig, where: str) -> None:
    """Raises `ConfigError` for what cannot be used, and for what would lose data: bytes that only one of several
    processes can reach."""
    _check_database(storage.database, where)
    objects = _check_blobs(storage.blobs, where)
    if objects and not is_shared(storage):
        raise ConfigError(
            f"{where}.blobs is a bucket, and {where}.database is sqlite, which lives in a folder: name a folder, or "
            "a PostgreSQL database (postgresql://user:password@host/name) beside the bucket"
        )
    if storage.options and not objects:
        raise ConfigError(f"{where}.options are for a bucket, and {where}.blobs is a folder: take them out")
    if is_shared(storage) and storage.blobs is None:
        raise ConfigError(
            f"{where}.blobs is missing: with PostgreSQL name a bucket (s3://bucket/prefix), or a folder that every "
            "process reaches at the same path, such as a mounted NFS share"
        )


def is_shared(storage: StorageConfig) -> bool:
    """Whether several processes may work on it."""
    return storage.database != SQLITE


def is_bucket(blobs: str | None) -> bool:
    return blobs is not None and "://" in blobs


def require_shared(config: Config, what: str) -> None:
    """Raises `ConfigError`, in whose sentence `what` needs PostgreSQL."""
    if not is_shared(config.storage):
        raise ConfigError(
            f"{what} needs PostgreSQL, because several processes share the database, and storage.database is sqlite: "
            "set storage.database to postgresql://user:password@host/name and storage.blobs to a bucket, or run "
            "everything in one process with `batchrouter serve`"
        )


def shown(database: str) -> str:
    """The database in words for people: without its password and options."""
    if database == SQLITE:
        return database
    url = urlsplit(database)
    user = f"{url.username}@" if url.username else ""
    return f"postgresql://{user}{url.netloc.rpartition('@')[2]}{url.path}"


def passwords_in(database: str) -> set[str]:
    """Whatever of a database's address is secret."""
    try:
        url = urlsplit(database)
        found = {url.password, *(value for key, value in parse_qsl(url.query) if "password" in key)}
    except ValueError:
        return {database}
    return {each for each in found if each}


def _check_database(database: str, where: str) -> None:
    scheme, colon, _ = database.partition("://")
    if database == SQLITE:
        return
    if not colon:
        # Not quoted when it has an @: who forgot the scheme may have written a password.
        told = "" if "@" in database else f" '{database}'"
        words = {SQLITE: None, "postgresql": None}
        raise ConfigError(f"{where}.database{told} is neither sqlite nor postgresql://…{near(database, words)}")
    if scheme == SQLITE:
        raise ConfigError(f"{where}.database: write sqlite, and name its folder in {where}.blobs or with --data")
    if scheme not in POSTGRES:
        known = dict.fromkeys(("postgresql",))
        raise ConfigError(f"{where}.database '{scheme}://…' is not supported{near(scheme, known)}")
    try:
        urlsplit(database).port  # noqa: B018 - asked for its errors
    except ValueError:
        raise ConfigError(
            f"{where}.database is no address of a database: it must look like postgresql://user:password@host:5432/"
            "name, with signs such as / and @ in the password written as %2F and %40"
        ) from None


def _check_blobs(blobs: str | None, where: str) -> bool:
    """Whether it is a bucket."""
    if blobs is None or "://" not in blobs:
        if blobs == "":
            raise ConfigError(f"{where}.blobs is empty: name a folder, or a bucket such as s3://bucket/prefix")
        return False
    scheme, _, rest = blobs.partition("://")
    if scheme == "file":
        raise ConfigError(f"{where}.blobs: name the folder itself, without file://")
    if scheme not in OBJECT_STORES:
        known = dict.fromkeys(OBJECT_STORES)
        raise ConfigError(f"{where}.blobs '{scheme}://…' is not supported{near(scheme, known)}")
    bucket = rest.partition("/")[0]
    if not bucket or "@" in bucket or "?" in rest or "#" in rest:
        raise ConfigError(
            f"{where}.blobs must be a bucket and a prefix, {scheme}://bucket/prefix; keys and addresses belong into "
            f"{where}.options or the environment"
        )
    return True
