"""How long the lines of a worker that was killed wait until others have them."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from benchmarks import inputs, upstreams
from benchmarks.bench import Bench, Figure, Wrong
from benchmarks.client import done
from benchmarks.cluster import cluster
from benchmarks.shared_storage import Bucket, Postgres, bucket, postgres

WORKERS, IN_FLIGHT = 4, 64
LEASE_S = 10
KILLS = 2
LINES = 26_000
LOOK_S = 0.05
GRACE_S = 1.0
OWNERS = "SELECT id, owner FROM shards WHERE open"
SECONDS_MAX = 60


def waited_s(database: Postgres, kill: Callable[[], None]) -> tuple[float, float]:
    """From the kill until the shards that the dead worker had are free, and until each is another's, or done."""
    kill()
    began, free_s = time.monotonic(), None
    owners = dict(database.ask(OWNERS))
    while time.monotonic() < began + SECONDS_MAX:
        living = {worker for (worker,) in database.ask("SELECT id FROM workers")}
        lost = {shard for shard, owner in owners.items() if owner is not None and owner not in living}
        if lost:
            free_s = free_s or time.monotonic() - began
            now = dict(database.ask(OWNERS))
            if all(shard not in now or now[shard] in living for shard in lost):
                return free_s, time.monotonic() - began
        time.sleep(LOOK_S)
    raise Wrong(f"after {SECONDS_MAX} s nobody has taken the lines of a dead worker")


def measure(bench: Bench) -> list[Figure]:
    with upstreams.nginx(bench, "300ms") as upstream, postgres(bench) as database, bucket(bench) as store:
        return [takeover(bench, upstream, database, store)]


def takeover(bench: Bench, upstream: upstreams.Nginx, database: Postgres, store: Bucket) -> Figure:
    """Kills one worker after the other while one batch runs; who is left goes on."""
    path = inputs.questions(bench, LINES)
    waits: list[tuple[float, float]] = []
    with cluster(
        bench, upstream.base_url, database, store, workers=WORKERS, sections={"server": {"lease": LEASE_S}},
        fixed_in_flight=IN_FLIGHT,
    ) as running:  # fmt: skip
        before = upstream.stat()[0]
        batch = running.client.create(running.client.upload(path))
        running.client.wait(batch["id"], lambda told: told["request_counts"]["completed"] > IN_FLIGHT, poll_s=0.2)
        for victim in running.workers[:KILLS]:
            time.sleep(2.0)
            waits.append(waited_s(database, victim.kill))
        batch = running.client.wait(batch["id"], done, poll_s=0.5)
        repeats = upstream.stat()[0] - 1 - before - batch["request_counts"]["total"]
    free, taken = zip(*waits, strict=True)
    return Figure(
        f"`kill -9` of one of {WORKERS} busy workers, lease {LEASE_S} s: until its lines are free for others",
        f"≤ the lease and {GRACE_S:.0f} s",
        f"{told(free)}; until the others, who have work at hand, took them all: {told(taken)}; {repeats / KILLS:.0f} "
        f"lines sent again for each kill, of {IN_FLIGHT} in flight and those answered since its last flush",
        max(free) <= LEASE_S + GRACE_S,
    )


def told(seconds: Sequence[float]) -> str:
    return f"{', '.join(f'{each:.1f}' for each in seconds)} s"
