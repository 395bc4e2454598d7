"""A bucket behind a network that breaks."""
