"""The product's own links over scenarios: a relayed call is the same behind every NAT that lets it reach the relay."""

import random

import pytest

from tests.natsim.call import Side, frame_index, identity
from tests.natsim.clock import VirtualClock
from tests.natsim.driver import SimDriver
from tests.natsim.relay import RelayNode
from tests.natsim.scenario import World, build
from tests.natsim.scenario_file import load
from transport.link.events import LinkConfig, Open
from transport.link.link import Link
from transport.path.relay_leg import LegAccess

CALL_ID = "c" * 32
CALL_S = 4.0
FRAMES_PER_S = 50


def sides_of(world: World[RelayNode]) -> tuple[Side, Side]:
    """A link on each host, opened."""
    made = []
    for number, leg in enumerate(world.relay.grant(CALL_ID)):
        made.append(_side(world, number, leg))
    return made[0], made[1]


def _side(world: World[RelayNode], number: int, leg: LegAccess) -> Side:
    mine, theirs = identity(1 + number), identity(2 - number)
    config = LinkConfig(
        role="callee" if number else "caller",
        call_id=CALL_ID,
        identity=mine,
        peer_key=theirs.key,
        peer_certificate=theirs.certificate,
        leg=leg,
    )
    link = Link(config, random.Random(world.rng.getrandbits(64)))
    driver = SimDriver(link, world.sides[number].host, lambda command: side.take(command))
    side = Side(driver, world.clock)
    driver.submit(Open())
    return side


@pytest.mark.parametrize(
    "name",
    ["open", "port-restricted", "symmetric-random", "block", "cgn-over-home", "same-nat-hairpin", "udp-to-relay-only"],
)
def test_every_frame_arrives_once_and_in_order(name: str) -> None:
    world = build(load(name), VirtualClock(), random.Random(1))
    sides = sides_of(world)
    assert world.clock.run(10.0, lambda: all(side.proven for side in sides))
    for side in sides:
        side.talk()
    world.clock.run(CALL_S)
    for side in sides:
        side.be_silent()
    world.clock.run(1.0)
    for side, other in (sides, sides[::-1]):
        assert side.frames == list(range(other.sent))
        assert other.sent >= CALL_S * FRAMES_PER_S
        assert frame_index(side.last_packet) == other.sent - 1


def test_no_udp_is_no_call() -> None:
    world = build(load("udp-blocked"), VirtualClock(), random.Random(1))
    sides = sides_of(world)
    assert not world.clock.run(10.0, lambda: any(side.proven for side in sides))


def test_a_flushed_nat_costs_a_moment_and_not_the_call() -> None:
    world = build(load("nat-flushed"), VirtualClock(), random.Random(1))
    sides = sides_of(world)
    assert world.clock.run(10.0, lambda: all(side.proven for side in sides))
    world.schedule_faults()
    for side in sides:
        side.talk()
    world.clock.run(10.0)
    for side in sides:
        side.be_silent()
    world.clock.run(1.0)
    for side, other in (sides, sides[::-1]):
        assert side.ended is None
        missing = sorted(set(range(other.sent)) - set(side.frames))
        assert 0 < len(missing) < FRAMES_PER_S, "less than a second"
        assert missing == list(range(missing[0], missing[-1] + 1)), "one hole"
        assert side.frames == sorted(set(side.frames))
