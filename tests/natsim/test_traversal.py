"""The agents alone, behind every pair of NATs, in virtual time."""

import itertools
import random
import statistics
from dataclasses import replace
from functools import partial

import pytest

from tests.natsim.kinds import KINDS, STACKS
from tests.natsim.nat import Nat
from tests.natsim.network import Address, Host
from tests.natsim.scenario import Scenario, Side, pair
from tests.natsim.traversal_run import TraversalRun, has_credentials
from tests.natsim.wire import WireSpec
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
    run = TraversalRun(pair("port-restricted", "port-restricted"))
    run.answer()
    assert run.until_direct(1.0)
    assert all(side.agent.state is State.DIRECT for side in run.sides)
    (_, mine), (_, theirs) = (side.log.found[-1] for side in run.sides)
    assert (mine.remote, mine.mapped) == (theirs.mapped, theirs.remote)
    assert mine.via == theirs.via == "punch"


@pytest.mark.parametrize("relay_s", [0.0, 0.1])
@pytest.mark.parametrize("knows_rtt", [True, False])
def test_they_are_direct_two_round_trips_after_the_first_check_of_a_side(relay_s: float, knows_rtt: bool) -> None:
    took: list[float] = []
    for seed in range(40):
        delay_ms = 2.0 + 3.0 * seed
        scenario = pair("port-restricted", "port-restricted", WireSpec(delay_ms=delay_ms / 2, jitter_ms=2.0))
        run = TraversalRun(scenario, seed, relay_s=relay_s, knows_rtt=knows_rtt)
        answered_at = run.answer()
        assert run.until_direct(3.0)
        for side in run.sides:
            assert side.log.direct_at is not None and side.log.first_check_at is not None
            took.append(side.log.direct_at - side.log.first_check_at - 2 * run.direct_rtt_s)
            since_answer = side.log.direct_at - answered_at
            assert since_answer <= 1.5 * 2 * run.one_way_s + 2 * run.direct_rtt_s + SLACK_S
    assert statistics.median(took) <= SLACK_S


@pytest.mark.parametrize(
    ("one", "other"), [("symmetric-random", "symmetric-random"), ("symmetric-sequential", "block")]
)
def test_what_cannot_be_is_left_at_once(one: str, other: str) -> None:
    run = TraversalRun(pair(one, other))
    answered_at = run.answer()
    run.until_direct(2.0)
    for side in run.sides:
        [status] = side.agent.phases()
        assert side.agent.state is State.SETTLED
        assert (status.outcome, status.reason) == ("failed", "both-symmetric")
        assert status.ended is not None and status.ended - answered_at <= 2.0
        assert not any(sent.is_check for sent in side.log.sent), "nothing is sprayed"
        assert not side.ports, "every socket is closed"


def test_a_rule_that_one_look_did_not_tell_is_asked_for_again() -> None:
    """The programs have just been started, and of the questions to six endpoints one is lost."""
    looked_again = 0
    for seed in range(24):
        wire = WireSpec(delay_ms=20.0, jitter_ms=6.0)
        run = TraversalRun(pair("port-restricted", "symmetric-sequential", wire), seed, relay_s=0.02, stun_endpoints=6)
        lose_one(run.callee.host, seed % 6)
        run.answer(1.0)
        assert run.until_direct(10.0)
        first, *_ = run.callee.agent.phases()
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
        run = varied(one, other, seed, loss=loss)
        run.answer()
        direct += run.until_direct(12.0)
        if run.is_direct:
            (_, mine), (_, theirs) = (side.log.found[-1] for side in run.sides)
            assert (mine.remote, mine.mapped) == (theirs.mapped, theirs.remote), "both the same path"
        check_budgets(run)
    return direct / calls


def check_budgets(run: TraversalRun) -> None:
    """What the technique's frozen budget allows, against what really left."""
    for side in run.sides:
        for status in side.agent.phases():
            [budget] = [spec.budget for spec in TECHNIQUES if spec.name == status.name]
            assert status.packets <= status.rounds * (budget.packets + 2 * ANSWERS_PER_S)
        assert side.log.most_open <= MAX_SOCKETS + punch_round.BUDGET.sockets
        assert side.log.busiest_second() <= 200, "DESIGN §5"


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
        run = varied(one, other, seed)
        answered_at = run.answer()
        run.until_direct(4.0 + run.one_way_s)
        assert not run.is_direct
        for number, side in enumerate(run.sides):
            [status] = side.agent.phases()
            begun_at = answered_at + (run.one_way_s if number == 0 else 0.0)
            assert side.agent.state is State.SETTLED and status.outcome == "failed"
            assert status.ended is not None and status.ended - begun_at <= 2.0 + run.one_way_s
            assert status.reason in hole_punch.HOPELESS and not side.ports
        check_budgets(run)


# -- places of their own


def common(kind: str, *, isolated: bool = False, nats: str | None = None) -> Scenario:
    """Both behind the same NAT, on one LAN or each in a home of their own."""
    own = () if nats is None else STACKS[nats]
    side = Side(nats=own, isolated=isolated)
    return Scenario(name=kind, sides=(side, side), shared=STACKS[kind])


@pytest.mark.parametrize("kind", ["port-restricted", "hairpin", "symmetric-random", "cgn"])
def test_on_one_lan_they_talk_past_the_nat(kind: str) -> None:
    run = TraversalRun(common(kind))
    run.answer()
    assert run.until_direct(2.0)
    for side in run.sides:
        [(_, found)] = side.log.found
        assert found.via == "host" and found.remote[0].startswith("192.168.0.")


def test_where_hosts_of_a_lan_are_kept_apart_the_nat_turns_the_packets_around() -> None:
    run = TraversalRun(common("hairpin", isolated=True))
    run.answer()
    assert run.until_direct(2.0)
    assert {side.log.found[-1][1].via for side in run.sides} == {"punch"}


def test_two_homes_behind_one_carrier_meet_where_it_turns_packets_around() -> None:
    run = TraversalRun(common("cgn", nats="port-restricted"))
    run.answer()
    assert run.until_direct(2.0)


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
        run = TraversalRun(scenario, seed, relay_s=0.1, profile=known)
        answered_at = run.answer()
        run.until_direct(6.0)
        assert not run.is_direct
        for side in run.sides:
            [status] = side.agent.phases()
            assert side.agent.state is State.SETTLED and not side.ports
            assert (status.outcome, status.reason, status.rounds) == ("failed", "same-nat-no-hairpin", 1)
            assert status.ended is not None and status.ended - answered_at <= 2.0
            assert run.world.sides[0].gateways[-1].nat.addresses == ("198.18.0.1",)
            checks = [sent for sent in side.log.sent if sent.is_check and sent.destination[0] == "198.18.0.1"]
            assert bool(checks) is (hairpin is None), "what is known to lead nowhere is not sent to"


def test_where_the_nat_is_known_to_turn_packets_around_one_lost_round_decides_nothing() -> None:
    side = Side(isolated=True)
    profile = NatProfile(Mapping.ENDPOINT_INDEPENDENT, hairpin=True, reflexive=("198.18.0.1", 40_000))
    run = TraversalRun(Scenario(name="lost", sides=(side, side), shared=STACKS["hairpin"]), profile=profile)
    lan = run.world.sides[0].gateways[0].inside
    # The first round's checks are lost, and those of the second are not.
    until = run.clock.now + 1.0 + 1.5
    lan.tamper = lambda packet: [] if run.clock.now < until and has_credentials(packet.data) else [packet]
    run.answer()
    assert run.until_direct(6.0)
    assert run.caller.agent.phases()[0].rounds > 1


@pytest.mark.parametrize("kind", ["symmetric-random", "port-restricted"])
def test_ipv6_with_firewalls_needs_no_luck_with_nats(kind: str) -> None:
    side = Side(nats=STACKS[kind], ipv6=KINDS["firewall"])
    run = TraversalRun(Scenario(name="IPv6", sides=(side, side)))
    run.answer()
    assert run.until_direct(2.0)
    (_, mine), (_, theirs) = (side.log.found[-1] for side in run.sides)
    assert (mine.remote, mine.mapped) == (theirs.mapped, theirs.remote)
    assert kind != "symmetric-random" or ":" in mine.remote[0]


def test_contacts_are_direct_before_the_answer() -> None:
    run = TraversalRun(pair("port-restricted", "port-restricted", WireSpec(delay_ms=30)))
    rang_at = run.clock.now
    for side in run.sides:
        side.submit(Begin())
    assert run.until_direct(1.0), "one second of ringing is enough"
    assert run.clock.now - rang_at <= 1.0


@pytest.mark.parametrize("low_ttl", [True, False])
def test_the_trap_of_linux_is_avoided_where_ttls_can_be_set_and_left_where_not(low_ttl: bool) -> None:
    """The relay is far off the direct way, so that the caller's packets come before the callee has sent any."""
    for seed in range(10):
        run = TraversalRun(pair("port-restricted", "linux-open-input"), seed, relay_s=0.1, low_ttl=low_ttl)
        run.answer()
        assert run.until_direct(6.0)
        [status] = run.caller.agent.phases()
        assert status.rounds == (1 if low_ttl else 2)


def test_a_mapping_that_is_lost_while_the_phone_rings_is_sent_anew() -> None:
    kind = replace(KINDS["address-restricted"], allocation="random")
    behind = Side(nats=(kind,))
    run = TraversalRun(Scenario(name="flushed", sides=(behind, behind)))
    for side in run.sides:
        side.submit(Prepare())
    run.clock.run(5.0)
    for simulated in run.world.sides:
        simulated.gateways[0].nat.flush()
    run.clock.run(25.0)
    run.callee.submit(Begin())
    run.clock.after(run.one_way_s, lambda: run.caller.submit(Begin()))
    assert run.until_direct(0.5)


def test_a_path_that_breaks_is_found_again_behind_another_nat() -> None:
    run = TraversalRun(pair("port-restricted", "port-restricted"))
    run.answer()
    assert run.until_direct(1.0)
    run.clock.run(10.0)
    gateway = run.world.sides[0].gateways[0]
    gateway.replace(Nat(KINDS["full-cone"], ("198.51.100.200",), random.Random(1)))
    run.caller.submit(InterfacesChanged((HostAddress(run.caller.host.ip, 24, "wlan0"),)))
    for side in run.sides:
        side.submit(PathLost())
    run.clock.run(3.0)
    for side in run.sides:
        assert side.agent.state is State.DIRECT and len(side.log.found) >= 2
    assert run.callee.log.found[-1][1].remote[0] == "198.51.100.200"


def after_troubles(seed: int, *, loss: float) -> TraversalRun:
    """A call in whose first minute either side loses its path, or its NAT everything it knew, at any time."""
    rng = random.Random(seed)
    kinds = ("port-restricted", "full-cone", "linux", "cgn-over-home")
    wire = WireSpec(delay_ms=rng.uniform(2.5, 40), jitter_ms=rng.uniform(0, 10), loss=loss)
    run = TraversalRun(pair(rng.choice(kinds), rng.choice(kinds), wire), seed, relay_s=rng.choice((0.0, 0.1)))

    def lose(number: int, *, flush: bool) -> None:
        if flush:
            run.world.sides[number].gateways[0].nat.flush()
        # Whoever has a path hears nothing on it any more, one side sooner than the other.
        for side in run.sides:
            run.clock.after(rng.uniform(0.0, 1.5), partial(side.submit, PathLost()))

    for _ in range(rng.randint(1, 6)):
        run.clock.after(rng.uniform(0.0, 60.0), partial(lose, rng.randrange(2), flush=rng.random() < 0.5))
    run.answer(rng.uniform(0.0, 3.0))
    run.clock.run(60.0)
    return run


def heals(seed: int, *, loss: float = 0.0) -> None:
    run = after_troubles(seed, loss=loss)
    run.clock.run(60.0)
    for side in run.sides:
        assert side.agent.state is State.DIRECT, [side.agent.state for side in run.sides]
        # What was found and not lost is all that is open; the path manager would have closed what it lost.
        handed = {found.socket for _, found in side.log.found}
        assert set(side.ports) <= handed
    (_, mine), (_, theirs) = (side.log.found[-1] for side in run.sides)
    assert (mine.remote, mine.mapped) == (theirs.mapped, theirs.remote), "both on the same path in the end"
    check_budgets(run)


@pytest.mark.parametrize("seed", range(12))
def test_whoever_loses_the_path_whenever_both_find_one_again(seed: int) -> None:
    heals(seed)


@pytest.mark.slow
def test_whoever_loses_the_path_whenever_both_find_one_again_in_loss() -> None:
    for seed in range(12, 160):
        heals(seed, loss=0.03)
