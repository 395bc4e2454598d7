"""Databases that an earlier version really made, with work under way: they are brought up to date and go on.

`databases/0001.sql` is what version 0001 wrote (SQLite's own dump): one batch finished, one half way with shards in the
hands of a worker, one being cancelled, one not yet validated.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from batchrouter.adapters.sql import SqlStore
from batchrouter.adapters.sql.store import DATABASE
from batchrouter.domain.lifecycle import BatchEvent, BatchState
from batchrouter.domain.shard import LaneKey, LaneMode
from batchrouter.domain.tokens import Tokens
from tests.conformance.scene import CHEAP, FAST, SLOW, TENANT, Scene, a_plan, draft_of, records_of
from tests.migration.test_schema import tables_and_indexes

DATABASES = Path(__file__).with_name("databases")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A data folder as version 0001 left it."""
    with sqlite3.connect(tmp_path / DATABASE) as connection:
        connection.executescript((DATABASES / "0001.sql").read_text())
    connection.close()
    return tmp_path


@pytest.fixture
def scene(folder: Path) -> Iterator[Scene]:
    """The folder after a start of this version, by a worker that knows that it is alone."""
    store = SqlStore.open_sqlite(folder, sync=False)
    scene = Scene(store)
    scene.worker("w2", alone=True)
    yield scene
    store.close()


def test_an_upgraded_folder_has_the_schema_of_a_new_one(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Word for word, once only: a second start finds nothing to do."""
    for _ in range(2):
        SqlStore.open_sqlite(folder, sync=False).close()
    fresh = tmp_path_factory.mktemp("fresh")
    SqlStore.open_sqlite(fresh, sync=False).close()
    assert tables_and_indexes(folder / DATABASE) == tables_and_indexes(fresh / DATABASE)


def test_an_upgrade_that_dies_leaves_the_folder_as_it_was(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All of it is one transaction: the older version can still use the folder, and the next start upgrades it."""
    before = tables_and_indexes(folder / DATABASE)
    ran: list[str] = []

    def die(self: object, name: str, *_: object, **__: object) -> None:
        ran.append(name)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("alembic.operations.Operations.drop_index", die)
        with pytest.raises(KeyboardInterrupt):
            SqlStore.open_sqlite(folder, sync=False)
    assert ran == ["shards_owned"]
    assert tables_and_indexes(folder / DATABASE) == before
    SqlStore.open_sqlite(folder, sync=False).close()


def test_every_lane_of_before_calls_in_real_time(scene: Scene) -> None:
    """Under the number that shards and records know it by; other modes of it are new lanes."""
    assert {lane.key: lane.id for lane in scene.ledger.lanes()} == {FAST: 1, SLOW: 2}
    assert all(lane.key.mode is LaneMode.REALTIME for lane in scene.ledger.lanes())
    assert scene.lane_id(LaneKey("openai", "fast")) == 1
    assert scene.lane_id(CHEAP) == 3


def test_what_was_answered_before_has_no_known_cost(scene: Scene) -> None:
    """The batch says so, and does not tell the cost of its other half as if it were all."""
    batch = scene.batch("half_way")
    assert (batch.completed, batch.failed, batch.tokens) == (4, 1, Tokens(40, 16, 12, 4))
    assert (batch.cost_nano, batch.unpriced, batch.max_cost_nano) == (0, 4, None)
    assert scene.batch("validating").unpriced == 0
    shares = {share.lane_id: share for share in scene.catalog.lane_shares("half_way")}
    assert (shares[1].waiting, shares[1].in_job, shares[1].done) == (3, 0, 3)
    assert (shares[2].waiting, shares[2].in_job, shares[2].done) == (4, 0, 2)
    assert all(share.unpriced for share in shares.values())


def test_a_batch_that_was_half_way_goes_on_to_its_end(scene: Scene) -> None:
    """In real time and through a native job; each line once, the finished ones kept."""
    for claim in scene.claim("w2", "half_way", SLOW):
        scene.settle("w2", "half_way", records_of(claim))
    claims = scene.claim("w2", "half_way", FAST)
    assert sum(claim.pending.bit_count() for claim in claims) == 3
    scene.intend("w2", claims)
    duty = scene.job_duty("w2")
    for shard in scene.jobs.job_shards("job_1"):
        scene.settle("w2", "half_way", scene.results(shard, duty))
    ended = scene.end("w2", "half_way", BatchEvent.COMPLETE)
    assert (ended.state, ended.total, ended.completed, ended.failed) == (BatchState.COMPLETED, 12, 11, 1)
    assert scene.done("half_way") == 12


def test_a_batch_that_was_being_cancelled_ends(scene: Scene) -> None:
    """What it had finished is delivered, the rest is told as cancelled; the answers of the old worker count no more."""
    duty = scene.duty("w2", "cancelling")
    scene.ledger.seal("w2", duty)
    told = scene.fill_gaps("w2", duty)
    assert told is not None
    assert told.drained
    assert scene.finish("w2", duty)
    assert scene.batch("cancelling").completed == 1


def test_what_was_finished_or_not_begun_is_there(scene: Scene) -> None:
    """A finished batch can be read and its ranges folded; a new one is planned into lanes of every mode."""
    (span,) = scene.catalog.manifest(scene.catalog.file(TENANT, "finished.output", scene.now), -1, 10)  # type: ignore[arg-type]
    assert span.segment_seqs == (1,)
    assert {work.batch_id for work in scene.foldable(10)} == {"finished", "half_way"}
    assert scene.ledger.plan("w2", scene.duty("w2", "validating"), a_plan("validating", lanes=(CHEAP,)), scene.now)
    (claim,) = scene.claim("w2", "validating", CHEAP)
    told = scene.ledger.settle("w2", draft_of("validating", records_of(claim), costs=b"\1" + b"\0" * 31), scene.now)
    assert told.drained
    assert scene.batch("validating").cost_nano == 1
