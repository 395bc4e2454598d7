"""How lines reach an upstream over HTTP/1.1: our own lane client, and aiohttp where a proxy is asked for."""
