"""The files of a run and the steps that put its output in place."""

from __future__ import annotations

from pathlib import Path

import pytest

from batchrouter.cli.run_files import PartWriter, Placed, RunFiles, write_whole
from batchrouter.cli.summary import Summary, summary_lines
from batchrouter.errors import InputError

SUMMARY = Summary(
    ok=True,
    exit_code=0,
    status="completed",
    endpoint="/v1/chat/completions",
    total=2,
    completed=2,
    invalid_output=0,
    failed=0,
    not_run=0,
    left=0,
    failures=[],
    continued=False,
    calls=3,
    retries=1,
    tokens_in=10,
    tokens_cached=0,
    tokens_out=20,
    tokens_reasoning=0,
    wall_s=1.5,
    rate=1.3,
    peak_in_flight=2,
    output="out.jsonl",
    errors=None,
    state=None,
    reasons=[],
)
PLACED = Placed("abc", SUMMARY)


@pytest.fixture
def files(tmp_path: Path) -> RunFiles:
    (tmp_path / "in.jsonl").write_text("{}")
    files = RunFiles.of(tmp_path / "in.jsonl", tmp_path / "out.jsonl", None)
    files.state.mkdir()
    (files.state / "lock").touch()
    (files.state / "blobs").mkdir()
    (files.state / "blobs/one").touch()
    return files


def part(path: Path, text: str) -> Path:
    writer = PartWriter(path)
    writer.write(text.encode())
    writer.close()
    return writer.path


def test_the_output_appears_whole_and_the_folder_goes(files: RunFiles) -> None:
    files.place(part(files.output, "out"), part(files.errors, "err"), PLACED)
    assert (files.output.read_text(), files.errors.read_text()) == ("out", "err")
    assert files.placed() == PLACED
    files.clear()
    assert {path.name for path in files.output.parent.iterdir()} == {"in.jsonl", "out.jsonl", "out.jsonl.errors.jsonl"}


def test_placing_and_clearing_again_change_nothing(files: RunFiles) -> None:
    for _ in range(2):
        files.place(part(files.output, "out"), None, PLACED)
    files.clear()
    files.clear()
    assert files.output.read_text() == "out"


def test_errors_of_an_earlier_run_do_not_stay_beside_an_output_without_any(files: RunFiles) -> None:
    files.errors.write_text("old")
    files.place(part(files.output, "out"), None, PLACED)
    assert not files.errors.exists()


def test_a_note_of_an_output_that_was_taken_away_is_not_believed(files: RunFiles) -> None:
    files.place(part(files.output, "out"), None, PLACED)
    files.output.unlink()
    assert files.placed() is None


def test_a_broken_note_is_none(files: RunFiles) -> None:
    files.output.touch()
    write_whole(files.state / "placed.json", [b'{"fingerprint":'])
    assert files.placed() is None


def test_an_abandoned_part_leaves_nothing(files: RunFiles) -> None:
    writer = PartWriter(files.output)
    writer.write(b"half")
    writer.abandon()
    writer.abandon()
    assert not writer.path.exists()


def test_a_folder_that_no_run_made_is_not_touched(files: RunFiles) -> None:
    (files.state / "lock").unlink()
    with pytest.raises(InputError, match="not the state of a run"):
        files.refuse_foreign_state()


def test_the_summary_has_one_screen() -> None:
    text = "\n".join(summary_lines(SUMMARY))
    assert "completed: 2 lines, 2 ok, 0 failed" in text
    assert "3, 1 of them retried or cut off" in text
    assert "peak in flight 2" in text
    assert len(text.splitlines()) < 24
