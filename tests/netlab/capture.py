"""What crosses an interface of the namespace that this runs in: every UDP datagram over IPv4, both ways.

    python -m tests.netlab.capture INTERFACE

A line of stdin asks for what has been seen since the last one; the answer is one line of JSON: {"packets": [[time,
[source, port], [destination, port], payload in hexadecimal], ...], "missed": how many the kernel had no room for}.
Times are those of ``time.monotonic``, which is one clock for all processes. The end of stdin is the end.
"""

import json
import select
import socket
import struct
import sys
import time
from dataclasses import dataclass
from typing import Any

from tests.netlab.lab import KernelWorld

ETH_P_ALL, ETH_P_IP = 0x0003, 0x0800
SOL_PACKET, PACKET_STATISTICS = 263, 6
IPV4_ADDRESSES = struct.Struct("!12x4s4s")
UDP_HEADER_BYTES = 8
BUFFER_BYTES = 8_000_000

Address = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Seen:
    """One datagram. ``at`` is ``time.monotonic``."""

    at: float
    source: Address
    destination: Address
    payload: bytes


class Capture:
    """The interface of a host, watched from now on."""

    def __init__(self, world: KernelWorld, namespace: str, interface: str = "eth0") -> None:
        self._talker = world.held.start(namespace, "tests.netlab.capture", interface)

    def seen(self) -> list[Seen]:
        """Everything since the last time. Fails when something was missed."""
        answer = self._talker.ask({})
        assert not answer["missed"], answer["missed"]
        return [
            Seen(at, (source[0], source[1]), (destination[0], destination[1]), bytes.fromhex(payload))
            for at, source, destination, payload in answer["packets"]
        ]


def parse(packet: bytes) -> tuple[Address, Address, bytes] | None:
    """Of an unfragmented UDP packet. Checksums are not looked at: on a virtual cable nobody computes them."""
    head = (packet[0] & 0xF) * 4
    if packet[0] >> 4 != 4 or packet[9] != socket.IPPROTO_UDP or len(packet) < head + UDP_HEADER_BYTES:
        return None
    source, destination = IPV4_ADDRESSES.unpack_from(packet)
    ports = struct.unpack_from("!HHH", packet, head)
    payload = packet[head + UDP_HEADER_BYTES : head + ports[2]]
    return (socket.inet_ntoa(source), ports[0]), (socket.inet_ntoa(destination), ports[1]), payload


def main() -> None:
    """The command line."""
    found: list[tuple[float, Address, Address, str]] = []
    with socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(ETH_P_ALL)) as ear:
        ear.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER_BYTES)
        ear.bind((sys.argv[1], ETH_P_ALL))
        ear.setblocking(False)
        say({"ready": sys.argv[1]})
        while True:
            ready, _, _ = select.select([ear, sys.stdin], [], [])
            read_on(ear, found)
            if sys.stdin in ready:
                if not sys.stdin.readline():
                    return
                _, missed = struct.unpack("=II", ear.getsockopt(SOL_PACKET, PACKET_STATISTICS, 8))
                say({"packets": found, "missed": missed})
                found.clear()


def read_on(ear: socket.socket, found: list[tuple[float, Address, Address, str]]) -> None:
    """Take all that has come."""
    while True:
        try:
            packet, about = ear.recvfrom(65_535)
        except BlockingIOError:
            return
        datagram = parse(packet) if about[1] == ETH_P_IP else None
        if datagram is not None:
            found.append((time.monotonic(), datagram[0], datagram[1], datagram[2].hex()))


def say(answer: dict[str, Any]) -> None:
    """One line of JSON to whoever asks."""
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
