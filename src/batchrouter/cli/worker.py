"""`batchrouter worker`: a worker without the API, as many of them as one likes on one database."""

from __future__ import annotations

import os
from collections.abc import Sequence

from batchrouter.bootstrap.ready import Ready
from batchrouter.bootstrap.worker import WorkerProcess
from batchrouter.cli.role import RoleOptions, run_role
from batchrouter.cli.settings import NO_PROVIDER, given_folder, load_config
from batchrouter.config import require_shared


def worker(options: RoleOptions) -> int:
    """Until SIGTERM or SIGINT. Raises `ConfigError`, `StoreError` before it works."""
    config = load_config(options.config)
    require_shared(config, "`batchrouter worker`")
    data = given_folder(options.data, config)
    host = config.server.host if options.host is None else options.host
    port = config.server.worker_port if options.port is None else options.port
    return run_role(
        lambda: WorkerProcess(config, data, os.environ, host=host, port=port),
        options,
        config.server.shutdown_grace_s,
        _words,
    )


def _words(ready: Ready) -> Sequence[str]:
    told = [
        f"BatchRouter works as {ready.worker}",
        f"  data       {ready.storage}",
        f"  providers  {', '.join(ready.providers) or 'none'}",
        f"  health     {ready.url}/readyz",
    ]
    if not ready.providers:
        told.append(f"{NO_PROVIDER}\nUntil then every batch fails with model_not_found.")
    told.append("Ctrl-C stops it.")
    return told
