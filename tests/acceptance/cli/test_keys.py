"""`batchrouter keys`: the same words, whether a server holds the folder or nobody does."""

from __future__ import annotations

import pytest

from batchrouter.cli.client import Client
from batchrouter.errors import ApiError
from tests.acceptance.cli.rig import Shell


def test_keys_of_a_folder_without_a_server_work_when_one_starts(shell: Shell) -> None:
    made = shell("keys", "create", "--data", "d", "--label", "mine", "--json")
    assert made.code == 0, made.err
    secret = made.json["key"]["secret"]
    assert secret.startswith("sk-br-")
    other = shell.inside("keys", "create", "--data", "d", "--tenant", "team", "--role", "admin", "--weight", 3)
    assert other.out.startswith("sk-br-")
    assert len(other.out.split()) == 1
    listed = shell.inside("keys", "list", "--data", "d", "--json").json["keys"]
    assert [(key["tenant"], key["role"], key["label"]) for key in listed] == [
        ("team", "admin", ""),
        ("default", "user", "mine"),
    ]
    assert not any("secret" in key for key in listed)
    assert shell.inside("keys", "revoke", listed[0]["id"], "--data", "d").code == 0
    assert shell.inside("keys", "list", "--data", "d", "--tenant", "team", "--json").json["keys"][0]["revoked_at"]
    with shell.server("--data", "d") as server:
        assert server["first_key"] is None
        assert Client(server["url"], secret).json("GET", "/v1/models")["data"] == []
        with pytest.raises(ApiError, match="Incorrect API key"):
            Client(server["url"], other.out.strip()).json("GET", "/v1/models")


def test_keys_of_a_folder_that_a_server_holds_go_through_it(shell: Shell) -> None:
    """They work at once, and so does revoking."""
    with shell.server("--data", "d") as server:
        made = shell("keys", "create", "--data", "d", "--tenant", "team", "--json").json["key"]
        client = Client(server["url"], made["secret"])
        assert client.json("GET", "/v1/models")["object"] == "list"
        listed = shell.inside("keys", "list", "--data", "d", "--json").json["keys"]
        assert [key["tenant"] for key in listed] == ["team", "default"]
        assert shell.inside("keys", "list", "--data", "d").out.count("active") == 2
        revoked = shell.inside("keys", "revoke", made["id"], "--data", "d", "--json").json["key"]
        assert revoked["revoked_at"]
        with pytest.raises(ApiError):
            client.json("GET", "/v1/models")


def test_what_is_not_there_is_told_in_a_sentence(shell: Shell) -> None:
    nowhere = shell.inside("keys", "list", "--data", "nowhere")
    assert nowhere.code == 2
    assert "there is no data folder nowhere" in nowhere.err
    assert not shell.path("nowhere").exists()
    shell.inside("keys", "create", "--data", "d")
    unknown = shell.inside("keys", "revoke", "key_unknown", "--data", "d", "--json")
    assert unknown.code == 2
    assert "key_unknown" in unknown.json["error"]["message"]
    assert shell.inside("keys", "list", "--data", "d", "--tenant", "unknown").code == 2
    assert shell.inside("keys", "create", "--data", "d", "--role", "king", "--json").json["error"]["code"] == "usage"
