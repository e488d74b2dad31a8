"""Calls with a router that maps a port: direct to anybody, as soon as by punching, and never worse for a lie."""

import pytest

from tests.natsim.mapped_run import MappedRun
from tests.natsim.port_mapping import Habits
from tests.natsim.scenario import pair
from tests.natsim.wire import WireSpec
from transport.ice.candidates import CandidateKind
from transport.traversal.events import PathLost, PortMappingsChanged

WIRE = WireSpec(delay_ms=20)
ANY = ("open", "port-restricted", "linux", "symmetric-sequential", "symmetric-random", "linux-random", "block")
RANDOM = "symmetric-random"


def called(
    one: str, other: str, habits: dict[int, Habits], seed: int = 1, followed_s: float = 4.0
) -> tuple[MappedRun, float | None]:
    """A call, and how long after the answer both were direct."""
    run = MappedRun(pair(one, other, WIRE), seed, habits)
    answered_at = run.answer()
    is_direct = run.until_direct(followed_s)
    took_s = run.clock.now - answered_at if is_direct else None
    run.clock.run(0.5)
    return run, took_s


def vias(run: MappedRun) -> list[str]:
    return [side.log.found[-1][1].via for side in run.sides]


@pytest.mark.parametrize("side", [0, 1], ids=["the caller's router", "the callee's router"])
@pytest.mark.parametrize("other", ANY)
def test_one_mapping_reaches_any_nat(other: str, side: int) -> None:
    """From behind a NAT that gives every destination a random port, within what a punch may take (DESIGN §8)."""
    kinds = (RANDOM, other) if side == 0 else (other, RANDOM)
    run, took_s = called(*kinds, {side: Habits()})
    assert took_s is not None and took_s <= 1.5 * 2 * run.one_way_s + 2 * run.direct_rtt_s + 0.05
    if other in (RANDOM, "linux-random", "block"):
        assert vias(run) == ["port_mapping"] * 2
    assert max(side.log.most_open for side in run.sides) <= 2, "nobody opened sockets by the dozen"


@pytest.mark.parametrize("habits", [{0: Habits()}, {1: Habits()}, {0: Habits(), 1: Habits()}], ids=["0", "1", "both"])
@pytest.mark.parametrize("kind", ["full-cone", "port-restricted", "linux", "linux-open-input"])
def test_where_punching_does_a_mapping_is_no_later(kind: str, habits: dict[int, Habits]) -> None:
    _, plain_s = called(kind, kind, {})
    _, mapped_s = called(kind, kind, habits)
    assert plain_s is not None and mapped_s is not None and mapped_s <= plain_s + 1e-4


@pytest.mark.parametrize("lie", [Habits(lie=True), Habits(shows_ip="198.51.100.200"), Habits(shows_ip="192.0.2.77")])
def test_a_lie_makes_nobody_wait(lie: Habits) -> None:
    for one, other in (("port-restricted", "port-restricted"), ("linux", "linux-open-input")):
        _, plain_s = called(one, other, {})
        run, took_s = called(one, other, {0: lie, 1: lie})
        assert plain_s is not None and took_s is not None and took_s <= plain_s + 1e-4, (one, other)
        assert vias(run) == ["punch"] * 2


def test_a_lie_costs_a_hopeless_pair_two_rounds_and_then_it_settles() -> None:
    run, took_s = called(RANDOM, RANDOM, {0: Habits(lie=True)}, followed_s=8.0)
    assert took_s is None
    for side in run.sides:
        status = next(status for status in side.agent.phases() if status.name == "punch")
        assert (status.outcome, status.reason, status.rounds) == ("failed", "both-symmetric", 2)
        assert len(side.log.sent) < 60
    run.clock.run(60.0)
    assert not any(side.log.found for side in run.sides)


def test_an_address_that_stun_does_not_see_is_sent_last() -> None:
    run, _ = called("port-restricted", "port-restricted", {0: Habits(shows_ip="198.51.100.200"), 1: Habits()})
    ranks = []
    for side in run.sides:
        listed = {one.kind: one.priority for message in side.log.messages for one in getattr(message, "candidates", ())}
        ranks.append(sorted(listed, key=lambda kind: -listed[kind]))
    assert ranks == [["host", "server-reflexive", "mapped"], ["host", "mapped", "server-reflexive"]]


def test_a_port_that_somebody_else_has_is_not_sent() -> None:
    run = MappedRun(pair(RANDOM, "port-restricted", WIRE), 1, {0: Habits()})
    (mapped,) = run.mappers[0].ports
    run.world.sides[0].host.open(lambda data, source: None, mapped.internal_port)
    run.answer()
    run.until_direct(4.0)
    listed = [one.kind for message in run.caller.log.messages for one in getattr(message, "candidates", ())]
    assert listed and CandidateKind.MAPPED.value not in listed
    assert run.is_direct, "it goes without"


def test_a_mapping_that_comes_in_mid_call_is_sent_and_used() -> None:
    run = MappedRun(pair(RANDOM, RANDOM, WIRE), 1, {0: Habits()})
    ports = run.mappers[0].ports
    run.caller.submit(PortMappingsChanged(()))
    run.answer()
    assert not run.until_direct(8.0), "both random, and nothing maps"
    run.caller.submit(PortMappingsChanged(ports))
    assert run.until_direct(4.0) and vias(run) == ["port_mapping"] * 2


def test_a_changed_port_is_sent_in_the_running_round() -> None:
    run = MappedRun(pair(RANDOM, RANDOM, WIRE), 1, {0: Habits(lie=True)})
    run.answer()
    run.clock.run(0.1)
    router = run.routers[0]
    router.habits.lie, router.habits.other_port = False, True
    router.reboot()
    run.mappers[0].clock.run(0.0)
    mapped = run.mappers[0]
    mapped.kill()
    run.mappers[0] = renewed = type(mapped)(mapped.host, router, run.rng, port=25_000)
    renewed.on_ports = lambda ports: run.caller.submit(PortMappingsChanged(ports))
    renewed.start()
    assert run.until_direct(4.0), "the new port came while the round was under way"
    listed = {
        one.port
        for message in run.caller.log.messages
        for one in getattr(message, "candidates", ())
        if one.kind == "mapped"
    }
    assert len(listed) == 2 and vias(run) == ["port_mapping"] * 2


def test_a_path_by_a_mapping_that_is_lost_is_found_again() -> None:
    run, took_s = called(RANDOM, RANDOM, {0: Habits()})
    assert took_s is not None
    first = [len(side.log.found) for side in run.sides]
    for side in run.sides:
        for socket in tuple(side.ports):
            side.host.close(side.ports.pop(socket))
        side.submit(PathLost())
    assert run.clock.run(6.0, lambda: all(len(side.log.found) > n for side, n in zip(run.sides, first, strict=True)))
    assert vias(run) == ["port_mapping"] * 2
