"""Two people's agents, or two of aioice's ICE agents, on real sockets in two namespaces: one process, one clock.

    python -m tests.netlab.traversal_station OPTIONS     (OPTIONS: JSON of :class:`Options`)

Each line of stdin is a :class:`Command`, each answer one line of JSON: an :class:`Answer`. What travels on a call's
control stream is handed over here, and takes the time that it would take over the relay; everything else is packets.
The agents are the product's own, and so are their sockets (:mod:`transport.io.udp`).
"""

import asyncio
import contextlib
import ctypes
import heapq
import os
import random
import sys
import time
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass
from typing import Literal

import aioice
import msgspec

from tests.natsim.clock import Timer
from tests.natsim.network import TTL_HOPS, Address, Receiver
from tests.natsim.traversal_run import TraversalSide
from transport.ice.candidates import HostAddress
from transport.io.nat_measurement import measure_profile
from transport.io.udp import UdpSocket
from transport.nat.profile import NatProfile
from transport.traversal.agent import AgentConfig, State
from transport.traversal.events import Begin, Prepare, RelayRoundTrip, Stop, TraversalMessageReceived
from transport.wire import call_messages

CLONE_NEWNET = 0x4000_0000
# Three rounds of punching and the phases after them are over by then, and the first attempts of an agent.
FOLLOWED_S = 20.0
# What is still under way when both have a path is waited for.
AFTERWARDS_S = 0.2
# DESIGN §4: a profile is refreshed before a call when it is older.
PROFILE_LASTS_S = 60.0


class Person(msgspec.Struct, frozen=True):
    """Where a side is: the namespace of its host, and the host's address there."""

    namespace: str
    ip: str


class Options(msgspec.Struct, frozen=True):
    """``one_way_s``: from one person to the other over the relay, for what the control stream carries."""

    people: tuple[Person, Person]
    stun: tuple[Address, ...]
    one_way_s: float


class Command(msgspec.Struct, frozen=True):
    """One call. ``turned``: the second person calls. ``early``: a contact, so that both may begin when it begins to
    ring; they begin at the answer else, and have gathered for ``ring_s``. ``profiled``: what the programs' own
    profilers find out of the NATs is known when the call begins."""

    by: Literal["agent", "aioice"]
    seed: int
    ring_s: float
    turned: bool = False
    early: bool = False
    profiled: bool = True


class Side(msgspec.Struct, frozen=True):
    """Seconds since the answer, or since it began to ring where the call was ``early``; None: not in FOLLOWED_S."""

    direct_s: float | None
    first_check_s: float | None
    failed_s: float | None = None
    """When the first run had failed."""
    reason: str = ""
    via: str = ""
    packets: int = 0
    sockets: int = 0


class Answer(msgspec.Struct, frozen=True):
    """The caller's and the callee's side. ``is_one_path``: each has the one that the other has."""

    sides: tuple[Side, Side]
    is_one_path: bool

    @property
    def direct_s(self) -> float | None:
        """When both had the path."""
        one, other = (side.direct_s for side in self.sides)
        return max(one, other) if self.is_one_path and one is not None and other is not None else None

    @property
    def decided_s(self) -> float | None:
        """When both had given up their first attempt, where there is no path."""
        ends = [side.failed_s for side in self.sides if side.failed_s is not None]
        return max(ends) if self.direct_s is None and len(ends) == len(self.sides) else None


@contextlib.contextmanager
def inside(namespace: str) -> Iterator[None]:
    """Sockets that are opened within the block are in that namespace (setns(2)), for this thread."""
    libc = ctypes.CDLL(None, use_errno=True)

    def enter(descriptor: int) -> None:
        if libc.setns(descriptor, CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), f"no way into {namespace}")

    ours = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    try:
        theirs = os.open(f"/run/netns/{namespace}", os.O_RDONLY)
        try:
            enter(theirs)
        finally:
            os.close(theirs)
        try:
            yield
        finally:
            enter(ours)
    finally:
        os.close(ours)


class RealClock:
    """The simulator's clock by the loop's time. It stands still while something is being done, as that one does, and
    what is due is done before what comes next."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self.now = loop.time()
        self._heap: list[tuple[float, int, Timer]] = []
        self._made = 0
        self._handle: asyncio.TimerHandle | None = None
        self._happened = asyncio.Event()

    def at(self, when: float, action: Callable[[], None]) -> Timer:
        self._made += 1
        timer = Timer(when, action)
        heapq.heappush(self._heap, (when, self._made, timer))
        self._arm()
        return timer

    def after(self, seconds: float, action: Callable[[], None]) -> Timer:
        return self.at(self.now + seconds, action)

    def catch_up(self) -> None:
        """Do what is due."""
        while self._heap and self._heap[0][0] <= self._loop.time():
            timer = heapq.heappop(self._heap)[2]
            if not timer.cancelled:
                self.now = max(self.now, self._loop.time())
                timer.action()
        self.now = max(self.now, self._loop.time())
        self._happened.set()
        self._arm()

    def stop(self) -> None:
        """Nothing more happens."""
        self._heap.clear()
        self._arm()

    async def run(self, seconds: float, until: Callable[[], bool]) -> None:
        """Let ``seconds`` pass, or less if ``until`` becomes true."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while not until():
                    self._happened.clear()
                    await self._happened.wait()
        self.catch_up()

    def _arm(self) -> None:
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None
        if self._heap:
            self._handle = self._loop.call_at(self._heap[0][0], self.catch_up)


@dataclass(frozen=True, slots=True)
class _Interface:
    ip: str


class RealHost:
    """What a side of a run needs of a host, with the product's sockets in a namespace."""

    def __init__(self, person: Person, clock: RealClock, toward: Address) -> None:
        self._person = person
        self._clock = clock
        self._toward = toward
        self._sockets: dict[int, UdpSocket] = {}

    @property
    def open_ports(self) -> tuple[int, ...]:
        return tuple(self._sockets)

    def open(self, receiver: Receiver, port: int = 0) -> int:
        def receive(source: Address, data: bytes) -> None:
            self._clock.catch_up()
            receiver(data, source)
            self._clock.catch_up()

        with inside(self._person.namespace):
            udp = UdpSocket("0.0.0.0", self._toward, receive, asyncio.get_running_loop(), port)
        self._sockets[udp.local[1]] = udp
        return udp.local[1]

    def send(self, port: int, destination: Address, data: bytes, *, ttl: int = TTL_HOPS) -> None:
        udp = self._sockets.get(port)
        if udp is not None:
            udp.send(destination, data, None if ttl == TTL_HOPS else ttl)

    def close(self, port: int) -> None:
        udp = self._sockets.pop(port, None)
        if udp is not None:
            udp.close()

    def toward(self, ip: str) -> _Interface:
        return _Interface(self._person.ip)

    def close_all(self) -> None:
        for port in list(self._sockets):
            self.close(port)


class Profiles:
    """What the programs' profilers have found out of the two networks, kept as long as the programs keep it."""

    def __init__(self, options: Options) -> None:
        self._stun = options.stun
        self._made: dict[Person, tuple[float, NatProfile]] = {}

    async def of(self, person: Person, seed: int) -> NatProfile:
        now = time.monotonic()
        made_at, profile = self._made.get(person, (0.0, None))
        if profile is None or now > made_at + PROFILE_LASTS_S:
            # Nobody else opens sockets meanwhile.
            with inside(person.namespace):
                profile = await measure_profile(self._stun, _hosts(person), random.Random(seed), online=True)
            self._made[person] = now, profile
        return profile


async def run(options: Options, command: Command, known: Profiles) -> Answer:
    """One call with the product's agents."""
    loop, rng = asyncio.get_running_loop(), random.Random(command.seed)
    one_way_s = options.one_way_s
    people = options.people[::-1] if command.turned else options.people
    profiles = [await known.of(person, rng.getrandbits(64)) if command.profiled else None for person in people]
    clock = RealClock(loop)
    hosts = [RealHost(person, clock, options.stun[0]) for person in people]
    sides = []
    for number, (person, host, profile) in enumerate(zip(people, hosts, profiles, strict=True)):
        numbers = iter(range(1_000_000))
        config = AgentConfig(
            controlling=number == 0,
            stun=options.stun,
            hosts=_hosts(person),
            new_socket=numbers.__next__,
            profile=profile,
        )
        # The simulator's side knows of its host and clock only what these have.
        sides.append(TraversalSide(host, config, random.Random(rng.getrandbits(64)), clock))  # type: ignore[arg-type]
    caller, callee = sides
    for side, other in ((caller, callee), (callee, caller)):
        side.send_to_peer = lambda message, to=other: _carry(clock, one_way_s, to, message)  # type: ignore[misc]
        side.submit(RelayRoundTrip(2 * one_way_s))
        side.submit(Prepare())
    try:
        if not command.early:
            await clock.run(command.ring_s, lambda: False)
        began = clock.now
        callee.submit(Begin())
        clock.after(one_way_s, lambda: caller.submit(Begin()))
        await clock.run(FOLLOWED_S, lambda: _is_over(sides))
        if all(side.log.found for side in sides):
            await clock.run(AFTERWARDS_S, lambda: False)
        return Answer((_side(caller, began), _side(callee, began)), _is_one_path(sides))
    finally:
        for side in sides:
            side.submit(Stop("over"))
        clock.stop()
        for host in hosts:
            host.close_all()


def _hosts(person: Person) -> tuple[HostAddress, ...]:
    return (HostAddress(person.ip, 24, "eth0"),)


def _carry(clock: RealClock, one_way_s: float, to: TraversalSide, message: call_messages.PeerMessage) -> None:
    if isinstance(
        message, call_messages.Candidates | call_messages.Connect | call_messages.ConnectAck | call_messages.Sync
    ):
        received = TraversalMessageReceived(message)
        clock.after(one_way_s, lambda: to.submit(received))


def _is_over(sides: list[TraversalSide]) -> bool:
    settled = (State.SETTLED, State.STOPPED)
    return all(side.log.found for side in sides) or all(side.agent.state in settled for side in sides)


def _is_one_path(sides: list[TraversalSide]) -> bool:
    if not all(side.log.found for side in sides):
        return False
    mine, theirs = (side.log.found[-1][1] for side in sides)
    return (mine.remote, mine.mapped) == (theirs.mapped, theirs.remote)


def _side(side: TraversalSide, began: float) -> Side:
    log = side.log
    failed = [changed.status for changed in log.phases if changed.status.outcome == "failed"]
    return Side(
        direct_s=None if log.direct_at is None else log.direct_at - began,
        first_check_s=None if log.first_check_at is None else log.first_check_at - began,
        failed_s=failed[0].ended - began if failed and failed[0].ended is not None else None,
        reason=failed[0].reason if failed else "",
        via=log.found[-1][1].via if log.found else "",
        packets=len(log.sent),
        sockets=sum(status.sockets for status in side.agent.phases()),
    )


async def ice(options: Options, command: Command) -> Answer:
    """The same call with aioice: gathered while it rings, candidates exchanged from the answer on."""
    loop, one_way_s = asyncio.get_running_loop(), options.one_way_s
    people = options.people[::-1] if command.turned else options.people
    agents = []
    for number, person in enumerate(people):
        with inside(person.namespace):
            agent = aioice.Connection(ice_controlling=number == 0, stun_server=options.stun[0], use_ipv6=False)
            await agent.gather_candidates()
        agents.append(agent)
    caller, callee = agents
    try:
        began = loop.time()
        # The accept carries the callee's candidates; the caller's come back.
        async with asyncio.TaskGroup() as group:
            ours = group.create_task(_connect(caller, callee, began, one_way_s))
            theirs = group.create_task(_connect(callee, caller, began, 2 * one_way_s))
        sides = (ours.result(), theirs.result())
        return Answer(sides, all(side.direct_s is not None for side in sides))
    finally:
        for agent in agents:
            await agent.close()


async def _connect(agent: aioice.Connection, other: aioice.Connection, began: float, after_s: float) -> Side:
    loop = asyncio.get_running_loop()
    await asyncio.sleep(began + after_s - loop.time())
    for candidate in other.local_candidates:
        await agent.add_remote_candidate(candidate)
    await agent.add_remote_candidate(None)
    agent.remote_username, agent.remote_password = other.local_username, other.local_password
    # The first check leaves at once.
    first_check_s = loop.time() - began
    try:
        async with asyncio.timeout(FOLLOWED_S):
            await agent.connect()
    except (ConnectionError, TimeoutError) as error:
        return Side(None, first_check_s, loop.time() - began, type(error).__name__)
    return Side(loop.time() - began, first_check_s)


async def _whole(call: Coroutine[None, None, Answer]) -> Answer:
    """A call in which a callback has failed is no call."""
    failures: list[BaseException] = []
    asyncio.get_running_loop().set_exception_handler(
        lambda _, about: failures.append(about.get("exception") or RuntimeError(about["message"]))
    )
    answer = await call
    if failures:
        raise failures[0]
    return answer


def main() -> None:
    """The command line."""
    options = msgspec.json.decode(sys.argv[1], type=Options)
    profiles = Profiles(options)
    print(msgspec.json.encode({"ready": "traversal_station"}).decode(), flush=True)
    for line in sys.stdin:
        command = msgspec.json.decode(line, type=Command)
        call = run(options, command, profiles) if command.by == "agent" else ice(options, command)
        answer = asyncio.run(_whole(call))
        print(msgspec.json.encode(answer).decode(), flush=True)


if __name__ == "__main__":
    main()
