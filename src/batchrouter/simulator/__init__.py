"""A scripted model provider: OpenAI's and Anthropic's APIs, answers that can be known beforehand, faults on demand.

It stands alone, on asyncio and httptools, for people who test their batch code and for BatchRouter's own tests.
"""

from __future__ import annotations

from batchrouter.simulator.answers import expected_key
from batchrouter.simulator.log import Entry
from batchrouter.simulator.offline import answer
from batchrouter.simulator.script import Match, Rule, Script, Then, load_script, script_from
from batchrouter.simulator.server import Settings, Simulator

__all__ = [
    "Entry",
    "Match",
    "Rule",
    "Script",
    "Settings",
    "Simulator",
    "Then",
    "answer",
    "expected_key",
    "load_script",
    "script_from",
]
