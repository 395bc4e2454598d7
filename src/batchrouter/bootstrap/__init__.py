"""Where real things are built: the only package that knows every other, the real clock and the environment.

wiring      what the configuration means to each part
storage     what the configuration names to keep things in, opened
providers   what is known of providers, and the service on top of both: people's side
engine      the engine's side: one worker and what it sends through
embedded    both sides on a data folder: what `run` uses
server      people's side behind the HTTP API, with or without a worker: what `serve` and `api` use
worker      the engine's side with a port for probes: what `worker` uses
children    workers in processes of their own, started again when they end
folders     a data folder looked at without any of these
"""
