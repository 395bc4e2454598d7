"""`python -m batchrouter.simulator`: the simulator without the rest of BatchRouter."""

from __future__ import annotations

import argparse
import sys

from batchrouter.errors import ConfigError
from batchrouter.simulator.command import ServeOptions, serve


def parser() -> argparse.ArgumentParser:
    usual = ServeOptions()
    words = argparse.ArgumentParser(prog="python -m batchrouter.simulator", description="A scripted model provider.")
    words.add_argument("--host", default=usual.host)
    words.add_argument("--port", type=int, default=usual.port, help="0 for a free one")
    words.add_argument("--script", metavar="FILE", help="YAML or JSON; the options below win over it")
    words.add_argument("--seed", type=int, help="another seed gives every body another latency")
    words.add_argument("--latency", help="seconds: 0.3, 0.2..0.4 or lognormal:MEDIAN[:SIGMA[:MAX]]")
    words.add_argument("--in-flight", type=int, help="answered at full speed up to this many at once")
    words.add_argument("--reject-above", type=int, help="refused beyond this many at once (needs --in-flight)")
    words.add_argument("--reject-status", type=int, choices=(429, 503))
    words.add_argument("--retry-after-s", type=float, help="Retry-After of those refusals")
    words.add_argument("--rpm", type=float, help="enforced limit of requests per minute")
    words.add_argument("--tpm", type=float, help="enforced limit of tokens per minute")
    words.add_argument("--api-key", help="the only key that is let in; else any")
    words.add_argument("--models", action="extend", nargs="+", default=[], help="globs; other models get 404")
    words.add_argument("--log-path", metavar="FILE", help="append the request log to this file")
    words.add_argument("--log-limit", type=int, default=usual.log_limit, help="requests kept in memory")
    words.add_argument("--keep-bodies", action="store_true", help="headers and bodies in the log too")
    words.add_argument("--certfile", help="serve TLS with this certificate")
    words.add_argument("--keyfile")
    words.add_argument("--batch-dialect", default=usual.batch_dialect, help="whose files and batches stand under /v1")
    words.add_argument("--exit-with-stdin", action="store_true", help="stop when standard input ends")
    words.add_argument("--json", action="store_true", help="print the url as JSON")
    return words


def main() -> int:
    given = vars(parser().parse_args())
    given["models"] = tuple(given["models"])
    try:
        serve(ServeOptions(**given))
    except ConfigError as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
