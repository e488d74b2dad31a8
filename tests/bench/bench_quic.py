"""What the end-to-end connection computes: handshakes and voice between two ends in this process, in virtual time."""

import time
from collections.abc import Callable

from tests.bench.figures import Figure, Section
from tests.unit.transport.quic.test_call_connection import Pair
from transport.quic.call_events import DatagramArrived

HANDSHAKES = 100
FRAMES = 2_000
# What a shared machine adds to a measurement it never takes away again, so the least of some is the truest.
REPEATS = 3
FRAME_S = 0.02
# RTP header and 20 ms of Opus at 32 kbit/s, with the flow identifier.
PACKET = bytes(1 + 12 + 80)


def handshakes(count: int) -> float:
    """Seconds of CPU for one handshake, both ends."""
    start = time.thread_time()
    for _ in range(count):
        Pair().connect()
    return (time.thread_time() - start) / count


def frames(count: int) -> float:
    """Seconds of CPU for one voice packet: sent, received, and acknowledged; both people speak."""
    pair = Pair().connect()
    start = time.thread_time()
    for _ in range(count // 2):
        for peer in (pair.caller, pair.callee):
            assert peer.send_datagram(PACKET, pair.now)
        pair.run(FRAME_S)
    spent = time.thread_time() - start
    pair.run(0.1)
    arrived = sum(isinstance(event, DatagramArrived) for events in pair.events.values() for event in events)
    assert arrived == count // 2 * 2, arrived
    return spent / arrived


def run(*, handshake_count: int = HANDSHAKES, frame_count: int = FRAMES, repeats: int = REPEATS) -> Section:
    """Both."""

    def least(measure: Callable[[int], float], count: int) -> float:
        return min(measure(count) for _ in range(repeats))

    how = f"thread CPU time, least of {repeats} × "
    return Section(
        "The end-to-end connection (QUIC)",
        (
            Figure(
                "one handshake, both ends",
                f"{1000 * least(handshakes, handshake_count):.1f} ms of CPU",
                f"{how}{handshake_count} handshakes; certificates checked, keys included",
            ),
            Figure(
                "one voice packet, both ends",
                f"{1e6 * least(frames, frame_count):.0f} µs of CPU",
                f"{how}{frame_count} packets; with acknowledgements, without sockets and audio",
            ),
        ),
    )
