"""Whether an input is the one that a run was begun with."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchrouter.cli.line_file import LocalIndex, index_into
from batchrouter.cli.sameness import difference, fingerprint
from batchrouter.cli.source import FileSource
from batchrouter.domain.duplicates import MemorySpill
from batchrouter.domain.indexer import Indexer
from batchrouter.tables import FileBytes


def line(custom_id: str, text: str = "hello", url: str = "/v1/chat/completions", **more: object) -> str:
    body = {"model": "m", "messages": [{"role": "user", "content": text}]}
    return json.dumps({"custom_id": custom_id, "method": "POST", "url": url, "body": body, **more})


def index_of(text: str) -> LocalIndex:
    indexer = Indexer(MemorySpill())
    return LocalIndex(io.BytesIO(indexer.feed(text.encode()) + indexer.finish()))


def compare(tmp_path: Path, before: str, now: str) -> str | None:
    source = tmp_path / "in.jsonl"
    source.write_bytes(now.encode())
    with io.BytesIO() as file:
        found = difference(
            index_of(before), index_into([now.encode()], file, MemorySpill(), 1 << 20), FileSource(FileBytes(source))
        )
    assert (found is None) == (fingerprint(index_of(before)) == fingerprint(index_of(now)))
    return found


BEFORE = "\n".join((line("a"), line("b"), line("c")))


@pytest.mark.parametrize(
    "now",
    [
        BEFORE,
        BEFORE + "\n",
        "\ufeff" + BEFORE.replace("\n", "\r\n\n"),
        BEFORE.replace('{"custom_id": "b", "method": "POST",', '{"method":"POST","custom_id": "b",'),
    ],
)
def test_the_same_lines_written_otherwise_are_the_same(tmp_path: Path, now: str) -> None:
    assert compare(tmp_path, BEFORE, now) is None


@pytest.mark.parametrize(
    ("now", "words"),
    [
        ("\n".join((line("a"), line("b", "hullo"), line("c"))), 'line 2 (custom_id "b") has another body'),
        ("\n\n".join((line("a"), line("x"), line("c"))), 'line 3 (custom_id "x") has another custom_id'),
        ("\n".join((line("a"), line("b"))), "it has 2 lines, where there were 3"),
        (BEFORE + "\n" + line("d"), 'line 4 (custom_id "d") was not there'),
        (BEFORE.replace("chat/completions", "responses"), 'line 1 (custom_id "a") has another url or provider'),
        (
            "\n".join((line("a"), line("b", provider="p"), line("c"))),
            'line 2 (custom_id "b") has another url or provider',
        ),
        ("\n".join((line("a"), "no json", line("c"))), "line 2 has another custom_id"),
        ("", "it has 0 lines, where there were 3"),
    ],
)
def test_the_first_difference_is_named_with_its_line(tmp_path: Path, now: str, words: str) -> None:
    assert compare(tmp_path, BEFORE, now) == words


lines_of = st.lists(st.tuples(st.sampled_from("abcd"), st.sampled_from(["x", "y"])), max_size=5)


@given(lines_of, lines_of)
def test_two_inputs_have_one_fingerprint_exactly_when_nothing_differs(
    before: list[tuple[str, str]], now: list[tuple[str, str]]
) -> None:
    old, new = ("\n".join(line(*each) for each in some) for some in (before, now))
    found = difference(index_of(old), index_of(new), FileSource(FileBytes(Path("absent"))))
    assert (found is None) == (before == now) == (fingerprint(index_of(old)) == fingerprint(index_of(new)))
