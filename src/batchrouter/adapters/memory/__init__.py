"""In-memory doubles: shipped, and held to the same suites as what they stand for."""

from batchrouter.adapters.memory.clock import FixedChance, StepClock
from batchrouter.adapters.memory.store import MemoryCatalog, MemoryLedger, MemoryStore

__all__ = ["FixedChance", "MemoryCatalog", "MemoryLedger", "MemoryStore", "StepClock"]
