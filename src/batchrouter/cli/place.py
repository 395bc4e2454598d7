"""Which server a command talks to, and as whom: told by options, by the environment or by the data folder; else the
usual one."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from batchrouter.bootstrap.local import read_server
from batchrouter.errors import ConfigError

if TYPE_CHECKING:
    from batchrouter.config import Config

URL_VARIABLE = "BATCHROUTER_URL"
KEY_VARIABLE = "BATCHROUTER_API_KEY"


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerOptions:
    """What the options of a command say about the server."""

    url: str | None = None
    key: str | None = None
    tenant: str | None = None
    data: Path | None = None
    config: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """`url_from` and `key_from` tell people where each was found. `tenant`: whose batches, if not the key's own."""

    url: str
    key: str | None
    url_from: str
    key_from: str
    tenant: str | None = None


def find_place(options: ServerOptions) -> Place:
    """Raises `ConfigError` when a configuration that must be looked at cannot be read."""
    key, key_from = options.key, "--key"
    if key is None and options.data is None:
        key, key_from = os.environ.get(KEY_VARIABLE) or None, KEY_VARIABLE
    url, url_from = options.url, "--url"
    if url is None and options.data is None:
        url, url_from = os.environ.get(URL_VARIABLE) or None, URL_VARIABLE
    if url is not None and key is not None:
        return Place(url=url, key=key, url_from=url_from, key_from=key_from, tenant=options.tenant)
    from batchrouter.cli.settings import data_folder  # with all of the configuration, which is not needed above
    from batchrouter.config import DATA_FOLDER, Config

    config = _config(options, needed=url is None)
    folder = data_folder(options.data, config) if config is not None else options.data or Path(DATA_FOLDER)
    note = read_server(folder)
    if note is not None and (url is None or _same(url, note.url)):
        if key is None:
            key, key_from = note.token, f"{folder / 'server.json'}"
        return Place(
            url=note.url, key=key, url_from=f"{folder / 'server.json'}", key_from=key_from, tenant=options.tenant
        )
    if key is None:
        key, key_from = os.environ.get(KEY_VARIABLE) or None, KEY_VARIABLE
    if url is None:
        server = (config or Config()).server
        url = f"http://{server.host}:{server.port}"
        url_from = f"the usual one: neither --url nor {URL_VARIABLE} is set, and no server notes itself in {folder}"
    return Place(
        url=url,
        key=key,
        url_from=url_from,
        key_from="" if key is None else key_from,
        tenant=options.tenant,
    )


def _config(options: ServerOptions, *, needed: bool) -> Config | None:
    """A configuration that only a server could use (a key of a provider is not set here) must not keep a client from
    its server, unless it was named."""
    from batchrouter.cli.settings import load_config

    try:
        return load_config(options.config)
    except ConfigError:
        if options.config is not None and needed:
            raise
        return None


def _same(url: str, other: str) -> bool:
    return url.rstrip("/").removesuffix("/v1") == other.rstrip("/")
