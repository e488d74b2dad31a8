"""Profiles of every NAT of the laboratory: right or unknown, never wrong. What the profiler does when it is lied to."""

import random
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import pytest

from tests.natsim.clock import VirtualClock
from tests.natsim.kinds import KINDS, STACKS
from tests.natsim.network import Address, Packet
from tests.natsim.relay import RelayNode
from tests.natsim.scenario import Scenario, Side, World, build
from tests.natsim.wire import WireSpec
from transport.ice.candidates import HostAddress
from transport.nat.profile import Allocation, Filtering, Mapping, NatKind, NatProfile
from transport.nat.profiler import (
    BUDGET,
    NatProfiler,
    ProfileMade,
    ProfilerEvent,
    StartProfiling,
    StopProfiling,
)
from transport.net.machine import TimerFired
from transport.net.sockets import CloseSocket, DatagramReceived, OpenSocket, SendDatagram, SocketFailed, SocketOpened
from transport.wire import stun

# What may be concluded of each; "linux" keeps ports as if it mapped endpoint-independently, until two flows clash.
RIGHT = {
    "open": {NatKind.OPEN, NatKind.NO_NAT},
    "firewall": {NatKind.NO_NAT},
    "full-cone": {NatKind.FULL_CONE, NatKind.CONE},
    "address-restricted": {NatKind.ADDRESS_RESTRICTED, NatKind.CONE},
    "port-restricted": {NatKind.PORT_RESTRICTED, NatKind.CONE},
    "hairpin": {NatKind.PORT_RESTRICTED, NatKind.CONE},
    "linux": {NatKind.PORT_RESTRICTED, NatKind.CONE},
    "linux-open-input": {NatKind.PORT_RESTRICTED, NatKind.CONE},
    "cgn": {NatKind.ADDRESS_RESTRICTED, NatKind.CONE},
    "cgn-no-hairpin": {NatKind.ADDRESS_RESTRICTED, NatKind.CONE},
    "cgn-over-home": {NatKind.PORT_RESTRICTED, NatKind.CONE},
    "symmetric-sequential": {NatKind.SYMMETRIC_SEQUENTIAL, NatKind.SYMMETRIC},
    **{
        f"{name}-counter{rule}": {NatKind.SYMMETRIC_SEQUENTIAL, NatKind.SYMMETRIC}
        for name, rule in (("busy", ""), ("shared", ""), ("shared", "-by-2"), ("shared", "-down"))
    },
    "symmetric-sequential-parity": {NatKind.SYMMETRIC_SEQUENTIAL, NatKind.SYMMETRIC},
    "adm-sequential-strict": {NatKind.SYMMETRIC_SEQUENTIAL, NatKind.SYMMETRIC},
    "adm-sequential": {NatKind.SYMMETRIC_SEQUENTIAL, NatKind.SYMMETRIC},
    "adm-random": {NatKind.SYMMETRIC_RANDOM, NatKind.SYMMETRIC},
    "symmetric-random": {NatKind.SYMMETRIC_RANDOM, NatKind.SYMMETRIC},
    "linux-random": {NatKind.SYMMETRIC_RANDOM, NatKind.SYMMETRIC},
    "block": {NatKind.SYMMETRIC_BLOCK, NatKind.SYMMETRIC},
    "block-512": {NatKind.SYMMETRIC_BLOCK, NatKind.SYMMETRIC},
    "block-4096": {NatKind.SYMMETRIC_BLOCK, NatKind.SYMMETRIC},
    "symmetric-cgn-over-home": {NatKind.SYMMETRIC_BLOCK, NatKind.SYMMETRIC},
    "udp-blocked": {NatKind.UDP_BLOCKED},
    "udp-to-relay-only": {NatKind.UDP_BLOCKED, NatKind.UNKNOWN},
}
_EIF, _ADF, _APDF = list(Filtering)[:3]
FILTERS = {
    "open": _EIF,
    "full-cone": _EIF,
    "address-restricted": _ADF,
    "adm-sequential": _ADF,
    "adm-random": _ADF,
    "cgn": _ADF,
    "cgn-no-hairpin": _ADF,
}
"""All others filter by address and port; so does a home router below a carrier's."""
SYMMETRIC = {NatKind.SYMMETRIC, NatKind.SYMMETRIC_SEQUENTIAL, NatKind.SYMMETRIC_RANDOM, NatKind.SYMMETRIC_BLOCK}
HAIRPINS = {"hairpin": True, "cgn": True, "port-restricted": False, "cgn-no-hairpin": False, "full-cone": False}


class ProfilerHost:
    """A profiler on a host of the virtual network."""

    def __init__(self, world: World[RelayNode], seed: int) -> None:
        self.world = world
        self.host = world.sides[0].host
        self.machine = NatProfiler(iter(range(1_000)).__next__, random.Random(seed))
        self.made: list[NatProfile] = []
        self.sent: list[SendDatagram] = []
        self.ports: dict[int, int] = {}

    def submit(self, event: ProfilerEvent) -> None:
        for command in self.machine.handle(event, self.world.clock.now):
            match command:
                case SendDatagram(socket, destination, data):
                    self.sent.append(command)
                    self.host.send(self.ports[socket], destination, data)
                case OpenSocket(socket):
                    self.ports[socket] = self.host.open(partial(self.received, socket))
                    opened = SocketOpened(socket, (self.host.ip, self.ports[socket]))
                    self.world.clock.after(0, partial(self.submit, opened))
                case CloseSocket(socket):
                    self.host.close(self.ports.pop(socket))
                case ProfileMade(profile):
                    self.made.append(profile)

    def received(self, socket: int, data: bytes, source: Address) -> None:
        self.submit(DatagramReceived(socket, source, data))

    def profile(self, *, online: bool = True) -> NatProfile:
        hosts = tuple(HostAddress(ip, 24, "eth0") for ip in self.host.addresses)
        self.submit(StartProfiling(self.world.stun, hosts, online))
        for _ in range(200):
            due = self.machine.next_deadline()
            if self.made or (due is None and not self.ports):
                break
            self.world.clock.run(max(0.001, (due or 0.0) - self.world.clock.now), lambda: bool(self.made))
            self.submit(TimerFired())
        [made] = self.made
        assert not self.ports and self.machine.next_deadline() is None and self.machine.profile is made
        assert len(self.sent) <= BUDGET.packets
        return made


def lab(name: str, seed: int = 1, wire: WireSpec | None = None) -> ProfilerHost:
    wires = wire or WireSpec()
    side = Side(nats=STACKS[name], up=wires, down=wires)
    scenario = Scenario(name=name, sides=(side, Side(nats=STACKS["open"])))
    return ProfilerHost(build(scenario, VirtualClock(), random.Random(seed)), seed)


@pytest.mark.parametrize("name", sorted(STACKS))
def test_every_nat_is_named_right(name: str) -> None:
    made = [lab(name, seed).profile() for seed in range(10)]
    verdicts = {profile.kind for profile in made}
    assert verdicts <= RIGHT[name]
    # Without loss nothing that ten answers can tell stays unknown.
    assert not verdicts & {NatKind.UNKNOWN} or name == "udp-to-relay-only"
    filters = {profile.filtering for profile in made}
    assert filters == {FILTERS.get(name, _APDF)} or "udp" in name
    if name.startswith("adm"):
        assert {profile.mapping for profile in made} == {Mapping.ADDRESS_DEPENDENT}
    elif verdicts <= SYMMETRIC:
        assert {profile.mapping for profile in made} == {Mapping.ADDRESS_AND_PORT_DEPENDENT}


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(STACKS))
def test_no_loss_makes_a_verdict_wrong(name: str) -> None:
    allowed = RIGHT[name] | {NatKind.UNKNOWN}
    wire = WireSpec(delay_ms=30, jitter_ms=20, loss=0.15)
    for seed in range(150):
        made = lab(name, seed, wire).profile()
        assert made.kind in allowed, made
        assert made.filtering in (FILTERS.get(name, _APDF), Filtering.UNKNOWN), made
        assert made.mapping is not Mapping.ADDRESS_DEPENDENT or name.startswith("adm")
        assert made.mapping is not Mapping.ADDRESS_AND_PORT_DEPENDENT or RIGHT[name] <= SYMMETRIC
        assert made.hairpin is None or name not in HAIRPINS or made.hairpin is HAIRPINS[name], made
        if made.allocation is Allocation.SEQUENTIAL:
            assert RIGHT[name] == RIGHT["symmetric-sequential"]
            # Where parity is kept a socket's next flow is two ports further on.
            assert made.delta == (2 if name.endswith("parity") else KINDS[name].delta)


@pytest.mark.parametrize(("name", "hairpin"), sorted(HAIRPINS.items()))
def test_hairpin_is_found(name: str, hairpin: bool) -> None:
    assert lab(name).profile().hairpin is hairpin


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(name for name in STACKS if "udp" not in name))
def test_a_relay_with_two_addresses_tells_the_filter(name: str) -> None:
    """Any distance, any jitter; nothing is lost."""
    rng = random.Random(name)
    known = 0
    for seed in range(100):
        wire = WireSpec(delay_ms=rng.uniform(1, 120), jitter_ms=rng.uniform(0, 30))
        made = lab(name, seed, wire).profile()
        assert made.filtering in (FILTERS.get(name, _APDF), Filtering.UNKNOWN), made
        known += made.filtering is not Filtering.UNKNOWN
    assert known >= 99


@pytest.mark.parametrize("name", ["full-cone", "address-restricted", "port-restricted", "symmetric-random", "open"])
def test_one_relay_address_leaves_the_mapping_open_and_tells_the_strictest_filter(name: str) -> None:
    host = lab(name)
    host.world.stun_server.serve(tuple(one for one in host.world.stun if one[0] == host.world.stun[0][0]))
    made = host.profile()
    if name in ("port-restricted", "symmetric-random"):
        assert made.filtering is Filtering.ADDRESS_AND_PORT_DEPENDENT
    else:
        # Another port gets in; whether another address does, nobody can show.
        assert made.filtering is Filtering.UNKNOWN and "filtering" in made.unknowns
    if name.endswith("restricted") or name == "full-cone":
        assert made.mapping is Mapping.UNKNOWN and "mapping" in made.unknowns and made.hairpin is None


@pytest.mark.parametrize("silent", ["the other address", "the other port", "answers to changes"])
def test_silence_that_has_another_cause_is_no_filter(silent: str) -> None:
    host = lab("full-cone")
    first, second = host.world.stun[0], host.world.stun[1]
    assert first[0] != second[0] and first[1] == second[1]

    def lose(packet: Packet) -> list[Packet]:
        lost = {
            "the other address": packet.source[0] == second[0],
            "the other port": packet.source[0] in (first[0], second[0]) and packet.source[1] != first[1],
            "answers to changes": has_change(packet.data),
        }
        return [] if lost[silent] else [packet]

    host.world.internet.tamper = lose
    made = host.profile()
    assert made.filtering in (Filtering.UNKNOWN, Filtering.ENDPOINT_INDEPENDENT), made


def has_change(data: bytes) -> bool:
    return stun.parse(data).change is not None


def test_a_server_that_announces_what_it_does_not_do_tells_no_filter() -> None:
    host = lab("full-cone")

    def ignore_changes(packet: Packet) -> list[Packet]:
        message = stun.parse(packet.data)
        if message.change is None:
            return [packet]
        return [replace(packet, data=stun.question(message.transaction_id))]

    host.world.internet.tamper = ignore_changes
    assert host.profile().filtering is Filtering.UNKNOWN


@pytest.mark.slow
def test_a_burst_of_loss_is_no_filter() -> None:
    """All packets of any third of a second are lost, in both directions, as when a phone changes its cell."""
    for seed in range(300):
        host = lab("full-cone", seed, WireSpec(delay_ms=20))
        begins = host.world.clock.now + random.Random(seed).uniform(-0.2, 1.0)
        clock = host.world.clock
        host.world.internet.tamper = lambda packet, a=begins, clock=clock: [] if a <= clock.now < a + 0.33 else [packet]
        assert host.profile().filtering in (Filtering.UNKNOWN, Filtering.ENDPOINT_INDEPENDENT)


@pytest.mark.parametrize(
    "lie",
    [
        lambda source: ("0.0.0.0", source[1]),
        lambda source: ("192.0.2.1", source[1]),
        lambda source: ("127.0.0.1", 9),
    ],
)
def test_lying_servers_are_noticed(lie: Callable[[Address], Address]) -> None:
    host = lab("port-restricted")
    host.world.stun_server.lie = lie
    made = host.profile()
    assert made.suspicious and made.kind is NatKind.UNKNOWN and made.reflexive is None


def test_silence_where_nothing_else_is_known_to_work_is_no_verdict() -> None:
    assert lab("udp-blocked").profile(online=False).kind is NatKind.UNKNOWN


def test_it_begins_anew_when_the_network_changes_and_ends_when_stopped() -> None:
    host = lab("port-restricted")
    start = StartProfiling(host.world.stun, (), online=True)
    host.submit(start)
    first = set(host.ports)
    host.submit(start)
    assert len(host.ports) == 1 and not first & set(host.ports)
    host.submit(StopProfiling())
    assert not host.ports and host.machine.next_deadline() is None and host.made == []


def test_a_socket_that_cannot_be_opened_is_an_unknown_nat() -> None:
    machine = NatProfiler(iter(range(9)).__next__, random.Random(1))
    machine.handle(StartProfiling((("192.0.2.1", 3_478),), (), online=True), 0.0)
    # Without the first one only the filter stays unknown.
    [opening] = machine.handle(SocketFailed(0, "no more"), 0.1)
    assert isinstance(opening, OpenSocket)
    [made] = machine.handle(SocketFailed(opening.socket, "no more"), 0.1)
    assert isinstance(made, ProfileMade) and made.profile.kind is NatKind.UNKNOWN
    assert machine.handle(StartProfiling((), (), online=True), 0.2) == [ProfileMade(NatProfile(made_at=0.2))]


def test_a_counter_that_keeps_parity_is_known_from_sockets_of_both_parities() -> None:
    for seed in range(20):
        made = lab("symmetric-sequential-parity", seed).profile()
        assert (made.kind, made.delta) == (NatKind.SYMMETRIC_SEQUENTIAL, 2), made


def test_a_look_that_leaves_open_how_ports_are_chosen_is_followed_by_another() -> None:
    wire = WireSpec(delay_ms=30, jitter_ms=10, loss=0.02)
    made = [lab("adm-random", seed, wire).profile() for seed in range(60)]
    assert sum(each.kind is NatKind.SYMMETRIC_RANDOM for each in made) >= 58
