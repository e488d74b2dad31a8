"""transport.traversal.birthday: who opens what, who tries what, and within which limits."""

import random

import pytest

from tests.unit.transport.traversal.round_lab import OUTSIDE, PEER, RoundLab, a_context, candidates
from transport.ice.pacing import MAX_SOCKETS, HostLimits
from transport.nat.profile import Allocation, Filtering, Mapping, NatProfile
from transport.net.sockets import Address
from transport.traversal import birthday
from transport.traversal.birthday import BLOCK_SHARE

STRICT = Filtering.ADDRESS_AND_PORT_DEPENDENT
APDM = Mapping.ADDRESS_AND_PORT_DEPENDENT
FIXED = NatProfile(Mapping.ENDPOINT_INDEPENDENT, STRICT, Allocation.PRESERVING, reflexive=(OUTSIDE, 4_000))
RANDOM = NatProfile(APDM, STRICT, Allocation.RANDOM, reflexive=(OUTSIDE, 4_000))
BLOCK = NatProfile(APDM, STRICT, Allocation.BLOCK, block=(8_192, 9_215), reflexive=(OUTSIDE, 8_300))


def random_side(local: NatProfile = RANDOM, *, max_open: int = 10**6, limits: HostLimits | None = None) -> RoundLab:
    ports = random.Random(3)
    context = a_context(local, FIXED, limits=limits)
    return RoundLab(
        birthday.make_round, context, lambda socket, destination: ports.randint(8_192, 9_215), max_open=max_open
    ).begin()


def fixed_side(remote: NatProfile = RANDOM) -> RoundLab:
    return RoundLab(birthday.make_round, a_context(FIXED, remote), lambda socket, destination: 4_000).begin()


def targets(lab: RoundLab) -> list[Address]:
    return [sent.destination for sent in lab.checks]


def test_the_random_side_sends_once_from_every_socket_to_the_one_address() -> None:
    lab = random_side()
    lab.receive_message(candidates(4, PEER[1]))
    lab.wait(1.0)
    assert set(targets(lab)) == {PEER}
    sockets = [sent.socket for sent in lab.checks]
    assert len(set(sockets)) == len(sockets) and 140 <= len(sockets) <= 200


def test_it_never_has_more_sockets_nor_mappings_than_allowed_and_gives_up_the_oldest() -> None:
    lab = random_side()
    lab.receive_message(candidates(4, PEER[1]))
    lab.wait(birthday.SECONDS - 0.1)
    assert lab.most_open <= MAX_SOCKETS
    assert birthday.MAX_MAPPINGS - 20 <= len(lab.checks) <= birthday.MAX_MAPPINGS
    assert min(lab.opened) > 500, "the oldest are closed"
    lab.wait(0.2)
    assert lab.lost == ["no-answer"] and not lab.opened and lab.context.limits.sockets == 0


def test_a_socket_that_the_peer_has_found_is_not_the_oldest_any_more() -> None:
    lab = random_side()
    lab.receive_message(candidates(4, PEER[1]))
    lab.wait(0.5)
    found = lab.checks[0].socket
    lab.check_from(found, PEER)
    lab.wait(5.0)
    assert found in lab.opened
    lab.answer([sent for sent in lab.checks if sent.socket == found][-1])
    assert [won.socket for won in lab.won] == [found] and lab.opened == {found}


def test_of_a_block_no_more_than_a_quarter_is_taken() -> None:
    lab = random_side(BLOCK)
    lab.receive_message(candidates(4, PEER[1]))
    lab.wait(birthday.SECONDS - 0.1)
    width = 9_215 - 8_192 + 1
    assert len({*lab.flows}) <= width // BLOCK_SHARE, "questions to servers included"
    assert len(lab.messages[0].candidates) >= 8, "the other side learns the block"


@pytest.mark.parametrize("max_open", [1, 3, 40])
def test_where_the_system_allows_few_sockets_it_goes_on_with_those(max_open: int) -> None:
    lab = random_side(max_open=max_open)
    lab.receive_message(candidates(4, PEER[1]))
    lab.wait(birthday.SECONDS + 0.1)
    assert lab.most_open <= max_open and not lab.opened
    assert len(lab.checks) >= (200 if max_open == 40 else 1)
    assert len(lab.lost) == 1 and lab.context.limits.sockets == 0


def test_without_any_socket_it_is_lost_at_once() -> None:
    assert random_side(max_open=0).lost == ["no-sockets"]
    full = HostLimits(sockets=0)
    assert random_side(limits=full).lost == ["no-sockets"]


def test_the_fixed_side_tries_every_port_once_from_its_one_socket() -> None:
    lab = fixed_side()
    assert [(one.ip, one.port) for one in lab.messages[0].candidates] == [(OUTSIDE, 4_000)]
    lab.receive_message(candidates(4, 30_000))
    lab.wait(birthday.SECONDS - 0.1)
    ports = [port for _, port in targets(lab)]
    assert len(set(ports)) == len(ports) and birthday.MAX_MAPPINGS - 20 <= len(ports) <= birthday.MAX_MAPPINGS
    assert {host for host, _ in targets(lab)} == {PEER[0]} and len({sent.socket for sent in lab.checks}) == 1
    assert min(ports) < 10_000 and max(ports) > 55_000, "over the whole range"


def test_of_a_block_the_ports_in_it_are_tried_first() -> None:
    lab = fixed_side(BLOCK)
    lab.receive_message(candidates(4, *range(9_000, 9_512, 32)))
    lab.wait(4.0)
    ports = [port for _, port in targets(lab)]
    assert set(ports[:481]) == set(range(9_000, 9_481)), "between those that were seen"
    assert all(8_400 < port < 10_100 for port in ports)


def test_whoever_wins_keeps_one_socket() -> None:
    lab = fixed_side()
    lab.receive_message(candidates(4, 30_000))
    lab.wait(0.3)
    lab.answer(lab.checks[7])
    assert [won.remote for won in lab.won] == [lab.checks[7].destination]
    before = len(lab.checks)
    lab.wait(5.0)
    assert {sent.destination for sent in lab.checks[before:]} <= {lab.checks[7].destination}, (
        "no port is tried any more"
    )
