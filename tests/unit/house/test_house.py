"""What the house promises of its own files: locks, examples, targets, and the guard around every test."""

from __future__ import annotations

import asyncio
import json
import re
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
import uvloop

from scripts import make_examples
from tests import conftest
from tests.conftest import ROOT, NetworkForbidden

LOCKS = sorted((ROOT / "requirements").glob("*.lock"))
ELSEWHERE = "203.0.113.7"  # reserved for documentation (RFC 5737): no machine has it


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.name)
def test_a_lock_names_no_host_and_pins_every_package_with_a_hash(lock: Path) -> None:
    """A lock says what to install, never from where."""
    text = lock.read_text()
    assert not re.search(r"://|^--|find-links| @ ", text, re.MULTILINE)
    pins = re.split(r"^(?=\w)", text, flags=re.MULTILINE)[1:]
    assert pins
    assert [pin.split("\n")[0] for pin in pins if "==" not in pin or "--hash=sha256:" not in pin] == []


def test_what_the_server_needs_is_pinned_alike_for_tests() -> None:
    """Tests run on the very versions that people run."""

    def pins(name: str) -> set[str]:
        return set(re.findall(r"^[\w.-]+==[^ ]+", (ROOT / "requirements" / name).read_text(), re.MULTILINE))

    assert pins("server.lock") <= pins("dev.lock")


def test_the_examples_are_what_their_script_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody edits an example by hand, and a second run writes the same bytes."""
    monkeypatch.setattr(make_examples, "EXAMPLES", tmp_path / "examples")
    make_examples.main()
    for path in (ROOT / "examples").glob("*.jsonl"):
        assert (tmp_path / "examples" / path.name).read_bytes() == path.read_bytes()


def test_an_example_file_is_a_batch_that_openai_would_take() -> None:
    """One url in a file, each custom_id once, several models and kinds."""
    lines = [json.loads(line) for line in (ROOT / "examples" / "requests.jsonl").read_text().splitlines()]
    assert len({line["custom_id"] for line in lines}) == len(lines) == 300
    assert {line["url"] for line in lines} == {"/v1/chat/completions"}
    assert {line["body"]["model"] for line in lines} == {"sim-small", "sim-large"}
    assert len({line["custom_id"].partition("-")[0] for line in lines}) == 8


def test_every_target_of_the_makefile_is_told_by_help() -> None:
    """`make help` leaves nothing out."""
    makefile = (ROOT / "Makefile").read_text()
    targets = re.findall(r"^\.PHONY: (.*)$", makefile, re.MULTILINE)[0].split()
    assert targets == re.findall(r"^(\w+):.*## ", makefile, re.MULTILINE)


def test_a_test_that_reaches_for_another_machine_ends() -> None:
    """Sockets, asyncio and uvloop alike."""

    async def connect() -> None:
        await asyncio.get_running_loop().create_connection(asyncio.Protocol, ELSEWHERE, 80)

    with socket.socket() as plain, pytest.raises(NetworkForbidden):
        plain.connect((ELSEWHERE, 80))
    with pytest.raises(NetworkForbidden):
        asyncio.run(connect())
    with pytest.raises(NetworkForbidden):
        uvloop.run(connect())


def test_a_missing_tool_skips_here_and_fails_in_ci(
    need: Callable[[str, str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A skipped test must not pass for a green one where everything can be installed."""
    monkeypatch.setattr(conftest, "IN_CI", False)
    with pytest.raises(pytest.skip.Exception, match="apt-get install some-package"):
        need("no-such-tool", "some-package")
    monkeypatch.setattr(conftest, "IN_CI", True)
    with pytest.raises(pytest.fail.Exception, match="some-package"):
        need("no-such-tool", "some-package")
