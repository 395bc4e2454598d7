"""A server that goes away: what the caller hears, what is tried again, and what a repeat does."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa

from batchrouter.adapters.sql import SqlStore
from batchrouter.adapters.sql.postgres import CONNECTIONS_MAX
from batchrouter.domain.lifecycle import BatchEvent, BatchState
from batchrouter.domain.shard import LaneKey, Move
from batchrouter.errors import ConfigError, StaleLease, StoreAway, StoreError, StoreFull
from tests.conformance.scene import LEASE_MS, SLOW, TENANT, Scene, a_plan, draft_of, record, records_of
from tests.integration.sql.postgres.interloper import Pair
from tests.postgres import PostgresServer, empty_database, the_server


@pytest.fixture
def scene(pair: Pair) -> Scene:
    return pair.first


def cut_all(url: str) -> None:
    """End every connection to that database but our own."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid() AND application_name = 'batchrouter'"
        )


def test_connections_that_were_cut_while_idle_cost_nothing(scene: Scene, pair_url: str) -> None:
    """A server that was restarted meanwhile, or a firewall: the next verb, be it a write, takes a new connection."""
    scene.running("b1", worker=scene.worker())
    for verb in (lambda: scene.batch("b1"), lambda: scene.claim("w1"), lambda: scene.ledger.waiting(scene.now)):
        cut_all(pair_url)
        verb()
    assert scene.ledger.held("w1")


def test_a_connection_cut_in_the_middle_is_made_again_once(scene: Scene, pair_url: str) -> None:
    """Nothing of the first run happened; the second does all of it."""
    scene.running("b1", worker=scene.worker())
    claim = scene.claim_one("w1")
    with before(scene, "UPDATE batches", lambda: cut_all(pair_url)):
        told = scene.settle("w1", "b1", records_of(claim))
    assert (told.admitted, told.seq, told.drained) == (0b1111, 1, True)


def test_one_that_is_cut_again_and_again_is_away(scene: Scene, pair_url: str) -> None:
    """The caller hears it, and that nothing was changed."""
    scene.running("b1", worker=scene.worker())
    claim = scene.claim_one("w1")
    with (
        before(scene, "UPDATE batches", lambda: cut_all(pair_url), once=False),
        pytest.raises(StoreAway, match="nothing was changed"),
    ):
        scene.settle("w1", "b1", records_of(claim))
    assert scene.done() == 0


@pytest.mark.parametrize("committed", [True, False])
def test_a_settle_in_doubt_is_harmless_to_repeat(scene: Scene, pair_url: str, committed: bool) -> None:
    """The connection went during COMMIT: whether it happened is not known, and the same draft is offered again. Each
    line counts once, the segment is there once, and the answer tells how the batch stands."""
    scene.running("b1", worker=scene.worker())
    claim = scene.claim_one("w1")
    draft = draft_of("b1", records_of(claim))
    in_doubt(scene, pair_url, committed, lambda: scene.ledger.settle("w1", draft, scene.now))
    told = scene.ledger.settle("w1", draft, scene.now)
    assert (told.drained, told.state) == (True, BatchState.IN_PROGRESS)
    assert told.admitted == (0 if committed else 0b1111)
    assert scene.batch("b1").completed == scene.done() == 4
    assert [ref.data for ref in scene.ledger.segments("b1", range(1, 9))] == [draft.data]


@pytest.mark.parametrize("committed", [True, False])
def test_a_claim_in_doubt_is_found_among_what_the_worker_holds(scene: Scene, pair_url: str, committed: bool) -> None:
    """No shard waits for the end of a lease."""
    scene.running("b1", (4, 4), worker=scene.worker())
    lane = scene.lane_id()
    in_doubt(scene, pair_url, committed, lambda: scene.ledger.claim("w1", lane, "b1", 2, scene.now))
    assert len(scene.ledger.held("w1")) == (2 if committed else 0)
    assert len(scene.ledger.held("w1") + scene.claim("w1")) == 2


@pytest.mark.parametrize("committed", [True, False])
def test_a_move_in_doubt_is_found_among_what_the_worker_holds(scene: Scene, pair_url: str, committed: bool) -> None:
    """A repeat moves nothing twice: the epoch that it names is over."""
    scene.running("b1", worker=scene.worker())
    claim = scene.claim_one("w1")
    move = Move(shard_id=claim.shard_id, epoch=claim.epoch, members=0b11, lane=SLOW)
    in_doubt(scene, pair_url, committed, lambda: scene.ledger.move("w1", [move], scene.now))
    if committed:
        with pytest.raises(StaleLease):
            scene.ledger.move("w1", [move], scene.now)
    else:
        scene.ledger.move("w1", [move], scene.now)
    (rest,) = scene.ledger.held("w1")
    assert (rest.epoch, rest.pending) == (claim.epoch + 1, 0b1100)
    assert scene.settle("w1", "b1", [record(rest, 2), record(rest, 3)]).admitted == 0b11


@pytest.mark.parametrize("committed", [True, False])
def test_duties_and_beats_in_doubt_are_asked_again(scene: Scene, pair_url: str, committed: bool) -> None:
    """Enlisted twice, renewed twice, a duty taken again, planned and closed by a repeat that finds it done: nothing of
    it does harm."""

    def doubt(verb: Callable[[], object]) -> None:
        in_doubt(scene, pair_url, committed, verb)

    doubt(lambda: scene.worker("w1"))
    scene.worker("w1")
    doubt(lambda: scene.ledger.beat("w1", scene.now, LEASE_MS, []))
    assert scene.ledger.beat("w1", scene.now, LEASE_MS, []).alive
    scene.create("b1")
    doubt(lambda: scene.ledger.take_duties("w1", scene.now, 10))
    duty = scene.duty("w1", "b1")
    doubt(lambda: scene.ledger.plan("w1", duty, a_plan("b1"), scene.now))
    if committed:
        with pytest.raises(StaleLease):
            scene.ledger.plan("w1", duty, a_plan("b1"), scene.now)
    else:
        assert scene.ledger.plan("w1", duty, a_plan("b1"), scene.now)
    scene.answer_all("w1")
    duty = scene.duty("w1", "b1")
    doubt(lambda: scene.ledger.close("w1", duty, BatchEvent.COMPLETE, scene.now))
    assert scene.ledger.close("w1", duty, BatchEvent.COMPLETE, scene.now) is not committed
    duty = scene.duty("w1", "b1")
    doubt(lambda: scene.ledger.seal("w1", duty))
    scene.ledger.seal("w1", duty)
    files = scene.files_for("b1")
    doubt(lambda: scene.ledger.finish("w1", duty, *files, scene.now))
    assert scene.ledger.finish("w1", duty, *files, scene.now) is not committed
    assert [event.no for event in scene.catalog.events("b1", 0, 10)] == [1, 2, 3, 4]


@pytest.mark.parametrize("committed", [True, False])
def test_a_batch_whose_creation_is_in_doubt_is_made_once(scene: Scene, pair_url: str, committed: bool) -> None:
    """The client sends it again under the same key."""
    scene.file("b1.in")
    new = scene.new_batch("b1", idempotency_key="k")
    in_doubt(scene, pair_url, committed, lambda: scene.catalog.create_batch(new, now_ms=scene.now))
    again = scene.catalog.create_batch(scene.new_batch("b2", idempotency_key="k"), now_ms=scene.now)
    assert again.batch is not None or again.conflict
    page = scene.catalog.batches(TENANT, after=None, limit=10)
    assert page is not None
    assert len(page.rows) == 1


# --- a server of one's own ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    made = PostgresServer()
    made.start()
    yield made
    made.remove()


def test_a_server_that_is_away_comes_back(server: PostgresServer) -> None:
    """While it is away every verb says so; afterwards all goes on, with what was committed."""
    url = server.create_database("one")
    store = SqlStore.open_postgres(url, make=True)
    scene = Scene(store)
    scene.running("b1", worker=scene.worker())
    server.stop("immediate")
    for verb in (lambda: scene.claim("w1"), lambda: scene.batch("b1"), store.now_ms):
        with pytest.raises(StoreAway):
            verb()
    with pytest.raises(StoreAway):
        SqlStore.open_postgres(url)
    server.start()
    assert len(scene.claim("w1")) == 1
    store.close()
    with pytest.raises(StoreError, match="closed"):
        store.now_ms()


def test_a_server_ends_with_the_process_that_started_it(tmp_path: Any) -> None:
    """However that went: a suite that is killed leaves none behind."""
    code = (
        "import sys; from tests.postgres import PostgresServer\n"
        "server = PostgresServer(); server.start(); print(server.port, server.pid(), flush=True); sys.stdin.read()"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": ":".join(sys.path)},
    )  # fmt: skip
    assert child.stdout is not None
    port, _ = map(int, child.stdout.readline().split())
    with socket.create_connection(("127.0.0.1", port), 5) as open_socket:
        child.send_signal(signal.SIGKILL)
        child.communicate()
        open_socket.settimeout(20)
        assert open_socket.recv(1) == b""


# --- what cannot be used, and limits --------------------------------------------------------------------------------


@pytest.mark.parametrize("url", ["postgresql://user:sec ret@h:1:2/x", "nonsense", "postgresql://u:secret@h/x?what=1"])
def test_a_url_that_is_none_is_refused_without_its_password(url: str) -> None:
    """Before anything is connected."""
    with pytest.raises(ConfigError) as caught:
        SqlStore.open_postgres(url)
    assert "secret" not in str(caught.value)
    assert "sec ret" not in str(caught.value)


def test_a_database_that_is_not_there_is_no_server_that_is_away() -> None:
    """Waiting would not help: the sentence says what is missing."""
    url = the_server().rsplit("/", 1)[0] + "/nobody_made_me"
    with pytest.raises(StoreError, match="does not exist") as caught:
        SqlStore.open_postgres(url)
    assert not isinstance(caught.value, StoreAway)


def test_a_missing_driver_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever wants PostgreSQL is told what to install."""
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(ConfigError, match=r"batchrouter\[postgres\]"):
        SqlStore.open_postgres("postgresql://h/x")


def test_sqlite_does_not_load_the_driver(tmp_path: Any) -> None:
    """A folder needs none, and a start does not pay for it."""
    code = (
        "import sys; from pathlib import Path; from batchrouter.adapters.sql import SqlStore\n"
        "SqlStore.open_sqlite(Path(sys.argv[1])).close(); sys.exit('psycopg' in sys.modules)"
    )
    ended = subprocess.run([sys.executable, "-c", code, tmp_path], env={"PYTHONPATH": ":".join(sys.path)}, check=False)
    assert ended.returncode == 0


def test_nothing_waits_without_an_end(pair_url: str) -> None:
    """Each session has its limits and its name, and the URL's words win over ours."""
    store = SqlStore.open_postgres(pair_url + "?application_name=mine&connect_timeout=3")
    words = ("application_name", "statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout")
    with store._database.read() as tx:
        shown = {word: tx.execute(sa.text(f"SHOW {word}")).scalar() for word in words}
        kept = tx.connection.dbapi_connection.info.get_parameters()  # type: ignore[union-attr]
    assert shown == {
        "application_name": "mine", "statement_timeout": "1min", "lock_timeout": "20s",
        "idle_in_transaction_session_timeout": "3s",
    }  # fmt: skip
    assert {name: kept[name] for name in ("connect_timeout", "keepalives_idle", "tcp_user_timeout")} == {
        "connect_timeout": "3", "keepalives_idle": "5", "tcp_user_timeout": "10000",
    }  # fmt: skip
    store.close()


def test_readers_do_not_wait_for_each_other_or_for_a_writer(scene: Scene) -> None:
    """As many as there are connections; a lock that a writer holds is none of a reader's business."""
    scene.running("b1", worker=scene.worker())
    database: Any = scene.store._database  # type: ignore[attr-defined]
    readers = CONNECTIONS_MAX - 1
    together = threading.Barrier(readers, timeout=20)

    def read() -> None:
        with database.read() as tx:
            told.append(tx.execute(sa.text("SELECT model FROM batches")).scalar())
            together.wait()

    told: list[object] = []
    with database.write() as writing:
        writing.execute(sa.text("UPDATE batches SET model = 'half done'"))
        threads = [threading.Thread(target=read, daemon=True) for _ in range(readers)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
    assert told == [None] * readers


def test_a_read_sees_one_moment(pair: Pair, scene: Scene) -> None:
    """What is committed between its statements shows in the next read, so that a list and what it names agree."""
    scene.running("b1", worker=scene.worker())
    with pair.at("FROM batch_lanes", lambda: pair.other.claim("w1")):
        shares = scene.catalog.lane_shares("b1")
    assert shares
    assert scene.ledger.held("w1")


def test_a_full_disk_is_told_as_such(scene: Scene) -> None:
    """The server's code for it becomes ours."""
    with pytest.raises(StoreFull, match="free some space"), scene.store._database.write() as tx:  # type: ignore[attr-defined]
        tx.execute(sa.text("DO $$ BEGIN RAISE EXCEPTION 'could not extend file' USING ERRCODE = '53100'; END $$"))


def test_errors_tell_no_values(scene: Scene) -> None:
    """Neither the statement's nor those that the server puts into its details."""
    scene.file("a secret name")
    with pytest.raises(StoreError, match="such a row exists") as caught:
        scene.file("a secret name")
    chain: BaseException | None = caught.value
    assert "secret" not in str(chain)


def test_a_nul_in_peoples_words_breaks_nothing(scene: Scene) -> None:
    """PostgreSQL's text has none: it is kept as U+FFFD, and nothing is found by it."""
    scene.file("f1", filename="a\0b")
    assert scene.catalog.file(TENANT, "f\0", scene.now) is None
    found = scene.catalog.file(TENANT, "f1", scene.now)
    assert found is not None
    assert found.filename == "a\ufffdb"
    assert scene.lane_id(LaneKey("p", "m\0")) == scene.lane_id(LaneKey("p", "m\0"))
    assert scene.ledger.known(["files/f1", "\0"]) == {"files/f1"}


def test_a_fault_of_ours_is_no_server_that_is_away(scene: Scene) -> None:
    """Waiting would not mend it."""
    with pytest.raises(StoreError) as caught, scene.store._database.write() as tx:  # type: ignore[attr-defined]
        tx.execute(sa.text("SELECT :value"), {})
    assert not isinstance(caught.value, StoreAway)


def test_another_programs_database_is_refused() -> None:
    """Tables that are not ours stay alone."""
    url = empty_database()
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE TABLE theirs (x int)")
        with pytest.raises(StoreError, match="not a database of BatchRouter"):
            SqlStore.open_postgres(url, make=True)
        assert connection.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'").fetchone() == (1,)


# --- helpers --------------------------------------------------------------------------------------------------------


class before:
    """Do something before a statement of the scene's store that has these words."""

    def __init__(self, scene: Scene, words: str, action: Callable[[], None], *, once: bool = True) -> None:
        self._engine: sa.Engine = scene.store._database._engine  # type: ignore[attr-defined]
        self._words, self._action, self._once = words, action, once
        self._done = False

    def _look(self, connection: Any, cursor: Any, statement: str, *_: Any) -> None:
        if self._words in statement and not (self._done and self._once):
            self._done = True
            self._action()

    def __enter__(self) -> None:
        sa.event.listen(self._engine, "before_cursor_execute", self._look)

    def __exit__(self, *_: object) -> None:
        sa.event.remove(self._engine, "before_cursor_execute", self._look)
        assert self._done


def in_doubt(scene: Scene, url: str, committed: bool, verb: Callable[[], object]) -> None:
    """The verb's connection goes at its COMMIT: after the server did it, or before."""
    engine: sa.Engine = scene.store._database._engine  # type: ignore[attr-defined]
    done: list[bool] = []

    def cut(connection: sa.Connection) -> None:
        if not done:
            done.append(True)
            if committed:
                connection.connection.dbapi_connection.commit()  # type: ignore[union-attr]
            cut_all(url)
            if (
                committed
            ):  # the answer to it did not come; the driver has nothing left to send, and would say all is well
                raise sa.exc.OperationalError("", None, psycopg.OperationalError("gone"), connection_invalidated=True)

    sa.event.listen(engine, "commit", cut)
    try:
        with pytest.raises(StoreAway):
            verb()
    finally:
        sa.event.remove(engine, "commit", cut)
    assert done
