"""What the documentation lists, made from the code: calls, settings, commands, metrics."""
