"""The doctor on real things, and with each of them broken. No finding ever names a key or a password."""

from __future__ import annotations

import asyncio
import json
import resource
import secrets
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from batchrouter import config as configuration
from batchrouter.adapters.spill import FolderSpill
from batchrouter.adapters.sql.store import SqlStore
from batchrouter.bootstrap.doctor import Finding, Grade, examine, machine
from batchrouter.bootstrap.doctor import storage as doctor_storage
from batchrouter.cli.doctor import DoctorOptions, doctor
from batchrouter.domain.shard import LaneKey, SegmentDraft
from batchrouter.domain.webhook import EVENTS, Endpoint
from batchrouter.simulator.process import SimulatorProcess, running_simulator
from tests.postgres import drop_database, empty_database, fresh_database, the_server
from tests.s3 import BUCKET, S3Server, options_of, s3
from tests.serving import config_for, free_port, running_server

__all__ = ["s3"]

KEY = "sk-right-0123456789"


@pytest.fixture(scope="module")
def simulator() -> Iterator[SimulatorProcess]:
    with running_simulator(None, ["--api-key", KEY]) as running:
        yield running


@pytest.fixture
def database() -> Iterator[str]:
    url = fresh_database()
    yield url
    drop_database(the_server(), url.rpartition("/")[2])


def look(said: dict[str, Any], data: Path | None = None, *, offline: bool = True) -> dict[str, Finding]:
    """Findings by what they are about; the last where there are several."""

    async def all_of_them() -> list[Finding]:
        config = configuration.parse(yaml.safe_dump(said), {}, "the test's")
        return [finding async for finding in examine(config, data, {"HOME": str(data or "/tmp")}, offline=offline)]

    found = asyncio.run(all_of_them())
    for finding in found:
        assert (finding.todo is None) is (finding.grade is Grade.OK), finding
    assert KEY not in str(found)
    assert "password" not in str(found)
    return {finding.what: finding for finding in found}


def grades(found: dict[str, Finding], grade: Grade) -> set[str]:
    return {what for what, finding in found.items() if finding.grade is grade}


def shared(database: str, blobs: str, options: dict[str, str] | None = None, **more: Any) -> dict[str, Any]:
    return {"storage": {"database": database, "blobs": blobs, "options": options or {}, **more}}


# --- a folder -------------------------------------------------------------------------------------------------------


def test_a_folder_that_is_not_there_yet_is_well(tmp_path: Path) -> None:
    """And is not made by looking."""
    found = look(config_for("http://127.0.0.1:9/v1"), tmp_path / "data")
    assert grades(found, Grade.FAULT) == set()
    assert "first start makes it" in found["database"].says
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_a_server_holds_is_looked_at_beside_it(tmp_path: Path, simulator: SimulatorProcess) -> None:
    """Also by the command; the server goes on."""
    config = config_for(simulator.base_url, api_key=KEY)
    with running_server(tmp_path, config) as server:
        found = look(config, server.folder, offline=False)
        assert server.url in found["data"].says
        assert found["workers"].says.startswith("1 run; 0 batches")
        assert "schema 0005" in found["database"].says
        assert found["provider sim"].grade is Grade.OK
        assert grades(found, Grade.FAULT) == set()
        assert server.ask("GET", "/v1/batches")["data"] == []
        options = DoctorOptions(data=server.folder, config=server.config_path, json=True)
        assert doctor(options) == 0
    assert not list(server.folder.rglob("*doctor*"))
    assert not list((server.folder / "blobs").rglob("*probe/*"))


def test_what_is_wrong_with_a_folder_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that is no database, a full disk, a slow one, a spill with finished lines in it."""
    (tmp_path / "batchrouter.db").write_bytes(b"no database" * 500)
    monkeypatch.setattr(machine, "FREE_LEAST", 1 << 60)
    monkeypatch.setattr(machine, "SYNC_SLOW_S", 0.0)
    spill = FolderSpill(tmp_path / "spill", 1 << 20, "t")
    asyncio.run(spill.keep("w-1", SegmentDraft(batch_id="b", length=3, records=b"", blob_key="k"), [b"abc"]))
    spill.close()
    found = look(config_for("http://127.0.0.1:9/v1"), tmp_path)
    assert grades(found, Grade.FAULT) == {"database", "room for the data folder"}
    assert grades(found, Grade.WARNING) == {"data folder", "spill"}
    assert "1 groups of finished lines" in found["spill"].says


def test_a_lane_that_waits_for_a_person_and_a_batch_that_nobody_works_on_are_told(tmp_path: Path) -> None:
    from tests.conformance.scene import Scene

    store = SqlStore.open_sqlite(tmp_path, sync=False)
    scene = Scene(store)
    scene.worker("w1")
    scene.running("b1", (3,), (LaneKey("sim", "m"),))
    lane = store.ledger.lanes()[0]
    store.ledger.note_lanes([lane.__class__(id=lane.id, key=lane.key, state="paused", reason="no credit")])
    store.close()
    found = look(config_for("http://127.0.0.1:9/v1"), tmp_path)
    assert found["workers"].grade is Grade.WARNING
    assert found["workers"].says == "0 run; 1 batches are under way, 3 lines wait"
    assert found["lane sim/m"].says == "paused with 3 lines waiting: no credit"


def test_a_webhook_that_its_receiver_had_disabled_is_told(tmp_path: Path) -> None:
    """One that a person disabled is not."""
    store = SqlStore.open_sqlite(tmp_path, sync=False)
    for name, reason in (("we_1", "410"), ("we_2", None)):
        made = Endpoint(
            id=name, tenant_id="t", url="", events=EVENTS, description="", secret="", created_ms=0, enabled=False,
            disabled_reason=reason,
        )  # fmt: skip
        assert store.webhooks.add_endpoint(made, 2)
    store.close()
    found = look(config_for("http://127.0.0.1:9/v1"), tmp_path)["webhooks"]
    assert found.grade is Grade.WARNING
    assert found.says == "0 endpoints fail, 1 are disabled by their receivers, 0 wait"


def test_a_folder_that_was_moved_is_a_fault(tmp_path: Path) -> None:
    (tmp_path / "moved-to").write_text("postgresql://db/x\n")
    assert look({}, tmp_path)["data"].grade is Grade.FAULT


def test_a_folder_that_cannot_be_written_is_a_fault(tmp_path: Path) -> None:
    """Not by root either: something else has its name."""
    (tmp_path / "data").write_bytes(b"")
    assert look({}, tmp_path / "data")["data folder"].grade is Grade.FAULT


def test_limits_of_this_machine_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (256, 512))
    monkeypatch.delattr("time.CLOCK_BOOTTIME")
    monkeypatch.setattr(machine, "find_spec", lambda _: None)
    monkeypatch.setattr(machine, "sqlite_version", lambda: "3.30.1")
    found = look({"storage": {"spill_bytes": 0}}, tmp_path)
    assert {"open files", "event loop", "SQLite"} <= grades(found, Grade.FAULT)
    assert {"clocks", "spill", "providers"} <= grades(found, Grade.WARNING)


# --- PostgreSQL and a bucket ------------------------------------------------------------------------------------------


def test_a_database_and_a_bucket_that_work_are_well(database: str, s3: S3Server, tmp_path: Path) -> None:
    said = shared(database, f"s3://{BUCKET}/{secrets.token_hex(4)}", s3.options, spill=str(tmp_path / "spill"))
    found = look(said | config_for("http://127.0.0.1:9/v1"))
    assert grades(found, Grade.FAULT) == set()
    assert {"database", "time", "workers", "blobs", "spill"} <= grades(found, Grade.OK)
    assert "a commit takes" in found["commits"].says
    assert list(tmp_path.iterdir()) == []


def test_a_database_of_another_kind_is_told(s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """Empty; of somebody else; gone; and one that hangs."""
    bucket, options = f"s3://{BUCKET}/x", s3.options
    url = empty_database()
    try:
        found = look(shared(url, bucket, options))
        assert found["database"].grade is Grade.FAULT
        assert "batchrouter db upgrade" in found["database"].says
        import psycopg

        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("CREATE TABLE theirs (x int)")
        assert "not a database of BatchRouter" in look(shared(url, bucket, options))["database"].says
        monkeypatch.setattr(doctor_storage, "check_server", _hang)
        monkeypatch.setattr(doctor_storage, "PATIENCE_S", 0.05)
        assert "did not answer" in look(shared(url, bucket, options))["database"].says
    finally:
        drop_database(the_server(), url.rpartition("/")[2])


def _hang(_: str) -> None:
    threading.Event().wait(1)


def test_a_database_that_is_away_and_a_bucket_that_is_not_there_are_faults(s3: S3Server) -> None:
    away = f"postgresql://somebody:password@127.0.0.1:{free_port()}/x"
    found = look(shared(away, "s3://no-such-bucket-of-ours/x", s3.options))
    assert found["database"].grade is Grade.FAULT
    assert "cannot be reached" in found["database"].says
    assert found["blobs"].grade is Grade.FAULT
    assert "there is no such bucket" in found["blobs"].says
    found = look(shared(away, f"s3://{BUCKET}/x", options_of(f"http://127.0.0.1:{free_port()}")))
    assert found["blobs"].grade is Grade.FAULT


# --- providers --------------------------------------------------------------------------------------------------------


def test_providers_are_asked_and_a_wrong_key_and_a_dead_server_are_told(
    tmp_path: Path, simulator: SimulatorProcess
) -> None:
    said = {
        "providers": {
            "good": {"type": "openai", "base_url": simulator.base_url, "api_key": KEY},
            "wrong": {"type": "openai", "base_url": simulator.base_url, "api_key": "sk-wrong"},
            "dead": {"type": "openai", "base_url": f"http://127.0.0.1:{free_port()}/v1", "api_key": KEY},
            "silent": {"type": "openai", "base_url": f"{simulator.url}/nothing/here", "api_key": KEY},
        }
    }
    found = look(said, tmp_path, offline=False)
    assert "listed in" in found["provider good"].says
    assert found["provider wrong"].says == "it refuses the key (status 401)"
    assert found["provider dead"].grade is Grade.FAULT
    assert found["provider silent"].grade is Grade.WARNING
    assert "sk-wrong" not in str(found)


def test_settings_of_a_provider_that_will_not_do_are_told(tmp_path: Path) -> None:
    said = {
        "providers": {
            "plain": {"type": "openai", "base_url": "http://gpu.example.com/v1", "api_key": KEY},
            "loose": {"type": "openai", "base_url": "https://gpu.example.com/v1", "verify_tls": False},
        }
    }
    found = look(said, tmp_path)
    assert found["settings of plain"].grade is found["settings of loose"].grade is Grade.WARNING
    assert found["provider plain"].says == "http://gpu.example.com was not asked (--offline)"


# --- the command ------------------------------------------------------------------------------------------------------


def test_the_command_tells_what_to_do_and_ends_with_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A configuration that cannot be read is a finding too."""
    path = tmp_path / "batchrouter.yaml"
    write: Callable[[Any], int] = lambda said: path.write_text(yaml.safe_dump(said))  # noqa: E731
    options = DoctorOptions(data=tmp_path / "data", config=path, offline=True)
    write(config_for("http://127.0.0.1:9/v1"))
    assert doctor(options) == 0
    assert capsys.readouterr().out.endswith("All is well.\n")
    monkeypatch.setattr(machine, "FREE_LEAST", 1 << 60)
    assert doctor(options) == 1
    out = capsys.readouterr().out
    assert "FAULT" in out
    assert "-> free some space" in out
    write({"servre": {}})
    as_json = DoctorOptions(data=tmp_path / "data", config=path, offline=True, json=True)
    assert doctor(as_json) == 1
    told = json.loads(capsys.readouterr().out)
    assert (told["ok"], told["faults"], told["findings"][0]["what"]) == (False, 1, "configuration")
    assert "servre" in told["findings"][0]["says"]
