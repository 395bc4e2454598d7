"""Speed and memory of BatchRouter, measured as a user would run it: `make bench`, or `python -m benchmarks --help`.

The server is a process of its own on one core; upstream, client and this harness share the other. The floor is the
reference client of the folder `shared` beside the checkout, measured in the same run and pinned likewise: quote ratios,
not seconds. CPU is user plus system time of the whole serving process, from /proc.
"""
