"""What the link tells the traversal agent of the call, and when."""

import random
from dataclasses import replace

import pytest

from tests.natsim.call import Call
from transport.ice.candidates import HostAddress
from transport.link.events import LinkConfig
from transport.link.link import Link
from transport.net.port_mapping import MappedPort
from transport.net.sockets import CloseSocket, OpenSocket
from transport.traversal.agent import AgentConfig, State, TraversalAgent
from transport.traversal.events import Begin, PortMappingsChanged, Prepare

HOSTS = (HostAddress("192.168.1.7", 24, "eth0"),)
MAPPED = MappedPort(25_000, ("198.51.100.1", 25_000), "upnp", 9_000.0, is_public=True)


def a_config(**fields: object) -> LinkConfig:
    return replace(Call().caller.driver.link._config, hosts=HOSTS, **fields)  # type: ignore[arg-type]


def made(config: LinkConfig) -> tuple[AgentConfig, TraversalAgent]:
    agents: list[tuple[AgentConfig, TraversalAgent]] = []

    def make(config: AgentConfig, rng: random.Random) -> TraversalAgent:
        agents.append((config, TraversalAgent(config, rng)))
        return agents[0][1]

    Link(config, random.Random(1), make)
    return agents[0]


@pytest.mark.parametrize("wanted", [False, True])
def test_trying_harder_is_the_persons_choice(wanted: bool) -> None:
    assert made(a_config(try_harder=wanted))[0].try_harder is wanted
    assert LinkConfig.__dataclass_fields__["try_harder"].default is False


@pytest.mark.parametrize("fields", [{"always_relay": True, "mapped": (MAPPED,)}, {"hosts": ()}])
def test_nothing_is_opened_where_the_relay_is_always_used(fields: dict[str, object]) -> None:
    _, agent = made(replace(a_config(), **fields))  # type: ignore[arg-type]
    assert agent.state is State.STOPPED
    for event in (PortMappingsChanged((MAPPED,)), Prepare(), Begin()):
        assert agent.handle(event, 0.0) == []
    assert agent.next_deadline() is None


def test_mapped_ports_are_known_from_the_beginning_and_kept_up_to_date_before_the_proof() -> None:
    config, _ = made(a_config(mapped=(MAPPED,)))
    assert config.mapped == (MAPPED,)
    _, agent = made(a_config())
    assert agent.handle(PortMappingsChanged((MAPPED,)), 0.0) == [], "nothing is opened or sent before the proof"
    opened = [one for one in agent.handle(Prepare(), 1.0) if isinstance(one, OpenSocket)]
    assert MAPPED.internal_port in [one.port for one in opened]
    assert {one.socket for one in agent.handle(Begin(), 1.0) if isinstance(one, CloseSocket)} == set()
