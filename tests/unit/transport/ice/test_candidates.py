import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transport.ice.candidates import (
    MAX_HOST_ADDRESSES,
    Candidate,
    CandidateKind,
    HostAddress,
    acceptable,
    host_candidates,
    may_be_peer,
    pair_priority,
    priority,
    prune,
    reflexive_candidates,
    to_wire,
    useful_hosts,
)
from transport.wire.call_messages import MAX_CANDIDATES, WireCandidate

HOME = HostAddress("192.168.1.20", 24, "eth0")
BASE = ("192.168.1.20", 50_000)


def candidate(ip: str, port: int = 5_000, kind: str = "host", rank: int = 1) -> WireCandidate:
    return WireCandidate(kind, ip, port, rank)  # type: ignore[arg-type]


def kept(*ips: str, hosts: tuple[HostAddress, ...] = (HOME,), our_public: tuple[str, ...] = ()) -> list[str]:
    return [one.ip for one in acceptable([candidate(ip) for ip in ips], hosts, our_public)]


def test_priorities_are_those_of_the_rfc() -> None:
    # RFC 8445 §5.1.2.1 with the recommended type preferences.
    assert priority(CandidateKind.HOST) == (126 << 24) + (65_535 << 8) + 255
    assert priority(CandidateKind.SERVER_REFLEXIVE, 0) == (100 << 24) + 255
    order = [CandidateKind.HOST, CandidateKind.PEER_REFLEXIVE, CandidateKind.MAPPED, CandidateKind.SERVER_REFLEXIVE]
    assert sorted(order, key=priority, reverse=True) == order


def test_pair_priorities_are_those_of_the_rfc() -> None:
    assert pair_priority(5, 3) == (3 << 32) + 2 * 5 + 1
    assert pair_priority(3, 5) == (3 << 32) + 2 * 5
    assert pair_priority(4, 4) == (4 << 32) + 8


def test_bridges_and_self_assigned_addresses_are_sent_last() -> None:
    bridge, own = HostAddress("172.17.0.1", 16, "docker0"), HostAddress("169.254.9.9", 16, "eth0")
    six = HostAddress("2001:db8::5", 64, "eth0")
    assert useful_hosts([bridge, own, HOME, six]) == (six, HOME, bridge, own)
    assert useful_hosts([bridge, own, HOME, six], limit=2) == (six, HOME)


def test_what_nobody_can_dial_is_not_sent() -> None:
    useless = ("127.0.0.1", "0.0.0.0", "::1", "fe80::1", "ff02::1", "224.0.0.5")
    assert useful_hosts(HostAddress(ip, 24 if "." in ip else 64) for ip in useless) == ()


def test_no_more_than_the_limit() -> None:
    many = [HostAddress(f"10.0.{n}.1", 24) for n in range(40)]
    assert len(useful_hosts(many)) == MAX_HOST_ADDRESSES
    crowd = [Candidate(CandidateKind.HOST, (f"10.0.0.{n}", 5_000), BASE, n + 1) for n in range(60)]
    assert len(prune(crowd)) == MAX_CANDIDATES
    assert prune(crowd)[0].priority == 60


def test_a_reflexive_address_of_ours_is_redundant() -> None:
    assert reflexive_candidates([BASE], BASE, [HOME]) == []
    outside = ("198.51.100.1", 4_000)
    assert [one.address for one in reflexive_candidates([outside, BASE, outside], BASE, [HOME])] == [outside]


def test_the_peer_is_not_sent_what_it_knows_better() -> None:
    mine = host_candidates([HOME], 50_000, BASE)
    found = Candidate(CandidateKind.PEER_REFLEXIVE, ("198.51.100.1", 9_000), BASE, 5)
    assert [one.kind for one in to_wire([*mine, found])] == ["host"]


@pytest.mark.parametrize(
    "ip",
    [
        *("127.0.0.1", "0.0.0.0", "0.1.2.3", "224.0.0.1", "239.255.255.250", "240.0.0.1", "255.255.255.255"),
        *("::", "::1", "fe80::1", "ff02::1", "::ffff:192.0.2.1", "64:ff9b::c000:201", "2002:c000:201::1"),
        *("fe80::1%eth0", "relay.example", "", "1", "192.0.2", "192.0.2.1:5", "010.0.0.1"),
        *("192.168.1.255", "192.168.1.0"),
    ],
)
def test_never_asked(ip: str) -> None:
    assert kept(ip, our_public=("198.51.100.1",)) == []


def test_servers_ports_are_never_asked() -> None:
    assert acceptable(
        [candidate("192.0.2.1", 53), candidate("192.0.2.1", 1_023), candidate("192.0.2.1", 1_024)], [HOME], []
    ) == [candidate("192.0.2.1", 1_024)]
    assert not may_be_peer(("192.0.2.1", 53))


def test_private_addresses_only_where_the_peer_can_be_near() -> None:
    assert kept("192.168.1.77", "192.168.2.77", "10.1.1.1", "100.64.0.9", "fd00::7") == ["192.168.1.77"]
    public = candidate("198.51.100.1", kind="server-reflexive")
    near = acceptable([candidate("10.1.1.1"), public], [HOME], ["198.51.100.1"])
    assert {one.ip for one in near} == {"10.1.1.1", "198.51.100.1"}
    far = acceptable([candidate("10.1.1.1"), public], [HOME], ["203.0.113.9"])
    assert {one.ip for one in far} == {"198.51.100.1"}


def test_each_address_once_by_falling_priority() -> None:
    listed = [
        candidate("2001:db8::1", rank=1),
        candidate("2001:DB8:0::1", rank=9),
        candidate("192.0.2.7", rank=5),
    ]
    assert [(one.ip, one.priority) for one in acceptable(listed, [], [])] == [("2001:db8::1", 9), ("192.0.2.7", 5)]


@given(st.lists(st.tuples(st.text(max_size=45) | st.ip_addresses().map(str), st.integers(1, 65_535)), max_size=40))
def test_whatever_is_listed_what_is_kept_is_a_dialable_address(listed: list[tuple[str, int]]) -> None:
    for one in acceptable([candidate(ip, port) for ip, port in listed], [HOME], ["198.51.100.1"]):
        ip = ipaddress.ip_address(one.ip)
        assert not (ip.is_loopback or ip.is_multicast or ip.is_unspecified or (ip.is_reserved and ip.version == 4))
        assert one.port >= 1_024
