"""The simulator as Anthropic: Messages, Message Batches and Models, as strict as the real one where that is known."""

from __future__ import annotations
