"""`batchrouter serve`: what it says, what it refuses, and how it stops."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import threading
import urllib.error
import urllib.request
from time import monotonic
from typing import Any

import pytest

from batchrouter.cli.client import Client
from batchrouter.simulator import Rule, Script, Then
from batchrouter.simulator.process import running_simulator
from tests.acceptance.cli.rig import Shell, end, request, until


def ready(process: subprocess.Popen[str]) -> dict[str, Any]:
    assert process.stdout is not None
    told: dict[str, Any] = json.loads(process.stdout.readline())
    return told


def lines_of(process: subprocess.Popen[str], last: str) -> str:
    """What it prints, up to a line that holds `last`."""
    assert process.stdout is not None
    text = ""
    while last not in text:
        line = process.stdout.readline()
        assert line, end(process)
        text += line
    return text


def test_the_first_start_prints_a_key_once_and_how_to_use_it(shell: Shell) -> None:
    """The second start does not know it any more; only its hash is kept."""
    process = shell.start("serve", "--port", 0, "--data", "d")
    text = lines_of(process, "Ctrl-C")
    key = next(word for word in text.split() if word.startswith("sk-br-"))
    url = next(word for word in text.split() if word.startswith("http://"))
    assert "shown this once" in text
    assert f'base_url="{url}/v1"' in text
    assert "No provider is configured" in text
    assert Client(url, key).json("GET", "/v1/models")["data"] == []
    process.send_signal(signal.SIGINT)
    assert end(process).code == 0
    process = shell.start("serve", "--port", 0, "--data", "d")
    again = lines_of(process, "Ctrl-C")
    assert "sk-br-" not in again
    assert "batchrouter keys list" in again
    process.send_signal(signal.SIGTERM)
    assert end(process).code == 0
    assert not any(key.encode() in path.read_bytes() for path in shell.path("d").rglob("*") if path.is_file())


def test_a_key_of_the_environment_is_enough(shell: Shell) -> None:
    with shell.server("--data", "d", BATCHROUTER_API_KEY="sk-mine") as server:
        assert server["first_key"] is None
        assert Client(server["url"], "sk-mine").json("GET", "/v1/batches")["data"] == []


def test_a_second_server_on_a_folder_is_refused_and_told_of_postgresql(shell: Shell) -> None:
    with shell.server("--data", "d") as server:
        second = shell("serve", "--port", 0, "--data", "d", "--json")
        assert second.code == 2
        message = second.json["error"]["message"]
        assert server["url"] in message
        assert "PostgreSQL" in message
        assert "Traceback" not in second.err


def test_a_port_that_is_taken_is_told_in_a_sentence(shell: Shell) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ended = shell("serve", "--port", port, "--data", "d")
    assert ended.code == 2
    assert f"cannot listen on 127.0.0.1:{port}" in ended.err
    assert "Traceback" not in ended.err
    assert "sk-br-" not in ended.out + ended.err
    process = shell.start("serve", "--port", 0, "--data", "d")
    assert "sk-br-" in lines_of(process, "Ctrl-C"), "the first start that works is the one that tells the key"
    process.send_signal(signal.SIGTERM)
    assert end(process).code == 0


def test_a_wrong_setting_is_told_with_the_near_word(shell: Shell) -> None:
    shell.path("batchrouter.yaml").write_text("provders: {}\n")
    ended = shell("serve", "--port", 0, "--data", "d", "--json")
    assert ended.code == 2
    assert "did you mean 'providers'" in ended.json["error"]["message"]


def batch_under_way(shell: Shell, server: dict[str, Any]) -> None:
    """A batch of one line, created over HTTP."""
    client = Client(server["url"], server["first_key"])
    data = json.dumps(request(1)).encode() + b"\n"
    body = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.jsonl"\r\n\r\n' + data + b"\r\n--x--\r\n"
    file = json.loads(client.call("POST", "/v1/files", body, {"content-type": "multipart/form-data; boundary=x"}))
    client.json("POST", "/v1/batches", {"input_file_id": file["id"], "endpoint": "/v1/chat/completions"})


def test_sigterm_lets_calls_end_within_the_grace_and_a_second_one_does_not_wait(shell: Shell) -> None:
    """The call of a second is answered before the exit, and not sent again; the call of a minute is not waited for."""
    with running_simulator(Script(rules=(Rule(then=Then(delay_s=1.0)),))) as simulator:
        shell.config(simulator.base_url)
        process = shell.start("serve", "--port", 0, "--json", "--data", "d")
        server = ready(process)
        batch_under_way(shell, server)
        until(lambda: simulator.stats()["requests"] == 1, process)
        process.send_signal(signal.SIGTERM)
        assert end(process).code == 0
        assert simulator.log()[0].end == "sent"

        simulator.set_script(Script(rules=(Rule(then=Then(delay_s=60.0)),)))
        process = shell.start("serve", "--port", 0, "--json", "--data", "d")
        second = ready(process)
        batch_under_way(shell, second | {"first_key": server["first_key"]})
        until(lambda: simulator.stats()["requests"] == 2, process)
        begun_s = monotonic()
        process.send_signal(signal.SIGTERM)
        assert process.stderr is not None
        assert "a second signal ends them now" in process.stderr.readline()
        with pytest.raises(urllib.error.HTTPError) as told:
            urllib.request.urlopen(f"{second['url']}/healthz", timeout=5)
        with told.value as answer:
            assert answer.code == 503
        # It may need a moment until it has begun to wait.
        again = threading.Timer(0.3, process.send_signal, (signal.SIGTERM,))
        again.start()
        assert end(process).code == 0
        again.join()
        assert monotonic() - begun_s < 15.0
