"""transport.traversal: what the ladder is told of the call."""

import random
from dataclasses import replace

import pytest

from tests.natsim.call import Call
from transport.link_events import LinkConfig
from transport.traversal import Traversal
from transport.traverse.candidates import HostAddress
from transport.traverse.ladder import Ladder, LadderConfig

HOSTS = (HostAddress("192.168.1.7", "eth0"),)


def a_config(**fields: object) -> LinkConfig:
    return replace(Call().caller.driver.link._config, hosts=HOSTS, **fields)  # type: ignore[arg-type]


def told(config: LinkConfig) -> list[LadderConfig]:
    heard: list[LadderConfig] = []

    def make(ladder: LadderConfig, rng: random.Random) -> Ladder:
        heard.append(ladder)
        return Ladder(ladder, rng)

    Traversal(config, lambda: 7, random.Random(1), make)
    return heard


@pytest.mark.parametrize("wanted", [False, True])
def test_trying_harder_is_the_persons_choice(wanted: bool) -> None:
    [ladder] = told(a_config(try_harder=wanted))
    assert ladder.try_harder is wanted
    assert LinkConfig.__dataclass_fields__["try_harder"].default is False


def test_there_is_no_ladder_where_the_relay_is_always_used() -> None:
    assert told(a_config(always_relay=True, try_harder=True)) == []
