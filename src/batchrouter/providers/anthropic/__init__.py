"""Anthropic's Messages API, natively."""

from batchrouter.providers.anthropic.draft import Policy
from batchrouter.providers.anthropic.models import Facts, facts_from_listing, facts_of
from batchrouter.providers.anthropic.wire import AnthropicWire

__all__ = ["AnthropicWire", "Facts", "Policy", "facts_from_listing", "facts_of"]
