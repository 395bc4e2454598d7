"""A process that serves until it is asked to stop: what `serve`, `api` and `worker` have in common."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import uvloop

from batchrouter.bootstrap.ready import Ready
from batchrouter.cli.signals import Stop
from batchrouter.cli.words import OK, SOME_FAILED, emit, say, tell

LATE_S = 20.0
"""Beyond the grace that calls have, for writing down what came and for giving back what is held."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RoleOptions:
    """What is not given comes from the configuration. `exit_with_stdin`: end when standard input does."""

    host: str | None = None
    port: int | None = None
    data: Path | None = None
    config: Path | None = None
    exit_with_stdin: bool = False
    json: bool = False


class Role(Protocol):
    """`stop` may come at any moment, also when `start` failed or was cancelled."""

    async def start(self) -> Ready: ...

    async def stop(self, grace_s: float) -> None: ...

    def hurry(self) -> None: ...


def run_role(
    role: Callable[[], Role], options: RoleOptions, grace_s: float, words: Callable[[Ready], Sequence[str]]
) -> int:
    """Until SIGTERM or SIGINT. `words` are for people. Raises `BatchRouterError` for what cannot be started."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_run(role, options, grace_s, words))


async def _run(
    make: Callable[[], Role], options: RoleOptions, grace_s: float, words: Callable[[Ready], Sequence[str]]
) -> int:
    stop = Stop()
    stop.listen()
    if options.exit_with_stdin:
        asyncio.get_running_loop().add_reader(sys.stdin.fileno(), _stop_at_end_of_input, stop)
    role = make()
    stop.hurry = role.hurry
    told_s = 0.0
    try:
        ready = await _unless_asked(role, stop)
        if ready is not None:
            _tell(ready, options, words)
            await stop.asked.wait()
            told_s = grace_s
            say(f"Stopping: calls under way have {grace_s:.0f} s to end; a second signal ends them now.")
    finally:
        await _stop(role, told_s)
    return OK


async def _stop(role: Role, grace_s: float) -> None:
    """Whatever it waits for: a database that does not even break off must not keep a process that was told to end.
    What it had finished is in the spill, and what it held goes to others when its lease ends."""
    try:
        async with asyncio.timeout(grace_s + LATE_S):
            await role.stop(grace_s)
    except TimeoutError:
        say(f"error: it did not stop within {grace_s + LATE_S:.0f} s and is ended")
        os._exit(SOME_FAILED)


async def _unless_asked(role: Role, stop: Stop) -> Ready | None:
    """None: it was asked to stop before it was ready, as whoever waits for a database may be."""
    starting, asked = asyncio.ensure_future(role.start()), asyncio.ensure_future(stop.asked.wait())
    await asyncio.wait({starting, asked}, return_when=asyncio.FIRST_COMPLETED)
    asked.cancel()
    if starting.done():
        return starting.result()
    starting.cancel()
    await asyncio.gather(starting, return_exceptions=True)
    return None


def _tell(ready: Ready, options: RoleOptions, words: Callable[[Ready], Sequence[str]]) -> None:
    if not options.json:
        tell("\n".join(words(ready)))
        return
    told: dict[str, object] = {
        "url": ready.url,
        "role": ready.role,
        "pid": os.getpid(),
        "data": ready.storage,
        "providers": list(ready.providers),
    }
    if ready.role != "worker":
        told |= {"base_url": f"{ready.url}/v1", "first_key": ready.first_key}
    if ready.worker is not None:
        told["worker"] = ready.worker
    emit({"ok": True, **told})


def _stop_at_end_of_input(stop: Stop) -> None:
    if not os.read(sys.stdin.fileno(), 4096):
        asyncio.get_running_loop().remove_reader(sys.stdin.fileno())
        stop.ask()
