"""Both sides take a random port of a subscriber's small block for every destination: flow after flow (pure).

A flow of mine leaves from a random port p of my block, toward a port q of the peer's block. It meets one of the
peer's if that one left from q toward p. With flows n and n' alive at one time in blocks of b and b' ports, n·n'/(b·b')
of them are expected to meet: a quarter with half of each block, so one generation of mappings rarely does. But NATs
forget, and every new flow meets the peer's living ones with probability n'/(b·b'). So flows are made at the pace at
which the NAT forgets them, for as long as that takes. Which of the peer's ports a flow aims at does not matter as long
as it lies in the block: those between the ones that servers have seen.

It uses up to half of the subscriber's ports, so people must have asked for it, on both sides (DESIGN §5).
"""

from collections import deque
from collections.abc import Sequence

from transport.ice.pacing import MAPPING_LIFE_S, MAX_LIVE_MAPPINGS, Budget
from transport.ice.stun_client import StunClient
from transport.nat.compatibility import Technique
from transport.nat.mapping_lifetime import SILENCES_S
from transport.nat.port_blocks import estimate_block
from transport.net.sockets import Address
from transport.traversal.probe_round import ANSWERS_S, PACE_S, ProbeRound
from transport.traversal.probe_technique import probe_spec
from transport.traversal.round import RoundPlan
from transport.wire.call_messages import Candidates

SECONDS = 300.0
BUDGET = Budget(packets=20_000, packets_per_second=170, sockets=8, seconds=SECONDS)
# So many flows may aim at one port of the peer's; each further socket is one more.
SOCKETS = 8
# Sockets that ask where they come from, and the endpoints that each of them asks.
ASKING_SOCKETS = 4
ENDPOINTS = 3
BLOCK_SHARE = 2
# RFC 4787 REQ-5: no NAT may forget sooner than in two minutes. Most do; until that is seen it is believed.
BELIEVED_LIFE_S = 120.0
# The requests themselves take some time.
LIFE_MARGIN_S = 0.5
# A flow from the same socket to the same port is none that is new: so often another one is drawn.
DRAWS = 4
PAIRS = 4 * MAX_LIVE_MAPPINGS


class BlockSearch(ProbeRound):
    """Flows from a few sockets to random ports between those that the peer has sent; both sides do the same."""

    def __init__(self, plan: RoundPlan) -> None:
        super().__init__(plan, max_pairs=PAIRS)
        self.live = _share_of_block(self.our_nat.block or ())
        """Flows that the NAT may know of at one time."""
        self.life_s = min(self.our_nat.life_s or BELIEVED_LIFE_S, BELIEVED_LIFE_S)
        self._host = ""
        self._range: tuple[int, int] | None = None
        self._next_at: float | None = None
        self._flows: deque[tuple[float, int, Address]] = deque()
        self._alive: set[tuple[int, Address]] = set()
        self._silences: list[tuple[float, float, int, Address, Address]] = []
        self._again: list[tuple[float, StunClient, Address]] = []

    def _begin(self, now: float) -> None:
        self._open_sockets(SOCKETS)

    def _socket_opened(self, socket: int, now: float) -> None:
        super()._socket_opened(socket, now)
        if len(self.stun) < ASKING_SOCKETS:
            self._ask(socket, self._servers[:ENDPOINTS], now)
            self._answers_until = now + ANSWERS_S

    def _peer_candidates(self, message: Candidates, now: float) -> None:
        seen = self._addresses(message)
        block = estimate_block([port for _, port in seen])
        if block is not None and self._range is None:
            self._host = seen[0][0]
            self._range = (block.low, block.high)
            self._next_at = now
            self._start_checks(now)

    def _advance(self, now: float) -> None:
        if self._has_answers(now, enough=self._is_answered()):
            seen = [one.mapped for one in self._observed()]
            self.live = _share_of_block([*(self.our_nat.block or ()), *(port for _, port in seen)])
            self._send_addresses(seen, now)
            self._watch(now)
        self._learn(now)
        if self._next_at is not None and now >= self._next_at and self.has_sent:
            self._flow(now)

    def _flow(self, now: float) -> None:
        sockets = [socket for socket, local in self.local.items() if local is not None]
        self._next_at = now + max(PACE_S, self.life_s / self.live)
        if self._range is None or not sockets:
            return
        while self._flows and now - self._flows[0][0] > self.life_s:
            _, used, aimed = self._flows.popleft()
            self._alive.discard((used, aimed))
            self.checks.forget(used, aimed)
        for _ in range(DRAWS):
            socket, target = self.context.rng.choice(sockets), (self._host, self.context.rng.randint(*self._range))
            if (socket, target) not in self._alive:
                break
        if self._probe(socket, target, now):
            self.tried += 1
            self._flows.append((now, socket, target))
            self._alive.add((socket, target))

    def _watch(self, now: float) -> None:
        """Ask each socket's first server again, each after another silence."""
        for (socket, clients), silence in zip(self.stun.items(), SILENCES_S, strict=False):
            seen = clients[0].observations
            if seen:
                self._silences.append((now + silence, silence, socket, seen[0].server, seen[0].mapped))

    def _learn(self, now: float) -> None:
        """What the silences have shown: a port that has changed was forgotten."""
        for entry in [entry for entry in self._silences if now >= entry[0]]:
            self._silences.remove(entry)
            _, silence, socket, server, mapped = entry
            if socket in self.local:
                self._ask(socket, [server], now)
                self._again.append((silence, self.stun[socket][-1], mapped))
        for again in tuple(self._again):
            silence, clients, mapped = again
            if clients.done:
                self._again.remove(again)
                if any(one.mapped != mapped for one in clients.observations):
                    self.life_s = min(self.life_s, silence + LIFE_MARGIN_S)

    def _due(self) -> Sequence[float | None]:
        return (self._answers_until, self._next_at if self.has_sent else None, *(entry[0] for entry in self._silences))


def _share_of_block(ports: Sequence[int]) -> int:
    """Half of the likely block around these ports of ours, but for the questions to servers; what was seen of it is
    always less than all of it."""
    block = estimate_block(ports)
    size = 0 if block is None else block.likely_size
    return min(MAX_LIVE_MAPPINGS, max(SOCKETS, size // BLOCK_SHARE - ASKING_SOCKETS * ENDPOINTS))


SPEC = probe_spec(Technique.BLOCKS, BlockSearch, BUDGET, first=12, rounds=1, seconds=SECONDS, rest_s=MAPPING_LIFE_S)
