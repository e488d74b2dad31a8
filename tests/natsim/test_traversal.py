"""The ladders alone, behind every pair of NATs, in virtual time."""

import itertools
import random
import statistics
from dataclasses import replace
from functools import partial

import pytest

from tests.natsim.kinds import KINDS, STACKS
from tests.natsim.nat import Nat
from tests.natsim.network import Address, Host
from tests.natsim.scenario import Scenario, Side, WireSpec, pair
from tests.natsim.traversal_run import TraversalRun, has_credentials
from transport.ice.candidates import HostAddress
from transport.ice.checklist import ANSWERS_PER_S
from transport.ice.pacing import MAX_SOCKETS
from transport.nat.profile import Mapping, NatProfile
from transport.traversal import hole_punch, punch_round
from transport.traversal.agent import TECHNIQUES, State
from transport.traversal.events import Begin, InterfacesChanged, PathLost, Prepare

# Whole calls in virtual time, or whole pages: seconds together, and `make check` has under a minute.
pytestmark = pytest.mark.slow

# DESIGN §8: what a direct path may take beyond the round trips.
SLACK_S = 0.05


def test_two_port_restricted_nats_are_punched_through() -> None:
    climb = TraversalRun(pair("port-restricted", "port-restricted"))
    climb.answer()
    assert climb.run(1.0)
    assert all(climber.ladder.state is State.DIRECT for climber in climb.sides)
    (_, mine), (_, theirs) = (climber.log.found[-1] for climber in climb.sides)
    assert (mine.remote, mine.mapped) == (theirs.mapped, theirs.remote)
    assert mine.via == theirs.via == "punch"


@pytest.mark.parametrize("relay_s", [0.0, 0.1])
@pytest.mark.parametrize("knows_rtt", [True, False])
def test_they_are_direct_two_round_trips_after_the_first_check_of_a_side(relay_s: float, knows_rtt: bool) -> None:
    took: list[float] = []
    for seed in range(40):
        delay_ms = 2.0 + 3.0 * seed
        scenario = pair("port-restricted", "port-restricted", WireSpec(delay_ms=delay_ms / 2, jitter_ms=2.0))
        climb = TraversalRun(scenario, seed, relay_s=relay_s, knows_rtt=knows_rtt)
        answered_at = climb.answer()
        assert climb.run(3.0)
        for climber in climb.sides:
            assert climber.log.direct_at is not None and climber.log.first_check_at is not None
            took.append(climber.log.direct_at - climber.log.first_check_at - 2 * climb.direct_rtt_s)
            since_answer = climber.log.direct_at - answered_at
            assert since_answer <= 1.5 * 2 * climb.one_way_s + 2 * climb.direct_rtt_s + SLACK_S
    assert statistics.median(took) <= SLACK_S


@pytest.mark.parametrize(
    ("one", "other"), [("symmetric-random", "symmetric-random"), ("symmetric-sequential", "block")]
)
def test_what_cannot_be_is_left_at_once(one: str, other: str) -> None:
    climb = TraversalRun(pair(one, other))
    answered_at = climb.answer()
    climb.run(2.0)
    for climber in climb.sides:
        [status] = climber.ladder.phases()
        assert climber.ladder.state is State.SETTLED
        assert (status.outcome, status.reason) == ("failed", "both-symmetric")
        assert status.ended is not None and status.ended - answered_at <= 2.0
        assert not any(sent.is_check for sent in climber.log.sent), "nothing is sprayed"
        assert not climber.ports, "every socket is closed"


def test_a_rule_that_one_look_did_not_tell_is_asked_for_again() -> None:
    """The programs have just been started, and of the questions to six endpoints one is lost."""
    looked_again = 0
    for seed in range(24):
        wire = WireSpec(delay_ms=20.0, jitter_ms=6.0)
        climb = TraversalRun(
            pair("port-restricted", "symmetric-sequential", wire), seed, relay_s=0.02, stun_endpoints=6
        )
        lose_one(climb.callee.host, seed % 6)
        climb.answer(1.0)
        assert climb.run(10.0)
        first, *_ = climb.callee.ladder.phases()
        looked_again += first.reason == "symmetric-and-unknown"
    assert looked_again >= 2


def lose_one(host: Host, number: int) -> None:
    """The packet with this number, from 0 on, of those that it sends from now on."""
    send, numbers = host.send, itertools.count()

    def lossy(port: int, destination: Address, data: bytes, **how: int) -> None:
        if next(numbers) != number:
            send(port, destination, data, **how)  # type: ignore[arg-type]

    host.send = lossy  # type: ignore[method-assign,assignment]


# -- who can be brought together, and who cannot (issue: EIM on a side, and a filter that allows it)

EASY = ("open", "full-cone", "address-restricted", "port-restricted", "linux", "linux-open-input", "cgn-over-home")
SYMMETRIC = ("symmetric-random", "symmetric-sequential", "block", "symmetric-cgn-over-home")
# A symmetric side comes from a port that nobody knows: these do not mind, the others filter by port.
LENIENT = ("open", "full-cone", "address-restricted")
PUNCHABLE = [
    *itertools.combinations_with_replacement(EASY, 2),
    *itertools.product(LENIENT, SYMMETRIC),
    *itertools.product(SYMMETRIC, LENIENT),
]
LEFT = [
    *itertools.combinations_with_replacement(("symmetric-random", "block", "symmetric-cgn-over-home"), 2),
    *itertools.product(("symmetric-sequential",), ("symmetric-random", "block", "symmetric-cgn-over-home")),
    *(("udp-blocked", other) for other in ("open", "port-restricted", "symmetric-random", "udp-blocked")),
    ("port-restricted", "udp-blocked"),
]


def varied(one: str, other: str, seed: int, *, loss: float = 0.0) -> TraversalRun:
    """A call between such people: 10–250 ms apart, the relay on the way or far off it, either of them the caller."""
    rng = random.Random(seed)
    one, other = (one, other) if seed % 2 else (other, one)
    wire = WireSpec(delay_ms=rng.uniform(2.5, 62.5), jitter_ms=rng.uniform(0, 10), loss=loss)
    return TraversalRun(
        pair(one, other, wire),
        seed,
        relay_s=rng.choice((0.0, 0.02, 0.1)),
        knows_rtt=rng.random() < 0.8,
    )


def direct_share(one: str, other: str, calls: int, *, loss: float = 0.0) -> float:
    direct = 0
    for seed in range(calls):
        climb = varied(one, other, seed, loss=loss)
        climb.answer()
        direct += climb.run(12.0)
        if climb.is_direct:
            (_, mine), (_, theirs) = (climber.log.found[-1] for climber in climb.sides)
            assert (mine.remote, mine.mapped) == (theirs.mapped, theirs.remote), "both the same path"
        check_budgets(climb)
    return direct / calls


def check_budgets(climb: TraversalRun) -> None:
    """What the phase's frozen budget promises, of what really left."""
    for climber in climb.sides:
        for status in climber.ladder.phases():
            [budget] = [spec.budget for spec in TECHNIQUES if spec.name == status.name]
            assert status.packets <= status.rounds * (budget.packets + 2 * ANSWERS_PER_S)
        assert climber.log.most_open <= MAX_SOCKETS + punch_round.BUDGET.sockets
        assert climber.log.busiest_second() <= 200, "DESIGN §5"


@pytest.mark.parametrize(("one", "other"), PUNCHABLE)
def test_these_meet(one: str, other: str) -> None:
    assert direct_share(one, other, 4) == 1.0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("one", "other"),
    [
        *itertools.combinations_with_replacement([kind for kind in EASY if kind != "linux"], 2),
        *itertools.product(LENIENT, ("symmetric-random", "symmetric-sequential")),
    ],
)
def test_these_meet_in_three_hundred_calls(one: str, other: str) -> None:
    assert direct_share(one, other, 300) >= 0.995


@pytest.mark.slow
@pytest.mark.parametrize(("one", "other"), [("port-restricted", "port-restricted"), ("open", "symmetric-random")])
def test_these_meet_through_loss(one: str, other: str) -> None:
    # Five percent on each of the two wires, both ways: almost one exchange in five fails.
    assert direct_share(one, other, 200, loss=0.05) >= 0.995


@pytest.mark.parametrize(("one", "other"), LEFT)
def test_these_stay_on_the_relay_and_know_it_within_two_seconds(one: str, other: str) -> None:
    for seed in range(4):
        climb = varied(one, other, seed)
        answered_at = climb.answer()
        climb.run(4.0 + climb.one_way_s)
        assert not climb.is_direct
        for number, climber in enumerate(climb.sides):
            [status] = climber.ladder.phases()
            begun_at = answered_at + (climb.one_way_s if number == 0 else 0.0)
            assert climber.ladder.state is State.SETTLED and status.outcome == "failed"
            assert status.ended is not None and status.ended - begun_at <= 2.0 + climb.one_way_s
            assert status.reason in hole_punch.HOPELESS and not climber.ports
        check_budgets(climb)


# -- places of their own


def common(kind: str, *, isolated: bool = False, nats: str | None = None) -> Scenario:
    """Both behind the same NAT, on one LAN or each in a home of their own."""
    own = () if nats is None else STACKS[nats]
    side = Side(nats=own, isolated=isolated)
    return Scenario(name=kind, sides=(side, side), shared=STACKS[kind])


@pytest.mark.parametrize("kind", ["port-restricted", "hairpin", "symmetric-random", "cgn"])
def test_on_one_lan_they_talk_past_the_nat(kind: str) -> None:
    climb = TraversalRun(common(kind))
    climb.answer()
    assert climb.run(2.0)
    for climber in climb.sides:
        [(_, found)] = climber.log.found
        assert found.via == "host" and found.remote[0].startswith("192.168.0.")


def test_where_hosts_of_a_lan_are_kept_apart_the_nat_turns_the_packets_around() -> None:
    climb = TraversalRun(common("hairpin", isolated=True))
    climb.answer()
    assert climb.run(2.0)
    assert {climber.log.found[-1][1].via for climber in climb.sides} == {"punch"}


def test_two_homes_behind_one_carrier_meet_where_it_turns_packets_around() -> None:
    climb = TraversalRun(common("cgn", nats="port-restricted"))
    climb.answer()
    assert climb.run(2.0)


@pytest.mark.parametrize("hairpin", [None, False])
@pytest.mark.parametrize("where", ["one LAN, kept apart", "two homes"])
def test_behind_one_nat_that_turns_nothing_around_the_relay_is_settled_for_in_two_seconds(
    where: str, hairpin: bool | None
) -> None:
    homes = where == "two homes"
    scenario = common("cgn-no-hairpin", nats="port-restricted") if homes else common("port-restricted", isolated=True)
    for seed in range(4):
        # Both NATs that are shared have this address.
        known = NatProfile(hairpin=hairpin, reflexive=("198.18.0.1", 40_000))
        climb = TraversalRun(scenario, seed, relay_s=0.1, profile=known)
        answered_at = climb.answer()
        climb.run(6.0)
        assert not climb.is_direct
        for climber in climb.sides:
            [status] = climber.ladder.phases()
            assert climber.ladder.state is State.SETTLED and not climber.ports
            assert (status.outcome, status.reason, status.rounds) == ("failed", "same-nat-no-hairpin", 1)
            assert status.ended is not None and status.ended - answered_at <= 2.0
            assert climb.world.sides[0].gateways[-1].nat.addresses == ("198.18.0.1",)
            checks = [sent for sent in climber.log.sent if sent.is_check and sent.destination[0] == "198.18.0.1"]
            assert bool(checks) is (hairpin is None), "what is known to lead nowhere is not sent to"


def test_where_the_nat_is_known_to_turn_packets_around_one_lost_round_decides_nothing() -> None:
    side = Side(isolated=True)
    profile = NatProfile(Mapping.ENDPOINT_INDEPENDENT, hairpin=True, reflexive=("198.18.0.1", 40_000))
    climb = TraversalRun(Scenario(name="lost", sides=(side, side), shared=STACKS["hairpin"]), profile=profile)
    lan = climb.world.sides[0].gateways[0].inside
    # The first round's checks are lost, and those of the second are not.
    until = climb.clock.now + 1.0 + 1.5
    lan.tamper = lambda packet: [] if climb.clock.now < until and has_credentials(packet.data) else [packet]
    climb.answer()
    assert climb.run(6.0)
    assert climb.caller.ladder.phases()[0].rounds > 1


@pytest.mark.parametrize("kind", ["symmetric-random", "port-restricted"])
def test_ipv6_with_firewalls_needs_no_luck_with_nats(kind: str) -> None:
    side = Side(nats=STACKS[kind], ipv6=KINDS["firewall"])
    climb = TraversalRun(Scenario(name="IPv6", sides=(side, side)))
    climb.answer()
    assert climb.run(2.0)
    (_, mine), (_, theirs) = (climber.log.found[-1] for climber in climb.sides)
    assert (mine.remote, mine.mapped) == (theirs.mapped, theirs.remote)
    assert kind != "symmetric-random" or ":" in mine.remote[0]


def test_contacts_are_direct_before_the_answer() -> None:
    climb = TraversalRun(pair("port-restricted", "port-restricted", WireSpec(delay_ms=30)))
    rang_at = climb.clock.now
    for climber in climb.sides:
        climber.submit(Begin())
    assert climb.run(1.0), "one second of ringing is enough"
    assert climb.clock.now - rang_at <= 1.0


@pytest.mark.parametrize("low_ttl", [True, False])
def test_the_trap_of_linux_is_avoided_where_ttls_can_be_set_and_left_where_not(low_ttl: bool) -> None:
    """The relay is far off the direct way, so that the caller's packets come before the callee has sent any."""
    for seed in range(10):
        climb = TraversalRun(pair("port-restricted", "linux-open-input"), seed, relay_s=0.1, low_ttl=low_ttl)
        climb.answer()
        assert climb.run(6.0)
        [status] = climb.caller.ladder.phases()
        assert status.rounds == (1 if low_ttl else 2)


def test_a_mapping_that_is_lost_while_the_phone_rings_is_told_anew() -> None:
    kind = replace(KINDS["address-restricted"], allocation="random")
    side = Side(nats=(kind,))
    climb = TraversalRun(Scenario(name="flushed", sides=(side, side)))
    for climber in climb.sides:
        climber.submit(Prepare())
    climb.clock.run(5.0)
    for simulated in climb.world.sides:
        simulated.gateways[0].nat.flush()
    climb.clock.run(25.0)
    climb.callee.submit(Begin())
    climb.clock.after(climb.one_way_s, lambda: climb.caller.submit(Begin()))
    assert climb.run(0.5)


def test_a_path_that_breaks_is_found_again_behind_another_nat() -> None:
    climb = TraversalRun(pair("port-restricted", "port-restricted"))
    climb.answer()
    assert climb.run(1.0)
    climb.clock.run(10.0)
    gateway = climb.world.sides[0].gateways[0]
    gateway.replace(Nat(KINDS["full-cone"], ("198.51.100.200",), random.Random(1)))
    climb.caller.submit(InterfacesChanged((HostAddress(climb.caller.host.ip, 24, "wlan0"),)))
    for climber in climb.sides:
        climber.submit(PathLost())
    climb.clock.run(3.0)
    for climber in climb.sides:
        assert climber.ladder.state is State.DIRECT and len(climber.log.found) >= 2
    assert climb.callee.log.found[-1][1].remote[0] == "198.51.100.200"


def after_troubles(seed: int, *, loss: float) -> TraversalRun:
    """A call in whose first minute either side loses its path, or its NAT everything it knew, at any time."""
    rng = random.Random(seed)
    kinds = ("port-restricted", "full-cone", "linux", "cgn-over-home")
    wire = WireSpec(delay_ms=rng.uniform(2.5, 40), jitter_ms=rng.uniform(0, 10), loss=loss)
    climb = TraversalRun(pair(rng.choice(kinds), rng.choice(kinds), wire), seed, relay_s=rng.choice((0.0, 0.1)))

    def lose(side: int, *, flush: bool) -> None:
        if flush:
            climb.world.sides[side].gateways[0].nat.flush()
        # Whoever has a path hears nothing on it any more, one side sooner than the other.
        for climber in climb.sides:
            climb.clock.after(rng.uniform(0.0, 1.5), lambda climber=climber: climber.submit(PathLost()))

    for _ in range(rng.randint(1, 6)):
        climb.clock.after(rng.uniform(0.0, 60.0), partial(lose, rng.randrange(2), flush=rng.random() < 0.5))
    climb.answer(rng.uniform(0.0, 3.0))
    climb.clock.run(60.0)
    return climb


def heals(seed: int, *, loss: float = 0.0) -> None:
    climb = after_troubles(seed, loss=loss)
    climb.clock.run(60.0)
    for climber in climb.sides:
        assert climber.ladder.state is State.DIRECT, [side.ladder.state for side in climb.sides]
        # What was found and not lost is all that is open; the path manager would have closed what it lost.
        handed = {found.socket for _, found in climber.log.found}
        assert set(climber.ports) <= handed
    (_, mine), (_, theirs) = (climber.log.found[-1] for climber in climb.sides)
    assert (mine.remote, mine.mapped) == (theirs.mapped, theirs.remote), "both on the same path in the end"
    check_budgets(climb)


@pytest.mark.parametrize("seed", range(12))
def test_whoever_loses_the_path_whenever_both_find_one_again(seed: int) -> None:
    heals(seed)


@pytest.mark.slow
def test_whoever_loses_the_path_whenever_both_find_one_again_in_loss() -> None:
    for seed in range(12, 160):
        heals(seed, loss=0.03)
