"""The port mapper in front of good and of broken routers, in virtual time."""

import random

import pytest

from tests.natsim.clock import VirtualClock
from tests.natsim.internet import NatGateway, behind
from tests.natsim.kinds import KINDS
from tests.natsim.nat import Nat
from tests.natsim.network import Host, Network, Packet
from tests.natsim.port_mapping import ALL, Entry, Habits, MappingRouter, SimMapper
from transport.portmap import lease, natpmp, pcp
from transport.portmap.mapper import STOP_S
from transport.portmap.mapper_events import CheckMappings, GatewayAnnounced, ReflexiveSeen, StopMapping
from transport.portmap.status import MappingStatus

OUTSIDE = "198.51.100.1"
STRANGER = "203.0.113.9"
PORT = 25_000


class House:
    """A host, its router with a NAT that nobody comes through unasked, and a stranger on the internet."""

    def __init__(self, habits: Habits | None = None, seed: int = 1, external: str = OUTSIDE) -> None:
        self.rng = random.Random(seed)
        self.clock = VirtualClock()
        self.internet = Network(self.clock, self.rng)
        self.stranger: Host = self.internet.host(STRANGER)
        self.gateway: NatGateway = behind(self.internet, KINDS["linux-random"], (external,), self.rng)
        self.router = MappingRouter(self.gateway, "192.168.1.1", habits)
        self.host = self.gateway.inside.host("192.168.1.20")
        self.mapper = self.new_mapper()

    def new_mapper(self, **options: object) -> SimMapper:
        return SimMapper(self.host, self.router, random.Random(7), **options)  # type: ignore[arg-type]

    def run(self, seconds: float) -> None:
        self.clock.run(seconds)

    def start(self, seconds: float = 5.0) -> SimMapper:
        self.mapper.start()
        self.run(seconds)
        return self.mapper

    def gets_through(self, external: tuple[str, int]) -> bool:
        """Whether what a stranger sends to an address reaches our port, and our answer the stranger."""
        got: list[bytes] = []
        back: list[tuple[str, int]] = []

        def answer(data: bytes, source: tuple[str, int]) -> None:
            got.append(data)
            self.host.send(PORT, source, b"yes")

        self.host.open(answer, PORT)
        port = self.stranger.open(lambda data, source: back.append(source))
        self.stranger.send(port, external, b"probe")
        self.run(1.0)
        self.host.close(PORT)
        return got == [b"probe"] and back == [external]


@pytest.mark.parametrize("protocol", sorted(ALL))
def test_a_port_is_mapped_forwards_and_is_given_back(protocol: str) -> None:
    house = House(Habits(speaks=frozenset({protocol})))
    mapper = house.start()
    (mapped,) = mapper.ports
    assert (mapped.external, mapped.internal_port, mapped.protocol) == ((OUTSIDE, PORT), PORT, protocol)
    assert mapped.is_public and mapper.machine.status == MappingStatus("won", "", protocol)  # type: ignore[arg-type]
    assert house.gets_through(mapped.external)
    stopped_at = house.clock.now
    mapper.submit(StopMapping())
    assert house.clock.run(STOP_S, lambda: mapper.is_stopped) and house.clock.now - stopped_at < STOP_S
    assert not house.router.live() and not mapper.sockets and mapper.machine.next_deadline() is None
    assert not house.gets_through(mapped.external), "the router forwards after the mapping was deleted"


def test_the_first_answer_is_quick_and_one_protocol_maps() -> None:
    house = House()
    house.start()
    at, ports = house.mapper.reported[0]
    assert at - 1_000.0 < 0.25 and len(ports) == 1 and ports[0].protocol == "pcp"
    assert {protocol for _, protocol, what in house.router.requests if what == "map"} == {"pcp"}
    assert {protocol for _, protocol, _ in house.router.requests} == ALL, "all are asked, side by side"


def test_natpmp_waits_a_moment_for_pcp_and_not_longer() -> None:
    house = House(Habits(speaks=frozenset({"nat-pmp", "upnp"})))
    house.start()
    at, ports = house.mapper.reported[0]
    assert ports[0].protocol == "nat-pmp" and at - 1_000.0 < 0.3


def test_silence_is_reported_and_stays_cheap() -> None:
    house = House(Habits(speaks=frozenset()))
    mapper = house.start(4.0)
    assert mapper.machine.status == MappingStatus("failed", "silent") and mapper.ports == ()
    house.run(24 * 3_600.0)
    # Each half hour PCP asks four times at the most and NAT-PMP nine times.
    assert len(mapper.sent) <= 49 * (4 + 9)
    mapper.submit(StopMapping())
    house.run(STOP_S)
    assert mapper.is_stopped and not mapper.sockets


def test_no_gateway_is_reported() -> None:
    house = House()
    house.mapper.router = None
    mapper = house.start()
    assert mapper.machine.status == MappingStatus("failed", "no-gateway")
    assert not mapper.sent and not mapper.sockets


@pytest.mark.parametrize("protocol", sorted(ALL))
def test_a_lease_is_renewed_at_half_its_life_and_never_ends(protocol: str) -> None:
    house = House(Habits(speaks=frozenset({protocol})))
    mapper = house.start()
    first = house.router.asked("map")
    house.run(1_700.0)
    assert house.router.asked("map") == first
    house.run(200.0)
    assert house.router.asked("map") == first + 1, "at half of an hour"
    house.run(10 * 3_600.0)
    assert mapper.ports and house.router.live() and len(mapper.reported) == 1, "nothing that a call sees has changed"


@pytest.mark.parametrize("protocol", ["pcp", "nat-pmp", "upnp"])
def test_a_router_that_forgets_everything_is_asked_again_at_once(protocol: str) -> None:
    house = House(Habits(speaks=frozenset({protocol})))
    mapper = house.start(120.0)
    house.router.reboot()
    house.run(lease.WATCH_EVERY_S + 1.0)
    assert house.router.live() and mapper.ports and house.gets_through(mapper.ports[0].external)


@pytest.mark.parametrize("protocol", ["pcp", "nat-pmp", "upnp"])
def test_before_a_call_nobody_waits_for_the_next_look(protocol: str) -> None:
    house = House(Habits(speaks=frozenset({protocol})))
    mapper = house.start(10.0)
    house.router.reboot()
    mapper.submit(CheckMappings())
    house.run(0.5)
    assert house.router.live(), "looked at the moment it was asked"


def test_an_announcement_is_a_reason_to_ask_and_no_more_often_than_now_and_then() -> None:
    house = House(Habits(speaks=frozenset({"pcp"})))
    mapper = house.start(10.0)
    for _ in range(200):
        mapper.submit(GatewayAnnounced("192.168.1.66"))
    assert house.router.asked("announce") == 0, "another host is no router"
    for _ in range(200):
        mapper.submit(GatewayAnnounced("192.168.1.1"))
        house.run(0.05)
    assert 1 <= house.router.asked("announce") <= 11, "in ten seconds"
    house.run(1.0)
    house.router.reboot()
    mapper.submit(GatewayAnnounced("192.168.1.1"))
    house.run(0.5)
    assert house.router.live()


@pytest.mark.parametrize("protocol", ["pcp", "nat-pmp"])
def test_a_router_that_forgets_right_after_it_has_mapped_is_asked_again_soon(protocol: str) -> None:
    house = House(Habits(speaks=frozenset({protocol})))
    mapper = house.start(4.0)
    house.router.reboot()
    mapper.submit(CheckMappings())
    house.run(lease.MIN_REMAP_S + 0.5)
    assert house.router.live() and house.gets_through(mapper.ports[0].external)


@pytest.mark.parametrize("protocol", sorted(ALL))
def test_another_port_than_the_one_asked_for_is_taken(protocol: str) -> None:
    house = House(Habits(speaks=frozenset({protocol}), other_port=True), seed=3)
    mapper = house.start(6.0)
    if not mapper.ports and protocol == "upnp":
        # A router that gives only ports from 61,000 on: four tries seldom hit that.
        assert mapper.machine.status == MappingStatus("failed", "conflict")
        return
    assert mapper.ports[0].external[1] != PORT and house.gets_through(mapper.ports[0].external)


def test_a_port_that_somebody_else_holds_is_not_taken_from_them() -> None:
    house = House(Habits(speaks=frozenset({"upnp"})))
    theirs = ("192.168.1.66", 9)
    house.router.table[PORT] = Entry(theirs, until=10.0**9)
    mapper = house.start()
    assert house.router.live()[PORT].inside == theirs
    assert mapper.ports[0].external[1] != PORT and house.gets_through(mapper.ports[0].external)


def test_a_changed_port_is_reported() -> None:
    house = House(Habits(speaks=frozenset({"nat-pmp"})))
    mapper = house.start(100.0)
    house.router.reboot()
    house.router.habits.other_port = True
    house.run(70.0)
    assert [ports[0].external[1] for _, ports in mapper.reported if ports][-1] == mapper.ports[0].external[1] != PORT


@pytest.mark.parametrize("way", ["refuses", "keeps"])
def test_no_permanent_lease_is_ever_left_behind(way: str) -> None:
    house = House(Habits(speaks=frozenset({"upnp"}), permanent=way))
    mapper = house.start()
    assert mapper.ports == () and not house.router.live()
    assert mapper.machine.status == MappingStatus("failed", "permanent-lease-only")
    house.run(3_600.0)
    assert house.router.asked("map") <= 4 and not house.router.live()


@pytest.mark.parametrize(
    ("result", "reason"),
    [
        (
            {"pcp": pcp.PcpResult.NOT_AUTHORIZED, "nat-pmp": natpmp.NatPmpResult.NOT_AUTHORIZED, "upnp": 606},
            "not-authorized",
        ),
        (
            {"pcp": pcp.PcpResult.NO_RESOURCES, "nat-pmp": natpmp.NatPmpResult.OUT_OF_RESOURCES, "upnp": 728},
            "no-resources",
        ),
        ({"pcp": 99, "nat-pmp": 99, "upnp": 501}, "refused"),
    ],
)
def test_refusals_are_named_and_not_repeated(result: dict[str, int], reason: str) -> None:
    house = House(Habits(result=result))
    mapper = house.start()
    assert mapper.machine.status == MappingStatus("failed", reason) and mapper.ports == ()
    before = house.router.asked("map")
    house.run(600.0)
    # PCP says itself that 30 s are enough; the others are left in peace.
    assert house.router.asked("map") - before <= 600 / lease.MIN_RETRY_S


def test_one_protocol_makes_up_for_another() -> None:
    house = House(Habits(result={"pcp": pcp.PcpResult.NOT_AUTHORIZED, "nat-pmp": natpmp.NatPmpResult.NOT_AUTHORIZED}))
    mapper = house.start()
    assert mapper.ports[0].protocol == "upnp" and house.gets_through(mapper.ports[0].external)


@pytest.mark.parametrize("protocol", ["pcp", "nat-pmp"])
def test_an_epoch_that_runs_wild_does_not_make_us_do_so(protocol: str) -> None:
    habits = Habits(speaks=frozenset({protocol}), epoch_of=lambda age_s: (age_s * 7_919) % 100_000)
    house = House(habits)
    mapper = house.start(3_600.0)
    assert mapper.ports and len(mapper.sent) < 3 * 3_600 / lease.WATCH_EVERY_S + 10


@pytest.mark.parametrize("lived_s", [0.0, 0.1, 5.0], ids=["before it hears", "just mapped", "mapped for long"])
def test_what_a_killed_program_left_is_found_again(lived_s: float) -> None:
    house = House()
    before = house.start(0.0)
    house.clock.run(lived_s or 1.0, lambda: not lived_s and bool(house.router.table))
    assert house.router.live() and bool(before.ports) is bool(lived_s)
    before.kill()
    house.run(60.0)
    (port,) = house.router.live()
    house.mapper = house.new_mapper(before=before.remembered)
    after = house.start()
    assert list(house.router.live()) == [port] == [after.ports[0].external[1]]
    after.submit(StopMapping())
    house.run(STOP_S)
    assert not house.router.live()


@pytest.mark.parametrize("protocol", ["pcp", "nat-pmp", "upnp"])
def test_what_a_killed_program_left_for_another_port_is_deleted(protocol: str) -> None:
    house = House(Habits(speaks=frozenset({protocol})))
    before = house.start()
    before.kill()
    house.mapper = house.new_mapper(before=before.remembered, port=26_000)
    after = house.start(8.0)
    assert {entry.inside[1] for entry in house.router.live().values()} == {26_000}
    assert len(after.ports) == 1


@pytest.mark.parametrize("is_same", [True, False], ids=["the same entry", "an entry of its own"])
def test_what_a_killed_program_left_in_another_protocol_is_deleted(is_same: bool) -> None:
    """Found again by NAT-PMP it is the one that is held; where that takes another port the old one goes."""
    house = House(Habits(speaks=frozenset({"upnp"})))
    before = house.start()
    before.kill()
    house.router.habits = Habits(speaks=frozenset({"nat-pmp", "upnp"}))
    if not is_same:
        # A router whose servers do not know of each other: the entry seems to be nobody's.
        house.router.separate = True
    house.mapper = house.new_mapper(before=before.remembered)
    after = house.start(8.0)
    assert list(house.router.live()) == [port.external[1] for port in after.ports]
    assert len(after.ports) == 1 and (after.ports[0].external[1] == PORT) is is_same


def test_a_private_external_address_is_still_a_candidate_and_no_public_one() -> None:
    house = House(external="100.64.7.20")
    mapper = house.start()
    assert mapper.ports[0].external == ("100.64.7.20", PORT) and not mapper.ports[0].is_public
    assert mapper.machine.status.reason == "second-nat"
    guesses = [sent for sent in mapper.sent if sent.destination[0] not in ("192.168.1.1",)]
    assert {sent.destination[0] for sent in guesses} == {"100.64.7.1", "192.0.0.9"}
    house.run(600.0)
    assert len([sent for sent in mapper.sent if sent.destination[0] != "192.168.1.1"]) <= 3 + 4 + 4


def test_a_second_router_maps_the_mapping_of_the_first() -> None:
    """A home router behind a carrier's NAT that maps as well: two mappings in a row."""
    house = House()
    outer = behind(house.internet, KINDS["linux-random"], ("198.51.100.9",), house.rng)
    outer_router = MappingRouter(outer, "100.64.7.1")
    home = behind(outer.inside, KINDS["linux-random"], ("100.64.7.20",), house.rng)
    home_router = MappingRouter(home, "192.168.2.1")
    house.host = home.inside.host("192.168.2.20")
    house.router = home_router
    mapper = house.mapper = house.new_mapper()
    house.start()
    assert [port.external for port in mapper.ports] == [("198.51.100.9", PORT), ("100.64.7.20", PORT)]
    assert [port.is_public for port in mapper.ports] == [True, False]
    assert mapper.machine.status.outcome == "won" and mapper.machine.status.reason == ""
    assert house.gets_through(mapper.ports[0].external)
    mapper.submit(StopMapping())
    house.run(STOP_S)
    assert not outer_router.live() and not home_router.live()


def test_an_address_that_stun_does_not_see_is_no_public_one() -> None:
    house = House(Habits(shows_ip="198.51.100.77"))
    mapper = house.start()
    assert mapper.ports[0].is_public, "nothing is known against it"
    mapper.submit(ReflexiveSeen(OUTSIDE))
    assert not mapper.ports[0].is_public and mapper.machine.status == MappingStatus("won", "other-address", "pcp")
    mapper.submit(ReflexiveSeen("198.51.100.77"))
    assert mapper.ports[0].is_public


@pytest.mark.parametrize("shows", ["0.0.0.0", "127.0.0.1", "224.0.0.5", "255.255.255.255"])
@pytest.mark.parametrize("protocol", sorted(ALL))
def test_an_impossible_external_address_is_none(protocol: str, shows: str) -> None:
    house = House(Habits(speaks=frozenset({protocol}), shows_ip=shows))
    mapper = house.start()
    assert mapper.ports == () and mapper.machine.status == MappingStatus("failed", "no-external-address")


def test_another_network_is_asked_anew_and_the_old_one_forgotten() -> None:
    house = House()
    house.start()
    other = House(seed=2, external="198.51.100.50")
    mapper = house.mapper
    other_gateway = behind(house.internet, KINDS["linux"], ("198.51.100.50",), other.rng)
    other_router = MappingRouter(other_gateway, "10.0.0.1")
    house.host.leave("192.168.1.20")
    house.host.join(other_gateway.inside, "10.0.0.5")
    mapper.router = other_router
    house.start()
    assert [port.external for port in mapper.ports] == [("198.51.100.50", PORT)]
    assert [len(ports) for _, ports in mapper.reported] == [1, 0, 1]


@pytest.mark.parametrize("protocol", ["pcp", "nat-pmp"])
def test_packets_may_be_lost_in_the_house(protocol: str) -> None:
    mapped = 0
    for seed in range(40):
        house = House(Habits(speaks=frozenset({protocol}), loses=0.3), seed=seed)
        mapped += bool(house.start(30.0).ports)
    assert mapped >= 38


def test_what_others_say_moves_nothing() -> None:
    """The nonce and the router's address protect: an answer from elsewhere in the house is none."""
    house = House(Habits(speaks=frozenset()))
    mapper = house.start(1.0)
    mallory = house.gateway.inside.host("192.168.1.99")
    forged = pcp.map_request("192.168.1.20", bytes(12), PORT, ("198.51.100.1", PORT), 3_600)
    answer = b"\x02\x81\x00\x00" + (3_600).to_bytes(4, "big") + bytes(16) + forged[24:]
    for port in house.host.open_ports:
        mallory.send(5_351, ("192.168.1.20", port), answer)
        mallory.send(5_351, ("192.168.1.20", port), b"\x00\x80\x00\x00\x00\x00\x00\x01\xc6\x33\x64\x01")
        house.gateway.inside.inject(Packet(("192.168.1.1", 5_351), ("192.168.1.20", port), answer))
    house.run(1.0)
    assert mapper.ports == ()


def test_a_lie_about_the_mapping_is_believed_and_does_no_harm_here() -> None:
    """Only a check that comes through proves a mapping; the traversal finds out (test_mapped_calls.py)."""
    house = House(Habits(lie=True))
    mapper = house.start()
    assert mapper.ports and not house.gets_through(mapper.ports[0].external)


def test_leases_too_short_to_be_kept_are_refused() -> None:
    house = House(Habits(speaks=frozenset({"pcp"}), longest_s=5))
    mapper = house.start()
    assert mapper.machine.status == MappingStatus("failed", "lease-too-short")
    short = House(Habits(longest_s=int(lease.MIN_LEASE_S)))
    assert short.start(100.0).ports and short.router.asked("map") <= 100 / lease.MIN_RENEWAL_S + 2


def test_an_ipv6_firewall_is_opened_by_a_pinhole() -> None:
    rng, clock = random.Random(1), VirtualClock()
    internet = Network(clock, rng)
    stranger = internet.host("2001:db8:ffff::9")
    six = Network(clock, rng)
    firewall = NatGateway(Nat(KINDS["firewall"], (), rng), six, internet)
    router = MappingRouter(firewall, "2001:db8:a::1")
    host = six.host("2001:db8:a::20")
    firewall.route(host.ip)
    mapper = SimMapper(host, router, random.Random(7), port=PORT)
    mapper.start()
    clock.run(5.0)
    (pinhole,) = mapper.ports
    assert (pinhole.external, pinhole.internal_port, pinhole.is_public) == ((host.ip, PORT), PORT, True)
    assert mapper.machine.status == MappingStatus("won", "", "pcp")
    got: list[bytes] = []
    host.open(lambda data, source: got.append(data), PORT)
    for port in (PORT, PORT + 1):
        stranger.send(stranger.open(lambda data, source: None), (host.ip, port), b"probe %d" % port)
    clock.run(1.0)
    assert got == [b"probe %d" % PORT], "that port and no other"
    clock.run(2 * 3_600.0)
    assert mapper.ports and router.pinholes
    mapper.submit(StopMapping())
    clock.run(STOP_S)
    assert mapper.is_stopped and not router.pinholes
