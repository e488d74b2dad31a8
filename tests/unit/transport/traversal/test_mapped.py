"""Mapped candidates: their rank, their number, and the socket that stands behind them."""

import random

import pytest

from transport.ice.candidates import (
    MAX_MAPPED,
    CandidateKind,
    HostAddress,
    acceptable,
    mapped_candidates,
    priority,
    to_wire,
)
from transport.ice.checklist import PairChosen
from transport.ice.credentials import CheckKeys, make_credentials
from transport.net.port_mapping import MappedPort
from transport.net.sockets import CloseSocket, OpenSocket, SendDatagram, SocketFailed, SocketOpened
from transport.traversal import hole_punch
from transport.traversal.events import SendToPeer
from transport.traversal.round import PunchRound, RoundPlan, RoundWon
from transport.traversal.technique import direct_found
from transport.wire.call_messages import Candidates, WireCandidate
from transport.wire.stun import IceRole

BASE = ("192.168.1.20", 25_000)
HOSTS = (HostAddress("192.168.1.20", 24, "eth0"), HostAddress("2001:db8:a::20", 64, "eth0"))
STUN = (("192.0.2.1", 3_478), ("192.0.2.2", 3_478))
THEIRS = make_credentials(random.Random(9))
DOOR = MappedPort(25_000, ("198.51.100.1", 25_001), "pcp", 99.0, is_public=True)


def rank(port: MappedPort, *seen: str) -> int:
    (candidate,) = mapped_candidates([port], BASE, seen)
    assert candidate.address == port.external and candidate.kind is CandidateKind.MAPPED
    return candidate.priority


def test_a_mapped_candidate_is_between_a_host_and_what_a_server_saw() -> None:
    host, reflexive = priority(CandidateKind.HOST), priority(CandidateKind.SERVER_REFLEXIVE)
    assert host > rank(DOOR) > reflexive, "nothing is known against it"
    assert host > rank(DOOR, "198.51.100.1") > reflexive
    assert rank(DOOR, "198.51.100.2") < reflexive, "servers see another address"
    assert rank(DOOR, "192.168.1.20") > reflexive, "a server in our own network knows nothing of the outside"
    behind = MappedPort(25_000, ("100.64.1.2", 25_001), "upnp", 99.0, is_public=False)
    assert 0 < rank(behind, "198.51.100.1") < reflexive


def test_nobody_tells_or_is_believed_mapped_ports_by_the_dozen() -> None:
    many = [MappedPort(25_000, ("198.51.100.1", 25_000 + n), "pcp", 99.0, is_public=True) for n in range(20)]
    assert len(mapped_candidates(many, BASE, ())) == MAX_MAPPED
    told = [WireCandidate("mapped", "203.0.113.9", 30_000 + n, 1_000 + n) for n in range(20)]
    told.append(WireCandidate("server-reflexive", "203.0.113.9", 4_000, 1))
    accepted = acceptable(told, HOSTS, ())
    assert [one.kind for one in accepted] == ["mapped"] * MAX_MAPPED + ["server-reflexive"]


def test_a_private_one_is_asked_only_by_who_is_near() -> None:
    told = [
        WireCandidate("mapped", "100.64.1.2", 25_001, 5),
        WireCandidate("server-reflexive", "198.51.100.1", 9_999, 1),
    ]
    assert [one.kind for one in acceptable(told, HOSTS, ())] == ["server-reflexive"]
    assert {one.kind for one in acceptable(told, HOSTS, ("198.51.100.1",))} == {"mapped", "server-reflexive"}


def a_round(*mapped: MappedPort) -> tuple[PunchRound, list[OpenSocket]]:
    plan = RoundPlan(
        *(0, False, False, IceRole.CONTROLLING, STUN, HOSTS, (), hole_punch.BUDGET, 2, 0.08), mapped=mapped, door=9
    )
    made = PunchRound(plan, {0: 4, 1: 6}, random.Random(1))
    return made, [command for command in made.begin(0.0) if isinstance(command, OpenSocket)]


def test_the_door_is_a_socket_on_the_mapped_port_and_asks_nobody() -> None:
    made, opened = a_round(DOOR)
    assert [(one.socket, one.port) for one in opened] == [(0, 0), (1, 0), (9, 25_000)]
    assert [one.port for one in a_round()[1]] == [0, 0], "without a mapping there is none"
    said = made.opened(SocketOpened(9, BASE), 0.0)
    assert not any(isinstance(command, SendDatagram) for command in said), "it is public: no server need be asked"


def test_a_pinhole_is_the_ipv6_sockets_own_port() -> None:
    pinhole = MappedPort(25_000, ("2001:db8:a::20", 25_000), "pcp", 99.0, is_public=True)
    assert [(one.socket, one.port) for one in a_round(pinhole)[1]] == [(0, 0), (1, 25_000)]


def test_behind_a_further_nat_one_server_is_asked_from_the_door() -> None:
    behind = MappedPort(25_000, ("100.64.1.2", 25_001), "upnp", 99.0, is_public=False)
    made, _ = a_round(behind)
    asked = [command for command in made.opened(SocketOpened(9, BASE), 0.0) if isinstance(command, SendDatagram)]
    assert [one.destination for one in asked] == [STUN[0]]


def test_what_gathers_and_fails_before_the_other_is_open_leaves_nothing_due() -> None:
    made, _ = a_round()
    made.opened(SocketOpened(0, ("192.168.1.20", 40_001)), 0.0)
    assert made.next_deadline() is not None
    made.failed(SocketFailed(0, "gone"), 0.1)
    assert (due := made.next_deadline()) is None or due > 0.4
    made.opened(SocketOpened(1, ("2001:db8:a::20", 40_002)), 5.0)
    assert (due := made.next_deadline()) is not None and due > 5.0, "it gathers anew"


@pytest.mark.parametrize("event", [SocketOpened(9, ("192.168.1.20", 40_000)), SocketFailed(9, "taken")])
def test_a_port_that_is_taken_is_not_told(event: SocketOpened | SocketFailed) -> None:
    made, _ = a_round(DOOR)
    made.opened(SocketOpened(0, ("192.168.1.20", 40_001)), 0.0)
    made.opened(SocketOpened(1, ("2001:db8:a::20", 40_002)), 0.0)
    out = made.opened(event, 0.0) if isinstance(event, SocketOpened) else made.failed(event, 0.0)
    assert (CloseSocket(9) in out) is isinstance(event, SocketOpened)
    said = [one.message for one in made.timer(1.0) if isinstance(one, SendToPeer)]
    assert said and isinstance(said[0], Candidates)
    assert {one.kind for one in said[0].candidates} == {"host"} and 9 not in made.sockets


def test_a_mapping_that_comes_later_is_told_with_the_rest() -> None:
    made, _ = a_round()
    made.opened(SocketOpened(0, ("192.168.1.20", 40_001)), 0.0)
    made.opened(SocketOpened(1, ("2001:db8:a::20", 40_002)), 0.0)
    first = [one.message for one in made.timer(1.0) if isinstance(one, SendToPeer)]
    (opened,) = [one for one in made.map_ports((DOOR,), 1.1) if isinstance(one, OpenSocket)]
    assert (opened.socket, opened.port) == (9, 25_000)
    later = [one.message for one in made.opened(SocketOpened(9, BASE), 1.2) if isinstance(one, SendToPeer)]
    assert isinstance(first[0], Candidates) and isinstance(later[0], Candidates)
    assert (first[0].ufrag, {"mapped"}) == (
        later[0].ufrag,
        {one.kind for one in later[0].candidates} - {one.kind for one in first[0].candidates},
    )
    assert to_wire(mapped_candidates([DOOR], BASE, ()))[0] in later[0].candidates


def test_the_way_of_a_win_is_named() -> None:
    keys = CheckKeys(THEIRS, THEIRS, IceRole.CONTROLLING, 1)

    def via(kind: CandidateKind, remote: str, *, is_door: bool) -> str:
        pair = PairChosen(0, (remote, 5_000), kind, 0.1, ("198.51.100.1", 25_001), 1)
        return direct_found(RoundWon(0, BASE, pair, keys, is_door)).via

    assert via(CandidateKind.PEER_REFLEXIVE, "203.0.113.9", is_door=True) == "port_mapping"
    assert via(CandidateKind.MAPPED, "203.0.113.9", is_door=False) == "port_mapping"
    assert via(CandidateKind.MAPPED, "100.64.1.2", is_door=False) == "port_mapping"
    assert via(CandidateKind.PEER_REFLEXIVE, "203.0.113.9", is_door=False) == "punch"
    assert via(CandidateKind.HOST, "192.168.1.7", is_door=False) == "host"
