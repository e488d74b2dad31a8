"""The hard phases behind the NATs that they are for: who meets, what it costs, when it stops, and what a liar gains.

Few calls of each kind; the thousands are in tests/bench/bench_hard.py.
"""

import random
from bisect import bisect_right
from dataclasses import dataclass, field, replace

import pytest

from tests.natsim.birthday import chance
from tests.natsim.birthday_pair import meets
from tests.natsim.kinds import KINDS
from tests.natsim.probe_calls import (
    BLOCKS,
    BOTH_BLOCKS,
    BOTH_RANDOM,
    BOTH_SEQUENTIAL,
    CELLS,
    PINNED,
    RANDOM,
    SEQUENTIAL,
    ProbeCell,
    call,
    follow,
    is_one_path,
    peer_host,
    result,
    simulate,
)
from tests.natsim.scenario import Scenario, Side
from tests.natsim.traversal_run import TraversalRun, TraversalSide
from transport.ice.pacing import MAX_LIVE_MAPPINGS, MAX_SOCKETS
from transport.traversal import birthday
from transport.traversal.events import Begin, Prepare, RelayTrouble, Stop
from transport.wire import call_messages

pytestmark = pytest.mark.slow

# DESIGN §5.
PACKETS_PER_S = 200
# Questions of the profile and of the punch, beside what the phase itself may use of a block.
OTHER_FLOWS = 40
WATCH_S = 0.5
# A call between two blocks that is direct within a minute, as half of them are.
SOON = 6


@dataclass
class Watch:
    """Looks at both NATs and both limits twice a second."""

    run: TraversalRun
    ports: list[int] = field(default_factory=lambda: [0, 0])
    """The most that were in use at one time."""

    def begin(self) -> "Watch":
        self._look()
        return self

    def _look(self) -> None:
        now = self.run.clock.now
        for number, simulated in enumerate(self.run.world.sides):
            self.ports[number] = max(self.ports[number], len(simulated.gateways[-1].nat.ports_in_use(now)))
        for side in self.run.sides:
            assert side.limits.sockets <= MAX_SOCKETS
            assert side.limits.live_mappings(now) <= MAX_LIVE_MAPPINGS
        self.run.clock.after(WATCH_S, self._look)


def check_limits(run: TraversalRun, watch: Watch) -> None:
    """What every machine keeps to, whatever it tries."""
    for number, side in enumerate(run.sides):
        assert side.log.most_open <= MAX_SOCKETS
        assert side.log.busiest_second() <= PACKETS_PER_S
        assert watch.ports[number] <= MAX_LIVE_MAPPINGS


def check_nothing_is_left(run: TraversalRun) -> None:
    """After a win or the end: one socket, or none; nothing drawn, and somebody else may begin."""
    for side in run.sides:
        winners = {side.log.found[-1][1].socket} if side.log.found else set()
        assert set(side.ports) == winners
        assert side.limits.sockets == 0
        assert side.limits.acquire("the next one")
        assert all(status.ended is not None for status in side.agent.phases())


def has_probed(side: TraversalSide) -> bool:
    """Whether a phase beyond punching has come to its end."""
    return any(status.name != "punch" and status.ended is not None for status in side.agent.phases())


def without_hits(run: TraversalRun) -> None:
    """No packet comes from one NAT to the other: nothing can be found, however long it is tried."""
    first, second = (peer_host(run, 1), peer_host(run, 0))
    pairs = {(first, second), (second, first)}
    run.world.internet.tamper = lambda packet: [] if (packet.source[0], packet.destination[0]) in pairs else [packet]


@pytest.mark.parametrize(
    "cell", [cell for cell in CELLS.values() if cell not in (BOTH_BLOCKS, BOTH_RANDOM)], ids=lambda cell: cell.name
)
def test_these_meet_and_keep_to_their_limits(cell: ProbeCell) -> None:
    for seed in range(2):
        run, answered_at = call(cell, seed)
        watch = Watch(run).begin()
        follow(run, cell.followed_s)
        assert is_one_path(run)
        follow(run, 3.0)
        assert cell.wanted.p95_s is None or result(run, answered_at).direct_s <= 2 * cell.wanted.p95_s  # type: ignore[operator]
        check_limits(run, watch)
        check_nothing_is_left(run)


def test_two_blocks_meet_with_half_of_their_ports_where_mappings_do_not_live_long() -> None:
    run, _ = call(BOTH_BLOCKS, SOON)
    assert [side.agent.profile.life_s for side in run.sides] == pytest.approx([31.0, 31.0], abs=0.5)  # type: ignore[union-attr]
    watch = Watch(run).begin()
    follow(run, BOTH_BLOCKS.followed_s)
    assert is_one_path(run)
    check_limits(run, watch)
    check_nothing_is_left(run)
    assert max(watch.ports) <= 1_024 // 2 + OTHER_FLOWS


def test_both_people_must_have_asked_for_blocks() -> None:
    run, answered_at = call(replace(BOTH_BLOCKS, try_harder=False), 1)
    follow(run, 12.0)
    found = result(run, answered_at)
    assert found.direct_s is None and found.decided_s is not None and found.decided_s <= 2.0
    assert sum(side.to_peer for side in found.sides) == 0


def test_where_both_are_random_nothing_is_sprayed_and_it_is_known_at_once() -> None:
    for seed in range(4):
        found = simulate(BOTH_RANDOM, seed)
        assert found.direct_s is None and found.decided_s is not None and found.decided_s <= 2.0
        assert [side.to_peer for side in found.sides] == [0, 0], "not one packet to the other's public host"


@pytest.mark.parametrize(
    "cell", [RANDOM, PINNED, BLOCKS[0], SEQUENTIAL[0], BOTH_SEQUENTIAL], ids=lambda cell: cell.name
)
def test_an_attack_that_cannot_succeed_ends_in_time_and_within_its_budget(cell: ProbeCell) -> None:
    run, _ = call(cell, 2)
    without_hits(run)
    watch = Watch(run).begin()
    run.clock.run(birthday.SECONDS + 6.0, lambda: all(map(has_probed, run.sides)))
    assert not run.is_direct
    check_limits(run, watch)
    for side in run.sides:
        [probing] = [status for status in side.agent.phases() if status.name != "punch"]
        assert probing.outcome == "failed" and probing.ended is not None
        assert probing.ended - probing.started <= birthday.SECONDS + WATCH_S
        assert not side.ports and side.limits.sockets == 0 and side.limits.acquire("next")
    if cell is RANDOM:
        tried = [side.agent.phases()[-1].tried for side in run.sides]
        assert tried == [birthday.MAX_MAPPINGS] * 2, "a full attack"
    if cell is BLOCKS[0]:
        block_side = next(n for n, side in enumerate(run.world.sides) if side.gateways[-1].nat.kind.block_ports == 512)
        assert watch.ports[block_side] <= 512 // birthday.BLOCK_SHARE + OTHER_FLOWS


def test_the_relays_trouble_stops_probing_at_once() -> None:
    run, _ = call(RANDOM, 4)
    without_hits(run)
    run.clock.run(2.5)
    busy = [side for side in run.sides if side.limits.sockets > 1]
    assert busy, "an attack is under way"
    for side in run.sides:
        side.submit(RelayTrouble())
    stopped_at = run.clock.now
    for side in run.sides:
        assert not side.ports and side.limits.sockets == 0
        [probing] = [status for status in side.agent.phases() if status.name == "birthday"]
        assert (probing.outcome, probing.reason) == ("cancelled", "relay-trouble")
    run.clock.run(1.0)
    for number, side in enumerate(run.sides):
        sprayed = [s for s in side.log.sent if s.at_s > stopped_at and s.destination[0] == peer_host(run, number)]
        assert not sprayed


@pytest.mark.parametrize("cell", [RANDOM, SEQUENTIAL[0], BOTH_SEQUENTIAL, PINNED], ids=lambda cell: cell.name)
def test_before_the_answer_nothing_is_sent_but_to_the_relay(cell: ProbeCell) -> None:
    rng = random.Random(1)
    one, other = cell.draw(rng)
    run = TraversalRun(Scenario(name="ringing", sides=(Side(nats=(one,)), Side(nats=(other,)))), profiled_s=10.0)
    for side in run.sides:
        side.submit(Prepare())
    run.clock.run(30.0)
    # The callee alone has answered, and its words are on their way: the caller hears them before it may speak.
    run.sides[0].send_to_peer = run.sides[1].send_to_peer = lambda message: None
    run.callee.submit(Begin())
    run.clock.run(3.0)
    servers = {server[0] for server in run.world.stun}
    assert {sent.destination[0] for sent in run.caller.log.sent} <= servers and not run.caller.log.messages
    assert {sent.destination[0] for sent in run.callee.log.sent} <= servers, "nobody has named an address"
    for side in run.sides:
        side.submit(Stop("over"))
        assert not side.ports and side.limits.sockets == 0


# -- a peer that lies


_STRICT_SYMMETRIC = {"mapping": "address-and-port-dependent", "filtering": "address-and-port-dependent"}
LIES: dict[str, call_messages.WireProfile] = {
    "random": call_messages.WireProfile(**_STRICT_SYMMETRIC, allocation="random"),  # type: ignore[arg-type]
    "block": call_messages.WireProfile(**_STRICT_SYMMETRIC, allocation="block", block=512, try_harder=True),  # type: ignore[arg-type]
    "sequential": call_messages.WireProfile(**_STRICT_SYMMETRIC, allocation="sequential", delta=1),  # type: ignore[arg-type]
    "cone": call_messages.WireProfile("endpoint-independent", "address-and-port-dependent", "preserving"),
}
# docs/decisions/018-hard-nats.md: what a peer can make us send to a host of its choice, in any minute. The machine's
# limits has so many flows in that time, and those of prediction and punching are repeated up to four times.
MOST_TO_A_VICTIM = MAX_LIVE_MAPPINGS + 400
VICTIM = "203.0.113.77"
OURS = ("port-restricted", "symmetric-random", "symmetric-sequential", "adm-sequential-strict", "block")
# A round of punching, and the first two of each other technique, within an attempt.
ROUNDS = (0, 4, 5, 8, 9, 12)


class Liar:
    """Says of itself what it likes, names a victim's address wherever there is something to say, and never answers."""

    def __init__(self, run: TraversalRun, profile: call_messages.WireProfile) -> None:
        self.run = run
        self.profile = profile
        self.answered: set[int] = set()
        run.callee.send_to_peer = self.receive
        self._begin_anew(1)

    def _begin_anew(self, number: int) -> None:
        """As if the path were lost again and again."""
        self.run.clock.after(5.0, lambda: self._begin_anew(number + 1))
        if self.run.clock.now > 1_030.0:
            for offset in ROUNDS:
                self.tell(16 * number + offset)

    def receive(self, message: call_messages.PeerMessage) -> None:
        number = getattr(message, "round", 0)
        if isinstance(message, call_messages.Connect):
            self._say(call_messages.ConnectAck(number))
        for offset in ROUNDS:
            self.tell(number - number % 16 + offset)

    def tell(self, number: int) -> None:
        if number not in self.answered:
            self.answered.add(number)
            victims = [call_messages.WireCandidate("server-reflexive", VICTIM, 40_000 + n, 1_000 - n) for n in range(8)]
            self._say(call_messages.Candidates(number, "U" * 8, "P" * 24, victims, self.profile))
            self._say(call_messages.Sync(number))

    def _say(self, message: call_messages.PeerMessage) -> None:
        self.run._carry(self.run.callee, message)


@pytest.mark.parametrize(
    "ours", ["port-restricted", "symmetric-random", "symmetric-sequential", "adm-sequential-strict", "block"]
)
@pytest.mark.parametrize("lie", LIES)
def test_what_a_peer_that_names_a_victim_gets_stays_within_the_limits(ours: str, lie: str) -> None:
    sides = (Side(nats=(KINDS["port-restricted"],)), Side(nats=(KINDS[ours],)))
    run = TraversalRun(Scenario(name="liar", sides=sides), 1, profiled_s=10.0, try_harder=True)
    run.callee.submit(Prepare())
    run.clock.run(1.0)
    Liar(run, LIES[lie]).tell(0)
    run.callee.submit(Begin())
    run.clock.run(100.0)
    times = [sent.at_s for sent in run.callee.log.sent if sent.destination[0] == VICTIM]
    most = max((bisect_right(times, at + 60.0) - first for first, at in enumerate(times)), default=0)
    assert most <= MOST_TO_A_VICTIM
    assert run.callee.log.busiest_second() <= PACKETS_PER_S
    assert run.callee.log.most_open <= MAX_SOCKETS and run.callee.limits.sockets <= MAX_SOCKETS


def test_the_two_sides_meet_as_often_as_mathematics_says() -> None:
    trials = 40
    hits = sum(meets(256, 512, seed) for seed in range(trials))
    expected = chance(256, 512)
    # Three standard deviations: one run of 370 is outside, and this one has its seeds.
    assert abs(hits - trials * expected) <= 3 * (trials * expected * (1 - expected)) ** 0.5
