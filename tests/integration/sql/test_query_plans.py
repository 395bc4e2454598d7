"""What is asked every second touches only rows that are still of interest: each such query finds its index.

SQLite's own account of a statement (EXPLAIN QUERY PLAN) is read while the verb runs, so it is the real statement.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from batchrouter.adapters.sql import SqlStore
from batchrouter.domain.lifecycle import JobEvent
from batchrouter.domain.webhook import EVENTS, Endpoint
from tests.conformance.scene import CHEAP, FAST, TENANT, WINDOW_MS, Scene, records_of


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    store = SqlStore.open_sqlite(tmp_path, sync=False)
    scene = Scene(store)
    worker = scene.worker()
    store.webhooks.add_endpoint(
        Endpoint(id="we_1", tenant_id=TENANT, url="", events=EVENTS, description="", secret="", created_ms=scene.now), 1
    )
    for number in range(30):
        scene.running(f"b{number}", lines=(4, 4))
    claim = scene.claim_one(worker, "b1")
    scene.settle(worker, "b1", records_of(claim))
    for number in range(30):
        scene.running(f"n{number}", (4, 4), (CHEAP,))
        scene.intend(worker, scene.claim(worker, f"n{number}", CHEAP), f"job_{number}")
    scene.note(worker, scene.job_duty(worker, "job_0"), JobEvent.CREATE)
    yield scene
    store.close()


def late_result(scene: Scene) -> None:
    duty = scene.job_duty("w1", "job_1")
    scene.jobs.overtake("w1", duty, FAST, scene.now)
    (shard, _) = scene.jobs.job_shards("job_1")
    assert scene.settle("w1", "n1", scene.results(shard, duty)).admitted


VERBS: dict[str, tuple[Callable[[Scene], Any], set[str]]] = {
    "take_duties": (lambda it: it.ledger.take_duties("w1", it.now, 10), {"batches_live", "jobs_of_batch"}),
    "waiting": (lambda it: it.ledger.waiting(it.now), {"shards_free"}),
    "claim": (lambda it: it.ledger.claim("w1", 1, "b2", 5, it.now), {"shards_free"}),
    "beat": (lambda it: it.ledger.beat("w1", it.now, 1000, []), set()),
    "resign": (lambda it: it.ledger.resign("w1"), {"shards_owned", "batches_live"}),
    "cancel": (lambda it: it.catalog.cancel_batch(TENANT, "n1", it.now), {"jobs_of_batch"}),
    "intend": (
        lambda it: it.intend("w1", it.claim("w1", "b3"), "job_new"),
        set(),
    ),
    "take_jobs": (lambda it: it.jobs.take_jobs("w1", it.now, 10), {"jobs_due"}),
    "note_job": (lambda it: it.note("w1", it.job_duty("w1", "job_1")), set()),
    "overtake": (lambda it: it.jobs.overtake("w1", it.job_duty("w1", "job_1"), FAST, it.now), {"shards_owned"}),
    "end_job": (
        lambda it: it.jobs.end_job("w1", it.job_duty("w1", "job_0"), JobEvent.COLLECT, FAST, None, it.now),
        {"shards_owned"},
    ),
    "settle a late result": (lambda it: late_result(it), {"ix_shards_batch_seq"}),
    "job_shards": (lambda it: it.jobs.job_shards("job_1"), {"shards_owned"}),
    "enqueued": (lambda it: it.jobs.enqueued(1), {"jobs_of_lane"}),
    "jobs": (lambda it: it.catalog.jobs("n1"), {"jobs_of_batch"}),
    "lane_shares": (lambda it: it.catalog.lane_shares("n1"), set()),
    "take_folds": (lambda it: it.ledger.take_folds(it.now, it.now, 1, 10), {"ranges_to_fold"}),
    "outlook": (lambda it: it.ledger.outlook("w1", it.now, 8), {"ranges_to_fold", "shards_free", "jobs_due"}),
    "backlog": (
        lambda it: it.store.backlogs.backlog(it.now),
        {"shards_free", "batches_live"},
    ),
    "due_endpoints": (lambda it: it.store.webhook_ledger.due_endpoints(10), {"webhook_deliveries_due"}),
    "take_deliveries": (
        lambda it: it.store.webhook_ledger.take_deliveries("s1", {"we_1": 2}, it.now, it.now + 1),
        {"webhook_deliveries_due"},
    ),
    "sweep_deliveries": (
        lambda it: it.store.webhook_ledger.sweep_deliveries(it.now),
        {"ix_webhook_deliveries_created_ms"},
    ),
    "deliveries": (
        lambda it: it.store.webhooks.deliveries("we_1", after=None, limit=5),
        {"webhook_deliveries_of_endpoint"},
    ),
    "sweep": (
        lambda it: it.ledger.sweep(it.now + 2 * WINDOW_MS, 0),
        {"files_to_release", "files_expiring", "batches_to_purge", "uploads_expiring"},
    ),
    "known": (
        lambda it: it.ledger.known(["x"]),
        {"files_by_blob", "files_by_index", "segments_by_blob", "ranges_by_output_run", "ranges_by_error_run"},
    ),
    "batch": (lambda it: it.catalog.batch(TENANT, "b3"), set()),
    "batches": (lambda it: it.catalog.batches(TENANT, after=None, limit=5), {"batches_of_tenant"}),
    "files": (
        lambda it: it.catalog.files(TENANT, after=None, limit=5, descending=True, purpose=None, now_ms=it.now),
        {"files_of_tenant"},
    ),
    "files of a purpose": (
        lambda it: it.catalog.files(TENANT, after=None, limit=5, descending=False, purpose="batch", now_ms=it.now),
        {"files_of_purpose"},
    ),
}

# A row for each process, for each model that was ever asked, for what each process has under way, for each webhook.
MAY_BE_SCANNED = {"workers", "lanes", "loads", "webhook_endpoints"}


@pytest.mark.parametrize("verb", VERBS)
def test_the_verb_finds_its_index_and_scans_no_table(verb: str, scene: Scene) -> None:
    """The named partial indexes are used, nothing is read from end to end, and nothing is sorted on the way."""
    run, expected = VERBS[verb]
    plans: list[str] = []

    def explain(connection: Any, cursor: Any, statement: str, parameters: Any, context: Any, executemany: bool) -> None:
        if statement.startswith(("SELECT", "UPDATE", "DELETE")):
            values = parameters[0] if executemany else parameters
            side = cursor.connection.cursor()
            plans.extend(row[3] for row in side.execute(f"EXPLAIN QUERY PLAN {statement}", values))
            side.close()

    database = scene.store._database  # type: ignore[attr-defined]
    for connection in (database._writer, database._reader):
        sa.event.listen(connection.engine, "before_cursor_execute", explain)
    run(scene)
    words = " ".join(plans)
    assert plans
    for index in expected:
        assert f"INDEX {index} " in f"{words} ", f"{index} is not used: {plans}"
    scans = [plan for plan in plans if plan.startswith("SCAN") and "INDEX" not in plan]
    allowed = [plan for plan in scans if any(table in plan for table in (*MAY_BE_SCANNED, "CONSTANT ROW", "anon_1"))]
    assert scans == allowed
