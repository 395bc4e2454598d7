"""The flow as people copy it: curl, requests, JavaScript, Java, Go, with nothing of ours in between."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import requests

from batchrouter.simulator.process import SimulatorProcess
from tests.acceptance.flows.conftest import SEPARATORS
from tests.lines import FINAL, Asked, chat, chats, check_output, jsonl
from tests.serving import ServerProcess, environment

CLIENTS = Path(__file__).parent / "clients"
CLIENT_S = 60.0

Need = Callable[[str, str], str]


def run(command: list[str], cwd: Path, **more: str) -> bytes:
    """The standard output; fails with the standard error."""
    done = subprocess.run(
        command,
        cwd=cwd,
        env=environment(**more),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=CLIENT_S,
        check=False,
    )
    assert done.returncode == 0, f"{command} ended with {done.returncode}: {done.stderr.decode()}"
    return done.stdout


def foreign(name: str) -> list[Asked]:
    """Lines that a client with a wrong idea of text would spoil, and more of them than one buffer holds."""
    texts = ["naïve café", "日本語の質問", "emoji 🙂🙃", 'quote " and \\ backslash', "two\nlines", "tab\there"]
    return [chat(f"{name}-{i}", f"{name} {i}: {texts[i % len(texts)]} {'x' * 300}") for i in range(300)]


def test_curl(need: Need, server: ServerProcess, key: str, file: Path) -> None:
    curl = [need("curl", "curl"), "-sS", "--fail-with-body", "-H", f"Authorization: Bearer {key}"]
    asked = foreign("curl")
    file.write_bytes(jsonl(asked))

    def call(*arguments: str) -> bytes:
        return run([*curl, *arguments], file.parent)

    form = ["-F", "purpose=batch", "-F", f"file=@{file.name}"]
    uploaded = json.loads(call(f"{server.base_url}/files", *form))
    body = {"input_file_id": uploaded["id"], "endpoint": "/v1/chat/completions", "completion_window": "24h"}
    batch = json.loads(
        call(f"{server.base_url}/batches", "-H", "Content-Type: application/json", "-d", json.dumps(body))
    )
    while batch["status"] not in FINAL:
        time.sleep(0.05)
        batch = json.loads(call(f"{server.base_url}/batches/{batch['id']}"))
    assert batch["status"] == "completed"
    call(f"{server.base_url}/files/{batch['output_file_id']}/content", "-o", "output.jsonl")
    check_output(asked, (file.parent / "output.jsonl").read_bytes())
    # As curl goes on with a download that broke off.
    whole = (file.parent / "output.jsonl").read_bytes()
    (file.parent / "part.jsonl").write_bytes(whole[:1000])
    call(f"{server.base_url}/files/{batch['output_file_id']}/content", "-C", "-", "-o", "part.jsonl")
    assert (file.parent / "part.jsonl").read_bytes() == whole


def test_requests_splits_answers_full_of_line_separators_into_lines(
    simulator: SimulatorProcess, server: ServerProcess, key: str
) -> None:
    asked = [chat(f"a\u2028b\u2029c\x85-{i}", f"{SEPARATORS}: \u2028 \u2029 \x85 {i}") for i in range(40)]
    headers = {"Authorization": f"Bearer {key}"}
    file = requests.post(
        f"{server.base_url}/files",
        headers=headers,
        files={"file": ("requests.jsonl", jsonl(asked), "application/jsonl")},
        data={"purpose": "batch"},
    ).json()
    batch = requests.post(
        f"{server.base_url}/batches",
        headers=headers,
        json={"input_file_id": file["id"], "endpoint": "/v1/chat/completions", "completion_window": "24h"},
    ).json()
    while batch["status"] not in FINAL:
        time.sleep(0.05)
        batch = requests.get(f"{server.base_url}/batches/{batch['id']}", headers=headers).json()
    content = requests.get(f"{server.base_url}/files/{batch['output_file_id']}/content", headers=headers)
    lines = [json.loads(line) for line in content.text.splitlines()]
    assert [line["custom_id"] for line in lines] == [each.custom_id for each in asked]
    for line, each in zip(lines, asked, strict=True):
        body = line["response"]["body"]
        # The simulator did put raw separators into it, and they are still the same characters.
        assert set("\u2028\u2029\x85") <= set(body.pop("simulated"))
        assert body == each.answer
    assert {each.key for each in asked} <= {entry.key for entry in simulator.log()}


def test_javascript_with_fetch_and_form_data(need: Need, server: ServerProcess, key: str, file: Path) -> None:
    node = need("node", "nodejs")
    asked = foreign("node")
    file.write_bytes(jsonl(asked))
    check_output(asked, run([node, str(CLIENTS / "flow.mjs"), server.base_url, key, str(file)], file.parent))


def test_java_with_a_hand_made_multipart_body_over_an_offered_upgrade(
    need: Need, server: ServerProcess, key: str, file: Path
) -> None:
    java = need("java", "default-jdk-headless")
    asked = foreign("java")
    file.write_bytes(jsonl(asked))
    # One quick compiler and no second look at the code: most of the seconds are the machine's start.
    quick = ["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xshare:auto"]
    check_output(asked, run([java, *quick, str(CLIENTS / "Flow.java"), server.base_url, key, str(file)], file.parent))


def test_go_with_its_multipart_writer(need: Need, server: ServerProcess, key: str, file: Path) -> None:
    go = need("go", "golang-go")
    asked = foreign("go")
    file.write_bytes(jsonl(asked))
    alone = {
        "GOCACHE": str(file.parent / "go-cache"),
        "GOPATH": str(file.parent / "go-path"),
        "GOFLAGS": "-mod=mod",
        "GOPROXY": "off",
        "GOTOOLCHAIN": "local",
        "GO111MODULE": "off",
    }
    check_output(
        asked, run([go, "run", str(CLIENTS / "flow.go"), server.base_url, key, str(file)], file.parent, **alone)
    )


def test_the_input_can_be_downloaded_again(server: ServerProcess, key: str) -> None:
    content = jsonl(chats(3, "again"))
    headers = {"Authorization": f"Bearer {key}"}
    file = requests.post(f"{server.base_url}/files", headers=headers, files={"file": content}).json()
    assert requests.get(f"{server.base_url}/files/{file['id']}/content", headers=headers).content == content
