"""A filename never leads anywhere and never carries anything but a name."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchrouter.service.filenames import safe_filename


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("requests.jsonl", "requests.jsonl"),
        ("../../etc/passwd", "passwd"),
        ("/etc/passwd", "passwd"),
        ("C:\\Users\\me\\a.jsonl", "a.jsonl"),
        ("a/..", "upload"),
        ("..", "upload"),
        ("", "upload"),
        (None, "upload"),
        ("dir/", "upload"),
        ("a\r\nX-Evil: 1.jsonl", "aX-Evil: 1.jsonl"),
        ("a\x00b.jsonl", "ab.jsonl"),
        ("‮gpj.exe", "gpj.exe"),
        ("frühling €.jsonl", "frühling €.jsonl"),
        ("\ud800.jsonl", ".jsonl"),
    ],
)
def test_only_the_name_is_kept(sent: str | None, kept: str) -> None:
    assert safe_filename(sent) == kept


@given(st.text(max_size=600))
def test_any_name_becomes_a_short_plain_one(sent: str) -> None:
    kept = safe_filename(sent)
    assert 0 < len(kept.encode()) <= 255
    assert not {"/", "\\", "\x00", "\n", "\r"} & set(kept)
    assert safe_filename(kept) == kept
