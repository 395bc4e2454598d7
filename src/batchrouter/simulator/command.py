"""`batchrouter simulate`: the simulator as a process, from the words of a command line until SIGTERM or SIGINT."""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import get_args

import msgspec

from batchrouter.errors import ConfigError
from batchrouter.simulator.native.dialects import BatchDialect
from batchrouter.simulator.script import Script, load_script, parse_latency, script_from
from batchrouter.simulator.server import Settings, Simulator


@dataclass(frozen=True, slots=True, kw_only=True)
class ServeOptions:
    """The options of the command. What is given here wins over the same key of the script file.

    `latency` is the short form of `script.parse_latency`. `exit_with_stdin` ends the simulator when its standard input
    does, so that it never outlives the test that started it.
    """

    host: str = "127.0.0.1"
    port: int = 8100
    script: str | None = None
    seed: int | None = None
    latency: str | None = None
    in_flight: int | None = None
    reject_above: int | None = None
    reject_status: int | None = None
    retry_after_s: float | None = None
    rpm: float | None = None
    tpm: float | None = None
    api_key: str | None = None
    models: tuple[str, ...] = ()
    log_path: str | None = None
    log_limit: int = 1_000_000
    keep_bodies: bool = False
    certfile: str | None = None
    keyfile: str | None = None
    batch_dialect: str = "openai"
    exit_with_stdin: bool = False
    json: bool = False


def serve(options: ServeOptions) -> None:
    """Run until SIGTERM or SIGINT. Prints one line when it listens. Raises ConfigError before that."""
    simulator = Simulator(script_of(options), settings_of(options))
    _raise_open_files()
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(_run(simulator, options))


def script_of(options: ServeOptions) -> Script:
    """The script file with the options laid over it. Raises ConfigError."""
    script = load_script(options.script) if options.script is not None else Script()
    value = msgspec.to_builtins(script)
    if options.seed is not None:
        value["seed"] = options.seed
    if options.latency is not None:
        value["latency"] = msgspec.to_builtins(parse_latency(options.latency))
    _lay_over(
        value,
        "capacity",
        in_flight=options.in_flight,
        reject_above=options.reject_above,
        reject_status=options.reject_status,
        retry_after_s=options.retry_after_s,
    )
    _lay_over(value, "limits", rpm=options.rpm, tpm=options.tpm)
    return script_from(value, source="options")


def settings_of(options: ServeOptions) -> Settings:
    return Settings(
        api_key=options.api_key,
        models=options.models,
        log_path=options.log_path,
        log_limit=options.log_limit,
        keep_bodies=options.keep_bodies,
        certfile=options.certfile,
        keyfile=options.keyfile,
        batch_dialect=_batch_dialect(options.batch_dialect),
    )


def _batch_dialect(name: str) -> BatchDialect:
    """Raises ConfigError for a name that is none of a dialect."""
    try:
        dialect: BatchDialect = msgspec.convert(name, BatchDialect)
    except msgspec.ValidationError:
        known = ", ".join(get_args(BatchDialect))
        raise ConfigError(f"'{name}' is no dialect of batches; there are {known}") from None
    return dialect


async def _run(simulator: Simulator, options: ServeOptions) -> None:
    loop = asyncio.get_running_loop()
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    if options.exit_with_stdin:
        loop.add_reader(sys.stdin.fileno(), _stop_at_end_of_input, loop, stopping)
    try:
        await simulator.start(options.host, options.port)
    except OSError as error:
        raise ConfigError(f"the simulator cannot listen on {options.host}:{options.port}: {error}") from error
    _announce(simulator.url, options.json)
    try:
        await stopping.wait()
    finally:
        await simulator.stop()


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """uvloop where it is installed; else the standard loop, slower but the same."""
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


def _announce(url: str, as_json: bool) -> None:
    told = {"ok": True, "url": url, "base_url": f"{url}/v1", "pid": os.getpid()}
    line = msgspec.json.encode(told).decode() if as_json else f"simulator at {url} (base URL for clients: {url}/v1)"
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def _stop_at_end_of_input(loop: asyncio.AbstractEventLoop, stopping: asyncio.Event) -> None:
    if not os.read(sys.stdin.fileno(), 4096):
        loop.remove_reader(sys.stdin.fileno())
        stopping.set()


def _lay_over(value: dict[str, object], section: str, **options: object) -> None:
    given = {name: option for name, option in options.items() if option is not None}
    if given:
        before = value[section]
        value[section] = {**(before if isinstance(before, dict) else {}), **given}


def _raise_open_files() -> None:
    """Room for as many connections as the machine lets us have."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
