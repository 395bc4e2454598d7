"""What the configured providers serve, asked of themselves: `GET /v1/models` of each, kept for a minute."""

from __future__ import annotations

import asyncio
import fnmatch
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import msgspec

from batchrouter.domain.origin import Origin
from batchrouter.errors import ConfigError, ReplyTooLarge
from batchrouter.ports.clock import Clock

if TYPE_CHECKING:
    import ssl

    import aiohttp

log = logging.getLogger(__name__)

KEEP_S = 60.0
TIMEOUT_S = 5.0
REPLY_MAX_BYTES = 8 * 1024 * 1024
"""A longer list is taken for none."""


PAGES_MAX = 20


class _Model(msgspec.Struct):
    id: str


class _List(msgspec.Struct):
    """A page. Only Anthropic's have more than one ("List Models": `has_more`, `last_id`, `after_id`)."""

    data: list[msgspec.Raw]
    has_more: bool = False
    last_id: str | None = None


_LIST = msgspec.json.Decoder(_List)
_MODEL = msgspec.json.Decoder(_Model)


@dataclass(frozen=True, slots=True, kw_only=True)
class Upstream:
    """Where a provider lists its models, and the globs or names that its configuration lists. `headers` carry its
    key. `paged`: a page of the list is not the whole of it."""

    base_url: str
    headers: Mapping[str, str]
    verify_tls: bool
    ca_file: str | None
    models: tuple[str, ...]
    paged: bool = False


class ListingFailed(Exception):
    """`why`: the kind of what failed; `status`: of the reply, if there was one."""

    def __init__(self, why: str, status: int | None) -> None:
        super().__init__(why)
        self.why = why
        self.status = status


class UpstreamModels:
    def __init__(self, providers: Mapping[str, Upstream], clock: Clock) -> None:
        self._providers = providers
        self._clock = clock
        self._kept: dict[str, list[str]] = {}
        self._asked_s: float | None = None
        self._session: aiohttp.ClientSession | None = None
        self._lock = asyncio.Lock()

    async def names(self, aliases: Mapping[str, str]) -> list[tuple[str, str]]:
        """(name to use in a line, provider), aliases first. A provider that does not answer is told by the names that
        its configuration lists without wildcards."""
        async with self._lock:
            if self._asked_s is None or self._clock.mono_s() - self._asked_s > KEEP_S:
                found = await asyncio.gather(*(self._ask(name, each) for name, each in self._providers.items()))
                self._kept = dict(zip(self._providers, found, strict=True))
                self._asked_s = self._clock.mono_s()
        names = {alias: target.partition("/")[0] for alias, target in aliases.items()}
        lone = len(self._providers) == 1
        for provider, models in self._kept.items():
            globs = self._providers[provider].models
            for model in models:
                plain = lone or any(fnmatch.fnmatchcase(model, glob) for glob in globs)
                names.setdefault(model if plain else f"{provider}/{model}", provider)
        return list(names.items())

    async def entries(self, provider: str) -> list[dict[str, Any]]:
        """The provider's own list as it stands, asked now; empty when it does not answer."""
        return [msgspec.json.decode(each) for each in await self._listed(provider)]

    async def aclose(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def _ask(self, name: str, provider: Upstream) -> list[str]:
        models = [_MODEL.decode(each).id for each in await self._listed(name)]
        listed = [model for model in provider.models if not any(c in model for c in "*?[")]
        return list(dict.fromkeys([*models, *listed]))

    async def _listed(self, name: str) -> list[msgspec.Raw]:
        """The entries of all pages, each an object with an `id`; none when it does not answer."""
        try:
            return await self._pages(name)
        except ListingFailed as error:
            log.info("provider %s does not list its models: %s", name, error.why)
            return []

    async def ask(self, name: str) -> int:
        """How many models that provider lists now. Raises `ListingFailed`."""
        return len(await self._pages(name))

    async def _pages(self, name: str) -> list[msgspec.Raw]:
        import aiohttp  # heavy, and not needed before somebody asks

        if self._session is None:
            timeout = aiohttp.ClientTimeout(total=TIMEOUT_S)
            self._session = aiohttp.ClientSession(timeout=timeout, trust_env=True)
        provider = self._providers[name]
        entries: list[msgspec.Raw] = []
        query = {"limit": "1000"} if provider.paged else {}
        try:
            for _ in range(PAGES_MAX):
                page = await self._page(self._session, provider, query)
                for entry in page.data:
                    _MODEL.decode(entry)
                entries += page.data
                if not (provider.paged and page.has_more and page.last_id):
                    break
                query["after_id"] = page.last_id
        except (aiohttp.ClientError, TimeoutError, msgspec.DecodeError, ReplyTooLarge, ConfigError) as error:
            raise ListingFailed(type(error).__name__, getattr(error, "status", None)) from error
        return entries

    async def _page(self, session: aiohttp.ClientSession, provider: Upstream, query: Mapping[str, str]) -> _List:
        async with session.get(
            f"{provider.base_url.rstrip('/')}/models",
            params=query,
            headers=provider.headers,
            ssl=_trust(provider),
            allow_redirects=False,
        ) as reply:
            reply.raise_for_status()
            data = bytearray()
            # A single `read(n)` returns what has arrived, not all.
            async for part in reply.content.iter_any():
                data += part
                if len(data) > REPLY_MAX_BYTES:
                    raise ReplyTooLarge(f"the list of models is larger than {REPLY_MAX_BYTES} bytes")
        return _LIST.decode(data)


def _trust(provider: Upstream) -> ssl.SSLContext | bool:
    """What aiohttp takes: lines and lists trust the same. Raises `ConfigError` when `ca_file` cannot be used."""
    from batchrouter.adapters.http.tls import tls_context

    url = urlsplit(provider.base_url)
    return tls_context(Origin(url.scheme, url.hostname or "", 0, provider.verify_tls, provider.ca_file)) or True
