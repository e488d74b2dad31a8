"""A relay, or a peer, that names a stranger's address: what the stranger gets, and that the call does not suffer."""

import random

import pytest

from tests.natsim.network import Address
from tests.natsim.scenario import pair
from tests.natsim.traversal_run import TraversalRun
from transport.ice.pacing import MAX_LIVE_MAPPINGS
from transport.traversal.agent import State

VICTIM = "198.18.0.9"


def to_victim(run: TraversalRun) -> list[float]:
    return sorted(sent.at_s for side in run.sides for sent in side.log.sent if sent.destination[0] == VICTIM)


@pytest.mark.parametrize("kinds", [("port-restricted", "port-restricted"), ("open", "symmetric-random")])
def test_a_relay_that_tells_both_a_strangers_address_diverts_a_few_packets_and_no_call(kinds: tuple[str, str]) -> None:
    run = TraversalRun(pair(*kinds), seed=3)
    run.world.stun_server.lie = lambda source: (VICTIM, source[1])
    run.answer()
    run.until_direct(60.0)
    # One address sent by each, seven packets a round to it, four rounds an attempt, six attempts with their pauses.
    assert len(to_victim(run)) <= 2 * 7 * 4 * 7
    assert all(found.remote[0] != VICTIM for side in run.sides for _, found in side.log.found)
    assert not any(side.ports for side in run.sides) or run.is_direct


def test_a_relay_that_invents_a_random_nat_makes_nobody_send_more_than_a_birthday_a_minute() -> None:
    """The worst that can be made of us: some 170 kB in six seconds, which the relay could have sent itself."""
    rng = random.Random(5)

    def lie(source: Address) -> Address:
        return (VICTIM, rng.randint(1_024, 65_535)) if source[0] == one else source

    run = TraversalRun(pair("port-restricted", "port-restricted"), seed=4)
    one = run.world.sides[0].gateways[0].nat.addresses[0]
    run.world.stun_server.lie = lie
    run.answer()
    run.until_direct(60.0)
    times = to_victim(run)
    assert len(times) > 500, "or this shows nothing"
    assert len(times) <= MAX_LIVE_MAPPINGS + 200
    assert all(sum(at <= other < at + 1.0 for other in times[n : n + 400]) <= 200 for n, at in enumerate(times))
    assert all(side.agent.state is not State.STOPPED for side in run.sides)
