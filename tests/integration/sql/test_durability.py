"""What is left of a database whose process is killed, and what its settings promise."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from batchrouter.adapters.sql import SqlStore
from batchrouter.adapters.sql.store import DATABASE
from tests.conformance.scene import TENANT, Scene, records_of

ROOT = Path(__file__).resolve().parents[3]
LINES = (50,) * 400

SETTLER = """
import sys
from pathlib import Path
from batchrouter.adapters.sql import SqlStore
from tests.conformance.scene import Scene, record
from batchrouter.domain import bitmap

scene = Scene(SqlStore.open_sqlite(Path(sys.argv[1])))
scene.worker()
scene.running("b1", lines=(50,) * 400)
claims = scene.claim("w1", count=400)
while True:
    for place in range(0, 50, 5):
        for one, other in zip(claims[::2], claims[1::2]):
            records = [record(claim, place + i) for claim in (one, other) for i in range(5)]
            print(scene.settle("w1", "b1", records).admitted.bit_count(), flush=True)
"""


@pytest.mark.parametrize("settles", [1, 7, 60])
def test_what_was_settled_outlives_a_kill(settles: int, tmp_path: Path) -> None:
    """A process killed between or inside two settles leaves every settle whose return was seen, and none by half:
    bits, counts, tokens, bytes and segments still add up; the next worker goes on from there."""
    with subprocess.Popen(
        [sys.executable, "-c", SETTLER, tmp_path],
        stdout=subprocess.PIPE,
        text=True,
        env={"PYTHONPATH": ":".join([str(ROOT / "src"), str(ROOT), *sys.path])},
    ) as process:
        assert process.stdout is not None
        seen = sum(int(process.stdout.readline()) for _ in range(settles))
        process.kill()
    store = SqlStore.open_sqlite(tmp_path)
    scene = Scene(store)
    batch, ranges = scene.batch("b1"), scene.ranges()
    done = scene.done()
    assert seen <= done == batch.completed
    assert done % 10 == 0
    assert batch.tokens.input == 10 * done
    assert sum(home.output_bytes for home in ranges) == 20 * done
    segments = store.ledger.segments("b1", range(1, done // 10 + 2))
    assert [segment.seq for segment in segments] == list(range(1, done // 10 + 1))
    assert sum(segment.admitted.bit_count() for segment in segments) == done

    scene.worker("w2", alone=True)
    (group,) = store.ledger.waiting(scene.now)
    assert group.lines == sum(LINES) - done
    claim = scene.claim_one("w2")
    assert scene.settle("w2", "b1", records_of(claim)).admitted.bit_count() == claim.pending.bit_count()
    store.close()
    with sqlite3.connect(tmp_path / DATABASE) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    connection.close()


def test_a_commit_is_on_the_disk_when_the_verb_returns(tmp_path: Path) -> None:
    """synchronous=FULL unless it was given up on purpose; the log is a WAL, so that readers do not wait."""
    for sync, level in ((True, 2), (False, 0)):
        store = SqlStore.open_sqlite(tmp_path, sync=sync)
        with store._database.write() as tx:
            assert tx.exec_driver_sql("PRAGMA synchronous").scalar() == level
            assert tx.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
        store.close()


def test_a_closed_store_leaves_one_file(tmp_path: Path) -> None:
    """The log is back in the database, whose mode keeps others out: it holds answers and hashes of keys."""
    store = SqlStore.open_sqlite(tmp_path)
    Scene(store).running("b1", worker=Scene(store).worker())
    store.close()
    (left,) = tmp_path.iterdir()
    assert left.name == DATABASE
    assert left.stat().st_mode & 0o777 == 0o600
    store = SqlStore.open_sqlite(tmp_path)
    assert store.catalog.batch(TENANT, "b1") is not None
    store.close()
