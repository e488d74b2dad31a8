"""transport.traversal.technique: each row of its table, by hole punching and by a technique with probe rounds."""

import random

import pytest

from tests.unit.transport.traversal.round_lab import HOSTS, OUTSIDE, PEER, STUN, a_context, candidates
from transport.ice.pacing import HostLimits
from transport.nat.profile import Allocation, Filtering, Mapping, NatProfile
from transport.net.sockets import DatagramReceived, OpenSocket, SendDatagram, SocketFailed, SocketOpened
from transport.traversal import hole_punch
from transport.traversal.agent import TECHNIQUES
from transport.traversal.context import TraversalContext
from transport.traversal.events import DirectFound
from transport.traversal.hole_punch import HolePunch
from transport.traversal.probe_technique import ProbeTechnique
from transport.traversal.technique import State, TechniqueRun
from transport.wire import stun
from transport.wire.call_messages import Connect
from transport.wire.stun import IceRole

BIRTHDAY = TECHNIQUES[2]
STRICT = Filtering.ADDRESS_AND_PORT_DEPENDENT
FIXED = NatProfile(Mapping.ENDPOINT_INDEPENDENT, STRICT, Allocation.PRESERVING, reflexive=(OUTSIDE, 4_000))
RANDOM = NatProfile(Mapping.ADDRESS_AND_PORT_DEPENDENT, STRICT, Allocation.RANDOM, reflexive=(OUTSIDE, 4_000))


class Lab:
    """Sockets open at once; servers answer, and the peer answers checks from ``answers_at`` on."""

    def __init__(self, run: TechniqueRun) -> None:
        self.run = run
        self.now = 0.0
        self.answers_at: float | None = None
        self.checks = 0
        run.start(self.now, may_send=True)
        self.carry_out()

    def carry_out(self) -> None:
        commands, sockets = self.run.context.commands, self.run.context.sockets
        while commands:
            match commands.pop(0):
                case OpenSocket(socket):
                    owner = sockets.owner(socket)
                    assert owner is not None
                    owner.opened(SocketOpened(socket, ("192.168.1.20", 50_000 + socket)), self.now)
                case SendDatagram(socket, destination, data):
                    self._answer(socket, destination, data)

    def _answer(self, socket: int, destination: tuple[str, int], data: bytes) -> None:
        owner = self.run.context.sockets.owner(socket)
        assert owner is not None
        if destination in STUN:
            answer = stun.binding_success(stun.parse(data), (OUTSIDE, 4_000))
        else:
            self.checks += 1
            if self.answers_at is None or self.now < self.answers_at:
                return
            answer = stun.check_answer(stun.parse(data), (OUTSIDE, 4_000), THEIR_PASSWORD)
        owner.received(DatagramReceived(socket, destination, answer), self.now)

    def wait(self, seconds: float) -> None:
        end = self.now + seconds
        while (due := self.run.next_deadline()) is not None and due <= end:
            self.now = max(self.now, due) + 1e-6
            self.run.timer(self.now)
            self.carry_out()
        self.now = end

    def receive(self, message) -> None:  # type: ignore[no-untyped-def]
        self.run.message(message, self.now)
        self.carry_out()


THEIR_PASSWORD = candidates(0, PEER[1]).password


def a_punch() -> Lab:
    context = TraversalContext(
        *(IceRole.CONTROLLING, STUN, HOSTS, iter(range(999)).__next__, random.Random(1)), low_ttl=False
    )
    found: list[DirectFound] = []
    run = HolePunch(hole_punch.SPEC, context, 0, lambda run, path, now: found.append(path))
    return Lab(run)


def a_search(limits: HostLimits | None = None) -> Lab:
    return Lab(ProbeTechnique(BIRTHDAY, a_context(FIXED, RANDOM, limits=limits), 0, lambda run, path, now: None))


def test_a_path_is_found_while_it_tries() -> None:
    lab = a_punch()
    lab.wait(0.1)
    assert lab.run.state is State.WAITING
    lab.answers_at = 0.2
    lab.receive(candidates(0, PEER[1]))
    assert lab.run.state is State.TRYING and lab.checks == 1
    lab.wait(1.0)
    assert lab.run.state is State.WON and lab.run.ended_at is not None
    lab.run.stop("not-needed", lab.now)
    assert lab.run.state is State.WON, "a path that was found stays"


def test_in_vain_it_fails_and_goes_on_when_the_peer_begins_another_round() -> None:
    lab = a_punch()
    lab.receive(candidates(0, PEER[1]))
    lab.wait(10.0)
    assert lab.run.state is State.FAILED and lab.run.status.reason == "no-answer"
    ended = lab.run.ended_at
    lab.receive(Connect(1))
    assert lab.run.state is State.WAITING and lab.run.status.rounds == 2 and lab.run.ended_at is None
    lab.wait(10.0)
    assert lab.run.state is State.FAILED and (lab.run.ended_at or 0.0) > (ended or 0.0)


def test_without_any_socket_it_fails_before_it_has_tried() -> None:
    lab = a_punch()
    owner = lab.run.context.sockets.owner(0)
    assert owner is not None
    owner.failed(SocketFailed(0, "no more files"), lab.now)
    assert lab.run.state is State.FAILED and lab.run.status.reason == "no-sockets"


@pytest.mark.parametrize("is_trying", [False, True])
def test_what_is_stopped_is_cancelled_and_does_not_follow_the_peer(is_trying: bool) -> None:
    lab = a_punch()
    if is_trying:
        lab.receive(candidates(0, PEER[1]))
    lab.run.stop("relay-trouble", lab.now)
    assert lab.run.state is State.CANCELLED and lab.run.status.reason == "relay-trouble"
    lab.receive(Connect(1))
    assert lab.run.status.rounds == 1 and lab.run.next_deadline() is None


def test_only_one_search_of_a_host_runs_at_a_time() -> None:
    limits = HostLimits()
    first, second = a_search(limits), a_search(limits)
    assert first.run.state is State.TRYING
    assert second.run.state is State.SKIPPED and second.run.status.reason == "one-at-a-time"
    assert second.run.ended_at is not None and second.run.next_deadline() is None
    first.run.stop("over", first.now)
    assert a_search(limits).run.state is State.TRYING


def test_a_search_in_vain_gives_the_lock_back() -> None:
    limits = HostLimits()
    lab = a_search(limits)
    lab.wait(BIRTHDAY.seconds + 1.0)
    assert lab.run.state is State.FAILED and not lab.run.is_hopeless
    assert limits.acquire("the next one") and limits.sockets == 0
