"""A relay, or a peer, that names a stranger's address: what the stranger gets, and that the call does not suffer."""

import random

import pytest

from tests.natsim.network import Address
from tests.natsim.scenario import pair
from tests.natsim.traversal_run import TraversalRun
from transport.ice.pacing import MAX_LIVE_MAPPINGS
from transport.traversal.agent import State

VICTIM = "198.18.0.9"


def to_victim(climb: TraversalRun) -> list[float]:
    return sorted(sent.at_s for climber in climb.sides for sent in climber.log.sent if sent.destination[0] == VICTIM)


@pytest.mark.parametrize("kinds", [("port-restricted", "port-restricted"), ("open", "symmetric-random")])
def test_a_relay_that_tells_both_a_strangers_address_diverts_a_few_packets_and_no_call(kinds: tuple[str, str]) -> None:
    climb = TraversalRun(pair(*kinds), seed=3)
    climb.world.stun_server.lie = lambda source: (VICTIM, source[1])
    climb.answer()
    climb.run(60.0)
    # One address told by each, seven packets a round to it, four rounds a climb, six climbs with their pauses.
    assert len(to_victim(climb)) <= 2 * 7 * 4 * 7
    assert all(found.remote[0] != VICTIM for climber in climb.sides for _, found in climber.log.found)
    assert not any(climber.ports for climber in climb.sides) or climb.is_direct


def test_a_relay_that_invents_a_random_nat_makes_nobody_send_more_than_a_birthday_a_minute() -> None:
    """The worst that can be made of us: some 170 kB in six seconds, which the relay could have sent itself."""
    rng = random.Random(5)

    def lie(source: Address) -> Address:
        return (VICTIM, rng.randint(1_024, 65_535)) if source[0] == one else source

    climb = TraversalRun(pair("port-restricted", "port-restricted"), seed=4)
    one = climb.world.sides[0].gateways[0].nat.addresses[0]
    climb.world.stun_server.lie = lie
    climb.answer()
    climb.run(60.0)
    times = to_victim(climb)
    assert len(times) > 500, "or this shows nothing"
    assert len(times) <= MAX_LIVE_MAPPINGS + 200
    assert all(sum(at <= other < at + 1.0 for other in times[n : n + 400]) <= 200 for n, at in enumerate(times))
    assert all(climber.ladder.state is not State.STOPPED for climber in climb.sides)
