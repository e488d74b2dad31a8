"""The router of the kernel laboratory, with time as an argument: translated, delayed, lost and cut as ordered."""

import pytest

from tests.natsim.kinds import KINDS
from tests.natsim.nat import NatKind
from tests.natsim.wire import WireSpec
from tests.netlab.packets import UdpPacket, build, parse

pytest.importorskip("fcntl", reason="the kernel laboratory is for Linux")
from tests.netlab.router import MAX_WAITING_PACKETS, Command, Options, Router

HOST, MAPPED, SERVER = ("192.168.1.10", 5_000), ("203.0.113.1", 5_000), ("192.0.2.1", 3_478)


def router(
    kind: NatKind = KINDS["port-restricted"], up: WireSpec | None = None, down: WireSpec | None = None
) -> Router:
    still = WireSpec(delay_ms=0.0)
    return Router(Options(kind, ("203.0.113.1",), "192.168.1.0/24", 1, up or still, down or still))


def outward(number: int = 0) -> bytes:
    return build(UdpPacket(HOST, SERVER, b"out %d" % number, 63))


INWARD = build(UdpPacket(SERVER, MAPPED, b"in", 60))


def test_both_ways_are_rewritten_and_cost_one_hop_together_with_the_kernel() -> None:
    nat = router()
    (sent,) = map(parse, nat.packet(outward(), 0.0))
    assert sent == UdpPacket(MAPPED, SERVER, b"out 0", 64)
    (came,) = map(parse, nat.packet(INWARD, 0.0))
    assert came == UdpPacket(SERVER, HOST, b"in", 61)


def test_packets_wait_on_the_wire_of_their_direction() -> None:
    nat = router(up=WireSpec(delay_ms=40.0), down=WireSpec(delay_ms=10.0))
    assert nat.packet(outward(), 1.0) == []
    assert nat.next_deadline() == pytest.approx(1.04)
    assert nat.due(1.039) == []
    assert len(nat.due(1.041)) == 1
    assert nat.next_deadline() is None
    assert nat.packet(INWARD, 2.0) == []
    assert len(nat.due(2.0101)) == 1


def test_what_comes_in_meets_the_nat_only_after_its_wire() -> None:
    nat = router(down=WireSpec(delay_ms=100.0))
    assert nat.packet(INWARD, 0.0) == [], "on its way"
    nat.packet(outward(), 0.05)
    assert len(nat.due(0.2)) == 1, "the host has spoken in the meantime"


def test_as_much_is_lost_as_was_ordered() -> None:
    nat = router(up=WireSpec(delay_ms=0.0, loss=0.2))
    passed = sum(len(nat.packet(outward(number), 0.0)) for number in range(5_000))
    # Four standard errors of a share of 0.2.
    assert passed / 5_000 == pytest.approx(0.8, abs=0.023)
    assert nat.counts["lost"] == 5_000 - passed


def test_commands() -> None:
    nat = router(NatKind(allocation="random"))

    def port() -> int:
        (sent,) = map(parse, nat.packet(outward(), 0.0))
        assert sent is not None
        return sent.source[1]

    first = port()
    assert port() == first
    assert nat.command(Command("cut")) == {}
    assert nat.packet(outward(), 0.0) == []
    assert nat.command(Command("heal")) == {}
    assert port() == first
    assert nat.command(Command("flush")) == {}
    assert port() != first
    assert nat.command(Command("swap", kind=KINDS["port-restricted"])) == {}
    assert port() == HOST[1]
    assert nat.command(Command("wires", up=WireSpec(delay_ms=5.0))) == {}
    assert nat.packet(outward(), 0.0) == []
    assert "swap" in nat.command(Command("swap"))["error"]
    assert nat.command(Command("stats"))["mappings"] == 1


def test_what_is_refused_or_is_not_udp_is_counted_and_dropped() -> None:
    nat = router()
    nat.packet(outward(), 0.0)
    stranger = build(UdpPacket(("192.0.2.9", 1), MAPPED, b"", 60))
    assert nat.packet(stranger, 0.0) == []
    assert nat.packet(b"\x60" + bytes(60), 0.0) == []
    assert nat.packet(build(UdpPacket(HOST, MAPPED, b"hairpin", 60)), 0.0) == []
    stats = nat.command(Command("stats"))
    assert {key: stats[key] for key in ("filtered", "not-udp", "hairpin")} == {
        "filtered": 1,
        "not-udp": 1,
        "hairpin": 1,
    }


def test_hairpin_turns_around_without_a_wire() -> None:
    nat = router(NatKind(filtering="endpoint-independent", hairpin="external-source"), up=WireSpec(delay_ms=100.0))
    nat.packet(outward(), 0.0)
    neighbour = ("192.168.1.11", 6_000)
    (turned,) = map(parse, nat.packet(build(UdpPacket(neighbour, MAPPED, b"hello", 60)), 0.0))
    assert turned is not None
    assert (turned.source, turned.destination) == (("203.0.113.1", 6_000), HOST)


def test_a_flood_fills_the_queue_and_no_more() -> None:
    nat = router(up=WireSpec(delay_ms=1_000.0))
    for number in range(MAX_WAITING_PACKETS + 10):
        nat.packet(outward(number), 0.0)
    assert nat.counts["queue-full"] == 10
    assert len(nat.due(2.0)) == MAX_WAITING_PACKETS


def test_one_remote_may_be_further_away_than_others_and_cut_alone() -> None:
    nat, peer = router(), ("198.51.100.1", 9)
    to_peer = build(UdpPacket(HOST, peer, b"direct", 63))
    nat.command(Command("wires", up=WireSpec(delay_ms=30.0), remotes=(peer[0],)))
    assert nat.packet(to_peer, 1.0) == [] and len(nat.packet(outward(), 1.0)) == 1
    assert len(nat.due(1.031)) == 1
    nat.command(Command("cut", remotes=(peer[0],)))
    nat.packet(to_peer, 2.0)
    assert nat.due(3.0) == [] and len(nat.packet(outward(), 3.0)) == 1
    from_peer = build(UdpPacket(peer, MAPPED, b"in", 60))
    assert nat.packet(from_peer, 3.0) == []
    nat.command(Command("heal", remotes=(peer[0],)))
    assert len(nat.packet(from_peer, 4.0)) == 1
    nat.command(Command("cut"))
    nat.packet(to_peer, 5.0)
    assert nat.due(6.0) == [] and nat.packet(outward(), 6.0) == [], "all of them"
