"""What a process tells when it is up, and where it listens."""

from __future__ import annotations

from dataclasses import dataclass

from batchrouter.api.server import ApiServer
from batchrouter.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Ready:
    """`storage`: in words, without a password. `first_key`: made because there was none, told this once. `worker`: the
    id of the worker in this process."""

    role: str
    url: str
    storage: str
    providers: tuple[str, ...]
    first_key: str | None = None
    worker: str | None = None


async def listen(server: ApiServer, host: str, port: int) -> str:
    """The address under which this machine reaches it. Raises `ConfigError` when it is taken."""
    try:
        port = await server.start(host, port)
    except (OSError, OverflowError) as error:
        raise ConfigError(
            f"cannot listen on {host}:{port}: {error}. Choose another with --host and --port (0 takes a free port)"
        ) from error
    shown = "127.0.0.1" if host in ("0.0.0.0", "::", "") else host
    return f"http://[{shown}]:{port}" if ":" in shown else f"http://{shown}:{port}"
