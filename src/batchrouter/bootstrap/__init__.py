"""Where real things are built: the only package that knows every other, the real clock and the environment.

wiring      what the configuration means to each part
embedded    store, blobs, transport and one worker on a data folder: what `run` uses
server      an `Embedded` with the HTTP API in front of it: what `serve` uses
folders     a data folder looked at without any of these
"""
