"""The laboratory itself: a figure measured in it is worth no more than this."""

import itertools
import random

import pytest

from tests.natsim.clock import SpinningError, VirtualClock
from tests.natsim.network import EPHEMERAL_PORTS, Network
from tests.natsim.wire import Bernoulli, GilbertElliott, LossModel, Wire


def test_things_happen_in_the_order_of_their_time_then_of_their_making() -> None:
    clock, done = VirtualClock(0.0), []
    for name, when in (("c", 2.0), ("a", 1.0), ("b", 1.0)):
        clock.at(when, lambda name=name: done.append((name, clock.now)))  # type: ignore[misc]
    clock.at(1.5, lambda: done.append(("never", 0))).cancelled = True
    clock.run(5.0)
    assert done == [("a", 1.0), ("b", 1.0), ("c", 2.0)]
    assert clock.now == 5.0


def test_time_stops_where_it_is_asked_to() -> None:
    clock, done = VirtualClock(0.0), []
    for when in (1.0, 2.0, 3.0):
        clock.at(when, lambda: done.append(clock.now))
    assert clock.run(10.0, lambda: len(done) == 2)
    assert (clock.now, done) == (2.0, [1.0, 2.0])


def test_a_timer_that_does_not_advance_is_found_out() -> None:
    clock = VirtualClock()

    def again() -> None:
        clock.after(0.0, again)

    again()
    with pytest.raises(SpinningError):
        clock.run(1.0)


@pytest.mark.parametrize("model", [Bernoulli(0.2), GilbertElliott(0.05, 0.2)])
def test_as_much_is_lost_as_was_ordered(model: LossModel) -> None:
    rng = random.Random(3)
    lost = [model.lost(rng) for _ in range(20_000)]
    assert sum(lost) / len(lost) == pytest.approx(0.2, abs=0.02)
    # How often the packet after a lost one is lost as well: 20 % without memory, 80 % in these bursts.
    after = [later for earlier, later in itertools.pairwise(lost) if earlier]
    assert sum(after) / len(after) == pytest.approx(0.2 if isinstance(model, Bernoulli) else 0.8, abs=0.03)


def test_a_wire_delays_orders_doubles_and_cuts() -> None:
    rng = random.Random(1)
    assert Wire(delay=0.05).arrivals(1.0, rng) == [1.05]
    spread = [Wire(delay=0.05, jitter=0.02).arrivals(1.0, rng)[0] for _ in range(200)]
    assert 1.05 <= min(spread) < 1.055 and 1.065 < max(spread) <= 1.07
    orderly = Wire(jitter=0.5, ordered=True)
    times = [orderly.arrivals(index * 0.01, rng)[0] for index in range(200)]
    assert times == sorted(times)
    assert len(Wire(duplicate=1.0).arrivals(1.0, rng)) == 2
    assert Wire(cut=True).arrivals(1.0, rng) == []


def test_a_packet_crosses_the_wires_of_both_hosts_and_needs_an_open_port() -> None:
    clock = VirtualClock(0.0)
    network = Network(clock, random.Random(1))
    one = network.host("192.0.2.1", Wire(delay=0.01), Wire(delay=9))
    other = network.host("192.0.2.2", Wire(delay=9), Wire(delay=0.02))
    got: list[tuple[bytes, tuple[str, int], float]] = []
    port = other.open(lambda data, source: got.append((data, source, clock.now)))
    one.send(5, (other.ip, port), b"hello")
    one.send(5, (other.ip, port + 1), b"nobody there")
    one.send(5, ("192.0.2.3", port), b"no such host")
    clock.run(1.0)
    assert [(data, source) for data, source, _ in got] == [(b"hello", (one.ip, 5))]
    assert got[0][2] == pytest.approx(0.03)


def test_a_host_has_a_free_port_however_many_it_has_had() -> None:
    host = Network(VirtualClock(), random.Random(1)).host("192.0.2.1")
    kept = [host.open(lambda data, source: None) for _ in range(100)]
    for _ in range(2 * len(EPHEMERAL_PORTS)):
        port = host.open(lambda data, source: None)
        assert port in EPHEMERAL_PORTS and port not in kept
        host.close(port)
