"""One side takes a random port for every destination, the other one has one address: the birthday paradox.

The random side opens socket after socket, and each sends to the other side's one address; so one of its ports after
the other lets that address in. The other side sends from its one socket to the random side's ports in shuffled order.
With n sockets and m ports tried among K, they have met with probability 1 - (1 - n/K)^m. It does not matter which
comes first: a port that has been tried lets the random side in when a later socket gets it. So both go on at the same
pace (n·m is the largest then), and the random side gives up its oldest socket when it has too many, since the ports
that were tried before remain open for the next. The roles in the text that this grew from were the wrong way round
(DESIGN §6.1): the ports that the random side has toward a STUN server say nothing about those toward the peer.

Where the ports come from a small block, those in it are tried first (:func:`transport.nat.port_blocks.ports_outwards`).
"""

from collections import deque
from collections.abc import Iterator
from random import Random

from transport.ice.pacing import MAX_SOCKETS, Budget
from transport.nat.compatibility import MappingBehaviour, Technique
from transport.nat.port_blocks import all_ports, estimate_block, ports_outwards
from transport.net.sockets import Address
from transport.traversal.hard_phase import HardKind
from transport.traversal.port_prediction import ANSWERS_S, BracketingRound
from transport.traversal.probe_round import ProbePlan, ProbeRound
from transport.wire.call_messages import Candidates

SECONDS = 10.0
BUDGET = Budget(packets=1_600, packets_per_second=170, sockets=MAX_SOCKETS, seconds=SECONDS)
# A second attempt begins only when the first could not: no sockets, or the other side was not there.
ROUNDS = 2
# The machine's allowance gives 170 packets a second; what it does not give is asked for again so soon.
PACE_S = 0.006
# Answers to checks that succeed must not wait behind those that do not: so many packets are never used up.
SLOTS_PER_S = 160
# Sockets being opened that have not said so yet.
MAX_OPENING = 16
# Each refusal lowers the number of sockets to what there was; when they go on, nothing more is asked for.
MAX_REFUSED = 32
# Sockets that ask where they come from, so that the other side learns the block.
ASKING_SOCKETS = 4
# Endpoints that each of them asks.
ENDPOINTS = 3
# A subscriber's block is also the flows that the people in the house can have: DESIGN §5.
BLOCK_SHARE = 4
# So many sockets, and so many doors: of the smallest tables that routers have (1,024 entries) a quarter is left to the
# house. A door that has been tried lets every later socket in, and meets the 256 that are open, so m of each are
# m²/2 + 256·m pairs or so: a miss in one of 1,200 attempts.
MAX_MAPPINGS = 768
# At one time; beside them a punch has three, and the call its own.
MAX_HARD_SOCKETS = MAX_SOCKETS - 6


def make_round(plan: ProbePlan, rng: Random) -> ProbeRound:
    """The round that fits the two sides."""
    if plan.strategy.local in (MappingBehaviour.ENDPOINT_INDEPENDENT, MappingBehaviour.ADDRESS_DEPENDENT_SEQUENTIAL):
        return FixedSide(plan, rng)
    return RandomSide(plan, rng)


class Pace:
    """So many turns a second, none saved up beyond one."""

    __slots__ = ("_next",)

    def __init__(self) -> None:
        self._next: float | None = None

    def due(self, now: float) -> bool:
        """Whether there is a turn now; it is taken."""
        if self._next is None or now >= self._next:
            self._next = max(now - PACE_S, self._next or now) + 1 / SLOTS_PER_S
            return True
        return False

    @property
    def next(self) -> float | None:
        """When the next one is."""
        return self._next


class FixedSide(BracketingRound):
    """One address; tries the other side's ports."""

    def __init__(self, plan: ProbePlan, rng: Random, *, ports_outwards: int = MAX_MAPPINGS) -> None:
        """``doors``: ports to be tried."""
        super().__init__(plan, rng, max_pairs=ports_outwards + 8)
        self._doors: Iterator[int] | None = None
        self._host = ""
        self._pace = Pace()
        self.of = ports_outwards

    def _begin(self, now: float) -> None:
        if self._open_socket() is None:
            self._lose("no-sockets")

    def _is_open(self, socket: int, now: float) -> None:
        if self.plan.strategy.local is MappingBehaviour.ADDRESS_DEPENDENT_SEQUENTIAL and self.plan.peer_public:
            self._sandwich(socket, self.plan.peer_public[0], now)
        else:
            self._ask(socket, self.plan.stun[:2], now)
            self._tell_at = now + ANSWERS_S

    def _peer_told(self, message: Candidates, now: float) -> None:
        told = self._addresses(message)
        if not told or self._doors is not None:
            return
        self._host = told[0][0]
        self.rng.shuffle(told)
        block = (
            estimate_block([port for _, port in told]) if self.plan.strategy.remote is MappingBehaviour.BLOCK else None
        )
        self._doors = all_ports(self.rng) if block is None else ports_outwards(block, self.rng)
        self._run(self.checks.run(now), now)

    def _tick(self, now: float) -> None:
        if self._tell_at is not None and (now >= self._tell_at or self._is_known()):
            self._tell_at = None
            self._tell(self._own())
        socket = next(iter(self.local), None)
        if self._doors is None or socket is None or not self.told:
            return
        while self.tried < self.of and self._pace.due(now):
            port = next(self._doors, None)
            if port is None or not self._probe(socket, (self._host, port), now):
                break
            self.tried += 1

    def _is_known(self) -> bool:
        if self._sandwiches:
            return self._answered()
        return bool(self._observed())

    def _own(self) -> list[Address]:
        if self._sandwiches:
            return self._guesses()
        return [one.mapped for one in self._observed()]

    def _due(self) -> list[float | None]:
        trying = self._doors is not None and self.told and self.tried < self.of
        return [self._tell_at, self._pace.next if trying else None]


class RandomSide(ProbeRound):
    """Random ports: opens many sockets, each toward the other side's one address."""

    def __init__(
        self, plan: ProbePlan, rng: Random, *, sockets: int = MAX_HARD_SOCKETS, mappings: int | None = None
    ) -> None:
        """``sockets`` at once, ``mappings`` in all: by default as many as one attempt may make, of a block no more
        than a quarter, questions to servers included."""
        super().__init__(plan, rng, max_pairs=sockets + 8)
        block = plan.local.block
        self.of = mappings or MAX_MAPPINGS
        if plan.strategy.local is MappingBehaviour.BLOCK and block is not None:
            # What was seen of it is never more than there is.
            share = (block[1] - block[0] + 1) // BLOCK_SHARE - ASKING_SOCKETS * ENDPOINTS
            self.of = min(self.of, max(ASKING_SOCKETS * 2, share))
        self._sockets = min(sockets, self.of)
        self._targets: list[Address] = []
        self._waiting: deque[int] = deque()
        self._trying: deque[int] = deque()
        self._asking: list[int] = []
        self._tell_at: float | None = None
        self._refused = 0
        self._pace = Pace()

    def _begin(self, now: float) -> None:
        if self.plan.strategy.local is MappingBehaviour.BLOCK:
            # The last attempt's flows still have ports of the same few.
            self.of = max(0, self.of - self.plan.allowance.live_mappings(now))
            if not self.of:
                self._lose("table-full")
                return
        for _ in range(ASKING_SOCKETS):
            socket = self._open_socket()
            if socket is not None:
                self._asking.append(socket)
        if not self._asking:
            self._lose("no-sockets")
        elif self.plan.strategy.local is MappingBehaviour.RANDOM and self.plan.local.reflexive is not None:
            # Which ports it has does not matter: the other side can begin.
            self._tell([self.plan.local.reflexive])

    def _is_open(self, socket: int, now: float) -> None:
        if socket in self._asking and not self.told:
            self._ask(socket, self.plan.stun[:ENDPOINTS], now)
            self._tell_at = now + ANSWERS_S
        self._waiting.append(socket)

    def _peer_told(self, message: Candidates, now: float) -> None:
        self._targets = self._addresses(message)[:2]
        self._run(self.checks.run(now), now)

    def _tick(self, now: float) -> None:
        if self._tell_at is not None:
            done = len(self.queries) == len(self._asking) and all(
                each.done for queries in self.queries.values() for each in queries
            )
            if done or now >= self._tell_at:
                self._tell_at = None
                seen = [
                    one.mapped for queries in self.queries.values() for each in queries for one in each.observations
                ]
                if seen:
                    self._tell(seen)
        if self._targets and self.told:
            self._go_on(now)

    def _go_on(self, now: float) -> None:
        while self._waiting and self.tried < self.of and self._pace.due(now):
            socket = self._waiting.popleft()
            if socket not in self.local:
                continue
            # Where the other side's port is one of two, each has its share of the sockets.
            if not self._probe(socket, self._targets[self.tried % len(self._targets)], now):
                self._waiting.appendleft(socket)
                break
            self.tried += 1
            self._trying.append(socket)
        wanted = min(self.of - self.tried, MAX_OPENING)
        while len(self._waiting) + self._opening() < wanted:
            if len(self.local) >= self._sockets and not self._drop_oldest():
                break
            if self._open_socket() is None:
                if not self._drop_oldest():
                    self.of = self.tried
                break

    def _is_lost(self, socket: int, now: float) -> None:
        """Probably the operating system's limit of open files: so many are what there is."""
        self._refused += 1
        self._sockets = max(1, min(self._sockets, len(self.local)))
        if self._refused >= MAX_REFUSED:
            self.of = self.tried

    def _opening(self) -> int:
        return sum(local is None for local in self.local.values())

    def _drop_oldest(self) -> bool:
        """Its port lets nobody in from now on, but the next one may be among those that were tried."""
        while self._trying:
            oldest = self._trying.popleft()
            if oldest in self.local and oldest not in self.checks.heard_on:
                self._close([oldest])
                return True
        return False

    def _reason(self) -> str:
        return "few-sockets" if self.tried < ASKING_SOCKETS * 2 and self.peer is not None else super()._reason()

    def _due(self) -> list[float | None]:
        return [self._tell_at, self._pace.next if self._targets and self._waiting and self.tried < self.of else None]


KIND = HardKind(Technique.BIRTHDAY, first=8, rounds=ROUNDS, budget=BUDGET, seconds_in_all=SECONDS, make=make_round)
