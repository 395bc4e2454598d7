"""What `batchrouter webhooks` does: through a server, as any other client would."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

from batchrouter.cli import words
from batchrouter.cli.place import ServerOptions
from batchrouter.cli.server import Server
from batchrouter.errors import InputError

TRIES, TRY_S = 60, 0.5
"""How long the answer to a test is waited for: twice as long as an attempt takes."""


class Webhooks:
    """Errors as those of `Server`."""

    def __init__(self, options: ServerOptions, *, json: bool) -> None:
        self._server = Server.of(options)
        self._json = json

    def ls(self) -> None:
        found = self._all()
        if self._json:
            words.emit({"ok": True, "webhooks": found})
            return
        for each in found:
            words.tell(_line(each))
        if not found:
            words.say("There are no webhooks; `batchrouter webhooks add URL` makes one.")

    def add(self, to: str, events: Sequence[str] | None, description: str) -> None:
        body: dict[str, Any] = {"url": to, "description": description}
        if events:
            body["events"] = list(events)
        self._told_once(self._server.post("/v1/webhooks", body))

    def rm(self, told: str) -> None:
        id_ = self._find(told)
        with self._server.in_words():
            gone = self._server.client.json("DELETE", self._server.path(_path(id_), {}))
        if self._json:
            words.emit({"ok": True, "webhook": gone})
        else:
            words.tell(f"{id_} is removed")

    def enable(self, told: str) -> None:
        made = self._server.post(_path(self._find(told)), {"enabled": True})
        if self._json:
            words.emit({"ok": True, "webhook": made})
        else:
            words.tell(_line(made))

    def rotate(self, told: str) -> None:
        self._told_once(self._server.post(f"{_path(self._find(told))}/rotate", {}))

    def test(self, told: str) -> int:
        """The exit code: whether it was delivered."""
        id_ = self._find(told)
        made = self._server.post(f"{_path(id_)}/test", {})
        for _ in range(TRIES):
            if made["attempts"] or made["state"] != "waiting":
                break
            time.sleep(TRY_S)
            page = self._server.get(f"{_path(id_)}/deliveries", {"limit": 100})["data"]
            made = next((each for each in page if each["id"] == made["id"]), made)
        delivered = made["state"] == "delivered"
        if self._json:
            words.emit({"ok": delivered, "delivery": made})
        else:
            words.tell(_delivery(made))
            if not made["attempts"]:
                words.say("Nobody has sent it yet: is a worker running?")
        return words.OK if delivered else words.SOME_FAILED

    def log(self, told: str, limit: int) -> None:
        page = self._server.get(f"{_path(self._find(told))}/deliveries", {"limit": limit})
        if self._json:
            words.emit({"ok": True, "deliveries": page["data"], "has_more": page["has_more"]})
            return
        for each in page["data"]:
            words.tell(_delivery(each))
        if not page["data"]:
            words.say("Nothing was told yet.")

    def _all(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self._server.get("/v1/webhooks")["data"]
        return found

    def _find(self, told: str) -> str:
        """The id that `told` means: an id, or the beginning of one."""
        found = [str(each["id"]) for each in self._all() if str(each["id"]).startswith(told)]
        if told in found:
            return told
        if len(found) != 1:
            raise InputError(
                f"'{told}' is the beginning of several ids: {', '.join(found)}"
                if found
                else f"no webhook has an id that begins with '{told}'; `batchrouter webhooks ls` lists them"
            )
        return found[0]

    def _told_once(self, made: dict[str, Any]) -> None:
        if self._json:
            words.emit({"ok": True, "webhook": made})
        else:
            words.say(f"{made['id']}, {made['url']}. Its secret, shown this once:")
            words.tell(made["secret"])


def _path(id_: str) -> str:
    return f"/v1/webhooks/{quote(id_, safe='')}"


def _line(webhook: dict[str, Any]) -> str:
    state = "enabled" if webhook["enabled"] else f"disabled ({webhook['disabled_reason'] or 'by hand'})"
    events = ",".join(event.removeprefix("batch.") for event in webhook["events"])
    configured = "configured" if webhook["configured"] else ""
    parts = (webhook["id"], webhook["url"], events, state, configured, webhook["description"])
    return "  ".join(part for part in parts if part)


def _delivery(told: dict[str, Any]) -> str:
    """`2026-11-21 07:00:00  batch.completed  batch_…  waiting, next 07:05:00  500 the receiver answered 500`"""
    state = told["state"]
    if told["next_attempt_at"] is not None:
        state += f", next {_time(told['next_attempt_at'])}"
    last = told["attempts"][-1] if told["attempts"] else None
    said = "" if last is None else (last["error"] or f"{last['status']} in {last['latency_ms']} ms")
    tries = f"{len(told['attempts'])} tries" if len(told["attempts"]) > 1 else ""
    parts = (_time(told["created_at"]), told["id"], told["type"], told["batch_id"] or "", state, tries, said)
    return "  ".join(part for part in parts if part)


def _time(unix_s: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(unix_s))
