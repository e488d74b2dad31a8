"""transport.traversal.search: what the ladder is told of the call."""

import random
from dataclasses import replace

import pytest

from tests.natsim.call import Call
from transport.ice.candidates import HostAddress
from transport.link.events import LinkConfig
from transport.net.port_mapping import MappedPort
from transport.net.sockets import OpenSocket
from transport.traversal.agent import AgentConfig, TraversalAgent
from transport.traversal.search import Traversal
from transport.traversal.technique import PortsMapped

HOSTS = (HostAddress("192.168.1.7", "eth0"),)


def a_config(**fields: object) -> LinkConfig:
    return replace(Call().caller.driver.link._config, hosts=HOSTS, **fields)  # type: ignore[arg-type]


def told(config: LinkConfig) -> list[AgentConfig]:
    heard: list[AgentConfig] = []

    def make(ladder: AgentConfig, rng: random.Random) -> TraversalAgent:
        heard.append(ladder)
        return TraversalAgent(ladder, rng)

    Traversal(config, lambda: 7, random.Random(1), make)
    return heard


@pytest.mark.parametrize("wanted", [False, True])
def test_trying_harder_is_the_persons_choice(wanted: bool) -> None:
    [ladder] = told(a_config(try_harder=wanted))
    assert ladder.try_harder is wanted
    assert LinkConfig.__dataclass_fields__["try_harder"].default is False


def test_there_is_no_ladder_where_the_relay_is_always_used() -> None:
    assert told(a_config(always_relay=True, try_harder=True)) == []


DOOR = MappedPort(25_000, ("198.51.100.1", 25_000), "upnp", 9_000.0, is_public=True)


def test_what_routers_map_is_known_from_the_beginning_and_kept_up_to_date_before_the_proof() -> None:
    assert [ladder.mapped for ladder in told(a_config(mapped=(DOOR,)))] == [(DOOR,)]
    made: list[TraversalAgent] = []

    def make(config: AgentConfig, rng: random.Random) -> TraversalAgent:
        made.append(TraversalAgent(config, rng))
        return made[0]

    traversal = Traversal(a_config(), iter(range(100)).__next__, random.Random(1), make)
    assert traversal.give(PortsMapped((DOOR,)), 0.0) == [], "nothing is opened or told before the proof"
    opened = [one.port for one in traversal.proven(1.0) if isinstance(one, OpenSocket)]
    assert DOOR.internal_port in opened


def test_nobody_learns_of_a_mapping_where_the_relay_is_always_used() -> None:
    assert told(a_config(always_relay=True, mapped=(DOOR,))) == []
