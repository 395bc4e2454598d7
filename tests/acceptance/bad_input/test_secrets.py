"""Keys, prompts and answers are where they must be and nowhere else, also when everything is logged and much fails."""

from __future__ import annotations

import json
import stat
from collections.abc import Iterator

import openai
import pytest

from batchrouter.simulator import Match, Rule, Script, Then
from batchrouter.simulator.process import SimulatorProcess
from tests.acceptance.bad_input.conftest import UPSTREAM_KEY
from tests.acceptance.bad_input.raw import ask
from tests.acceptance.bad_input.stored import database, tables
from tests.lines import CHAT, chat, errors_of, finished, jsonl, lanes, output_of, until, upload
from tests.serving import KEY, ServerProcess

PROMPT = "the-prompt-that-nobody-else-may-read"
ECHO = "the-words-of-the-upstream"
SCRIPT = Script(
    rules=(
        Rule(match=Match(contains="bad line"), then=Then(status=400, message=f"{ECHO}: {PROMPT} {UPSTREAM_KEY}")),
        Rule(match=Match(contains="no json"), then=Then(body=f"<html>{ECHO} {PROMPT} {UPSTREAM_KEY}", shape=None)),
        Rule(match=Match(model="other-refused"), then=Then(status=401, message=f"Wrong key: {UPSTREAM_KEY} {ECHO}")),
        Rule(match=Match(model="other-moved"), then=Then(status=302, headers={"location": f"http://x/{UPSTREAM_KEY}"})),
    )
)


@pytest.fixture
def _strict(simulator: SimulatorProcess) -> Iterator[None]:
    simulator.set_script(SCRIPT)
    yield
    simulator.set_script(Script())


@pytest.mark.usefixtures("_strict")
def test_secrets_stay_where_they_belong(server: ServerProcess, client: openai.OpenAI, key: str) -> None:
    """Not in the log, not in the database's texts, not in a lane's reason, and of keys only the upstream's reply."""
    good = [chat(f"good-{i}", f"{PROMPT} {i}") for i in range(20)]
    sick = [chat(name, f"{PROMPT} {name}", name) for name in ("other-refused", "other-moved")]
    bad = [chat("bad", f"{PROMPT} bad line"), chat("html", f"{PROMPT} no json")]
    done = finished(client, upload(client, jsonl([*good, bad[0]])).id)
    assert done.status == "completed"
    stuck = upload(client, jsonl([*sick, *good, bad[1]]))
    stuck = until(client, stuck.id, lambda each: sum(lane["state"] == "paused" for lane in lanes(each).values()) == 2)
    refused = finished(client, upload(client, b'{"custom_id":"%b","method":"GET"}\n{"%b' % ((PROMPT.encode(),) * 2)).id)
    told = [stuck.to_json(), refused.to_json(), client.batches.cancel(stuck.id).to_json()]
    for body in (b'{"%b' % PROMPT.encode(), b'{"input_file_id":["%b"]}' % PROMPT.encode()):
        told.append(ask(server, "POST", "/v1/batches", body, key=key).body.decode())
    told += [ask(server, "GET", "/v1/files", key=f"{key}{PROMPT}").body.decode()]
    cancelled = finished(client, stuck.id)
    assert cancelled.status == "cancelled"

    answers = [each.answer["choices"][0]["message"]["content"] for each in good]
    assert all(answer in output_of(client, done).decode() for answer in answers)
    assert ECHO in errors_of(client, done).decode()  # what the upstream said of a line is the line's
    keys = [KEY, key, server.admin_token, UPSTREAM_KEY]
    secrets = [PROMPT, ECHO, *answers, *keys]
    for secret in secrets:
        assert secret not in server.log
        for text in told:
            assert secret not in text
    texts = database_texts(server)
    assert any(done.id in text for text in texts)
    for text in texts:
        for secret in secrets:
            assert secret not in text
    for path in server.folder.rglob("*"):
        if path.is_file() and path.name != "server.json" and not path.is_relative_to(server.folder / "blobs"):
            content = path.read_bytes()
            for secret in keys[:3]:
                assert secret.encode() not in content, path


def test_only_the_owner_may_read_the_data_folder(server: ServerProcess, client: openai.OpenAI) -> None:
    """It holds prompts, answers and the admin's token."""
    client.files.create(file=jsonl([chat("a", PROMPT)]), purpose="batch")
    found = [path for path in server.folder.rglob("*") if path.is_file()]
    assert len(found) > 4
    for path in found:
        if path.name != "lock":  # holds nothing
            assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path


def test_lists_of_keys_show_tails_alone(server: ServerProcess, key: str) -> None:
    """The secret was in the reply that made the key, and is in no other."""
    listed = ask(server, "GET", "/admin/v1/keys", key=server.admin_token)
    assert listed.status == 200
    assert key[-4:] in listed.body.decode()
    assert key not in listed.body.decode()
    for path in ("/v1/models", "/v1/files", "/v1/batches", "/openapi.json", "/docs", "/healthz", "/admin/v1/tenants"):
        reply = ask(server, "GET", path, key=server.admin_token)
        for secret in (key, KEY, UPSTREAM_KEY, server.admin_token):
            assert secret.encode() not in reply.body


def test_another_tenant_finds_nothing_of_it(server: ServerProcess, client: openai.OpenAI) -> None:
    """Ids that exist are told like ids that never were."""
    done = finished(client, upload(client, jsonl([chat("a", PROMPT)])).id)
    stranger = server.key_of("stranger")
    never = "0" * 24
    for route, id in (
        ("/v1/files/{}", done.input_file_id),
        ("/v1/files/{}/content", done.output_file_id),
        ("/v1/batches/{}", done.id),
    ):
        assert id is not None
        real, made_up = (ask(server, "GET", route.format(each), key=stranger) for each in (id, never))
        assert real.status == made_up.status == 404
        assert real.body.replace(id.encode(), b"") == made_up.body.replace(never.encode(), b"")
    alias = ask(server, "GET", f"/v1/files/batch-output-{done.id}.jsonl/content", key=stranger)
    assert alias.error["status"] == 404
    body = json.dumps({"input_file_id": done.input_file_id, "endpoint": CHAT}).encode()
    made = json.loads(ask(server, "POST", "/v1/batches", body, key=stranger).body)
    with server.client(stranger) as other:
        assert finished(other, made["id"]).status == "failed"


def database_texts(server: ServerProcess) -> list[str]:
    """Every text of every row."""
    texts = []
    with database(server) as connection:
        for table in tables(connection):
            for row in connection.execute(f'SELECT * FROM "{table}"'):
                texts += [value for value in row if isinstance(value, str)]
    return texts
