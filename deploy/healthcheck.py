"""The image's health check: 0 if the process of this container is well, 1 if not. Needs nothing but Python.

Without arguments it asks the ports of `serve` and `api` (8000) and of `worker` (8001) and believes the one that is
listened on; arguments name other ports.
"""

import http.client
import sys

PORTS = (8000, 8001)
TIMEOUT_S = 4.0
"""Below the timeout of HEALTHCHECK, so that it is this program that tells why."""


def status(port: int) -> int | None:
    """Of `/healthz` there; None if nobody listens or answers."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_S / len(PORTS))
    try:
        connection.request("GET", "/healthz")
        return connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()


def main(words: list[str]) -> int:
    ports = [int(word) for word in words] or PORTS
    found = {port: status(port) for port in ports}
    print(", ".join(f"port {port}: {code or 'no answer'}" for port, code in found.items()))
    return 0 if 200 in found.values() else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
