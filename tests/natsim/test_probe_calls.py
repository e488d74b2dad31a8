"""Whole calls through hard NATs: nobody hears what is tried, nor how it ends, and nothing of it stays behind."""

import gc
from dataclasses import replace

import pytest

from tests.natsim.kinds import KINDS
from tests.natsim.nat import Nat, NatKind
from tests.natsim.nat_call import Ear, Machines
from tests.natsim.network import Address, Host
from tests.natsim.scenario import Scenario, Side
from tests.natsim.two_paths import INVENTED
from tests.natsim.wire import WireSpec
from transport.ice.pacing import MAX_SOCKETS
from transport.net.machine import TimerFired
from transport.path.stats import PathVia
from transport.traversal import birthday
from transport.traversal.agent import TraversalAgent
from transport.wire.call_messages import Hello, encode
from transport.wire.framing import frame

pytestmark = pytest.mark.slow

STRICT = KINDS["port-restricted"]
RANDOM = KINDS["symmetric-random"]
SEQUENTIAL = replace(KINDS["symmetric-sequential"], cross_traffic_per_s=5.0)
WIRE = WireSpec(delay_ms=15)
# Of many calls; frames cost more time than all the rest of them.
TALKING_EACH = 15


def between(one: NatKind, other: NatKind, seed: int = 1) -> Machines:
    sides = (Side(nats=(one,), up=WIRE, down=WIRE), Side(nats=(other,), up=WIRE, down=WIRE))
    return Machines(Scenario(name="hard call", sides=sides), seed)


def cut_apart(machines: Machines) -> None:
    """What one NAT sends to the other is lost in the middle: whatever is tried, nothing is found."""
    public = {side.gateways[-1].nat.addresses[0] for side in machines.world.sides}
    machines.world.internet.tamper = lambda packet: (
        [] if {packet.source[0], packet.destination[0]} == public else [packet]
    )


def assert_every_frame_was_seen_once(ears: tuple[Ear, Ear]) -> None:
    for speaker, listener in (ears, ears[::-1]):
        assert speaker.sent > 50
        assert listener.played == list(range(speaker.sent)), "0 lost, 0 concealed, in order"
        assert set(listener.delivered.values()) == {1}, "0 doubled"


@pytest.mark.parametrize(
    ("one", "other", "via"),
    [
        (RANDOM, STRICT, "birthday"),
        (STRICT, RANDOM, "birthday"),
        (KINDS["block"], STRICT, "birthday"),
        (SEQUENTIAL, STRICT, "prediction"),
        (STRICT, SEQUENTIAL, "prediction"),
        (SEQUENTIAL, SEQUENTIAL, "prediction"),
    ],
)
def test_the_swap_to_a_path_that_was_found_the_hard_way_is_exact(one: NatKind, other: NatKind, via: PathVia) -> None:
    for seed in (1, 2):
        machines = between(one, other, seed)
        ears = machines.call()
        machines.talk(ears)
        found = machines.clock.run(12.0, lambda ears=ears: all(_is_direct(ear) for ear in ears))  # type: ignore[misc]
        assert found
        assert all(ear.path is not None and ear.path.via == via for ear in ears)
        machines.clock.run(2.0)
        machines.fall_silent(ears)
        assert_every_frame_was_seen_once(ears)
        # The relay's socket, and the winner.
        assert [len(ear.driver.ports) for ear in ears] == [2, 2]
        assert [limits.sockets for limits in machines.limits] == [0, 0]
        machines.hang_up(ears)


def _is_direct(ear: Ear) -> bool:
    return ear.path is not None and ear.path.kind == "direct"


def test_nobody_hears_a_full_attack() -> None:
    """A minute of talk, in which every port is tried in vain."""
    machines = between(RANDOM, STRICT)
    ears = machines.call()
    cut_apart(machines)
    machines.talk(ears)
    most = 0
    for _ in range(120):
        machines.clock.run(0.5)
        most = max(most, *(len(ear.driver.ports) for ear in ears))
    stats = [ear.playout.stats() for ear in ears]
    assert [(each.samples_concealed, each.jitter.stalls) for each in stats] == [(0, 0), (0, 0)]
    machines.fall_silent(ears)
    assert 200 < most <= MAX_SOCKETS, "a full attack"
    for ear in ears:
        [hard] = [status for status in ear.driver.link.stats(machines.clock.now).phases if status.name == "birthday"]
        assert hard.outcome == "failed" and hard.tried == birthday.MAX_MAPPINGS
        assert ear.path is not None and ear.path.kind == "relay"
        assert INVENTED not in ear.played
    assert_every_frame_was_seen_once(ears)


@pytest.mark.parametrize("liar", [0, 1])
def test_a_call_that_breaks_off_in_the_middle_of_a_search_gives_everything_back(liar: int) -> None:
    """A program that says something senseless: the other one ends the call at once, before any silence is noticed."""
    machines = between(RANDOM, STRICT)
    ears = machines.call()
    cut_apart(machines)
    machines.answer(ears)
    machines.clock.run(5.0)
    assert machines.limits[0].sockets > 100, "in the middle of it"
    assert not any(limits.acquire("another call") for limits in machines.limits)
    peer = ears[liar].driver.link._channel.connection
    assert peer is not None
    senseless = Hello(b"n" * 32, b"")  # type: ignore[arg-type]
    peer.send_stream(frame(encode(senseless)))
    ears[liar].driver.submit(TimerFired())
    assert machines.clock.run(10.0, lambda: all(ear.ended for ear in ears))
    ended = ears[1 - liar].ended
    assert ended is not None and ended.reason == "protocol", ended
    for ear, limits in zip(ears, machines.limits, strict=True):
        assert ear.driver.ports == ()
        assert limits.sockets == 0
        assert limits.acquire("another call")


@pytest.mark.slow
@pytest.mark.parametrize(("one", "via", "calls"), [(SEQUENTIAL, "prediction", 120), (RANDOM, "birthday", 80)])
def test_calls_leave_nothing_behind(one: NatKind, via: PathVia, calls: int) -> None:
    machines = between(one, STRICT)
    hosts = [side.host for side in machines.world.sides]
    before = [host.open_ports for host in hosts]
    direct = 0
    for number in range(calls):
        ears = machines.call()
        if number % TALKING_EACH == 0:
            machines.talk(ears)
        else:
            machines.answer(ears)
        if machines.clock.run(12.0, lambda ears=ears: all(_is_direct(ear) for ear in ears)):  # type: ignore[misc]
            assert all(ear.path is not None and ear.path.via == via for ear in ears)
            direct += 1
        if number % TALKING_EACH == 0:
            machines.clock.run(1.0)
            machines.fall_silent(ears)
            assert_every_frame_was_seen_once(ears)
        machines.hang_up(ears)
        # A minute later neither a NAT nor the limits know of it.
        machines.clock.run(130.0)
        for ear in ears:
            assert ear.driver.ports == () and ear.driver.link.next_deadline() is None
        assert [host.open_ports for host in hosts] == before
        for limits in machines.limits:
            assert limits.sockets == 0 and limits.live_mappings(machines.clock.now) == 0
            assert limits.acquire("next")
            limits.release("next")
    # One birthday search in a thousand meets nobody; that call leaves nothing behind either. Prediction does not guess.
    assert direct >= calls - (via == "birthday")
    del ears, ear
    gc.collect()
    # Of the calls that are over not one agent is held by anybody.
    assert machines.clock.pending == 0
    assert not [thing for thing in gc.get_objects() if isinstance(thing, TraversalAgent)]


# -- the people in the same house


class Neighbour:
    """Somebody behind the same router: a flow of 50 packets a second both ways, and a new flow now and then."""

    def __init__(self, machines: Machines, side: int) -> None:
        self.clock = machines.clock
        self.host = machines.world.sides[side].gateways[0].inside.host(f"192.168.{1 + side}.77")
        self.server: Host = machines.world.internet.host("192.0.2.200")
        self.server.open(self._asked, 443)
        self.port = self.host.open(self._answered)
        self.asked = self.answered = self.reached = self.flows = self.new_answered = 0
        self.is_busy = True

    def begin(self) -> "Neighbour":
        self._send()
        self._begin_another()
        return self

    def _send(self) -> None:
        if self.is_busy:
            self.asked += 1
            self.host.send(self.port, ("192.0.2.200", 443), b"flow")
            self.clock.after(0.02, self._send)

    def _begin_another(self) -> None:
        if self.is_busy:
            self.flows += 1
            self.host.send(self.host.open(self._answered), ("192.0.2.200", 443), b"new")
            self.clock.after(0.5, self._begin_another)

    def _asked(self, data: bytes, source: Address) -> None:
        self.reached += data == b"flow"
        self.server.send(443, source, data)

    def _answered(self, data: bytes, source: Address) -> None:
        self.answered += data == b"flow"
        self.new_answered += data == b"new"


@pytest.mark.parametrize("when_full", ["drop", "evict-oldest"])
@pytest.mark.parametrize("which", ["hard", "easy"])
def test_a_flow_through_a_router_with_a_small_table_loses_nothing(when_full: str, which: str) -> None:
    small = {"max_mappings": 1_024, "when_full": when_full}
    # On the fixed side each port that is tried is an entry where the table is Linux': that has one for each flow.
    kind = replace(RANDOM if which == "hard" else KINDS["linux"], **small)  # type: ignore[arg-type]
    machines = between(kind, STRICT if which == "hard" else RANDOM)
    cut_apart_ears = machines.call()
    cut_apart(machines)
    neighbour = Neighbour(machines, 0).begin()
    machines.clock.run(2.0)
    machines.talk(cut_apart_ears)
    machines.clock.run(25.0)
    nat: Nat = machines.world.sides[0].gateways[0].nat
    assert len(nat) > birthday.MAX_MAPPINGS, "a full attack"
    neighbour.is_busy = False
    machines.fall_silent(cut_apart_ears)
    assert neighbour.asked > 1_000 and neighbour.reached == neighbour.answered == neighbour.asked
    assert neighbour.new_answered == neighbour.flows, "and there is room for new ones"
    assert not nat.drops["table-full"]
    assert_every_frame_was_seen_once(cut_apart_ears)
