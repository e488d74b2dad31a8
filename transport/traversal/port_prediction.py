"""A side takes a new port for every destination, the next one of a counter: predict which one it will be (pure).

Where only one side counts, nothing is guessed. The other side sends its address, the counting side sends to it and asks
a STUN server right before and right after: the port toward the peer lies between the two that the servers saw, and is
sent to the peer. What cross traffic may have taken in between leaves a few ports, ranked by probability
(:func:`transport.nat.next_port.between`). With address-dependent mapping the same is done toward the peer's host,
before its port is known.

Where both count, each must send to a port that the other one's packet to *this* packet's port will come from. Both
send each other the newest port of their counter, and then a burst at one instant. My k-th packet leaves from the k-th
port after the newest, if no cross traffic came in between, and goes to the peer's (k + u)-th. Let s be the number of
flows of cross traffic at my NAT since then, s' at the peer's, u and v what each of us adds. My k-th and the peer's
j-th packet meet if k + u = j + s' and j + v = k + s: so j = k + u - s', and u + v = s + s'. The leading side keeps
u = 0, the other one lets v run through a window from 0 on, and again from another socket (from the same one some would
go where one has gone before, and take no new port). So each time through the window one packet meets, as long as s + s'
is below it, and neither side needs to know s or s'. How large it has to be follows from the cross traffic that both
profiles have measured (:func:`window`).
"""

import math
from collections.abc import Sequence

from transport.ice.pacing import Budget
from transport.nat.compatibility import MappingBehaviour, Technique
from transport.nat.next_port import between
from transport.nat.port_allocation import FIRST_PORT, wrapped
from transport.nat.profile import NatProfile
from transport.net.sockets import Address
from transport.traversal.context import ROUNDS_PER_ATTEMPT
from transport.traversal.probe_round import ANSWERS_S, PACE_S, ProbeRound
from transport.traversal.probe_technique import probe_spec
from transport.traversal.round import RoundPlan, Trigger
from transport.wire.call_messages import Candidates

BUDGET = Budget(packets=240, packets_per_second=170, sockets=6, seconds=3.0)
SECONDS = 5.0
FIRST_ROUND, ROUNDS = 4, 4
# Each is a chance of its own; a foreign flow comes between with 20 of them a second in one of 50 bracketed packets.
SOCKETS = 3
# Ports sent for one socket: two foreign flows between two packets that leave together are a rarity.
MAX_GUESSES = 4
# The peer's address is certain as a rule; where it is one of two, both are tried.
MAX_TARGETS = 2
# From the newest mapping over a slow relay (STUN, candidates, synchronising) into the burst itself.
UNTIL_BURST_S = 1.0
# Of a NAT that has not been measured; what a busy home makes.
CROSS_TRAFFIC_PER_S = 5.0
# Three standard deviations of a Poisson process, and some for what a second's look at it does not show.
DEVIATIONS, SPARE = 3.0, 4
# A quiet counter may have a neighbour all the same; the largest takes 0.8 s to run through twice.
MIN_WINDOW, MAX_WINDOW = 8, 64
TURNS = 2
# Distinct endpoints asked of one socket: the last of them is the newest port.
NEWEST_OF = 3
# The last packet of the other side's burst may have left half a second after ours, and is answered.
CHECK_BURST_S = 0.8


def make_round(plan: RoundPlan) -> ProbeRound:
    """The round that fits the two sides."""
    behaviours = plan.context.strategy
    if behaviours.local is not MappingBehaviour.SEQUENTIAL:
        return StableSide(plan)
    return BothSequential(plan) if behaviours.remote is MappingBehaviour.SEQUENTIAL else SequentialSide(plan)


class BracketingRound(ProbeRound):
    """Brackets a packet to the peer between two STUN requests: its port lies between those that servers see."""

    def __init__(self, plan: RoundPlan, *, max_pairs: int = 64) -> None:
        super().__init__(plan, max_pairs=max_pairs)
        self._bracketed: list[int] = []

    def _bracket(self, socket: int, target: Address, now: float) -> None:
        """With two endpoints, of two hosts where there are two: with address-dependent mapping only those differ."""
        if len(self._servers) < 2:
            return
        first, *others = self._servers
        last = next((server for server in others if server[0] != first[0]), others[-1])
        self._ask(socket, [first], now)
        if self.checks.keys is None:
            self._open_mapping(socket, target, now)
        else:
            self._probe(socket, target, now)
        self._ask(socket, [last], now)
        self._bracketed.append(socket)
        self._answers_until = now + ANSWERS_S

    def _guesses(self) -> list[Address]:
        """The outside addresses of all sockets toward their target, likeliest first."""
        found: list[tuple[float, Address]] = []
        for socket in self._bracketed:
            seen = [[one.mapped for one in each.observations] for each in self.stun.get(socket, [])]
            if len(seen) != 2:
                continue
            before, after = (each[0] if each else None for each in seen)
            known = before or after
            if known is None:
                continue
            ports = between(
                None if before is None else before[1], None if after is None else after[1], self.our_nat.delta
            )
            usable = [guess for guess in ports if guess.port >= FIRST_PORT][:MAX_GUESSES]
            found += [(guess.probability, (known[0], guess.port)) for guess in usable]
        return [address for _, address in sorted(found, key=lambda each: -each[0])]

    def _learn_own(self, socket: int, now: float) -> None:
        """Of a side whose address is known before the peer's: ask for it, or bracket it where it depends on the
        peer's host."""
        if self._is_pinned and self._peer_public:
            self._bracket(socket, self._peer_public[0], now)
        else:
            self._ask(socket, self._servers[:2], now)
            self._answers_until = now + ANSWERS_S

    def _send_own(self, now: float) -> None:
        """What :meth:`_learn_own` has shown, once it is enough."""
        enough = self._is_answered() if self._bracketed else bool(self._observed())
        if self._has_answers(now, enough=enough):
            own = self._guesses() if self._bracketed else [one.mapped for one in self._observed()]
            self._send_addresses(own, now)

    @property
    def _is_pinned(self) -> bool:
        return self.strategy.local is MappingBehaviour.ADDRESS_DEPENDENT_SEQUENTIAL

    def _due(self) -> Sequence[float | None]:
        return (self._answers_until,)


class StableSide(BracketingRound):
    """The side whose address can be sent first: one port for all destinations, or for the peer's host."""

    def _begin(self, now: float) -> None:
        self._open_sockets(2 if self._is_pinned else 1)

    def _socket_opened(self, socket: int, now: float) -> None:
        super()._socket_opened(socket, now)
        if self._peer_public or not self._is_pinned:
            self._learn_own(socket, now)

    def _advance(self, now: float) -> None:
        self._send_own(now)

    def _peer_candidates(self, message: Candidates, now: float) -> None:
        targets = self._addresses(message)
        sockets = [socket for socket, local in self.local.items() if local is not None]
        self.of = self.tried = len(targets)
        self._check_all(sockets, targets, now)


class SequentialSide(BracketingRound):
    """The side that counts, toward an address that the other one has sent."""

    def _begin(self, now: float) -> None:
        """Nothing can be done before the peer's address is known."""

    def _peer_candidates(self, message: Candidates, now: float) -> None:
        for _ in range(SOCKETS if not self.local else 0):
            self._open_socket()

    def _socket_opened(self, socket: int, now: float) -> None:
        super()._socket_opened(socket, now)
        targets = self._addresses(self.peer[-1])[:MAX_TARGETS] if self.peer else []
        if targets:
            self._bracket(socket, targets[len(self._bracketed) % len(targets)], now)
            self._retransmit(now)

    def _advance(self, now: float) -> None:
        if self._has_answers(now, enough=self._is_answered()):
            guesses = self._guesses()
            self.of = self.tried = len(guesses)
            if guesses:
                self._send_addresses(guesses, now)


class BothSequential(ProbeRound):
    """Both count: a burst each, at one instant."""

    def __init__(self, plan: RoundPlan) -> None:
        earlier = max(0, plan.number % ROUNDS_PER_ATTEMPT - FIRST_ROUND)
        self._window = window(plan.context.local or NatProfile(), plan.context.remote or NatProfile(), earlier)
        super().__init__(plan, max_pairs=2 * TURNS * self._window)
        self._observer: int | None = None
        self._senders: list[int] = []
        self._base: Address | None = None
        self._next_at: float | None = None
        self.of = TURNS * self._window

    def _begin(self, now: float) -> None:
        wanted = 2 if self.leads else 1 + TURNS
        opened = self._open_sockets(wanted)
        if len(opened) < wanted:
            self._lose("no-sockets")
            return
        self._observer, *self._senders = opened
        self._send(*self.sync.begin(now))

    def _socket_opened(self, socket: int, now: float) -> None:
        super()._socket_opened(socket, now)
        if socket == self._observer:
            self._ask(socket, self._servers[-NEWEST_OF:], now)
            self._answers_until = now + ANSWERS_S

    def _peer_candidates(self, message: Candidates, now: float) -> None:
        self._base = next(iter(self._addresses(message)), None)

    def _advance(self, now: float) -> None:
        if self._has_answers(now, enough=self._is_answered()):
            seen = self._observed()
            if seen:
                self._send_addresses([max(seen, key=lambda one: one.order).mapped], now)
        if self._base is not None and self.has_sent:
            self._move(Trigger.BOTH_KNOWN)
            if self.sync.starts_at is None:
                self._send(*self.sync.ready(now))
        starts_at = self.sync.starts_at
        if self._base is not None and self.has_sent and starts_at is not None and now >= starts_at:
            self._burst(self._base, now)

    def _burst(self, base: Address, now: float) -> None:
        """As many as may leave at once, in the order of the counter."""
        if self.tried >= self.of or any(self.local.get(sender) is None for sender in self._senders):
            return
        if self.tried == 0:
            self._start_checks(now)
        while self.tried < self.of:
            added = 0 if self.leads else self.tried % self._window
            port = wrapped(base[1] + (1 + self.tried + added) * self.peer_nat.delta)
            sender = self._senders[self.tried // self._window % len(self._senders)]
            if not self._probe(sender, (base[0], port), now):
                break
            self.tried += 1
        self._next_at = now + PACE_S if self.tried < self.of else None
        if self._next_at is None:
            self.ends_at = min(now + CHECK_BURST_S, self.ends_at or now)

    def _due(self) -> Sequence[float | None]:
        is_ready = self._base is not None and self.has_sent and self.tried == 0
        return (self._answers_until, self.sync.starts_at if is_ready else None, self._next_at)


def window(one: NatProfile, other: NatProfile, attempt: int) -> int:
    """How many flows of cross traffic at both NATs together a burst has to allow for, by what both have measured.
    After each attempt in vain there may be more of them than was measured."""
    rates = (
        CROSS_TRAFFIC_PER_S if each.cross_traffic_per_s is None else each.cross_traffic_per_s for each in (one, other)
    )
    # As it was sent: both must come to the same.
    expected = sum(map(math.ceil, rates)) * UNTIL_BURST_S * (1 + attempt)
    wanted = math.ceil(expected + DEVIATIONS * math.sqrt(expected)) + SPARE
    return min(MAX_WINDOW, max(MIN_WINDOW, wanted))


SPEC = probe_spec(
    Technique.PREDICTION, make_round, BUDGET, first=FIRST_ROUND, rounds=ROUNDS, seconds=SECONDS, rest_s=2.0
)
