"""The server as commands see it: batches found by what people type, and its refusals in words that say what to do."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar
from urllib.parse import quote, urlencode

import msgspec

from batchrouter.cli.client import Client
from batchrouter.cli.place import KEY_VARIABLE, URL_VARIABLE, Place, ServerOptions, find_place
from batchrouter.cli.told import BatchPage, BatchTold, LineTold, SummaryTold
from batchrouter.errors import ApiError, InputError, TransportError

PATIENCE_S = 120.0
PAGE = 100
PAGES_SEARCHED = 20
NAMED = 5
LAST = "last"
FORBIDDEN = (401, 403)
ABSENT = (404, 405)

_WHOLE_ID = re.compile(r"batch_[0-9a-f]{32}")

T = TypeVar("T")


class ResultPage(msgspec.Struct):
    data: list[msgspec.Raw]
    has_more: bool = False
    next: str | None = None
    status: str = ""


class Server:
    """Raises `ApiError`, `TransportError` and `InputError` with a sentence for people."""

    def __init__(self, place: Place, *, patience_s: float = PATIENCE_S, timeout_s: float = 60.0) -> None:
        self.place = place
        self.client = Client(place.url, place.key, patience_s=patience_s, timeout_s=timeout_s)
        self.url = self.client.url
        self._tenant_known = place.tenant is None

    @classmethod
    def of(cls, options: ServerOptions, **how: float) -> Server:
        return cls(find_place(options), **how)

    # --- batches ----------------------------------------------------------------------------------------------------

    def page(self, query: Mapping[str, str | int], *, after: str | None = None) -> BatchPage:
        return msgspec.convert(self.get("/v1/batches", {**query, **({"after": after} if after else {})}), BatchPage)

    def pages(self, query: Mapping[str, str | int]) -> Iterator[dict[str, Any]]:
        """Every batch, newest first."""
        after: str | None = None
        while True:
            page = self.page({**query, "limit": PAGE}, after=after)
            yield from page.data
            if not page.has_more or page.last_id is None:
                return
            after = page.last_id

    def find(self, told: str) -> str:
        """The id that `told` means: an id, `last`, or the beginning of one, with or without `batch_`, as lists that had
        no room for more show it."""
        told = told.removesuffix("…")
        if _WHOLE_ID.fullmatch(told):
            return told
        if told == LAST:
            newest = self.page({"limit": 1}).data
            if not newest:
                raise InputError("there are no batches yet; `batchrouter submit` makes one")
            return str(newest[0]["id"])
        begins = told if told.startswith("batch_") else f"batch_{told}"
        found = self._beginning_with(begins)
        if not found:
            raise InputError(f"no batch has an id that begins with '{begins}'; `batchrouter ls` lists them")
        if len(found) > 1:
            raise InputError(f"'{told}' is the beginning of several ids: {', '.join(found[:NAMED])}")
        return found[0]

    def batch(self, batch_id: str) -> BatchTold:
        return msgspec.convert(self.raw_batch(batch_id), BatchTold)

    def raw_batch(self, batch_id: str) -> dict[str, Any]:
        found: dict[str, Any] = self.get(f"/v1/batches/{quote(batch_id, safe='')}")
        return found

    def act(self, batch_id: str, verb: str) -> dict[str, Any]:
        """`cancel`, `pause` or `resume`: a repeat changes nothing, so it is repeated where no answer came."""
        path = f"/v1/batches/{quote(batch_id, safe='')}/{verb}"
        with self.in_words(), self.newer(batch_id, verb):
            done: dict[str, Any] = msgspec.json.decode(
                self.client.call("POST", self.path(path, {}), b"{}", {"content-type": "application/json"}, again=True)
            )
        return done

    def post(self, path: str, body: object, key: str | None = None) -> Any:
        with self.in_words():
            return self.client.json("POST", self.path(path, {}), body, key=key)

    def summary(self, batch_id: str) -> SummaryTold | None:
        """None from a server that has none to give."""
        try:
            return msgspec.convert(self.get(f"/v1/batches/{quote(batch_id, safe='')}/summary"), SummaryTold)
        except ApiError as error:
            if error.status in ABSENT:
                return None
            raise

    def results(self, batch_id: str, query: Mapping[str, str | int], *, wait_s: int = 0) -> ResultPage:
        path = self.path(f"/v1/batches/{quote(batch_id, safe='')}/results", {**query, "wait": wait_s})
        with self.in_words(), self.newer(batch_id, "results while it runs"):
            return msgspec.json.decode(self.client.call("GET", path, again=True, longer_s=wait_s), type=ResultPage)

    def dashboard(self, batch_id: str) -> str:
        return f"{self.url}/#/batches/{batch_id}"

    # --- how it is asked --------------------------------------------------------------------------------------------

    def get(self, path: str, query: Mapping[str, str | int] | None = None) -> Any:
        with self.in_words():
            return self.client.json("GET", self.path(path, query or {}))

    def path(self, path: str, query: Mapping[str, str | int]) -> str:
        """With whose it is. A server that does not know of acting for others would do it as the key's own tenant."""
        tenant = self.place.tenant
        if not self._tenant_known:
            self._tenant_known = True
            self._require_tenants()
        if tenant is not None:
            query = {"tenant": tenant, **query}
        return f"{path}?{urlencode(query)}" if query else path

    @contextmanager
    def in_words(self) -> Iterator[None]:
        """What a refusal of the key, or silence, means for whoever typed the command."""
        try:
            yield
        except TransportError as error:
            raise TransportError(f"{error}\n{self._where()}") from error
        except ApiError as error:
            if error.status not in FORBIDDEN:
                raise
            raise self._forbidden(error) from error

    @contextmanager
    def newer(self, batch_id: str, what: str) -> Iterator[None]:
        """A route that is absent though its batch is there belongs to a newer server."""
        try:
            yield
        except ApiError as error:
            if error.status not in ABSENT:
                raise
            self.raw_batch(batch_id)  # raises the same 404 in its own words when there is no such batch
            raise InputError(f"the server at {self.url} is too old: it does not know '{what}' of a batch") from error

    def _where(self) -> str:
        return f"  (the url is from {self.place.url_from})\n  Start a server with `batchrouter serve`, or name yours."

    def _forbidden(self, error: ApiError) -> ApiError:
        if self.place.key is None:
            words = f"the server at {self.url} wants an API key: give it by --key or {KEY_VARIABLE}"
        elif error.status == 401:
            words = f"the server at {self.url} does not take the key from {self.place.key_from}: {error.message}"
        else:
            words = f"the key from {self.place.key_from} may not do this: {error.message}"
        return ApiError(error.status, words, code=error.code, headers=error.headers)

    def _require_tenants(self) -> None:
        try:
            with self.in_words():
                self.client.json("GET", "/v1/me")
        except ApiError as error:
            if error.status not in ABSENT:
                raise
            raise InputError(f"the server at {self.url} is too old for --tenant: it would act as the key's own") from (
                error
            )

    def _beginning_with(self, begins: str) -> list[str]:
        found: list[str] = []
        for number, batch in enumerate(self.pages({"search": begins})):
            if str(batch["id"]).startswith(begins):
                found.append(str(batch["id"]))
            if len(found) > NAMED or number >= PAGE * PAGES_SEARCHED:
                break
        return found


def line_told(raw: msgspec.Raw) -> LineTold:
    return msgspec.json.decode(raw, type=LineTold)


__all__ = ["LAST", "URL_VARIABLE", "ResultPage", "Server", "line_told"]
