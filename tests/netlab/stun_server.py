"""STUN as a relay answers it, RFC 5780 included, with the relay's own code and without its limits.

    python -m tests.netlab.stun_server ENDPOINTS     (ENDPOINTS: JSON, [[ip, port], ...])

Serves until stdin ends.
"""

import json
import select
import socket
import sys
import time

from relay.legs import LegTable
from relay.limits import Limiter, RelayLimits
from relay.media_port import DatagramHandler
from relay.stun_origins import Origins
from transport.net.token_bucket import Rate

MAX_DATAGRAM_BYTES = 2_048
# One prober asks as much as many people do.
NO_LIMIT = Rate(1e9, 1e9)


def main() -> None:
    """The command line."""
    endpoints = [(ip, port) for ip, port in json.loads(sys.argv[1])]
    limits = RelayLimits(stun=NO_LIMIT)
    handler = DatagramHandler(LegTable(limits.leg_packets, b"secret"), Limiter(limits), Origins(endpoints))
    sockets = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in endpoints]
    try:
        for udp, endpoint in zip(sockets, endpoints, strict=True):
            udp.bind(endpoint)
        print(json.dumps({"ready": "stun"}), flush=True)
        while True:
            ready, _, _ = select.select([sys.stdin, *sockets], [], [])
            for number, udp in enumerate(sockets):
                if udp in ready:
                    data, source = udp.recvfrom(MAX_DATAGRAM_BYTES)
                    for (leaving, _), answer in handler.question(data, (number, source), time.monotonic()):
                        sockets[leaving].sendto(bytes(answer), source)
            if sys.stdin in ready and not sys.stdin.readline():
                return
    finally:
        for udp in sockets:
            udp.close()


if __name__ == "__main__":
    main()
