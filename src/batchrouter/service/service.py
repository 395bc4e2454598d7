"""All that people can ask for, in one hand."""

from __future__ import annotations

from batchrouter.domain.webhook_url import OPEN_URLS, UrlRules
from batchrouter.ports.blobs import Blobs
from batchrouter.ports.calls import Calls
from batchrouter.ports.catalog import Catalog
from batchrouter.ports.clock import Chance, Clock
from batchrouter.ports.results import Results
from batchrouter.ports.wake import Wake
from batchrouter.ports.webhooks import WebhookCatalog
from batchrouter.service.batches import Batches
from batchrouter.service.checks import Checks
from batchrouter.service.files import Files
from batchrouter.service.following import Following
from batchrouter.service.intake import MemoryScratch, ScratchMaker
from batchrouter.service.keys import Keys
from batchrouter.service.limits import ServiceLimits
from batchrouter.service.providers import ProviderBook
from batchrouter.service.quotas import RequestQuotas
from batchrouter.service.quotes import Quotes
from batchrouter.service.results import LineResults
from batchrouter.service.retrying import Retrying
from batchrouter.service.steering import Steering
from batchrouter.service.summaries import Summaries
from batchrouter.service.uploads import Uploads
from batchrouter.service.watching import Watching
from batchrouter.service.webhooks import Webhooks


class Service:
    """`scratch` makes the space in which the ids of a very long input are compared."""

    def __init__(
        self,
        *,
        catalog: Catalog,
        calls: Calls,
        blobs: Blobs,
        clock: Clock,
        chance: Chance,
        wake: Wake,
        quotes: Quotes,
        checks: Checks,
        providers: ProviderBook,
        results: Results,
        webhooks: WebhookCatalog,
        webhook_urls: UrlRules = OPEN_URLS,
        limits: ServiceLimits | None = None,
        scratch: ScratchMaker = MemoryScratch,
    ) -> None:
        self.limits = limits or ServiceLimits()
        self.clock = clock
        self.chance = chance
        self.files = Files(catalog, calls, blobs, clock, chance, self.limits, scratch)
        self.uploads = Uploads(self.files, catalog, calls, blobs, clock, chance, self.limits)
        self.keys = Keys(catalog, calls, clock, chance)
        self.batches = Batches(catalog, calls, clock, chance, wake, self.limits, quotes, self.keys)
        self.steering = Steering(catalog, calls, clock, wake, self.batches)
        self.quotes = quotes
        self.results = LineResults(results, calls, blobs, clock)
        self.retrying = Retrying(results, calls, blobs, clock, self.batches)
        self.summaries = Summaries(results, self.results, calls, blobs, clock)
        self.watching = Watching(results, calls, clock)
        self.following = Following(self.batches, self.results, self.watching, catalog, calls, clock)
        self.checks = checks
        self.providers = providers
        self.request_quotas = RequestQuotas(catalog, calls, clock)
        self.webhooks = Webhooks(webhooks, calls, clock, chance, wake, webhook_urls)
