"""What a relay carries: ``python -m tests.bench.bench_relay``. Figures of this machine, to be read as ratios.

The relay runs in a process of its own, under its own loop; this one makes the load. Both share the machine's cores,
so the packets per second of CPU, which the load does not touch, are what compares.
"""

import asyncio
import contextlib
import json
import os
import resource
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from relay.config import Ready, RelayConfig
from relay.limits import RelayLimits
from relay.server import relay_loop_factory, run_relay
from tests.bench.figures import Figure, Section, machine
from tests.unit.relay.live import Guest, Udp, log_in
from tests.unit.relay.people import call_id
from transport.net.token_bucket import Rate
from transport.wire.addresses import parse_relay
from transport.wire.relay_messages import Answer, Answered, Ended, Granted, HangUp, Incoming, Invite, Ring, Ringing

ROOT = Path(__file__).parents[2]
MEASURE_S = 3.0
# A sealed voice packet: 60 to 110 bytes of Opus, RTP, QUIC and its tag.
PACKET = b"\x40" + bytes(119)
# Packets on their way at once: enough to keep the relay busy, few enough for every socket buffer.
WINDOW = 64
IDLE_CLIENTS = 2_000
CALLING_PAIRS = 16
# Handshakes at once while clients come: a relay that restarts sees such a crowd.
CROWD = 20
UNLIMITED = Rate(1e9, 1e9)
LIMITS = RelayLimits(
    session=UNLIMITED,
    sessions_per_address=10 * IDLE_CLIENTS,
    registration=UNLIMITED,
    registration_address=UNLIMITED,
    invite=UNLIMITED,
    invite_address=UNLIMITED,
    messages=UNLIMITED,
    leg_packets=UNLIMITED,
    # Legs outlast their call by seconds, so at hundreds of calls a second thousands are held.
    calls=1_000_000,
    # All of them come from one address.
    calls_per_address=1_000_000,
    calls_per_56=1_000_000,
    calls_per_48=1_000_000,
)


# -- the other process -------------------------------------------------------------------------------------------


def serve_relay(folder: str) -> None:
    """A relay without limits; says where it is."""

    def on_ready(ready: Ready) -> None:
        print(json.dumps({"address": str(ready.address), "media": ready.media_port}), flush=True)

    with asyncio.Runner(loop_factory=relay_loop_factory()) as runner:
        runner.run(run_relay(RelayConfig(Path(folder), ("127.0.0.1",), 0, drain_s=0.0, limits=LIMITS), on_ready))


def serve_echo() -> None:
    """The least that a Python process can do with a datagram: send it back."""
    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    udp.bind(("127.0.0.1", 0))
    print(json.dumps({"address": "", "media": udp.getsockname()[1]}), flush=True)
    buffer = bytearray(2_048)
    view = memoryview(buffer)
    while True:
        size, source = udp.recvfrom_into(buffer)
        udp.sendto(view[:size], source)


@dataclass(frozen=True, slots=True)
class Served:
    """A child process and where it serves."""

    process: subprocess.Popen[str]
    address: str
    port: int

    def cpu_s(self) -> float:
        """User and system time so far (proc(5), fields 14 and 15)."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def memory_mb(self) -> float:
        """Resident memory."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        [line] = [line for line in status.splitlines() if line.startswith("VmRSS:")]
        return int(line.split()[1]) / 1024


@contextlib.contextmanager
def child(*arguments: str) -> Iterator[Served]:
    command = [sys.executable, "-m", "tests.bench.bench_relay", *arguments]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            ready = json.loads(process.stdout.readline())
            yield Served(process, ready["address"], ready["media"])
        finally:
            process.kill()


# -- measurements ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Flow:
    """Packets that came through."""

    per_s: float
    per_cpu_s: float
    lost: int


def flow(served: Served, sender: socket.socket, receiver: socket.socket) -> Flow:
    """Keep a window of packets on their way for a while."""
    receiver.settimeout(0.2)
    end = time.perf_counter() + MEASURE_S
    start, cpu_s = time.perf_counter(), served.cpu_s()
    came = lost = 0
    for _ in range(WINDOW):
        sender.sendto(PACKET, ("127.0.0.1", served.port))
    while time.perf_counter() < end:
        try:
            receiver.recv(2_048)
        except TimeoutError:
            lost += WINDOW
            for _ in range(WINDOW):
                sender.sendto(PACKET, ("127.0.0.1", served.port))
            continue
        came += 1
        sender.sendto(PACKET, ("127.0.0.1", served.port))
    seconds = time.perf_counter() - start
    return Flow(came / seconds, came / max(0.01, served.cpu_s() - cpu_s), lost)


def ready_of(served: Served) -> Ready:
    return Ready(parse_relay(served.address), served.port, (), None)


async def legs(served: Served, one: Udp, two: Udp) -> list[Guest]:
    """A call whose legs are bound to two sockets."""
    bob, ann = await log_in(ready_of(served), 1, claim="bob"), await log_in(ready_of(served), 2)
    ann.connection.send(Invite(call_id(1), "bob"))
    granted, incoming = await ann.receive(), await bob.receive()
    assert isinstance(granted, Granted) and isinstance(incoming, Incoming)
    await one.bind(granted.leg)
    await two.bind(incoming.leg)
    bob.connection.send(Answer(call_id(1)))
    await ann.receive()
    return [ann, bob]


def forwarding() -> tuple[Flow, Flow]:
    """The relay, and the plain echo."""
    with tempfile.TemporaryDirectory() as folder, child("relay", folder) as served, Udp() as one, Udp() as two:

        async def main() -> None:
            for guest in await legs(served, one, two):
                guest.connection.close()

        # The call is answered, so its legs carry it without sessions.
        asyncio.run(main())
        relayed = flow(served, one.blocking(), two.blocking())
    with child("echo") as served, Udp() as one:
        echoed = flow(served, one.blocking(), one.blocking())
    return relayed, echoed


def idle_clients() -> tuple[int, float, float, float]:
    """Registered clients, MB of relay memory before and with them, and clients that came per second."""
    with tempfile.TemporaryDirectory() as folder, child("relay", folder) as served:
        before_mb = served.memory_mb()

        async def main() -> tuple[float, float]:
            guests: list[Guest] = []
            crowd = asyncio.Semaphore(CROWD)

            async def come(number: int) -> None:
                async with crowd:
                    guests.append(await log_in(ready_of(served), number, claim=f"name-{number}"))

            start = time.perf_counter()
            async with asyncio.TaskGroup() as group:
                for number in range(IDLE_CLIENTS):
                    group.create_task(come(number))
            seconds = time.perf_counter() - start
            with_mb = served.memory_mb()
            for guest in guests:
                guest.connection.close()
            return with_mb, IDLE_CLIENTS / seconds

        with_mb, per_s = asyncio.run(main())
    return IDLE_CLIENTS, before_mb, with_mb, per_s


def call_set_ups() -> tuple[float, float]:
    """Whole calls (invite, ring, answer, hang up) per second, and per second of the relay's CPU."""
    with tempfile.TemporaryDirectory() as folder, child("relay", folder) as served:

        async def main() -> tuple[float, float]:
            callees = [await log_in(ready_of(served), 2 * n, claim=f"name-{n}") for n in range(CALLING_PAIRS)]
            callers = [await log_in(ready_of(served), 2 * n + 1) for n in range(CALLING_PAIRS)]
            made = 0
            end = time.perf_counter() + MEASURE_S

            async def pair(number: int) -> None:
                nonlocal made
                caller, callee = callers[number], callees[number]
                turn = 0
                while time.perf_counter() < end:
                    turn += 1
                    this = call_id(number * 10**9 + turn)
                    caller.connection.send(Invite(this, f"name-{number}"))
                    granted = await caller.receive()
                    assert isinstance(granted, Granted), granted
                    incoming = await callee.receive()
                    assert isinstance(incoming, Incoming), incoming
                    callee.connection.send(Ring(this))
                    assert await caller.receive() == Ringing(this)
                    callee.connection.send(Answer(this))
                    assert await caller.receive() == Answered(this)
                    caller.connection.send(HangUp(this))
                    assert isinstance(await callee.receive(), Ended)
                    made += 1

            start, cpu_s = time.perf_counter(), served.cpu_s()
            async with asyncio.TaskGroup() as group:
                for number in range(CALLING_PAIRS):
                    group.create_task(pair(number))
            seconds, cpu_s = time.perf_counter() - start, served.cpu_s() - cpu_s
            for guest in (*callers, *callees):
                guest.connection.close()
            return made / seconds, made / max(0.01, cpu_s)

        return asyncio.run(main())


def run() -> Section:
    """All of it."""
    # A socket for each client, which is more than most systems allow by default.
    before, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(most, IDLE_CLIENTS + 1_000) if most > 0 else 4_096, most))
    try:
        relayed, echoed = forwarding()
        count, before_mb, with_mb, per_s = idle_clients()
        calls_per_s, calls_per_cpu_s = call_set_ups()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (before, most))
    load = f"{len(PACKET)}-byte packets from another process, {WINDOW} under way, {MEASURE_S:.0f} s"
    return Section(
        "The relay",
        (
            Figure("packets forwarded", f"{relayed.per_s:,.0f} /s", f"{load}; {relayed.lost} lost"),
            Figure("the same by a plain UDP echo loop", f"{echoed.per_s:,.0f} /s", f"same load; {echoed.lost} lost"),
            Figure("packets forwarded", f"{relayed.per_cpu_s:,.0f} /s of CPU", "of the relay's process alone"),
            Figure("the same by a plain UDP echo loop", f"{echoed.per_cpu_s:,.0f} /s of CPU", "of its process alone"),
            Figure("CPU for a packet, relay : echo", f"{echoed.per_cpu_s / relayed.per_cpu_s:.2f}", "from those two"),
            Figure("memory, nobody connected", f"{before_mb:.0f} MB", "RSS"),
            Figure(f"memory, {count:,} idle clients", f"{with_mb:.0f} MB", "RSS; QUIC sessions with a registered name"),
            Figure("idle clients", f"{count / (with_mb - before_mb):.1f} /MB", "from those two"),
            Figure("log-ins with registration", f"{per_s:,.0f} /s", f"{CROWD} at a time; clients share the machine"),
            Figure(
                "calls set up and ended",
                f"{calls_per_s:,.0f} /s",
                f"invite, both legs granted, ring, accept, hang up; {CALLING_PAIRS} pairs, {MEASURE_S:.0f} s",
            ),
            Figure("calls set up and ended", f"{calls_per_cpu_s:,.0f} /s of CPU", "of the relay's process alone"),
        ),
    )


def main() -> None:
    if sys.argv[1:2] == ["relay"]:
        serve_relay(sys.argv[2])
    elif sys.argv[1:2] == ["echo"]:
        serve_echo()
    else:
        print(machine())
        Console().print(run().table())


if __name__ == "__main__":
    main()
