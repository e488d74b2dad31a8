"""Mapped candidates: their rank, their number, and the socket that stands behind them."""

import random
from typing import TypeVar

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
from transport.ice.credentials import make_credentials
from transport.ice.pairs import PairChosen
from transport.net.port_mapping import MappedPort
from transport.net.sockets import Address, CloseSocket, OpenSocket, SendDatagram, SocketFailed, SocketOpened
from transport.traversal.context import TraversalContext
from transport.traversal.events import SendToPeer
from transport.traversal.punch_round import BUDGET, PunchRound
from transport.traversal.round import Round, RoundPlan, RoundResult
from transport.wire.call_messages import Candidates, WireCandidate
from transport.wire.stun import IceRole

CommandT = TypeVar("CommandT")
BASE = ("192.168.1.20", 25_000)
HOSTS = (HostAddress("192.168.1.20", 24, "eth0"), HostAddress("2001:db8:a::20", 64, "eth0"))
STUN = (("192.0.2.1", 3_478), ("192.0.2.2", 3_478))
THEIRS = make_credentials(random.Random(9))
MAPPED = MappedPort(25_000, ("198.51.100.1", 25_001), "pcp", 99.0, is_public=True)


def rank(port: MappedPort, *seen: str) -> int:
    (candidate,) = mapped_candidates([port], BASE, seen)
    assert candidate.address == port.external and candidate.kind is CandidateKind.MAPPED
    return candidate.priority


def test_a_mapped_candidate_is_between_a_host_and_what_a_server_saw() -> None:
    host, reflexive = priority(CandidateKind.HOST), priority(CandidateKind.SERVER_REFLEXIVE)
    assert host > rank(MAPPED) > reflexive, "nothing is known against it"
    assert host > rank(MAPPED, "198.51.100.1") > reflexive
    assert rank(MAPPED, "198.51.100.2") < reflexive, "servers see another address"
    assert rank(MAPPED, "192.168.1.20") > reflexive, "a server in our own network knows nothing of the outside"
    behind = MappedPort(25_000, ("100.64.1.2", 25_001), "upnp", 99.0, is_public=False)
    assert 0 < rank(behind, "198.51.100.1") < reflexive


def test_nobody_tells_or_is_believed_mapped_ports_by_the_dozen() -> None:
    many = [MappedPort(25_000, ("198.51.100.1", 25_000 + n), "pcp", 99.0, is_public=True) for n in range(20)]
    assert len(mapped_candidates(many, BASE, ())) == MAX_MAPPED
    listed = [WireCandidate("mapped", "203.0.113.9", 30_000 + n, 1_000 + n) for n in range(20)]
    listed.append(WireCandidate("server-reflexive", "203.0.113.9", 4_000, 1))
    accepted = acceptable(listed, HOSTS, ())
    assert [one.kind for one in accepted] == ["mapped"] * MAX_MAPPED + ["server-reflexive"]


def test_a_private_one_is_asked_only_by_who_is_near() -> None:
    listed = [
        WireCandidate("mapped", "100.64.1.2", 25_001, 5),
        WireCandidate("server-reflexive", "198.51.100.1", 9_999, 1),
    ]
    assert [one.kind for one in acceptable(listed, HOSTS, ())] == ["server-reflexive"]
    assert {one.kind for one in acceptable(listed, HOSTS, ("198.51.100.1",))} == {"mapped", "server-reflexive"}


V6, V4, EXTRA = 0, 1, 2
"""Sockets, in the order of their opening; the last one is the mapped port's."""


class ALab:
    """One round of punching, the first of an attempt."""

    def __init__(self, *mapped: MappedPort) -> None:
        self.context = TraversalContext(
            *(IceRole.CONTROLLING, STUN, HOSTS, iter(range(99)).__next__, random.Random(1), True), mapped=mapped
        )
        self.round = PunchRound(RoundPlan(self.context, 0, self, BUDGET), leads=False, stun=STUN, opener_ttl=2)
        self.round.begin(0.0)
        self.begun = self.of(OpenSocket)

    def take(self, source: Round, result: RoundResult, now: float) -> None:
        pass

    def of(self, kind: type[CommandT]) -> list[CommandT]:
        """What it has ordered since the last time, of this kind."""
        out = [command for command in self.context.commands if isinstance(command, kind)]
        self.context.commands.clear()
        return out

    def open(self, socket: int, local: Address, now: float = 0.0) -> None:
        self.round.opened(SocketOpened(socket, local), now)

    def open_both(self) -> None:
        self.open(V4, ("192.168.1.20", 40_001))
        self.open(V6, ("2001:db8:a::20", 40_002))


def test_a_mapped_port_gets_a_socket_of_its_own_that_asks_nobody() -> None:
    lab = ALab(MAPPED)
    assert [(one.socket, one.port) for one in lab.begun] == [(V6, 0), (V4, 0), (EXTRA, 25_000)]
    assert [one.port for one in ALab().begun] == [0, 0], "without a mapping there is none"
    lab.open(EXTRA, BASE)
    assert not lab.of(SendDatagram), "it is public: no server need be asked"


def test_a_pinhole_is_the_ipv6_sockets_own_port() -> None:
    pinhole = MappedPort(25_000, ("2001:db8:a::20", 25_000), "pcp", 99.0, is_public=True)
    assert [(one.socket, one.port) for one in ALab(pinhole).begun] == [(V6, 25_000), (V4, 0)]


def test_behind_a_further_nat_one_server_is_asked_from_the_mapped_port() -> None:
    behind = MappedPort(25_000, ("100.64.1.2", 25_001), "upnp", 99.0, is_public=False)
    lab = ALab(behind)
    lab.open(EXTRA, BASE)
    assert [one.destination for one in lab.of(SendDatagram)] == [STUN[0]]


def test_what_gathers_and_fails_before_the_other_is_open_leaves_nothing_due() -> None:
    lab = ALab()
    lab.open(V4, ("192.168.1.20", 40_001))
    assert lab.round.next_deadline() is not None
    lab.round.failed(SocketFailed(V4, "gone"), 0.1)
    assert (due := lab.round.next_deadline()) is None or due > 0.4
    lab.open(V6, ("2001:db8:a::20", 40_002), 5.0)
    assert (due := lab.round.next_deadline()) is not None and due > 5.0, "it gathers anew"


@pytest.mark.parametrize("is_open", [True, False])
def test_a_port_that_is_taken_is_not_sent(is_open: bool) -> None:
    lab = ALab(MAPPED)
    lab.open_both()
    lab.of(OpenSocket)
    if is_open:
        lab.open(EXTRA, ("192.168.1.20", 40_000))
    else:
        lab.round.failed(SocketFailed(EXTRA, "taken"), 0.0)
    assert (CloseSocket(EXTRA) in lab.of(CloseSocket)) is is_open
    lab.round.timer(1.0)
    [sent] = [one.message for one in lab.of(SendToPeer)]
    assert isinstance(sent, Candidates)
    assert {one.kind for one in sent.candidates} == {"host"} and EXTRA not in lab.round.local


def test_a_mapping_that_comes_later_is_sent_with_the_rest() -> None:
    lab = ALab()
    lab.open_both()
    lab.round.timer(1.0)
    [first] = [one.message for one in lab.of(SendToPeer)]
    lab.context.mapped = (MAPPED,)
    lab.round.ports_mapped(1.1)
    [opened] = lab.of(OpenSocket)
    assert (opened.socket, opened.port) == (EXTRA, 25_000)
    lab.open(EXTRA, BASE, 1.2)
    [later] = [one.message for one in lab.of(SendToPeer)]
    assert isinstance(first, Candidates) and isinstance(later, Candidates)
    added = {one.kind for one in later.candidates} - {one.kind for one in first.candidates}
    assert first.ufrag == later.ufrag and added == {"mapped"}
    assert to_wire(mapped_candidates([MAPPED], BASE, ()))[0] in later.candidates


def test_the_kind_of_a_path_is_named() -> None:
    lab = ALab(MAPPED)

    def via(kind: CandidateKind, remote: str, *, socket: int = V4) -> str:
        return lab.round._via(PairChosen(socket, (remote, 5_000), kind, 0.1, ("198.51.100.1", 25_001), 1))

    assert via(CandidateKind.PEER_REFLEXIVE, "203.0.113.9", socket=EXTRA) == "port_mapping"
    assert via(CandidateKind.MAPPED, "203.0.113.9") == "port_mapping"
    assert via(CandidateKind.MAPPED, "100.64.1.2") == "port_mapping"
    assert via(CandidateKind.PEER_REFLEXIVE, "203.0.113.9") == "punch"
    assert via(CandidateKind.HOST, "192.168.1.7") == "host"
