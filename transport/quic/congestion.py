"""Congestion control for a voice call: a window that never holds a frame back.

A DATAGRAM frame that waits for a window is worth less than none: the listener has concealed it by then. aioquic's
Reno lets frames wait up to 741 ms at 400 ms round trip and 20 % loss, cubic up to 182 ms. So the window is fixed,
and what RFC 8085 §3.1 asks for is done where it can be done without delay: the codec's bitrate
follows loss and delay, a circuit breaker (RFC 8083) ends what cannot work, and the only other traffic, the
control stream, is bounded by :data:`transport.quic.call_connection.STREAM_BACKLOG_BYTES`.
"""

from collections.abc import Iterable

from aioquic.quic.congestion.base import QuicCongestionControl, register_congestion_control
from aioquic.quic.packet_builder import QuicSentPacket

VOICE = "segue-voice"

# Lower bound: packets sent into a path that has gone silent stay "in flight" until an acknowledgement shows them
# lost. A call outlives 30 s of that, and the richest mono Opus worth sending (128 kbit/s) makes 18 kB/s with all
# headers: 540 kB. aioquic's pacer counts every packet as a full one, so 120 packets/s at 3 s round trip need
# 120 * 1,200 B * 3 s = 432 kB. The next power of two holds both.
# Upper bound: a broken sender of ours puts no more than this into the network without an answer.
WINDOW_BYTES = 1 << 20


class VoiceCongestionControl(QuicCongestionControl):
    """A fixed window of :data:`WINDOW_BYTES`; keeps only the count of bytes in flight."""

    def __init__(self, *, max_datagram_size: int) -> None:
        super().__init__(max_datagram_size=max_datagram_size)
        self.congestion_window = WINDOW_BYTES

    def on_packet_acked(self, *, now: float, packet: QuicSentPacket) -> None:
        self.bytes_in_flight -= packet.sent_bytes

    def on_packet_sent(self, *, packet: QuicSentPacket) -> None:
        self.bytes_in_flight += packet.sent_bytes

    def on_packets_expired(self, *, packets: Iterable[QuicSentPacket]) -> None:
        self.bytes_in_flight -= sum(packet.sent_bytes for packet in packets)

    def on_packets_lost(self, *, now: float, packets: Iterable[QuicSentPacket]) -> None:
        self.bytes_in_flight -= sum(packet.sent_bytes for packet in packets)

    def on_persistent_congestion(self) -> None:
        """Nothing: that the path is gone is found out, and acted on, by the path manager."""

    def on_rtt_measurement(self, *, now: float, rtt: float) -> None:
        """Nothing: the window does not depend on it."""


register_congestion_control(VOICE, VoiceCongestionControl)
