"""`batchrouter api`: the HTTP API without a worker, as many of them as one likes on one database."""

from __future__ import annotations

import os

from batchrouter.bootstrap.server import Server
from batchrouter.cli.role import RoleOptions, run_role
from batchrouter.cli.serve import serve_words
from batchrouter.cli.settings import given_folder, load_config
from batchrouter.config import require_shared


def api(options: RoleOptions) -> int:
    """Until SIGTERM or SIGINT. Raises `ConfigError`, `StoreError` before it serves."""
    config = load_config(options.config)
    require_shared(config, "`batchrouter api`")
    data = given_folder(options.data, config)
    host = config.server.host if options.host is None else options.host
    port = config.server.port if options.port is None else options.port
    return run_role(
        lambda: Server(config, data, os.environ, host=host, port=port, works=False, makes=False),
        options,
        config.server.shutdown_grace_s,
        serve_words,
    )
