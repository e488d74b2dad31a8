"""A UDP station in a namespace, which gets its orders line by line: the hands of the prober in the kernel laboratory.

    python -m tests.netlab.station

Each line of stdin is a :data:`Command`, each answer one line of JSON; the end of stdin is the end of the station.
A socket that serves answers by itself; ``stun_station`` gives it the words.
"""

import json
import os
import select
import socket
import sys
import time
from collections import deque
from collections.abc import Callable
from typing import Any, Literal

import msgspec

MAX_DATAGRAM_BYTES = 2_048
# Nobody reads more; the oldest go.
MAX_KEPT = 100

Address = tuple[str, int]
Answer = Callable[[bytes, Address], bytes | None]
"""What a serving socket says to a datagram, if anything."""


class Command(msgspec.Struct, frozen=True):
    """``local`` is the socket, by the address it was opened on; port 0 is any. ``data`` is hexadecimal.

    ``receive`` waits for at most ``wait_s`` and answers {"data", "source"} or {}.
    """

    do: Literal["open", "serve", "send", "receive"]
    local: Address
    to: Address | None = None
    data: str = ""
    ttl: int = 64
    wait_s: float = 0.0


class Station:
    """The sockets and what they have received."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self._sockets: dict[Address, socket.socket] = {}
        self._got: dict[Address, deque[tuple[bytes, Address]]] = {}
        self._servers: set[Address] = set()

    def descriptors(self) -> dict[int, Address]:
        return {udp.fileno(): local for local, udp in self._sockets.items()}

    def command(self, command: Command) -> dict[str, Any]:
        match command.do:
            case "open" | "serve":
                is_ipv6 = ":" in command.local[0]
                udp = socket.socket(socket.AF_INET6 if is_ipv6 else socket.AF_INET, socket.SOCK_DGRAM)
                udp.bind(command.local)
                udp.setblocking(False)
                local = (command.local[0], udp.getsockname()[1])
                self._sockets[local] = udp
                self._got[local] = deque(maxlen=MAX_KEPT)
                if command.do == "serve":
                    self._servers.add(local)
                return {"port": local[1]}
            case "send" if command.to is not None:
                udp = self._sockets[command.local]
                if udp.family == socket.AF_INET:
                    udp.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, command.ttl)
                else:
                    udp.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS, command.ttl)
                try:
                    udp.sendto(bytes.fromhex(command.data), command.to)
                except OSError as error:
                    return {"error": str(error)}
            case "receive":
                return self._receive(command)
        return {}

    def read(self, local: Address) -> None:
        """Something has come to a socket."""
        try:
            data, address = self._sockets[local].recvfrom(MAX_DATAGRAM_BYTES)
        except OSError:
            return  # an ICMP error of an earlier packet
        # An IPv6 address has a flow label and a scope behind it.
        source: Address = (address[0], address[1])
        if local not in self._servers:
            self._got[local].append((data, source))
            return
        answer = self._answer(data, source)
        if answer is not None:
            self._sockets[local].sendto(answer, source)

    def wait(self, seconds: float) -> None:
        """Read whatever comes, for a while or until something has come."""
        descriptors = self.descriptors()
        ready, _, _ = select.select(list(descriptors), [], [], max(0.0, seconds))
        for descriptor in ready:
            self.read(descriptors[descriptor])

    def close(self) -> None:
        for udp in self._sockets.values():
            udp.close()

    def _receive(self, command: Command) -> dict[str, Any]:
        end = time.monotonic() + command.wait_s
        got = self._got[command.local]
        while not got and time.monotonic() < end:
            self.wait(end - time.monotonic())
        if not got:
            return {}
        data, source = got.popleft()
        return {"data": data.hex(), "source": source}


def run(answer: Answer) -> None:
    """Serve until stdin ends."""
    station = Station(answer)
    pending, stdin = b"", sys.stdin.fileno()
    print(json.dumps({"ready": "station"}), flush=True)
    try:
        while True:
            descriptors = station.descriptors()
            ready, _, _ = select.select([stdin, *descriptors], [], [])
            for descriptor in ready:
                if descriptor != stdin:
                    station.read(descriptors[descriptor])
            if stdin in ready:
                read = os.read(stdin, 65_536)
                if not read:
                    return
                *lines, pending = (pending + read).split(b"\n")
                for line in lines:
                    print(json.dumps(station.command(msgspec.json.decode(line, type=Command))), flush=True)
    finally:
        station.close()


if __name__ == "__main__":
    run(lambda data, source: None)
