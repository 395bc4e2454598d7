"""One run from its first process to its verdict: `python -m tests.chaos`, `make chaos`, and the suite's own."""

from __future__ import annotations

import asyncio
import json
import re
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

from tests.chaos.evidence import Call, Case, Incident, LostLease, OwnEnd, calls_of
from tests.chaos.fleet import LEASE_S, Fleet, running_fleet
from tests.chaos.garbage import garbage_of
from tests.chaos.schedule import Trouble, plan
from tests.chaos.tenants import Tenant
from tests.chaos.verdict import faults_of, unpaid
from tests.chaos.waste import LOST_LEASE, bound_of, charge, excused, losses_of, repeats_of, zombies
from tests.serving import WorkerProcess

WEIGHTS = {"ada": 1, "bob": 2, "cyd": 5}
SEED, SECONDS = 2, 66.0
"""The suite's own run; with the starts before and the quiet after its troubles it is a minute and a half."""
SETTLE_S = 120.0
_LOST = re.compile(r"worker w-\w+ lost its lease")


@dataclass
class Report:
    """`faults` is empty when all that was promised was kept."""

    seed: int
    faults: list[str] = field(default_factory=list)
    words: list[str] = field(default_factory=list)


class Watch:
    """Reads the workers' logs as they grow, for what only they can tell, and when; starts anew what ended by itself,
    as whatever runs such processes does."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self._read: dict[str, int] = {}
        self._ended = threading.Event()
        self.lost: list[LostLease] = []
        self.ends: list[OwnEnd] = []
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._ended.wait(0.25):
            for slot in self._fleet.slots.values():
                ended = slot.revive()
                if ended is not None:
                    self.ends.append(OwnEnd(*ended, time.monotonic()))
                if isinstance(slot.program, WorkerProcess):
                    log = slot.program.log
                    new, self._read[slot.name] = log[self._read.get(slot.name, 0) :], len(log)
                    self.lost += [LostLease(slot.life, time.monotonic())] * len(_LOST.findall(new))


def run(folder: Path, seed: int, seconds: float, say: Callable[[str], None] = print) -> Report:
    """Troubles for so many seconds, then quiet, then the verdict."""
    report = Report(seed)
    say(f"chaos: seed {seed}, {seconds:.0f} s of troubles in {folder}")
    with running_fleet(folder) as fleet:
        watch = Watch(fleet)
        tenants = _tenants(fleet, seed)
        troubles = plan(seed, seconds, 3, 2, LEASE_S)
        incidents = _suffer(fleet, troubles, tenants, seconds, say)
        try:
            fleet.heal()
        except AssertionError as error:  # the rest is judged all the same
            report.faults.append(str(error))
        quiet_s = time.monotonic()
        for tenant in tenants:
            tenant.join(SETTLE_S + 60)
        say(f"settled {time.monotonic() - quiet_s:.1f} s after the last trouble")
        watch.close()
        for tenant, other in zip(tenants, [*tenants[1:], tenants[0]], strict=True):
            tenant.spy(other)
            tenant.see_again()
        report.faults += asyncio.run(garbage_of(fleet))
        for tenant in tenants:
            tenant.see_again()
        calls = [call for path, at_s in zip(fleet.log_paths, fleet.begun_s, strict=True) for call in _read(path, at_s)]
        calls.sort(key=lambda call: call.at_s)
        report.faults += [fault for tenant in tenants for fault in tenant.faults]
        cases = [case for tenant in tenants for case in tenant.cases]
        judge(report, cases, calls, incidents, watch.lost, watch.ends, fleet.lives, say)
        tries = sum(tenant.tries for tenant in tenants), sum(tenant.failed_tries for tenant in tenants)
        say(f"{tries[0]} requests of clients, {tries[1]} of them in vain")
        _keep(folder, fleet, incidents, watch)
    for fault in report.faults:
        say(f"FAULT {fault}")
    return report


def _keep(folder: Path, fleet: Fleet, incidents: list[Incident], watch: Watch) -> None:
    """What a person needs to read the logs by: each trouble as it happened, on the clock of the printed times."""
    kept = {
        "logs": dict(zip(map(str, fleet.log_paths), fleet.begun_s, strict=True)),
        "incidents": [asdict(each) for each in sorted(incidents, key=lambda each: each.begun_s)],
        "lost": [asdict(each) for each in watch.lost],
        "ends": [asdict(each) for each in watch.ends],
    }
    (folder / "run.json").write_text(json.dumps(kept, indent=1))


def judge(
    report: Report,
    cases: list[Case],
    calls: list[Call],
    incidents: list[Incident],
    lost: list[LostLease],
    ends: list[OwnEnd],
    processes: list[str],
    say: Callable[[str], None],
) -> None:
    report.faults += [fault for case in cases for fault in faults_of(case)]
    report.faults += unpaid(cases, calls)
    report.faults += [f"{each.process} did not end with 0" for each in incidents if each.died and not each.clean
                      and each.kind == "rolling"]  # fmt: skip
    report.faults += [f"{end} was nobody's doing" for end in ends if not excused(end, incidents)]
    losses = losses_of(incidents, lost, ends, processes, LEASE_S)
    report.faults += charge(calls, losses)
    report.faults += zombies(calls, incidents, losses, LEASE_S)
    status = Counter((case.batch or {}).get("status", "none") for case in cases)
    lines = sum(len(case.lines) for case in cases)
    say(f"{len(cases)} batches {dict(status)}, {lines} lines, {len(calls)} calls, {len(repeats_of(calls))} repeats")
    for loss in losses:
        if loss.repeats:
            bound, when = bound_of(loss, calls), f"at {loss.at_s:.1f} s"
            say(f"  {len(loss.repeats):>3} repeats of at most {bound:>3}: {loss.why} of {loss.process} {when}")
    say(f"{len(ends)} processes ended by themselves: {ends}")
    alone = [loss for loss in losses if loss.why == LOST_LEASE]
    say(f"{len(lost)} leases were lost, {len(alone)} of them without a trouble of ours")


def _tenants(fleet: Fleet, seed: int) -> list[Tenant]:
    admin = fleet.cluster.admin_key()
    api = fleet.cluster.apis[0]
    urls = [each.url for each in fleet.cluster.apis]
    tenants = []
    for number, (name, weight) in enumerate(WEIGHTS.items()):
        secret = api.ask("POST", "/admin/v1/keys", {"tenant": name, "weight": weight}, admin)["secret"]
        tenants.append(Tenant(name, number, secret, urls, seed, SETTLE_S))
    for tenant in tenants:
        tenant.start()
    return tenants


def _suffer(
    fleet: Fleet, troubles: list[Trouble], tenants: list[Tenant], seconds: float, say: Callable[[str], None]
) -> list[Incident]:
    incidents: list[Incident] = []
    begun_s = time.monotonic()
    threads = []

    def one(trouble: Trouble) -> None:
        try:
            incidents.extend(fleet.suffer(trouble))
        except BaseException as error:
            tenants[0].faults.append(f"{trouble}: {type(error).__name__}: {error}")

    for trouble in troubles:
        time.sleep(max(0.0, begun_s + trouble.at_s - time.monotonic()))
        say(f"{time.monotonic():9.2f}  {trouble}")
        threads.append(threading.Thread(target=one, args=(trouble,), name=str(trouble), daemon=True))
        threads[-1].start()
    time.sleep(max(0.0, begun_s + seconds - time.monotonic()))
    for tenant in tenants:
        tenant.stop()
    for thread in threads:
        thread.join()
    return incidents


def _read(path: Path, begun_s: float) -> list[Call]:
    with path.open("rb") as log:
        return calls_of(log, begun_s)
