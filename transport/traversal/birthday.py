"""One side takes a random port for every destination, the other one has one address: the birthday paradox (pure).

The random side opens socket after socket, and each sends to the other side's one address; so one of its ports after the
other lets that address in. The other side sends from its one socket to the random side's ports in shuffled order. With
n sockets and m ports tried among K, they have met with probability 1 - (1 - n/K)^m. It does not matter which comes
first: a port that has been tried lets the random side in when a later socket gets it. So both go on at the same pace
(n·m is the largest then), and the random side gives up its oldest socket when it has too many, since the ports that
were tried before remain open for the next. The ports that the random side has toward a STUN server say nothing about
those toward the peer (DESIGN §6.1).

Where the ports come from a small block, those in it are tried first
(:func:`transport.nat.port_blocks.candidate_ports`).
"""

from collections import deque
from collections.abc import Iterator, Sequence

from transport.ice.pacing import MAPPING_LIFE_S, MAX_SOCKETS, Budget
from transport.nat.compatibility import MappingBehaviour, Technique
from transport.nat.port_blocks import all_ports, candidate_ports, estimate_block
from transport.net.sockets import Address
from transport.traversal.port_prediction import BracketingRound
from transport.traversal.probe_round import ANSWERS_S, PACE_S, ProbeRound
from transport.traversal.probe_technique import probe_spec
from transport.traversal.round import RoundPlan
from transport.wire.call_messages import Candidates

SECONDS = 10.0
BUDGET = Budget(packets=1_600, packets_per_second=170, sockets=MAX_SOCKETS, seconds=SECONDS)
# A second attempt begins only when the first could not: no sockets, or the other side was not there.
ROUNDS = 2
# Answers to checks that succeed must not wait behind those that do not: so many packets are never used up.
SLOTS_PER_S = 160
# Sockets being opened that are not yet open.
MAX_OPENING = 16
# Each refusal lowers the number of sockets to what there was; when they go on, nothing more is asked for.
MAX_REFUSED = 32
# Sockets that ask where they come from, so that the other side learns the block.
ASKING_SOCKETS = 4
# Endpoints that each of them asks.
ENDPOINTS = 3
# A subscriber's block is also the flows that the people in the house can have: DESIGN §5.
BLOCK_SHARE = 4
# So many sockets, and so many ports: of the smallest tables that routers have (1,024 entries) a quarter is left to the
# house. A port that has been tried lets every later socket in, and meets the 256 that are open, so m of each are
# m²/2 + 256·m pairs or so: a miss in one of 1,200 attempts.
MAX_MAPPINGS = 768
# At one time; beside them a punch has three, and the call its own.
MAX_RANDOM_SOCKETS = MAX_SOCKETS - 6


def make_round(plan: RoundPlan) -> ProbeRound:
    """The round that fits the two sides."""
    is_random = plan.context.strategy.local in (MappingBehaviour.RANDOM, MappingBehaviour.BLOCK)
    return RandomSide(plan) if is_random else FixedSide(plan)


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
    """One address; tries so many of the other side's ``ports``."""

    def __init__(self, plan: RoundPlan, *, ports: int = MAX_MAPPINGS) -> None:
        super().__init__(plan, max_pairs=ports + 8)
        self._ports: Iterator[int] | None = None
        self._host = ""
        self._pace = Pace()
        self.of = ports

    def _begin(self, now: float) -> None:
        self._open_sockets(1)

    def _socket_opened(self, socket: int, now: float) -> None:
        super()._socket_opened(socket, now)
        self._learn_own(socket, now)

    def _peer_candidates(self, message: Candidates, now: float) -> None:
        seen = self._addresses(message)
        if not seen or self._ports is not None:
            return
        self._host = seen[0][0]
        rng = self.context.rng
        rng.shuffle(seen)
        is_block = self.strategy.remote is MappingBehaviour.BLOCK
        block = estimate_block([port for _, port in seen]) if is_block else None
        self._ports = all_ports(rng) if block is None else candidate_ports(block, rng)
        self._start_checks(now)

    def _advance(self, now: float) -> None:
        self._send_own(now)
        socket = next(iter(self.local), None)
        if self._ports is None or socket is None or not self.has_sent:
            return
        while self.tried < self.of and self._pace.due(now):
            port = next(self._ports, None)
            if port is None or not self._probe(socket, (self._host, port), now):
                break
            self.tried += 1

    def _due(self) -> Sequence[float | None]:
        is_trying = self._ports is not None and self.has_sent and self.tried < self.of
        return (*super()._due(), self._pace.next if is_trying else None)


class RandomSide(ProbeRound):
    """Random ports: opens many sockets, each toward the other side's one address. ``sockets`` at once, ``mappings`` in
    all: by default as many as one attempt may make, of a block no more than a quarter, requests to servers included."""

    def __init__(self, plan: RoundPlan, *, sockets: int = MAX_RANDOM_SOCKETS, mappings: int = MAX_MAPPINGS) -> None:
        super().__init__(plan, max_pairs=sockets + 8)
        block = self.our_nat.block
        self._is_block = self.strategy.local is MappingBehaviour.BLOCK
        self.of = mappings
        if self._is_block and block is not None:
            # What was seen of it is never more than there is.
            share = (block[1] - block[0] + 1) // BLOCK_SHARE - ASKING_SOCKETS * ENDPOINTS
            self.of = min(self.of, max(ASKING_SOCKETS * 2, share))
        self._max_sockets = min(sockets, self.of)
        self._targets: list[Address] = []
        self._unused: deque[int] = deque()
        self._used: deque[int] = deque()
        self._asking: list[int] = []
        self._refused = 0
        self._pace = Pace()

    def _begin(self, now: float) -> None:
        if self._is_block:
            # The last attempt's flows still have ports of the same few.
            self.of = max(0, self.of - self.limits.live_mappings(now))
            if not self.of:
                self._lose("table-full")
                return
        self._asking = self._open_sockets(ASKING_SOCKETS)
        if self._asking and not self._is_block and self.our_nat.reflexive is not None:
            # Which ports it has does not matter: the other side can begin.
            self._send_addresses([self.our_nat.reflexive], now)

    def _socket_opened(self, socket: int, now: float) -> None:
        super()._socket_opened(socket, now)
        if socket in self._asking and not self.has_sent:
            self._ask(socket, self._servers[:ENDPOINTS], now)
            self._answers_until = now + ANSWERS_S
        self._unused.append(socket)

    def _peer_candidates(self, message: Candidates, now: float) -> None:
        self._targets = self._addresses(message)[:2]
        self._start_checks(now)

    def _advance(self, now: float) -> None:
        enough = len(self.stun) == len(self._asking) and self._is_answered()
        if self._has_answers(now, enough=enough):
            seen = [one.mapped for one in self._observed()]
            if seen:
                self._send_addresses(seen, now)
        if self._targets and self.has_sent:
            self._send_and_open(now)

    def _send_and_open(self, now: float) -> None:
        while self._unused and self.tried < self.of and self._pace.due(now):
            socket = self._unused.popleft()
            if socket not in self.local:
                continue
            # Where the other side's port is one of two, each has its share of the sockets.
            if not self._probe(socket, self._targets[self.tried % len(self._targets)], now):
                self._unused.appendleft(socket)
                break
            self.tried += 1
            self._used.append(socket)
        wanted = min(self.of - self.tried, MAX_OPENING)
        opening = sum(local is None for local in self.local.values())
        while len(self._unused) + opening < wanted:
            if len(self.local) >= self._max_sockets and not self._close_oldest():
                break
            if self._open_socket() is None:
                if not self._close_oldest():
                    self.of = self.tried
                break
            opening += 1

    def _socket_failed(self, socket: int, now: float) -> None:
        """Probably the operating system's limit of open files: so many are what there is."""
        self._refused += 1
        self._max_sockets = max(1, min(self._max_sockets, len(self.local)))
        if self._refused >= MAX_REFUSED:
            self.of = self.tried

    def _close_oldest(self) -> bool:
        """Its port lets nobody in from now on, but the next one may be among those that were tried."""
        while self._used:
            oldest = self._used.popleft()
            if oldest in self.local and oldest not in self.checks.seen_on:
                self._close([oldest])
                return True
        return False

    def _time_over(self, now: float) -> None:
        if self.tried < ASKING_SOCKETS * 2 and self.peer:
            self._lose("few-sockets")
        else:
            super()._time_over(now)

    def _due(self) -> Sequence[float | None]:
        is_trying = self._targets and self._unused and self.tried < self.of
        return (self._answers_until, self._pace.next if is_trying else None)


# Until the NATs have forgotten the last attempt's mappings the host's limits allow no others.
SPEC = probe_spec(
    Technique.BIRTHDAY, make_round, BUDGET, first=8, rounds=ROUNDS, seconds=SECONDS, rest_s=MAPPING_LIFE_S
)
