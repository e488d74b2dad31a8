"""A side takes a new port for every destination, the next one of a counter: say which one it will be.

Where only one side counts, nothing is guessed. The other side tells its address, the counting side sends to it and
asks a STUN server right before and right after: the port toward the peer lies between the two that the servers saw,
and is told to the peer. What strangers' flows may have taken in between leaves a few ports, ranked by chance
(:func:`transport.nat.port_allocation.between`). With address-dependent mapping the same is done toward the peer's
host, before its port is known.

Where both count, each must send to a port that the other one's packet to *this* packet's port will come from. Both
tell the newest port of their counter and send a burst at one instant. My k-th packet leaves from the k-th port after
the newest, if no strangers' flows came in between, and goes to the peer's (k + u)-th. Let s be the number of
strangers' flows at my NAT since I told, s' at the peer's, u and v what each of us adds. My k-th and the peer's j-th
packet meet if k + u = j + s' and j + v = k + s: so j = k + u - s', and u + v = s + s'. The leading side keeps u = 0,
the other one lets v run through a window from 0 on, and again from another socket (from the same one some would go
where one has gone before, and take no new port). So each time through the window one packet meets, as long as s + s'
is below it, and neither side needs to know s or s'. How large it has to be follows from what both profiles have
measured of strangers (:func:`window`).
"""

import math
from random import Random

from transport.ice.pacing import Budget
from transport.ice.start_sync import Synchroniser, SyncMessage
from transport.nat.compatibility import MappingBehaviour, Technique
from transport.nat.port_allocation import Guess, between
from transport.nat.profile import NatProfile
from transport.net.sockets import Address
from transport.traversal.hard_phase import HardKind
from transport.traversal.probe_round import ProbePlan, ProbeRound
from transport.traversal.technique import ROUNDS_PER_ATTEMPT
from transport.wire.call_messages import Candidates

BUDGET = Budget(packets=240, packets_per_second=170, sockets=6, seconds=3.0)
SECONDS = 5.0
FIRST_ROUND, ROUNDS = 4, 4
# Each is a chance of its own; a stranger's flow comes between with 20 of them a second in one of 50 sandwiches.
SOCKETS = 3
# Ports told of one socket: two strangers' flows between two packets that leave together are a rarity.
MAX_GUESSES = 4
# The peer's address is certain as a rule; where it is one of two, both are tried.
MAX_TARGETS = 2
# From the first answer on, the others are on their way or lost; a lost one is asked again after 0.1 s.
ANSWERS_S = 0.35
# From the newest mapping over a slow relay (STUN, telling, synchronising) into the burst itself.
UNTIL_BURST_S = 1.0
# Of a NAT that has not told; what a busy home makes.
STRANGERS_PER_S = 5.0
# Three standard deviations of a Poisson process, and some for what a second's look at it does not tell.
DEVIATIONS, SPARE = 3.0, 4
# A quiet counter may have a neighbour all the same; the largest takes 0.8 s to run through twice.
MIN_WINDOW, MAX_WINDOW = 8, 64
TURNS = 2
PACE_S = 0.006
FIRST_PORT, LAST_PORT = 1_024, 65_535
# Distinct endpoints asked of one socket: the last of them is the newest port.
NEWEST_OF = 3


def make_round(plan: ProbePlan, rng: Random) -> ProbeRound:
    """The round that fits the two sides."""
    if plan.strategy.local is MappingBehaviour.SEQUENTIAL:
        return (
            BothSequential(plan, rng)
            if plan.strategy.remote is MappingBehaviour.SEQUENTIAL
            else SequentialSide(plan, rng)
        )
    return StableSide(plan, rng)


class BracketingRound(ProbeRound):
    """Questions before and after, and what follows from the answers."""

    def __init__(self, plan: ProbePlan, rng: Random, *, max_pairs: int = 64) -> None:
        super().__init__(plan, rng, max_pairs=max_pairs)
        self._sandwiches: list[int] = []
        self._tell_at: float | None = None

    def _servers(self) -> tuple[Address, Address] | None:
        """Two endpoints, of two hosts where there are two: with address-dependent mapping only those differ."""
        stun = self.plan.stun
        other = next((server for server in stun[1:] if server[0] != stun[0][0]), stun[-1] if stun else None)
        return None if other is None or other == stun[0] else (stun[0], other)

    def _sandwich(self, socket: int, target: Address, now: float) -> None:
        servers = self._servers()
        if servers is None:
            return
        self._ask(socket, servers[:1], now)
        if self.checks.keys is None:
            self._knock(socket, target, now)
        else:
            self._probe(socket, target, now)
        self._ask(socket, servers[1:], now)
        self._sandwiches.append(socket)
        self._tell_at = now + ANSWERS_S

    def _guesses(self) -> list[Address]:
        """The outside addresses of all sockets toward their target, likeliest first."""
        found: list[tuple[float, Address]] = []
        for socket in self._sandwiches:
            seen = [[one.mapped for one in each.observations] for each in self.queries.get(socket, [])]
            if len(seen) != 2:
                continue
            before, after = (each[0] if each else None for each in seen)
            known = before or after
            if known is None:
                continue
            ports = between(
                None if before is None else before[1], None if after is None else after[1], self.plan.local.delta
            )
            found += [(guess.probability, (known[0], guess.port)) for guess in _usable(ports)]
        return [address for _, address in sorted(found, key=lambda each: -each[0])]

    def _due(self) -> list[float | None]:
        return [self._tell_at]


class StableSide(BracketingRound):
    """The side whose address can be told first: fixed, or pinned to the peer's host."""

    def _begin(self, now: float) -> None:
        self._open_socket()
        if self.plan.strategy.local is MappingBehaviour.ADDRESS_DEPENDENT_SEQUENTIAL:
            self._open_socket()
        if not self.local:
            self._lose("no-sockets")

    def _is_open(self, socket: int, now: float) -> None:
        if self.plan.strategy.local is MappingBehaviour.ADDRESS_DEPENDENT_SEQUENTIAL:
            if self.plan.peer_public:
                self._sandwich(socket, self.plan.peer_public[0], now)
        else:
            self._ask(socket, self.plan.stun[:2], now)
            self._tell_at = now + ANSWERS_S

    def _tick(self, now: float) -> None:
        if self._tell_at is None or (now < self._tell_at and not self._is_known()):
            return
        self._tell_at = None
        if self.plan.strategy.local is MappingBehaviour.ADDRESS_DEPENDENT_SEQUENTIAL:
            self._tell(self._guesses())
        else:
            self._tell(
                [one.mapped for queries in self.queries.values() for each in queries for one in each.observations]
            )

    def _is_known(self) -> bool:
        if self.plan.strategy.local is MappingBehaviour.ADDRESS_DEPENDENT_SEQUENTIAL:
            return self._answered()
        return bool(self._observed())

    def _peer_told(self, message: Candidates, now: float) -> None:
        targets = self._addresses(message)
        sockets = [socket for socket, local in self.local.items() if local is not None]
        self.of = self.tried = len(targets)
        self._check_all(sockets, targets, now)


class SequentialSide(BracketingRound):
    """The side that counts, toward an address that the other one has told."""

    def _begin(self, now: float) -> None:
        """Nothing can be done before the peer has told."""

    def _peer_told(self, message: Candidates, now: float) -> None:
        for _ in range(SOCKETS if not self.local else 0):
            self._open_socket()

    def _is_open(self, socket: int, now: float) -> None:
        if self.peer is not None:
            targets = self._addresses(self.peer)[:MAX_TARGETS]
            if targets:
                self._sandwich(socket, targets[len(self._sandwiches) % len(targets)], now)
                self._insist(now)

    def _tick(self, now: float) -> None:
        if self._tell_at is not None and (now >= self._tell_at or self._answered()):
            self._tell_at = None
            guesses = self._guesses()
            self.of = self.tried = len(guesses)
            if guesses:
                self._tell(guesses)


class BothSequential(ProbeRound):
    """Both count: a burst each, at one instant."""

    def __init__(self, plan: ProbePlan, rng: Random) -> None:
        self._window = window(plan.local, plan.remote, max(0, plan.number % ROUNDS_PER_ATTEMPT - FIRST_ROUND))
        super().__init__(plan, rng, max_pairs=2 * TURNS * self._window)
        self._sync = Synchroniser(plan.number, leads=plan.leads)
        self._observer: int | None = None
        self._senders: list[int] = []
        self._tell_at: float | None = None
        self._base: Address | None = None
        self._start_at: float | None = None
        self._next_at: float | None = None
        self.of = TURNS * self._window

    def _begin(self, now: float) -> None:
        self._observer = self._open_socket()
        wanted = 1 if self.plan.leads else TURNS
        opened = [self._open_socket() for _ in range(wanted)]
        self._senders = [socket for socket in opened if socket is not None]
        if self._observer is None or len(self._senders) < wanted:
            self._lose("no-sockets")
            return
        self._say(*self._sync.begin(now))

    def _is_open(self, socket: int, now: float) -> None:
        if socket == self._observer:
            self._ask(socket, self.plan.stun[-NEWEST_OF:], now)
            self._tell_at = now + ANSWERS_S

    def _peer_told(self, message: Candidates, now: float) -> None:
        told = self._addresses(message)
        self._base = told[0] if told else None

    def _heard(self, message: SyncMessage, now: float) -> None:
        self._say(*self._sync.heard(message, now))

    def _tick(self, now: float) -> None:
        if self._tell_at is not None and (now >= self._tell_at or self._answered()):
            self._tell_at = None
            seen = self._observed()
            if seen:
                self._tell([max(seen, key=lambda one: one.order).mapped])
        if self.told and self._base is not None and self._start_at is None:
            self._say(*self._sync.ready(now))
            self._start_at = self._sync.starts_at
        if self._start_at is not None and now >= self._start_at and self.tried < self.of:
            self._burst(now)

    def _burst(self, now: float) -> None:
        """As many as may leave at once, in the order of the counter."""
        if self._base is None or any(self.local.get(sender) is None for sender in self._senders):
            return
        if self.tried == 0:
            self._run(self.checks.run(now), now)
        while self.tried < self.of:
            added = 0 if self.plan.leads else self.tried % self._window
            port = moved(self._base[1], (1 + self.tried + added) * self.plan.remote.delta)
            sender = self._senders[self.tried // self._window % len(self._senders)]
            if not self._probe(sender, (self._base[0], port), now):
                break
            self.tried += 1
        self._next_at = now + PACE_S if self.tried < self.of else None
        if self._next_at is None:
            self.ends_at = min(now + CHECK_BURST_S, self.ends_at or now)

    def _due(self) -> list[float | None]:
        return [self._tell_at, self._start_at if self.tried == 0 else None, self._next_at]


# The last packet of the other side's burst may have left half a second after ours, and is answered.
CHECK_BURST_S = 0.8


def window(one: NatProfile, other: NatProfile, attempt: int) -> int:
    """How many strangers' flows at both NATs together a burst has to allow for, by what both have measured. After each
    attempt in vain there may be more of them than was measured."""
    rates = (STRANGERS_PER_S if each.strangers_per_s is None else each.strangers_per_s for each in (one, other))
    # As it was told: both must come to the same.
    expected = sum(map(math.ceil, rates)) * UNTIL_BURST_S * (1 + attempt)
    wanted = math.ceil(expected + DEVIATIONS * math.sqrt(expected)) + SPARE
    return min(MAX_WINDOW, max(MIN_WINDOW, wanted))


def moved(port: int, by: int) -> int:
    """A port further on, as a counter goes that leaves out the well-known ports (RFC 4787 §4.2.1)."""
    return FIRST_PORT + (port - FIRST_PORT + by) % (LAST_PORT - FIRST_PORT + 1)


def _usable(guesses: tuple[Guess, ...]) -> list[Guess]:
    return [guess for guess in guesses if guess.port >= FIRST_PORT][:MAX_GUESSES]


KIND = HardKind(
    Technique.PREDICTION, first=FIRST_ROUND, rounds=ROUNDS, budget=BUDGET, seconds_in_all=SECONDS, make=make_round
)
