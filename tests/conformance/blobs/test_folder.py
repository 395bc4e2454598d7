"""What only a folder can do wrong: fill up, die half-way, run out of descriptors, forget to sync."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from batchrouter.adapters.blobs import LocalBlobs, MemoryBlobs
from batchrouter.adapters.blobs import folder as module
from batchrouter.adapters.blobs.folder import OPEN_FILES_MAX
from batchrouter.adapters.memory import StepClock
from batchrouter.errors import BlobError, BlobFull
from tests.conftest import ROOT

FAR_MS = 2**60
DESCRIPTORS = "/proc/self/fd"
needs_proc = pytest.mark.skipif(not os.path.isdir(DESCRIPTORS), reason="needs /proc, which this system does not have")
FULL_DISK = """
import asyncio, resource, sys
from pathlib import Path
from batchrouter.adapters.blobs import LocalBlobs
from batchrouter.errors import BlobFull

async def main():
    blobs = LocalBlobs(Path(sys.argv[1]), sync=False)
    await blobs.put("fits", [b"x" * 100_000])
    try:
        await blobs.put("a/put", [b"x" * 100_000, b"x" * 600_000])
    except BlobFull:
        print("put full")
    for size, key in ((1024 * 1024, "a/write"), (700_000, "a/commit")):
        writer = await blobs.create(key)
        try:
            await writer.write(b"x" * size)
            print("collected")
            await writer.commit()
        except BlobFull as error:
            print(key, "full:", error)
        await writer.abort()
    print(await blobs.aged(2**60))
    await blobs.put("after", [b"y"])
    print(await blobs.read("after", 0, 9))
    blobs.close()

resource.setrlimit(resource.RLIMIT_FSIZE, (500_000, 500_000))
asyncio.run(main())
"""


@pytest.fixture
def local(tmp_path: Path) -> LocalBlobs:
    return LocalBlobs(tmp_path / "blobs", sync=False)


def files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_a_full_disk_is_told_and_leaves_nothing(tmp_path: Path) -> None:
    """Put, write and commit raise BlobFull, half-written files are gone, and the store goes on."""
    ran = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(tmp_path / "blobs")],
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert ran.stderr == ""
    told = ran.stdout.splitlines()
    assert told[0] == "put full"
    assert told[1].startswith("a/write full: writing blob a/write: no room is left")
    assert told[2] == "collected"
    assert told[3].startswith("a/commit full:")
    assert told[4:] == ["['fits']", "b'y'"]
    assert files(tmp_path / "blobs") == ["after", "fits"]


async def test_no_room_in_memory_is_told_and_leaves_nothing() -> None:
    """The double fills up like a disk: a blob that does not fit is not there, and its room is free again."""
    blobs = MemoryBlobs(StepClock(), room_bytes=100)
    await blobs.put("a", [b"x" * 60])
    with pytest.raises(BlobFull):
        await blobs.put("b", [b"x" * 41])
    writer = await blobs.create("b")
    await writer.write(b"x" * 30)
    with pytest.raises(BlobFull):
        await writer.write(b"x" * 11)
    with pytest.raises(BlobError):
        await writer.write(b"x")
    await blobs.put("c", [b"x" * 40])
    assert await blobs.aged(FAR_MS) == ["a", "c"]


async def test_unfinished_writes_of_a_crash_are_found_and_deleted(tmp_path: Path, local: LocalBlobs) -> None:
    """Told among the aged, by names that no blob has; one that is still being written is not."""
    await local.put("a/b", [b"x"])
    left = tmp_path / "blobs" / "a" / "c~deadbeef0"
    left.write_bytes(b"half")
    (tmp_path / "blobs" / "not ours").write_bytes(b"?")
    writer = await local.create("a/d")
    await writer.write(b"x" * (2 * 1024 * 1024))
    assert len(files(tmp_path / "blobs")) == 4
    aged = await local.aged(FAR_MS)
    assert sorted(aged) == ["a/b", "a/c~deadbeef0"]
    await local.delete(["a/c~deadbeef0"])
    assert not left.exists()
    await writer.commit()
    assert sorted(await local.aged(FAR_MS)) == ["a/b", "a/d"]
    with pytest.raises(BlobError):
        await local.delete(["../x~1"])


async def test_writes_of_dead_processes_are_cleared_and_no_others(tmp_path: Path, local: LocalBlobs) -> None:
    """What another incarnation left unfinished goes; blobs and this process's own writes stay."""
    await local.put("a/b", [b"x"])
    left = tmp_path / "blobs" / "a" / "c~deadbeefdead0"
    left.write_bytes(b"half")
    writer = await local.create("a/d")
    await writer.write(b"x" * (2 * 1024 * 1024))
    assert await local.clear_abandoned() == 1
    assert not left.exists()
    await writer.commit()
    assert await local.size("a/d") == 2 * 1024 * 1024
    assert await local.size("a/b") == 1


async def test_the_aged_behind_a_thousand_needed_ones_are_reached(local: LocalBlobs) -> None:
    """A second call goes on where the first stopped, a third begins anew."""
    keys = [f"{number // 100}/{number:04}" for number in range(1100)]
    for key in keys:
        await local.put(key, [])
    first, second, third = [await local.aged(FAR_MS) for _ in range(3)]
    assert (len(first), len(second)) == (1000, 100)
    assert sorted(first + second) == sorted(keys)
    assert third == first


async def test_an_abandoned_write_leaves_no_file(tmp_path: Path, local: LocalBlobs) -> None:
    """The unfinished file goes with its writer."""
    writer = await local.create("a/b")
    await writer.write(b"x" * (2 * 1024 * 1024))
    assert len(files(tmp_path / "blobs")) == 1
    del writer
    local.close()  # a thread may hold what it did last for a moment longer
    assert files(tmp_path / "blobs") == []


def test_a_blob_replaced_while_it_is_opened_is_not_kept_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another commit comes between the open and the cache: this reader has the old blob, the next one the new."""
    folder = module.Folder(tmp_path / "blobs", sync=False)
    folder.put("k", [b"old"])
    look = os.fstat

    def replaced_meanwhile(fd: int) -> os.stat_result:
        monkeypatch.setattr(os, "fstat", look)
        folder.put("k", [b"new"])
        return look(fd)

    monkeypatch.setattr(os, "fstat", replaced_meanwhile)
    seen = []
    for _ in range(2):
        hold = folder.hold("k")
        seen.append(os.pread(hold.fd, 9, 0))
        hold.close()
    assert seen == [b"old", b"new"]
    folder.close()


async def test_a_folder_that_somebody_removed_is_made_again(tmp_path: Path, local: LocalBlobs) -> None:
    """With all that led to it."""
    await local.put("a/b/1", [b"x"])
    shutil.rmtree(tmp_path / "blobs")
    await local.put("a/b/2", [b"y"])
    assert await local.read("a/b/2", 0, 1) == b"y"


async def test_a_folder_is_made_with_all_that_leads_to_it(tmp_path: Path) -> None:
    """When the first blob comes, and not before."""
    local = LocalBlobs(tmp_path / "not" / "there" / "blobs")
    assert not (tmp_path / "not").exists()
    await local.put("a/b", [b"x"])
    assert await local.read("a/b", 0, 1) == b"x"
    local.close()


async def test_folders_that_deletes_empty_go_too(tmp_path: Path, local: LocalBlobs) -> None:
    """A batch's folder does not outlive its blobs, and can come back."""
    await local.put("batch/w/1", [b"x"])
    await local.put("batch/w/2", [b"x"])
    await local.delete(["batch/w/1"])
    assert (tmp_path / "blobs" / "batch" / "w").is_dir()
    await local.delete(["batch/w/2"])
    assert list((tmp_path / "blobs").iterdir()) == []
    await local.put("batch/w/3", [b"y"])
    assert await local.read("batch/w/3", 0, 1) == b"y"


async def test_puts_and_deletes_of_one_folder_do_not_fail_each_other(local: LocalBlobs) -> None:
    """A delete that takes the empty folder away while a put comes into it."""

    async def churn(name: str) -> None:
        for _ in range(60):
            await local.put(f"a/b/{name}", [b"x"])
            await local.delete([f"a/b/{name}"])

    await asyncio.gather(*(churn(str(number)) for number in range(6)))
    assert await local.aged(FAR_MS) == []


@needs_proc
async def test_many_blobs_are_read_with_few_descriptors(local: LocalBlobs) -> None:
    """The files kept open for the next read are bounded, and closed with the store."""
    before = len(os.listdir(DESCRIPTORS))
    for number in range(OPEN_FILES_MAX + 50):
        await local.put(f"a/{number}", [b"%d" % number])
    for number in range(OPEN_FILES_MAX + 50):
        assert await local.read(f"a/{number}", 0, 9) == b"%d" % number
    assert len(os.listdir(DESCRIPTORS)) <= before + OPEN_FILES_MAX
    local.close()
    assert len(os.listdir(DESCRIPTORS)) <= before


@needs_proc
async def test_a_cancelled_reader_leaves_no_descriptor(local: LocalBlobs) -> None:
    """A stream given up at any moment lets go of its file."""
    await local.put("k", [b"x" * 5_000_000])
    before = len(os.listdir(DESCRIPTORS))

    async def look() -> None:
        async for _ in local.stream("k", 0, 5_000_000):
            pass

    for turns in range(8):
        task = asyncio.create_task(look())
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    await local.delete(["k"])
    local.close()
    assert len(os.listdir(DESCRIPTORS)) <= before


async def test_a_cancelled_write_is_aborted_safely(tmp_path: Path, local: LocalBlobs) -> None:
    """The step that still runs in its thread is waited for, and nothing is left."""
    for turns in range(6):
        writer = await local.create("a/b")
        task = asyncio.create_task(writer.write(b"x" * (4 * 1024 * 1024)))
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await writer.abort()
    local.close()
    assert files(tmp_path / "blobs") == []


@needs_proc
async def test_a_durable_blob_was_synced_before_and_after_its_rename(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """First the file, then the name, then the directory; a new directory's own name before the first blob in it. None
    of it without `sync`."""
    told: list[str] = []
    root = tmp_path / "blobs"

    def name_of(where: int | str) -> str:
        path = os.readlink(f"{DESCRIPTORS}/{where}") if isinstance(where, int) else where
        return os.path.relpath(path, tmp_path).partition("~")[0]

    def spy(where: object, name: str, word: str, argument: int) -> None:
        real = getattr(where, name)

        def call(*args: Any) -> None:
            told.append(f"{word} {name_of(args[argument])}")
            real(*args)

        monkeypatch.setattr(where, name, call)

    spy(module, "_fdatasync", "data", 0)
    spy(os, "fsync", "sync", 0)
    spy(os, "rename", "name", 1)
    spy(os, "mkdir", "make", 0)
    blobs = LocalBlobs(root)
    await blobs.put("a/1", [b"x"])
    assert told == [
        "make blobs", "sync .", "make blobs/a", "sync blobs", "data blobs/a/1", "name blobs/a/1", "sync blobs/a",
    ]  # fmt: skip
    told.clear()
    writer = await blobs.create("a/2")
    await writer.write(b"x")
    assert told == []
    await writer.commit()
    assert told == ["data blobs/a/2", "name blobs/a/2", "sync blobs/a"]
    blobs.close()
    told.clear()
    unsafe = LocalBlobs(root, sync=False)
    await unsafe.put("a/3", [b"x"])
    assert told == ["make blobs", "make blobs/a", "name blobs/a/3"]
    unsafe.close()


async def test_a_blob_whose_sync_failed_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whichever of the two syncs: told as an error, with no half-durable blob left to be believed."""
    blobs = LocalBlobs(tmp_path / "blobs")
    await blobs.put("a/0", [b"x"])

    def fail(fd: int) -> None:
        raise OSError(5, "Input/output error")

    for where, name in ((module, "_fdatasync"), (os, "fsync")):
        with monkeypatch.context() as patch:
            patch.setattr(where, name, fail)
            with pytest.raises(BlobError):
                await blobs.put("a/1", [b"x"])
    assert files(tmp_path / "blobs") == ["a/0"]
    await blobs.put("a/1", [b"y"])
    assert await blobs.read("a/1", 0, 9) == b"y"
    blobs.close()


async def test_the_loop_never_waits_for_the_disk(no_blocking: object, local: LocalBlobs) -> None:
    """Every verb does its work in a thread."""
    await local.put("a/1", [b"x" * 100])
    writer = await local.create("a/2")
    await writer.write(b"x" * 2_000_000)
    await writer.commit()
    assert [piece async for piece in local.stream("a/2", 0, 3)] == [b"xxx"]
    assert await local.read_many("a/1", [(0, 1), (50, 2)]) == [b"x", b"xx"]
    assert len(await local.aged(FAR_MS)) == 2
    await local.delete(["a/1", "a/2"])
