"""The plan of the kernel laboratory, before anything is built: it is the one of the simulator."""

import random
from dataclasses import replace
from ipaddress import IPv4Address
from itertools import pairwise

import pytest

from tests.natsim.clock import VirtualClock
from tests.natsim.kinds import KINDS
from tests.natsim.scenario import build
from tests.natsim.scenario_file import load, names
from tests.natsim.wire import WireSpec
from tests.netlab.lab import MID, NO_WIRE, NotInKernelError, boxes_of


@pytest.mark.parametrize("name", names())
def test_both_laboratories_have_the_same_nats_and_addresses(name: str) -> None:
    scenario = load(name)
    world = build(scenario, VirtualClock(), random.Random(1))
    for side, stack in enumerate(boxes_of(scenario)):
        own = [box for box in stack if not box.name.startswith("wire")]
        for box, gateway in zip(own, world.sides[side].gateways, strict=True):
            assert box.kind == gateway.nat.kind
            assert box.outside == (gateway.nat.addresses or (world.sides[side].host.ip,))


@pytest.mark.parametrize("name", names())
def test_every_box_hangs_on_the_next_one_and_the_last_on_the_internet(name: str) -> None:
    for stack in boxes_of(load(name)):
        assert [box.gateway for box in stack] == [*(box.name for box in stack[1:]), MID]
        for inner, outer in pairwise(stack):
            assert all(IPv4Address(ip) in outer.inside.network for ip in inner.outside)


def test_wires_are_crossed_once_and_a_masquerade_has_a_router_for_them() -> None:
    wire = WireSpec(delay_ms=7.0)
    for name in ("cgn-over-home", "linux", "same-nat-hairpin", "same-cgn-hairpin"):
        scenario = load(name)
        sides = tuple(replace(side, up=wire, down=wire) for side in scenario.sides)
        for stack in boxes_of(replace(scenario, sides=sides)):  # type: ignore[arg-type]
            with_wires = [box for box in stack if box.up == wire and box.down == wire]
            assert len(with_wires) == 1
            assert all(box.up == box.down == NO_WIRE for box in stack if box not in with_wires)
            assert with_wires[0].masquerade is None


def test_what_the_kernel_laboratory_lacks_is_named() -> None:
    scenario = load("ipv6-firewalls")
    one, other = scenario.sides
    with pytest.raises(NotInKernelError, match="IPv6"):
        boxes_of(replace(scenario, sides=(one, replace(other, ipv6=KINDS["full-cone"]))))
