from aioquic.quic.congestion.base import create_congestion_control
from aioquic.quic.packet import QuicPacketType
from aioquic.quic.packet_builder import QuicSentPacket
from aioquic.tls import Epoch

from transport.quic.congestion import VOICE, WINDOW_BYTES


def packet(size: int) -> QuicSentPacket:
    return QuicSentPacket(
        epoch=Epoch.ONE_RTT,
        in_flight=True,
        is_ack_eliciting=True,
        is_crypto_packet=False,
        packet_number=1,
        packet_type=QuicPacketType.ONE_RTT,
        sent_bytes=size,
    )


def test_the_window_stands_whatever_is_lost_and_the_count_comes_out_even() -> None:
    control = create_congestion_control(VOICE, max_datagram_size=1_200)
    packets = [packet(size) for size in (100, 200, 300, 400)]
    for one in packets:
        control.on_packet_sent(packet=one)
    assert control.bytes_in_flight == 1_000
    control.on_packet_acked(now=1.0, packet=packets[0])
    control.on_packets_lost(now=1.0, packets=packets[1:3])
    control.on_persistent_congestion()
    control.on_rtt_measurement(now=1.0, rtt=5.0)
    control.on_packets_expired(packets=packets[3:])
    assert control.bytes_in_flight == 0
    assert control.congestion_window == WINDOW_BYTES
