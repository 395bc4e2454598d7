"""The spill as a folder: damage, foreign files, a full disk, and a process that is killed."""

from __future__ import annotations

import asyncio
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from batchrouter.adapters.spill import FolderSpill
from batchrouter.errors import SpillError
from tests.conformance.spill.test_spill import draft_of

MIB = 1 << 20

KEEP_AND_WAIT = """
import asyncio, sys
from pathlib import Path
from batchrouter.adapters.spill import FolderSpill
from tests.conformance.spill.test_spill import draft_of

async def main():
    draft, whole = draft_of(5)
    print(await FolderSpill(Path(sys.argv[1]), 1 << 20, "theirs").keep("w-9", draft, [whole]), flush=True)
    sys.stdin.read()

asyncio.run(main())
"""


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_a_process_that_lives_keeps_its_own_and_one_that_was_killed_does_not(tmp_path: Path) -> None:
    """The lock goes with the process, however it ends; the folder is empty when all of it was settled."""
    folder = tmp_path / "spill"
    with subprocess.Popen(
        [sys.executable, "-c", KEEP_AND_WAIT, folder], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        name = child.stdout.readline().strip()
        mine = FolderSpill(folder, MIB, "mine")
        assert asyncio.run(mine.left_behind()) == []
        child.send_signal(signal.SIGKILL)
        child.wait()
    assert asyncio.run(mine.left_behind()) == [name]
    kept = asyncio.run(mine.load(name))
    assert (kept.worker, kept.body) == ("w-9", draft_of(5)[1])
    asyncio.run(mine.drop(name))
    mine.close()
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("damage", ["torn", "one bit", "empty", "foreign"])
async def test_what_is_not_whole_is_set_aside_and_told(
    damage: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Never fatal, never settled, never deleted."""
    spill = FolderSpill(tmp_path, MIB, "a")
    draft, whole = draft_of(4)
    path = tmp_path / f"{await spill.keep('w-1', draft, [whole])}.seg"
    data = path.read_bytes()
    path.write_bytes(
        {
            "torn": data[:-30],
            "one bit": data[:40] + bytes([data[40] ^ 1]) + data[41:],
            "empty": b"",
            "foreign": b"notes of somebody else\n" * 20,
        }[damage]
    )
    with pytest.raises(SpillError, match="set aside"):
        await spill.load(path.stem)
    assert names(tmp_path) == {f"{path.stem}.bad", "a.lock"}
    assert f"{path.stem}.bad" in caplog.text
    spill.close()
    after = FolderSpill(tmp_path, MIB, "b")
    assert await after.left_behind() == []
    after.close()


async def test_a_disk_without_room_leaves_no_half_of_a_segment(tmp_path: Path) -> None:
    """It is told as an error of the spill, and what is kept already stays."""
    spill = FolderSpill(tmp_path, MIB, "a")
    small, small_bytes = draft_of(1)
    name = await spill.keep("w-1", small, [small_bytes])
    large, large_bytes = draft_of(900)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (8192, hard))
    try:
        with pytest.raises(SpillError, match="cannot be written"):
            await spill.keep("w-1", large, [large_bytes])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert names(tmp_path) == {f"{name}.seg", "a.lock"}
    spill.close()


async def test_files_of_others_beside_it_are_left_alone(tmp_path: Path) -> None:
    """The folder may have been somebody's before."""
    (tmp_path / "notes.txt").write_text("mine")
    spill = FolderSpill(tmp_path, MIB, "a")
    assert await spill.left_behind() == []
    draft, whole = draft_of(1)
    await spill.drop(await spill.keep("w-1", draft, [whole]))
    spill.close()
    assert names(tmp_path) == {"notes.txt"}


async def test_nothing_is_made_before_something_is_kept(tmp_path: Path) -> None:
    """A spill that is never used leaves no trace. Its files are the owner's alone."""
    spill = FolderSpill(tmp_path / "spill", MIB, "a")
    assert await spill.left_behind() == []
    assert not (tmp_path / "spill").exists()
    draft, whole = draft_of(1)
    name = await spill.keep("w-1", draft, [whole])
    assert (tmp_path / "spill").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "spill" / f"{name}.seg").stat().st_mode & 0o777 == 0o600
    spill.close()
